//! The names of what can go wrong, and one occurrence of it.

use std::fmt;

/// What went wrong. The order is that in which they are told: what needs fewer assumptions comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Anomaly {
    /// A read shows an element that nobody appended.
    GarbageRead,
    /// A read shows an element twice.
    DuplicateElements,
    /// Two reads of a list, neither of which begins with the other.
    IncompatibleOrder,
    /// A transaction's read contradicts what it read or appended before.
    Internal,
    /// A committed transaction read what an aborted one appended.
    G1a,
    /// A transaction read a list between two appends of another transaction.
    G1b,
    /// A cycle of appends.
    G0(Time),
    /// A cycle of appends and reads of them.
    G1c(Time),
    /// Two transactions read the same list and both appended to it.
    LostUpdate,
    /// A cycle with one read of a list before an append to it.
    GSingle(Time),
    /// A cycle with several such reads, no two of them in a row.
    GNonadjacent(Time),
    /// A cycle with such reads.
    G2(Time),
}

/// Which orders beside the dependencies a cycle needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Time {
    /// None.
    Unused,
    /// That of one process.
    Process,
    /// That of the clock: one transaction completed before another was invoked.
    Real,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, time) = match *self {
            Anomaly::GarbageRead => ("garbage-read", Time::Unused),
            Anomaly::DuplicateElements => ("duplicate-elements", Time::Unused),
            Anomaly::IncompatibleOrder => ("incompatible-order", Time::Unused),
            Anomaly::Internal => ("internal", Time::Unused),
            Anomaly::G1a => ("G1a", Time::Unused),
            Anomaly::G1b => ("G1b", Time::Unused),
            Anomaly::LostUpdate => ("lost-update", Time::Unused),
            Anomaly::G0(time) => ("G0", time),
            Anomaly::G1c(time) => ("G1c", time),
            Anomaly::GSingle(time) => ("G-single", time),
            Anomaly::GNonadjacent(time) => ("G-nonadjacent", time),
            Anomaly::G2(time) => ("G2", time),
        };
        f.write_str(name)?;
        f.write_str(match time {
            Time::Unused => "",
            Time::Process => "-process",
            Time::Real => "-realtime",
        })
    }
}

/// An occurrence of an anomaly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) anomaly: Anomaly,
    /// The transactions that prove it; of a cycle in its order.
    pub(super) transactions: Vec<u32>,
    /// Why these transactions prove it, in words.
    pub(super) why: String,
}
