//! What clients did and saw, in the order in which the harness observed it.
//!
//! A [`History`] is a list of [`Event`]s: an invocation for every call, and at most one completion for it. A call
//! whose completion is [`Outcome::Unknown`] or missing may have taken effect at any time after its invocation, also
//! after the end of the history.

mod counts;
mod event;
pub mod formats;
pub mod jsonl;
mod memory;
mod op;
pub mod operations;
mod recording;

pub use counts::{Counts, Tally};
pub use event::{Event, EventBody, History, Outcome, ProcessId};
pub use op::{Key, Op, Reply, Value};
pub use operations::{Malformed, Operation};
pub use recording::{MOST_EVENTS, Recorder, Recording};
