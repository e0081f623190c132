//! What the mechanisms inside a sandbox cost, measured in a process of its own: a sandbox is entered once.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cluster::clock::NodeClock;
use cluster::hosts::Hosts;
use cluster::levers::{Endpoint, Link, LinkRule};
use cluster::sandbox::{self, Entered};
use cluster::switch::Switch;
use cluster::system::NodeId;

use super::{CLOCK, CUT, PATCH, SANDBOX, SYNC, Sample, network, victim};
use crate::exit::Exit;
use crate::session;

const NODES: u16 = 5;
/// Cuts and heals that are timed.
const CUTS: usize = 200;

/// Syncs that are timed.
const SYNCS: usize = 2000;

/// Starts the measuring process and reads what it prints.
pub(super) fn measure() -> Result<Vec<Sample>, String> {
    let executable = session::executable().map_err(|error| error.to_string())?;
    let output = Command::new(executable)
        .args(["bench", "--inside"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let samples: Vec<Sample> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    if samples.is_empty() {
        return Err(format!("the measuring process ended without a figure ({})", output.status));
    }
    Ok(samples)
}

/// The measuring process.
pub(super) fn inside() -> Exit {
    let begun = Instant::now();
    match sandbox::enter() {
        Ok(Entered::Inside) => {}
        Ok(Entered::Outer(ended)) => std::process::exit(ended.code().into()),
        Err(error) => {
            eprintln!("error: {error}");
            return Exit::Unavailable;
        }
    }
    let figures = switch_figures(begun).and_then(|mut samples| {
        samples.extend(clock_figures());
        samples.extend(network::figures()?);
        samples.extend(seen_clock()?);
        Ok(samples)
    });
    match figures {
        Ok(samples) => {
            for sample in samples {
                println!("{}", serde_json::to_string(&sample).unwrap_or_default());
            }
            Exit::AsExpected
        }
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Harness
        }
    }
}

fn switch_figures(begun: Instant) -> Result<Vec<Sample>, String> {
    let (_hosts, ports) = Hosts::build(NODES).map_err(|error| error.to_string())?;
    let switch = Switch::start(ports, 1).map_err(|error| error.to_string())?;
    let ready = begun.elapsed();
    let mut cuts: Vec<Duration> = Vec::new();
    for round in 0..CUTS {
        let rule = if round % 2 == 0 { LinkRule::Drop } else { LinkRule::Pass };
        let rules: Vec<(Link, LinkRule)> = all_links().into_iter().map(|link| (link, rule)).collect();
        let before = Instant::now();
        switch.set_links(&rules).map_err(|error| error.to_string())?;
        cuts.push(before.elapsed());
    }
    cuts.sort();
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
    let mut samples = vec![Sample { figure: SANDBOX.to_owned(), value: milliseconds(ready) }];
    samples.extend(
        cuts.into_iter().map(|cut| Sample { figure: CUT.to_owned(), value: cut.as_secs_f64() * 1e6 }),
    );
    // A host without FUSE has no such figure; `doctor` says why.
    if cluster::disk::available().is_ok() {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let trial = cluster::disk::trial(directory.path(), SYNCS)?;
        let value = trial.syncs[trial.syncs.len() / 2].as_secs_f64() * 1e6;
        samples.push(Sample { figure: SYNC.to_owned(), value });
    }
    Ok(samples)
}

/// None where this host has no moved clocks; `raftcheck doctor` says why.
fn clock_figures() -> Vec<Sample> {
    let sample = |figure: &str, value: f64| Sample { figure: figure.to_owned(), value };
    let reading = cluster::clock::reading_cost_ns().ok().map(|(plain, moved)| sample(CLOCK, moved - plain));
    let patch = NodeClock::trial().ok().map(|trial| sample(PATCH, trial.patch.as_secs_f64() * 1e6));
    reading.into_iter().chain(patch).collect()
}

/// None where this host has no moved clocks.
fn seen_clock() -> Result<Vec<Sample>, String> {
    if NodeClock::trial().is_err() {
        return Ok(Vec::new());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(victim::figures())
}

fn all_links() -> Vec<Link> {
    let nodes = || (1..=NODES).map(NodeId);
    let pairs = nodes().flat_map(|from| nodes().filter(move |to| *to != from).map(move |to| (from, to)));
    pairs.map(|(from, to)| Link { from: Endpoint::Node(from), to: Endpoint::Node(to) }).collect()
}
