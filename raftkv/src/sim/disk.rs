//! A disk with a cache: what was synced survives everything, what was only written survives the death of the process, and
//! of what was not even written a crash keeps a random part.
//!
//! Invariant: writes reach the cache in their order and the disk in that order too; a power failure keeps what was synced
//! and a prefix of the rest, the death of the process keeps everything that was written and a prefix of the rest.
//! Deliberately without torn writes and damage: those are the business of the log's own tests.

use std::collections::VecDeque;

use super::snapshot::{Shelf, Snapshot};
use crate::raft::io::{Effects, Flush, HardState, Micros, NodeId, Persist, PersistId};
use crate::raft::log::Entry;
use crate::raft::message::Message;
use crate::raft::trace::{Event, EventKind};

/// A write, or a place in the row of writes, with what waits for it.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) due: Micros,
    persist: Option<Persist>,
    pub(super) events: Vec<Event>,
    pub(super) messages: Vec<(NodeId, Message)>,
}

/// How a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// kill -9: the kernel keeps what was written.
    Process,
    /// Only what was synced is sure to stay.
    Power,
}

/// What a starting node finds.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    pub(super) hard_state: HardState,
    pub(super) log: Vec<Entry>,
    pub(super) commit: u64,
    /// The last entry that was given up because a snapshot covers it.
    given_up: u64,
}

impl Contents {
    fn write(&mut self, persist: Persist) {
        let hard_state = persist.cached.or(persist.hard_state);
        self.hard_state = hard_state.unwrap_or(self.hard_state);
        self.commit = persist.commit.unwrap_or(self.commit);
        let covered = persist.reset.map(|base| base.index).max(persist.compact);
        self.given_up = covered.map_or(self.given_up, |covered| self.given_up.max(covered));
        persist.write_to(&mut self.log);
    }
}

/// The disk of one node.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) snapshots: Shelf,
    /// What is on the platter.
    synced: Contents,
    /// What was written since, in order, and by when it has to be synced.
    cached: VecDeque<(Persist, Option<Micros>)>,
    /// What is on its way.
    open: VecDeque<Write>,
    /// Until when there is no room.
    pub(super) full_until: Micros,
    /// Until when writes vanish although their node was told that there is no room.
    pub(super) swallows_until: Micros,
    /// Whether the next sync fails.
    pub(super) fails_next_sync: bool,
}

/// How a write ended.
#[derive(Debug)]
pub(super) enum Done {
    /// It is as durable as it asked for; what may be said now, and the number to report.
    Written(Box<Write>, Option<PersistId>),
    /// The disk refused to sync it.
    Failed,
}

impl Disk {
    /// Takes what waits for durability out of `effects`; done `at` the given time and never before earlier
    /// writes.
    pub(super) fn submit(&mut self, effects: &mut Effects, at: Micros) {
        let persist = effects.persist.take();
        let events = std::mem::take(&mut effects.trace_durable);
        let messages = std::mem::take(&mut effects.send_durable);
        if persist.is_none() && events.is_empty() && messages.is_empty() {
            return;
        }
        let due = self.open.back().map_or(at, |last| last.due.max(at));
        self.open.push_back(Write { due, persist, events, messages });
    }

    /// Nothing goes wrong with it any more.
    pub(super) fn heal(&mut self) {
        (self.full_until, self.swallows_until, self.fails_next_sync) = (Micros(0), Micros(0), false);
    }

    /// When the next write is done.
    pub(super) fn due(&self) -> Option<Micros> {
        self.open.front().map(|write| write.due.max(self.full_until))
    }

    /// Finishes the next write.
    pub(super) fn complete(&mut self, now: Micros) -> Option<Done> {
        self.sync_what_is_due(now);
        let mut write = self.open.pop_front()?;
        let id = match write.persist.take() {
            None => None,
            Some(persist) if persist.must_be_synced() && std::mem::take(&mut self.fails_next_sync) => {
                self.open.push_front(Write { persist: Some(persist), ..write });
                return Some(Done::Failed);
            }
            Some(persist) if self.swallows_until > now => Some(persist.id),
            Some(persist) => Some(self.write(now, persist)),
        };
        Some(Done::Written(Box::new(write), id))
    }

    fn write(&mut self, now: Micros, mut persist: Persist) -> PersistId {
        let id = persist.id;
        if persist.must_be_synced() {
            // One sync makes everything before it durable. What is only cached is written behind it.
            let cached = persist.cached.take();
            self.cached.push_back((persist, None));
            self.sync();
            persist = Persist { cached, flush: Flush::Never, ..Persist::default() };
        }
        let due = match persist.flush {
            Flush::Within(millis) => Some(now.plus_millis(millis)),
            Flush::Now | Flush::Never => None,
        };
        self.cached.push_back((persist, due));
        id
    }

    /// The disk says that it has written, and has not: the sync failed before, and the kernel took the pages for clean.
    pub(super) fn pretend(&mut self) {
        if let Some(Write { persist: Some(persist), .. }) = self.open.front_mut() {
            persist.flush = Flush::Never;
        }
    }

    fn sync(&mut self) {
        for (persist, _) in self.cached.drain(..) {
            self.synced.write(persist);
        }
    }

    /// A write that may wait for so long has waited.
    fn sync_what_is_due(&mut self, now: Micros) {
        if self.cached.iter().any(|(_, due)| due.is_some_and(|due| due <= now)) {
            self.sync();
        }
    }

    /// The term that is on the platter.
    pub(super) fn term(&self) -> u64 {
        self.synced.hard_state.term
    }

    /// Whether this entry would survive a power failure, in the log or in a snapshot.
    pub(super) fn holds(&self, index: u64, term: u64) -> bool {
        let place = self.synced.log.binary_search_by_key(&index, |entry| entry.index);
        self.covers(index) || place.is_ok_and(|place| self.synced.log[place].term == term)
    }

    /// Whether the log, or the snapshot before it, would reach to this index after a power failure.
    pub(super) fn reaches(&self, index: u64) -> bool {
        self.covers(index) || self.synced.log.last().is_some_and(|last| last.index >= index)
    }

    fn covers(&self, index: u64) -> bool {
        index <= self.synced.given_up.max(self.snapshots.covered())
    }

    /// How many writes a crash may keep or lose.
    pub(super) fn at_stake(&self, crash: Crash) -> usize {
        match crash {
            Crash::Process => self.open.len(),
            Crash::Power => self.cached.len() + self.open.len(),
        }
    }

    /// The node ends at `now`; the first `kept` of the writes at stake reach the disk, whoever waited for them.
    pub(super) fn crash(&mut self, now: Micros, crash: Crash, kept: usize) {
        self.sync_what_is_due(now);
        let cached: Vec<Persist> = self.cached.drain(..).map(|(persist, _)| persist).collect();
        let written = cached.len();
        let open = std::mem::take(&mut self.open).into_iter().filter_map(|write| write.persist);
        let kept = if crash == Crash::Process { kept + written } else { kept };
        // A full disk takes nothing that was not written before.
        let kept = if self.full_until > now { kept.min(written) } else { kept };
        for persist in cached.into_iter().chain(open).take(kept) {
            // The kernel writes it back, or the next start does.
            self.synced.write(persist);
        }
    }

    /// What a starting node finds, or why it refuses to start with that.
    pub(super) fn recover(&self) -> Result<(Contents, Option<Snapshot>), String> {
        let snapshot = self.snapshots.recover();
        let covered = snapshot.as_ref().map_or(0, |snapshot| snapshot.meta.id.last.index);
        let given_up = self.synced.given_up;
        if covered < given_up {
            return Err(format!("its log was removed up to {given_up}, and its snapshot ends at {covered}"));
        }
        Ok((self.synced.clone(), snapshot))
    }
}

/// The votes among the events.
pub(super) fn votes(events: &[Event]) -> impl Iterator<Item = (u64, NodeId)> + '_ {
    events.iter().filter_map(|event| match &event.kind {
        EventKind::Vote(vote) => Some((event.term, vote.to)),
        _ => None,
    })
}
