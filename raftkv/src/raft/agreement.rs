//! Whether the replicas' states are still the same: hashes at the same index, compared every while.
//!
//! Invariant: nobody stops because of one opinion. A leader asks all members for the hash of their state behind one index;
//! a node stops when a majority of the voters has another hash there than it has itself, be it a follower or the leader.
//! With the state machines equal nothing is ever sent but one small message and its answer.
//! Deliberately without repair: which entry made the difference is for people to find. Witnesses have no state to compare.
//! Reference: etcd's `--experimental-corrupt-check-time` and its issues 13766 and 14139, where replicas differed for weeks
//! because nothing compared them.

use std::collections::{BTreeMap, VecDeque};

use super::Raft;
use super::election::Admission;
use super::io::{Micros, NodeId};
use super::message::{Message, StateHash, StateHashReply};
use super::rules::Toggle;
use super::trace::EventKind;

/// How many indices of the past are remembered, so that members that are not equally far can be compared.
const STATES_MAX: usize = 4096;
/// How often a leader asks.
const INTERVAL_MS: u64 = 500;

/// What this node knows of its own state and of others'.
#[derive(Clone, Debug, Default)]
pub(super) struct Agreement {
    /// Index and hash, by index.
    own: VecDeque<(u64, u64)>,
    due: Micros,
    /// On a leader: what it has asked about, and the answers.
    asked: Option<(u64, u64)>,
    answers: BTreeMap<NodeId, u64>,
    /// On a follower: what was asked about, and by whom, before this node was there. Only the latest counts to the leader.
    open: Option<(NodeId, StateHash)>,
}

impl Agreement {
    fn own_at(&self, index: u64) -> Option<u64> {
        let position = self.own.binary_search_by_key(&index, |state| state.0).ok()?;
        Some(self.own[position].1)
    }
}

impl Raft {
    /// Takes the hashes of this node's state behind entries that it has applied, in their order. Every driver tells them.
    pub fn note_states(&mut self, states: &[(u64, u64)]) {
        let own = &mut self.agreement.own;
        for &state in states {
            // After a restart, or where weakened rules made the state machine jump, earlier knowledge is void.
            while own.back().is_some_and(|last| last.0 >= state.0) {
                own.pop_back();
            }
            own.push_back(state);
        }
        while own.len() > STATES_MAX {
            own.pop_front();
        }
    }

    /// A new leader asks only when its followers have had the time to follow.
    pub(super) fn begin_to_compare(&mut self, now: Micros) {
        self.agreement.asked = None;
        self.agreement.answers.clear();
        self.agreement.due = now.plus_millis(INTERVAL_MS);
    }

    /// On a leader: asks the members for their state, if it is time and something has changed.
    pub(super) fn compare_states(&mut self, now: Micros) {
        // The honest law: replicas that applied the same entries have the same state (section 2 of the paper), which nothing in
        // the protocol checks. Memory, disks and code fail; a replica that differs must not lead.
        if self.rules.client.periodic_hash_check == Toggle::Off || now < self.agreement.due {
            return;
        }
        self.agreement.due = now.plus_millis(INTERVAL_MS);
        // Under `apply_at: append` the state contains more than what is committed.
        let committed = self.agreement.own.partition_point(|state| state.0 <= self.commit);
        let last = committed.checked_sub(1).and_then(|last| self.agreement.own.get(last));
        let Some(&(index, hash)) = last else { return };
        let everybody = self.configuration().members().len() - self.configuration().witnesses().len();
        if self.agreement.asked == Some((index, hash)) && self.agreement.answers.len() + 1 >= everybody {
            return;
        }
        self.agreement.asked = Some((index, hash));
        self.agreement.answers.clear();
        self.ask_for_states(None);
    }

    fn ask_for_states(&mut self, only: Option<NodeId>) {
        let Some((index, hash)) = self.agreement.asked else { return };
        let is_agreed = self.voters_with(hash) >= self.majority_of_states();
        let question = StateHash { term: self.term, index, hash, is_agreed };
        for peer in self.peers().into_iter().filter(|peer| only.is_none_or(|only| only == *peer)) {
            self.send(peer, Message::StateHash(question.clone()));
        }
    }

    /// More than half of the voters.
    fn majority_of_states(&self) -> usize {
        self.configuration().all_voters().len() / 2 + 1
    }

    /// How many voters have this hash at the index that this leader has asked about.
    fn voters_with(&self, hash: u64) -> usize {
        let own = self.agreement.asked.map(|asked| asked.1);
        let hash_of =
            |node: &NodeId| if *node == self.id { own } else { self.agreement.answers.get(node).copied() };
        self.configuration().all_voters().iter().filter(|node| hash_of(node) == Some(hash)).count()
    }

    pub(super) fn on_state_hash(&mut self, now: Micros, from: NodeId, question: &StateHash) {
        if self.admit_request(now, question.term) == Admission::Stale || self.leading.is_some() {
            return;
        }
        // The earlier one may have become answerable since the last step.
        self.answer_about_state();
        self.agreement.open = Some((from, question.clone()));
        self.answer_about_state();
    }

    /// On a follower: answers what its leader asked about as soon as this node has applied that. A leader whose log grows
    /// always asks about what its followers have yet to apply, and soon asks about something else.
    pub(super) fn answer_about_state(&mut self) {
        let asked = self.agreement.open.take();
        let Some((from, question)) =
            asked.filter(|asked| asked.1.term == self.term && self.leading.is_none())
        else {
            return;
        };
        let Some(own) = self.agreement.own_at(question.index) else {
            self.agreement.open = Some((from, question));
            return;
        };
        self.trace(EventKind::State(question.index, own));
        if question.is_agreed && own != question.hash {
            self.stop_because_different(question.index, own, question.hash);
            return;
        }
        let reply = StateHashReply { term: self.term, index: question.index, hash: own };
        self.send_in_term(from, Message::StateHashReply(reply));
    }

    pub(super) fn on_state_hash_reply(&mut self, now: Micros, from: NodeId, reply: &StateHashReply) {
        if self.admit_reply(now, reply.term) == Admission::Stale || self.leading.is_none() {
            return;
        }
        let Some((index, own)) = self.agreement.asked.filter(|asked| asked.0 == reply.index) else { return };
        if self.agreement.answers.insert(from, reply.hash).is_none() && self.agreement.answers.len() == 1 {
            self.trace(EventKind::State(index, own));
        }
        let different: Vec<(NodeId, u64)> = self
            .agreement
            .answers
            .iter()
            .filter(|(_, hash)| **hash != own)
            .map(|(node, hash)| (*node, *hash))
            .collect();
        if self.voters_with(own) >= self.majority_of_states() {
            for (node, _) in different {
                self.ask_for_states(Some(node));
            }
            return;
        }
        let outvoted = different
            .iter()
            .map(|(_, hash)| *hash)
            .find(|hash| self.voters_with(*hash) >= self.majority_of_states());
        if let Some(hash) = outvoted {
            self.stop_because_different(index, own, hash);
        }
    }

    fn stop_because_different(&mut self, index: u64, own: u64, others: u64) {
        self.out.halt = Some(format!(
            "the state of this node behind entry {index} hashes to {own:016x}, that of a majority to {others:016x}: this \
             replica has diverged and must not serve. Keep its data directory for whoever looks for the reason, remove the \
             node from the cluster and add a new member under another id"
        ));
    }
}
