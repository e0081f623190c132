//! The role in which a node starts.
//!
//! Invariant: every server starts as a follower, because a role is volatile (section 5.2 of the paper): what it stood for,
//! a majority, may be gone by now. Term, vote and log are all that a restart may rely on.
//! Reference: figures 2 and 4 of the paper.

use super::Raft;
use super::io::{HardState, Micros};
use super::message::Occasion;
use super::rules::{PreVote, StartRole};

impl Raft {
    /// The role in which this node starts, if it is not the usual one.
    pub(super) fn unusual_start(&self) -> Option<StartRole> {
        // The honest law: "when servers start up, they begin as followers" (section 5.2 of the paper). A candidate would
        // not listen for the present leader first.
        let role = if self.has_no_past() {
            self.rules.vote.initial_role
        } else {
            // The honest law: the same for a restart. Above all, a leader's log may have lost what it had already sent; in
            // its old term it would give out those indices a second time. Only a new term is safe.
            self.rules.vote.restart_role
        };
        (role != StartRole::Follower).then_some(role)
    }

    /// Whether this node has neither term nor vote nor log: nothing that it could have promised to anybody.
    pub(super) fn has_no_past(&self) -> bool {
        let recovered = HardState { term: self.term, voted_for: self.voted_for };
        recovered == HardState::default() && self.log.last_index() == 0
    }

    /// A new cluster need not wait for a leader that it cannot have. A node without a past asks after a third of its first
    /// election timeout already, and only whether it could win: where there is a leader, that changes nothing (thesis,
    /// section 9.6). A node with a past waits for the whole time, because its vote may have been promised to a leader's
    /// lease.
    pub(super) fn shorten_first_wait(&mut self, now: Micros) {
        if self.has_no_past() && self.pre_vote() != PreVote::Off && self.patience.is_random() {
            let whole = self.election_due.millis_since(now);
            self.election_due = now.plus_millis(whole / 3);
        }
    }

    /// Takes up that role, with the first input.
    pub(super) fn take_up_role(&mut self, now: Micros) {
        match self.starts_as.take() {
            None | Some(StartRole::Follower) => {}
            Some(StartRole::Candidate) => self.campaign(now, Occasion::Timeout),
            // No role is on disk. What comes nearest to "it led" is that the node voted for itself.
            Some(StartRole::Leader) if self.voted_for == Some(self.id) => self.lead(now),
            Some(StartRole::Leader) if self.term == 0 => {
                self.enter_term(1);
                self.lead(now);
            }
            Some(StartRole::Leader) => {}
        }
    }
}
