//! A grow-only set: add one element, read all members. Initially empty; the order of members means nothing.
//!
//! | function | legal | then |
//! |---|---|---|
//! | `add` of `v` | always | `v` is a member |
//! | `read`, `members` -> `#{a b}` | while these are the members | - |
//!
//! An add of unknown outcome may have taken effect. This is stricter than Jepsen's `checker/set`, which looks at the last
//! read only. Reference: `knossos.model/set`.

use std::collections::BTreeSet;

use super::{Class, Model};
use crate::history::formats::Specification;
use crate::history::{Op, Reply, Value};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrowSet;

impl Model for GrowSet {
    type State = BTreeSet<Value>;

    fn initial(&self) -> BTreeSet<Value> {
        BTreeSet::new()
    }

    fn class(&self, op: &Op) -> Option<Class> {
        match op {
            Op::Members { .. } => Some(Class::ReadOnly),
            Op::Add { .. } => Some(Class::Total),
            _ => None,
        }
    }

    fn step(&self, state: &BTreeSet<Value>, op: &Op, reply: Option<&Reply>) -> Option<BTreeSet<Value>> {
        match (op, reply) {
            (Op::Add { value, .. }, None | Some(Reply::Done)) => {
                let mut next = state.clone();
                next.insert(value.clone());
                Some(next)
            }
            (Op::Members { .. }, Some(Reply::Value(Value::List(seen)))) => {
                // A member that is listed twice is no set.
                let same = seen.len() == state.len()
                    && seen.iter().collect::<BTreeSet<_>>() == state.iter().collect();
                same.then(|| state.clone())
            }
            (Op::Members { .. }, Some(Reply::Value(Value::Nil))) => state.is_empty().then(|| state.clone()),
            (Op::Members { .. }, None) => Some(state.clone()),
            _ => None,
        }
    }

    fn specification(&self) -> Option<Specification> {
        Some(Specification::Set)
    }
}
