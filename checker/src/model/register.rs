//! A register with read, write, compare-and-swap and delete: one key of a key-value store. Initially nil.

use super::{Class, Model};
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
            Op::Append { .. } | Op::Add { .. } | Op::Members { .. } => None,
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
}
