//! A lock that hands out fencing tokens: every acquire answers a number larger than all before it, so that a storage
//! that remembers the largest can refuse a holder who was paused for too long. Initially free, the last token below all.
//!
//! | function | legal | then |
//! |---|---|---|
//! | `acquire` by `p` -> `t` | while it is free, and `t` is larger than every token before | `p` holds it, `t` is the last token |
//! | `release` by `p` | while `p` holds it | it is free |
//!
//! The owner is the argument, in recorded histories the process; the token is the answer, an integer or the `:fence` of a
//! map. An acquire of unknown outcome, or one that tells no token, takes the lock and leaves the last token as it was:
//! tokens need not be consecutive. A `:fail` had no effect and says nothing. It is not reentrant.
//! Reference: the fenced mutex of Jepsen's Hazelcast CP tests; Kleppmann, *How to do distributed locking*, 2016.

use super::mutex::Turn;
use super::owner_mutex::owner;
use super::{Class, Model};
use crate::history::formats::Specification;
use crate::history::{Op, Reply, Value};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct FencedLock;

/// Who holds the lock, and what was handed out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Holding {
    /// Who holds it.
    pub holder: Option<Value>,
    /// The largest token so far.
    pub last: Option<i64>,
}

/// The token that an acquire answered.
pub(crate) fn token(reply: Option<&Reply>) -> Option<i64> {
    match reply {
        Some(Reply::Value(Value::Int(token))) => Some(*token),
        _ => None,
    }
}

impl Model for FencedLock {
    type State = Holding;

    fn initial(&self) -> Holding {
        Holding::default()
    }

    fn class(&self, op: &Op) -> Option<Class> {
        Turn::of(op).map(|_| Class::Conditional)
    }

    fn step(&self, state: &Holding, op: &Op, reply: Option<&Reply>) -> Option<Holding> {
        let owner = owner(op)?;
        match (Turn::of(op)?, &state.holder) {
            (Turn::Acquire, None) => {
                let token = token(reply);
                let larger = token.is_none() || state.last < token;
                larger.then(|| Holding { holder: Some(owner.clone()), last: token.or(state.last) })
            }
            (Turn::Release, Some(holder)) if holder == owner => {
                Some(Holding { holder: None, ..state.clone() })
            }
            _ => None,
        }
    }

    fn part(&self, op: &Op, _reply: Option<&Reply>) -> Option<Value> {
        owner(op).cloned()
    }

    fn specification(&self) -> Option<Specification> {
        Some(Specification::FencedLock)
    }
}
