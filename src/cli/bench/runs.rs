//! What whole runs cost: to the first leader, per operation, after the last one.

use std::time::{SystemTime, UNIX_EPOCH};

use checker::trace::{Role, TraceBuilder, What};
use nix::sys::resource::{UsageWho, getrusage};
use tempfile::TempDir;

use super::{END, INSIDE_MEMORY, LEADER, OUTSIDE_MEMORY, RATE, Sample};
use crate::events::Phase;
use crate::exit::Exit;
use crate::judge::Judged;
use crate::plan::Plan;
use crate::report::Silent;
use crate::rundir::{RunDir, RunRecord, Started};
use crate::session::{After, Session};
use crate::suite;

/// Five nodes with default timers, and faults, as in the suites.
const FAULTS: &str = "\
version: 1
name: bench-faults
system: { use: raftkv, nodes: 5 }
workload: { kind: register, clients: 10, rate: 400/s, keys: 8, mix: { read: 5, write: 4, cas: 1 }, op-timeout: 1s }
duration: 10s
faults:
  every: 1s..2s
  mix:
    - partition: { shape: [majority, isolate-leader], for: 1s..2s }
quiesce: 5s
checks: [linearizable, lost-commits, election-safety, log-matching, leader-completeness, state-machine-safety]
expect: safe
";

/// As many operations as come back.
const LOAD: &str = "\
version: 1
name: bench-load
system: { use: raftkv, nodes: 3, data: memory }
workload: { kind: register, clients: 64, rate: max, keys: 64, mix: { read: 1, write: 1 }, op-timeout: 2s }
duration: 5s
quiesce: 5s
checks: [linearizable]
expect: safe
";

pub(super) fn measure() -> Result<Vec<Sample>, String> {
    let mut samples = with_faults()?;
    samples.extend(under_load()?);
    let memory =
        getrusage(UsageWho::RUSAGE_SELF).map_err(|error| error.to_string())?.max_rss() as f64 / 1024.0;
    samples.push(sample(OUTSIDE_MEMORY, memory));
    Ok(samples)
}

fn sample(figure: &str, value: f64) -> Sample {
    Sample { figure: figure.to_owned(), value }
}

fn with_faults() -> Result<Vec<Sample>, String> {
    let begun = now();
    let Measured { judged, dir, _out } = run(FAULTS)?;
    let ended = now();
    let started: Started = dir.read_json("started.json").map_err(|error| error.to_string())?;
    let record: RunRecord = dir.read_json("run.json").map_err(|error| error.to_string())?;
    let leader = first_leader(&dir, &started)?;
    let leader_ms = (started.unix_ns.saturating_sub(begun) + leader) as f64 / 1e6;
    let last_operation = started.unix_ns + judged.lasted;
    Ok(vec![
        sample(LEADER, leader_ms),
        sample(END, ended.saturating_sub(last_operation) as f64 / 1e9),
        sample(INSIDE_MEMORY, record.peak_memory_bytes as f64 / f64::from(1 << 20)),
    ])
}

fn under_load() -> Result<Vec<Sample>, String> {
    let Measured { judged, dir, _out } = run(LOAD)?;
    let record: RunRecord = dir.read_json("run.json").map_err(|error| error.to_string())?;
    let at = |phase| record.phases.iter().find(|record| record.phase == phase).map(|record| record.at);
    let (Some(from), Some(to)) = (at(Phase::WarmUp), at(Phase::FinalReads)) else {
        return Err(format!("the load run did not get to its end: {}", judged.headline));
    };
    Ok(vec![sample(RATE, judged.calls.ok as f64 * 1e9 / (to - from) as f64)])
}

/// Nanoseconds since the start of the run at which the first node became leader.
fn first_leader(dir: &RunDir, started: &Started) -> Result<u64, String> {
    let mut builder = TraceBuilder::new(started.clock_origin);
    for (node, directory) in dir.node_dirs().map_err(|error| error.to_string())? {
        let text = std::fs::read(crate::inside::trace_file(&directory)).map_err(|error| error.to_string())?;
        builder.read(&node, text.split(|byte| *byte == b'\n')).map_err(|error| error.to_string())?;
    }
    let trace = builder.finish();
    let leads = trace.events.iter().find(|event| matches!(event.what, What::Role(Role::Leader, _)));
    leads.map(|event| event.time).ok_or_else(|| "no node ever led".to_owned())
}

/// A run and its directory, which goes with this value.
pub(super) struct Measured {
    pub(super) judged: Judged,
    pub(super) dir: RunDir,
    pub(super) _out: TempDir,
}

/// Makes a run of this suite, which must come out as expected.
pub(super) fn run(text: &str) -> Result<Measured, String> {
    let out = tempfile::Builder::new()
        .prefix("raftcheck-bench-")
        .tempdir_in(".")
        .map_err(|error| error.to_string())?;
    let suite = suite::read("bench", text.as_bytes(), &[], &suite::vocabulary())
        .map_err(|problems| problems.to_string())?;
    let plan = Plan::draw(suite, "raftcheck bench", &[], 1)?;
    let session = Session {
        plan: &plan,
        suite_text: text,
        system_version: env!("CARGO_PKG_VERSION"),
        out: out.path(),
        after: After::Stop,
        control: None,
    };
    let judged = session.run(&Silent).map_err(|error| error.to_string())?;
    if judged.exit != Exit::AsExpected {
        return Err(format!(
            "the run for the figures went wrong: {} ({})",
            judged.headline,
            out.keep().display()
        ));
    }
    let dir = RunDir::open(&judged.directory).map_err(|error| error.to_string())?;
    Ok(Measured { judged, dir, _out: out })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
