//! Pure judgement: histories, models, the linearizability search, trace properties, verdicts.
//!
//! Invariant: nothing in this crate performs IO, reads a clock, or knows an async runtime. A caller hands in a
//! [`history::History`] (and, for the protocol properties, a [`trace::Trace`]) and a budget, and gets a
//! [`verdict::Verdict`]. That is what lets a recorded run be judged again, years later, to the same answer.

pub mod generate;
pub mod history;
pub mod linearizability;
pub mod model;
pub mod params;
pub mod properties;
pub mod trace;
pub mod transactions;
pub mod verdict;
