//! A disk that keeps what was synced and, after a crash, a random part of what was not.
//!
//! Invariant: writes reach the disk in their order; a crash keeps a prefix of the open ones.

use std::collections::VecDeque;

use crate::raft::io::{Effects, HardState, Micros, NodeId, Persist, PersistId};
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

/// The disk of one node.
#[derive(Debug, Default)]
pub(super) struct Disk {
    hard_state: HardState,
    log: Vec<Entry>,
    open: VecDeque<Write>,
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

    /// When the next write is done.
    pub(super) fn due(&self) -> Option<Micros> {
        self.open.front().map(|write| write.due)
    }

    /// Finishes the next write.
    pub(super) fn complete(&mut self) -> Option<(Write, Option<PersistId>)> {
        let mut write = self.open.pop_front()?;
        let id = write.persist.take().map(|persist| self.write(persist));
        Some((write, id))
    }

    fn write(&mut self, persist: Persist) -> PersistId {
        let id = persist.id;
        self.hard_state = persist.hard_state.unwrap_or(self.hard_state);
        persist.write_to(&mut self.log);
        id
    }

    /// The node crashes; the first `kept` of the open writes reach the disk, whoever waited for them.
    pub(super) fn crash(&mut self, kept: usize) {
        let open = std::mem::take(&mut self.open);
        for persist in open.into_iter().take(kept).filter_map(|write| write.persist) {
            self.write(persist);
        }
    }

    /// How many writes are open.
    pub(super) fn open_writes(&self) -> usize {
        self.open.len()
    }

    /// What a starting node finds.
    pub(super) fn recover(&self) -> (HardState, Vec<Entry>) {
        (self.hard_state, self.log.clone())
    }
}

/// The votes among the events.
pub(super) fn votes(events: &[Event]) -> impl Iterator<Item = (u64, NodeId)> + '_ {
    events.iter().filter_map(|event| match &event.kind {
        EventKind::Vote(vote) => Some((event.term, vote.to)),
        _ => None,
    })
}
