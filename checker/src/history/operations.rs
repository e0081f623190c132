//! Calls and their completions, paired into operations.
//!
//! Invariant: the operations stand in the order of their invocations. A history that breaks the rules of a recording
//! (a completion that nobody asked for, two open calls of one process, time that goes backward) is refused with the
//! event at which it does, because any verdict on it would be about the recorder.

use std::fmt;

use rustc_hash::FxHashMap;

use super::{EventBody, History, Op, Outcome, ProcessId, Reply};

/// One point of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The position of the event.
    pub index: usize,
    /// Its time, in nanoseconds since the start of the run.
    pub time: u64,
}

/// A call with what is known of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation<'h> {
    /// Who made it.
    pub process: ProcessId,
    /// The node that it went to, or that answered it.
    pub node: Option<&'h str>,
    /// What was asked.
    pub op: &'h Op,
    /// How it ended; `None` if the history ends first, which means the same as [`Outcome::Unknown`].
    pub outcome: Option<&'h Outcome>,
    /// When it was invoked.
    pub invoked: Point,
    /// When it ended, also if it ended unknown.
    pub completed: Option<Point>,
}

impl<'h> Operation<'h> {
    /// The reply, if it took effect for certain.
    pub fn reply(&self) -> Option<&'h Reply> {
        match self.outcome {
            Some(Outcome::Ok(reply)) => Some(reply),
            _ => None,
        }
    }

    /// Whether it provably had no effect.
    pub fn failed(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Failed(_)))
    }

    /// The event at which it was known to have taken effect; `None` for an unknown or failed one.
    pub fn acknowledged(&self) -> Option<Point> {
        self.reply().and(self.completed)
    }
}

/// A history that no recorder can have seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The position of the event.
    pub index: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The process had no open call.
    CompletionWithoutInvocation(ProcessId),
    /// The process still has the call open that it made at this event.
    AlreadyOpen(ProcessId, usize),
    /// The event is older than the one before it.
    TimeBackward(u64, u64),
    /// There are more events than positions.
    TooMany,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::CompletionWithoutInvocation(p) => {
                write!(f, "process {} completes a call that it never invoked", p.0)
            }
            Problem::AlreadyOpen(p, since) => {
                write!(f, "process {} invokes a call while its call of event {since} is still open", p.0)
            }
            Problem::TimeBackward(now, before) => {
                write!(f, "time goes backward, from {before} to {now} ns")
            }
            Problem::TooMany => write!(f, "this is more than {} events", super::MOST_EVENTS),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {}: {}", self.index, self.problem)
    }
}

impl std::error::Error for Malformed {}

impl History {
    /// The operations, in the order of their invocations.
    pub fn operations(&self) -> Result<Vec<Operation<'_>>, Malformed> {
        let mut operations: Vec<Operation<'_>> = Vec::with_capacity(self.events.len() / 2 + 1);
        let mut open: FxHashMap<ProcessId, usize> = FxHashMap::default();
        let mut latest = 0;
        for (index, event) in self.events.iter().enumerate() {
            let refuse = |problem| Err(Malformed { index, problem });
            if event.time < latest {
                return refuse(Problem::TimeBackward(event.time, latest));
            }
            latest = event.time;
            let point = Point { index, time: event.time };
            match &event.body {
                EventBody::Invoke(op) => {
                    if let Some(at) = open.insert(event.process, operations.len()) {
                        return refuse(Problem::AlreadyOpen(event.process, operations[at].invoked.index));
                    }
                    operations.push(Operation {
                        process: event.process,
                        node: event.node.as_deref(),
                        op,
                        outcome: None,
                        invoked: point,
                        completed: None,
                    });
                }
                EventBody::Complete(outcome) => {
                    let Some(at) = open.remove(&event.process) else {
                        return refuse(Problem::CompletionWithoutInvocation(event.process));
                    };
                    let operation = &mut operations[at];
                    operation.outcome = Some(outcome);
                    operation.completed = Some(point);
                    operation.node = event.node.as_deref().or(operation.node);
                }
            }
        }
        Ok(operations)
    }
}
