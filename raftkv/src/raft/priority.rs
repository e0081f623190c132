//! Which voters lead if they can.
//!
//! Invariant: a priority decides who asks for votes first and to whom a leader offers its place, never who may win:
//! votes are given by the rules of `election` alone. Every wait is finite, so a preferred node that is down, or that
//! lags, delays a failover and never prevents it.
//! Deliberately without a priority that keeps a node from leading for ever: that is what learners and witnesses are for.
//! Reference: the priority elections of SOFAJRaft, where a node below the target priority lets an election timeout pass
//! and then lowers the target; section 3.10 of the thesis for a leader that hands over to a server that is more suitable.

use super::Raft;
use super::io::{Micros, NodeId};

/// A leader offers its place again after so many of the longest election timeouts.
const OFFER_EVERY_TIMEOUTS: u64 = 10;

/// What a node has done for those that are preferred to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Courtesy {
    /// Election timeouts that it let pass since it last heard of a leader.
    passed: usize,
    /// When it offers its place next, if it leads.
    next_offer: Micros,
}

impl Courtesy {
    /// A node that starts at `now`.
    pub(super) fn new(now: Micros) -> Self {
        Self { passed: 0, next_offer: now }
    }
}

impl Raft {
    /// How much `node` should lead.
    pub(super) fn priority(&self, node: NodeId) -> i32 {
        // Nothing depends on it but time (see above), so every value is honest.
        self.rules.vote.election_priority.of(node)
    }

    /// Whether this node lets an election timeout pass for others: one for each voter that is preferred to it.
    pub(super) fn gives_way(&mut self) -> bool {
        let own = self.priority(self.id);
        let preferred =
            self.configuration().voters().iter().filter(|&&node| self.priority(node) > own).count();
        let gives_way = self.courtesy.passed < preferred;
        self.courtesy.passed += usize::from(gives_way);
        gives_way
    }

    /// A leader was heard, so whoever is preferred had its chance.
    pub(super) fn forget_courtesy(&mut self) {
        self.courtesy.passed = 0;
    }

    /// This node begins to lead. Others get the time to be heard before it looks for a better one.
    pub(super) fn postpone_offer(&mut self, now: Micros) {
        self.courtesy.next_offer = now.plus_millis(self.patience.range.max);
    }

    /// A leader hands over to a voter that is preferred to it and has everything that is committed, once it knows how much
    /// that is.
    pub(super) fn offer_leadership(&mut self, now: Micros) {
        let Some(leading) = &self.leading else { return };
        let has_committed = self.log.term(self.commit) == Some(self.term);
        if !has_committed || now < self.courtesy.next_offer || self.transfers.target().is_some() {
            return;
        }
        let own = self.priority(self.id);
        let suitable = |&node: &NodeId| {
            let progress = leading.progress.get(&node)?;
            let fresh = now.millis_since(progress.heard) < self.patience.range.min;
            let preferred = self.priority(node) > own;
            (preferred && fresh && progress.match_index >= self.commit).then_some((self.priority(node), node))
        };
        let Some((_, target)) = self.configuration().voters().iter().filter_map(suitable).max() else {
            return;
        };
        self.courtesy.next_offer = now.plus_millis(OFFER_EVERY_TIMEOUTS * self.patience.range.max);
        self.begin_transfer(now, target, None);
    }
}
