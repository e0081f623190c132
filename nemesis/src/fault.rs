//! The seam of a fault: what its registry entry says, how it chooses its target, how it is installed.
//!
//! Undoing is deliberately not part of [`Fault`]: it must work from a line of the ledger when the fault object, the suite
//! and perhaps the harness that made it are gone, so it is a free function of the [`Target`] ([`crate::target::undo`]).

use std::time::Instant;

use checker::params::{Params, Setting};
use cluster::cluster::FailingDisk;
use cluster::levers::Levers;
use cluster::order::OrderKind;
use cluster::system::{BoxFuture, Capabilities};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::picture::Picture;
use crate::target::Target;

/// One kind of fault: its entry in [`crate::faults::registry`].
#[derive(Clone, Copy)]
pub struct FaultKind {
    /// The name in suite files, in kebab-case.
    pub name: &'static str,
    /// One sentence for `raftcheck list`.
    pub summary: &'static str,
    /// The text of the file that implements it. Its head is the reference page, see [`FaultKind::page`].
    pub source: &'static str,
    /// The settings that it takes.
    pub settings: &'static [Setting],
    /// What a system must be able to do for a fault with these settings.
    pub needs: fn(&Params) -> Needs,
    /// Makes the fault of these settings for a cluster of this many nodes, or says which setting cannot work there.
    pub build: Build,
}

/// Makes a fault from its settings and the number of nodes.
pub type Build = fn(&Params, usize) -> Result<Box<dyn Fault>, String>;

/// What a system must be able to do so that a fault can be injected into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// It must know how to edit the files of a stopped node.
    pub edits: bool,
    /// It must tell the roles of its nodes.
    pub roles: bool,
    /// Its nodes' data must lie on disks that can fail, made like this.
    pub disk: Option<FailingDisk>,
    /// Its nodes must know how to be told to do this.
    pub order: Option<OrderKind>,
    /// Its nodes must know how to be started under other rules than the rest.
    pub starts: bool,
    /// Its nodes must tell who the members are, and one that was removed must be free to come back with what it knows.
    pub returns: bool,
    /// Its network must make lines bad, not only cut them: a bridge of the kernel does not.
    pub bad_lines: bool,
    /// The cluster must have a spare host.
    pub spare: bool,
    /// Its nodes must go by clocks of their own. Any system can; its nodes are then started so.
    pub clocks: bool,
}

/// One fault, ready to be injected any number of times.
pub trait Fault: Send + Sync {
    /// Chooses what to do it to. Pure: the same picture and the same random numbers give the same choice.
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice;

    /// Does it. The ledger holds the target before this is called.
    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection>;
}

/// What a fault chose.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// This.
    Target(Target),
    /// Nothing, for this reason.
    Skipped(String),
}

/// How an injection ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Injection {
    /// The fault is in place.
    Installed(Installed),
    /// Nothing at all was changed, for this reason.
    Skipped(String),
    /// It may be in place, or in part: what is known of it. It is undone like an installed one.
    Indeterminate(String),
}

/// The evidence of an installed fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Installed {
    /// What shows that it is in place.
    pub proof: String,
    /// The instant from which on it had its effect, where the lever tells. Where it does not, the fault was in place at
    /// the latest when the injection returned.
    pub effective: Option<Instant>,
}

impl Needs {
    /// What it takes, in words, for people who choose a fault; empty if nothing.
    pub fn in_words(&self) -> Vec<&'static str> {
        let Needs { edits, roles, disk, order, starts, returns, bad_lines, spare, clocks } = self;
        let told = order.map(|order| match order {
            OrderKind::Members => "a system whose members raftcheck can change",
            OrderKind::Messages => "a system with a gate for the messages of its peers",
            _ => "a system whose nodes can be told to do it",
        });
        let needs = [
            edits.then_some("a system whose stopped nodes raftcheck can edit"),
            told,
            starts.then_some("a system whose nodes can be started under rules of their own"),
            returns.then_some("a system that takes a removed member back"),
            disk.map(|_| "`/dev/fuse`, for disks in memory"),
            bad_lines.then_some("the packet switch (`network: switch`, the default)"),
            clocks.then_some("ptrace and seccomp on x86_64, for clocks of the nodes' own"),
            spare.then_some("a spare host (`spares: 1` in `system`)"),
            roles.then_some("a system that tells which node leads"),
        ];
        needs.into_iter().flatten().collect()
    }

    /// What this system lacks, in words; empty if nothing.
    pub fn missing(&self, capabilities: &Capabilities) -> Vec<String> {
        let mut missing = Vec::new();
        if self.edits && !capabilities.edits {
            missing.push("raftcheck does not know how to edit the files of its stopped nodes".to_owned());
        }
        if self.roles && !capabilities.roles {
            missing.push("it does not tell which node leads".to_owned());
        }
        if self.starts && !capabilities.starts {
            missing.push("its nodes cannot be started under rules of their own".to_owned());
        }
        if self.returns && !capabilities.returns {
            missing.push("a member that was removed cannot come back with what it knows".to_owned());
        }
        if let Some(order) = self.order.filter(|order| !capabilities.orders.contains(order)) {
            missing.push(format!("its nodes cannot be told to {order}"));
        }
        missing
    }
}

impl FaultKind {
    /// The reference page without its last paragraph, and that one: what shows that the fault took effect.
    pub fn page_and_proof(&self) -> (String, String) {
        let page = self.page();
        match page.rfind("\n\nThe reader sees") {
            Some(at) => (page[..=at].to_owned(), page[at + 2..].to_owned()),
            None => (page, String::new()),
        }
    }

    /// The reference page: the head of the implementing file, as Markdown.
    pub fn page(&self) -> String {
        self.source
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .map(|line| {
                line.trim_start_matches("//!").strip_prefix(' ').unwrap_or_default().to_owned() + "\n"
            })
            .collect()
    }

    /// The YAML example of the reference page: one entry of a suite's `faults: mix:` list.
    pub fn example(&self) -> String {
        self.page()
            .lines()
            .skip_while(|line| *line != "```yaml")
            .skip(1)
            .take_while(|line| *line != "```")
            .map(|line| line.to_owned() + "\n")
            .collect()
    }
}

impl Injection {
    /// An installed fault whose lever tells no instant.
    pub(crate) fn installed(proof: impl Into<String>) -> Self {
        Injection::Installed(Installed { proof: proof.into(), effective: None })
    }
}
