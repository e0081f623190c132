//! One line of a history, and the history itself.

use super::{Op, Reply};

/// The logical process that made a call: it has at most one call open, and after an unknown outcome it is never used
/// again (its client goes on under a new id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessId(pub u64);

/// What is known of a call after it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It took effect, between invocation and completion, and this is what it answered.
    Ok(Reply),
    /// It provably had no effect; why that is provable ("connection refused", "not the leader").
    Failed(String),
    /// It may have taken effect, or may yet: a timeout, a cut connection, a 5xx.
    Unknown(String),
}

/// What happened at one point of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventBody {
    /// A process is about to send this call.
    Invoke(Op),
    /// The process's open call ended.
    Complete(Outcome),
}

/// One entry of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds since the start of the run, of a monotonic clock. Never decreases along a history.
    pub time: u64,
    /// Who.
    pub process: ProcessId,
    /// The node that the call went to, where one is known.
    pub node: Option<String>,
    /// What.
    pub body: EventBody,
}

/// A sequence of events in the order in which they were observed. The position of an event is its index, and the
/// order of positions is what "before" means to every property: it is never weaker than the order of times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The events, oldest first.
    pub events: Vec<Event>,
}
