//! What a store is supposed to do, one operation at a time.
//!
//! A [`Model`] is a sequential specification of *one key*. It is all that the search needs; the classes tell the
//! search which shortcuts are sound for an operation.

mod list;
mod register;
mod set;

use std::hash::Hash;

pub use list::List;
pub use register::Register;
pub use set::GrowSet;

use crate::history::{Op, Reply};

/// How an operation depends on the state and changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Never changes the state: if it is legal now, it may be placed now.
    ReadOnly,
    /// Always legal, and the state afterwards does not depend on the state before (a write, a delete).
    Blind,
    /// Always legal, and the state afterwards depends on the state before (an append, an add).
    Total,
    /// Legal in some states only (a CAS).
    Conditional,
}

/// A sequential specification of one key.
pub trait Model: Sync {
    /// What the key holds.
    type State: Clone + Eq + Hash;

    /// Before any operation.
    fn initial(&self) -> Self::State;

    /// How this operation behaves; `None` if the model does not know it.
    fn class(&self, op: &Op) -> Option<Class>;

    /// The state after `op` answered `reply`, or `None` if it cannot answer that in `state`. Without a reply the
    /// question is what an operation of unknown outcome does *if* it takes effect; `None` if it then has none.
    fn step(&self, state: &Self::State, op: &Op, reply: Option<&Reply>) -> Option<Self::State>;
}
