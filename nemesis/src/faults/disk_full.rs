//! Fills the disks of nodes, or makes them read-only.
//!
//! ```yaml
//! - disk-full: { target: any, as: [full, read-only], for: 1s..3s }
//! ```
//!
//! A full disk refuses what would need a new page (ENOSPC); what is there can be read, overwritten, synced and removed. A
//! disk that is read-only refuses every change (EROFS); that is what a kernel makes of a disk whose journal fails. When the
//! fault ends there is room again. A node that stops is right, and is started again.
//!
//! The reader sees how many requests were really refused.

use checker::params::{Kind, Params, Setting};
use cluster::disk::DiskTrouble;

use crate::disk_faults::{Troubling, needs};
use crate::fault::{Fault, FaultKind};
use crate::settings::{self, FOR, LIMIT, TARGET};

pub(crate) const KIND: FaultKind = FaultKind {
    name: "disk-full",
    summary: "Fills the disks of nodes (ENOSPC), or makes them read-only (EROFS).",
    source: include_str!("disk_full.rs"),
    settings: &[
        TARGET,
        FOR,
        LIMIT,
        Setting {
            name: "as",
            kind: Kind::List(&Kind::Word(&["full", "read-only"])),
            default: Some("full"),
            doc: "What the disk is; each injection draws one of the list.",
        },
    ],
    needs,
    build,
};

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let trouble = |word: &str| match word {
        "full" => DiskTrouble { full: true, ..DiskTrouble::default() },
        _ => DiskTrouble { read_only: true, ..DiskTrouble::default() },
    };
    Troubling::build_any(params, nodes, settings::words(params, "as")?.into_iter().map(trouble).collect())
}
