//! Reads without a disk write.
//!
//! Invariant: a linearizable read is answered from a state that contains everything acknowledged before it
//! arrived, because (1) the leader knows the latest commit index once it has committed in its own term, and
//! (2) a majority confirms after the read's arrival that no newer leader has acknowledged anything.
//! Deliberately without leases and without reads at followers.
//! Reference: section 8 of the paper, section 6.4 of the thesis.

use std::collections::VecDeque;

use super::Raft;
use super::io::{Refusal, RequestId};
use super::log::Payload;
use super::replication::OpenKind;
use super::rules::{ReadIndexConfirm, ReadMode};
use super::trace::EventKind;
use super::witness::{Keeping, WITNESS_HAS_NO_STATE};

/// A read that waits for its leader to be confirmed.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    request: RequestId,
    /// The commit index at its arrival; unknown until the leader has committed in its term.
    index: Option<u64>,
    /// The first round of heartbeats that began after its arrival.
    round: u64,
}

/// Whether a round of heartbeats was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    Begun,
    NotNeeded,
}

/// The reads of a leader, in the order of their arrival.
#[derive(Clone, Debug, Default)]
pub(super) struct Reads {
    waiting: VecDeque<Waiting>,
}

impl Reads {
    /// The requests that nobody will answer any more.
    pub(super) fn into_requests(self) -> impl Iterator<Item = RequestId> {
        self.waiting.into_iter().map(|read| read.request)
    }
}

impl Raft {
    pub(super) fn read(&mut self, request: RequestId) {
        if self.keeping() != Keeping::Everything {
            self.out.refused.push((request, Refusal::Busy(WITNESS_HAS_NO_STATE)));
            return;
        }
        // The honest law: a read must not return stale data although it is not in the log; it goes through
        // the log, or the leader exchanges heartbeats with a majority first (section 8 of the paper, section
        // 6.4 of the thesis).
        match self.rules.read.read_mode {
            ReadMode::Log => self.append_for(request, OpenKind::Read, Payload::Noop),
            ReadMode::ReadIndex => self.read_at_commit_index(request),
            ReadMode::Local => self.answer_read(request, "local", self.applied),
        }
    }

    fn read_at_commit_index(&mut self, request: RequestId) {
        let index = self.knows_commit_index().then_some(self.commit);
        let Some(leading) = &mut self.leading else {
            self.out.refused.push((request, Refusal::NotLeader { leader: self.leader_hint() }));
            return;
        };
        leading.reads.waiting.push_back(Waiting { request, index, round: leading.round + 1 });
    }

    /// Whether this leader's commit index is at least that of all its predecessors.
    fn knows_commit_index(&self) -> bool {
        let committed_in_term = self.log.term(self.commit) == Some(self.term);
        // The honest law: "if the leader has not yet marked an entry from its current term committed, it
        // waits until it has done so" (thesis, section 6.4, step 1).
        committed_in_term || !self.rules.read.read_index_requires_current_term_commit
    }

    /// Answers the reads that are confirmed and begins a round of heartbeats for those that are not. One
    /// round at a time: it serves every read that arrived before it began.
    pub(super) fn answer_reads(&mut self) {
        self.answer_confirmed_reads();
        if self.begin_round_for_reads() == Round::Begun {
            // A leader without peers has confirmed itself already.
            self.answer_confirmed_reads();
        }
    }

    fn answer_confirmed_reads(&mut self) {
        let known = self.knows_commit_index();
        let confirmed = self.confirmed_round();
        let Some(leading) = &mut self.leading else { return };
        if known {
            for read in leading.reads.waiting.iter_mut().rev().take_while(|read| read.index.is_none()) {
                read.index = Some(self.commit);
            }
        }
        let mut answers = Vec::new();
        while let Some(Waiting { request, index: Some(index), round }) =
            leading.reads.waiting.front().copied()
            && round <= confirmed
        {
            leading.reads.waiting.pop_front();
            answers.push((request, index));
        }
        for (request, index) in answers {
            self.answer_read(request, "read_index", index);
        }
    }

    fn begin_round_for_reads(&mut self) -> Round {
        let confirmed = self.confirmed_round();
        let Some(leading) = &self.leading else { return Round::NotNeeded };
        let waits_for_the_next = leading.reads.waiting.back().is_some_and(|read| read.round > leading.round);
        if !waits_for_the_next || leading.round > confirmed {
            return Round::NotNeeded;
        }
        self.send_heartbeats();
        Round::Begun
    }

    /// The last round of heartbeats that a majority has answered.
    fn confirmed_round(&self) -> u64 {
        let Some(leading) = &self.leading else { return 0 };
        let round = self.of_members(leading, leading.round, 0, |progress| progress.round);
        // The honest law: the round must begin after the read's arrival and be answered by a majority
        // (thesis, section 6.4, step 3); a leader's own belief may be out of date.
        match self.rules.read.read_index_confirm {
            ReadIndexConfirm::FreshRound => self.confirmed(round).unwrap_or(0),
            ReadIndexConfirm::None => u64::MAX,
        }
    }

    pub(super) fn answer_read(&mut self, request: RequestId, mode: &'static str, index: u64) {
        self.trace(EventKind::Read(mode, index));
        self.out.reads.push((request, index));
    }
}
