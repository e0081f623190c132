//! What a store is supposed to do, one operation at a time.
//!
//! A [`Model`] is a sequential specification of *one key*: a queue, a lock, one register of many. It is all that
//! [`check`](crate::check) needs; the classes tell the search which shortcuts are sound for an operation. What a history
//! of several keys does is what its keys do, one by one, because linearizability is local (Herlihy & Wing 1990); keys
//! that must be looked at together, such as the accounts of one bank, are one key with a larger state.
//!
//! Deliberately lacking: a model that answers at random, and one that looks at the clock.

mod counter;
mod fenced_lock;
mod fifo_queue;
mod list;
mod multi_register;
mod mutex;
mod owner_mutex;
mod register;
mod set;
mod unordered_queue;

use std::hash::Hash;

pub use counter::Counter;
pub(crate) use counter::change;
pub(crate) use fenced_lock::token;
pub use fenced_lock::{FencedLock, Holding};
pub use fifo_queue::FifoQueue;
pub(crate) use fifo_queue::Passing;
pub use list::List;
pub use multi_register::MultiRegister;
pub(crate) use multi_register::{Step, steps};
pub use mutex::Mutex;
pub(crate) use mutex::Turn;
pub use owner_mutex::OwnerMutex;
pub(crate) use owner_mutex::owner;
pub use register::Register;
pub use set::GrowSet;
pub use unordered_queue::{Batch, UnorderedQueue};

use crate::history::formats::Specification;
use crate::history::{Op, Reply, Value};

/// How an operation depends on the state and changes it.
///
/// A class is a promise. What is said too strongly makes verdicts wrong; what is said too weakly makes them slow, and
/// [`Class::Conditional`] is always true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Never changes the state: if it is legal now, it is placed now. One of unknown outcome is left out.
    ReadOnly,
    /// Always legal, and the state afterwards does not depend on the state before (a write, a delete).
    Blind,
    /// Always legal, and the state afterwards depends on the state before (an append, an add). Made again and again it
    /// may come to ever new states.
    Total,
    /// Legal in some states only (a CAS, a dequeue). Made again and again, with others of this class, it comes to finitely
    /// many states; where that is not so, call it [`Class::Total`], which costs one shortcut and is never wrong.
    Conditional,
}

/// A sequential specification of one key.
pub trait Model: Sync {
    /// What the key holds.
    type State: Clone + Eq + Hash;

    /// Before any operation.
    fn initial(&self) -> Self::State;

    /// How this operation behaves; `None` if the model does not know it.
    fn class(&self, op: &Op) -> Option<Class>;

    /// The state after `op` answered `reply`, or `None` if it cannot answer that in `state`. Without a reply the
    /// question is what an operation of unknown outcome does *if* it takes effect; `None` if it then has none.
    fn step(&self, state: &Self::State, op: &Op, reply: Option<&Reply>) -> Option<Self::State>;

    /// Whether the operation, if it answered this, cannot have changed anything in any state: a CAS that was refused, a
    /// dequeue that found nothing. It is then treated as [`Class::ReadOnly`].
    fn is_read_only(&self, op: &Op, reply: Option<&Reply>) -> bool {
        self.class(op) == Some(Class::ReadOnly) || matches!(reply, Some(Reply::Mismatch(_)))
    }

    /// Which other operations this one stands and falls with. All operations of one part can be left out of any legal
    /// sequence without making it illegal: whatever was enqueued and dequeued of one value, all that one owner did with a
    /// lock. Where there are such parts a counterexample gets small. `None`: it cannot be left out.
    fn part(&self, _op: &Op, _reply: Option<&Reply>) -> Option<Value> {
        None
    }

    /// The specification of this crate that this is another word for, if it is one. Then its exact rules apply, which look
    /// at values and mostly need no search. A promise like the classes; a model of your own hardly ever can give it.
    fn specification(&self) -> Option<Specification> {
        None
    }
}
