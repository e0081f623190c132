//! A mutex that only its holder may release: `acquire` and `release`, with the owner as their argument. Initially free.
//!
//! | function | legal | then |
//! |---|---|---|
//! | `acquire` by `p` | while it is free | `p` holds it |
//! | `release` by `p` | while `p` holds it | it is free |
//!
//! It is not reentrant, and no lease runs out: whoever acquires for ever blocks all others for ever. In recorded histories
//! the owner is the process. Answers mean nothing; a `:fail` had no effect and says nothing. An acquire of unknown outcome
//! may be why nobody else gets the lock.
//! Reference: the owner-aware mutex of Jepsen's Hazelcast CP tests.

use super::mutex::Turn;
use super::{Class, Model};
use crate::history::formats::Specification;
use crate::history::{Op, Reply, Value};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnerMutex;

/// Whose operation it is.
pub(crate) fn owner(op: &Op) -> Option<&Value> {
    match op {
        Op::Other { argument, .. } => Some(argument),
        _ => None,
    }
}

impl Model for OwnerMutex {
    /// Who holds it.
    type State = Option<Value>;

    fn initial(&self) -> Option<Value> {
        None
    }

    fn class(&self, op: &Op) -> Option<Class> {
        Turn::of(op).map(|_| Class::Conditional)
    }

    fn step(&self, holder: &Option<Value>, op: &Op, _reply: Option<&Reply>) -> Option<Option<Value>> {
        let owner = owner(op)?;
        match (Turn::of(op)?, holder) {
            (Turn::Acquire, None) => Some(Some(owner.clone())),
            (Turn::Release, Some(holder)) if holder == owner => Some(None),
            _ => None,
        }
    }

    fn part(&self, op: &Op, _reply: Option<&Reply>) -> Option<Value> {
        owner(op).cloned()
    }

    fn specification(&self) -> Option<Specification> {
        Some(Specification::OwnerMutex)
    }
}
