//! Sandboxes, node processes and clusters, watched from inside and from outside.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use checker::history::{Key, Op, Outcome, ProcessId, Reply, Value};
use cluster::cluster::{Cluster, ClusterOptions, Medium, NodeExited, StartError};
use cluster::levers::{Endpoint, LeverError, Levers, Link, LinkRule, NodeSignal, ProcessState};
use cluster::sandbox::early_signal;
use cluster::system::System;
use cluster::system::{FileEdit, NodeId, Role};
use cluster::systems::raftkv::RaftKv;
use cluster::systems::{SystemOptions, registry};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

use common::{Play, Scene, Sleeper, Stage, block_on, eventually, scripts, start};

fn main() -> ExitCode {
    common::main(&[
        Scene { name: "a_sandbox_is_empty_and_private", play: Play::Inside(a_sandbox_is_empty_and_private) },
        Scene {
            name: "a_pause_stops_every_process_of_a_node",
            play: Play::Inside(a_pause_stops_every_process),
        },
        Scene { name: "a_kill_leaves_nothing_of_a_node", play: Play::Inside(a_kill_leaves_nothing) },
        Scene { name: "an_exit_is_reported_with_what_was_asked", play: Play::Inside(an_exit_is_reported) },
        Scene { name: "a_crash_is_not_blamed_on_the_kill_that_came_late", play: Play::Inside(late_kill) },
        Scene { name: "levers_refuse_what_the_state_forbids", play: Play::Inside(levers_refuse) },
        Scene { name: "a_node_that_does_not_start_is_shown", play: Play::Inside(a_node_that_does_not_start) },
        Scene { name: "stopping_asks_first_and_insists_later", play: Play::Inside(stopping_asks_first) },
        Scene { name: "orphans_of_a_running_node_are_reaped", play: Play::Inside(orphans_are_reaped) },
        Scene {
            name: "nodes_inherit_no_blocked_signal",
            play: Play::Inside(nodes_inherit_no_blocked_signal),
        },
        Scene { name: "memory_is_a_medium", play: Play::Inside(memory_is_a_medium) },
        Scene {
            name: "etcd_serves_through_a_partition",
            play: Play::Inside(etcd_serves_through_a_partition),
        },
        Scene {
            name: "raftkv_serves_through_a_partition",
            play: Play::Inside(raftkv_serves_through_a_partition),
        },
        Scene { name: "files_belong_to_the_caller", play: Play::Outside(files_belong_to_the_caller) },
        Scene { name: "signals_and_exit_codes_pass_the_sandbox", play: Play::Outside(signals_pass) },
        Scene { name: "thirty_kills_leave_nothing_behind", play: Play::Outside(thirty_kills) },
        Scene { name: "busy", play: Play::Actor(busy) },
        Scene { name: "count_interrupts", play: Play::Actor(count_interrupts) },
        Scene { name: "exit_three", play: Play::Actor(|_| std::process::exit(3)) },
        Scene { name: "early_interrupt", play: Play::Actor(early_interrupt) },
        Scene { name: "die", play: Play::Actor(die) },
    ])
}

const N1: NodeId = NodeId(1);

/// Says that it is ready and then sleeps.
const SLEEPER: &str = "touch $1/ready; exec sleep 1000";
/// A wrapper script with children, one of which has left the group and the session before it says that it is ready.
const FAMILY: &str =
    "rm -f $1/free; sleep 1000 & (setsid sh -c 'touch $0/free; exec sleep 1000' $1 &); sleep 1000 &
    while ! test -e $1/free; do sleep 0.01; done; touch $1/ready; wait";

/// All processes in this pid namespace but this one, zombies too: name and state.
fn others() -> Vec<(i32, String, char)> {
    let own = std::process::id() as i32;
    let numbers =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let stat = |id: i32| {
        let line = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (open, close) = (line.find('(')?, line.rfind(')')?);
        Some((id, line[open + 1..close].to_owned(), line[close + 2..].chars().next()?))
    };
    numbers.filter(|id| *id != own).filter_map(stat).collect()
}

fn a_sandbox_is_empty_and_private(_: &Path) {
    assert_eq!(std::process::id(), 1);
    assert!(others().is_empty(), "{:?}", others());
    assert!(nix::unistd::geteuid().is_root());
    let interfaces = fs::read_to_string("/proc/self/net/dev").unwrap();
    assert_eq!(interfaces.lines().skip(2).count(), 1, "{interfaces}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(" shared:"), "a mount would leak out");
}

fn a_pause_stops_every_process(directory: &Path) {
    block_on(async {
        let (cluster, _exits) = start(scripts(FAMILY, 2, directory)).await;
        assert_eq!(cluster.process(N1), ProcessState::Running);
        let started = Instant::now();
        cluster.signal(N1, NodeSignal::Pause).await.unwrap();
        println!("    paused after {:?}", started.elapsed());
        assert_eq!(cluster.process(N1), ProcessState::Paused);
        assert_eq!(cluster.process(NodeId(2)), ProcessState::Running);
        // Of each family: the shell, two sleeps in its group, one sleep that left it.
        let stopped = others().iter().filter(|(_, _, state)| *state == 'T').count();
        assert_eq!(stopped, 3, "{:?}", others());
        cluster.signal(N1, NodeSignal::Resume).await.unwrap();
        assert_eq!(cluster.process(N1), ProcessState::Running);
        assert!(others().iter().all(|(_, _, state)| *state != 'T'), "{:?}", others());
    });
}

fn a_kill_leaves_nothing(directory: &Path) {
    block_on(async {
        let (cluster, mut exits) = start(scripts(FAMILY, 1, directory)).await;
        for round in 0..5 {
            if round == 3 {
                cluster.signal(N1, NodeSignal::Pause).await.unwrap();
            }
            let started = Instant::now();
            cluster.signal(N1, NodeSignal::Kill).await.unwrap();
            println!("    killed and reaped after {:?}", started.elapsed());
            assert_eq!(cluster.process(N1), ProcessState::Down);
            assert!(others().is_empty(), "left over: {:?}", others());
            assert_eq!(exits.recv().await.unwrap().asked, Some(NodeSignal::Kill));
            let ready = cluster.spec(N1).unwrap().data_dir.join("ready");
            fs::remove_file(&ready).unwrap();
            Levers::start(&*cluster, N1).await.unwrap();
            eventually("started again", || ready.exists());
        }
    });
}

fn an_exit_is_reported(directory: &Path) {
    block_on(async {
        // Ends by itself as soon as it is told to through a file.
        let script = "touch $1/ready; while ! test -e $1/end; do sleep 0.01; done; echo the end; exit 5";
        let (cluster, mut exits) = start(scripts(script, 2, directory)).await;
        fs::write(cluster.spec(N1).unwrap().data_dir.join("end"), "").unwrap();
        let NodeExited { node, status, asked, .. } = exits.recv().await.unwrap();
        assert_eq!((node, status.code(), asked), (N1, Some(5), None));
        assert!(cluster.wait_down(N1, Duration::ZERO).await);
        assert!(cluster.last_output(N1).contains("    the end"), "{}", cluster.last_output(N1));
        assert!(!cluster.wait_down(NodeId(2), Duration::from_millis(10)).await);
        cluster.signal(NodeId(2), NodeSignal::Terminate).await.unwrap();
        let NodeExited { node, status, asked, .. } = exits.recv().await.unwrap();
        use std::os::unix::process::ExitStatusExt;
        assert_eq!((node, status.signal(), asked), (NodeId(2), Some(15), Some(NodeSignal::Terminate)));
        cluster.stop_all(Duration::from_secs(1)).await;
        assert!(exits.try_recv().is_err());
    });
}

/// A node that has crashed, and was not reaped yet when the next fault wanted to kill it.
fn late_kill(directory: &Path) {
    block_on(async {
        let script = "touch $1/ready; while ! test -e $1/die; do sleep 0.01; done; exit 3";
        let (cluster, mut exits) = start(scripts(script, 1, directory)).await;
        fs::write(cluster.spec(N1).unwrap().data_dir.join("die"), "").unwrap();
        // This thread runs the runtime as well: nobody reaps until the next await.
        eventually("the node has crashed", || {
            others().iter().any(|(_, name, state)| name == "sh" && *state == 'Z')
        });
        let late = cluster.signal(N1, NodeSignal::Kill).await;
        assert!(matches!(late, Err(LeverError::WrongState(_))), "{late:?}");
        let NodeExited { status, asked, .. } = exits.recv().await.unwrap();
        assert_eq!((status.code(), asked), (Some(3), None));
    });
}

/// A harness that takes its signals with `sigwait` has them blocked, and a blocked signal stays blocked across exec: a
/// node would sleep through every SIGTERM.
fn nodes_inherit_no_blocked_signal(directory: &Path) {
    SigSet::all().thread_block().unwrap();
    block_on(async {
        let options = ClusterOptions { system: Arc::new(Sleeper), ..scripts("", 1, directory) };
        let (cluster, mut exits) = start(options).await;
        cluster.signal(N1, NodeSignal::Terminate).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(20), exits.recv()).await;
        let NodeExited { asked, .. } = ended.expect("the node obeys SIGTERM").unwrap();
        assert_eq!(asked, Some(NodeSignal::Terminate));
    });
}

fn levers_refuse(directory: &Path) {
    block_on(async {
        let (cluster, _exits) = start(scripts(SLEEPER, 1, directory)).await;
        let truncate = || FileEdit::TruncateLog { entries: 2 };
        let wrong = |result: Result<(), LeverError>| {
            assert!(matches!(result, Err(LeverError::WrongState(_))), "{result:?}")
        };
        wrong(Levers::start(&*cluster, N1).await);
        wrong(cluster.edit(N1, truncate()).await.map(drop));
        let unknown = cluster.signal(NodeId(7), NodeSignal::Kill).await;
        assert!(matches!(unknown, Err(LeverError::Unsupported(_))), "{unknown:?}");
        cluster.signal(N1, NodeSignal::Kill).await.unwrap();
        for signal in [NodeSignal::Kill, NodeSignal::Terminate, NodeSignal::Pause, NodeSignal::Resume] {
            wrong(cluster.signal(N1, signal).await);
        }
        assert_eq!(cluster.edit(N1, truncate()).await.unwrap(), "removed 2");
        let unsupported = cluster.edit(N1, FileEdit::LoseVote).await;
        assert!(matches!(unsupported, Err(LeverError::Unsupported(_))), "{unsupported:?}");
        // Without the file, the edit has nothing to do and fails.
        fs::remove_file(cluster.spec(N1).unwrap().data_dir.join("ready")).unwrap();
        let failed = cluster.edit(N1, truncate()).await;
        assert!(matches!(failed, Err(LeverError::Failed(_))), "{failed:?}");
        let cut = Link { from: Endpoint::Clients, to: Endpoint::Node(NodeId(2)) };
        assert!(matches!(cluster.set_links(&[(cut, LinkRule::Drop)]), Err(LeverError::Unsupported(_))));
    });
}

fn a_node_that_does_not_start(directory: &Path) {
    block_on(async {
        let error = |options| async { Cluster::start(options).await.err().expect("an error") };
        let script = "if test $NODE = n2; then echo no disk >&2; exit 4; fi; exec sleep 1000";
        let ended = error(scripts(script, 3, directory)).await;
        assert!(
            matches!(&ended, StartError::Exited(NodeId(2), status, log) if status.code() == Some(4) && log.contains("no disk")),
            "{ended}"
        );
        let mut options = scripts("echo thinking; exec sleep 1000", 1, directory);
        options.ready_timeout = Duration::from_millis(300);
        let silent = error(options).await;
        assert!(matches!(&silent, StartError::Silent(N1, _, log) if log.contains("thinking")), "{silent}");
        let mut options = scripts(SLEEPER, 0, directory);
        assert!(matches!(error(options).await, StartError::Prepare(..)));
        options = scripts(SLEEPER, 1, directory);
        options.run_dir = "/proc/nowhere".into();
        assert!(matches!(error(options).await, StartError::Prepare(..)));
        // What a failed start began is gone once its end was seen.
        let deadline = Instant::now() + Duration::from_secs(10);
        while !others().is_empty() {
            assert!(Instant::now() < deadline, "left over: {:?}", others());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

fn stopping_asks_first(directory: &Path) {
    block_on(async {
        // n1 tidies up when asked, n2 does not listen.
        let script = "if test $NODE = n1; then trap 'echo tidy; exit 0' TERM; else trap '' TERM; fi
            touch $1/ready; while :; do sleep 0.01; done";
        let (cluster, mut exits) = start(scripts(script, 2, directory)).await;
        cluster.signal(N1, NodeSignal::Pause).await.unwrap();
        cluster.stop_all(Duration::from_millis(300)).await;
        assert!(cluster.last_output(N1).contains("tidy"));
        assert_eq!(
            (cluster.process(N1), cluster.process(NodeId(2))),
            (ProcessState::Down, ProcessState::Down)
        );
        assert!(others().is_empty(), "{:?}", others());
        assert!(exits.try_recv().is_err(), "the end of a run is not an event of it");
    });
}

fn orphans_are_reaped(directory: &Path) {
    block_on(async {
        // Each subshell ends at once and leaves its child to pid 1; the node itself goes on.
        let script = "for i in 1 2 3 4 5; do (sleep 0.05 & ); done; touch $1/ready; exec sleep 1000";
        let (cluster, mut exits) = start(scripts(script, 1, directory)).await;
        let deadline = Instant::now() + Duration::from_secs(10);
        while others().len() > 1 {
            assert!(Instant::now() < deadline, "{:?}", others());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(cluster.process(N1), ProcessState::Running);
        assert!(exits.try_recv().is_err());
    });
}

fn memory_is_a_medium(directory: &Path) {
    block_on(async {
        let is_tmpfs = |path: &Path| {
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
            mounts
                .lines()
                .any(|line| line.contains(&format!(" {} ", path.display())) && line.contains(" - tmpfs "))
        };
        let options = || ClusterOptions { medium: Medium::Memory, ..scripts(SLEEPER, 2, directory) };
        let (cluster, _exits) = start(options()).await;
        let data = cluster.spec(N1).unwrap().data_dir.clone();
        assert!(is_tmpfs(&data) && data.join("ready").exists());
        cluster.stop_all(Duration::from_secs(1)).await;
        drop(cluster);
        // The abandoned reaper holds the last reference until the runtime drops it.
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_tmpfs(&data) {
            assert!(Instant::now() < deadline, "still mounted");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // A second run in the same sandbox begins anew.
        let (_cluster, _exits) = start(options()).await;
    });
}

fn etcd_serves_through_a_partition(directory: &Path) {
    let kind = registry().iter().find(|kind| kind.name == "etcd").unwrap();
    let system = (kind.build)(&SystemOptions::default()).unwrap();
    serves_through_a_partition(system, directory);
}

fn raftkv_serves_through_a_partition(directory: &Path) {
    if let Some(program) = common::bundled_node() {
        serves_through_a_partition(Arc::new(RaftKv::new(program, Vec::new())), directory);
    }
}

fn serves_through_a_partition(system: Arc<dyn System>, directory: &Path) {
    if let Err(missing) = system.probe() {
        println!("NOT TESTED: {missing}");
        return;
    }
    let name = system.name();
    block_on(async {
        let options = ClusterOptions { system, medium: Medium::Memory, ..scripts("", 3, directory) };
        let started = Instant::now();
        let (cluster, mut exits) = start(options).await;
        println!("    3 nodes of {name} answer after {:?}", started.elapsed());
        let leader = leader_of(&cluster, &BTreeSet::new()).await;
        println!("    {leader} leads after {:?}", started.elapsed());
        every_operation_works(&cluster).await;
        // The leader alone in its part: nothing through it is acknowledged, the others go on.
        let ends: Vec<Endpoint> =
            cluster.nodes().into_iter().filter(|node| *node != leader).map(Endpoint::Node).collect();
        let alone = |rule| {
            let both = |end: &Endpoint| {
                let leader = Endpoint::Node(leader);
                [(Link { from: leader, to: *end }, rule), (Link { from: *end, to: leader }, rule)]
            };
            cluster.set_links(&ends.iter().flat_map(both).collect::<Vec<_>>()).unwrap()
        };
        alone(LinkRule::Drop);
        let write = Op::Write { key: Key::new("cut"), value: Value::Int(1) };
        let stuck = cluster.connect(leader, Duration::from_millis(500)).call(ProcessId(1), &write).await;
        assert!(matches!(stuck.outcome, Outcome::Unknown(_)), "{stuck:?}");
        let next = leader_of(&cluster, &BTreeSet::from([leader])).await;
        let client = cluster.connect(next, Duration::from_secs(5));
        let second = Op::Write { key: Key::new("other"), value: Value::Int(2) };
        assert_eq!(client.call(ProcessId(2), &second).await.outcome, Outcome::Ok(Reply::Done));
        alone(LinkRule::Pass);
        // Killed and started again, it catches up.
        cluster.signal(leader, NodeSignal::Kill).await.unwrap();
        assert_eq!(exits.recv().await.unwrap().asked, Some(NodeSignal::Kill));
        Levers::start(&*cluster, leader).await.unwrap();
        let home = cluster.connect(leader, Duration::from_secs(1));
        let deadline = Instant::now() + Duration::from_secs(20);
        let read = Op::Read { key: Key::new("other") };
        loop {
            let end = home.call(ProcessId(3), &read).await;
            let view = cluster.observe(leader, Duration::from_millis(200)).await.unwrap_or_default();
            if end.outcome == Outcome::Ok(Reply::Value(Value::Int(2))) && view.leader.is_some() {
                break;
            }
            // Whatever else an answer says, it never takes the acknowledged write back.
            assert!(
                matches!(end.outcome, Outcome::Failed(_) | Outcome::Ok(Reply::Value(Value::Int(2)))),
                "{end:?}"
            );
            assert!(Instant::now() < deadline, "{end:?}, {view:?}");
        }
        let started = Instant::now();
        cluster.stop_all(Duration::from_secs(2)).await;
        println!("    stopped within {:?}, {:?}", started.elapsed(), cluster.troubles());
    });
}

/// The node that says it leads, and that all nodes not in `cut_off` agree on.
async fn leader_of(cluster: &Cluster, cut_off: &BTreeSet<NodeId>) -> NodeId {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut leaders = BTreeSet::new();
        let mut named = BTreeSet::new();
        for node in cluster.nodes().into_iter().filter(|node| !cut_off.contains(node)) {
            let view = cluster.observe(node, Duration::from_millis(200)).await.unwrap_or_default();
            leaders.extend((view.role == Some(Role::Leader)).then_some(node));
            named.insert(view.leader);
        }
        if let (Some(leader), 1) = (leaders.first(), named.len()) {
            assert_eq!(named.first(), Some(&Some(*leader)));
            return *leader;
        }
        assert!(Instant::now() < deadline, "no leader: {leaders:?}, {named:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn every_operation_works(cluster: &Arc<Cluster>) {
    let int = Value::Int;
    let (r, l, s) = (Key::new("r"), Key::new("l"), Key::new("s"));
    let cas = |expected, new| Op::Cas { key: Key::new("r"), expected, new };
    let value = |value| Reply::Value(value);
    let script = [
        (Op::Read { key: r.clone() }, value(Value::Nil)),
        (cas(Value::Nil, int(1)), Reply::Done),
        (cas(Value::Nil, int(9)), Reply::Mismatch(Some(int(1)))),
        (cas(int(1), int(2)), Reply::Done),
        (Op::Read { key: r.clone() }, value(int(2))),
        (Op::Write { key: r.clone(), value: int(3) }, Reply::Done),
        (cas(int(2), int(9)), Reply::Mismatch(Some(int(3)))),
        (Op::Delete { key: r.clone() }, Reply::Done),
        (Op::Read { key: r }, value(Value::Nil)),
        (Op::Append { key: l.clone(), value: int(1) }, Reply::Done),
        (Op::Append { key: l.clone(), value: int(2) }, Reply::Done),
        (Op::Read { key: l }, value(Value::List(vec![int(1), int(2)]))),
        (Op::Members { key: s.clone() }, value(Value::List(vec![]))),
        (Op::Add { key: s.clone(), value: int(5) }, Reply::Done),
        (Op::Add { key: s.clone(), value: int(6) }, Reply::Done),
        (Op::Members { key: s }, value(Value::List(vec![int(5), int(6)]))),
    ];
    for home in cluster.nodes() {
        // Every client works, whichever node it calls home; only the first finds the keys empty.
        let client = cluster.connect(home, Duration::from_secs(5));
        let round = if home == N1 { &script[..] } else { &script[7..9] };
        for (op, reply) in round {
            let end = client.call(ProcessId(u64::from(home.0)), op).await;
            assert_eq!(end.outcome, Outcome::Ok(reply.clone()), "{op:?} at {home}");
        }
    }
}

// ---- from outside --------------------------------------------------------------------------------------------------

/// Starts nodes, cuts links, kills and starts nodes again, until it is killed itself.
fn busy(directory: &Path) {
    block_on(async {
        let options = ClusterOptions { medium: Medium::Memory, ..scripts(FAMILY, 3, directory) };
        let (cluster, _exits) = start(options).await;
        println!("started");
        let ends =
            [Endpoint::Clients, Endpoint::Node(N1), Endpoint::Node(NodeId(2)), Endpoint::Node(NodeId(3))];
        loop {
            for node in cluster.nodes() {
                let links = ends.iter().filter(|end| **end != Endpoint::Node(node));
                let rules: Vec<_> = links
                    .map(|end| (Link { from: *end, to: Endpoint::Node(node) }, LinkRule::Drop))
                    .collect();
                cluster.set_links(&rules).unwrap();
                cluster.signal(node, NodeSignal::Pause).await.unwrap();
                cluster.signal(node, NodeSignal::Kill).await.unwrap();
                Levers::start(&*cluster, node).await.unwrap();
            }
        }
    });
}

/// Every process of this host that carries the directory's unique name in its environment, arguments or working
/// directory.
fn carrying(mark: &str) -> Vec<String> {
    let holds =
        |path: String| fs::read(path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(mark));
    let own = std::process::id().to_string();
    let ids =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    ids.filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()) && *id != own)
        .filter(|id| {
            let at_home = fs::read_link(format!("/proc/{id}/cwd"))
                .is_ok_and(|cwd| cwd.to_string_lossy().contains(mark));
            at_home || holds(format!("/proc/{id}/environ")) || holds(format!("/proc/{id}/cmdline"))
        })
        .collect()
}

/// The interfaces of this host, how many namespaces are pinned by a mount, and all mounts. A namespace that no process
/// is in can only survive through such a mount, or through a descriptor of a process, and those of the run are gone.
fn host_state() -> (String, usize, String) {
    let interfaces = fs::read_to_string("/proc/net/dev").unwrap();
    let names: Vec<&str> =
        interfaces.lines().filter_map(|line| line.split_once(':').map(|(name, _)| name.trim())).collect();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    (names.join(" "), mounts.lines().filter(|line| line.contains(" nsfs ")).count(), mounts)
}

fn thirty_kills(stage: &Stage) {
    let mark = stage.directory.to_str().unwrap().to_owned();
    let before = host_state();
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    println!("    seed {seed}");
    let mut state = seed;
    let mut slowest = Duration::ZERO;
    let mut started = 0;
    for _ in 0..30 {
        let directory = stage.directory.join("run");
        let _ = fs::remove_dir_all(&directory);
        let mut outer = stage.actor("busy").stdout(Stdio::piped()).spawn().unwrap();
        // A random moment: while the sandbox is made, while nodes start, and in the midst of faults.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_micros((state >> 33) % 150_000));
        outer.kill().unwrap();
        outer.wait().unwrap();
        let killed = Instant::now();
        eventually("all processes of the sandbox are gone", || carrying(&mark).is_empty());
        slowest = slowest.max(killed.elapsed());
        let mut said = String::new();
        BufReader::new(outer.stdout.take().unwrap()).read_line(&mut said).unwrap();
        started += usize::from(said == "started\n");
    }
    println!("    {started} of 30 had started their nodes; all gone after {slowest:?} at the latest");
    let after = host_state();
    assert_eq!((&after.0, after.1), (&before.0, before.1), "interfaces and pinned namespaces");
    assert!(!after.2.contains(&mark), "a mount was left: {}", after.2);
}

fn files_belong_to_the_caller(stage: &Stage) {
    let mut outer = stage.actor("busy").stdout(Stdio::piped()).spawn().unwrap();
    wait_for_line(&mut outer);
    outer.kill().unwrap();
    outer.wait().unwrap();
    eventually("the sandbox is gone", || carrying(stage.directory.to_str().unwrap()).is_empty());
    let run = stage.directory.join("run");
    for path in [run.clone(), run.join("nodes/n1/data"), run.join("nodes/n1/stdout.log")] {
        let owner = fs::metadata(&path).unwrap().uid();
        assert_eq!(owner, stage.user(), "{}", path.display());
    }
    // The tmpfs went with the sandbox.
    assert_eq!(fs::read_dir(run.join("nodes/n1/data")).unwrap().count(), 0);
    fs::remove_dir_all(run).unwrap();
}

/// Prints a line per signal that arrives, ends with code 5 after a SIGTERM.
fn count_interrupts(_: &Path) {
    block_on(async {
        let (mut interrupts, mut terms) =
            (signal(SignalKind::interrupt()).unwrap(), signal(SignalKind::terminate()).unwrap());
        println!("started");
        let mut count = 0;
        loop {
            tokio::select! {
                // Both may have come before the first look; the interrupt was first.
                biased;
                _ = interrupts.recv() => count += 1,
                _ = terms.recv() => {
                    println!("{count}");
                    std::process::exit(5);
                }
            }
        }
    });
}

/// Waits to be killed: pid 1 cannot even do that to itself.
fn die(_: &Path) {
    println!("started");
    loop {
        std::thread::park();
    }
}

/// Has no handlers of its own yet when the signal comes.
fn early_interrupt(_: &Path) {
    println!("started");
    eventually("the early signal is noted", || early_signal() == Some(Signal::SIGINT as i32));
    std::process::exit(7);
}

fn wait_for_line(child: &mut Child) -> BufReader<&mut std::process::ChildStdout> {
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "started\n");
    lines
}

fn signals_pass(stage: &Stage) {
    assert_eq!(stage.actor("exit_three").status().unwrap().code(), Some(3));
    // To the outer process alone, as `kill` does; and to its whole group at once, as a terminal and `timeout` do.
    for whole_group in [false, true] {
        let mut outer =
            stage.actor("count_interrupts").stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let id = Pid::from_raw(outer.id() as i32);
        let mut lines = wait_for_line(&mut outer);
        if whole_group {
            killpg(id, Signal::SIGINT).unwrap();
            // Right behind it, as `timeout` does: still one wish.
            kill(id, Signal::SIGINT).unwrap();
        } else {
            kill(id, Signal::SIGINT).unwrap();
        }
        kill(id, Signal::SIGTERM).unwrap();
        let mut count = String::new();
        lines.read_line(&mut count).unwrap();
        assert_eq!(count, "1\n", "whole group: {whole_group}");
        assert_eq!(outer.wait().unwrap().code(), Some(5));
    }
    // Whoever starts the sandbox may have its own signals blocked, which the sandbox then inherits.
    let mut blocked = stage.actor("count_interrupts");
    // SAFETY: sigprocmask is async-signal-safe, and the set was made before the fork.
    unsafe {
        let set: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
        blocked.pre_exec(move || set.thread_block().map_err(Into::into));
    }
    let mut outer = blocked.stdout(Stdio::piped()).spawn().unwrap();
    drop(wait_for_line(&mut outer));
    kill(Pid::from_raw(outer.id() as i32), Signal::SIGTERM).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while outer.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            outer.kill().unwrap();
            panic!("a signal that was blocked outside never arrives inside");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(outer.wait().unwrap().code(), Some(5));
    let mut outer = stage.actor("early_interrupt").stdout(Stdio::piped()).spawn().unwrap();
    wait_for_line(&mut outer);
    kill(Pid::from_raw(outer.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(outer.wait().unwrap().code(), Some(7));
    // A run that is killed is a failure of the harness.
    let mut outer = stage.actor("die").stdout(Stdio::piped()).spawn().unwrap();
    wait_for_line(&mut outer);
    let inner = fs::read_to_string(format!("/proc/{0}/task/{0}/children", outer.id())).unwrap();
    kill(Pid::from_raw(inner.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
    assert_eq!(outer.wait().unwrap().code(), Some(70));
}
