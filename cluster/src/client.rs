//! The seam between a recorded call and a store's wire protocol.

use checker::history::{Op, Outcome, ProcessId};

use serde::{Deserialize, Serialize};

use crate::system::{BoxFuture, NodeId};

/// How a call ended, and at whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// What is known of it.
    pub outcome: Outcome,
    /// The node that the last request went to.
    pub node: Option<NodeId>,
}

/// Under which number a write is sent, so that a store can tell a repetition from a new write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The session. Clients number theirs from 1 on; whoever chooses one takes it far from there.
    pub session: u64,
    /// The number in the session: from 1 on, never falling.
    pub sequence: u64,
}

/// One client of a store. It has at most one call open.
///
/// The rule that everything depends on: `Outcome::Failed` only when the call provably had no effect and never will
/// (the connection was refused, the node said that it is not the leader, the compare failed), and `Outcome::Unknown`
/// for every write that timed out, was cut off after it may have been sent, or got a 5xx that does not rule an effect
/// out. Hidden retries and redirects of an HTTP library are off. A client may itself send a call again after an
/// answer that proves that the first attempt had no effect.
pub trait Client: Send + Sync {
    /// Performs one call and says how it ended. Returns within the operation timeout of the client plus a few
    /// milliseconds.
    fn call<'a>(&'a self, process: ProcessId, op: &'a Op) -> BoxFuture<'a, Completion>;

    /// The same under this place, which is how a call is repeated, here or through another client. A store that has no
    /// sessions cannot tell the difference.
    fn call_as<'a>(&'a self, process: ProcessId, op: &'a Op, place: Place) -> BoxFuture<'a, Completion> {
        let _ = place;
        self.call(process, op)
    }

    /// The highest index whose effects an answer has shown, for somebody who goes on through another client; 0 where the
    /// store tells none.
    fn seen(&self) -> u64 {
        0
    }

    /// Goes on for somebody to whom another client has shown the effects up to this index.
    fn has_seen(&self, index: u64) {
        let _ = index;
    }
}
