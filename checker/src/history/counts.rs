//! How many operations of each function ended in which way: what a coverage threshold is compared with.
//!
//! Counting needs no wellformed history; a call without a completion counts as unknown.

use std::collections::BTreeMap;

use super::{EventBody, History, Outcome, ProcessId, Reply};

/// The ends of the operations of one function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Took effect, or answered. Includes `mismatch`.
    pub ok: u64,
    /// Of these: a CAS that found another value than the expected one.
    pub mismatch: u64,
    /// Provably without effect.
    pub failed: u64,
    /// May have taken effect, or still open at the end.
    pub unknown: u64,
}

/// The ends of all operations of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By the name of the function ("read", "write", "cas"...).
    pub by_function: BTreeMap<String, Tally>,
}

impl Tally {
    /// Operations of any end.
    pub fn total(&self) -> u64 {
        self.ok + self.failed + self.unknown
    }

    fn add(&mut self, other: &Tally) {
        self.ok += other.ok;
        self.mismatch += other.mismatch;
        self.failed += other.failed;
        self.unknown += other.unknown;
    }
}

impl Counts {
    fn of(&mut self, name: &str) -> &mut Tally {
        if !self.by_function.contains_key(name) {
            self.by_function.insert(name.to_owned(), Tally::default());
        }
        self.by_function.entry(name.to_owned()).or_default()
    }

    /// The sum over all functions.
    pub fn all(&self) -> Tally {
        let mut sum = Tally::default();
        self.by_function.values().for_each(|tally| sum.add(tally));
        sum
    }
}

impl History {
    /// How the operations ended, by function.
    pub fn counts(&self) -> Counts {
        let mut open: rustc_hash::FxHashMap<ProcessId, &str> = Default::default();
        let mut counts = Counts::default();
        for event in &self.events {
            match &event.body {
                EventBody::Invoke(op) => {
                    if let Some(name) = open.insert(event.process, op.name()) {
                        counts.of(name).unknown += 1;
                    }
                }
                EventBody::Complete(outcome) => {
                    let Some(name) = open.remove(&event.process) else { continue };
                    let tally = counts.of(name);
                    match outcome {
                        Outcome::Ok(reply) => {
                            tally.ok += 1;
                            tally.mismatch += u64::from(matches!(reply, Reply::Mismatch(_)));
                        }
                        Outcome::Failed(_) => tally.failed += 1,
                        Outcome::Unknown(_) => tally.unknown += 1,
                    }
                }
            }
        }
        for name in open.into_values() {
            counts.of(name).unknown += 1;
        }
        counts
    }
}
