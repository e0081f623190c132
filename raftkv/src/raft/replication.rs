//! The leader's side of the log: what it appends, what it sends, what it learns from the answers.
//!
//! Invariant (leader append-only): a leader never removes or overwrites an entry of its own log. It sends
//! entries while its own disk is still writing them, and counts its own copy only once that is done (see
//! `commit`).
//! A follower that needs what the log has no more gets a snapshot instead (see `install`).
//! Reference: section 5.3 of the paper; section 10.2.2 of the thesis for batching and pipelining.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Raft;
use super::change::Changes;
use super::election::Admission;
use super::io::{Micros, NodeId, Refusal, RequestId};
use super::lease::Rounds;
use super::log::{Entry, Payload, SliceLimit};
use super::message::{
    AppendEntries, AppendOutcome, AppendReply, Heartbeat, HeartbeatReply, Message, Rejection,
};
use super::progress::{Bounds, Progress};
use super::reads::Reads;
use super::rules::{Backtrack, HeartbeatCommit, LeaderDisk, MatchFrom, Toggle};
use super::status::PeerStatus;
use super::trace::{Detail, EntryMark, EventKind};
use super::witness::{Keeping, WITNESS_HAS_NO_STATE};

/// No further entry goes into a message that is as large as this.
const APPEND_BYTES_MAX: usize = 1 << 20;

/// A leader that cannot commit takes no more entries than these,
const UNCOMMITTED_ENTRIES_MAX: u64 = 1 << 16;
/// and no more bytes than these.
const UNCOMMITTED_BYTES_MAX: usize = 64 << 20;

/// No further message with entries goes to a follower that has so many bytes to answer for.
const INFLIGHT_BYTES_MAX: usize = 8 << 20;

/// After so long without a sign, entries are taken as lost on the way and asked about. A slow follower
/// answers too.
const RESEND_AFTER_MS: u64 = 40;

/// What a client waits for at an index of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenKind {
    /// Its command is there.
    Proposal,
    /// A marker of its read is there.
    Read,
}

/// A request whose entry is not applied yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) index: u64,
    pub(super) request: RequestId,
    pub(super) kind: OpenKind,
}

/// What a node knows only while it leads.
#[derive(Clone, Debug)]
pub(super) struct Leading {
    pub(super) progress: BTreeMap<NodeId, Progress>,
    pub(super) heartbeat_due: Micros,
    /// The number of the last round of heartbeats that was sent.
    pub(super) round: u64,
    /// When the latest of them began.
    pub(super) rounds: Rounds,
    /// In the order of their indices.
    pub(super) open: VecDeque<Open>,
    /// The size of the entries that it appended and has not handed out to be applied.
    uncommitted_bytes: usize,
    /// Up to where `open` was answered before its entries were committed.
    pub(super) acknowledged: u64,
    pub(super) reads: Reads,
    /// Which state of the configurations `progress` reflects.
    pub(super) members_as_of: Option<(u64, u64)>,
    /// The orders to change the members that are under way.
    pub(super) changes: Changes,
    /// Learners that have shown that they keep up, since the last order.
    pub(super) keeps_up: BTreeSet<NodeId>,
}

impl Leading {
    /// A leader whose log ends at `last_index`.
    pub(super) fn new(
        now: Micros,
        heartbeat_due: Micros,
        last_index: u64,
        peers: impl Iterator<Item = NodeId>,
    ) -> Self {
        Self {
            progress: peers.map(|peer| (peer, Progress::new(now, last_index))).collect(),
            heartbeat_due,
            round: 0,
            rounds: Rounds::default(),
            open: VecDeque::new(),
            uncommitted_bytes: 0,
            acknowledged: 0,
            reads: Reads::default(),
            members_as_of: None,
            changes: Changes::default(),
            keeps_up: BTreeSet::new(),
        }
    }

    pub(super) fn peer_statuses(&self) -> Vec<PeerStatus> {
        let status = |(&id, progress): (&NodeId, &Progress)| PeerStatus {
            id,
            match_index: progress.match_index,
            next_index: progress.next_index,
            inflight: progress.inflight.messages(),
            inflight_bytes: progress.inflight.bytes(),
        };
        self.progress.iter().map(status).collect()
    }

    /// These entries were handed out to be applied. Those of earlier terms were not counted.
    pub(super) fn committed(&mut self, entries: &[Entry], term: u64) {
        let own = entries.iter().filter(|entry| entry.term == term);
        let bytes = own.map(Entry::size_bytes).sum();
        self.uncommitted_bytes = self.uncommitted_bytes.saturating_sub(bytes);
    }
}

impl Raft {
    pub(super) fn propose(&mut self, request: RequestId, command: Vec<u8>) {
        let (bytes, max) = (command.len(), self.max_entry_bytes());
        if bytes > max {
            self.out.refused.push((request, Refusal::TooLarge { bytes, max }));
            return;
        }
        if self.leading.is_some() && self.keeping() != Keeping::Everything {
            self.out.refused.push((request, Refusal::Busy(WITNESS_HAS_NO_STATE)));
            return;
        }
        self.append_for(request, OpenKind::Proposal, Payload::Command(command.into()));
    }

    /// How many bytes a command may have.
    pub fn max_entry_bytes(&self) -> usize {
        // Not a law of the paper: a large entry holds up everything behind it on its connection, heartbeats too, so it is
        // better refused while it is without any effect (the request limit of etcd).
        self.rules.log.max_entry_bytes.0
    }

    /// Appends an entry on behalf of a client, or refuses.
    pub(super) fn append_for(&mut self, request: RequestId, kind: OpenKind, payload: Payload) {
        if self.leading.is_none() {
            self.out.refused.push((request, Refusal::NotLeader { leader: self.leader_hint() }));
            return;
        }
        if let Some(reason) = self.takes_no_entry() {
            self.out.refused.push((request, Refusal::Busy(reason)));
            return;
        }
        let index = self.append_own(payload);
        if let Some(leading) = &mut self.leading {
            leading.open.push_back(Open { index, request, kind });
        }
    }

    /// Why this leader takes no entry at present.
    fn takes_no_entry(&self) -> Option<&'static str> {
        let bytes = self.leading.as_ref().map_or(0, |leading| leading.uncommitted_bytes);
        let entries = self.log.last_index().saturating_sub(self.commit);
        if self.hands_over() {
            Some("leadership is being handed over")
        } else if entries >= UNCOMMITTED_ENTRIES_MAX || bytes >= UNCOMMITTED_BYTES_MAX {
            Some("too many entries wait to be committed")
        } else {
            None
        }
    }

    /// Appends an entry of this leader's term. It is sent at the end of the step.
    pub(super) fn append_own(&mut self, payload: Payload) -> u64 {
        let entry = self.log.push(self.term, payload);
        let (index, bytes) = (entry.index, entry.size_bytes());
        let mark = (self.detail == Detail::Everything).then(|| EntryMark::from(entry));
        let configuration = matches!(entry.payload, Payload::Configuration(_)).then(|| entry.clone());
        if let Some(leading) = &mut self.leading {
            leading.uncommitted_bytes += bytes;
        }
        // One line for all entries of a step.
        match (mark, self.out.trace.last_mut().map(|event| &mut event.kind)) {
            (Some(mark), Some(EventKind::Append(marks))) => marks.push(mark),
            (Some(mark), _) => self.trace(EventKind::Append(vec![mark])),
            (None, _) => {}
        }
        self.configurations_appended(configuration.as_slice());
        index
    }

    /// Sends every follower what it can take now.
    pub(super) fn send_appends(&mut self, now: Micros) {
        let (bounds, limit) = (self.bounds(), self.message_limit());
        let Some(leading) = &mut self.leading else { return };
        // The honest law: a leader's own disk is one of the copies that are counted and need not be the first, so it
        // writes while its followers do (thesis, section 10.2.1). To write first is as safe and takes longer.
        let queue = match self.rules.storage.leader_disk {
            LeaderDisk::Parallel => &mut self.out.send,
            LeaderDisk::BeforeSend => &mut self.out.send_durable,
        };
        let mut behind = Vec::new();
        for (&peer, progress) in &mut leading.progress {
            while progress.may_send(self.log.last_index(), bounds) {
                let prev_index = progress.next_index.saturating_sub(1);
                if prev_index < self.log.base().index {
                    behind.push(peer);
                    break;
                }
                let limit = SliceLimit { entries: progress.entries_at_once(limit.entries), ..limit };
                let entries = self.log.slice(progress.next_index, limit);
                let bytes = entries.iter().map(Entry::size_bytes).sum();
                progress.sent(now, entries.last().map(|entry| entry.index), bytes);
                let prev_term = self.log.term(prev_index).unwrap_or_default();
                let append =
                    AppendEntries { term: self.term, prev_index, prev_term, entries, commit: self.commit };
                queue.push((peer, Message::AppendEntries(append)));
            }
        }
        behind.into_iter().for_each(|peer| self.begin_sending(now, peer));
        self.send_chunks();
    }

    /// How much may be on its way to one follower.
    fn bounds(&self) -> Bounds {
        // Waiting for each answer is the plain protocol of the paper. Sending ahead is safe because the follower checks
        // what comes before the entries of each message (thesis, section 10.2.2).
        let messages = match self.rules.log.pipelining {
            Toggle::On => self.rules.log.max_inflight.0,
            Toggle::Off => return Bounds { messages: 1, bytes: INFLIGHT_BYTES_MAX },
        };
        match self.flow_control() {
            Toggle::On => Bounds { messages, bytes: INFLIGHT_BYTES_MAX },
            Toggle::Off => Bounds { messages: usize::MAX, bytes: usize::MAX },
        }
    }

    /// Whether what waits for a slow follower is bounded, here and in the transport.
    pub fn flow_control(&self) -> Toggle {
        // The honest law: a leader sends no more than a follower can be expected to answer for; the log keeps the rest
        // anyway. Otherwise the messages pile up in the leader's memory (`MaxInflightMsgs` and `MaxInflightBytes` of
        // etcd-io/raft).
        self.rules.log.flow_control
    }

    /// How much one message may carry.
    fn message_limit(&self) -> SliceLimit {
        // A batch shares one message, one write of the follower and one answer (thesis, section 10.2.2).
        let entries = match self.rules.log.batching {
            Toggle::On => self.rules.log.max_entries_per_append.0,
            Toggle::Off => 1,
        };
        SliceLimit { entries, bytes: APPEND_BYTES_MAX }
    }

    /// Begins a new round of heartbeats.
    pub(super) fn send_heartbeats(&mut self) {
        let Some(leading) = &mut self.leading else { return };
        leading.round += 1;
        leading.rounds.began(leading.round, self.leases.clock);
        // The honest law: a heartbeat vouches for no entries, so it may declare only those committed that the
        // follower is known to share with the leader ("min(leaderCommit, index of last new entry)", figure 2
        // of the paper).
        let capped = self.rules.commit.heartbeat_commit == HeartbeatCommit::MinMatch;
        for (&peer, progress) in &leading.progress {
            let commit = if capped { self.commit.min(progress.match_index) } else { self.commit };
            let heartbeat = Heartbeat { term: self.term, commit, round: leading.round };
            self.out.send.push((peer, Message::Heartbeat(heartbeat)));
        }
    }

    pub(super) fn on_append_reply(&mut self, now: Micros, from: NodeId, reply: &AppendReply) {
        if self.admit_reply(now, reply.term) == Admission::Stale {
            return;
        }
        let Some(progress) = self.leading.as_mut().and_then(|leading| leading.progress.get_mut(&from)) else {
            return;
        };
        progress.heard = now;
        match &reply.outcome {
            AppendOutcome::Matched(index) if *index <= self.log.last_index() => {
                // The honest law: "if successful: update nextIndex and matchIndex for follower" to what this
                // reply vouches for (figure 2 of the paper). With a pipeline, more may be on its way.
                let matched = match self.rules.log.match_from {
                    MatchFrom::Ack => *index,
                    MatchFrom::NextIndex => progress.next_index - 1,
                };
                progress.matched(now, matched);
            }
            AppendOutcome::Rejected(rejection) => self.back_up(from, rejection),
            AppendOutcome::Matched(_) | AppendOutcome::StaleTerm => {}
        }
    }

    /// Goes back to where the follower's log may agree.
    fn back_up(&mut self, from: NodeId, rejection: &Rejection) {
        let Some(progress) = self.leading.as_mut().and_then(|leading| leading.progress.get_mut(&from)) else {
            return;
        };
        // Nobody refuses what was never sent.
        let refused = rejection.prev_index.min(self.log.last_index());
        // "Decrement nextIndex and retry" (figure 2 of the paper), or skip the terms in which the logs differ (end of section
        // 5.3). The answer to the next probe is what counts, so every way is safe.
        match self.rules.log.backtrack {
            Backtrack::One => progress.rejected(refused, refused.saturating_sub(1)),
            Backtrack::TermHint => {
                let bound = self.log.agreement_bound(rejection.hint_index, rejection.hint_term).0;
                progress.rejected(refused, bound);
            }
            Backtrack::Binary => progress.rejected_by_halves(refused, self.log.base().index),
        }
    }

    pub(super) fn on_heartbeat_reply(&mut self, now: Micros, from: NodeId, reply: &HeartbeatReply) {
        if self.admit_reply(now, reply.term) == Admission::Stale {
            return;
        }
        let Some(leading) = &mut self.leading else { return };
        let Some(progress) = leading.progress.get_mut(&from) else { return };
        progress.heard = now;
        progress.round = progress.round.max(reply.round.min(leading.round));
        progress.answered_heartbeat(now, reply.last_index, RESEND_AFTER_MS);
        if progress.has_stalled(now, RESEND_AFTER_MS) {
            progress.moved = now;
            let prev_index = progress.next_index - 1;
            let prev_term = self.log.term(prev_index).unwrap_or_default();
            let probe = AppendEntries {
                term: self.term,
                prev_index,
                prev_term,
                entries: Vec::new(),
                commit: self.commit,
            };
            self.send(from, Message::AppendEntries(probe));
        }
        self.ask_how_far(now, from);
    }
}
