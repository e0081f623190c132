//! `raftcheck run`: suites in, verdicts and an exit code out.

mod cells;

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cluster::network::NetworkKind;

use super::Output;
use crate::exit::Exit;
use crate::inside;
use crate::interrupt;
use crate::judge::{Control, Judged};
use crate::plan::{Packets, Plan};
use crate::report::{self, Reporter, Style};
use crate::session::{After, Session};
use crate::suite::{self, Colour, Suite};

/// The arguments of `raftcheck run`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Suite files, or directories to search for them
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// The seed of the first run; random if not given
    #[arg(long)]
    seed: Option<u64>,
    /// How often to run each suite, each time with the next seed
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    runs: u64,
    /// How many runs go on side by side
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u64).range(1..=64))]
    jobs: u64,
    /// Run only this cell of the suites' matrices; may be given several times
    #[arg(long, value_name = "NAME")]
    cell: Vec<String>,
    /// Where run directories go
    #[arg(long, value_name = "DIR", default_value = "raftcheck-runs")]
    out: PathBuf,
    /// Replace a protocol rule of the suites
    #[arg(long, value_name = "RULE=VALUE")]
    set: Vec<String>,
    /// Read the suites, say which runs they ask for or what is wrong with them, and start nothing
    #[arg(long, conflicts_with_all = ["keep_running", "seed", "runs", "jobs"])]
    dry_run: bool,
    /// What connects nodes and clients, in the place of what the suites say: the packet switch, which does everything to
    /// frames, or a bridge of the kernel, which only cuts links
    #[arg(long, value_name = "KIND")]
    net: Option<Net>,
    /// Write every packet between nodes and clients, and what became of it, to network.pcapng in the run directory
    #[arg(long)]
    pcap: bool,
    /// Leave the nodes running at the end, until Ctrl-C
    #[arg(long)]
    keep_running: bool,
    #[command(flatten)]
    output: Output,
}

/// What connects nodes and clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Net {
    /// The packet switch
    Switch,
    /// A bridge of the kernel
    Kernel,
}

impl From<Net> for NetworkKind {
    fn from(net: Net) -> Self {
        match net {
            Net::Switch => NetworkKind::Switch,
            Net::Kernel => NetworkKind::Kernel,
        }
    }
}

/// A suite that was read, or a cell of one, with the text that it was read from.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) file: String,
    pub(super) text: Arc<str>,
    pub(super) suite: Suite,
}

/// One run to be made.
struct Job<'a> {
    loaded: &'a Loaded,
    version: &'a str,
    seed: u64,
}

/// Runs the suites.
pub(super) fn main(args: &Args) -> Exit {
    let files = match suite_files(&args.paths) {
        Ok(files) => files,
        Err(message) => return usage(&message),
    };
    let loaded = match load(&files, &args.set) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let loaded = match cells::choose(loaded, &args.cell) {
        Ok(loaded) => connected_by(args.net, loaded),
        Err(message) => return usage(&message),
    };
    if args.dry_run {
        return dry(&loaded);
    }
    let captureless = |one: &&Loaded| one.suite.system.network == NetworkKind::Kernel;
    if let Some(one) = loaded.iter().find(captureless).filter(|_| args.pcap) {
        return usage(&format!(
            "{}: the kernel's network captures no packets: run it with --net switch, or without --pcap",
            one.file
        ));
    }
    if args.keep_running && (loaded.len() > 1 || args.runs > 1) {
        return usage("--keep-running leaves one cluster running: give it one suite or cell, and one run");
    }
    if let Err(error) = interrupt::watch() {
        eprintln!("error: cannot watch for signals: {error}");
        return Exit::Harness;
    }
    let (ready, mut exit) = probe(&loaded);
    let first = args.seed.unwrap_or_else(random_seed);
    let jobs: Vec<Job<'_>> = ready
        .iter()
        .flat_map(|(loaded, version)| {
            let seeds = (0..args.runs).map(move |run| first.wrapping_add(run));
            seeds.map(move |seed| Job { loaded, version, seed })
        })
        .collect();
    let reporter = report::reporter(args.output.format, jobs.len());
    let (judged, failures) = carry_out(args, &jobs, reporter.as_ref());
    reporter.finished(&judged);
    for failure in &failures {
        eprintln!("error: {failure}");
        exit = exit.worst(Exit::Harness);
    }
    exit = judged.iter().fold(exit, |exit, judged| exit.worst(judged.exit));
    // Ctrl-C is how nodes that were kept running are let go; a run that it cut short says so itself.
    if interrupt::interrupted() && !args.keep_running {
        exit = exit.worst(Exit::Interrupted);
    }
    exit.worst(super::junit(&args.output, &judged))
}

/// What would be run.
fn dry(loaded: &[Loaded]) -> Exit {
    let mut out = io::stdout().lock();
    for one in loaded {
        let cell = one.suite.cell.as_ref().map_or_else(String::new, |cell| format!(" {cell}"));
        // Whoever closes the pipe has read enough.
        if writeln!(out, "{}: {}{cell}", one.file, one.suite.name).is_err() {
            break;
        }
    }
    Exit::AsExpected
}

/// The suites with this network, if one was asked for.
fn connected_by(net: Option<Net>, mut loaded: Vec<Loaded>) -> Vec<Loaded> {
    if let Some(net) = net {
        loaded.iter_mut().for_each(|one| one.suite.system.network = net.into());
    }
    loaded
}

/// A seed for those who do not ask for one. Short, because people type it again.
pub(super) fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish() % 1_000_000
}

fn usage(message: &str) -> Exit {
    eprintln!("error: {message}");
    Exit::Usage
}

/// The suite files that the arguments name, each once, those of a directory sorted by name.
fn suite_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut found = Vec::new();
            search(path, &mut found).map_err(|error| format!("{}: {error}", path.display()))?;
            if found.is_empty() {
                return Err(format!("{} holds no suite: no file in it ends in .yaml", path.display()));
            }
            found.sort();
            files.extend(found);
        } else {
            files.push(path.clone());
        }
    }
    let mut seen = BTreeSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Ok(files)
}

fn search(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            search(&path, found)?;
        } else if suite::is_suite(&path) {
            found.push(path);
        }
    }
    Ok(())
}

/// Reads every suite; prints all problems of all of them.
pub(super) fn load(files: &[PathBuf], sets: &[String]) -> Result<Vec<Loaded>, Exit> {
    let vocabulary = suite::vocabulary();
    let mut loaded = Vec::new();
    let mut wrong = 0;
    for file in files {
        let name = file.display().to_string();
        let bytes = match std::fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) => {
                eprintln!("error: {name}: {error}");
                wrong += 1;
                continue;
            }
        };
        match suite::read_file(&name, &bytes, sets, &vocabulary) {
            Ok(read) => {
                let text: Arc<str> = String::from_utf8_lossy(&bytes).into();
                let one = |suite| Loaded { file: name.clone(), text: Arc::clone(&text), suite };
                loaded.extend(read.suites.into_iter().map(one));
            }
            Err(problems) => {
                let colour =
                    if Style::of(&io::stderr()) == Style::Ansi { Colour::Ansi } else { Colour::Plain };
                let _ = writeln!(io::stderr().lock(), "{}", problems.render(colour));
                wrong += 1;
            }
        }
    }
    if wrong > 0 { Err(Exit::Usage) } else { Ok(loaded) }
}

/// Leaves out the suites whose system is not on this host, and says how to get it.
fn probe(loaded: &[Loaded]) -> (Vec<(&Loaded, String)>, Exit) {
    let mut ready = Vec::new();
    let mut exit = Exit::AsExpected;
    for one in loaded {
        let system = match inside::system(&one.suite) {
            Ok(system) => system,
            Err(error) => {
                eprintln!("error: {}: {error}", one.file);
                exit = exit.worst(Exit::Usage);
                continue;
            }
        };
        match system.probe() {
            Ok(version) => ready.push((one, version)),
            Err(unavailable) => {
                eprintln!("error: {} cannot run here: {unavailable}", one.file);
                exit = exit.worst(Exit::Unavailable);
            }
        }
    }
    (ready, exit)
}

/// Makes the runs. Those that are compared with another cell come behind all others, and find its results.
fn carry_out(args: &Args, jobs: &[Job<'_>], reporter: &dyn Reporter) -> (Vec<Judged>, Vec<String>) {
    let (later, first): (Vec<usize>, Vec<usize>) =
        (0..jobs.len()).partition(|number| jobs[*number].loaded.suite.control().is_some());
    let mut done = side_by_side(args, jobs, &first, &[], reporter);
    let compared = side_by_side(args, jobs, &later, &done.judged, reporter);
    done.judged.extend(compared.judged);
    done.failures.extend(compared.failures);
    done.judged.sort_by_key(|(number, _)| *number);
    (done.judged.into_iter().map(|(_, judged)| judged).collect(), done.failures)
}

/// What became of some jobs, by their numbers.
#[derive(Default)]
struct Done {
    judged: Vec<(usize, Judged)>,
    failures: Vec<String>,
}

/// Makes these runs, `--jobs` of them at a time. Each worker lives as long as the processes that it started.
fn side_by_side(
    args: &Args,
    jobs: &[Job<'_>],
    numbers: &[usize],
    before: &[(usize, Judged)],
    reporter: &dyn Reporter,
) -> Done {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Done::default());
    let work = || {
        while !interrupt::interrupted() {
            let Some(&number) = numbers.get(next.fetch_add(1, Ordering::SeqCst)) else { return };
            let control = cells::control(jobs, number, before);
            let result = one(args, &jobs[number], control.as_ref(), reporter);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(result) => {
                    reporter.judged(&result);
                    done.judged.push((number, result));
                }
                Err(failure) => done.failures.push(failure),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..args.jobs {
            scope.spawn(work);
        }
        work();
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn one(
    args: &Args,
    job: &Job<'_>,
    control: Option<&Control>,
    reporter: &dyn Reporter,
) -> Result<Judged, String> {
    let cell = job.loaded.suite.cell.as_ref().map_or_else(String::new, |cell| format!(" --cell {cell}"));
    let net = match args.net {
        None => "",
        Some(Net::Switch) => " --net switch",
        Some(Net::Kernel) => " --net kernel",
    };
    let pcap = if args.pcap { " --pcap" } else { "" };
    let command = format!("raftcheck run {}{cell}{net}{pcap}", job.loaded.file);
    let mut plan = Plan::draw(job.loaded.suite.clone(), &command, &args.set, job.seed)
        .map_err(|error| format!("{}: {error}", job.loaded.file))?;
    if args.pcap {
        plan.packets = Packets::Captured;
    }
    let session = Session {
        plan: &plan,
        suite_text: &job.loaded.text,
        system_version: job.version,
        out: &args.out,
        after: if args.keep_running { After::Keep } else { After::Stop },
        control,
    };
    session.run(reporter).map_err(|error| format!("{} seed {}: {error}", job.loaded.file, job.seed))
}
