//! One node: its start and its end.
//!
//! Invariant of the start: nobody is answered before the state was recovered and the `boot` line of the trace is written.
//! Invariant of the end: SIGTERM finishes the writes under way and ends with 0; anything that makes the node unable to
//! keep its promises ends it with an error and without a further word to anybody.

mod args;
mod threads;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

pub use args::{Args, Member};
use args::{Cluster, arm, rule_text, rules};
pub(crate) use threads::DISK_THREADS;
use threads::{ControlThread, new_runtime, run_snapshots, run_writer, spawn};

use crate::datadir::{DataDir, DataDirError, FirstStart, Identity};
use crate::driver::{Driver, Ways, micros_since};
use crate::failpoints::{self, Action};
use crate::http::{self, AddressBook, BODY_MAX, Control, HttpConfig};
use crate::inbox::{Arrivals, Happening, Inbox};
use crate::machine::Machine;
use crate::peers::known::{Acquaintances, Incarnation};
use crate::peers::{Patience, Peers, PeersConfig};
use crate::raft::io::NodeId;
use crate::raft::rules::{RuleError, Rules, StateMachine, Toggle};
use crate::raft::trace::Detail;
use crate::raft::{Config, Raft};
use crate::snapshot::{self, Directory, SnapshotError};
use crate::store::Store;
use crate::tracefile::TraceFile;
use crate::wal::{Recovered, Sizes, Wal, WalError};
use crate::writer::{Job, Writer};

/// How much of a snapshot goes into one message: small enough that heartbeats behind it are not late on a slow link, large
/// enough that four under way fill a fast one.
const CHUNK_BYTES: usize = 64 << 10;

/// Why a node does not run.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The arguments contradict themselves.
    #[error("{0}")]
    Arguments(String),
    /// A rule is wrong.
    #[error("{0}")]
    Rule(#[from] RuleError),
    /// The data directory cannot be used.
    #[error("{0}")]
    DataDir(#[from] DataDirError),
    /// The log cannot be used.
    #[error("{0}")]
    Wal(#[from] WalError),
    /// The snapshots cannot be used.
    #[error("{0}")]
    Snapshot(#[from] SnapshotError),
    /// Something of the operating system failed.
    #[error("cannot {what}: {source}")]
    Io {
        /// The operation.
        what: String,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The node had to stop.
    #[error("the node stopped: {0}")]
    Stopped(String),
}

fn io_error(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> NodeError {
    move |source| NodeError::Io { what: what.into(), source }
}

/// Runs a node until it is told to stop (SIGTERM, SIGINT) or cannot go on.
pub fn run(args: Args) -> Result<(), NodeError> {
    // A subscriber that the program has set already is as good.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::builder()
                .with_default_directive(tracing::Level::INFO.into())
                .with_env_var("RAFTKV_LOG")
                .from_env_lossy(),
        )
        .with_target(false)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .try_init();
    let runtime = new_runtime()?;
    // Before anything can be asked of the node, so that no signal is missed.
    let entered = runtime.enter();
    let terminate = signal(SignalKind::terminate()).map_err(io_error("handle SIGTERM"))?;
    let interrupt = signal(SignalKind::interrupt()).map_err(io_error("handle SIGINT"))?;
    drop(entered);
    let ready = Ready::new(args, runtime)?;
    ready.runtime.spawn(stop_on(terminate, interrupt, ready.inbox.clone()));
    ready.live()
}

/// Tells the node to stop when a signal arrives.
async fn stop_on(mut terminate: Signal, mut interrupt: Signal, inbox: Inbox) {
    tokio::select! {
        _ = terminate.recv() => tracing::info!("stopping: SIGTERM"),
        _ = interrupt.recv() => tracing::info!("stopping: SIGINT"),
    }
    inbox.put(Happening::Stop);
}

/// A running node. Dropping it stops it.
#[derive(Debug)]
pub struct Node {
    client_address: SocketAddr,
    inbox: Inbox,
    thread: Option<JoinHandle<Result<(), NodeError>>>,
}

impl Node {
    /// Recovers the node's state and starts its threads.
    pub fn start(args: Args) -> Result<Self, NodeError> {
        let ready = Ready::new(args, new_runtime()?)?;
        let (client_address, inbox) = (ready.client_address, ready.inbox.clone());
        let thread = spawn("node", move || ready.live())?;
        Ok(Self { client_address, inbox, thread: Some(thread) })
    }

    /// Where clients turn to.
    pub fn client_address(&self) -> SocketAddr {
        self.client_address
    }

    /// Stops the node in order: no new requests, writes under way finished, directory free.
    pub fn stop(mut self) -> Result<(), NodeError> {
        self.shut_down()
    }

    fn shut_down(&mut self) -> Result<(), NodeError> {
        // Whoever is held could not finish what it does.
        failpoints::registry().disarm(None);
        // A driver that has ended does not listen any more.
        self.inbox.put(Happening::Stop);
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(NodeError::Stopped("the node's thread panicked; this is a bug".into())),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Err(error) = self.shut_down() {
            tracing::error!("{error}");
        }
    }
}

/// A node that has recovered its state and listens, and whose tasks wait for a thread to run in.
struct Ready {
    runtime: Runtime,
    client_address: SocketAddr,
    inbox: Inbox,
    arrivals: Arrivals,
    driver: Driver,
    /// The threads that write files.
    disk: [JoinHandle<()>; 2],
    writer_ended: oneshot::Receiver<()>,
    /// Ends with the node.
    _control: Option<ControlThread>,
}

impl Ready {
    fn new(args: Args, runtime: Runtime) -> Result<Self, NodeError> {
        let began = Instant::now();
        let cluster = Cluster::of(&args)?;
        let rules = rules(&args)?;
        arm(&args, Action::Crash);
        let first_start = if args.bootstrap { FirstStart::Announced } else { FirstStart::NotAnnounced };
        let identity = Identity::new(args.id, &cluster.identity);
        let data_dir = DataDir::open_under(&rules, &args.data_dir, &identity, first_start)?;
        let acquaintances = Acquaintances::open(&rules, data_dir.acquaintances())?;
        let (mut wal, recovered) = Wal::open_under(&rules, &data_dir.wal(), Sizes::default())?;
        let snapshots = Directory::open(&data_dir.snapshots(), &rules)?;
        let (snapshot, store) = snapshots.load_newest()?.unzip();
        if let Some(missing) = what_is_missing(snapshot.is_some(), &recovered) {
            let remedy = "restore the directory from a copy, or remove the node from the cluster and add a new member \
                          under another id";
            return Err(NodeError::Arguments(format!("{}: {missing}; {remedy}", args.data_dir.display())));
        }
        let worker = snapshot::Worker::new(snapshots, snapshot.as_ref())?;
        let boot = wal.begin_boot()?;
        log_recovery(args.id, boot, &recovered);
        let trace = match &args.trace {
            None => None,
            Some(path) => {
                let opened = TraceFile::open(path, args.id);
                Some(Arc::new(opened.map_err(io_error(format!("open the trace {}", path.display())))?))
            }
        };
        let epoch = Instant::now();
        let config = Config {
            id: args.id,
            members: cluster.first_members(&args),
            rules: rules.clone(),
            hard_state: recovered.hard_state,
            snapshot,
            log: recovered.entries,
            commit: recovered.commit,
            standing: data_dir.standing(),
            chunk_bytes: CHUNK_BYTES,
            // No two starts draw the same, also under a fixed seed: what was meant for an earlier one must not fit.
            seed: args.seed.unwrap_or_else(drawn_seed).wrapping_add(boot),
        };
        let mut raft = Raft::new(config, micros_since(epoch)).map_err(NodeError::Arguments)?;
        match &trace {
            Some(trace) => trace.write(&[raft.boot_event(boot)]).map_err(io_error("write the trace"))?,
            None => raft.trace_in(Detail::NoEntries),
        }
        let machine =
            recovered_machine(&rules, &raft, store, &data_dir.state()).map_err(NodeError::Arguments)?;
        let parts =
            Parts { raft, machine, worker, epoch, boot, rules, wal, data_dir, acquaintances, trace, cluster };
        let ready = Self::assemble(&args, parts, runtime)?;
        tracing::info!("{} serves clients at {} after {:?}", args.id, ready.client_address, began.elapsed());
        Ok(ready)
    }

    /// Opens the ports and starts the writer's thread.
    fn assemble(args: &Args, parts: Parts, runtime: Runtime) -> Result<Self, NodeError> {
        let listen = |port| {
            let address = SocketAddr::new(args.bind.unwrap_or(parts.cluster.own.ip()), port);
            TcpListener::bind(address).map_err(io_error(format!("listen on {address}")))
        };
        let (client_listener, peer_listener) = (listen(args.client_port)?, listen(args.peer_port)?);
        let client_address = client_listener.local_addr().map_err(io_error("look at the client port"))?;
        // What is spawned here begins to run when the runtime does.
        let entered = runtime.enter();
        let (inbox, arrivals) = Inbox::new();
        let (jobs, jobs_received) = channel::<Job>();

        let others = parts.cluster.peer_addresses(args);
        let patience = match parts.raft.flow_control() {
            Toggle::On => Patience::Bounded,
            Toggle::Off => Patience::Endless,
        };
        let cluster = parts.cluster.identity.clone();
        let incarnation = Incarnation {
            directory: parts.data_dir.directory().to_owned(),
            boot: parts.boot,
            start: drawn_seed(),
            standing: parts.data_dir.standing(),
        };
        let peers_config = PeersConfig {
            id: args.id,
            cluster,
            others,
            patience,
            incarnation,
            acquaintances: parts.acquaintances,
            rules: parts.rules.clone(),
        };
        let to_driver = inbox.clone();
        let deliver = Arc::new(move |from, message| to_driver.put(Happening::Peer(from, message)));
        let peers =
            Peers::spawn(peers_config, peer_listener, deliver).map_err(io_error("talk to the peers"))?;
        let first = parts.cluster.members.iter().map(|(&id, address)| (id, address.ip())).collect();
        let addresses = AddressBook::new(args.client_port, first);
        let http_config = HttpConfig {
            addresses: addresses.clone(),
            boot: parts.boot,
            body_max: BODY_MAX.max(parts.raft.max_entry_bytes()),
            read_mode: rule_text(&parts.rules, "read_mode"),
            rules: parts.rules.clone(),
            request_timeout: Duration::from_millis(args.request_timeout_ms),
            limits: http::Limits::default(),
            control: if args.control { Control::On } else { Control::Off },
            gate: peers.gate(),
        };
        http::spawn(http_config.clone(), client_listener, inbox.clone())
            .map_err(io_error("serve clients"))?;
        drop(entered);
        let control = match args.control {
            true => Some(ControlThread::start(http_config, listen(args.control_port)?, inbox.clone())?),
            false => None,
        };
        // Only now there is somebody who could release it.
        arm(args, Action::Hold);

        let data_dir = Arc::new(parts.data_dir);
        let (snapshots, work) = channel();
        let snapshotter = run_snapshots(parts.worker, work, inbox.clone(), data_dir.clone())?;
        let writer = Writer::new(parts.wal, parts.rules.clone(), parts.trace.clone());
        let (writer, writer_ended) = run_writer(writer, jobs_received, inbox.clone(), data_dir)?;
        let ways = Ways {
            jobs,
            snapshots,
            outbox: peers.outbox(),
            peer_port: args.peer_port,
            addresses,
            backlog: peers.backlog(),
            trace: parts.trace,
        };
        let timeout = Duration::from_millis(args.request_timeout_ms);
        let driver = Driver::new(parts.raft, parts.machine, parts.epoch, timeout, ways);
        Ok(Self {
            runtime,
            client_address,
            inbox,
            arrivals,
            driver,
            disk: [writer, snapshotter],
            writer_ended,
            _control: control,
        })
    }

    /// Runs the node in this thread until it ends.
    fn live(self) -> Result<(), NodeError> {
        let result = self.runtime.block_on(live(self.driver, self.arrivals, self.writer_ended));
        let ended = self.disk.map(JoinHandle::join);
        match result {
            Err(reason) => Err(NodeError::Stopped(reason)),
            Ok(()) if ended.iter().any(Result::is_err) => {
                Err(NodeError::Stopped("a thread that writes files panicked; this is a bug".into()))
            }
            Ok(()) => Ok(()),
        }
    }
}

/// The life of a node: its driver, and then the writes that are still under way, while HTTP answers that the node stops.
async fn live(driver: Driver, arrivals: Arrivals, writer_ended: oneshot::Receiver<()>) -> Result<(), String> {
    // A task, because tokio runs tasks in the order in which they became ready: after the sockets that woke it.
    let result = tokio::spawn(driver.run(arrivals)).await;
    // The driver's end has closed the writer's queue, so the writer ends when the queue is empty. A dropped sender means that
    // it has panicked, which whoever joins its thread will see.
    let _ = writer_ended.await;
    result.unwrap_or_else(|error| Err(format!("the driver panicked; this is a bug: {error}")))
}

/// The state machine with what the snapshot of `raft` holds, or its own files.
fn recovered_machine(
    rules: &Rules,
    raft: &Raft,
    store: Option<Store>,
    directory: &Path,
) -> Result<Machine, String> {
    let index = raft.status().snapshot_index;
    let store = store.unwrap_or_else(|| Store::new(rules));
    // The honest law: the log and the snapshot are all that a state machine needs; it may forget everything else, and is
    // driven again from there (section 5.3 of the paper; figure 2 counts lastApplied among the volatile state). One that keeps
    // its state has to know which entries that contains: see the rule about the applied index.
    match rules.storage.state_machine {
        StateMachine::Volatile => {
            let mut machine = Machine::new(rules);
            machine.restore(index, store)?;
            Ok(machine)
        }
        StateMachine::Persistent => Machine::kept(rules, directory, index, store),
    }
}

/// What a node is made of.
struct Parts {
    raft: Raft,
    machine: Machine,
    worker: snapshot::Worker,
    epoch: Instant,
    boot: u64,
    rules: Rules,
    wal: Wal,
    data_dir: DataDir,
    acquaintances: Acquaintances,
    trace: Option<Arc<TraceFile>>,
    cluster: Cluster,
}

/// Why log and snapshot cannot be of one node's making, if they cannot.
fn what_is_missing(has_snapshot: bool, recovered: &Recovered) -> Option<&'static str> {
    match has_snapshot {
        false if recovered.first_index().is_none() => {
            Some("the front of the log was removed behind a snapshot, and there is no snapshot any more")
        }
        // Every start counts itself in the log before there can be a snapshot.
        true if recovered.boot == 0 => {
            Some("there is a snapshot and no log: the log was removed, and with it the term and the vote")
        }
        _ => None,
    }
}

fn log_recovery(id: NodeId, boot: u64, recovered: &Recovered) {
    if let Some(torn) = &recovered.torn {
        tracing::warn!(
            "{id}: removed a torn write of {} bytes at byte {} of {}",
            torn.bytes,
            torn.offset,
            torn.path.display()
        );
    }
    let last = recovered.entries.last().map_or((0, 0), |entry| (entry.index, entry.term));
    tracing::info!(
        "{id}: start {boot}, term {}, vote {}, last entry {} of term {}",
        recovered.hard_state.term,
        recovered.hard_state.voted_for.map_or("none".into(), |node| node.to_string()),
        last.0,
        last.1
    );
}

/// A seed that differs between starts.
pub(crate) fn drawn_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
