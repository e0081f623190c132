//! `raftcheck run`: suites in, verdicts and an exit code out.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Output;
use crate::exit::Exit;
use crate::inside;
use crate::interrupt;
use crate::judge::Judged;
use crate::plan::Plan;
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
    /// Where run directories go
    #[arg(long, value_name = "DIR", default_value = "raftcheck-runs")]
    out: PathBuf,
    /// Replace a protocol rule of the suites
    #[arg(long, value_name = "RULE=VALUE")]
    set: Vec<String>,
    /// Leave the nodes running at the end, until Ctrl-C
    #[arg(long)]
    keep_running: bool,
    #[command(flatten)]
    output: Output,
}

/// A suite that was read, with the text that it was read from.
pub(super) struct Loaded {
    pub(super) file: String,
    pub(super) text: String,
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
    if args.keep_running && (loaded.len() > 1 || args.runs > 1) {
        return usage("--keep-running leaves one cluster running: give it one suite and one run");
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
        match suite::read(&name, &bytes, sets, &vocabulary) {
            Ok(suite) => {
                loaded.push(Loaded { file: name, text: String::from_utf8_lossy(&bytes).into_owned(), suite })
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

/// Makes the runs, `--jobs` of them at a time, in order. Each worker lives as long as the processes that it started.
fn carry_out(args: &Args, jobs: &[Job<'_>], reporter: &dyn Reporter) -> (Vec<Judged>, Vec<String>) {
    let next = AtomicUsize::new(0);
    let judged: Mutex<Vec<(usize, Judged)>> = Mutex::new(Vec::new());
    let failures = Mutex::new(Vec::new());
    let work = || {
        while !interrupt::interrupted() {
            let number = next.fetch_add(1, Ordering::SeqCst);
            let Some(job) = jobs.get(number) else { return };
            match one(args, job, reporter) {
                Ok(result) => {
                    reporter.judged(&result);
                    judged.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
                }
                Err(failure) => failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..args.jobs {
            scope.spawn(work);
        }
        work();
    });
    let mut judged = judged.into_inner().unwrap_or_else(PoisonError::into_inner);
    judged.sort_by_key(|(number, _)| *number);
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    (judged.into_iter().map(|(_, judged)| judged).collect(), failures)
}

fn one(args: &Args, job: &Job<'_>, reporter: &dyn Reporter) -> Result<Judged, String> {
    let command = format!("raftcheck run {}", job.loaded.file);
    let plan = Plan::draw(job.loaded.suite.clone(), &command, &args.set, job.seed)
        .map_err(|error| format!("{}: {error}", job.loaded.file))?;
    let session = Session {
        plan: &plan,
        suite_text: &job.loaded.text,
        system_version: job.version,
        out: &args.out,
        after: if args.keep_running { After::Keep } else { After::Stop },
    };
    session.run(reporter).map_err(|error| format!("{} seed {}: {error}", job.loaded.file, job.seed))
}
