//! A running cluster: hosts, switch and node processes, and the levers on them.
//!
//! Invariant: a node has at most one process, and every process that ends is reported once, with the lever that was
//! asked to end it, if one was. Dropping a cluster removes all of it. Deliberately knows nothing of what its nodes do:
//! every detail of a store is behind [`System`].

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::client::Client;
use crate::clock::{ClockFamily, ClockSetting, ClockState, NodeClock};
use crate::disk::{Disk, DiskEdit, DiskState, DiskTrouble, EditError, Metadata};
use crate::hosts::Hosts;
use crate::levers::{LeverError, Levers, Link, LinkRule, LinkStats, NodeSignal, ProcessState, no_disk};
use crate::logs;
use crate::order::Order;
use crate::process::{NodeProcess, Place};
use crate::switch::{Switch, SwitchTroubles};
use crate::system::{BoxFuture, FileEdit, NodeId, NodeSpec, System, View};

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
    /// The hosts, the switch or a directory could not be made.
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
    /// The last `Kill` or `Terminate` that this process was asked for; `None` if it ended without being asked.
    pub asked: Option<NodeSignal>,
    /// How many errors its disk gave it, because a fault wanted so.
    pub disk_errors: u64,
}

/// A running cluster.
pub struct Cluster {
    system: Arc<dyn System>,
    // The order of these fields is the order in which they go.
    reaper: JoinHandle<()>,
    historian: Option<JoinHandle<()>>,
    nodes: Arc<[Node]>,
    switch: Switch,
    hosts: Hosts,
    members: Vec<(NodeId, IpAddr)>,
    exits: Reporter,
}

/// Where ended processes are reported, until the run itself ends them.
#[derive(Clone)]
struct Reporter {
    sender: mpsc::UnboundedSender<NodeExited>,
    stopping: Arc<AtomicBool>,
}

struct Node {
    spec: NodeSpec,
    place: Place,
    mounted: bool,
    disk: Option<Disk>,
    /// Its clocks, if it does not go by the host's.
    clock: Option<NodeClock>,
    process: Mutex<Option<Arc<NodeProcess>>>,
    /// Held while the node is started or its files are edited.
    changing: tokio::sync::Mutex<()>,
}

/// How long the kernel may take to show a state that a signal asked for. A thread that waits for a disk keeps it.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);
/// How often a starting node is asked whether it is there, and how long it may take over the answer.
const READY_INTERVAL: Duration = Duration::from_millis(5);
const READY_ANSWER_LIMIT: Duration = Duration::from_millis(250);

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
        for (position, node) in cluster.nodes.iter().enumerate() {
            if position > 0 {
                tokio::time::sleep(cluster.system.start_interval()).await;
            }
            cluster.spawn(node)?;
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
        let (hosts, ports) = Hosts::build(options.nodes).map_err(failed("the nodes' hosts"))?;
        let switch = Switch::start(ports, options.seed).map_err(failed("the switch"))?;
        let members = hosts.members();
        fs::create_dir_all(&options.run_dir).map_err(failed("the run directory"))?;
        let run_dir = options.run_dir.canonicalize().map_err(failed("the run directory"))?;
        let nodes = members
            .iter()
            .map(|(id, _)| {
                let node = Node::prepare(*id, &members, &run_dir, options);
                node.map_err(failed(&format!("the directory of {id}")))
            })
            .collect::<Result<Arc<[Node]>, _>>()?;
        let children = signal(SignalKind::child()).map_err(failed("watching for ended processes"))?;
        let reaper = tokio::spawn(reap_orphans(Arc::clone(&nodes), children));
        let remembers = matches!(options.medium, Medium::Failing(FailingDisk { past: Past::Remembered, .. }));
        let historian = remembers.then(|| tokio::spawn(remember_disks(Arc::clone(&nodes))));
        let exits = Reporter { sender: exits, stopping: Arc::default() };
        let system = Arc::clone(&options.system);
        Ok(Self { system, reaper, historian, nodes, switch, hosts, members, exits })
    }

    /// All members with their addresses.
    pub fn members(&self) -> &[(NodeId, IpAddr)] {
        &self.members
    }

    /// What the system was told about a node.
    pub fn spec(&self, node: NodeId) -> Option<&NodeSpec> {
        self.node(node).ok().map(|node| &node.spec)
    }

    /// The store that runs.
    pub fn system(&self) -> &Arc<dyn System> {
        &self.system
    }

    /// A client that turns to `home` first.
    pub fn connect(&self, home: NodeId, op_timeout: Duration) -> Arc<dyn Client> {
        self.system.connect(&self.members, home, op_timeout)
    }

    /// Asks a node about itself over the control link.
    pub async fn observe(&self, node: NodeId, timeout: Duration) -> Option<View> {
        self.system.observe(self.spec(node)?, timeout).await
    }

    /// What the switch could not do so far; all zero in a sound run.
    pub fn troubles(&self) -> SwitchTroubles {
        self.switch.troubles()
    }

    /// The last lines that a node printed.
    pub fn last_output(&self, node: NodeId) -> String {
        self.node(node).map(Node::last_output).unwrap_or_default()
    }

    /// Ends all nodes: SIGTERM, and SIGKILL for those that still exist after `grace`. None of it is reported.
    pub async fn stop_all(&self, grace: Duration) {
        self.exits.stopping.store(true, Ordering::SeqCst);
        let running: Vec<_> = self.nodes.iter().filter_map(Node::running).collect();
        for disk in self.nodes.iter().filter_map(|node| node.disk.as_ref()) {
            disk.set_trouble(DiskTrouble::default());
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

    fn spawn(&self, node: &Node) -> Result<(), StartError> {
        let id = node.spec.id;
        let command = self.system.command(&node.spec);
        let failed = |error| StartError::Spawn(id, command.program.display().to_string(), error);
        let netns = self.hosts.node(id).ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
        let process =
            NodeProcess::spawn(&command, netns, &node.place, node.clock.as_ref()).map_err(failed)?;
        tracing::debug!(node = %id, pid = process.id(), "started");
        let errors = node.disk_errors();
        let watched = (Arc::clone(&self.nodes), id);
        tokio::spawn(report_exit(watched, errors, Arc::clone(&process), self.exits.clone()));
        *node.lock() = Some(process);
        Ok(())
    }

    /// Waits until every node has answered once. A node that ends meanwhile is the error, not one that waits for it.
    async fn all_ready(&self, deadline: Instant, timeout: Duration) -> Result<(), StartError> {
        let mut silent: BTreeSet<NodeId> = self.members.iter().map(|(id, _)| *id).collect();
        let mut answers = JoinSet::new();
        for node in self.nodes.iter() {
            answers.spawn(first_answer(Arc::clone(&self.system), node.spec.clone()));
        }
        while let Some(some_silent) = silent.first().copied() {
            match tokio::time::timeout(READY_INTERVAL, answers.join_next()).await {
                Ok(Some(Ok(id))) => {
                    silent.remove(&id);
                }
                // A task that panicked never answers; the deadline says so.
                Ok(_) => tokio::time::sleep(READY_INTERVAL).await,
                Err(_) => {}
            }
            for node in self.nodes.iter() {
                if let Some(status) = node.lock().as_ref().and_then(|process| process.exit_status()) {
                    return Err(StartError::Exited(node.spec.id, status, node.last_output()));
                }
            }
            if Instant::now() >= deadline && !silent.is_empty() {
                return Err(StartError::Silent(some_silent, timeout, self.last_output(some_silent)));
            }
        }
        Ok(())
    }

    async fn signal_and_settle(&self, id: NodeId, signal: NodeSignal) -> Result<(), LeverError> {
        let down = || LeverError::WrongState(format!("{id} is down"));
        let process = self.node(id)?.running().ok_or_else(down)?;
        match process.signal(signal) {
            Ok(true) => {}
            Ok(false) => return Err(down()),
            Err(error) => return Err(LeverError::Failed(format!("cannot signal {id}: {error}"))),
        }
        if signal == NodeSignal::Kill
            && let Some(disk) = &self.node(id)?.disk
        {
            // A thread that waits for its disk could not die. It never sees the error: it has been killed.
            disk.fail_waiting();
        }
        let settled = match signal {
            NodeSignal::Pause => process.settled(ProcessState::Paused, SETTLE_LIMIT).await,
            NodeSignal::Resume => process.settled(ProcessState::Running, SETTLE_LIMIT).await,
            NodeSignal::Kill => tokio::time::timeout(SETTLE_LIMIT, process.exited()).await.is_ok(),
            NodeSignal::Terminate => true,
        };
        match (settled, process.exit_status()) {
            (true, _) => Ok(()),
            (false, Some(status)) => Err(LeverError::WrongState(format!("{id} has ended ({status})"))),
            (false, None) => {
                let message = format!("{id} did not obey {signal:?} within {SETTLE_LIMIT:?}");
                Err(LeverError::Failed(message))
            }
        }
    }

    async fn start_again(&self, id: NodeId) -> Result<(), LeverError> {
        let node = self.node(id)?;
        let _changing = node.changing.lock().await;
        if node.running().is_some() {
            return Err(LeverError::WrongState(format!("{id} is not down")));
        }
        self.spawn(node).map_err(|error| LeverError::Failed(error.to_string()))
    }

    async fn edit_the_disk(&self, id: NodeId, edit: &DiskEdit, seed: u64) -> Result<String, LeverError> {
        let node = self.node(id)?;
        let _changing = node.changing.lock().await;
        if node.running().is_some() {
            return Err(LeverError::WrongState(format!("{id} is not down")));
        }
        let disk = node.disk.as_ref().ok_or_else(|| no_disk(id))?;
        disk.edit(edit, seed).map_err(|error| match error {
            EditError::Nothing(why) => LeverError::WrongState(why),
            EditError::Mount(_) => LeverError::Failed(error.to_string()),
        })
    }

    async fn edit_files(&self, id: NodeId, edit: FileEdit) -> Result<String, LeverError> {
        let node = self.node(id)?;
        let _changing = node.changing.lock().await;
        if node.running().is_some() {
            return Err(LeverError::WrongState(format!("{id} is not down")));
        }
        let Some(command) = self.system.edit(&node.spec, &edit) else {
            let message = format!("{} cannot change the files of a stopped node", self.system.name());
            return Err(LeverError::Unsupported(message));
        };
        let failed = |what: String| LeverError::Failed(format!("editing the files of {id}: {what}"));
        let mut program = Command::new(&command.program);
        program.args(&command.args).envs(command.env).stdin(Stdio::null()).process_group(0);
        let output = tokio::task::spawn_blocking(move || program.output()).await;
        let output = output.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(failed(format!("{}: {}", output.status, said.trim())));
        }
        if let Some(disk) = &node.disk {
            disk.make_durable();
        }
        let proof = String::from_utf8_lossy(&output.stdout);
        match proof.lines().next() {
            Some(line) if !line.trim().is_empty() => Ok(line.trim().to_owned()),
            _ => Err(failed("the command printed no proof that it did something".into())),
        }
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
            let _ = umount2(&node.spec.data_dir, MntFlags::MNT_DETACH);
        }
    }
}

impl Levers for Cluster {
    fn nodes(&self) -> Vec<NodeId> {
        self.members.iter().map(|(id, _)| *id).collect()
    }

    fn set_links(&self, rules: &[(Link, LinkRule)]) -> Result<Instant, LeverError> {
        self.switch.set_links(rules)
    }

    fn link(&self, link: Link) -> (LinkRule, LinkStats) {
        self.switch.link(link)
    }

    fn process(&self, node: NodeId) -> ProcessState {
        let process = self.node(node).ok().and_then(Node::running);
        process.map_or(ProcessState::Down, |process| process.state())
    }

    fn signal(&self, node: NodeId, signal: NodeSignal) -> BoxFuture<'_, Result<(), LeverError>> {
        Box::pin(self.signal_and_settle(node, signal))
    }

    fn wait_down(&self, node: NodeId, timeout: Duration) -> BoxFuture<'_, bool> {
        let process = self.node(node).ok().and_then(Node::running);
        Box::pin(async move {
            let Some(process) = process else { return true };
            tokio::time::timeout(timeout, process.exited()).await.is_ok()
        })
    }

    fn start(&self, node: NodeId) -> BoxFuture<'_, Result<(), LeverError>> {
        Box::pin(self.start_again(node))
    }

    fn edit(&self, node: NodeId, edit: FileEdit) -> BoxFuture<'_, Result<String, LeverError>> {
        Box::pin(self.edit_files(node, edit))
    }

    fn set_disk(&self, node: NodeId, trouble: DiskTrouble) -> Result<Instant, LeverError> {
        let disk = self.node(node)?.disk.as_ref().ok_or_else(|| no_disk(node))?;
        Ok(disk.set_trouble(trouble))
    }

    fn disk(&self, node: NodeId) -> Option<DiskState> {
        self.node(node).ok()?.disk.as_ref().map(Disk::state)
    }

    fn edit_disk(
        &self,
        node: NodeId,
        edit: DiskEdit,
        seed: u64,
    ) -> BoxFuture<'_, Result<String, LeverError>> {
        Box::pin(async move { self.edit_the_disk(node, &edit, seed).await })
    }

    fn order(&self, node: NodeId, order: Order) -> BoxFuture<'_, Result<String, LeverError>> {
        Box::pin(async move {
            let spec = &self.node(node)?.spec;
            self.system.order(spec, order, ORDER_LIMIT).await
        })
    }

    fn set_clock(
        &self,
        node: NodeId,
        family: ClockFamily,
        setting: &ClockSetting,
    ) -> Result<Instant, LeverError> {
        let clock = self.node(node)?.clock.as_ref();
        let host = || LeverError::Unsupported(format!("{node} goes by the clocks of the host"));
        clock.ok_or_else(host)?.set(family, setting)
    }

    fn clock(&self, node: NodeId, family: ClockFamily) -> Option<ClockState> {
        self.node(node).ok()?.clock.as_ref().map(|clock| clock.state(family))
    }
}

impl Node {
    fn prepare(
        id: NodeId,
        members: &[(NodeId, IpAddr)],
        run_dir: &Path,
        options: &ClusterOptions,
    ) -> std::io::Result<Self> {
        let directory = run_dir.join("nodes").join(id.to_string());
        let data_dir = directory.join("data");
        fs::create_dir_all(&data_dir)?;
        let mounted = options.medium == Medium::Memory;
        if mounted {
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
            mount(Some("tmpfs"), &data_dir, Some("tmpfs"), flags, Some("mode=0700"))?;
        }
        let disk = match options.medium {
            Medium::Failing(how) => {
                Some(Disk::mount(&data_dir, how.metadata, node_seed(options.seed ^ DISK_SEED, id))?)
            }
            Medium::Disk | Medium::Memory => None,
        };
        let spec = NodeSpec {
            id,
            members: members.to_vec(),
            data_dir,
            trace_file: directory.join("trace.jsonl"),
            seed: node_seed(options.seed, id),
        };
        let place =
            Place { stdout: directory.join("stdout.log"), stderr: directory.join("stderr.log"), directory };
        let clock = match options.clocks {
            Clocks::Host => None,
            Clocks::PerNode => Some(NodeClock::new()?),
        };
        let (process, changing) = (Mutex::default(), tokio::sync::Mutex::default());
        Ok(Self { spec, place, mounted, disk, clock, process, changing })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<NodeProcess>>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process, unless all of it is gone.
    fn running(&self) -> Option<Arc<NodeProcess>> {
        self.lock().as_ref().filter(|process| process.exit_status().is_none()).map(Arc::clone)
    }

    /// The errors that its disk has given so far.
    fn disk_errors(&self) -> u64 {
        self.disk.as_ref().map_or(0, |disk| disk.state().stats.errors())
    }

    fn last_output(&self) -> String {
        let tail = |path: &Path| logs::last_lines(path, logs::TAIL_LINES);
        [tail(&self.place.stdout), tail(&self.place.stderr)].concat()
    }
}

async fn report_exit(
    (nodes, node): (Arc<[Node]>, NodeId),
    errors_before: u64,
    process: Arc<NodeProcess>,
    exits: Reporter,
) {
    let status = process.exited().await;
    let errors = nodes.iter().find(|one| one.spec.id == node).map_or(0, Node::disk_errors);
    let disk_errors = errors.saturating_sub(errors_before);
    if !exits.stopping.load(Ordering::SeqCst) {
        // Nobody listens any more at the end of a run.
        let _ = exits.sender.send(NodeExited { node, status, asked: process.asked(), disk_errors });
    }
}

async fn first_answer(system: Arc<dyn System>, spec: NodeSpec) -> NodeId {
    while system.observe(&spec, READY_ANSWER_LIMIT).await.is_none() {
        tokio::time::sleep(READY_INTERVAL).await;
    }
    spec.id
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

/// Keeps the seeds of the disks apart from those of the nodes.
const DISK_SEED: u64 = 0x6469_736b;

/// Differs between runs and nodes (the finalizer of splitmix64).
fn node_seed(seed: u64, node: NodeId) -> u64 {
    let mut z = seed.wrapping_add(u64::from(node.0).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
