//! A key that holds a list: append and read of the whole list, beside all that a [`Register`] does. Initially nil,
//! which reads as the empty list too.
//!
//! | function | legal | then |
//! |---|---|---|
//! | `append` of `v` | always | `v` is the last |
//! | `read`, `get` -> `[a b c]` | while these are in it, in this order | - |
//!
//! The models `append` and, with appends, `kv` are this one. An append of unknown outcome may have taken effect.

use super::{Class, Model, Register};
use crate::history::formats::Specification;
use crate::history::{Op, Reply, Value};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct List;

impl Model for List {
    type State = Value;

    fn initial(&self) -> Value {
        Value::Nil
    }

    fn class(&self, op: &Op) -> Option<Class> {
        match op {
            Op::Append { .. } => Some(Class::Total),
            other => Register.class(other),
        }
    }

    fn step(&self, state: &Value, op: &Op, reply: Option<&Reply>) -> Option<Value> {
        match (op, reply) {
            (Op::Append { value, .. }, None | Some(Reply::Done)) => {
                let mut items = match state {
                    Value::Nil => Vec::new(),
                    Value::List(items) => items.clone(),
                    Value::Int(_) | Value::Text(_) => return None,
                };
                items.push(value.clone());
                Some(Value::List(items))
            }
            (Op::Read { .. }, Some(Reply::Value(Value::List(seen)))) if seen.is_empty() => {
                let empty =
                    matches!(state, Value::Nil) || matches!(state, Value::List(items) if items.is_empty());
                empty.then(|| state.clone())
            }
            _ => Register.step(state, op, reply),
        }
    }

    fn specification(&self) -> Option<Specification> {
        Some(Specification::Append)
    }
}
