//! Faults: planning, choosing, installing and undoing them.
//!
//! A suite's `faults:` become a list of [`schedule::Planned`] faults, drawn up front. When one is due, its
//! [`fault::Fault`] chooses a [`target::Target`] from a [`picture::Picture`] of the cluster, the [`nemesis::Nemesis`]
//! writes it to the ledger and only then installs it, and later undoes it from the ledger's line alone.
//!
//! Invariants: nothing is done to a cluster that the ledger does not already hold; whatever was done can be undone from
//! the serialized target without the fault that did it; choosing is pure. This crate never sees a client or a history,
//! and knows a cluster only as [`cluster::levers::Levers`].
//!
//! Adding a fault: one file in `faults/` and one line in [`faults::registry`].

pub mod armed;
pub mod baseline;
pub mod claims;
pub mod damage;
pub mod fault;
pub mod faults;
pub mod gated;
pub mod ledger;
pub mod limited;
pub mod members;
pub mod nemesis;
pub mod picture;
pub mod restarts;
pub mod schedule;
pub mod select;
pub mod settings;
pub mod shape;
pub mod stream;
pub mod target;
pub mod twins;

mod clocks;
mod disk_faults;
mod lines;
mod moves;
