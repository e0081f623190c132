//! `raftcheck demo`: one rule of Raft switched off and what becomes of it, then the same with the rule on.

use std::path::PathBuf;

use super::run::random_seed;
use crate::exit::Exit;
use crate::interrupt;
use crate::judge::Judged;
use crate::plan::Plan;
use crate::report;
use crate::session::{After, Session};
use crate::suite;

/// The arguments of `raftcheck demo`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The seed; random if not given
    #[arg(long)]
    seed: Option<u64>,
    /// Where run directories go
    #[arg(long, value_name = "DIR", default_value = "raftcheck-runs")]
    out: PathBuf,
}

const UNSAFE: &str = include_str!("unsafe.yaml");
const SAFE: &str = include_str!("safe.yaml");

const BEFORE: &str = "\
Every node answers reads from what it has (read_mode: local). A follower lags behind, and a leader that was cut off does
not know that the others have elected a new one. Three real nodes, partitions around the leader, real clients:
";
const BETWEEN: &str = "
Now with the rule on: the leader answers, once a majority has confirmed that it still leads (read_mode: read_index).
";
const AFTER: &str = "
The same on your own: raftcheck run suites/partition.yaml; raftcheck list shows what else can be broken.
";

/// Shows both sides.
pub(super) fn main(args: &Args) -> Exit {
    if let Err(error) = interrupt::watch() {
        eprintln!("error: cannot watch for signals: {error}");
        return Exit::Harness;
    }
    let seed = args.seed.unwrap_or_else(random_seed);
    let mut exit = Exit::AsExpected;
    for (text, suite_text) in [(BEFORE, UNSAFE), (BETWEEN, SAFE)] {
        println!("{text}");
        match side(args, suite_text, seed) {
            Ok(judged) => exit = exit.worst(judged.exit),
            Err(error) => {
                eprintln!("error: {error}");
                return Exit::Harness;
            }
        }
        if interrupt::interrupted() {
            return exit.worst(Exit::Interrupted);
        }
    }
    print!("{AFTER}");
    exit
}

fn side(args: &Args, text: &str, seed: u64) -> Result<Judged, String> {
    let suite = suite::read("demo", text.as_bytes(), &[], &suite::vocabulary())
        .map_err(|problems| problems.to_string())?;
    let plan = Plan::draw(suite, "raftcheck demo", &[], seed)?;
    let reporter = report::reporter(super::Format::Human, 1);
    let session = Session {
        plan: &plan,
        suite_text: text,
        system_version: env!("CARGO_PKG_VERSION"),
        out: &args.out,
        after: After::Stop,
        control: None,
    };
    let judged = session.run(reporter.as_ref()).map_err(|error| error.to_string())?;
    reporter.judged(&judged);
    Ok(judged)
}
