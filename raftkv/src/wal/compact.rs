//! Giving up the front of the log: whole segments that hold nothing that is still needed.
//!
//! Invariants:
//! * A segment goes only when every entry in it is covered by a snapshot that is durable already (the caller's promise), or
//!   was removed from the log again by something that stands in a later segment. Term, vote and the count of starts stand at
//!   the head of every segment, so nothing else is lost with it.
//! * The oldest goes first, and its name is durably gone before the next one is touched, so a crash leaves the log without
//!   some of its front, never with a hole.
//! * That the front is gone is not written down: the first segment then says that it continues another, and the start of the
//!   node checks that a snapshot reaches to its first entry.
//!
//! Reference: section 5.1.3 of the thesis for the order of snapshot and removal.

use std::collections::VecDeque;

use super::{Wal, WalError, disk, segment};
use crate::raft::io::Persist;

/// A segment that is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Closed {
    sequence: u64,
    /// No entry of the log with a higher index stands in it.
    last: u64,
}

/// Up to which entry each segment reaches.
#[derive(Debug, Default)]
pub(super) struct Spans {
    closed: VecDeque<Closed>,
    /// The last entry that was staged.
    last: u64,
    /// The last one in the present segment: what is staged may go into the next.
    written: u64,
}

impl Spans {
    /// A batch was staged.
    pub(super) fn staged(&mut self, batch: &Persist) {
        if let Some(base) = batch.reset {
            self.reset(base.index);
        }
        if let Some(from) = batch.truncate_from {
            self.truncated(from);
        }
        self.last = batch.entries.last().map_or(self.last, |entry| entry.index);
    }

    /// An entry stands in the present segment.
    pub(super) fn appended(&mut self, index: u64) {
        (self.last, self.written) = (index, index);
    }

    /// What was staged stands in the present segment.
    pub(super) fn written(&mut self) {
        self.written = self.last;
    }

    /// Entries from here on are gone, which the present segment says.
    pub(super) fn truncated(&mut self, from: u64) {
        self.reset(from.saturating_sub(1).min(self.last));
    }

    /// The log goes on behind `index`: older segments hold nothing behind it that counts.
    pub(super) fn reset(&mut self, index: u64) {
        for closed in &mut self.closed {
            closed.last = closed.last.min(index);
        }
        self.last = index;
        self.written = self.written.min(index);
    }

    /// The present segment, of this number, is full.
    pub(super) fn rolled(&mut self, sequence: u64) {
        self.closed.push_back(Closed { sequence, last: self.written });
    }

    /// The oldest segment, if it holds nothing behind `index`.
    fn take_covered(&mut self, index: u64) -> Option<u64> {
        let covered = self.closed.pop_front_if(|oldest| oldest.last <= index)?;
        Some(covered.sequence)
    }
}

impl Wal {
    /// Removes the segments that hold only entries up to `index`. To be called when everything that was staged is durable,
    /// and a snapshot that covers these entries is.
    pub fn compact(&mut self, index: u64) -> Result<(), WalError> {
        while let Some(sequence) = self.spans.take_covered(index) {
            disk::remove(&segment::path(&self.directory, sequence))?;
            disk::sync_directory(&self.rules, &self.directory)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::super::{Recovered, Sizes, read};
    use super::*;
    use crate::raft::io::{HardState, NodeId, PersistId};
    use crate::raft::log::{Entry, Payload, Position};

    const SMALL: Sizes = Sizes { first: 1024, max: 1024 };

    fn entries(from: u64, to: u64, term: u64) -> Vec<Entry> {
        let payload = || Payload::Command(vec![7; 100].into());
        (from..=to).map(|index| Entry { index, term, payload: payload() }).collect()
    }

    fn write(wal: &mut Wal, batch: Persist) {
        wal.stage(&batch);
        wal.commit().unwrap();
    }

    /// Entries 1..=40 of term 1 in many segments, with a vote in the first.
    fn long_log() -> (TempDir, Wal) {
        let dir = TempDir::new().unwrap();
        let (mut wal, _) = Wal::open(dir.path(), SMALL).unwrap();
        wal.begin_boot().unwrap();
        let hard_state = Some(HardState { term: 1, voted_for: Some(NodeId(2)) });
        write(&mut wal, Persist { hard_state, ..Persist::default() });
        for index in 1..=40 {
            write(&mut wal, Persist { entries: entries(index, index, 1), ..Persist::default() });
        }
        (dir, wal)
    }

    fn segments(dir: &TempDir) -> Vec<u64> {
        segment::list(dir.path()).unwrap()
    }

    fn indices(recovered: &Recovered) -> Vec<u64> {
        recovered.entries.iter().map(|entry| entry.index).collect()
    }

    #[test]
    fn covered_segments_go_and_the_rest_comes_back_with_term_and_vote() {
        let (dir, mut wal) = long_log();
        let before = segments(&dir).len();
        wal.compact(20).unwrap();
        assert!(before > 4 && segments(&dir).len() < before, "{before} segments");
        drop(wal);
        let (mut wal, found) = Wal::open(dir.path(), SMALL).unwrap();
        let first = indices(&found)[0];
        assert!((2..=21).contains(&first), "all behind 20 is there, and little before it: {first}");
        assert_eq!(indices(&found), (first..=40).collect::<Vec<_>>());
        assert_eq!(found.base, None, "how the log began is not known any more");
        assert_eq!((found.hard_state.voted_for, found.boot), (Some(NodeId(2)), 1));
        // It goes on, also over the next start, and forgets again what it learned of its segments while reading them.
        write(&mut wal, Persist { entries: entries(41, 60, 1), ..Persist::default() });
        wal.compact(60).unwrap();
        drop(wal);
        let found = read(dir.path()).unwrap().unwrap();
        assert!(found.entries.len() <= 20, "{:?}", indices(&found));
        assert_eq!(segments(&dir).len(), 1);
    }

    #[test]
    fn nothing_that_is_needed_goes() {
        let (dir, mut wal) = long_log();
        let before = segments(&dir);
        wal.compact(0).unwrap();
        assert_eq!(segments(&dir), before);
        for index in 1..40 {
            wal.compact(index).unwrap();
            let found = read(dir.path()).unwrap().unwrap();
            assert!(indices(&found)[0] <= index + 1, "{index}");
            assert_eq!(found.entries.last().unwrap().index, 40);
        }
    }

    #[test]
    fn removed_entries_do_not_keep_their_segment() {
        let (dir, mut wal) = long_log();
        write(&mut wal, Persist { truncate_from: Some(3), entries: entries(3, 3, 2), ..Persist::default() });
        wal.compact(2).unwrap();
        assert_eq!(segments(&dir).len(), 1, "entries 3..=40 of the old segments are void");
        let found = read(dir.path()).unwrap().unwrap();
        assert_eq!((indices(&found), found.entries[0].term), (vec![3], 2));
    }

    #[test]
    fn a_reset_replaces_the_log() {
        let (dir, mut wal) = long_log();
        let base = Position { index: 100, term: 3 };
        write(&mut wal, Persist { reset: Some(base), entries: entries(101, 102, 3), ..Persist::default() });
        let found = read(dir.path()).unwrap().unwrap();
        assert_eq!((indices(&found), found.base), (vec![101, 102], Some(base)));
        wal.compact(100).unwrap();
        assert_eq!(segments(&dir).len(), 1);
        drop(wal);
        let (mut wal, found) = Wal::open(dir.path(), SMALL).unwrap();
        assert_eq!((indices(&found), found.base), (vec![101, 102], Some(base)));
        write(&mut wal, Persist { id: PersistId(9), entries: entries(103, 103, 3), ..Persist::default() });
        drop(wal);
        assert_eq!(indices(&read(dir.path()).unwrap().unwrap()), [101, 102, 103]);
    }

    #[test]
    fn a_crash_between_two_removals_leaves_a_whole_rest() {
        let (dir, wal) = long_log();
        drop(wal);
        for sequence in &segments(&dir)[..3] {
            fs::remove_file(segment::path(dir.path(), *sequence)).unwrap();
            let found = read(dir.path()).unwrap().unwrap();
            let first = indices(&found)[0];
            assert_eq!(indices(&found), (first..=40).collect::<Vec<_>>());
        }
        // A hole is no such rest.
        let left = segments(&dir);
        fs::remove_file(segment::path(dir.path(), left[1])).unwrap();
        assert!(read(dir.path()).unwrap_err().to_string().contains("is missing before it"));
    }
}
