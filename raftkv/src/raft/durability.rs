//! What of this node's state is on its way to the disk, and what is there.
//!
//! Invariant: `durable_index` never exceeds the part of the present log that a crash would leave. The core
//! changes its state in memory first; [`Durability::take`] turns the difference into one [`Persist`] per
//! step, and nothing that depends on it may leave before [`Durability::persisted`] was told so.
//! Reference: "updated on stable storage before responding to RPCs" in figure 2 of the paper.

use std::collections::VecDeque;

use super::io::{Flush, HardState, Micros, NodeId, Persist, PersistId};
use super::log::{Log, Position};
use super::message::Message;
use super::rules::{Fsync as FsyncRule, Millis, PersistTerm, PersistVote};
use super::trace::{Event, EventKind, Fsync};
use super::{Raft, recovery};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct InFlight {
    id: PersistId,
    issued_at: Micros,
    /// The last index of the log once this is durable, lowered by later truncations.
    last_index: u64,
    hard_state: Option<HardState>,
}

/// What the rules want to be on disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// The term and vote that a crash must leave.
    pub(super) hard_state: HardState,
    /// The term and vote that are only written. The same, if nothing may be forgotten.
    pub(super) cached: HardState,
    /// The commit index, if it is kept.
    pub(super) commit: Option<u64>,
    /// Whether entries are written at all.
    pub(super) entries: Entries,
    /// When all that has to be on the disk.
    pub(super) flush: Flush,
}

/// Whether a log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entries {
    /// On disk.
    Written,
    /// In memory only.
    Kept,
}

/// The difference between the state in memory, the state handed to the disk, and the state on it.
#[derive(Clone, Debug)]
pub(super) struct Durability {
    last_id: u64,
    issued_hard_state: HardState,
    issued_cached: HardState,
    issued_commit: u64,
    issued_index: u64,
    reset: Option<Position>,
    /// How far the files reach once everything that was issued is written.
    file_index: u64,
    truncate_from: Option<u64>,
    compact: Option<u64>,
    in_flight: VecDeque<InFlight>,
    durable_id: PersistId,
    durable_index: u64,
    durable_hard_state: HardState,
}

impl Durability {
    /// Everything that was recovered is durable.
    pub(super) fn recovered(hard_state: HardState, last_index: u64) -> Self {
        Self {
            last_id: 0,
            issued_hard_state: hard_state,
            issued_cached: hard_state,
            issued_commit: 0,
            issued_index: last_index,
            reset: None,
            file_index: last_index,
            truncate_from: None,
            compact: None,
            in_flight: VecDeque::new(),
            durable_id: PersistId(0),
            durable_index: last_index,
            durable_hard_state: hard_state,
        }
    }

    /// The log was truncated in memory.
    pub(super) fn truncated(&mut self, from: u64) {
        if from <= self.issued_index {
            self.truncate_from = Some(self.truncate_from.map_or(from, |earlier| earlier.min(from)));
            self.issued_index = from - 1;
        }
        self.durable_index = self.durable_index.min(from - 1);
        for write in &mut self.in_flight {
            write.last_index = write.last_index.min(from - 1);
        }
    }

    /// A durable snapshot has replaced the log up to `base`, and all of it. A crash leaves the snapshot, whatever
    /// becomes of the entries on the disk, so everything up to `base` is durable already.
    pub(super) fn reset(&mut self, base: Position) {
        (self.reset, self.truncate_from, self.compact) = (Some(base), None, None);
        (self.issued_index, self.durable_index) = (base.index, base.index);
        for write in &mut self.in_flight {
            write.last_index = base.index;
        }
    }

    /// The log was compacted in memory up to `index`.
    pub(super) fn compacted(&mut self, index: u64) {
        self.compact = Some(index);
    }

    /// How far the log was handed to the disk: what lies behind may not be compacted, or the disk would see a
    /// hole.
    pub(super) fn issued_index(&self) -> u64 {
        self.issued_index
    }

    /// What has to be written so that the disk catches up with the memory, if anything.
    pub(super) fn take(&mut self, now: Micros, wanted: Wanted, log: &Log) -> Option<Persist> {
        let last_index = log.last_index();
        if wanted.entries == Entries::Kept {
            self.forgo_entries(last_index);
        }
        let hard_state = (wanted.hard_state != self.issued_hard_state).then_some(wanted.hard_state);
        // A hard state that is written is followed by what was only cached, or it would take that back.
        let cached = (wanted.cached != wanted.hard_state
            && (hard_state.is_some() || wanted.cached != self.issued_cached))
            .then_some(wanted.cached);
        let state_is_issued = hard_state.is_none() && cached.is_none();
        let log_is_issued =
            self.reset.is_none() && self.truncate_from.is_none() && last_index == self.issued_index;
        if state_is_issued && log_is_issued && self.compact.is_none() {
            return None;
        }
        self.last_id += 1;
        let id = PersistId(self.last_id);
        let commit = wanted.commit.filter(|&commit| commit > self.issued_commit);
        let entries = log.range(self.issued_index + 1, last_index).to_vec();
        if wanted.entries == Entries::Written {
            self.file_index = last_index;
        }
        self.issued_hard_state = wanted.hard_state;
        self.issued_cached = wanted.cached;
        self.issued_commit = commit.unwrap_or(self.issued_commit);
        self.issued_index = last_index;
        self.in_flight.push_back(InFlight { id, issued_at: now, last_index, hard_state });
        Some(Persist {
            id,
            hard_state,
            reset: self.reset.take(),
            truncate_from: self.truncate_from.take(),
            entries,
            compact: self.compact.take(),
            commit,
            cached,
            flush: wanted.flush,
        })
    }

    /// Whether a hard state would be written.
    pub(super) fn would_write(&self, wanted: Wanted) -> bool {
        wanted.hard_state != self.issued_hard_state || wanted.cached != self.issued_cached
    }

    /// The log stays in memory, and is believed to be safe there.
    fn forgo_entries(&mut self, last_index: u64) {
        (self.reset, self.truncate_from, self.compact) = (None, None, None);
        self.issued_index = last_index;
        self.durable_index = last_index;
        for write in &mut self.in_flight {
            write.last_index = last_index;
        }
    }

    /// Everything up to `id` is durable.
    pub(super) fn persisted(&mut self, id: PersistId) {
        while let Some(write) = self.in_flight.front().copied()
            && write.id <= id
        {
            self.in_flight.pop_front();
            self.durable_id = write.id;
            self.durable_index = write.last_index;
            self.durable_hard_state = write.hard_state.unwrap_or(self.durable_hard_state);
        }
    }

    /// The number of the latest durable write.
    pub(super) fn durable_id(&self) -> PersistId {
        self.durable_id
    }

    /// When the oldest write that is still under way was handed out.
    pub(super) fn oldest_issue(&self) -> Option<Micros> {
        self.in_flight.front().map(|write| write.issued_at)
    }

    /// How far the log is in the files once everything that was handed out is written.
    pub(super) fn file_index(&self) -> u64 {
        self.file_index
    }

    /// How far the present log is durable.
    pub(super) fn durable_index(&self) -> u64 {
        self.durable_index
    }

    /// Whether a crash would leave exactly this hard state.
    pub(super) fn holds(&self, hard_state: HardState) -> bool {
        self.durable_hard_state == hard_state && self.issued_hard_state == hard_state
    }
}

/// What has to be there before something may be said.
impl Raft {
    /// A write is handed out: says so, and to whom it matters.
    pub(super) fn announce(&mut self, persist: &Persist) {
        self.own_vote.issued(persist.id);
        if persist.writes() {
            let hard_state = persist.hard_state.is_some() && persist.cached.is_none();
            let fsync = Fsync { index: self.durability.file_index(), hard_state };
            self.out.trace_durable.insert(0, Event { term: self.term, kind: EventKind::Fsync(fsync) });
        }
    }

    /// What a crash must leave.
    pub(super) fn wanted_on_disk(&self) -> Wanted {
        let term = match self.rules.storage.persist_term {
            // The honest law: currentTerm is "persistent state on all servers" (figure 2). It is what fences off
            // deposed leaders, and what a vote belongs to.
            PersistTerm::Durable => self.term,
            PersistTerm::Memory => 0,
        };
        let nobody = HardState { term, voted_for: None };
        let voted = if term == self.term { HardState { term, voted_for: self.voted_for } } else { nobody };
        // The honest law: votedFor is "persistent state on all servers", on stable storage before the reply
        // (figure 2). Otherwise a restarted node votes twice in one term, and two candidates win.
        let (hard_state, cached) = match self.rules.vote.persist_vote {
            PersistVote::Durable => (voted, voted),
            PersistVote::Cache => (nobody, voted),
            PersistVote::Memory => (nobody, nobody),
        };
        // The honest law: log[] is "persistent state on all servers" (figure 2): an acknowledged entry is a promise that
        // is counted towards commitment.
        let entries = if self.rules.storage.persist_log { Entries::Written } else { Entries::Kept };
        // The honest law: "updated on stable storage before responding to RPCs" (figure 2). What is only written is in
        // the memory of the kernel: it survives kill -9 and no power failure.
        let flush = match self.rules.storage.fsync {
            FsyncRule::BeforeAck => Flush::Now,
            FsyncRule::Interval(Millis(millis)) => Flush::Within(millis),
            FsyncRule::Never => Flush::Never,
        };
        let commit = recovery::keeps_commit_index(&self.rules).then_some(self.commit);
        Wanted { hard_state, cached, commit, entries, flush }
    }

    /// The term and vote that an answer may rely on once they are on disk.
    fn hard_state(&self) -> HardState {
        self.wanted_on_disk().hard_state
    }

    /// Sends what depends on the disk. To wait for a full disk would be without bound, and a message may always be lost.
    pub(super) fn send_durable(&mut self, to: NodeId, message: Message) {
        if self.disk_is_full() {
            return;
        }
        self.out.send_durable.push((to, message));
    }

    /// Sends an answer that promises nothing but the term in it: at once if that is durable.
    pub(super) fn send_in_term(&mut self, to: NodeId, message: Message) {
        if self.durability.holds(self.hard_state()) {
            self.send(to, message);
        } else {
            self.send_durable(to, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::log_of;
    use super::*;

    fn all(hard_state: HardState) -> Wanted {
        let (entries, flush) = (Entries::Written, Flush::Now);
        Wanted { hard_state, cached: hard_state, commit: None, entries, flush }
    }

    #[test]
    fn nothing_to_write_means_no_write() {
        let mut durability = Durability::recovered(HardState::default(), 2);
        assert!(durability.take(Micros(0), all(HardState::default()), &log_of(&[1, 1])).is_none());
    }

    #[test]
    fn a_truncation_lowers_what_earlier_writes_will_have_made_durable() {
        let hard_state = HardState { term: 1, voted_for: None };
        let mut durability = Durability::recovered(hard_state, 0);
        let first = durability.take(Micros(0), all(hard_state), &log_of(&[1, 1, 1])).unwrap();
        assert_eq!((first.truncate_from, first.entries.len(), first.hard_state), (None, 3, None));

        durability.truncated(2);
        let second = durability.take(Micros(0), all(hard_state), &log_of(&[1, 2])).unwrap();
        assert_eq!((second.truncate_from, second.entries.len()), (Some(2), 1));

        durability.persisted(first.id);
        assert_eq!(durability.durable_index(), 1, "entries 2 and 3 of the first write are gone");
        durability.persisted(second.id);
        assert_eq!(durability.durable_index(), 2);
    }

    #[test]
    fn entries_that_come_and_go_between_two_writes_never_reach_the_disk() {
        let hard_state = HardState::default();
        let mut durability = Durability::recovered(hard_state, 1);
        durability.truncated(3);
        let write = durability.take(Micros(0), all(hard_state), &log_of(&[1, 1])).unwrap();
        assert_eq!((write.truncate_from, write.entries.len()), (None, 1));
    }

    #[test]
    fn a_snapshot_in_place_of_the_log_is_durable_before_the_log_knows_it() {
        let hard_state = HardState::default();
        let mut durability = Durability::recovered(hard_state, 0);
        let old = durability.take(Micros(0), all(hard_state), &log_of(&[1, 1, 1])).unwrap();
        durability.truncated(2);
        let base = Position { index: 9, term: 2 };
        durability.reset(base);
        let mut log = Log::default();
        log.reset(base);
        assert_eq!(durability.durable_index(), 9);
        let new = durability.take(Micros(0), all(hard_state), &log).unwrap();
        assert_eq!((new.reset, new.truncate_from, new.entries.len()), (Some(base), None, 0));
        durability.persisted(old.id);
        assert_eq!(durability.durable_index(), 9, "the old log says nothing about the new one");
    }

    #[test]
    fn compaction_alone_is_nothing_to_wait_for() {
        let hard_state = HardState::default();
        let mut durability = Durability::recovered(hard_state, 2);
        durability.compacted(1);
        let batch = durability.take(Micros(0), all(hard_state), &log_of(&[1, 1])).unwrap();
        assert_eq!((batch.compact, batch.writes()), (Some(1), false));
        assert!(durability.take(Micros(0), all(hard_state), &log_of(&[1, 1])).is_none());
    }

    #[test]
    fn a_hard_state_holds_once_it_is_durable() {
        let new = HardState { term: 2, voted_for: None };
        let mut durability = Durability::recovered(HardState::default(), 0);
        assert!(!durability.holds(new));
        let write = durability.take(Micros(0), all(new), &Log::default()).unwrap();
        assert!(!durability.holds(new));
        durability.persisted(write.id);
        assert!(durability.holds(new));
    }

    #[test]
    fn what_is_only_cached_follows_what_is_synced() {
        let [quiet, voted] =
            [None, Some(super::super::io::NodeId(2))].map(|voted_for| HardState { term: 3, voted_for });
        let mut durability = Durability::recovered(HardState::default(), 0);
        let both = Wanted { cached: voted, ..all(quiet) };
        let first = durability.take(Micros(0), both, &Log::default()).unwrap();
        assert_eq!((first.hard_state, first.cached), (Some(quiet), Some(voted)));
        assert!(first.must_be_synced());
        assert!(durability.take(Micros(0), both, &Log::default()).is_none());
        let voted = HardState { voted_for: Some(super::super::io::NodeId(1)), ..voted };
        let both = Wanted { cached: voted, ..all(quiet) };
        let again = durability.take(Micros(0), both, &Log::default()).unwrap();
        assert_eq!((again.hard_state, again.cached), (None, Some(voted)));
        assert!(!again.must_be_synced(), "a vote in the cache waits for no disk");
    }

    #[test]
    fn a_log_that_is_not_kept_counts_at_once_and_never_reaches_the_files() {
        let wanted = Wanted { entries: Entries::Kept, ..all(HardState::default()) };
        let mut durability = Durability::recovered(HardState::default(), 1);
        assert!(durability.take(Micros(0), wanted, &log_of(&[1, 1, 1])).is_none());
        assert_eq!((durability.durable_index(), durability.file_index()), (3, 1));
        durability.truncated(2);
        assert!(durability.take(Micros(0), wanted, &log_of(&[1])).is_none());
        assert_eq!((durability.durable_index(), durability.file_index()), (1, 1));
    }
}
