//! What a fault may do to a cluster: the whole surface between `nemesis` and `cluster`.
//!
//! A trait, so that the choice, the ledger and the undoing of faults are tested on a model of a cluster, without
//! processes.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::system::{BoxFuture, FileEdit, NodeId};

/// An end of a link: a node's host, or the host that all clients live on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Endpoint {
    /// The clients' host.
    Clients,
    /// A node's host.
    Node(NodeId),
}

/// The direction from one endpoint to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// Where frames come from.
    pub from: Endpoint,
    /// Where they go to.
    pub to: Endpoint,
}

/// What happens to the frames of one link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkRule {
    /// They pass.
    #[default]
    Pass,
    /// They vanish, as on a cut cable: no reset, no ICMP.
    Drop,
}

/// Counters of one link since the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStats {
    /// Frames let through.
    pub passed: u64,
    /// Frames dropped by the rule of the link.
    pub dropped: u64,
}

/// A signal that a fault sends to the whole process group of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeSignal {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Terminate,
    /// SIGSTOP.
    Pause,
    /// SIGCONT.
    Resume,
}

/// The state of a node's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProcessState {
    /// It runs (as far as the kernel knows).
    Running,
    /// It is stopped by SIGSTOP.
    Paused,
    /// It does not exist.
    Down,
}

/// Why a lever did not move.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeverError {
    /// The cluster is not in the state that this needs (a file edit of a running node, a signal to one that is down).
    #[error("{0}")]
    WrongState(String),
    /// The system or the host cannot do this at all.
    #[error("{0}")]
    Unsupported(String),
    /// It was tried and failed; the effect may be there in part.
    #[error("{0}")]
    Failed(String),
}

/// The levers on one running cluster.
pub trait Levers: Send + Sync {
    /// All nodes, in the order of their ids.
    fn nodes(&self) -> Vec<NodeId>;

    /// Replaces the rules of these links, all at one instant, and returns that instant: every frame that the switch
    /// takes up after it obeys all of the new rules. Links that are not listed keep theirs.
    fn set_links(&self, rules: &[(Link, LinkRule)]) -> Result<Instant, LeverError>;

    /// The rule and the counters of one link.
    fn link(&self, link: Link) -> (LinkRule, LinkStats);

    /// The state of the node's process.
    fn process(&self, node: NodeId) -> ProcessState;

    /// Sends a signal to the node's process group. For `Pause` and `Resume` returns once the kernel shows the new
    /// state, for `Kill` once the process is gone and reaped.
    fn signal(&self, node: NodeId, signal: NodeSignal) -> BoxFuture<'_, Result<(), LeverError>>;

    /// Waits until the process of the node is gone; false if it still exists after `timeout`.
    fn wait_down(&self, node: NodeId, timeout: Duration) -> BoxFuture<'_, bool>;

    /// Starts a node that is down, on its old data directory.
    fn start(&self, node: NodeId) -> BoxFuture<'_, Result<(), LeverError>>;

    /// Edits the files of a node that is down and returns the proof that it did something.
    fn edit(&self, node: NodeId, edit: FileEdit) -> BoxFuture<'_, Result<String, LeverError>>;
}
