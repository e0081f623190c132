//! How much memory the parts of a history hold.
//!
//! Invariant: about right and never more than held: text and lists are counted as long as they are, without what an
//! allocator or a half-filled table adds. The text of a key is shared and not counted.

use super::{Op, Outcome, Reply, Value};

impl Value {
    /// What it holds beside itself, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Value::Nil | Value::Int(_) => 0,
            Value::Text(text) => text.len(),
            Value::List(items) => {
                size_of_val::<[Value]>(items) + items.iter().map(Value::heap_bytes).sum::<usize>()
            }
        }
    }
}

impl Op {
    /// What it holds beside itself and its key, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Op::Read { .. } | Op::Delete { .. } | Op::Members { .. } => 0,
            Op::Write { value, .. } | Op::Append { value, .. } | Op::Add { value, .. } => value.heap_bytes(),
            Op::Cas { expected, new, .. } => expected.heap_bytes() + new.heap_bytes(),
            Op::Other { argument, .. } => argument.heap_bytes(),
        }
    }
}

impl Outcome {
    /// What it holds beside itself, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Outcome::Ok(Reply::Value(value) | Reply::Mismatch(Some(value))) => value.heap_bytes(),
            Outcome::Ok(Reply::Done | Reply::Mismatch(None)) => 0,
            Outcome::Failed(why) | Outcome::Unknown(why) => why.len(),
        }
    }
}
