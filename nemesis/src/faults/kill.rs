//! Kills nodes with SIGKILL and starts them again, on their old data, when the fault ends.
//!
//! ```yaml
//! - kill: { target: leader, for: 1s..3s }
//! ```
//!
//! A process that is killed loses what it held in memory, and nothing that it handed to the kernel: pages that were
//! written and not yet fsynced survive. It tests recovery, not durability.
//!
//! The reader sees which nodes were killed, that the kernel had reaped them, and when they were started again.

use checker::params::Params;
use cluster::levers::{Levers, NodeSignal, ProcessState};
use cluster::system::{BoxFuture, NodeId};
use rand::Rng;

use crate::fault::{Choice, Fault, FaultKind, Injection};
use crate::moves::{all_in, list, signal_all};
use crate::picture::Picture;
use crate::select::{Limit, Selector, take_out};
use crate::settings::{FOR, LIMIT, TARGET};
use crate::target::Target;

pub(crate) const KIND: FaultKind = FaultKind {
    name: "kill",
    summary: "Kills nodes with SIGKILL and starts them again at the end.",
    source: include_str!("kill.rs"),
    settings: &[TARGET, FOR, LIMIT],
    needs: Selector::needs,
    build,
};

struct Kill {
    selector: Selector,
    limit: Limit,
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    Ok(Box::new(Kill { selector: Selector::read(params, nodes)?, limit: Limit::read(params)? }))
}

impl Fault for Kill {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match take_out(self.selector, self.limit, picture, rng) {
            Ok(nodes) => Choice::Target(Target::Down(nodes)),
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(kill(target.processes(), levers))
    }
}

async fn kill(nodes: &[NodeId], levers: &dyn Levers) -> Injection {
    if let Err(injection) = signal_all(nodes, NodeSignal::Kill, levers).await {
        return injection;
    }
    if let Err(injection) = all_in(nodes, ProcessState::Down, levers) {
        return injection;
    }
    Injection::installed(format!("{} killed and reaped", list(nodes)))
}
