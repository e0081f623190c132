//! A first-in-first-out queue: `enqueue` and `dequeue`. Initially empty.
//!
//! | function | legal | then |
//! |---|---|---|
//! | `enqueue` of `v` | always | `v` is the last |
//! | `dequeue` -> `v` | while `v` is the first | `v` is gone |
//! | `dequeue` -> nil | while it is empty | - |
//!
//! In recorded histories a dequeue that failed with the error `:empty` is one that answered nil; with any other error it
//! had no effect and says nothing. One of unknown outcome may have taken whatever was first. A `drain` that answered a list
//! is as many dequeues at once; one of unknown outcome may be any number of them.
//! Reference: `knossos.model/fifo-queue`.

use std::collections::VecDeque;

use super::{Class, Model};
use crate::history::formats::Specification;
use crate::history::{Op, Reply, Value};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct FifoQueue;

/// What an operation does to a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passing<'o> {
    /// It puts this.
    Enqueue(&'o Value),
    /// It takes this.
    Dequeue(&'o Value),
    /// It finds nothing to take.
    Empty,
    /// It takes, if it takes effect, and nobody knows what.
    Unseen,
}

impl<'o> Passing<'o> {
    /// `None` if it is no operation on a queue, or none that can answer this.
    pub(crate) fn of(op: &'o Op, reply: Option<&'o Reply>) -> Option<Passing<'o>> {
        let Op::Other { function, argument, .. } = op else { return None };
        match (&**function, reply) {
            ("enqueue", None | Some(Reply::Done)) => Some(Passing::Enqueue(argument)),
            ("dequeue", None) => Some(Passing::Unseen),
            ("dequeue", Some(Reply::Value(Value::Nil))) => Some(Passing::Empty),
            ("dequeue", Some(Reply::Value(taken))) => Some(Passing::Dequeue(taken)),
            _ => None,
        }
    }

    /// Its class, whatever it answered.
    pub(crate) fn class(op: &Op) -> Option<Class> {
        let Op::Other { function, .. } = op else { return None };
        match &**function {
            "enqueue" => Some(Class::Total),
            "dequeue" => Some(Class::Conditional),
            _ => None,
        }
    }

    /// The value that it is about.
    pub(crate) fn value(self) -> Option<&'o Value> {
        match self {
            Passing::Enqueue(value) | Passing::Dequeue(value) => Some(value),
            Passing::Empty | Passing::Unseen => None,
        }
    }
}

impl Model for FifoQueue {
    /// What is in it, the first one first.
    type State = VecDeque<Value>;

    fn initial(&self) -> VecDeque<Value> {
        VecDeque::new()
    }

    fn class(&self, op: &Op) -> Option<Class> {
        Passing::class(op)
    }

    fn step(&self, queue: &VecDeque<Value>, op: &Op, reply: Option<&Reply>) -> Option<VecDeque<Value>> {
        let rest = || queue.iter().skip(1).cloned().collect();
        match Passing::of(op, reply)? {
            Passing::Enqueue(value) => {
                let mut next = queue.clone();
                next.push_back(value.clone());
                Some(next)
            }
            Passing::Dequeue(value) => (queue.front() == Some(value)).then(rest),
            Passing::Empty => queue.is_empty().then(|| queue.clone()),
            Passing::Unseen => (!queue.is_empty()).then(rest),
        }
    }

    fn is_read_only(&self, op: &Op, reply: Option<&Reply>) -> bool {
        Passing::of(op, reply) == Some(Passing::Empty)
    }

    fn part(&self, op: &Op, reply: Option<&Reply>) -> Option<Value> {
        Passing::of(op, reply)?.value().cloned()
    }

    fn specification(&self) -> Option<Specification> {
        Some(Specification::FifoQueue)
    }
}
