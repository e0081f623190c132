//! `raftcheck check`: judge a recorded run again.

use std::path::PathBuf;

use super::Output;
use crate::exit::Exit;
use crate::judge;
use crate::report;
use crate::rundir::RunDir;

/// The arguments of `raftcheck check`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Run directories
    #[arg(required = true, value_name = "RUN_DIR")]
    directories: Vec<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Judges the runs again.
pub(super) fn main(args: &Args) -> Exit {
    let reporter = report::reporter(args.output.format, args.directories.len());
    let mut all = Vec::new();
    let mut exit = Exit::AsExpected;
    for directory in &args.directories {
        match RunDir::open(directory).and_then(|dir| judge::again(&dir)) {
            Ok(judged) => {
                exit = exit.worst(judged.exit);
                reporter.judged(&judged);
                all.push(judged);
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
