//! Lets the disks of nodes store wrong bits while they run: in a share of the writes, one bit is not as it was written.
//!
//! ```yaml
//! - disk-flip: { target: any, share: 1%, for: 1s..3s }
//! ```
//!
//! Nobody is told. The node reads what it wrote from its memory or from the kernel's cache until it starts again, or until another
//! fault empties that cache, so that the damage is found late: combine it with `kill` or `power-failure`. A store that checks what
//! it reads notices, and a node that refuses to start then is right, and is reported. One that does not check takes the garbage in.
//! The wrong bits stay when the fault ends. `disk-damage` flips bits of what lies on a disk already.
//!
//! The reader sees how many writes were stored with a wrong bit.

use checker::params::{Kind, Params, Setting};

use crate::disk_faults::{Troubling, needs};
use crate::fault::{Fault, FaultKind};
use crate::settings::{self, FOR, LIMIT, TARGET};

pub(crate) const KIND: FaultKind = FaultKind {
    name: "disk-flip",
    summary: "Lets the disks of running nodes store wrong bits.",
    source: include_str!("disk_flip.rs"),
    settings: &[
        TARGET,
        FOR,
        LIMIT,
        Setting {
            name: "share",
            kind: Kind::Ratio,
            default: Some("1%"),
            doc: "The share of writes of which one bit is stored wrong.",
        },
    ],
    needs,
    build,
};

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let flip_ppm = settings::ppm(params, "share")?;
    if flip_ppm == 0 {
        return Err("`share` is 0%, so nothing would be stored wrong".to_owned());
    }
    Troubling::build(params, nodes, cluster::disk::DiskTrouble { flip_ppm, ..Default::default() })
}
