//! Pure judgement: histories, models, the linearizability search, trace properties, verdicts.
//!
//! Invariant: nothing in this crate opens a file or a connection, reads a clock, or knows an async runtime. Text comes in
//! pieces that a caller pushes, or out of a [`std::io::Read`] that a caller opened. A caller hands in a
//! [`history::History`] (and, for the protocol properties, a [`trace::Trace`]) and a budget, and gets a
//! [`verdict::Verdict`]. That is what lets a recorded run be judged again, years later, to the same answer.
//!
//! A model of your own is an initial state and one function; [`check`] judges a history against it:
//!
//! ```
//! use checker::history::{Event, EventBody, History, Key, Op, Outcome, ProcessId, Reply, Value};
//! use checker::model::{Class, Model};
//! use checker::verdict::{Budget, Verdict};
//!
//! /// Remembers the largest value that was ever put.
//! struct Largest;
//!
//! impl Model for Largest {
//!     type State = Value;
//!
//!     fn initial(&self) -> Value {
//!         Value::Nil
//!     }
//!
//!     fn class(&self, op: &Op) -> Option<Class> {
//!         match op {
//!             Op::Read { .. } => Some(Class::ReadOnly),
//!             Op::Write { .. } => Some(Class::Total),
//!             _ => None,
//!         }
//!     }
//!
//!     fn step(&self, largest: &Value, op: &Op, reply: Option<&Reply>) -> Option<Value> {
//!         match (op, reply) {
//!             (Op::Write { value, .. }, _) => Some(value.max(largest).clone()),
//!             (Op::Read { .. }, Some(Reply::Value(seen))) => (seen == largest).then(|| seen.clone()),
//!             _ => None,
//!         }
//!     }
//! }
//!
//! let call = |process, op, reply| {
//!     [EventBody::Invoke(op), EventBody::Complete(Outcome::Ok(reply))]
//!         .map(|body| Event { time: 0, process: ProcessId(process), node: None, body })
//! };
//! let write = |value| Op::Write { key: Key::new("x"), value: Value::Int(value) };
//! let read = || Op::Read { key: Key::new("x") };
//! let judge = |seen| {
//!     let calls = [call(0, write(5), Reply::Done), call(1, write(3), Reply::Done)];
//!     let events = calls.into_iter().chain([call(0, read(), Reply::Value(Value::Int(seen)))]).flatten();
//!     let budget = Budget { expired: &|| false, memory_bytes: 1 << 20 };
//!     checker::check(&History { events: events.collect() }, &Largest, &budget)
//! };
//! assert!(matches!(judge(5), Verdict::Holds(_)));
//! assert!(matches!(judge(3), Verdict::Violated(_)));
//! ```

pub mod fuzz;
pub mod generate;
pub mod history;
pub mod linearizability;
pub mod model;
pub mod params;
pub mod properties;
pub mod trace;
pub mod transactions;
pub mod verdict;

pub use linearizability::check_against as check;
