//! `raftcheck doctor`: every mechanism that a run needs is tried for real, and what is missing comes with its fix.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use checker::params::Params;
use cluster::clock::NodeClock;
use cluster::cluster::{Clocks, Cluster, ClusterOptions, Medium};
use cluster::levers::{Endpoint, Levers, Link, LinkRule, NodeSignal, ProcessState};
use cluster::network::NetworkKind;
use cluster::sandbox::{self, Entered};
use cluster::system::{NodeId, System};
use cluster::systems::{self, SystemOptions};
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::report::Style;
use crate::session;

/// The arguments of `raftcheck doctor`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Print the findings as JSON lines
    #[arg(long)]
    json: bool,
    /// Try what has to be tried inside a sandbox
    #[arg(long, hide = true)]
    inside: bool,
}

/// One finding.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Finding {
    what: String,
    works: bool,
    /// Whether runs of the bundled node need it.
    needed: bool,
    detail: String,
}

impl Finding {
    fn new(what: &str, needed: bool, result: Result<String, String>) -> Self {
        let works = result.is_ok();
        let detail = result.unwrap_or_else(|error| error);
        Self { what: what.to_owned(), works, needed, detail }
    }
}

/// Tries everything. Exits with 77 if something is missing that runs of the bundled node need.
pub(super) fn main(args: &Args) -> Exit {
    if args.inside {
        return inside();
    }
    let mut findings = match tried_inside() {
        Ok(findings) => findings,
        Err(error) => vec![Finding::new("sandbox", true, Err(error.to_string()))],
    };
    findings.push(Finding::new("disk for run directories", false, fsync(Path::new("."))));
    findings.push(Finding::new("open files", true, open_files()));
    for kind in systems::registry() {
        let built = (kind.build)(&SystemOptions { params: Params::default(), rules: Vec::new() });
        let probe = built.and_then(|system| system.probe().map_err(|error| error.to_string()));
        findings.push(Finding::new(&format!("system {}", kind.name), kind.name == "raftkv", probe));
    }
    print(&findings, args.json);
    let missing = findings.iter().any(|finding| finding.needed && !finding.works);
    if missing { Exit::Unavailable } else { Exit::AsExpected }
}

fn print(findings: &[Finding], json: bool) {
    let mut out = io::stdout().lock();
    if json {
        for finding in findings {
            let _ = writeln!(out, "{}", serde_json::to_string(finding).unwrap_or_default());
        }
        return;
    }
    let style = Style::of(&io::stdout());
    let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or(0);
    for finding in findings {
        let mark = match (finding.works, finding.needed) {
            (true, _) => style.good("works  "),
            (false, true) => style.bad("MISSING"),
            (false, false) => style.warn("missing"),
        };
        let detail = finding.detail.replace('\n', &format!("\n{:1$}", "", width + 11));
        let _ = writeln!(out, "{mark}  {:width$}  {detail}", finding.what);
    }
}

/// Starts this program again, since entering a sandbox cannot be taken back, and reads what it finds.
fn tried_inside() -> io::Result<Vec<Finding>> {
    let output = Command::new(session::executable()?)
        .args(["doctor", "--inside"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let findings: Vec<Finding> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    if findings.is_empty() {
        return Err(io::Error::other(format!("the trial process ended without a word ({})", output.status)));
    }
    Ok(findings)
}

fn inside() -> Exit {
    let begun = Instant::now();
    let report = |finding: &Finding| println!("{}", serde_json::to_string(finding).unwrap_or_default());
    match sandbox::enter() {
        Ok(Entered::Inside) => {}
        Ok(Entered::Outer(ended)) => std::process::exit(ended.code().into()),
        Err(error) => {
            report(&Finding::new("sandbox (user, net, mount, pid namespaces)", true, Err(error.to_string())));
            return Exit::AsExpected;
        }
    }
    let entered = Ok(format!("entered in {:.1?}", begun.elapsed()));
    report(&Finding::new("sandbox (user, net, mount, pid namespaces)", true, entered));
    report(&Finding::new("disks that fail (FUSE in memory)", false, failing_disk()));
    let bridge = cluster::bridge::trial().map(|trial| trial.to_string());
    report(&Finding::new("network of the kernel (bridge, nftables)", false, bridge));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(cluster_trial(&report)),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = result {
        report(&Finding::new("a cluster of three nodes", true, Err(error)));
    }
    Exit::AsExpected
}

/// Starts a small cluster and moves every lever once.
async fn cluster_trial(report: &dyn Fn(&Finding)) -> Result<(), String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let begun = Instant::now();
    let options = ClusterOptions {
        system: bundled()?,
        nodes: 3,
        spares: 0,
        network: NetworkKind::Switch,
        rules: Vec::new(),
        run_dir: directory.path().to_owned(),
        medium: Medium::Memory,
        clocks: Clocks::Host,
        seed: 1,
        ready_timeout: Duration::from_secs(20),
    };
    let (cluster, _exits) = Cluster::start(options).await.map_err(|error| error.to_string())?;
    let ready =
        format!("three nodes on hosts of their own, data in memory, answer after {:.1?}", begun.elapsed());
    report(&Finding::new("hosts (netns, veth), packet switch, tmpfs, nodes", true, Ok(ready)));
    report(&Finding::new("network cuts", true, cut(&cluster).await));
    report(&Finding::new("pause and resume", true, pause(&cluster).await));
    report(&Finding::new("kill and restart", true, kill(&cluster).await));
    report(&Finding::new("clocks of a node's own (ptrace, vDSO, seccomp)", false, clocks()));
    cluster.stop_all(Duration::from_secs(1)).await;
    Ok(())
}

/// Clocks of a node's own, on a program that only ends.
fn clocks() -> Result<String, String> {
    NodeClock::trial().map(|trial| trial.to_string())
}

fn bundled() -> Result<Arc<dyn System>, String> {
    let kind = systems::registry()
        .iter()
        .find(|kind| kind.name == "raftkv")
        .ok_or("the bundled system is not registered")?;
    (kind.build)(&SystemOptions { params: Params::default(), rules: Vec::new() })
}

async fn cut(cluster: &Cluster) -> Result<String, String> {
    // All of them: only the leader talks unasked, and nobody knows who that is.
    let nodes = cluster.nodes();
    let ends = |from: NodeId| nodes.iter().filter(move |to| **to != from).map(move |to| (from, *to));
    let link = |(from, to)| Link { from: Endpoint::Node(from), to: Endpoint::Node(to) };
    let links: Vec<Link> = nodes.iter().flat_map(|from| ends(*from)).map(link).collect();
    let rules = |rule| links.iter().map(|link| (*link, rule)).collect::<Vec<_>>();
    let begun = Instant::now();
    cluster.set_links(&rules(LinkRule::Drop)).map_err(|error| error.to_string())?;
    let took = begun.elapsed();
    // Raft nodes talk all the time: a cut that works drops frames soon.
    let deadline = Instant::now() + Duration::from_secs(2);
    let dropped = || links.iter().map(|link| cluster.link(*link).1.dropped).sum::<u64>();
    while dropped() == 0 {
        if Instant::now() > deadline {
            return Err("no frame was dropped although every link was cut".to_owned());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cluster.set_links(&rules(LinkRule::Pass)).map_err(|error| error.to_string())?;
    Ok(format!("all {} links cut in {took:.1?}, frames are dropped", links.len()))
}

async fn pause(cluster: &Cluster) -> Result<String, String> {
    let node = NodeId(2);
    cluster.signal(node, NodeSignal::Pause).await.map_err(|error| error.to_string())?;
    let paused = cluster.process(node);
    cluster.signal(node, NodeSignal::Resume).await.map_err(|error| error.to_string())?;
    match (paused, cluster.process(node)) {
        (ProcessState::Paused, ProcessState::Running) => Ok("n2 was stopped and goes on".to_owned()),
        states => Err(format!("n2 was found {states:?} instead of paused and running")),
    }
}

async fn kill(cluster: &Cluster) -> Result<String, String> {
    let node = NodeId(3);
    cluster.signal(node, NodeSignal::Kill).await.map_err(|error| error.to_string())?;
    let killed = cluster.process(node);
    cluster.start(node).await.map_err(|error| error.to_string())?;
    match (killed, cluster.process(node)) {
        (ProcessState::Down, ProcessState::Running) => Ok("n3 was killed and is back".to_owned()),
        states => Err(format!("n3 was found {states:?} instead of down and running")),
    }
}

/// Mounts a disk, syncs, and lets its power fail.
fn failing_disk() -> Result<String, String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let trial = cluster::disk::trial(directory.path(), 200)?;
    let (median, failure) = (trial.syncs[trial.syncs.len() / 2], trial.power_failure);
    Ok(format!("a write and fdatasync take {median:.1?} (median of 200), a power failure {failure:.1?}"))
}

/// The time of a small write that has to reach the disk.
fn fsync(directory: &Path) -> Result<String, String> {
    let mut file = tempfile::tempfile_in(directory).map_err(|error| {
        format!("cannot write here: {error}\n  to fix it: change to a directory that you may write to, or use --out")
    })?;
    let mut times = Vec::new();
    for _ in 0..20 {
        let begun = Instant::now();
        file.write_all(&[0; 512]).and_then(|()| file.sync_data()).map_err(|error| error.to_string())?;
        times.push(begun.elapsed());
    }
    times.sort();
    Ok(format!("fdatasync takes {:.1?} (median of 20)", times[times.len() / 2]))
}

fn open_files() -> Result<String, String> {
    use nix::sys::resource::{Resource, getrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| error.to_string())?;
    if soft < 512 {
        return Err(format!("the limit is {soft}\n  to fix it: ulimit -n {}", hard.min(4096)));
    }
    Ok(format!("the limit is {soft}"))
}
