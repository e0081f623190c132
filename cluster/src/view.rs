//! What one node says of itself.
//!
//! Invariant: a field is `None` where the system, or the node in its present state, does not tell; nothing here is guessed
//! or carried over from an earlier look. What a node says is evidence for waiting and for aiming, never for a verdict.

use serde::{Deserialize, Serialize};

use crate::messages::MessageState;
use crate::system::NodeId;

/// The role that a node believes it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Follower, or learner.
    Follower,
    /// It rehearses an election (thesis, section 9.6).
    PreCandidate,
    /// It stands for election.
    Candidate,
    /// Leader.
    Leader,
}

/// What one node says of itself, as far as its system tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct View {
    /// Its role.
    pub role: Option<Role>,
    /// Its current term.
    pub term: Option<u64>,
    /// Whom it takes for the leader.
    pub leader: Option<NodeId>,
    /// Its vote in its term.
    pub voted_for: Option<Vote>,
    /// The highest index that it knows to be committed.
    pub commit_index: Option<u64>,
    /// The highest index that it has applied.
    pub last_applied: Option<u64>,
    /// The last index of its log.
    pub last_log_index: Option<u64>,
    /// The term of its last entry.
    pub last_log_term: Option<u64>,
    /// How far its log is on its disk.
    pub durable_index: Option<u64>,
    /// The last entry that its newest snapshot covers; 0 without one.
    pub snapshot_index: Option<u64>,
    /// The end of its log, up to [`LOG_TAIL_MAX`] entries, oldest first.
    pub log: Option<Vec<LogEntry>>,
    /// At a leader: how far each other member is.
    pub progress: Option<Vec<Progress>>,
    /// The configuration in force, committed or not.
    pub config: Option<Membership>,
    /// To whom it is handing leadership over.
    pub transfer: Option<NodeId>,
    /// At a leader that answers reads by a lease: whether it has one.
    pub lease: Option<Lease>,
    /// The threads that stand at a failpoint.
    pub held: Option<Vec<HeldThread>>,
    /// What it does with arriving messages.
    pub messages: Option<MessageState>,
    /// How often it was started on its data directory.
    pub boot: Option<u64>,
}

/// The most entries that a view has of a log.
pub const LOG_TAIL_MAX: usize = 64;

/// A node's vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vote {
    /// It has given none in its term.
    Nobody,
    /// It voted for this node.
    For(NodeId),
}

/// One entry of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Its index.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// The empty entry of a new leader.
    Noop,
    /// A client's command.
    Command,
    /// A configuration.
    Config,
    /// What a witness keeps of a command.
    Digest,
}

/// How far a leader knows a member to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The member.
    pub node: NodeId,
    /// The last entry that it is known to have.
    pub match_index: u64,
    /// The next entry to send to it.
    pub next_index: u64,
}

/// A configuration of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The members that count; of a joint configuration those of C-new.
    pub voters: Vec<NodeId>,
    /// In a joint configuration: the members that count as well, as C-old.
    pub outgoing: Vec<NodeId>,
    /// The members that get the log and do not count.
    pub learners: Vec<NodeId>,
    /// The voters that keep no state machine.
    pub witnesses: Vec<NodeId>,
    /// Where in the log it stands; 0 for the initial one.
    pub index: u64,
    /// Whether it is committed, as far as the node knows.
    pub committed: bool,
}

/// A leader's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lease {
    /// It has none, or it has run out.
    Absent,
    /// It has one for so many microseconds more, by its own clock.
    Lasts {
        /// How many.
        us: u64,
    },
}

/// A thread that stands at a failpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldThread {
    /// The name of the point.
    pub point: String,
    /// The name of the thread.
    pub thread: String,
    /// The index of the entry that it is about.
    #[serde(default)]
    pub index: Option<u64>,
    /// The key of the command that it is about.
    #[serde(default)]
    pub key: Option<String>,
}

impl View {
    /// Whether a thread stands at this failpoint; `None` if the system does not tell.
    pub fn is_held_at(&self, point: &str) -> Option<bool> {
        self.held.as_ref().map(|held| held.iter().any(|thread| thread.point == point))
    }
}
