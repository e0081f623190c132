//! A counter: `add` an integer, also a negative one, and read the sum. Initially 0.
//!
//! | function | legal | then |
//! |---|---|---|
//! | `add` of `n` | always | the counter is `n` more |
//! | `inc`, `increment`; `dec`, `decrement` | always | it is 1, or `n`, more or less |
//! | `read` -> `v` | while it is `v` | - |
//!
//! All changes are an `add` of [`Op::Other`] once a history is read ([`Op::Add`] is that of a set). A `:fail` had no effect; an add of unknown outcome may count or not.
//! What an add answers means nothing. This is stricter than Jepsen's `checker/counter`, which allows any value between the
//! adds that ended and those that began: here one order must explain all reads.

use super::{Class, Model};
use crate::history::formats::Specification;
use crate::history::{Op, Reply, Value};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter;

/// By how much an operation changes the counter.
pub(crate) fn change(op: &Op) -> Option<i64> {
    match op {
        Op::Other { function, argument: Value::Int(n), .. } if &**function == "add" => Some(*n),
        _ => None,
    }
}

impl Model for Counter {
    /// The sum; wide enough for as many adds as a history can have.
    type State = i128;

    fn initial(&self) -> i128 {
        0
    }

    fn class(&self, op: &Op) -> Option<Class> {
        match op {
            Op::Read { .. } => Some(Class::ReadOnly),
            _ => change(op).map(|_| Class::Total),
        }
    }

    fn step(&self, sum: &i128, op: &Op, reply: Option<&Reply>) -> Option<i128> {
        match (op, reply) {
            (Op::Read { .. }, Some(Reply::Value(Value::Int(seen)))) => {
                (i128::from(*seen) == *sum).then_some(*sum)
            }
            // Nothing is what a counter reads as that nobody ever changed.
            (Op::Read { .. }, Some(Reply::Value(Value::Nil))) => (*sum == 0).then_some(*sum),
            (Op::Read { .. }, None) => Some(*sum),
            (Op::Read { .. }, _) => None,
            _ => change(op).map(|by| sum + i128::from(by)),
        }
    }

    fn specification(&self) -> Option<Specification> {
        Some(Specification::Counter)
    }
}
