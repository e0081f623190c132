//! The simulated store: what a call does and answers at the instant at which it takes effect.

use std::collections::{BTreeSet, VecDeque};

use crate::history::formats::Specification;
use crate::history::{Key, Op, Reply, Value};

/// The value that a call puts if it takes effect.
pub(super) fn puts(op: &Op) -> Option<&Value> {
    match op {
        Op::Write { value, .. } | Op::Append { value, .. } | Op::Add { value, .. } => Some(value),
        Op::Cas { new, .. } => Some(new),
        Op::Read { .. } | Op::Members { .. } | Op::Delete { .. } | Op::Other { .. } => None,
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
    Sum(i64),
    Queue(VecDeque<Value>),
    /// Whose it is, and the last token, if it has any.
    Lock(Option<Value>, Option<i64>),
    Pair(Value, Value),
}

/// A transaction on two registers that reads both, or writes these values.
pub(super) fn pair_of(reads: bool, x: &Value, y: &Value) -> Value {
    let step = |register: &str, value: &Value| {
        let word = if reads { "r" } else { "w" };
        let value = if reads { Value::Nil } else { value.clone() };
        Value::List(vec![Value::Text(word.into()), Value::Text(register.into()), value])
    };
    Value::List(vec![step("x", x), step("y", y)])
}

/// What a read of two registers answers.
pub(super) fn pair_seen(x: &Value, y: &Value) -> Value {
    let step = |register: &str, value: &Value| {
        Value::List(vec![Value::Text("r".into()), Value::Text(register.into()), value.clone()])
    };
    Value::List(vec![step("x", x), step("y", y)])
}

impl Store {
    pub(super) fn new(model: Specification, keys: u32) -> Self {
        let cell = || match model {
            Specification::Register | Specification::CasRegister | Specification::Kv => {
                Cell::Scalar(Value::Nil)
            }
            Specification::Append => Cell::List(Vec::new()),
            Specification::Set => Cell::Set(BTreeSet::new()),
            Specification::Counter => Cell::Sum(0),
            Specification::FifoQueue | Specification::UnorderedQueue => Cell::Queue(VecDeque::new()),
            Specification::Mutex | Specification::OwnerMutex => Cell::Lock(None, None),
            Specification::FencedLock => Cell::Lock(None, Some(0)),
            Specification::MultiRegister => Cell::Pair(Value::Nil, Value::Nil),
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
            Cell::Sum(sum) => Value::Int(*sum),
            Cell::Queue(items) => items.front().cloned().unwrap_or_default(),
            Cell::Lock(_, last) => last.map_or(Value::Nil, Value::Int),
            Cell::Pair(x, y) => pair_seen(x, y),
        }
    }

    /// Whether a lock is held.
    pub(super) fn is_held(&mut self, key: &Key) -> bool {
        matches!(self.cell(key), Cell::Lock(Some(_), _))
    }

    /// Takes this element out of a queue, wherever it is.
    pub(super) fn take(&mut self, key: &Key, element: &Value) {
        if let Cell::Queue(items) = self.cell(key) {
            items.retain(|item| item != element);
        }
    }

    fn other(&mut self, key: &Key, function: &str, argument: &Value) -> Reply {
        match (function, argument, self.cell(key)) {
            ("add", Value::Int(by), Cell::Sum(sum)) => *sum += by,
            ("enqueue", item, Cell::Queue(items)) => items.push_back(item.clone()),
            ("dequeue", _, Cell::Queue(items)) => {
                return Reply::Value(items.pop_front().unwrap_or_default());
            }
            ("acquire", owner, Cell::Lock(holder @ None, last)) => {
                *holder = Some(owner.clone());
                if let Some(last) = last {
                    *last += 1;
                    return Reply::Value(Value::Int(*last));
                }
            }
            ("release", owner, Cell::Lock(holder, _)) if holder.as_ref() == Some(owner) => *holder = None,
            ("txn", steps, Cell::Pair(x, y)) => {
                if steps == &pair_of(true, &Value::Nil, &Value::Nil) {
                    return Reply::Value(pair_seen(x, y));
                }
                if let Value::List(steps) = steps {
                    let value = |at: usize| match &steps[at] {
                        Value::List(parts) => parts[2].clone(),
                        _ => Value::Nil,
                    };
                    (*x, *y) = (value(0), value(1));
                }
            }
            _ => return Reply::Mismatch(None),
        }
        Reply::Done
    }

    pub(super) fn apply(&mut self, op: &Op) -> Reply {
        if let Op::Other { key, function, argument } = op {
            return self.other(key, function, argument);
        }
        match (op, self.cell(op.key())) {
            (Op::Write { value, .. }, Cell::Scalar(held)) => *held = value.clone(),
            (Op::Delete { .. }, Cell::Scalar(held)) => *held = Value::Nil,
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
