//! Makes the disks of nodes slow: syncs or reads take longer, or syncs do not come back at all until the fault ends.
//!
//! ```yaml
//! - disk-slow: { target: leader, sync: 20ms, for: 1s..4s }
//! ```
//!
//! With `hold: syncs` a sync that begins during the fault ends with it. What it was asked to save is not durable meanwhile:
//! a power failure of the node would lose it, and an honest node has not acknowledged it. A thread that waits cannot be
//! killed by a signal alone; `raftcheck` lets it go first. Writes to the same file wait behind its sync, as the kernel
//! locks the file.
//!
//! The reader sees how many syncs and reads had to wait, and how many waited until the end.

use checker::params::{Kind, Params, Setting};
use cluster::disk::{DiskTrouble, Wait};

use crate::disk_faults::{Troubling, needs};
use crate::fault::{Fault, FaultKind};
use crate::settings::{self, FOR, LIMIT, TARGET};

pub(crate) const KIND: FaultKind = FaultKind {
    name: "disk-slow",
    summary: "Makes the syncs and reads of nodes slow, or holds their syncs.",
    source: include_str!("disk_slow.rs"),
    settings: &[
        TARGET,
        FOR,
        LIMIT,
        Setting {
            name: "sync",
            kind: Kind::Duration,
            default: Some("20ms"),
            doc: "How much longer a sync takes, at most 1m.",
        },
        Setting {
            name: "read",
            kind: Kind::Duration,
            default: Some("0ms"),
            doc: "How much longer a read takes that the kernel has not cached, at most 1m.",
        },
        Setting {
            name: "hold",
            kind: Kind::Word(&["nothing", "syncs"]),
            default: Some("nothing"),
            doc: "`syncs`: those of nodes end when the fault does, whatever `sync` says.",
        },
    ],
    needs,
    build,
};

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let wait = |name: &str| -> Result<Wait, String> {
        let us = settings::duration(params, name)?.as_micros();
        match us {
            0 => Ok(Wait::None),
            us if us <= 60_000_000 => Ok(Wait::For(us as u32)),
            _ => Err(format!("`{name}` is longer than 1m")),
        }
    };
    let holds = settings::text(params, "hold")? == "syncs";
    let late = wait("sync")?;
    let sync_wait = if holds { Wait::Held } else { late };
    let trouble = DiskTrouble { sync_wait, read_wait: wait("read")?, ..DiskTrouble::default() };
    if trouble == DiskTrouble::default() {
        return Err("neither `sync` nor `read` is longer than 0, and nothing is held: nothing would be slow"
            .to_owned());
    }
    Troubling::build(params, nodes, trouble)
}
