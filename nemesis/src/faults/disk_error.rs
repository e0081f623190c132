//! Lets the disks of nodes fail: syncs, writes or reads end with EIO; once, always, or in a share of the cases.
//!
//! ```yaml
//! - disk-error: { target: leader, on: sync, errors: 1, for: 1s..3s }
//! ```
//!
//! What a failed sync should have made durable is not durable, and no later sync makes it so: the kernel counts those pages
//! as written, as ext4 and XFS have done since 2018. A node that tries again and goes on has lost them, which only a power
//! failure shows. **A node that stops is right**: the exit is not counted against it, and the node is started again, on a
//! sound disk, when the fault ends.
//!
//! Reads that the kernel answers from its cache do not reach the disk. The caches are emptied when the fault begins.
//!
//! The reader sees how many syncs, writes and reads were really answered with an error.

use checker::params::{Kind, Params, Setting};
use cluster::disk::DiskTrouble;

use crate::disk_faults::{Troubling, needs};
use crate::fault::{Fault, FaultKind};
use crate::settings::{self, FOR, LIMIT, TARGET};

pub(crate) const KIND: FaultKind = FaultKind {
    name: "disk-error",
    summary: "Lets syncs, writes or reads of nodes fail with EIO.",
    source: include_str!("disk_error.rs"),
    settings: &[
        TARGET,
        FOR,
        LIMIT,
        Setting {
            name: "on",
            kind: Kind::List(&Kind::Word(&["sync", "write", "read"])),
            default: Some("sync"),
            doc: "What fails; all of a list.",
        },
        Setting {
            name: "share",
            kind: Kind::Ratio,
            default: Some("100%"),
            doc: "The share of these requests that fail.",
        },
        Setting {
            name: "errors",
            kind: Kind::Count { min: 0, max: 1_000_000 },
            default: Some("0"),
            doc: "After so many errors on a node there are no more; 0: any number.",
        },
    ],
    needs,
    build,
};

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let ppm = settings::ppm(params, "share")?;
    let on = settings::words(params, "on")?;
    if on.is_empty() || ppm == 0 {
        return Err("nothing would fail".to_owned());
    }
    let share = |word: &str| if on.contains(&word) { ppm } else { 0 };
    let trouble = DiskTrouble {
        sync_error_ppm: share("sync"),
        write_error_ppm: share("write"),
        read_error_ppm: share("read"),
        errors_max: settings::count(params, "errors")? as u32,
        ..DiskTrouble::default()
    };
    Troubling::build(params, nodes, trouble)
}
