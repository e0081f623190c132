//! What a node tells about itself, for `/status` and for tests.

use serde::Serialize;

use super::Raft;
use super::io::{Micros, NodeId};
use super::rules::Rules;

/// A node's state at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The node.
    pub id: NodeId,
    /// `follower`, `pre_candidate`, `candidate` or `leader`.
    pub role: &'static str,
    /// Its term.
    pub term: u64,
    /// The leader of that term, as far as it knows.
    pub leader: Option<NodeId>,
    /// Its vote in that term.
    pub voted_for: Option<NodeId>,
    /// Its commit index.
    pub commit: u64,
    /// The last entry handed out to be applied.
    pub applied: u64,
    /// Its last entry.
    pub last_index: u64,
    /// The term of that.
    pub last_term: u64,
    /// The first entry that its log still has, or the next one if it has none.
    pub first_log_index: u64,
    /// The last entry that its newest snapshot covers, 0 without one.
    pub snapshot_index: u64,
    /// How far its log is on disk.
    pub durable_index: u64,
    /// The members that count; of a joint configuration those of C-new.
    pub members: Vec<NodeId>,
    /// The members that count as well, as C-old, in a joint configuration.
    pub outgoing: Vec<NodeId>,
    /// The members that get the log and do not count.
    pub learners: Vec<NodeId>,
    /// Those that keep no state machine.
    pub witnesses: Vec<NodeId>,
    /// Where in the log the configuration in force stands; 0 for the initial one.
    pub config_index: u64,
    /// Whether that is committed, as far as the node knows.
    pub config_committed: bool,
    /// To whom leadership is being handed.
    pub transfer: Option<NodeId>,
    /// On a leader that answers by a lease: until when that lasts, by the clock of leases.
    pub lease_until: Option<Micros>,
    /// On a leader: how far each other member is.
    pub progress: Vec<PeerStatus>,
}

/// How far a leader knows a follower to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PeerStatus {
    /// The follower.
    pub id: NodeId,
    /// The last entry that it is known to have.
    pub match_index: u64,
    /// The next entry to send.
    pub next_index: u64,
    /// Unanswered messages with entries.
    pub inflight: usize,
    /// The size of those entries.
    pub inflight_bytes: usize,
}

impl Raft {
    /// The node's state now.
    pub fn status(&self) -> Status {
        let (config_index, configuration) = self.in_force();
        Status {
            id: self.id,
            role: self.role.as_str(),
            term: self.term,
            leader: self.leader,
            voted_for: self.voted_for,
            commit: self.commit,
            applied: self.applied,
            last_index: self.log.last_index(),
            last_term: self.log.last_term(),
            first_log_index: self.log.first_index(),
            snapshot_index: self.snapshots.index(),
            durable_index: self.durability.durable_index(),
            members: configuration.voters().to_vec(),
            outgoing: configuration.outgoing().to_vec(),
            learners: configuration.learners().to_vec(),
            witnesses: configuration.witnesses().to_vec(),
            config_index,
            config_committed: config_index <= self.commit,
            transfer: self.transfers.target(),
            lease_until: self.lease_until(),
            progress: self.leading.as_ref().map(|leading| leading.peer_statuses()).unwrap_or_default(),
        }
    }

    /// The rules that it follows.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Its log, for tests and the simulation.
    pub fn log(&self) -> &super::log::Log {
        &self.log
    }

    /// Its role.
    pub fn role(&self) -> super::trace::Role {
        self.role
    }

    /// Its term.
    pub fn term(&self) -> u64 {
        self.term
    }
}
