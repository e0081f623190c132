//! The seam between raftcheck and a store: how to start it, speak to it, and look into it.

use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::levers::LeverError;
use crate::order::{Order, OrderKind};

/// A future that can be boxed into a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A node of the cluster, counted from 1. Its name is `n1`, `n2`...
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u16);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// Everything about one node that a system needs in order to start it and to talk to it.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// Which node.
    pub id: NodeId,
    /// All members of the initial cluster with their addresses, this node among them, in the order of their ids.
    pub members: Vec<(NodeId, IpAddr)>,
    /// The directory that survives a restart of the node. Exists.
    pub data_dir: PathBuf,
    /// Where the node writes its trace, if the system writes one.
    pub trace_file: PathBuf,
    /// A number that differs between runs and nodes, for the node's own randomness.
    pub seed: u64,
}

/// A program to start, before any sandbox detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCommand {
    /// The executable.
    pub program: PathBuf,
    /// Its arguments, without the program itself.
    pub args: Vec<OsString>,
    /// Variables added to a minimal environment.
    pub env: Vec<(OsString, OsString)>,
}

/// What a system can be asked for. A suite that needs more is refused before anything starts.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities {
    /// The functions of [`checker::history::Op`] (by name) that its client can perform.
    pub ops: &'static [&'static str],
    /// Whether its nodes write the trace that the protocol properties are judged from.
    pub trace: bool,
    /// Whether [`System::edit`] knows how to change the files of a stopped node.
    pub edits: bool,
    /// Whether [`System::observe`] tells roles, so that `leader` can be aimed at.
    pub roles: bool,
    /// What [`System::order`] can ask its nodes for.
    pub orders: &'static [OrderKind],
}

/// The role that a node believes it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Follower, or learner.
    Follower,
    /// Pre-candidate or candidate.
    Candidate,
    /// Leader.
    Leader,
}

/// What one node says of itself, as far as its system tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Its role.
    pub role: Option<Role>,
    /// Its current term.
    pub term: Option<u64>,
    /// Whom it takes for the leader.
    pub leader: Option<NodeId>,
    /// The highest index that it knows to be committed.
    pub commit_index: Option<u64>,
    /// The highest index that it has applied.
    pub last_applied: Option<u64>,
    /// The last index of its log.
    pub last_log_index: Option<u64>,
}

/// A change to the files of a stopped node, by no code path that an honest node ever takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileEdit {
    /// Remove the last `entries` entries of the log.
    TruncateLog {
        /// How many.
        entries: u64,
    },
    /// Forget whom the node voted for; the term stays.
    LoseVote,
}

/// Why a system cannot be run on this host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}\n  to fix it: {fix}")]
pub struct Unavailable {
    /// What is missing.
    pub what: String,
    /// The one command or change that supplies it.
    pub fix: String,
}

/// A replicated store that raftcheck can run.
pub trait System: Send + Sync {
    /// The name in suite files.
    fn name(&self) -> &'static str;

    /// What it can be asked for.
    fn capabilities(&self) -> Capabilities;

    /// Looks for its programs; called before the sandbox is entered. Returns the version, for `env.json`.
    fn probe(&self) -> Result<String, Unavailable>;

    /// The command that starts this node, on its first start and on every later one.
    fn command(&self, node: &NodeSpec) -> NodeCommand;

    /// The command that edits the files of this stopped node and prints one line of proof ("removed 3 entries,
    /// 118..=120") on its standard output; `None` if the system cannot.
    fn edit(&self, node: &NodeSpec, edit: &FileEdit) -> Option<NodeCommand>;

    /// How long to wait between the starts of two nodes of a new cluster.
    fn start_interval(&self) -> Duration {
        Duration::ZERO
    }

    /// A client that lives on the clients' host. `home` is the node that it turns to first, `op_timeout` the longest
    /// that one call may take until its outcome is unknown.
    fn connect(&self, members: &[(NodeId, IpAddr)], home: NodeId, op_timeout: Duration) -> Arc<dyn Client>;

    /// Asks one node about itself, over the control link that no fault ever cuts. `None` if it does not answer within
    /// `timeout`.
    fn observe<'a>(&'a self, node: &'a NodeSpec, timeout: Duration) -> BoxFuture<'a, Option<View>>;

    /// Asks a running node for something, over the control link that no fault ever cuts. `Ok` is what it answered, in
    /// words, once it has begun; [`LeverError::WrongState`] means that it did nothing.
    fn order<'a>(
        &'a self,
        node: &'a NodeSpec,
        order: Order,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<String, LeverError>> {
        let _ = (node, timeout);
        let why = format!("{} cannot be told to {order}", self.name());
        Box::pin(async move { Err(LeverError::Unsupported(why)) })
    }
}
