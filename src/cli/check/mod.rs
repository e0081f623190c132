//! `raftcheck check`: judge what was recorded, a run of ours or a history of anybody's.
//!
//! Invariant: a run directory is judged by its own suite and nothing typed here changes that; a history file brings no
//! settings, so every one that counts is named in the output, whether it was typed, found in the file, or a default.

mod history;
mod options;
mod picture;
mod show;
mod transactions;
mod units;

use std::path::{Path, PathBuf};

use super::Output;
use crate::exit::Exit;
use crate::judge;
use crate::report;
use crate::rundir::RunDir;
use options::Options;

/// The arguments of `raftcheck check`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Run directories; or history files of raftcheck, Jepsen, Knossos or Porcupine, test directories of a Jepsen store,
    /// or `-` for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    output: Output,
}

/// What a path leads to.
enum Found {
    Run(PathBuf),
    History(PathBuf),
}

/// The files of a Jepsen test directory that hold its history, the better one first.
const JEPSEN: [&str; 2] = ["history.edn", "history.txt"];

fn found(path: &Path) -> Found {
    if path.as_os_str() == "-" || (path.exists() && !path.is_dir()) {
        return Found::History(path.to_owned());
    }
    let own = path.join("plan.json").exists();
    match JEPSEN.map(|name| path.join(name)).into_iter().find(|file| !own && file.is_file()) {
        Some(file) => Found::History(file),
        None => Found::Run(path.to_owned()),
    }
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
    let (mut runs, mut histories) = (Vec::new(), Vec::new());
    for path in &args.paths {
        match found(path) {
            Found::Run(directory) => runs.push(directory),
            Found::History(file) => histories.push(file),
        }
    }
    if let (Some(run), Some(history)) = (runs.first(), histories.first()) {
        let (run, history) = (run.display(), history.display());
        eprintln!(
            "error: {history} is a history and {run} is taken for a run directory: judge them one after the other"
        );
        return Exit::Usage;
    }
    if histories.is_empty() {
        return check_runs(args, &runs);
    }
    if args.output.junit.is_some() {
        eprintln!("error: --junit is for run directories: a history has no suite to report on");
        return Exit::Usage;
    }
    history::check_all(&histories, &args.options, args.output.format)
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
