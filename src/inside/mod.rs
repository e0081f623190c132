//! The recording process: enters the sandbox, starts the cluster, plays the plan, closes the history.
//!
//! Started by [`crate::session`] for each run, so that its death, however it dies, ends a run and nothing else. It
//! judges nothing.

mod clock;
pub mod faults;
pub mod memory;
mod output;
mod scripted;
mod stage;
mod tail;
mod timeline;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cluster::clock::NodeClock;
use cluster::cluster::{Clocks, Cluster, ClusterOptions, Medium};
use cluster::levers::Levers;
use cluster::network::NetworkKind;
use cluster::sandbox::{self, Entered};
use cluster::system::{NodeId, System};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use workloads::Workload;

use crate::director::script::LastClient;
use crate::director::{Background, Director, End};
use crate::events::{Phase, RunEvent};
use crate::exit::Exit;
use crate::plan::{Packets, Plan};
use crate::recorder::{HistoryFile, LineFile};
use crate::rundir::{EndRecord, RunDir, RunRecord};
use crate::suite::{DataPlace, FaultUse, SCRIPTED, Suite};
use clock::Clock;
pub(crate) use clock::raw_now;
use memory::Memory;
use scripted::Scripted;
use stage::Stage;
use tail::Tail;
use timeline::{Incoming, Record, State, Timeline};

/// How long the nodes of a new cluster may take until all of them answer.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a call of the client that comes after the steps may take: it tries again.
const LAST_CLIENT_TIMEOUT: Duration = Duration::from_millis(250);
/// How long the nodes may take to end at the end of a run.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// The arguments of the hidden command.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The run directory, with its plan
    directory: PathBuf,
    /// The process that started this one
    #[arg(long)]
    parent: i32,
    /// Keep the nodes until Ctrl-C once everything is done
    #[arg(long)]
    keep_running: bool,
}

/// Carries out the plan of a run directory. What goes wrong is told as an event; the exit code is 0 if the run
/// directory is complete.
pub fn main(args: &Args) -> Exit {
    die_with_parent(args.parent);
    // The one that waits outside the sandbox, for people who want to look inside.
    let outside = std::process::id();
    match sandbox::enter() {
        Ok(Entered::Inside) => {}
        Ok(Entered::Outer(ended)) => {
            // The child has told everything; only a signal that killed it is news.
            std::process::exit(ended.code().into());
        }
        Err(error @ sandbox::SandboxError::Forbidden { .. }) => {
            output::event(&RunEvent::Unavailable { message: error.to_string() });
            return Exit::AsExpected;
        }
        Err(error) => return fail(&error.to_string()),
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start the event loop: {error}")),
    };
    match runtime.block_on(run(args, outside)) {
        Ok(()) => Exit::AsExpected,
        Err(message) => fail(&message),
    }
}

fn fail(message: &str) -> Exit {
    output::event(&RunEvent::HarnessFailure { message: message.to_owned() });
    Exit::AsExpected
}

/// Ends this process when the one that started it is gone.
fn die_with_parent(parent: i32) {
    // SAFETY: prctl with PR_SET_PDEATHSIG only sets an attribute of this process.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // It may have died before the line above.
    if nix::unistd::getppid().as_raw() != parent {
        std::process::exit(Exit::Harness.code().into());
    }
}

async fn run(args: &Args, outside: u32) -> Result<(), String> {
    let dir = RunDir::open(&args.directory).map_err(|error| error.to_string())?;
    let plan: Plan = dir.read_json("plan.json").map_err(|error| error.to_string())?;
    let (sender, incoming) = unbounded_channel();
    watch_signals(sender.clone())?;
    let clock = Clock::start();
    dir.write_json("started.json", &clock.started()).map_err(|error| error.to_string())?;
    output::event(&RunEvent::Phase { at: 0, phase: Phase::Starting });

    let disk = plan.disk();
    if disk.is_some()
        && let Err(message) = cluster::disk::available()
    {
        output::event(&RunEvent::Unavailable { message });
        return Ok(());
    }
    let clocks = clocks(&plan.suite);
    if clocks == Clocks::PerNode
        && let Err(why) = NodeClock::trial()
    {
        let message = format!("this host does not let nodes have clocks of their own: {why}");
        output::event(&RunEvent::Unavailable { message });
        return Ok(());
    }
    if let Some(message) = network_unavailable(&plan) {
        output::event(&RunEvent::Unavailable { message });
        return Ok(());
    }
    let system = system(&plan.suite)?;
    let options = ClusterOptions {
        system,
        nodes: plan.suite.system.nodes,
        spares: plan.suite.system.spares,
        network: plan.suite.system.network,
        rules: Vec::new(),
        run_dir: dir.path().to_owned(),
        medium: match (disk, plan.suite.system.data) {
            (Some(disk), _) => Medium::Failing(disk),
            (None, DataPlace::Disk) => Medium::Disk,
            (None, DataPlace::Memory) => Medium::Memory,
        },
        clocks,
        seed: plan.streams.nodes,
        ready_timeout: READY_TIMEOUT,
    };
    let (cluster, exits) = Cluster::start(options).await.map_err(|error| error.to_string())?;
    if plan.packets == Packets::Captured {
        let file = dir.path().join("network.pcapng");
        cluster.capture(&file).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    forward_exits(exits, sender.clone());

    let timeline = timeline(&plan, &dir, cluster.clone(), clock, incoming, sender)?;
    let (record, result) = timeline.run().await;
    let end = record.end;
    let written = write_record(&dir, record, &result);
    if args.keep_running && result.is_ok() && end == End::Complete {
        keep(&cluster, outside).await?;
    }
    cluster.stop_all(STOP_GRACE).await;
    let saved = cluster.save_disks().map_err(|error| format!("cannot save the nodes' disks: {error}"));
    result?;
    if end == End::NeverWarm {
        return Err(never_warm(&cluster));
    }
    written?;
    saved?;
    let troubles = cluster.troubles();
    if troubles != cluster::switch::SwitchTroubles::default() {
        tracing::warn!("the packet switch had troubles: {troubles:?}");
    }
    output::event(&RunEvent::Finished { at: clock.now(), interrupted: end == End::Interrupted });
    Ok(())
}

fn timeline(
    plan: &Plan,
    dir: &RunDir,
    cluster: Arc<Cluster>,
    clock: Clock,
    incoming: UnboundedReceiver<Incoming>,
    sender: UnboundedSender<Incoming>,
) -> Result<Timeline, String> {
    let suite = &plan.suite;
    let settings = plan.director_settings();
    let workload = workload(plan)?;
    let levers: Arc<dyn Levers> = cluster.clone();
    let nodes = usize::from(suite.system.nodes);
    let faults = faults::Faults::new(&plan.faults, nodes, levers, dir.path(), sender.clone())?;
    // Clients are spread evenly, so that some are at home on every side of any partition.
    let homes: Vec<NodeId> =
        (0..settings.clients).map(|client| NodeId((client % nodes) as u16 + 1)).collect();
    let op_timeout = match settings.background {
        Background::Clients => suite.op_timeout(),
        Background::Nobody => LAST_CLIENT_TIMEOUT,
    };
    let clients = homes.iter().map(|home| cluster.connect(*home, op_timeout)).collect();
    let mut director = Director::new(settings, workload);
    if let Some(script) = &suite.script {
        director = director.playing(script, suite.system.nodes, suite.system.spares);
    }
    let scripted = suite.script.is_some().then(|| self::scripted(plan, dir, &cluster, &clock, &faults));
    Ok(Timeline {
        clock,
        director,
        scripted: scripted.transpose()?,
        history: HistoryFile::create(&dir.file("history.jsonl")).map_err(|error| error.to_string())?,
        faults,
        memory: Memory::create(dir)?,
        cluster,
        clients,
        homes,
        incoming,
        sender,
        state: State::default(),
    })
}

/// What the clients ask for.
fn workload(plan: &Plan) -> Result<Box<dyn Workload>, String> {
    let using = &plan.suite.workload;
    if using.kind == SCRIPTED {
        return Ok(Box::new(LastClient::default()));
    }
    let kind = workloads::find(&using.kind).ok_or_else(|| format!("no workload is called {}", using.kind))?;
    (kind.build)(&using.settings, using.clients, plan.streams.workload)
}

/// Who takes the steps.
fn scripted(
    plan: &Plan,
    dir: &RunDir,
    cluster: &Arc<Cluster>,
    clock: &Clock,
    faults: &faults::Faults,
) -> Result<Scripted, String> {
    let nodes = cluster.nodes().into_iter().chain(cluster.spares());
    let traces = nodes.filter_map(|node| Some((node, cluster.spec(node)?.trace_file.clone())));
    Ok(Scripted {
        stage: Stage::new(cluster.clone(), faults.nemesis(), plan.streams.faults),
        tail: Tail::new(traces, clock.started().clock_origin),
        story: LineFile::create(&dir.file("steps.jsonl")).map_err(|error| error.to_string())?,
        clients: BTreeMap::new(),
        excused: BTreeSet::new(),
    })
}

fn write_record(dir: &RunDir, record: Record, result: &Result<(), String>) -> Result<(), String> {
    let end = if result.is_err() { EndRecord::Failed } else { record.end.into() };
    let record = RunRecord {
        format: crate::rundir::FORMAT,
        end,
        calls: record.calls,
        phases: record.phases,
        peak_memory_bytes: peak_memory_bytes(),
        unexpected_exits: record.unexpected_exits,
        recovered_after: record.recovered_after,
        missed: record.missed,
    };
    dir.write_json("run.json", &record).map_err(|error| error.to_string())
}

/// The high-water mark of this process's resident set.
fn peak_memory_bytes() -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};
    // The kernel counts in KiB.
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss() as u64 * 1024)
}

/// Why a cluster that answers, but acknowledges nothing, cannot be tested.
fn never_warm(cluster: &Cluster) -> String {
    let last = |node: &NodeId| format!("{node}:\n{}", cluster.last_output(*node));
    let nodes: Vec<String> = cluster.nodes().iter().map(last).collect();
    format!(
        "the cluster did not acknowledge enough calls before any fault; its nodes said last\n{}",
        nodes.join("\n")
    )
}

/// Waits for Ctrl-C with the nodes running.
async fn keep(cluster: &Cluster, outside: u32) -> Result<(), String> {
    let members: Vec<String> =
        cluster.members().iter().map(|(node, address)| format!("{node} {address}")).collect();
    output::event(&RunEvent::Kept {
        hint: format!(
            "the nodes keep running until Ctrl-C: {}\nfor a shell beside their clients: nsenter \
             --preserve-credentials -U -n -t $(pgrep -P {outside})",
            members.join(", ")
        ),
    });
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn watch_signals(sender: UnboundedSender<Incoming>) -> Result<(), String> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    if sandbox::early_signal().is_some() {
        let _ = sender.send(Incoming::Interrupted);
    }
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if sender.send(Incoming::Interrupted).is_err() {
                return;
            }
        }
    });
    Ok(())
}

fn forward_exits(
    mut exits: UnboundedReceiver<cluster::cluster::NodeExited>,
    sender: UnboundedSender<Incoming>,
) {
    tokio::spawn(async move {
        while let Some(exited) = exits.recv().await {
            if sender.send(Incoming::Exited(exited)).is_err() {
                return;
            }
        }
    });
}

/// Why this run cannot have the network that it asks for, if it cannot.
fn network_unavailable(plan: &Plan) -> Option<String> {
    plan.network_lacks().or_else(|| match plan.suite.system.network {
        NetworkKind::Switch => None,
        NetworkKind::Kernel => cluster::bridge::trial().err(),
    })
}

/// Which clocks the nodes of a suite go by: their own only where a fault moves them, because those cost something.
fn clocks(suite: &Suite) -> Clocks {
    let steps = suite.script.as_ref().map(crate::script::model::Script::faults).unwrap_or_default();
    let mix = suite.faults.iter().flat_map(|faults| &faults.mix).chain(steps);
    let moves_clocks = |fault: &FaultUse| {
        nemesis::faults::find(&fault.fault).is_some_and(|kind| (kind.needs)(&fault.settings).clocks)
    };
    if mix.into_iter().any(moves_clocks) { Clocks::PerNode } else { Clocks::Host }
}

/// The system of a suite, ready to be started.
pub fn system(suite: &Suite) -> Result<Arc<dyn System>, String> {
    let kind = cluster::systems::registry()
        .iter()
        .find(|kind| kind.name == suite.system.system)
        .ok_or_else(|| format!("no system is called {}", suite.system.system))?;
    let mut rules = Vec::new();
    if let Some(book) = &suite.system.rules {
        rules.push(("preset".to_owned(), book.preset.clone()));
        rules.extend(book.set.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    (kind.build)(&cluster::systems::SystemOptions { params: suite.system.settings.clone(), rules })
}

/// Where nodes write their traces in a run directory.
pub fn trace_file(node_dir: &Path) -> PathBuf {
    node_dir.join("trace.jsonl")
}
