//! What a node had in its log, rebuilt from its trace, event by event.
//!
//! Invariant: an entry is claimed only where the trace proves it. What was appended in memory may be gone after a
//! crash, what was truncated may be back, and a fault may have cut or replaced the files of a stopped node: the `boot`
//! line says where the log ends, and entries survive it only if they agree with that. Places of which nothing is known
//! are [`Place::Unknown`], and no property may conclude anything from them.

use super::{Boot, Entry, Event, SnapshotState, Trace, What};

/// What is known of one index of a node's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// This entry is there.
    Holds(Entry, usize),
    /// The last entry that a snapshot covers, which the log begins behind: its term, but not what it is.
    Covered(u64),
    /// Something may be there; the trace does not tell what.
    Unknown,
    /// The log ends before.
    Beyond,
}

/// One place of the log: the entry, and the event that appended it.
#[derive(Clone, Copy, Debug)]
struct Slot {
    entry: Entry,
    appended: usize,
}

/// Beyond this many places a log is not followed, so that a damaged number cannot exhaust the memory.
const PLACES: u64 = 50_000_000;

/// The log of one node.
#[derive(Clone, Debug, Default)]
pub struct NodeLog {
    /// The place of index `i` is `slots[i - 1]`.
    slots: Vec<Option<Slot>>,
    /// The lowest index that was removed and is not yet durably so: what was there may come back with the next crash.
    unsettled: Option<u64>,
    /// Index and term of the last entry of the snapshot that was installed, while the log has it.
    covered: Option<(u64, u64)>,
}

impl NodeLog {
    /// Takes the event at this position of the trace into account. It must be one of this node.
    pub fn observe(&mut self, trace: &Trace, position: usize, event: &Event) {
        match event.what {
            What::Boot(boot) => self.boot(boot),
            What::Append(span) => trace.entries(span).iter().for_each(|&entry| self.append(entry, position)),
            What::Truncate(from) => self.cut(from),
            What::Fsync(index, _) => self.settle(index),
            What::Snapshot(SnapshotState::Installed, index, term) => self.install(index, term),
            _ => {}
        }
    }

    /// What is at this index.
    pub fn at(&self, index: u64) -> Place {
        match index.checked_sub(1).map(|at| self.slots.get(at as usize)) {
            Some(Some(Some(slot))) => Place::Holds(slot.entry, slot.appended),
            Some(None) => Place::Beyond,
            _ => match self.covered {
                Some((covered, term)) if covered == index => Place::Covered(term),
                _ => Place::Unknown,
            },
        }
    }

    /// The term of the entry at this index, if it is known.
    pub fn term_at(&self, index: u64) -> Option<u64> {
        match self.at(index) {
            Place::Holds(entry, _) => Some(entry.term),
            Place::Covered(term) => Some(term),
            Place::Unknown | Place::Beyond => None,
        }
    }

    /// The index of the last place.
    pub fn last_index(&self) -> u64 {
        self.slots.len() as u64
    }

    fn append(&mut self, entry: Entry, appended: usize) {
        let Some(at) = entry.index.checked_sub(1).filter(|&at| at < PLACES).map(|at| at as usize) else {
            return;
        };
        if at < self.slots.len() {
            self.cut(entry.index);
        }
        // A line that was lost, or a node that leaves gaps: nothing is known of what lies between.
        self.slots.resize(at, None);
        self.slots.push(Some(Slot { entry, appended }));
    }

    fn cut(&mut self, from: u64) {
        let keep = from.saturating_sub(1) as usize;
        if keep < self.slots.len() {
            self.slots.truncate(keep);
            self.covered = self.covered.filter(|&(covered, _)| covered < from);
            // Until a later fsync, a crash may bring the removed entries back.
            self.unsettled = Some(self.unsettled.map_or(from, |old| old.min(from)));
        }
    }

    fn settle(&mut self, index: u64) {
        if self.unsettled.is_some_and(|from| from <= index) {
            self.unsettled = None;
        }
    }

    fn boot(&mut self, boot: Boot) {
        // What a snapshot covers is there, also where the log behind it is lost.
        let last = boot.last_index.max(boot.snapshot_index).min(PLACES);
        let agrees = last == 0 || (last == boot.last_index && self.term_at(last) == Some(boot.last_term));
        // A removal that was not durable may have been undone, from that index on.
        let certain = match (agrees, self.unsettled) {
            (true, None) => last,
            (true, Some(from)) => last.min(from.saturating_sub(1)),
            (false, _) => 0,
        };
        self.slots.resize(last as usize, None);
        self.slots[certain as usize..].iter_mut().for_each(|slot| *slot = None);
        self.covered = self.covered.filter(|&(covered, _)| covered <= certain);
        self.unsettled = None;
    }

    /// The log begins behind the snapshot from now on, and what stood before says nothing about the state. Entries behind
    /// it stay: the node says with a truncation if they do not.
    fn install(&mut self, index: u64, term: u64) {
        let at = index.min(PLACES) as usize;
        if self.slots.len() < at {
            self.slots.resize(at, None);
        }
        self.slots[..at].iter_mut().for_each(|slot| *slot = None);
        // A snapshot that does not know its term says 0.
        self.covered = (term > 0).then_some((index, term));
    }
}
