//! A client of the simulated store: at most one open call, and what it saw last.

use crate::history::{Key, Op, ProcessId, Reply, Value};

/// A call that was invoked.
pub(super) struct Open {
    pub(super) op: Op,
    /// What it answered, once it took effect.
    pub(super) reply: Option<Reply>,
    /// Whether its outcome will be unknown.
    pub(super) doomed: bool,
}

/// See the module.
pub(super) struct Client {
    pub(super) process: ProcessId,
    pub(super) open: Option<Open>,
    /// The value that it saw last, and where.
    pub(super) seen: Option<(Key, Value)>,
    /// The lock that it holds.
    pub(super) holds: Option<Key>,
}

impl Client {
    pub(super) fn new(process: ProcessId) -> Self {
        Client { process, open: None, seen: None, holds: None }
    }

    pub(super) fn invoke(&mut self, op: Op) {
        self.open = Some(Open { op, reply: None, doomed: false });
    }

    /// Remembers what its open call answered, where a CAS could use it.
    pub(super) fn saw(&mut self, reply: &Reply) {
        if let (Some(open), Reply::Value(value @ (Value::Int(_) | Value::Nil))) = (&self.open, reply) {
            self.seen = Some((open.op.key().clone(), value.clone()));
        }
    }
}
