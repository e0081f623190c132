//! A running cluster: hosts, network and node processes, and the levers on them.
//!
//! Invariant: a host has at most one process, and every process that ends is reported once, with the lever that was
//! asked to end it, if one was. Dropping a cluster removes all of it. Deliberately knows nothing of what its nodes do:
//! every detail of a store is behind [`System`].

mod edits;
mod levers;
mod node;
mod starting;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, umount2};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::disk::{Disk, DiskTrouble, Metadata};
use crate::hosts::Hosts;
use crate::levers::{LeverError, NodeSignal};
use crate::limits::Limits;
use crate::network::{Network, NetworkKind};
use crate::procfs;
use crate::start::StartAs;
use crate::switch::SwitchTroubles;
use crate::system::{Direct, NodeId, NodeSpec, System, View};
use node::{Hosting, Node};

/// What the nodes' data directories lie on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Medium {
    /// The disk that the run directory is on. The data is there after the run.
    #[default]
    Disk,
    /// Memory: a tmpfs per node that goes with the sandbox.
    Memory,
    /// A disk per node that can fail, see [`crate::disk`]. What is on it is written to the run directory at the end.
    Failing(FailingDisk),
}

/// How a disk that can fail is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailingDisk {
    /// When names become durable.
    pub metadata: Metadata,
    /// Whether earlier states are remembered, so that it can be rolled back.
    pub past: Past,
}

impl FailingDisk {
    /// A disk that does for both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let strict = [self.metadata, other.metadata].contains(&Metadata::Strict);
        let remembers = [self.past, other.past].contains(&Past::Remembered);
        Self {
            metadata: if strict { Metadata::Strict } else { Metadata::Journal },
            past: if remembers { Past::Remembered } else { Past::Forgotten },
        }
    }
}

/// Whether a disk remembers its earlier states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Past {
    /// No.
    #[default]
    Forgotten,
    /// Those of the last 30 s.
    Remembered,
}

/// Which clocks the nodes go by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clocks {
    /// Those of the host.
    #[default]
    Host,
    /// Each by clocks of its own, which [`Levers::set_clock`] changes. Its processes then run under a tracer.
    PerNode,
}

/// What to start.
pub struct ClusterOptions {
    /// The store.
    pub system: Arc<dyn System>,
    /// How many nodes.
    pub nodes: u16,
    /// How many hosts beside them, on which nothing runs at first. Their numbers follow those of the nodes. A node there is no
    /// member until the cluster adds it.
    pub spares: u16,
    /// Rules of single nodes, from their first start on, behind those of the system.
    pub rules: Vec<(NodeId, Vec<(String, String)>)>,
    /// What connects the hosts.
    pub network: NetworkKind,
    /// The directory of the run. `nodes/` is made in it.
    pub run_dir: PathBuf,
    /// What the data directories lie on.
    pub medium: Medium,
    /// Which clocks the nodes go by.
    pub clocks: Clocks,
    /// The seed that the nodes' own seeds are derived from.
    pub seed: u64,
    /// How long the nodes may take until all of them answer.
    pub ready_timeout: Duration,
}

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The hosts, their network or a directory could not be made.
    #[error("cannot prepare the cluster: {0}: {1}")]
    Prepare(String, #[source] std::io::Error),
    /// A node's program could not be started.
    #[error("cannot start {0} ({1}): {2}")]
    Spawn(NodeId, String, #[source] std::io::Error),
    /// A node ended instead of answering.
    #[error("{0} ended ({1}) before it answered\n{2}")]
    Exited(NodeId, ExitStatus, String),
    /// A node did not answer in time.
    #[error("{0} did not answer within {1:?}\n{2}")]
    Silent(NodeId, Duration, String),
}

/// A node's process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeExited {
    /// Which node.
    pub node: NodeId,
    /// How its leader ended.
    pub status: ExitStatus,
    /// The last `Kill` or `Terminate` that this process was asked for; `None` if it ended without being asked. A SIGKILL of
    /// a node at a failpoint at which it was told to crash is a `Kill`.
    pub asked: Option<NodeSignal>,
    /// Whether it had answered before.
    pub answered: Answered,
    /// How many errors its disk gave it, because a fault wanted so.
    pub disk_errors: u64,
    /// The limits that it was under.
    pub limits: Limits,
}

/// Whether a process has ever answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// No: whoever ends without being asked has refused to start.
    Never,
    /// Yes.
    Once,
}

/// A running cluster.
pub struct Cluster {
    system: Arc<dyn System>,
    // The order of these fields is the order in which they go.
    reaper: JoinHandle<()>,
    historian: Option<JoinHandle<()>>,
    nodes: Arc<[Node]>,
    network: Network,
    hosts: Hosts,
    members: Vec<(NodeId, IpAddr)>,
    exits: Reporter,
}

/// Where ended processes are reported, until the run itself ends them.
#[derive(Clone)]
struct Reporter {
    sender: mpsc::UnboundedSender<NodeExited>,
    stopping: Arc<AtomicBool>,
    /// How many processes were started.
    started: Arc<AtomicUsize>,
}

/// How long the kernel may take to show a state that a signal asked for. A thread that waits for a disk keeps it.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);
/// How long a node may take to answer an order.
const ORDER_LIMIT: Duration = Duration::from_secs(2);

impl Cluster {
    /// Starts a cluster and waits until every node answers. Called inside the sandbox, within a tokio runtime.
    ///
    /// The receiver tells of every process that ends from then on, asked to or not, except through [`Self::stop_all`].
    pub async fn start(
        options: ClusterOptions,
    ) -> Result<(Arc<Self>, mpsc::UnboundedReceiver<NodeExited>), StartError> {
        let deadline = Instant::now() + options.ready_timeout;
        let (exits, exits_receiver) = mpsc::unbounded_channel();
        let cluster = Self::prepare(&options, exits)?;
        for (position, node) in cluster.nodes[..cluster.members.len()].iter().enumerate() {
            if position > 0 {
                tokio::time::sleep(cluster.system.start_interval()).await;
            }
            cluster.spawn(node, &StartAs::default())?;
        }
        cluster.all_ready(deadline, options.ready_timeout).await?;
        Ok((Arc::new(cluster), exits_receiver))
    }

    fn prepare(
        options: &ClusterOptions,
        exits: mpsc::UnboundedSender<NodeExited>,
    ) -> Result<Self, StartError> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error| StartError::Prepare(what, error)
        };
        let count = options.nodes.saturating_add(options.spares);
        let (hosts, network) = Network::build(options.network, count, options.seed)
            .map_err(failed("the nodes' hosts and their network"))?;
        let all = hosts.members();
        let members = all[..usize::from(options.nodes).min(all.len())].to_vec();
        fs::create_dir_all(&options.run_dir).map_err(failed("the run directory"))?;
        let run_dir = options.run_dir.canonicalize().map_err(failed("the run directory"))?;
        let hosting = Hosting { members: &members, hosts: &all };
        let nodes = all
            .iter()
            .map(|host| {
                let node = Node::prepare(*host, &hosting, &run_dir, options);
                node.map_err(failed(&format!("the directory of {}", host.0)))
            })
            .collect::<Result<Arc<[Node]>, _>>()?;
        let children = signal(SignalKind::child()).map_err(failed("watching for ended processes"))?;
        let reaper = tokio::spawn(reap_orphans(Arc::clone(&nodes), children));
        let remembers = matches!(options.medium, Medium::Failing(FailingDisk { past: Past::Remembered, .. }));
        let historian = remembers.then(|| tokio::spawn(remember_disks(Arc::clone(&nodes))));
        let exits = Reporter { sender: exits, stopping: Arc::default(), started: Arc::default() };
        let system = Arc::clone(&options.system);
        Ok(Self { system, reaper, historian, nodes, network, hosts, members, exits })
    }

    /// All members of the initial cluster with their addresses.
    pub fn members(&self) -> &[(NodeId, IpAddr)] {
        &self.members
    }

    /// What the system is told about a node at present.
    pub fn spec(&self, node: NodeId) -> Option<NodeSpec> {
        self.node(node).ok().map(|node| node.spec(&self.nodes))
    }

    /// The store that runs.
    pub fn system(&self) -> &Arc<dyn System> {
        &self.system
    }

    /// A client that turns to `home` first. It knows the spare hosts too: one of them may come to lead.
    pub fn connect(&self, home: NodeId, op_timeout: Duration) -> Arc<dyn Client> {
        self.system.connect(&self.hosts.members(), home, op_timeout)
    }

    /// A client that turns to this node alone, also to a spare one.
    pub fn connect_to(&self, node: NodeId, direct: Direct) -> Result<Arc<dyn Client>, LeverError> {
        self.system.connect_to(&self.node(node)?.spec(&self.nodes), direct)
    }

    /// Asks a node about itself over the control link.
    pub async fn observe(&self, node: NodeId, timeout: Duration) -> Option<View> {
        let asked = self.node(node).ok()?;
        let process = asked.running();
        let view = self.system.observe(&asked.spec(&self.nodes), timeout).await?;
        process.iter().for_each(|process| process.has_answered());
        Some(view)
    }

    /// What the network could not do so far; all zero in a sound run.
    pub fn troubles(&self) -> SwitchTroubles {
        self.network.troubles()
    }

    /// How much memory the processes of each host hold, by the kernel's account. A host without one is not among them.
    pub fn resident_bytes(&self) -> Vec<(NodeId, u64)> {
        let processes = procfs::processes();
        let held = self.nodes.iter().filter_map(|node| {
            let group = node.running()?.id();
            let own = processes.iter().filter(|stat| stat.group == group);
            let bytes: u64 = own.filter_map(|stat| procfs::resident_bytes(stat.id)).sum();
            (bytes > 0).then_some((node.host(), bytes))
        });
        held.collect()
    }

    /// The last lines that a node printed.
    pub fn last_output(&self, node: NodeId) -> String {
        self.node(node).map(Node::last_output).unwrap_or_default()
    }

    /// Writes all frames between the hosts to this file from now on, but for those of the harness itself.
    pub fn capture(&self, path: &Path) -> std::io::Result<()> {
        self.network.capture(path)
    }

    /// Ends all nodes: SIGTERM, and SIGKILL for those that still exist after `grace`. None of it is reported.
    pub async fn stop_all(&self, grace: Duration) {
        self.exits.stopping.store(true, Ordering::SeqCst);
        let running: Vec<_> = self.nodes.iter().filter_map(Node::running).collect();
        for disk in self.nodes.iter().filter_map(|node| node.disk.as_ref()) {
            disk.set_trouble(DiskTrouble::default());
        }
        for node in self.nodes.iter() {
            // One that stands still by turns would be late. What cannot be lifted ends with its process.
            let _ = node.limited.lift();
        }
        for process in &running {
            // A stopped process would sleep through its SIGTERM. One that is gone already needs no signal.
            let _ = process.signal(NodeSignal::Terminate);
            let _ = process.signal(NodeSignal::Resume);
        }
        let deadline = tokio::time::Instant::now() + grace;
        for process in &running {
            if tokio::time::timeout_at(deadline, process.exited()).await.is_err() {
                let _ = process.signal(NodeSignal::Kill);
            }
        }
        for process in &running {
            let _ = tokio::time::timeout(SETTLE_LIMIT, process.exited()).await;
        }
        if let Err(error) = self.network.flush_capture() {
            tracing::warn!("the last packets are missing in the capture: {error}");
        }
    }

    /// Unmounts the disks that can fail and writes what is on them to the nodes' data directories. The nodes must have
    /// been stopped; without such disks there is nothing to do.
    pub fn save_disks(&self) -> std::io::Result<()> {
        self.nodes.iter().filter_map(|node| node.disk.as_ref()).try_for_each(Disk::copy_out)
    }

    fn node(&self, node: NodeId) -> Result<&Node, LeverError> {
        let position = usize::from(node.0).checked_sub(1);
        position
            .and_then(|position| self.nodes.get(position))
            .ok_or_else(|| LeverError::Unsupported(format!("there is no node {node}")))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.exits.stopping.store(true, Ordering::SeqCst);
        self.reaper.abort();
        if let Some(historian) = &self.historian {
            historian.abort();
        }
        for process in self.nodes.iter().filter_map(Node::running) {
            let _ = process.signal(NodeSignal::Kill);
        }
        for disk in self.nodes.iter().filter_map(|node| node.disk.as_ref()) {
            disk.unplug();
        }
        for node in self.nodes.iter().filter(|node| node.mounted) {
            // The last process of the node may not be gone yet; a lazy unmount waits for it by itself.
            let _ = umount2(node.data_dir(), MntFlags::MNT_DETACH);
        }
    }
}

/// Pid 1 inherits the children of a wrapper script that ends before them.
async fn reap_orphans(nodes: Arc<[Node]>, mut children: tokio::signal::unix::Signal) {
    while children.recv().await.is_some() {
        for process in nodes.iter().filter_map(Node::running) {
            process.reap_orphans();
        }
    }
}

/// Keeps the earlier states of all disks.
async fn remember_disks(nodes: Arc<[Node]>) {
    let mut interval = tokio::time::interval(Disk::remember_interval());
    loop {
        interval.tick().await;
        nodes.iter().filter_map(|node| node.disk.as_ref()).for_each(Disk::remember);
    }
}
