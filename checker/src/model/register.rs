//! A register with read, write, compare-and-swap and delete: one key of a key-value store. Initially nil.
//!
//! | function | legal | then |
//! |---|---|---|
//! | `read`, `get` -> `v` | while it holds `v`; nil where it is absent | - |
//! | `write`, `put` of `v` | always | it holds `v` |
//! | `cas` of `[u v]` | while it holds `u` | it holds `v` |
//! | `cas` of `[u v]` that was refused | while it does not hold `u` | - |
//! | `delete` | always | it is nil |
//!
//! The models `register`, `cas-register` and, without appends, `kv` are this one. What a failed CAS and a read of nil say
//! is for the reader of a history to decide. A change of unknown outcome may have taken effect.
//! Reference: `knossos.model/cas-register`.

use super::{Class, Model};
use crate::history::formats::Specification;
use crate::history::{Op, Reply, Value};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Register;

impl Model for Register {
    type State = Value;

    fn initial(&self) -> Value {
        Value::Nil
    }

    fn class(&self, op: &Op) -> Option<Class> {
        match op {
            Op::Read { .. } => Some(Class::ReadOnly),
            Op::Write { .. } | Op::Delete { .. } => Some(Class::Blind),
            Op::Cas { .. } => Some(Class::Conditional),
            Op::Append { .. } | Op::Add { .. } | Op::Members { .. } | Op::Other { .. } => None,
        }
    }

    fn step(&self, state: &Value, op: &Op, reply: Option<&Reply>) -> Option<Value> {
        match (op, reply) {
            (Op::Read { .. }, Some(Reply::Value(seen))) => (seen == state).then(|| state.clone()),
            (Op::Read { .. }, None) => Some(state.clone()),
            (Op::Write { value, .. }, None | Some(Reply::Done)) => Some(value.clone()),
            (Op::Delete { .. }, None | Some(Reply::Done)) => Some(Value::Nil),
            (Op::Cas { expected, new, .. }, None | Some(Reply::Done)) => {
                (state == expected).then(|| new.clone())
            }
            // The swap did not happen: the state was another one, and the told one if one was told.
            (Op::Cas { expected, .. }, Some(Reply::Mismatch(told))) => {
                let fits = told.as_ref().is_none_or(|told| told == state);
                (fits && state != expected).then(|| state.clone())
            }
            _ => None,
        }
    }

    fn specification(&self) -> Option<Specification> {
        Some(Specification::Register)
    }
}
