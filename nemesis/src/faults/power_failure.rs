//! Cuts the power of nodes: kills them and takes away what they had not made durable; starts them again when the fault ends.
//!
//! ```yaml
//! - power-failure: { target: all, unsynced: [lost, some], for: 200ms..1s }
//! ```
//!
//! Unlike `kill`, after which everything that was written is still there, this leaves a node what it fsynced and nothing
//! that it can rely on beside that. With `unsynced: lost` all of the rest is gone; with `unsynced: some` each page of 4 KiB
//! survives with the share `keep`, and of those that do a share `torn` is a mixture of old and new sectors of 512 bytes.
//! New names, renames and removals survive in the order in which they were made up to a random one.
//!
//! `directories` says when names become durable. `journal` is what ext4 and XFS do: any fsync makes all earlier names
//! durable. `strict` is what POSIX promises: a name is durable once its directory was fsynced. Stores that rely on the journal (etcd does for the directory above its own) lose files then. One entry of a suite with `strict`
//! makes it apply to the whole suite.
//!
//! **A store that makes durable what it promises is safe against it**, on any number of nodes. While it is down, a node's
//! connections are closed by the kernel, as after a kill: other nodes notice at once.
//!
//! The reader sees how many pages and names each node lost, kept and found torn. Where everything was durable it says so.

use checker::params::{Kind, Params, Setting};
use cluster::cluster::FailingDisk;
use cluster::disk::{DiskEdit, Metadata, Survival};
use cluster::levers::Levers;
use cluster::system::BoxFuture;
use rand::Rng;
use rand::seq::IndexedRandom;

use crate::fault::{Choice, Fault, FaultKind, Injection, Needs};
use crate::moves::kill_and_edit_disks;
use crate::picture::Picture;
use crate::select::{Limit, Selector, take_out};
use crate::settings::{self, FOR, LIMIT, TARGET};
use crate::target::{DiskEdited, Target};

pub(crate) const KIND: FaultKind = FaultKind {
    name: "power-failure",
    summary: "Cuts the power of nodes: what they had not fsynced is lost, all or in part.",
    source: include_str!("power_failure.rs"),
    settings: &[
        TARGET,
        FOR,
        LIMIT,
        Setting {
            name: "unsynced",
            kind: Kind::List(&Kind::Word(&["lost", "some"])),
            default: Some("lost"),
            doc: "Whether all that was not fsynced is lost, or a part; each injection draws one of the list.",
        },
        Setting {
            name: "keep",
            kind: Kind::Ratio,
            default: Some("50%"),
            doc: "With `unsynced: some`, the share of unsynced pages that survive.",
        },
        Setting {
            name: "torn",
            kind: Kind::Ratio,
            default: Some("50%"),
            doc: "The share of the surviving pages of which only some sectors do.",
        },
        Setting {
            name: "directories",
            kind: Kind::Word(&["journal", "strict"]),
            default: Some("journal"),
            doc: "`journal`: any fsync makes all earlier names durable. `strict`: only that of their directory does.",
        },
    ],
    needs,
    build,
};

struct PowerFailure {
    selector: Selector,
    limit: Limit,
    survivals: Vec<Survival>,
}

fn needs(params: &Params) -> Needs {
    let strict = settings::text(params, "directories") == Ok("strict");
    let metadata = if strict { Metadata::Strict } else { Metadata::Journal };
    let disk = Some(FailingDisk { metadata, ..FailingDisk::default() });
    // Its kernel's queues go too, which the switch sees to.
    Needs { disk, bad_lines: true, ..Selector::needs(params) }
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let (keep_ppm, torn_ppm) = (settings::ppm(params, "keep")?, settings::ppm(params, "torn")?);
    let some = Survival::Some { keep_ppm, torn_ppm };
    let survival = |word: &&str| if *word == "some" { some } else { Survival::Nothing };
    let survivals: Vec<Survival> = settings::words(params, "unsynced")?.iter().map(survival).collect();
    if survivals.is_empty() {
        return Err("`unsynced` is empty".to_owned());
    }
    // Consulted before the cluster is made; a wrong one is refused here.
    settings::text(params, "directories")?;
    let selector = Selector::read(params, nodes)?;
    Ok(Box::new(PowerFailure { selector, limit: Limit::read(params)?, survivals }))
}

impl Fault for PowerFailure {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        let survival = self.survivals.choose(rng).copied().unwrap_or(Survival::Nothing);
        let seed = rng.next_u64();
        match take_out(self.selector, self.limit, picture, rng) {
            Ok(nodes) => {
                let edit = DiskEdit::PowerFailure { survival };
                Choice::Target(Target::DiskEdited(DiskEdited { nodes, edit, seed }))
            }
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(async move {
            match target {
                Target::DiskEdited(edited) => kill_and_edit_disks(edited, levers).await,
                _ => Injection::Skipped("the target is not one of a power failure".to_owned()),
            }
        })
    }
}
