//! Nothing of a run outlives it, also when the harness is killed at any moment: no process, mount, interface or network
//! namespace. And what was recorded until then is judged without a panic and without a false alarm.
//!
//! The kills are real and their moments random; the seed is printed. Which processes belong to a run is taken from the
//! kernel just before the kill, so that other runs on the same machine are neither blamed nor disturbed.

mod support;

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use support::processes::{self, Process};
use support::{Place, check, slot, until};

/// How often, unless `RAFTCHECK_KILLS` says otherwise.
const KILLS: usize = 30;
/// How long the kernel may take over ending everything.
const GONE_WITHIN: Duration = Duration::from_secs(2);
/// An ordinary user without rights of any kind: `nobody`.
const NOBODY: u32 = 65534;
/// In the environment of every process that a test starts here.
const MARKER: &str = "RAFTCHECK_TEST_MARKER";

/// Who runs raftcheck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum User {
    /// Whoever runs the tests.
    Own,
    /// `nobody`, which only root can become.
    Nobody,
}

/// A copy of the program under a path of its own, and where its runs go.
struct Site {
    place: Place,
    program: PathBuf,
    user: User,
}

impl Site {
    fn new(user: User) -> Self {
        let place = Place::new();
        let open = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
        };
        open(place.path(), 0o755);
        let program = place.path().join("raftcheck-under-test");
        support::install(Path::new(env!("CARGO_BIN_EXE_raftcheck")), &program);
        std::fs::create_dir(place.out()).expect("create");
        open(&place.out(), 0o777);
        Self { place, program, user }
    }

    fn command(&self, suite: &Path, seed: u64) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("run").arg(suite).args(["--seed", &seed.to_string(), "--out"]).arg(self.place.out());
        command.env("NO_COLOR", "1").env("CI", "1").env(MARKER, self.marker()).env("HOME", self.place.out());
        command.current_dir(self.place.out());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if self.user == User::Nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// The path is unique, so it marks what is ours.
    fn marker(&self) -> String {
        self.place.path().display().to_string()
    }

    fn left(&self) -> BTreeSet<Process> {
        processes::marked(&self.program, &self.marker())
    }
}

/// Honest suites. All but the first go on for much longer than the kernel is given to end them, so that a run that
/// outlives its harness is seen. The first is over soon: kills hit the healing, the final reads and the judging, too.
fn suites(site: &Site) -> Vec<PathBuf> {
    let suite = |name: &str, system: &str, duration: &str, mix: &str| {
        let text = format!(
            "version: 1\nname: {name}\nsystem: {{ use: raftkv, {system} }}\n\
             workload: {{ kind: register, clients: 6, rate: 200/s, keys: 3, op-timeout: 300ms, \
             mix: {{ read: 5, write: 4, cas: 1 }} }}\nwarm-up: 300ms\nduration: {duration}\nfaults:\n  \
             every: 100ms..200ms\n  mix:\n{mix}quiesce: 5s\n\
             checks: [linearizable, lost-commits, election-safety, vote-once, log-matching, \
             state-machine-safety]\nexpect: safe\n"
        );
        site.place.write(&format!("{name}.yaml"), text)
    };
    let cuts = "    - partition: { shape: [majority, isolate-leader], for: 100ms..300ms }\n";
    let kills =
        "    - kill: { target: any, for: 50ms..100ms }\n    - stop: { target: any, for: 50ms..100ms }\n";
    let pauses = "    - pause: { target: any, for: 50ms..200ms }\n";
    let disks = "    - power-failure: { target: any, unsynced: [lost, some], for: 50ms..200ms }\n    \
                 - disk-slow: { target: any, hold: syncs, for: 100ms..300ms }\n    \
                 - clock: { target: any, change: [fast, slow], for: 100ms..500ms }\n    \
                 - starve: { target: any, for: 100ms..300ms }\n    \
                 - connections: { target: any, how: [reset, stall], for: 100ms..300ms }\n";
    let mut suites = vec![
        suite("short-in-memory", "nodes: 3, data: memory", "1s", &format!("{cuts}{kills}")),
        suite("cuts-in-memory", "nodes: 3, data: memory", "30s", cuts),
        suite("kills-on-disk", "nodes: 3, data: disk", "30s", kills),
        suite("mixed-in-memory", "nodes: 5, data: memory", "30s", &format!("{cuts}{kills}{pauses}")),
        suite("pauses-on-disk", "nodes: 3, data: disk", "30s", pauses),
    ];
    // An ordinary user may open it on some hosts and not on others.
    let fuse = OpenOptions::new().read(true).write(true).open("/dev/fuse");
    match fuse {
        Ok(_) if site.user == User::Nobody => {}
        Ok(_) => suites.push(suite("disks-and-clocks", "nodes: 3", "30s", &format!("{cuts}{kills}{disks}"))),
        Err(error) => println!("NOT TESTED: kills while disks fail (/dev/fuse: {error})"),
    }
    suites
}

fn kills() -> usize {
    std::env::var("RAFTCHECK_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"))
}

/// What the kernel knew of a run just before it was killed.
struct Before {
    processes: BTreeSet<Process>,
    namespaces: BTreeSet<PathBuf>,
}

impl Before {
    fn of(outer: i32) -> Self {
        let processes = processes::descendants(outer);
        let host = processes::network_namespace(outer);
        let namespace = |process: &Process| processes::network_namespace(process.pid);
        let namespaces =
            processes.iter().filter_map(namespace).filter(|one| Some(one) != host.as_ref()).collect();
        Self { processes, namespaces }
    }

    /// Whatever of it is still there.
    fn left(&self) -> Vec<String> {
        let running: BTreeSet<Process> = processes::all().into_iter().map(|(process, _)| process).collect();
        let spaces = processes::network_namespaces();
        let processes = self.processes.intersection(&running).map(|process| format!("{process:?}"));
        processes
            .chain(self.namespaces.intersection(&spaces).map(|space| space.display().to_string()))
            .collect()
    }
}

/// What one kill hit.
struct Hit {
    /// Whether the harness was still running.
    running: bool,
    before: Before,
    /// The processes that bear our marks, which is another way to see them.
    marked: usize,
}

/// Kills the outer process of one run after `delay`.
fn kill_one(site: &Site, suite: &Path, seed: u64, delay: Duration) -> Hit {
    let _slot = slot();
    let mut child = site.command(suite, seed).spawn().expect("start");
    let pid = i32::try_from(child.id()).expect("a process id");
    // The moment is the point here: nothing is waited for but the end of the run itself.
    let ended = until(delay, || child.try_wait().expect("wait"));
    let before = Before::of(pid);
    let marked = site.left().len();
    child.kill().expect("kill");
    child.wait().expect("wait");
    let everything_gone = || (before.left().is_empty() && site.left().is_empty()).then_some(());
    if until(GONE_WITHIN, everything_gone).is_none() {
        let (left, marked) = (before.left(), site.left());
        // The test that finds something left does not leave it, too.
        for process in &marked {
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        panic!("left {GONE_WITHIN:?} after a kill at {delay:?}: {left:?} {marked:#?}");
    }
    Hit { running: ended.is_none(), before, marked }
}

/// Judges everything that was recorded: cut-off runs of honest clusters are never a violation.
fn all_can_be_judged(site: &Site) -> usize {
    let mut judged = 0;
    for run in support::run_dirs(&site.place.out()) {
        if !run.join("plan.json").is_file() {
            continue;
        }
        let done = check(&run);
        assert!([0, 2, 4, 70].contains(&done.code()), "{}: {done}", run.display());
        assert!(!done.stderr.contains("panicked at"), "{}: {done}", run.display());
        judged += 1;
    }
    judged
}

fn survives_kills(user: User) {
    let site = Site::new(user);
    let suites = suites(&site);
    let (mounts, interfaces) = (processes::mounts(), processes::interfaces());
    let seed = support::fresh_seed();
    println!("{user:?}: kills at moments drawn from seed {seed}");
    let mut generator = ChaCha12Rng::seed_from_u64(seed);
    let mut hits = Vec::new();
    let (kills, long) = (kills(), suites.len() - 1);
    for round in 0..kills {
        // Many kills fall on the start, where namespaces, mounts and processes come into being.
        let (suite, limit) = match round % 3 {
            0 => (&suites[0], 2_500_000),
            1 => (&suites[1 + round / 3 % long], 1_500_000),
            _ => (&suites[1 + round / 3 % long], 150_000),
        };
        let delay = Duration::from_micros(generator.random_range(0..limit));
        hits.push(kill_one(&site, suite, round as u64, delay));
    }
    let hit = hits.iter().filter(|hit| hit.running).count();
    let judged = all_can_be_judged(&site);
    println!("{user:?}: {hit} of {kills} kills hit a running harness, {judged} run directories were judged");
    // An eye that sees nothing before the kill would see nothing after it either: three nodes, two processes around
    // them, the harness; and a namespace for each node and for the links.
    let whole = hits.iter().filter(|hit| hit.before.processes.len() >= 5 && hit.marked >= 6);
    let whole = whole.filter(|hit| hit.before.namespaces.len() >= 4).count();
    assert!(whole >= kills / 6, "only {whole} kills hit a whole cluster");
    assert!(hit >= kills / 2, "only {hit} of {kills} kills hit a running harness");
    assert!(judged >= kills / 3, "only {judged} runs came so far that there was something to judge");
    assert_eq!(processes::mounts(), mounts, "mounts on this host");
    assert_eq!(processes::interfaces(), interfaces, "interfaces of this host");
}

#[test]
fn nothing_is_left_after_kills_at_random_moments() {
    survives_kills(User::Own);
}

#[test]
fn nothing_is_left_for_an_ordinary_user_either() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root can become an ordinary user; the other test is this one already");
        return;
    }
    let site = Site::new(User::Nobody);
    let suite = &suites(&site)[0];
    let slot = slot();
    let whole = site.command(suite, 0).status().expect("start");
    drop(slot);
    if whole.code() == Some(77) {
        eprintln!("SKIPPED: this host lets no ordinary user make namespaces");
        return;
    }
    assert_eq!(whole.code(), Some(0), "a whole run as an ordinary user");
    survives_kills(User::Nobody);
}

#[test]
fn a_run_that_ends_by_itself_leaves_nothing_either() {
    let _slot = slot();
    let site = Site::new(User::Own);
    let suite = &suites(&site)[0];
    assert_eq!(site.command(suite, 1).status().expect("start").code(), Some(0));
    assert_eq!(site.left(), BTreeSet::new());
}
