//! How many operations of each function ended in which way: what a coverage threshold is compared with.
//!
//! Counting needs no wellformed history; a call without a completion counts as unknown.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

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

    fn count(&mut self, outcome: Option<&Outcome>) {
        match outcome {
            Some(Outcome::Ok(reply)) => {
                self.ok += 1;
                self.mismatch += u64::from(matches!(reply, Reply::Mismatch(_)));
            }
            Some(Outcome::Failed(_)) => self.failed += 1,
            Some(Outcome::Unknown(_)) | None => self.unknown += 1,
        }
    }

    fn add(&mut self, other: &Tally) {
        self.ok += other.ok;
        self.mismatch += other.mismatch;
        self.failed += other.failed;
        self.unknown += other.unknown;
    }
}

impl Counts {
    /// The sum over all functions.
    pub fn all(&self) -> Tally {
        let mut sum = Tally::default();
        self.by_function.values().for_each(|tally| sum.add(tally));
        sum
    }
}

/// Counts while somebody goes through a history. A name is copied once, and not for each of what may be millions of calls.
#[derive(Default)]
pub(super) struct Counting<'h> {
    tallies: FxHashMap<&'h str, Tally>,
}

impl<'h> Counting<'h> {
    /// One more operation of this function ended like this; `None` is the end of the history.
    pub(super) fn count(&mut self, name: &'h str, outcome: Option<&Outcome>) {
        self.tallies.entry(name).or_default().count(outcome);
    }

    pub(super) fn finish(self) -> Counts {
        let owned = self.tallies.into_iter().map(|(name, tally)| (name.to_owned(), tally));
        Counts { by_function: owned.collect() }
    }
}

impl History {
    /// How the operations ended, by function.
    pub fn counts(&self) -> Counts {
        let mut open: FxHashMap<ProcessId, &str> = FxHashMap::default();
        let mut counts = Counting::default();
        for event in &self.events {
            match &event.body {
                EventBody::Invoke(op) => {
                    if let Some(name) = open.insert(event.process, op.name()) {
                        counts.count(name, None);
                    }
                }
                EventBody::Complete(outcome) => {
                    if let Some(name) = open.remove(&event.process) {
                        counts.count(name, Some(outcome));
                    }
                }
            }
        }
        open.into_values().for_each(|name| counts.count(name, None));
        counts.finish()
    }
}
