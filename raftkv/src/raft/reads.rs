//! Reads without a disk write.
//!
//! Invariant: a linearizable read is answered from a state that contains everything acknowledged before it
//! arrived, because (1) the leader knows the latest commit index once it has committed in its own term, and
//! (2) a majority confirms after the read's arrival that no newer leader has acknowledged anything, or has promised
//! that there will be none before now (`lease`).
//! How other nodes answer is in `follower_reads`.
//! Reference: section 8 of the paper, section 6.4 of the thesis.

use std::collections::VecDeque;

use super::Raft;
use super::io::{Micros, NodeId, ReadAsk, Refusal, RequestId};
use super::log::Payload;
use super::message::{Message, ReadIndexReply};
use super::replication::OpenKind;
use super::rules::{ReadIndexConfirm, ReadMode, Toggle};
use super::trace::EventKind;
use super::witness::{Keeping, WITNESS_HAS_NO_STATE};

/// A leader that is not confirmed takes no more questions of followers than these.
const QUESTIONS_MAX: usize = 1 << 16;

/// Who waits for an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A client of this node.
    Client(RequestId),
    /// A follower, with the tag of its question.
    Follower(NodeId, u64),
}

/// A read that waits for its leader to be confirmed.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    asker: Asker,
    mode: ReadMode,
    arrived: Micros,
    /// The commit index at its arrival; unknown until the leader has committed in its term.
    index: Option<u64>,
    /// The first round of heartbeats that began after its arrival and may confirm it.
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
    /// The requests that nobody will answer any more. A follower asks the next leader by itself.
    pub(super) fn into_requests(self) -> impl Iterator<Item = RequestId> {
        self.waiting.into_iter().filter_map(|read| match read.asker {
            Asker::Client(request) => Some(request),
            Asker::Follower(..) => None,
        })
    }
}

impl Raft {
    pub(super) fn read(&mut self, now: Micros, request: RequestId, ask: ReadAsk) {
        if self.keeping() != Keeping::Everything {
            self.out.refused.push((request, Refusal::Busy(WITNESS_HAS_NO_STATE)));
            return;
        }
        let (mode, client) = (ask.mode.unwrap_or(self.read_mode()), Asker::Client(request));
        match mode {
            ReadMode::Log => self.append_for(request, OpenKind::Read, Payload::Noop),
            ReadMode::Local => self.read_what_is_here(now, request, "local", ask.seen),
            ReadMode::FollowerLocal if self.leading.is_none() => {
                self.read_what_is_here(now, request, "follower_local", ask.seen);
            }
            ReadMode::FollowerReadIndex if self.leading.is_none() => self.forward_read(now, request),
            ReadMode::ReadIndex | ReadMode::Lease | ReadMode::FollowerReadIndex | ReadMode::FollowerLocal => {
                self.read_at_commit_index(now, client, mode);
            }
        }
    }

    /// How reads are answered, unless a client chooses.
    pub(super) fn read_mode(&self) -> ReadMode {
        // The honest law: a read must not return stale data although it is not in the log; it goes through
        // the log, or the leader exchanges heartbeats with a majority first (section 8 of the paper, section
        // 6.4 of the thesis).
        self.rules.read.read_mode
    }

    /// Answers from this node's own state, which may lag behind.
    fn read_what_is_here(&mut self, now: Micros, request: RequestId, mode: &'static str, seen: u64) {
        // The honest law: such reads are serializable at best. Time never goes backwards for a client that tells "the latest
        // index corresponding to results" that it has seen, if the server waits for that (thesis, section 6.4.1).
        let needed = match self.rules.read.session_index {
            Toggle::On => seen,
            Toggle::Off => 0,
        };
        if self.applied >= needed {
            self.answer_read(request, mode, self.applied);
        } else {
            self.answer_when_applied(request, mode, needed, now);
        }
    }

    /// Takes a read, or the question of a follower, that this leader has to be confirmed for.
    pub(super) fn read_at_commit_index(&mut self, arrived: Micros, asker: Asker, mode: ReadMode) {
        let index = self.knows_commit_index().then_some(self.commit);
        let shares = self.read_batch() == Toggle::On;
        let Some(leading) = &mut self.leading else {
            if let Asker::Client(request) = asker {
                self.out.refused.push((request, Refusal::NotLeader { leader: self.leader_hint() }));
            }
            return;
        };
        let waiting = &mut leading.reads.waiting;
        if matches!(asker, Asker::Follower(..)) && waiting.len() >= QUESTIONS_MAX {
            return;
        }
        let latest = waiting.back().filter(|_| !shares).map_or(0, |read| read.round);
        let round = leading.round.max(latest) + 1;
        waiting.push_back(Waiting { asker, mode, arrived, index, round });
    }

    /// One round of heartbeats confirms every read that arrived before it began (thesis, section 6.4: "to improve
    /// efficiency further, the leader can amortize the cost of confirming its leadership").
    pub(super) fn read_batch(&self) -> Toggle {
        self.rules.read.read_batch
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

    fn waits_for_confirmation(&self) -> bool {
        self.leading.as_ref().is_some_and(|leading| !leading.reads.waiting.is_empty())
    }

    fn answer_confirmed_reads(&mut self) {
        if !self.waits_for_confirmation() {
            return;
        }
        let known = self.knows_commit_index();
        let confirmed = self.confirmed_round();
        // Asked now, after all these reads have arrived: an old answer would not do.
        let lease = self.holds_lease();
        let Some(leading) = &mut self.leading else { return };
        if known {
            for read in leading.reads.waiting.iter_mut().rev().take_while(|read| read.index.is_none()) {
                read.index = Some(self.commit);
            }
        }
        let mut answers = Vec::new();
        while let Some(Waiting { asker, mode, index: Some(index), round, .. }) =
            leading.reads.waiting.front().copied()
        {
            let by_lease = mode == ReadMode::Lease && lease;
            if round > confirmed && !by_lease {
                break;
            }
            leading.reads.waiting.pop_front();
            answers.push((asker, if by_lease { "lease" } else { "read_index" }, index));
        }
        for (asker, mode, index) in answers {
            match asker {
                Asker::Client(request) => self.answer_read(request, mode, index),
                Asker::Follower(node, tag) => {
                    let reply = ReadIndexReply { term: self.term, tag, index };
                    self.send_in_term(node, Message::ReadIndexReply(reply));
                }
            }
        }
    }

    fn begin_round_for_reads(&mut self) -> Round {
        if !self.waits_for_confirmation() {
            return Round::NotNeeded;
        }
        let (confirmed, shares) = (self.confirmed_round(), self.read_batch() == Toggle::On);
        let mut begun = Round::NotNeeded;
        while let Some(leading) = &self.leading
            && leading.reads.waiting.back().is_some_and(|read| read.round > leading.round)
            && (leading.round <= confirmed || !shares)
        {
            self.send_heartbeats();
            begun = Round::Begun;
        }
        begun
    }

    /// The last round of heartbeats that a majority has answered.
    fn confirmed_round(&self) -> u64 {
        let Some(leading) = &self.leading else { return 0 };
        let round = self.of_members(leading, leading.round, 0, |progress| progress.round);
        let answered = || self.confirmed(round).unwrap_or(0);
        // The honest law: the round must begin after the read's arrival and be answered by a majority
        // (thesis, section 6.4, step 3); a leader's own belief may be out of date, and so may earlier answers.
        match self.rules.read.read_index_confirm {
            ReadIndexConfirm::FreshRound => answered(),
            ReadIndexConfirm::StaleAcks if answered() > 0 => u64::MAX,
            ReadIndexConfirm::StaleAcks => 0,
            ReadIndexConfirm::None => u64::MAX,
        }
    }

    /// When the first read that waits for a confirmation is given up.
    pub(super) fn reads_due(&self) -> Option<Micros> {
        let first = self.leading.as_ref()?.reads.waiting.front()?;
        Some(first.arrived.plus_millis(self.read_timeout_ms()))
    }

    /// Refuses the reads for which no confirmation came. A follower gives its own up.
    pub(super) fn give_up_unconfirmed_reads(&mut self, now: Micros) {
        while self.reads_due().is_some_and(|due| now >= due)
            && let Some(leading) = &mut self.leading
            && let Some(read) = leading.reads.waiting.pop_front()
        {
            if let Asker::Client(request) = read.asker {
                let reason = "no majority has confirmed this leader in time";
                self.out.refused.push((request, Refusal::Busy(reason)));
            }
        }
    }

    pub(super) fn answer_read(&mut self, request: RequestId, mode: &'static str, index: u64) {
        self.trace(EventKind::Read(mode, index));
        self.out.reads.push((request, index));
    }
}
