//! What a node makes of what its disk gave back.
//!
//! Invariant: a promise that was made before a restart binds after it. Where the disk may have forgotten one, the node
//! is told so here, and does less: it gives no vote, or stops.
//! Reference: "persistent state on all servers" in figure 2 of the paper; section 3.8 of the thesis; Alagappan et al.,
//! "Protocol-Aware Recovery for Consensus-Based Storage", FAST 2018.

use super::Raft;
use super::io::{HardState, Micros};
use super::log::Log;
use super::message::Heartbeat;
use super::rules::{OnLogRegression, Rules, VoteLossGuard};

/// Whether a node may speak for the promises that were made under its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It remembers them, or never made any.
    #[default]
    Voter,
    /// It lost them with its disk. It takes the log like anybody, and neither votes nor asks for votes.
    Learner,
}

/// The term and vote to start with.
pub(super) fn recovered_hard_state(rules: &Rules, found: HardState, log: &Log) -> HardState {
    // The honest law: an entry of a term proves that this node was in that term, and terms never fall ("current terms
    // are exchanged whenever servers communicate", section 5.1 of the paper). Whom it voted for in it nobody knows.
    if found.term < log.last_term() && rules.storage.term_from_log_on_boot {
        HardState { term: log.last_term(), voted_for: None }
    } else {
        found
    }
}

/// Whether the commit index is written down, and believed after a restart.
pub(super) fn keeps_commit_index(rules: &Rules) -> bool {
    // The honest law: the commit index is "volatile state on all servers" (figure 2). It is learned again from the next
    // leader, so to keep it is allowed and saves only the wait for that.
    rules.storage.persist_commit_index
}

/// The commit index to start with: what was written down, if it is kept, as far as the log reaches. Why the node must not start,
/// if it must not.
pub(super) fn recovered_commit(rules: &Rules, found: u64, log: &Log) -> Result<u64, String> {
    if !keeps_commit_index(rules) {
        return Ok(0);
    }
    if found > log.last_index() && refuses_lost_entries(rules) {
        return Err(format!(
            "entry {found} is committed as far as this node remembers, but its log ends at {}: the disk has lost acknowledged \
             entries; remove this node from the cluster and add a new one",
            log.last_index()
        ));
    }
    Ok(found.min(log.last_index()))
}

/// Whether a node that finds that its log was longer stops.
fn refuses_lost_entries(rules: &Rules) -> bool {
    // The honest law: "each server also persists new log entries before they are counted towards the entries' commitment"
    // (thesis, section 3.8). A node that finds that it did not cannot know what else it has promised. etcd stops here: "tocommit is
    // out of range [lastIndex]. Was the raft log corrupted, truncated, or lost?", and "state.commit is out of range" at a
    // start.
    rules.storage.on_log_regression == OnLogRegression::Refuse
}

impl Raft {
    /// Whether this node knows that it has not voted yet in the present term, if it has no vote there.
    fn remembers_its_vote(&self) -> bool {
        let may_have_voted = self.term == self.recovered_term && self.voted_for.is_none();
        // The honest law: a vote is on disk before it is given (figure 2), so that its absence proves that there was
        // none. Where that cannot be relied on but the term can, to abstain for the rest of that term is enough.
        match self.rules.storage.vote_loss_guard {
            VoteLossGuard::None => true,
            VoteLossGuard::AbstainTerm => !may_have_voted,
        }
    }

    /// Whether this node may give its vote of the present term, to others or to itself.
    pub(super) fn may_vote(&self) -> bool {
        self.could_vote() && self.remembers_its_vote()
    }

    /// Whether this node could vote in a term that it has not entered yet.
    pub(super) fn could_vote(&self) -> bool {
        self.standing == Standing::Voter && !self.disk_is_full()
    }

    /// Whether this node must not ask for votes, its own among them.
    pub(super) fn may_not_lead(&self, now: Micros) -> bool {
        !self.could_vote() || self.disk_is_slow(now)
    }

    /// Compares this node's log with what the leader believes of it. A leader declares only entries as committed that
    /// this node has acknowledged to it in this term, so a commit index behind the end of the log means that
    /// acknowledged entries are gone.
    pub(super) fn check_for_lost_entries(&mut self, heartbeat: &Heartbeat) {
        let last_index = self.log.last_index();
        if heartbeat.commit <= last_index {
            return;
        }
        if refuses_lost_entries(&self.rules) {
            self.out.halt = Some(format!(
                "the leader of term {} knows that this node acknowledged entry {}, but its log ends at {last_index}: the \
                 disk has lost acknowledged entries; remove this node from the cluster and add a new one",
                self.term, heartbeat.commit
            ));
        }
    }
}
