//! `raftcheck check`: judge what was recorded, a run of ours or a history of anybody's.
//!
//! Invariant: a run directory is judged by its own suite and nothing typed here changes that; a history file brings no
//! settings, so every one that counts is named in the output, whether it was typed, found in the file, or a default.

mod history;
mod input;
mod options;
mod picture;
mod show;
mod transactions;
mod units;

use std::path::{Path, PathBuf};

use checker::history::formats::{Format, Reading};

use super::Output;
use crate::exit::Exit;
use crate::judge;
use crate::report;
use crate::rundir::RunDir;
use options::Options;

/// The arguments of `raftcheck check`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Run directories; or history files of raftcheck, Jepsen, Knossos or Porcupine, a Jepsen store or a test directory
    /// of it, or `-` for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    output: Output,
}

/// How a history of this format is understood where nothing was typed.
pub(super) fn usual_reading(format: Format) -> Reading {
    Options::default().reading(format)
}

/// What the paths lead to.
#[derive(Default)]
struct Found {
    runs: Vec<PathBuf>,
    histories: Vec<PathBuf>,
}

impl Found {
    /// Looks at a path. Fails with a message if nothing can be judged there.
    fn add(&mut self, path: &Path) -> Result<(), String> {
        let is_directory = path.as_os_str() != "-"
            && path.metadata().map_err(|error| format!("{}: {error}", path.display()))?.is_dir();
        if !is_directory {
            self.histories.push(path.to_owned());
            return Ok(());
        }
        if path.join("plan.json").exists() {
            self.runs.push(path.to_owned());
            return Ok(());
        }
        let store = input::Store::of(path)?;
        for test in &store.without {
            eprintln!(
                "note: {}: there is no history.edn or history.txt, so it is not judged",
                test.display()
            );
        }
        if store.histories.is_empty() {
            return Err(nothing_in(path));
        }
        self.histories.extend(store.histories);
        Ok(())
    }
}

/// Why nothing can be judged in a directory.
fn nothing_in(path: &Path) -> String {
    let is_run = |directory: &PathBuf| directory.join("plan.json").is_file();
    let latest = path.join("latest");
    let inner = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut suites: Vec<PathBuf> = inner.map(|suite| suite.join("latest")).filter(is_run).collect();
    suites.sort();
    let store = path.join("store");
    let advice = match suites.first() {
        _ if is_run(&latest) => format!("; its latest run is {}", latest.display()),
        Some(run) => format!("; the runs of its suites lie below it, such as {}", run.display()),
        None if store.is_dir() => format!("; the tests of Jepsen are judged with: raftcheck check {}", store.display()),
        None => "; and it holds no history.edn or history.txt of Jepsen, as a test directory or a store of them does".to_owned(),
    };
    format!("{} is not a run directory: it has no plan.json{advice}", path.display())
}

/// Judges everything.
pub(super) fn main(args: &Args) -> Exit {
    if let Some(contradiction) = args.options.contradiction(&args.paths, args.output.format) {
        eprintln!("error: {contradiction}");
        return Exit::Usage;
    }
    if args.output.junit.is_some() && args.output.junit == args.options.showing.html {
        eprintln!("error: --html and --junit name the same file");
        return Exit::Usage;
    }
    let mut found = Found::default();
    let mut exit = Exit::AsExpected;
    for path in &args.paths {
        if let Err(problem) = found.add(path) {
            eprintln!("error: {problem}");
            exit = Exit::Usage;
        }
    }
    let Found { runs, histories } = found;
    if let (Some(run), Some(history)) = (runs.first(), histories.first()) {
        let (run, history) = (run.display(), history.display());
        eprintln!(
            "error: {history} is a history and {run} is taken for a run directory: judge them one after the other"
        );
        return Exit::Usage;
    }
    if args.options.showing.html.is_some() && histories.len() > 1 {
        eprintln!("error: --html writes one page, and here are {} histories", histories.len());
        return Exit::Usage;
    }
    if runs.is_empty() && histories.is_empty() {
        return exit;
    }
    if histories.is_empty() {
        return exit.worst(check_runs(args, &runs));
    }
    if args.output.junit.is_some() {
        eprintln!("error: --junit is for run directories: a history has no suite to report on");
        return Exit::Usage;
    }
    exit.worst(history::check_all(&histories, &args.options, args.output.format))
}

/// Judges the runs again.
fn check_runs(args: &Args, runs: &[PathBuf]) -> Exit {
    if let Some(option) = args.options.first_given() {
        eprintln!("error: {option} is for history files: a run directory is judged by its own suite");
        return Exit::Usage;
    }
    let reporter = report::reporter(args.output.format, runs.len());
    let mut all = Vec::new();
    let mut exit = Exit::AsExpected;
    for directory in runs {
        match RunDir::open(directory).and_then(|dir| judge::again(&dir)) {
            Ok(judgement) => {
                exit = exit.worst(judgement.judged.exit);
                reporter.judged(&judgement.judged);
                exit = exit.worst(picture::of_run(&judgement, &args.options.showing));
                all.push(judgement.judged);
            }
            Err(error) => {
                eprintln!("error: {}: {error}", directory.display());
                exit = exit.worst(Exit::Usage);
            }
        }
    }
    reporter.finished(&all);
    exit.worst(super::junit(&args.output, &all))
}
