//! Lets nodes open no further files, sockets or connections while it lasts.
//!
//! ```yaml
//! - descriptors: { target: any, spare: 0, for: 1s..3s }
//! ```
//!
//! It is what a leak of descriptors comes to: `accept`, `open` and `connect` fail with EMFILE, in the middle of whatever the node
//! does. It keeps what it has open, and each of its processes may have `spare` more. A node that does not expect it may spin,
//! hang, or end; one that ends is started again when the fault is over, and that is not held against it.
//!
//! Needs nothing but Linux: the soft limit (`RLIMIT_NOFILE`) of the running processes is lowered, and put back.
//!
//! The reader sees how many descriptors the node has open, and whether it could open any more at the end. Nobody is told how often
//! that was refused.

use checker::params::{Kind, Params, Setting};
use cluster::limits::Limits;

use crate::fault::{Fault, FaultKind};
use crate::limited::Limiting;
use crate::select::Selector;
use crate::settings::{self, FOR, TARGET};

pub(crate) const KIND: FaultKind = FaultKind {
    name: "descriptors",
    summary: "Lets nodes open no further files or connections.",
    source: include_str!("descriptors.rs"),
    settings: &[
        TARGET,
        Setting {
            name: "spare",
            kind: Kind::Count { min: 0, max: 1_000_000 },
            default: Some("0"),
            doc: "How many more descriptors each process may open, beside those that it has.",
        },
        FOR,
    ],
    needs: Selector::needs,
    build,
};

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let spare = u32::try_from(settings::count(params, "spare")?).map_err(|_| "`spare` is too large")?;
    let limits = Limits { descriptors: Some(spare), ..Limits::default() };
    Ok(Box::new(Limiting { selector: Selector::read(params, nodes)?, limits }))
}
