//! Snapshots: when one is taken, what it holds, and what of the log may go behind it.
//!
//! Invariant: whatever is not in the log any more is in a durable snapshot. Under the honest rules a snapshot holds
//! exactly the applied entries up to its place, with the configuration in force there, so it can take the place of
//! the log before it: nothing in it can ever be overwritten. Each node decides for itself when to take one; only
//! which follower *needs* one is its leader's decision (`install`).
//! Deliberately without files: the driver is told what to do ([`SnapshotWork`]) and tells how it went
//! ([`SnapshotReport`]).
//! Reference: section 7 of the paper, chapter 5 of the thesis.

use serde::{Deserialize, Serialize};

use super::Raft;
use super::control::OrderOutcome;
use super::install::{Receiving, Setbacks};
use super::io::{NodeId, RequestId};
use super::log::{Entry, Position};
use super::message::{InstallSnapshot, Message};
use super::quorum::Configuration;
use super::rules::{Compact, SnapshotAt, SnapshotContents, SnapshotEvery};
use super::trace::{EventKind, SnapshotState};
use super::witness::Keeping;

/// What tells one snapshot from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SnapshotId {
    /// The last entry that it covers.
    pub last: Position,
    /// Over all its bytes.
    pub checksum: u32,
}

/// A snapshot on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// Which.
    pub id: SnapshotId,
    /// Its size in bytes.
    pub size: u64,
    /// The configuration in force at its place, and the index of the entry that it came from.
    pub configuration: Option<(u64, Configuration)>,
}

/// What the driver has to do about snapshots. Everything is done in the order in which it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotWork {
    /// Take a snapshot of the state machine as it is now. Answered by [`SnapshotReport::Taken`].
    Take(Take),
    /// Keep a part of a snapshot that a leader sends; at offset 0 a new one begins. Of a failure
    /// [`SnapshotReport::NotReceived`] tells.
    Store(Chunk),
    /// All parts are there: make them a snapshot. Answered by [`SnapshotReport::Received`].
    Complete(SnapshotId, Verification),
    /// Send a part of a snapshot of this node to a follower.
    Send(SendChunk),
}

/// What a snapshot is made of beside the state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Take {
    /// The last entry that it covers.
    pub last: Position,
    /// Entries behind the applied ones that it also covers. None, under the honest rules.
    pub beyond: Vec<Entry>,
    /// The configuration in force there, and the index of the entry that it came from.
    pub configuration: Option<(u64, Configuration)>,
    /// What becomes of the clients' sessions.
    pub sessions: Sessions,
}

/// Whether the sessions of clients go into a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions {
    /// They do.
    Kept,
    /// They do not.
    LeftOut,
}

/// Whether a received snapshot is compared with the checksum that its leader named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// All of it.
    Whole,
    /// It is taken as it came.
    None,
}

/// A part of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Of which.
    pub id: SnapshotId,
    /// Where it begins.
    pub offset: u64,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// A part that is to be read and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendChunk {
    /// To whom.
    pub to: NodeId,
    /// The leader's term when it decided so.
    pub term: u64,
    /// Of which snapshot.
    pub id: SnapshotId,
    /// The size of that.
    pub total: u64,
    /// Where the part begins.
    pub offset: u64,
    /// How long it is; 0 to ask how far the follower is.
    pub len: usize,
}

impl SendChunk {
    /// The message with these bytes.
    pub fn message(&self, data: Vec<u8>) -> Message {
        let Self { term, id, total, offset, .. } = *self;
        Message::InstallSnapshot(InstallSnapshot { term, id, total, offset, data })
    }
}

/// What the driver tells about snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotReport {
    /// A snapshot of this node's own state is durable.
    Taken(SnapshotMeta),
    /// It could not be taken.
    NotTaken(String),
    /// A received snapshot is durable, and its state is ready to replace the state machine's.
    Received(SnapshotMeta),
    /// It could not be completed: it is not what its leader named, or the disk failed.
    NotReceived(SnapshotId, String),
    /// A part that was to be sent could not be read.
    NotSent(NodeId, SnapshotId),
}

/// What a node knows of its own snapshots.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshots {
    /// The newest durable one.
    pub(super) latest: Option<SnapshotMeta>,
    /// The one that a leader is sending.
    pub(super) receiving: Option<Receiving>,
    /// Those that could not be used, since the last one that could.
    pub(super) setbacks: Setbacks,
    /// The last entry of the one that is being taken.
    taking: Option<u64>,
    /// Who ordered the one that is being taken.
    orders: Vec<RequestId>,
    /// The last applied entry when the last one was begun.
    begun_at: u64,
    /// The size of the entries that were applied since.
    bytes: u64,
    /// Up to where the log may go although the snapshot is not durable yet.
    early: Option<u64>,
}

impl Snapshots {
    /// A node that found this one on its disk.
    pub(super) fn recovered(latest: Option<SnapshotMeta>) -> Self {
        let begun_at = latest.as_ref().map_or(0, |latest| latest.id.last.index);
        Self { latest, begun_at, ..Self::default() }
    }

    /// The last entry that the newest one covers, 0 without one.
    pub(super) fn index(&self) -> u64 {
        self.latest.as_ref().map_or(0, |latest| latest.id.last.index)
    }

    /// Whether it is time for another one, when `since` entries were applied behind the last.
    fn due(&self, every: SnapshotEvery, since: u64) -> bool {
        match every {
            SnapshotEvery::Off => false,
            // "Take a snapshot once the size of the log exceeds the size of the previous snapshot times a configurable
            // expansion factor" (thesis, section 5.1.2); the factor is 1. So however large the state is, snapshots write
            // about as much as the log does; after a fixed number of entries, each would write the whole state.
            SnapshotEvery::Outgrown => {
                let last_size = self.latest.as_ref().map_or(0, |latest| latest.size);
                since >= SnapshotEvery::OUTGROWN_ENTRIES_MIN && self.bytes >= last_size
            }
            SnapshotEvery::Entries(entries) => since >= entries,
            SnapshotEvery::Bytes(bytes) => since > 0 && self.bytes >= bytes,
        }
    }

    /// One from a leader is this node's newest: it need not take one of its own at once.
    pub(super) fn installed(&mut self, meta: SnapshotMeta) {
        (self.begun_at, self.bytes) = (meta.id.last.index, 0);
        self.latest = Some(meta);
    }

    /// These entries were applied.
    pub(super) fn applied(&mut self, entries: &[Entry]) {
        self.bytes += entries.iter().map(|entry| entry.size_bytes() as u64).sum::<u64>();
    }
}

/// While a follower is being sent a snapshot, at most so many entries behind it are kept for it,
const KEPT_FOR_TRANSFERS_MAX: usize = 1 << 16;
/// and no more bytes of entries than these, until the transfer is given up.
const KEPT_FOR_TRANSFERS_BYTES_MAX: usize = 64 << 20;

impl Raft {
    /// Somebody orders a snapshot now.
    pub(super) fn order_snapshot(&mut self, request: RequestId) {
        if self.keeping() != Keeping::Everything {
            let reason = "a witness has no state to take a snapshot of".to_owned();
            self.out.ordered.push((request, OrderOutcome::Refused(reason)));
            return;
        }
        if self.snapshots.taking.is_some() {
            let reason = "a snapshot is being taken already; wait for it".to_owned();
            self.out.ordered.push((request, OrderOutcome::Refused(reason)));
            return;
        }
        self.snapshots.orders.push(request);
    }

    /// Begins a snapshot if one is due, after everything that this step applies.
    pub(super) fn take_snapshot_if_due(&mut self) {
        // A witness has nothing to put into one, and keeps its log.
        let has_state = self.keeping() == Keeping::Everything;
        if !has_state || self.snapshots.taking.is_some() || !self.snapshot_is_due() {
            return;
        }
        let Some(take) = self.what_a_snapshot_holds() else {
            self.answer_snapshot_orders(&OrderOutcome::Done(Some(self.snapshots.index())));
            return;
        };
        let index = take.last.index;
        self.snapshots.taking = Some(index);
        self.snapshots.begun_at = self.applied;
        self.snapshots.bytes = 0;
        // The honest law: a server discards the log up to a snapshot when it "completes writing" it (section 7 of the
        // paper). Before, a crash leaves neither, and what the node had acknowledged is forgotten.
        if self.rules.snapshot.compact == Compact::Before {
            self.snapshots.early = Some(index);
        }
        self.out.snapshots.push(SnapshotWork::Take(take));
    }

    fn snapshot_is_due(&self) -> bool {
        let since = self.applied.saturating_sub(self.snapshots.begun_at);
        // The law: "Raft's log grows during normal operation [...], but in a practical system, it cannot grow without
        // bound" (section 7 of the paper). How often is a matter of cost: each writes the whole state.
        let due = self.snapshots.due(self.rules.snapshot.snapshot, since);
        due || !self.snapshots.orders.is_empty()
    }

    /// Nothing, if the last snapshot holds it all.
    fn what_a_snapshot_holds(&self) -> Option<Take> {
        // The honest law: a snapshot covers applied entries only, "the last entry the state machine had applied"
        // (section 7 of the paper). An entry that is not committed may be replaced by another; a state cannot.
        let index = match self.rules.snapshot.snapshot_at {
            SnapshotAt::Applied => self.applied,
            SnapshotAt::LastLog => self.log.last_index(),
        };
        let term = self.log.term(index).filter(|_| index > self.snapshots.index())?;
        let (at, configuration) = self.configurations.at(index);
        let configuration = Some((at, configuration.clone()));
        let take = Take {
            last: Position { index, term },
            beyond: self.log.range(self.applied + 1, index).to_vec(),
            configuration,
            sessions: Sessions::Kept,
        };
        // The honest law: the last included index and term "support the AppendEntries consistency check for the first
        // log entry following the snapshot", the snapshot "also includes the latest configuration in the log as of
        // last included index" (section 7), and the sessions, or a retried command counts twice (thesis, 6.3).
        Some(match self.rules.snapshot.snapshot_contents {
            SnapshotContents::Full => take,
            SnapshotContents::NoConfig => Take { configuration: None, ..take },
            SnapshotContents::NoSessions => Take { sessions: Sessions::LeftOut, ..take },
            SnapshotContents::NoTerm => Take { last: Position { index, term: 0 }, ..take },
        })
    }

    /// A snapshot of this node's own is durable, or failed.
    pub(super) fn snapshot_taken(&mut self, meta: SnapshotMeta) {
        let last = meta.id.last;
        self.snapshots.taking = None;
        // One from a leader may have overtaken it.
        if last.index > self.snapshots.index() {
            self.snapshots.latest = Some(meta);
            self.trace(EventKind::Snapshot(SnapshotState::Taken, last));
            self.compact_behind(last.index);
        }
        self.answer_snapshot_orders(&OrderOutcome::Done(Some(last.index)));
    }

    /// The next one is due after the usual interval: whatever was wrong may have passed by then.
    pub(super) fn snapshot_not_taken(&mut self, reason: String) {
        self.snapshots.taking = None;
        self.answer_snapshot_orders(&OrderOutcome::Refused(reason));
    }

    fn answer_snapshot_orders(&mut self, outcome: &OrderOutcome) {
        for request in std::mem::take(&mut self.snapshots.orders) {
            self.out.ordered.push((request, outcome.clone()));
        }
    }

    /// Forgets what a snapshot that is not durable yet will cover.
    pub(super) fn compact_early(&mut self) {
        if let Some(index) = self.snapshots.early.take() {
            self.compact_behind(index);
        }
    }

    /// Forgets the log that a snapshot up to `index` covers, but for what late followers may still want.
    pub(super) fn compact_behind(&mut self, index: u64) {
        // No law, but a cost: a follower that needs a forgotten entry needs the whole state instead, and if it takes
        // longer than the leader takes to forget again, it never catches up.
        let kept = index.saturating_sub(self.rules.snapshot.log_keep.0);
        // What the disk was not handed yet cannot be taken from it.
        let index = kept.min(self.kept_for_transfers(index)).min(self.durability.issued_index());
        if index <= self.log.base().index {
            return;
        }
        self.log.compact(index);
        self.configurations.compacted(index);
        self.durability.compacted(index);
        self.trace(EventKind::Snapshot(SnapshotState::Compacted, self.log.base()));
    }

    /// Up to where the log may go, at most up to `index`, so that a follower finds what it needs once it has what it is being
    /// sent, within reason.
    fn kept_for_transfers(&self, index: u64) -> u64 {
        let transfers = self.leading.iter().flat_map(|leading| leading.progress.values());
        let oldest = transfers.filter_map(|progress| Some(progress.sending.as_ref()?.id.last.index)).min();
        let Some(oldest) = oldest else { return index };
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry.size_bytes();
            bytes <= KEPT_FOR_TRANSFERS_BYTES_MAX
        };
        let newest_first = self.log.range(oldest + 1, index).iter().rev();
        let kept = newest_first.take(KEPT_FOR_TRANSFERS_MAX).take_while(fits).count();
        index.saturating_sub(kept as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_state_is_written_when_the_log_has_outgrown_it() {
        let id = SnapshotId { last: Position::default(), checksum: 0 };
        let latest = Some(SnapshotMeta { id, size: 1000, configuration: None });
        let enough = SnapshotEvery::OUTGROWN_ENTRIES_MIN;
        let due = |latest: &Option<SnapshotMeta>, every, since, bytes| {
            Snapshots { latest: latest.clone(), bytes, ..Snapshots::default() }.due(every, since)
        };
        assert!(due(&None, SnapshotEvery::Outgrown, enough, 0), "the first one");
        assert!(!due(&None, SnapshotEvery::Outgrown, enough - 1, 5000), "too few entries");
        assert!(!due(&latest, SnapshotEvery::Outgrown, enough * 9, 999), "small entries, a large state");
        assert!(due(&latest, SnapshotEvery::Outgrown, enough, 1000));
        assert!(due(&latest, SnapshotEvery::Entries(3), 3, 0));
        assert!(due(&latest, SnapshotEvery::Bytes(9), 1, 9));
        assert!(!due(&latest, SnapshotEvery::Off, u64::MAX, u64::MAX));
    }
}
