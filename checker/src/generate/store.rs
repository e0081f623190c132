//! The simulated store: what a call does and answers at the instant at which it takes effect.

use std::collections::BTreeSet;

use super::Model;
use crate::history::{Key, Op, Reply, Value};

/// The value that a call puts if it takes effect.
pub(super) fn puts(op: &Op) -> Option<&Value> {
    match op {
        Op::Write { value, .. } | Op::Append { value, .. } | Op::Add { value, .. } => Some(value),
        Op::Cas { new, .. } => Some(new),
        Op::Read { .. } | Op::Members { .. } | Op::Delete { .. } => None,
    }
}

/// See the module.
pub(super) struct Store {
    cells: Vec<Cell>,
}

enum Cell {
    Scalar(Value),
    List(Vec<Value>),
    Set(BTreeSet<Value>),
}

impl Store {
    pub(super) fn new(model: Model, keys: u32) -> Self {
        let cell = || match model {
            Model::Register | Model::CasRegister => Cell::Scalar(Value::Nil),
            Model::Append => Cell::List(Vec::new()),
            Model::Set => Cell::Set(BTreeSet::new()),
        };
        Store { cells: (0..keys).map(|_| cell()).collect() }
    }

    fn cell(&mut self, key: &Key) -> &mut Cell {
        // The simulation names its keys by their numbers.
        let at: usize = key.0.parse().unwrap_or(0);
        &mut self.cells[at]
    }

    /// What a read would see.
    pub(super) fn peek(&mut self, key: &Key) -> Value {
        match self.cell(key) {
            Cell::Scalar(value) => value.clone(),
            Cell::List(items) => Value::List(items.clone()),
            Cell::Set(members) => Value::List(members.iter().cloned().collect()),
        }
    }

    pub(super) fn apply(&mut self, op: &Op) -> Reply {
        match (op, self.cell(op.key())) {
            (Op::Write { value, .. }, Cell::Scalar(held)) => *held = value.clone(),
            (Op::Cas { expected, new, .. }, Cell::Scalar(held)) => {
                if held != expected {
                    return Reply::Mismatch(None);
                }
                *held = new.clone();
            }
            (Op::Append { value, .. }, Cell::List(items)) => items.push(value.clone()),
            (Op::Add { value, .. }, Cell::Set(members)) => drop(members.insert(value.clone())),
            _ => return Reply::Value(self.peek(op.key())),
        }
        Reply::Done
    }
}
