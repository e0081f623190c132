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
use crate::order::{Failpoint, Order, OrderKind};

pub use crate::edit::FileEdit;
pub use crate::view::{Role, View};

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
    /// Which node. A twin has the id of another one.
    pub id: NodeId,
    /// The address of the host that it runs on.
    pub address: IpAddr,
    /// All members of the initial cluster with their addresses, in the order of their ids.
    pub members: Vec<(NodeId, IpAddr)>,
    /// All hosts with their addresses: those of the members, and the spare ones behind them.
    pub hosts: Vec<(NodeId, IpAddr)>,
    /// The directory that survives a restart of the node. Exists.
    pub data_dir: PathBuf,
    /// Where the node writes its trace, if the system writes one.
    pub trace_file: PathBuf,
    /// A number that differs between runs and nodes, for the node's own randomness.
    pub seed: u64,
    /// What is particular about its start.
    pub start: Start,
}

/// What is particular about one start of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Rules of this node alone. They come after those of the suite, and the last of a name counts.
    pub rules: Vec<(String, String)>,
    /// Failpoints that are armed before the node serves anybody.
    pub failpoints: Vec<Failpoint>,
    /// Whether an empty data directory is no loss.
    pub bootstrap: Bootstrap,
    /// How it comes to be a member.
    pub entry: Entry,
    /// The name of its cluster, where it is not the one of all.
    pub cluster: Option<String>,
}

impl Start {
    /// Whether every system can do this.
    pub fn is_plain(&self) -> bool {
        let otherwise = self.bootstrap != Bootstrap::AtFirstStart || self.cluster.is_some();
        self.rules.is_empty() && self.failpoints.is_empty() && !otherwise
    }
}

/// Whether a node is told that an empty data directory is no loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bootstrap {
    /// At the first start of the node in this run.
    #[default]
    AtFirstStart,
    /// At this start.
    Announced,
    /// Not at this start.
    NotAnnounced,
}

/// How a node comes to be a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// It is one of the initial members.
    #[default]
    Initial,
    /// It waits until the cluster adds it.
    Joins,
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
    /// Whether a client of one node can make writes that are more than plain ones.
    pub write_modes: bool,
    /// Whether a node can be started with rules and failpoints of its own, and without the announcement of its first start.
    pub starts: bool,
    /// Whether its nodes tell who the members are, and one that was removed may come back with what it knows.
    pub returns: bool,
}

/// How a client of one node turns to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Direct {
    /// The longest that one call may take until its outcome is unknown.
    pub op_timeout: Duration,
    /// How its reads are answered.
    pub read_mode: ReadMode,
    /// What its writes are beside that.
    pub write_mode: WriteMode,
}

/// How a read is answered, where the one who asks may choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadMode {
    /// As the rules of the node say.
    #[default]
    ByRules,
    /// Through the log, as a write.
    Log,
    /// The leader asks a majority whether it still leads (thesis, section 6.4).
    ReadIndex,
    /// The leader answers by its lease (thesis, section 6.4.1).
    Lease,
    /// The node answers what it has.
    Local,
}

/// What a write is, beside what it writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteMode {
    /// Nothing else.
    #[default]
    Plain,
    /// What it wrote, or the lock that it took, ends by itself.
    Expiring {
        /// After so many milliseconds.
        ttl_ms: u64,
    },
    /// It takes effect only while a lock is held under a token.
    Fenced {
        /// The key of the lock.
        lock: String,
        /// The token.
        token: u64,
    },
    /// To apply it panics: an experiment.
    Poison {
        /// On this node alone; on all if absent.
        only: Option<NodeId>,
    },
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

    /// The command that starts this node, on its first start and on every later one. A start that is not plain is asked
    /// for only where [`Capabilities::starts`] says so.
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

    /// A client that turns to this node alone and follows no redirect. An answer that it does not lead is a failure where
    /// that proves that nothing was done. `Err` if the system has no such client, or no such reads or writes.
    fn connect_to(&self, node: &NodeSpec, direct: Direct) -> Result<Arc<dyn Client>, LeverError> {
        let _ = (node, direct);
        let why = format!("{} has no clients that turn to one node alone", self.name());
        Err(LeverError::Unsupported(why))
    }

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
