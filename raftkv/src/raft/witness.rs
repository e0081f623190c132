//! Voters without a state machine.
//!
//! Invariant: what a witness saves is the state machine, not the promise. An acknowledgement promises that a quorum that
//! elects a later leader will meet somebody who knows the entry, so a witness may forget at most what is in it.
//! A witness that becomes an ordinary voter, because it is removed and added again, makes its state from its log. Where it
//! has kept only hashes it cannot, and stops: the data then needs a new member under another id.
//! References: the witness replicas of braft (pull request 398) and the log-only replicas of TiKV (RFC 106); section 5.4
//! of the paper for what an acknowledgement is worth.

use super::Raft;
use super::io::{Micros, NodeId};
use super::log::Entry;
use super::message::AppendEntries;
use super::rules::Witness;

/// What clients are told.
pub(super) const WITNESS_HAS_NO_STATE: &str = "this node is a witness and has no state; ask another node";

/// What a node does with the entries that it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeping {
    /// It keeps and applies them.
    Everything,
    /// It keeps them, as far as the rule says, and applies nothing.
    Log(Witness),
}

impl Raft {
    /// What the witnesses of this cluster keep.
    pub(super) fn witness(&self) -> Witness {
        // The honest law: a voter acknowledges what is on its stable storage (figure 2 of the paper). Whoever forgets
        // index and term of an entry votes for a candidate that lacks it (section 5.4.1), and whoever forgets its
        // contents cannot help anybody to get it back.
        self.rules.membership.witness
    }

    /// What this node keeps. A witness that is removed stays one until it is a member again.
    pub(super) fn keeping(&self) -> Keeping {
        let configuration = self.configuration();
        let was_removed = !configuration.contains(self.id) && self.handed_out < self.applied;
        match self.witness() {
            Witness::None => Keeping::Everything,
            kind if configuration.is_witness(self.id) || was_removed => Keeping::Log(kind),
            _ => Keeping::Everything,
        }
    }

    /// Whether this node may lead as far as its contents are concerned, or why not.
    pub(super) fn has_what_leading_takes(&self) -> Result<(), &'static str> {
        let is_witness = self.keeping() != Keeping::Everything;
        // The honest law: a leader feeds the others from its log (section 5.3 of the paper). A witness that keeps all
        // of it can do that for a while, and hands leadership on to a node that can answer clients.
        if is_witness && !self.rules.membership.witness_can_lead {
            return Err("a witness may not lead, by the rule witness_can_lead");
        }
        if self.log.range(0, u64::MAX).iter().any(Entry::is_digest) {
            return Err("its log has lost the contents of some entries");
        }
        Ok(())
    }

    /// What of a leader's entries goes into the log.
    pub(super) fn as_kept(&self, entries: &[Entry]) -> Vec<Entry> {
        match self.keeping() {
            Keeping::Log(Witness::LogMeta) => entries.iter().map(Entry::digest).collect(),
            Keeping::Everything | Keeping::Log(_) => entries.to_vec(),
        }
    }

    /// On a witness that forgets: promises all of `append` and keeps nothing. Whether this node is one.
    pub(super) fn only_promises(&mut self, append: &AppendEntries) -> bool {
        let forgets = self.keeping() == Keeping::Log(Witness::VoteOnly);
        if forgets {
            self.promised = self.promised.max(append.prev_index + append.entries.len() as u64);
        }
        forgets
    }

    /// The last index that this node claims to have.
    pub(super) fn claimed_last_index(&self) -> u64 {
        self.promised.max(self.log.last_index())
    }

    /// A witness that leads hands leadership to a voter with a state machine, as soon as one is there and has all that is
    /// committed; to another one if the last that was chosen did not take over.
    pub(super) fn hand_over_as_witness(&mut self, now: Micros) {
        let Some(leading) = self.leading.as_ref().filter(|_| self.keeping() != Keeping::Everything) else {
            return;
        };
        let configuration = self.configuration();
        let has_all = |node: &&NodeId| {
            let Some(progress) = leading.progress.get(node) else { return false };
            let is_there = now.millis_since(progress.heard) < self.patience.range.min;
            is_there && progress.match_index >= self.commit && self.log.term(self.commit) == Some(self.term)
        };
        let keepers = configuration.voters().iter().filter(|&&node| !configuration.is_witness(node));
        let successor = keepers.filter(has_all).min_by_key(|&&node| self.transfers.was_missed_by(node));
        if let Some(&successor) = successor
            && self.transfers.target().is_none()
        {
            self.begin_transfer(now, successor, None);
        }
    }
}
