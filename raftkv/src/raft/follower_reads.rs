//! Reads that a node cannot answer at once: it asks the leader for an index, or waits until it has applied one.
//!
//! Invariant: a read that was forwarded is answered from a state that contains everything acknowledged before it arrived,
//! because the question for it reached a leader that was confirmed after that, and the answer is bound to the question by a tag
//! that no other question has, also not one from before a restart.
//! Every read here ends: with an answer, or refused after `read_timeout`.
//! Deliberately without a cached index: an index that was asked for one read says nothing about a later one.
//! Reference: the end of section 6.4 of the thesis; section 6.4.1 of it for clients that bring an index.

use std::collections::{BTreeMap, VecDeque};

use super::election::Admission;
use super::io::{Micros, NodeId, Refusal, RequestId};
use super::message::{Message, ReadIndex, ReadIndexReply};
use super::reads::Asker;
use super::rules::{ReadMode, Toggle};
use super::{Raft, Random};

/// A question without an answer for so long was lost.
const ASK_AGAIN_AFTER_MS: u64 = 100;

/// Reads for which one index is asked.
#[derive(Clone, Debug)]
struct Question {
    tag: u64,
    requests: Vec<RequestId>,
    arrived: Micros,
    /// In which term and when the leader was asked last.
    asked: Option<(u64, Micros)>,
}

/// A read that waits for an index to be applied.
#[derive(Clone, Copy, Debug)]
struct Late {
    mode: &'static str,
    arrived: Micros,
}

/// What a node keeps of such reads.
#[derive(Clone, Debug)]
pub(super) struct FollowerReads {
    next_tag: u64,
    /// In the order of their arrival.
    questions: VecDeque<Question>,
    /// By the index that they wait for.
    late: BTreeMap<(u64, RequestId), Late>,
    /// Not later than the first of those is given up.
    late_due: Option<Micros>,
}

impl FollowerReads {
    /// None yet. Tags begin at a place that depends on the seed, because answers to an earlier process may still arrive.
    pub(super) fn new(seed: u64) -> Self {
        let next_tag = Random(!seed).between(0, u64::MAX / 2);
        Self { next_tag, questions: VecDeque::new(), late: BTreeMap::new(), late_due: None }
    }
}

impl Raft {
    /// Takes a read at a node that does not lead: its leader has to name an index.
    pub(super) fn forward_read(&mut self, now: Micros, request: RequestId) {
        if self.leader.is_none() && self.redirects() {
            self.out.refused.push((request, Refusal::NotLeader { leader: None }));
            return;
        }
        let shares = self.read_batch() == Toggle::On;
        let reads = &mut self.follower_reads;
        match reads.questions.back_mut() {
            // What was asked already does not cover a read that arrived later.
            Some(last) if shares && last.asked.is_none() && last.arrived == now => {
                last.requests.push(request)
            }
            _ => {
                let tag = reads.next_tag;
                reads.next_tag = tag.wrapping_add(1);
                reads.questions.push_back(Question {
                    tag,
                    requests: vec![request],
                    arrived: now,
                    asked: None,
                });
            }
        }
    }

    /// A leader is asked by a follower.
    pub(super) fn on_read_index(&mut self, now: Micros, from: NodeId, question: &ReadIndex) {
        if self.admit_request(now, question.term) == Admission::Current && self.leading.is_some() {
            self.read_at_commit_index(now, Asker::Follower(from, question.tag), ReadMode::FollowerReadIndex);
        }
    }

    /// The leader has named an index.
    pub(super) fn on_read_index_reply(&mut self, now: Micros, reply: &ReadIndexReply) {
        if self.admit_reply(now, reply.term) == Admission::Stale {
            return;
        }
        let questions = &mut self.follower_reads.questions;
        let Some(position) = questions.iter().position(|question| question.tag == reply.tag) else { return };
        let Some(question) = questions.remove(position) else { return };
        for request in question.requests {
            self.answer_when_applied(request, "follower_read_index", reply.index, question.arrived);
        }
    }

    /// Answers a read as soon as this node has applied `index`, at the end of this step at the earliest.
    pub(super) fn answer_when_applied(
        &mut self,
        request: RequestId,
        mode: &'static str,
        index: u64,
        arrived: Micros,
    ) {
        let due = arrived.plus_millis(self.read_timeout_ms());
        let reads = &mut self.follower_reads;
        reads.late.insert((index, request), Late { mode, arrived });
        reads.late_due = Some(reads.late_due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Asks for what is not asked yet, and answers what this node has applied by now.
    pub(super) fn advance_follower_reads(&mut self, now: Micros) {
        if !self.follower_reads.questions.is_empty() {
            self.ask_leader(now);
        }
        // The honest law: a read waits "for its state machine to advance at least as far as the readIndex" (thesis, section 6.4,
        // step 4). A leader of this node applies what it commits in the same step; a follower may be behind.
        let reach = if self.rules.read.read_wait_apply { self.applied } else { u64::MAX };
        while let Some(first) = self.follower_reads.late.first_entry()
            && first.key().0 <= reach
        {
            let ((index, request), Late { mode, .. }) = first.remove_entry();
            self.answer_read(request, mode, index.min(self.applied));
        }
        if self.follower_reads.late.is_empty() {
            self.follower_reads.late_due = None;
        }
    }

    fn ask_leader(&mut self, now: Micros) {
        if self.leading.is_some() {
            // It has become the leader itself.
            for question in std::mem::take(&mut self.follower_reads.questions) {
                for request in question.requests {
                    self.read_at_commit_index(
                        question.arrived,
                        Asker::Client(request),
                        ReadMode::FollowerReadIndex,
                    );
                }
            }
            return;
        }
        let (Some(leader), term) = (self.leader, self.term) else { return };
        let mut asking = Vec::new();
        for question in &mut self.follower_reads.questions {
            let waits = question
                .asked
                .is_some_and(|(asked_in, at)| asked_in == term && now.millis_since(at) < ASK_AGAIN_AFTER_MS);
            if !waits {
                question.asked = Some((term, now));
                asking.push(question.tag);
            }
        }
        for tag in asking {
            self.send(leader, Message::ReadIndex(ReadIndex { term, tag }));
        }
    }

    /// When the first question is asked again, should no answer arrive.
    pub(super) fn question_due(&self) -> Option<Micros> {
        // Without a leader there is nobody to ask; whoever gets to know one asks at once.
        self.leader.filter(|_| self.leading.is_none())?;
        let asked = self.follower_reads.questions.iter().filter_map(|question| question.asked);
        asked.map(|(_, at)| at.plus_millis(ASK_AGAIN_AFTER_MS)).min()
    }

    /// When the first of these reads is given up.
    pub(super) fn follower_reads_due(&self) -> Option<Micros> {
        let questions = &self.follower_reads.questions;
        let asked = questions.front().map(|question| question.arrived.plus_millis(self.read_timeout_ms()));
        [asked, self.follower_reads.late_due].into_iter().flatten().min()
    }

    /// Refuses the reads that have waited for too long.
    pub(super) fn give_up_late_reads(&mut self, now: Micros) {
        if self.follower_reads_due().is_none_or(|due| now < due) {
            return;
        }
        let timeout = self.read_timeout_ms();
        let is_over = |arrived: Micros| now >= arrived.plus_millis(timeout);
        let reads = &mut self.follower_reads;
        let mut over = Vec::new();
        while reads.questions.front().is_some_and(|question| is_over(question.arrived)) {
            over.extend(reads.questions.pop_front().into_iter().flat_map(|question| question.requests));
        }
        let late = reads.late.iter().filter(|(_, late)| is_over(late.arrived)).map(|(key, _)| *key);
        let late: Vec<(u64, RequestId)> = late.collect();
        for key in late {
            reads.late.remove(&key);
            over.push(key.1);
        }
        reads.late_due = reads.late.values().map(|late| late.arrived.plus_millis(timeout)).min();
        for request in over {
            self.refuse_late_read(request);
        }
    }

    fn refuse_late_read(&mut self, request: RequestId) {
        let elsewhere = self.leader.filter(|&leader| leader != self.id);
        let refusal = match elsewhere {
            Some(leader) if self.redirects() => Refusal::NotLeader { leader: Some(leader) },
            _ => Refusal::Busy("this node could not bring its state up to the read in time"),
        };
        self.out.refused.push((request, refusal));
    }

    /// A follower that cannot answer in time sends its clients where the state is newest. Either way the read had no effect.
    fn redirects(&self) -> bool {
        self.rules.read.read_redirect
    }

    /// How long a read may wait.
    pub(super) fn read_timeout_ms(&self) -> u64 {
        self.rules.read.read_timeout.0
    }
}
