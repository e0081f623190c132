//! Runs that do not end by themselves: interrupted, killed from inside, without a disk, without nodes; and what can still
//! be judged afterwards.
//!
//! The two rules under test: what was recorded is judged, and a run of an honest cluster that was cut off anywhere never
//! looks like a violation.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use serde_json::Value;
use support::{Done, Live, Place, check, copy_run, finish, json, json_lines, raftcheck, slot, until};

/// A suite that goes on for much longer than the tests that cut it short.
fn long(rules: &str, expect: &str) -> String {
    format!(
        "version: 1\nname: long\nsystem: {{ use: raftkv, nodes: 3, data: memory{rules} }}\n\
         workload: {{ kind: register, clients: 6, rate: 300/s, keys: 3, mix: {{ read: 5, write: 4, cas: 1 }}, \
         op-timeout: 500ms }}\nduration: 60s\nfaults:\n  every: 300ms..500ms\n  mix:\n    \
         - partition: {{ shape: isolate-leader, for: 1s..1500ms }}\nquiesce: 8s\n\
         checks: [linearizable, election-safety]\nexpect: {expect}\n"
    )
}

fn installed_and_undone(run: &Path) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let lines = json_lines(&run.join("faults.jsonl"));
    let ids = |event: &str| {
        let of_event = lines.iter().filter(|line| line["event"] == event);
        of_event.filter_map(|line| line["id"].as_u64()).collect()
    };
    (ids("installed"), ids("undone"))
}

fn interrupted_by(signal: Signal) {
    let _slot = slot();
    let place = Place::new();
    let mut live = Live::start(&mut place.command(&long("", "safe"), &["--seed", "1"]));
    live.wait_for_fault();
    let sent = Instant::now();
    live.signal(signal);
    let (done, events) = live.finish();
    let done = done.exits(130);
    // The fault phase had most of a minute to go.
    assert!(sent.elapsed() < Duration::from_secs(20), "{:?}", sent.elapsed());
    assert_eq!(events.last().expect("events")["event"], "judged", "{done}");
    let run = place.only_run();
    let (installed, undone) = installed_and_undone(&run);
    assert!(!installed.is_empty() && installed.is_subset(&undone), "{installed:?} {undone:?}");
    assert_eq!(json(&run.join("run.json"))["end"], "interrupted");
    assert_eq!(json(&run.join("verdict.json"))["exit"], "interrupted");
    check(&run).exits(130).prints("INTERRUPTED");
}

#[test]
fn ctrl_c_heals_and_judges_what_was_recorded() {
    interrupted_by(Signal::SIGINT);
}

#[test]
fn sigterm_is_taken_like_ctrl_c() {
    interrupted_by(Signal::SIGTERM);
}

#[test]
fn a_second_ctrl_c_ends_a_run_that_does_not_react_to_the_first() {
    let _slot = slot();
    let place = Place::new();
    let mut live = Live::start(&mut place.command(&long("", "safe"), &["--seed", "2"]));
    live.wait_for_fault();
    // A recording process that hangs, for the harness's own worst case.
    let recorder = recording_process(&live);
    kill(recorder, Signal::SIGSTOP).expect("stop it");
    live.signal(Signal::SIGINT);
    let waits = until(Duration::from_millis(400), || live.child.try_wait().expect("wait"));
    assert!(waits.is_none(), "it did not wait for the run: {waits:?}");
    live.signal(Signal::SIGINT);
    let (done, _) = live.finish();
    done.exits(130);
    let gone = || support::processes::all().iter().all(|(process, _)| process.pid != recorder.as_raw());
    let gone = until(Duration::from_secs(2), || gone().then_some(()));
    assert!(gone.is_some(), "the recording process is still there");
    check(&place.only_run()).exits(70);
}

#[test]
fn ctrl_c_at_any_moment_ends_a_run_and_leaves_nothing() {
    let text = long("", "safe").replace("duration: 60s", "duration: 1s");
    let seed = support::fresh_seed();
    println!("signals at moments drawn from seed {seed}");
    let mut generator = ChaCha12Rng::seed_from_u64(seed);
    for round in 0..12 {
        let _slot = slot();
        let place = Place::new();
        // Half of the signals fall on the start, where one could get lost between two programs.
        let delay =
            Duration::from_micros(generator.random_range(0..if round % 2 == 0 { 80_000 } else { 2_500_000 }));
        let mut child = place.command(&text, &["--seed", "8"]).stdout(Stdio::null()).spawn().expect("start");
        let ended_before = until(delay, || child.try_wait().expect("wait"));
        let pid = i32::try_from(child.id()).expect("a process id");
        let inside = support::processes::descendants(pid);
        if ended_before.is_none() {
            kill(Pid::from_raw(pid), Signal::SIGINT).expect("kill");
        }
        let status = support::ended(&mut child);
        // Before it watches for signals it ends like any other program; a run that was over has its own result.
        let natural = status.signal() == Some(Signal::SIGINT as i32) || ended_before.is_some();
        assert!(natural || status.code() == Some(130), "after {delay:?}: {status}");
        let running: BTreeSet<_> =
            support::processes::all().into_iter().map(|(process, _)| process).collect();
        let left: Vec<_> = inside.intersection(&running).collect();
        assert!(left.is_empty(), "after {delay:?}: {left:?}");
        for run in place.runs() {
            let code = check(&run).code();
            assert!([0, 4, 70, 130].contains(&code), "after {delay:?}: {code}");
        }
    }
}

/// The process that waits outside the sandbox for the one in it, and that one, which is pid 1 there.
fn recording_processes(live: &Live) -> (Pid, Pid) {
    let inside = support::processes::descendants(live.pid());
    let named: BTreeSet<i32> = inside
        .iter()
        .filter(|process| process.arguments.contains(" inside "))
        .map(|process| process.pid)
        .collect();
    let has_the_other =
        |pid: &&i32| support::processes::descendants(**pid).iter().any(|child| named.contains(&child.pid));
    let waiting = *named.iter().find(has_the_other).unwrap_or_else(|| panic!("nobody waits: {inside:?}"));
    let init = *named.iter().find(|pid| **pid != waiting).expect("two of them");
    (Pid::from_raw(waiting), Pid::from_raw(init))
}

fn recording_process(live: &Live) -> Pid {
    recording_processes(live).1
}

/// Kills one of the two processes of a run from inside, and looks at what comes of it.
fn killed_from_inside(choose: impl Fn((Pid, Pid)) -> Pid) {
    let _slot = slot();
    let place = Place::new();
    let mut live = Live::start(&mut place.command(&long("", "safe"), &["--seed", "3"]));
    live.wait_for_fault();
    let inside = support::processes::descendants(live.pid());
    kill(choose(recording_processes(&live)), Signal::SIGKILL).expect("kill");
    let (done, events) = live.finish();
    done.exits(70);
    let judged = &events.last().expect("events")["result"];
    assert_eq!(judged["exit"], "harness", "{judged:#}");
    assert!(judged["calls"]["ok"].as_u64().is_some_and(|ok| ok > 50), "{judged:#}");
    assert_eq!(support::verdict(judged, "linearizable"), "holds");
    check(&place.only_run()).exits(70).prints("harness failure");
    let gone = until(Duration::from_secs(2), || {
        let running = support::processes::all();
        running.iter().all(|(process, _)| !inside.contains(process)).then_some(())
    });
    assert!(gone.is_some(), "something of {inside:?} is still there");
}

#[test]
fn a_recording_process_that_is_killed_is_a_failure_of_the_harness_and_judged_all_the_same() {
    killed_from_inside(|(_, init)| init);
}

#[test]
fn so_is_the_death_of_the_process_that_waits_for_it() {
    killed_from_inside(|(waiting, _)| waiting);
}

#[test]
fn a_violation_that_was_recorded_wins_over_the_death_of_the_harness() {
    let _slot = slot();
    let place = Place::new();
    let text = long(", rules: { read_mode: local }", "safe");
    let mut live = Live::start(&mut place.command(&text, &["--seed", "4"]));
    live.wait_for_fault();
    let run = place.only_run();
    // A copy of what is recorded so far is judged again and again, until a stale read is among it.
    let violated = until(Duration::from_secs(40), || {
        let copy = Place::new();
        copy_run(&run, copy.path());
        (check(copy.path()).code() == 1).then_some(())
    });
    assert!(violated.is_some(), "no stale read in 40 s");
    kill(recording_process(&live), Signal::SIGKILL).expect("kill");
    let (done, events) = live.finish();
    done.exits(1);
    let judged = &events.last().expect("events")["result"];
    assert_eq!(judged["headline"], "violated: linearizable", "{judged:#}");
    assert!(judged["harness_failure"].is_string(), "{judged:#}");
    check(&run).exits(1).prints("violated: linearizable");
}

// ---- what cannot start -----------------------------------------------------------------------------------------------

const ETCD: &str = "version: 1\nname: other\nsystem: { use: etcd, nodes: 3 }\n\
                    workload: { kind: register, clients: 3, rate: 50/s, op-timeout: 1s }\nduration: 1s\n\
                    quiesce: 5s\nchecks: [linearizable]\nexpect: safe\n";

#[test]
fn a_system_that_is_not_installed_comes_with_the_command_that_installs_it() {
    let place = Place::new();
    let done = finish(place.command(ETCD, &[]).env("PATH", place.path())).exits(77);
    done.complains("etcd is not installed").complains("to fix it: apt-get install -y etcd-server");
    assert!(place.runs().is_empty());
}

#[test]
fn a_node_that_does_not_start_is_shown_with_its_last_words() {
    let place = Place::new();
    let script = place.write(
        "script",
        "#!/bin/sh\n[ \"$1\" = --version ] && { echo 'etcd Version: 3.4.23'; exit 0; }\n\
         echo 'the licence expired on Friday' >&2\nexit 3\n",
    );
    support::install(&script, &place.path().join("etcd"));
    let _slot = slot();
    let path = format!("{}:/usr/bin:/bin", place.path().display());
    let done = finish(place.command(ETCD, &[]).env("PATH", path)).exits(70);
    let done = done.prints("the licence expired on Friday").prints("exit status: 3");
    done.prints("HARNESS FAILURE no verdict: n1 ended (exit status: 3) before it answered");
    check(&place.only_run()).exits(70).prints("the licence expired on Friday");
}

#[test]
fn a_host_without_network_namespaces_is_told_apart_from_a_failure() {
    let place = Place::new();
    let mut command = raftcheck(&["run"]);
    let suite = place.write("suite.yaml", long("", "safe"));
    command.arg(suite).arg("--out").arg(place.out());
    let forbid = "echo 0 >/proc/sys/user/max_user_namespaces && echo 0 >/proc/sys/user/max_net_namespaces";
    let Some(done) = in_namespaces(&command, forbid, "true") else { return };
    done.exits(77).prints("to fix it").prints("user.max_user_namespaces=15000");
    check(&place.only_run()).exits(77);
}

/// Runs a command as root of a user and mount namespace of its own, with shell commands around it; `None`, said loudly,
/// where the host does not allow that.
fn in_namespaces(command: &std::process::Command, before: &str, after: &str) -> Option<Done> {
    let allowed = finish(std::process::Command::new("unshare").args(["-rm", "true"]));
    if !allowed.status.success() {
        eprintln!("SKIPPED: this host does not let a test make namespaces with `unshare -rm`: {allowed}");
        return None;
    }
    let mut outer = std::process::Command::new("unshare");
    let script = format!("{before} || exit 98\n\"$@\"\ncode=$?\n{after} || exit 97\nexit $code");
    outer.args(["-rm", "sh", "-c", &script, "sh"]).arg(command.get_program()).args(command.get_args());
    outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Some(finish(&mut outer))
}

// ---- a full disk -----------------------------------------------------------------------------------------------------

#[test]
fn a_full_disk_is_said_and_what_was_written_stays_valid() {
    let _slot = slot();
    let (place, kept) = (Place::new(), Place::new());
    std::fs::create_dir(place.out()).expect("create");
    let (out, kept_path) = (place.out().display().to_string(), kept.path().display().to_string());
    // Room for a second or so.
    let before = format!("mount -t tmpfs -o size=300k none '{out}'");
    let after = format!("cp -a '{out}/.' '{kept_path}'");
    // No fault before the disk is full: what is short of space is the history.
    let text = long("", "safe").replace("every: 300ms..500ms", "every: 30s..40s");
    let command = place.command(&text, &["--seed", "5"]);
    let Some(done) = in_namespaces(&command, &before, &after) else { return };
    let done = done.exits(70).prints("No space left on device").prints("recording to ");
    // The verdict on what was recorded is shown, also where no room was left to write it.
    let done = done.prints("linearizable: no violation found");
    let runs = support::run_dirs(kept.path());
    assert_eq!(runs.len(), 1, "{runs:?}");
    let written = runs[0].join("verdict.json").is_file();
    assert!(written || done.stdout.contains("the verdict could not be written"), "{done}");
    assert!(json_lines(&runs[0].join("history.jsonl")).len() > 20);
    check(&runs[0]).exits(70);
}

// ---- histories that are cut off --------------------------------------------------------------------------------------

/// The files of a recorded run of an honest cluster, by their names in the run directory. Recorded once.
fn recorded() -> &'static BTreeMap<PathBuf, Vec<u8>> {
    static RECORDED: OnceLock<BTreeMap<PathBuf, Vec<u8>>> = OnceLock::new();
    RECORDED.get_or_init(|| {
        let place = Place::new();
        let text = "version: 1\nname: honest\nsystem: { use: raftkv, nodes: 3, data: memory }\n\
                    workload: { kind: register, clients: 6, rate: 300/s, keys: 3, op-timeout: 500ms, \
                    mix: { read: 5, write: 4, cas: 1 } }\nduration: 2s\nfaults:\n  every: 300ms..500ms\n  mix:\n    \
                    - kill: { target: leader, for: 200ms..400ms }\nquiesce: 8s\n\
                    checks: [linearizable, lost-commits, election-safety, vote-once, log-matching, \
                    leader-completeness, state-machine-safety, commit-monotonic]\nexpect: safe\n";
        place.run(text, &["--seed", "6"]).exits(0);
        let run = place.only_run();
        let mut files = BTreeMap::new();
        load(&run, &run, &mut files);
        files
    })
}

fn load(root: &Path, directory: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(directory).expect("read_dir") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            load(root, &path, files);
        } else {
            let name = path.strip_prefix(root).expect("below the root").to_owned();
            files.insert(name, std::fs::read(&path).expect("read"));
        }
    }
}

/// A fresh copy of that run.
fn copy() -> (Place, PathBuf) {
    let place = Place::new();
    let run = place.path().join("run");
    for (name, content) in recorded() {
        let path = run.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("create");
        std::fs::write(path, content).expect("write");
    }
    (place, run)
}

/// The same with one file replaced, or removed.
fn damaged(name: &str, content: Option<&[u8]>) -> (Place, PathBuf) {
    let (place, run) = copy();
    match content {
        Some(bytes) => std::fs::write(run.join(name), bytes).expect("write"),
        None => std::fs::remove_file(run.join(name)).expect("remove"),
    }
    (place, run)
}

fn bytes(name: &str) -> Vec<u8> {
    recorded()[Path::new(name)].clone()
}

/// Judges a damaged copy, which must not look like a violation.
#[track_caller]
fn judged(name: &str, content: Option<&[u8]>) -> Done {
    let (_place, run) = damaged(name, content);
    let done = check(&run);
    assert!([0, 2, 4, 64, 70].contains(&done.code()), "{name}: {done}");
    assert!(!done.stderr.contains("panicked at"), "{name}: {done}");
    done
}

#[test]
fn a_history_cut_off_anywhere_is_judged_up_to_there() {
    let history = bytes("history.jsonl");
    let ends: Vec<usize> =
        history.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    let seed = support::fresh_seed();
    println!("cut at places drawn from seed {seed}");
    let mut generator = ChaCha12Rng::seed_from_u64(seed);
    for _ in 0..30 {
        let at = generator.random_range(ends[0]..history.len());
        let done = judged("history.jsonl", Some(&history[..at]));
        let whole = ends.contains(&at) || ends.contains(&(at + 1));
        assert!(whole || done.stdout.contains("the history is cut off in line"), "cut at {at}: {done}");
    }
    // The last events are the final reads: each of them missing in turn.
    for end in ends.iter().rev().take(8) {
        judged("history.jsonl", Some(&history[..*end]));
    }
}

#[test]
fn a_history_without_events_says_that_too_little_happened() {
    let history = bytes("history.jsonl");
    let header = history.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    judged("history.jsonl", Some(&history[..header])).exits(4);
    judged("history.jsonl", Some(&history[..header / 2])).exits(70);
    judged("history.jsonl", Some(b"")).exits(70);
    judged("history.jsonl", None).exits(70).prints("no history was recorded");
}

#[test]
fn a_history_that_is_damaged_in_the_middle_is_refused_with_its_place() {
    let mut history = bytes("history.jsonl");
    let middle = history.len() / 2;
    let line = 1 + history[..middle].iter().filter(|byte| **byte == b'\n').count();
    history[middle] = 0xff;
    let done = judged("history.jsonl", Some(&history)).exits(70);
    assert!(done.stdout.contains("history.jsonl") && done.stdout.contains(&line.to_string()), "{done}");
    judged("history.jsonl", Some(&[0; 4096])).exits(70);
}

#[test]
fn any_other_file_may_be_cut_off_or_missing_too() {
    let files = ["faults.jsonl", "ledger.jsonl", "run.json", "started.json", "nodes/n2/trace.jsonl"];
    for name in files.into_iter().chain(["verdict.json", "env.json", "suite.yaml", "harness.log"]) {
        let whole = bytes(name);
        judged(name, None);
        judged(name, Some(&whole[..whole.len() / 2]));
        judged(name, Some(&whole[..whole.len().saturating_sub(1)]));
        judged(name, Some(b"\xff\x00{"));
    }
    // Whichever node led: what its trace no longer tells is not held against it.
    for node in ["n1", "n2", "n3"] {
        let name = format!("nodes/{node}/trace.jsonl");
        let whole = bytes(&name);
        for tenth in 1..10 {
            judged(&name, Some(&whole[..whole.len() / 10 * tenth]));
        }
        judged(&name, None);
        judged(&name, Some(b""));
    }
    let plan = bytes("plan.json");
    judged("plan.json", Some(&plan[..plan.len() / 2])).exits(64).complains("plan.json");
    judged("plan.json", None).exits(64).complains("it has no plan.json");
}

#[test]
fn a_run_on_a_medium_that_is_read_only_can_be_judged() {
    let (_place, run) = copy();
    let path = run.display();
    let before = format!("mount --bind '{path}' '{path}' && mount -o remount,ro,bind '{path}'");
    let mut command = raftcheck(&["check"]);
    command.arg(&run);
    let Some(done) = in_namespaces(&command, &before, "true") else { return };
    done.exits(0).prints("PASS").prints("the verdict could not be written");
}

#[test]
fn nodes_that_are_kept_running_wait_for_ctrl_c() {
    let _slot = slot();
    let place = Place::new();
    let text = long("", "safe").replace("duration: 60s", "duration: 3s");
    let mut live = Live::start(&mut place.command(&text, &["--keep-running", "--seed", "7"]));
    let kept: Value = live.wait_for("the nodes to be kept", |event| event["event"] == "kept");
    assert!(kept["hint"].as_str().is_some_and(|hint| hint.contains("nsenter")), "{kept}");
    live.signal(Signal::SIGINT);
    let (done, events) = live.finish();
    let done = done.exits(0);
    assert_eq!(events.last().expect("events")["result"]["exit"], "as-expected", "{done}");
}
