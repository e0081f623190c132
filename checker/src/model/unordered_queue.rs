//! A queue without an order: `enqueue` and `dequeue` of anything that is in it, as a message broker without ordering
//! promises. Initially empty. A value that was put twice can be taken twice.
//!
//! | function | legal | then |
//! |---|---|---|
//! | `enqueue` of `v` | always | there is one `v` more |
//! | `dequeue` -> `v` | while there is a `v` | there is one `v` less |
//! | `dequeue` -> nil | while it is empty | - |
//!
//! Failed, unknown and drained as for [`super::FifoQueue`]. One of unknown outcome may have taken anything. That every
//! acknowledged element is taken in the end is no question of linearizability: end a test with a `drain` or with dequeues
//! until nil. Reference: `knossos.model/unordered-queue`, Jepsen's `checker/total-queue`.

use std::collections::BTreeMap;

use super::fifo_queue::Passing;
use super::{Class, Model};
use crate::history::formats::Specification;
use crate::history::{Op, Reply, Value};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnorderedQueue;

/// Elements that were put with no unknown dequeue between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Batch {
    /// How many there are of each value.
    values: BTreeMap<Value, u32>,
    /// How many unknown dequeues came just after; each took an element of this batch or of an earlier one.
    unseen: u32,
}

impl Batch {
    /// The values in it.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Value> {
        self.values.keys()
    }
}

impl Model for UnorderedQueue {
    /// What an unknown dequeue took is left open until it matters: batches, the oldest first.
    ///
    /// The unknown dequeues can be told apart from what is left exactly if no batch and those before it hold fewer
    /// elements than unknown dequeues (Hall). Where they hold just as many, all of them are gone.
    type State = Vec<Batch>;

    fn initial(&self) -> Vec<Batch> {
        Vec::new()
    }

    fn class(&self, op: &Op) -> Option<Class> {
        Passing::class(op)
    }

    fn step(&self, state: &Vec<Batch>, op: &Op, reply: Option<&Reply>) -> Option<Vec<Batch>> {
        let mut next = state.clone();
        match Passing::of(op, reply)? {
            Passing::Enqueue(value) => {
                if next.last().is_none_or(|batch| batch.unseen > 0) {
                    next.push(Batch::default());
                }
                *next.last_mut()?.values.entry(value.clone()).or_default() += 1;
            }
            Passing::Dequeue(value) => {
                // Of equal ones the youngest, because an unknown dequeue can do with that least.
                let batch = next.iter_mut().rev().find(|batch| batch.values.contains_key(value))?;
                let count = batch.values.get_mut(value)?;
                *count -= 1;
                if *count == 0 {
                    batch.values.remove(value);
                }
            }
            Passing::Empty => return next.is_empty().then_some(next),
            Passing::Unseen => next.last_mut()?.unseen += 1,
        }
        settle(next)
    }

    fn is_read_only(&self, op: &Op, reply: Option<&Reply>) -> bool {
        Passing::of(op, reply) == Some(Passing::Empty)
    }

    fn part(&self, op: &Op, reply: Option<&Reply>) -> Option<Value> {
        Passing::of(op, reply)?.value().cloned()
    }

    fn specification(&self) -> Option<Specification> {
        Some(Specification::UnorderedQueue)
    }
}

/// Leaves out what is gone for certain; `None` if the unknown dequeues took more than there was.
fn settle(mut batches: Vec<Batch>) -> Option<Vec<Batch>> {
    let (mut held, mut unseen, mut gone) = (0, 0, 0);
    for (at, batch) in batches.iter().enumerate() {
        held += batch.values.values().sum::<u32>();
        unseen += batch.unseen;
        if held < unseen {
            return None;
        }
        if held == unseen {
            gone = at + 1;
        }
    }
    batches.drain(..gone);
    Some(batches)
}
