//! Which configuration is in force.
//!
//! Invariant: a node uses the latest configuration in its log, "regardless of whether the entry is committed" (section 6 of
//! the paper; section 4.1 of the thesis), and goes back to the one before when that entry is removed.
//! Reference: section 6 of the paper, chapter 4 of the thesis.

use super::log::{Entry, Payload};
use super::quorum::Configuration;

/// The configurations of the log, the latest last. Never empty: the first is that of the start or of the snapshot.
#[derive(Clone, Debug)]
pub(super) struct Configurations(Vec<(u64, Configuration)>);

impl Configurations {
    /// `first` stands at `index` of the log, 0 for the initial members; the rest is found in `entries`.
    pub(super) fn recovered(index: u64, first: Configuration, entries: &[Entry]) -> Self {
        let mut this = Self(vec![(index, first)]);
        this.appended(entries);
        this
    }

    /// The configuration in force.
    pub(super) fn active(&self) -> &Configuration {
        &self.0[self.0.len() - 1].1
    }

    /// These entries were added to the log.
    pub(super) fn appended(&mut self, entries: &[Entry]) {
        for entry in entries {
            if let Payload::Configuration(configuration) = &entry.payload {
                self.0.push((entry.index, configuration.clone()));
            }
        }
    }

    /// All entries with an index >= `from` were removed.
    pub(super) fn truncated(&mut self, from: u64) {
        while self.0.len() > 1 && self.0[self.0.len() - 1].0 >= from {
            self.0.pop();
        }
    }
}
