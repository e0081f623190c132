//! Sending a snapshot to a follower that needs entries which the log has no more, and taking one from a leader.
//!
//! Invariants: a follower acknowledges a snapshot only when its file and the start of its log behind it are durable; what
//! it had acknowledged before stays, because a snapshot of committed entries is ignored and entries behind its place are
//! kept where the logs agree. Parts are taken in order and of one snapshot at a time; the answer names the offset to go
//! on with, which is how a transfer resumes after a loss. At most [`WINDOW`] parts to a follower are under way, and none
//! is kept in memory for it.
//! Deliberately volatile at the receiver: after its restart a transfer begins again.
//! Reference: InstallSnapshot, figure 13 of the paper. It sends one part at a time, without naming the snapshot or
//! verifying the whole.

use super::Raft;
use super::election::Admission;
use super::io::{Micros, NodeId};
use super::log::Position;
use super::message::{InstallOutcome, InstallReply, InstallSnapshot, Message};
use super::progress::{Feeding, Probe, Progress};
use super::rules::SnapshotTransfer;
use super::snapshot::{
    Chunk, SendChunk, SnapshotId, SnapshotMeta, SnapshotReport, SnapshotWork, Verification,
};
use super::trace::{EventKind, Role, SnapshotState};

/// Parts that may be under way to one follower.
const WINDOW: u64 = 4;

/// After so long without getting on, parts are taken as lost and the follower is asked how far it is. A part takes a
/// while on a slow link, and the last one until the follower's disk has all of it.
const PATIENCE_MS: u64 = 200;

/// A transfer to a follower that has been silent for so many of the longest election timeouts is given up.
const SILENT_TIMEOUTS_MAX: u64 = 100;

/// The pause after a snapshot that arrived in vain begins with [`PATIENCE_MS`] and doubles so often: up to 6.4 s.
const SETBACK_DOUBLINGS_MAX: u32 = 5;

/// A snapshot on its way to a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sending {
    pub(super) id: SnapshotId,
    total: u64,
    /// Up to where the follower has it.
    acknowledged: u64,
    /// Up to where it was sent.
    sent: u64,
    /// When it last got on.
    moved: Micros,
}

impl Sending {
    fn of(meta: &SnapshotMeta, now: Micros) -> Self {
        Self { id: meta.id, total: meta.size, acknowledged: 0, sent: 0, moved: now }
    }

    /// Up to where the follower has it.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    fn has_stalled(&self, now: Micros) -> bool {
        now.millis_since(self.moved) >= PATIENCE_MS
    }

    /// The follower wants the bytes from `offset` on.
    fn wanted(&mut self, now: Micros, offset: u64) {
        let offset = offset.min(self.total);
        if offset > self.acknowledged {
            self.sent = self.sent.max(offset);
        } else if self.has_stalled(now) {
            // After a silence it says what was lost: everything behind, or all of it with the follower's memory.
            self.sent = offset;
        } else {
            // An older answer that was overtaken, or one to a part that came too early.
            return;
        }
        (self.acknowledged, self.moved) = (offset, now);
    }
}

/// A snapshot that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Receiving {
    id: SnapshotId,
    total: u64,
    /// The bytes that are there, from the first on.
    offset: u64,
    /// The leader's term.
    term: u64,
}

impl Receiving {
    /// All parts were handed on; what they make is not known yet.
    fn is_complete(&self) -> bool {
        self.offset == self.total
    }
}

/// Snapshots that arrived in vain, one after the other: what the disk keeps is not what the leader named, or the disk keeps
/// nothing. Each is the whole state, so the node lets twice as much time pass after each of them before it takes parts
/// again; the leader, which gets no answer to its question how far it is, sends none meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Setbacks {
    count: u32,
    pause_until: Option<Micros>,
}

impl Setbacks {
    fn add(&mut self, now: Micros) {
        self.pause_until = Some(now.plus_millis(PATIENCE_MS << self.count));
        self.count = (self.count + 1).min(SETBACK_DOUBLINGS_MAX);
    }

    fn pause_lasts(&self, now: Micros) -> bool {
        self.pause_until.is_some_and(|until| now < until)
    }
}

/// The leader's side.
impl Raft {
    /// Begins to send the latest snapshot to a follower that needs what is not in the log any more.
    pub(super) fn begin_sending(&mut self, now: Micros, to: NodeId) {
        let latest = self.snapshots.latest.as_ref();
        let Some(progress) = self.leading.as_mut().and_then(|leading| leading.progress.get_mut(&to)) else {
            return;
        };
        // Until the follower has it, it is sent nothing else. Without a snapshot, which only weakened rules bring about,
        // it is asked again after the next heartbeat.
        progress.feeding = Feeding::Probe(Probe::Sent);
        progress.inflight = Default::default();
        progress.sending = latest.map(|meta| Sending::of(meta, now));
    }

    /// Sends what fits into the windows of all transfers.
    pub(super) fn send_chunks(&mut self) {
        let Some(leading) = &mut self.leading else { return };
        let part = self.chunk_bytes as u64;
        for (&to, progress) in &mut leading.progress {
            let Some(transfer) = &mut progress.sending else { continue };
            let end = transfer.total.min(transfer.acknowledged + WINDOW * part);
            while transfer.sent < end {
                let len = part.min(transfer.total - transfer.sent);
                self.out.snapshots.push(chunk_for(to, self.term, transfer, transfer.sent, len as usize));
                transfer.sent += len;
            }
        }
    }

    /// Gives up what is being sent to followers that have been silent for long, so that nothing of the log is kept for them any
    /// more. Who answers again is sent the snapshot that is the latest then, and of the same one only what it lacks.
    pub(super) fn give_up_silent_transfers(&mut self, now: Micros) {
        let patience = SILENT_TIMEOUTS_MAX * self.patience.range.max;
        let Some(leading) = &mut self.leading else { return };
        let transfers = leading.progress.values_mut().filter(|progress| progress.sending.is_some());
        for progress in transfers.filter(|progress| now.millis_since(progress.heard) > patience) {
            progress.sending = None;
            progress.feeding = Feeding::Probe(Probe::Sent);
        }
    }

    /// A follower has answered a heartbeat: if its transfer does not get on, it is asked how far it is.
    pub(super) fn ask_how_far(&mut self, now: Micros, to: NodeId) {
        let Some(progress) = self.leading.as_mut().and_then(|leading| leading.progress.get_mut(&to)) else {
            return;
        };
        if let Some(transfer) = progress.sending.as_ref().filter(|transfer| transfer.has_stalled(now)) {
            self.out.snapshots.push(chunk_for(to, self.term, transfer, transfer.acknowledged, 0));
        }
    }

    pub(super) fn on_install_reply(&mut self, now: Micros, from: NodeId, reply: &InstallReply) {
        if self.admit_reply(now, reply.term) == Admission::Stale {
            return;
        }
        let last_index = self.log.last_index();
        let Some(progress) = self.leading.as_mut().and_then(|leading| leading.progress.get_mut(&from)) else {
            return;
        };
        progress.heard = now;
        match (&reply.outcome, &mut progress.sending) {
            (&InstallOutcome::Wanted(id, offset), Some(transfer)) if transfer.id == id => {
                transfer.wanted(now, offset);
            }
            (&InstallOutcome::Covered(index), transfer) if index <= last_index => {
                if transfer.is_some_and(|transfer| transfer.id.last.index <= index) {
                    *transfer = None;
                }
                progress.has_snapshot(now, index);
            }
            _ => {}
        }
    }

    /// A part could not be read: its file has gone, or is damaged.
    pub(super) fn not_sent(&mut self, to: NodeId, id: SnapshotId) {
        let Some(progress) = self.leading.as_mut().and_then(|leading| leading.progress.get_mut(&to)) else {
            return;
        };
        if progress.sending.is_some_and(|transfer| transfer.id == id) {
            // The next heartbeat begins again with the latest snapshot.
            progress.sending = None;
            progress.feeding = Feeding::Probe(Probe::Sent);
        }
    }
}

fn chunk_for(to: NodeId, term: u64, transfer: &Sending, offset: u64, len: usize) -> SnapshotWork {
    SnapshotWork::Send(SendChunk { to, term, id: transfer.id, total: transfer.total, offset, len })
}

impl Progress {
    /// The follower has everything up to `index`, and the log goes on behind it.
    fn has_snapshot(&mut self, now: Micros, index: u64) {
        self.matched(now, index);
        if self.sending.is_none() && self.feeding == Feeding::Probe(Probe::Sent) {
            self.feeding = Feeding::Probe(Probe::Ready);
        }
    }
}

/// The follower's side.
impl Raft {
    pub(super) fn on_install_snapshot(&mut self, now: Micros, from: NodeId, part: InstallSnapshot) {
        if !is_possible(&part) {
            return;
        }
        if self.admit_request(now, part.term) == Admission::Stale {
            let reply = InstallReply { term: self.term, outcome: InstallOutcome::StaleTerm };
            self.send_in_term(from, Message::InstallReply(reply));
            return;
        }
        if self.role == Role::Leader {
            return;
        }
        self.heard_leader(now, from);
        if self.is_covered(part.id.last.index) {
            self.vouch_for_snapshot(from, part.id.last.index);
        } else if !self.snapshots.setbacks.pause_lasts(now) {
            self.take_part(from, part);
        }
    }

    /// Whether a snapshot up to `index` has nothing that this node does not know to be committed.
    fn is_covered(&self, index: u64) -> bool {
        // The honest law: a snapshot that is older than what the follower has is ignored; going back to it would remove
        // entries that were acknowledged and maybe committed since (section 7 of the paper: one that "describes a prefix of its
        // log" leaves what follows; etcd and others compare with the commit index as here).
        index <= self.commit && self.rules.snapshot.snapshot_install_guard
    }

    fn vouch_for_snapshot(&mut self, to: NodeId, index: u64) {
        self.trace_durable(EventKind::Ack(to, index));
        let reply = InstallReply { term: self.term, outcome: InstallOutcome::Covered(index) };
        self.send_durable(to, Message::InstallReply(reply));
    }

    fn take_part(&mut self, from: NodeId, part: InstallSnapshot) {
        let InstallSnapshot { term, id, total, offset, data } = part;
        let fresh = Receiving { id, total, offset: 0, term };
        let mut receiving = *self.snapshots.receiving.get_or_insert(fresh);
        if receiving.is_complete() {
            // It is being verified. The leader will ask.
            return;
        }
        let end = offset + data.len() as u64;
        // The honest law: the parts of one snapshot make a whole only in their order and without those of another, and
        // it is used once all of it is what the leader named. Figure 13 of the paper relies on one leader that sends
        // one part at a time and nothing else.
        let (taken, verification) = match self.rules.snapshot.snapshot_transfer {
            SnapshotTransfer::ChunkedVerified => {
                // What an earlier leader sends no more, or this one has given up, must not come in between.
                let newer = (term, id.last.index) >= (receiving.term, receiving.id.last.index);
                if receiving.id != id && newer {
                    receiving = fresh;
                }
                let next = receiving.id == id && receiving.offset == offset && end > offset;
                (next.then_some(Receiving { offset: end, ..receiving }), Verification::Whole)
            }
            SnapshotTransfer::ChunkedNaive => {
                (Some(Receiving { offset: end, ..fresh }).filter(|_| end > offset), Verification::None)
            }
        };
        let receiving = taken.unwrap_or(receiving);
        self.snapshots.receiving = Some(receiving);
        if taken.is_some() {
            self.out.snapshots.push(SnapshotWork::Store(Chunk { id, offset, data }));
        }
        if receiving.is_complete() {
            self.out.snapshots.push(SnapshotWork::Complete(id, verification));
        } else if receiving.id == id {
            let outcome = InstallOutcome::Wanted(id, receiving.offset);
            self.send_in_term(from, Message::InstallReply(InstallReply { term: self.term, outcome }));
        }
    }

    pub(super) fn snapshot_report(&mut self, now: Micros, report: SnapshotReport) {
        match report {
            SnapshotReport::Taken(meta) => self.snapshot_taken(meta),
            SnapshotReport::NotTaken(reason) => self.snapshot_not_taken(reason),
            SnapshotReport::Received(meta) => self.snapshot_received(meta),
            SnapshotReport::NotReceived(..) => {
                self.snapshots.receiving = None;
                self.snapshots.setbacks.add(now);
            }
            SnapshotReport::NotSent(to, id) => self.not_sent(to, id),
        }
    }

    /// A received snapshot is durable.
    fn snapshot_received(&mut self, meta: SnapshotMeta) {
        self.snapshots.receiving = None;
        self.snapshots.setbacks = Setbacks::default();
        let last = meta.id.last;
        // Entries may have come in while it was verified, or an election.
        if !self.is_covered(last.index) && self.role != Role::Leader {
            self.install(meta);
        } else if last.index > self.snapshots.index() {
            self.snapshots.latest = Some(meta);
        }
        if let Some(leader) = self.leader.filter(|&leader| leader != self.id) {
            self.vouch_for_snapshot(leader, last.index);
        }
    }

    /// Lets a snapshot take the place of the state machine and of the log up to it.
    fn install(&mut self, meta: SnapshotMeta) {
        let last = meta.id.last;
        let agrees = self.log.term(last.index) == Some(last.term);
        // The honest law: "if existing log entry has same index and term as snapshot's last included entry, retain log
        // entries following it" (figure 13, step 6): they may have been acknowledged, and maybe committed.
        if agrees && self.rules.snapshot.snapshot_install_keep_suffix {
            self.log.compact(last.index);
            if last.index <= self.durability.issued_index() {
                self.durability.compacted(last.index);
            } else {
                // The disk was not handed the entries before yet, and never will be.
                self.durability.reset(last);
            }
        } else {
            self.replace_log(last);
        }
        self.configurations_replaced(last.index, meta.configuration.clone());
        (self.commit, self.applied, self.handed_out) = (last.index, last.index, last.index);
        self.trace(EventKind::Snapshot(SnapshotState::Installed, last));
        self.out.restore = Some(meta.id);
        self.snapshots.installed(meta);
    }

    fn replace_log(&mut self, last: Position) {
        if self.log.last_index() > last.index {
            self.trace(EventKind::Truncate(last.index + 1));
        }
        self.log.reset(last);
        self.durability.reset(last);
    }
}

/// Whether a message makes sense at all.
fn is_possible(part: &InstallSnapshot) -> bool {
    let end = part.offset.checked_add(part.data.len() as u64);
    let last = part.id.last;
    // The log goes on behind it.
    let has_a_place = last.index > 0 && last.index < u64::MAX;
    has_a_place && last.term <= part.term && part.total > 0 && end.is_some_and(|end| end <= part.total)
}
