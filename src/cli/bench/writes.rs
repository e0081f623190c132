//! What a write costs a client over either network: whole runs of three nodes, one client, nothing broken.
//!
//! Invariant: the runs are alike but for the network, and are made one after the other.

use checker::history::jsonl;

use super::runs::{self, Measured};
use super::{Sample, WRITE, WRITE_RATIO};
use crate::rundir::RunDir;

/// One client that writes as fast as it is answered, to the leader or to who knows it.
const WRITES: &str = "\
version: 1
name: bench-writes
system: { use: raftkv, nodes: 3, data: memory, network: NETWORK }
workload: { kind: register, clients: 1, rate: max, keys: 1, mix: { write: 1 }, op-timeout: 2s }
duration: 2s
quiesce: 5s
checks: [linearizable]
expect: safe
";

/// The median of a write through the switch, and by how much it is above that over the kernel's bridge, in percent.
pub(super) fn measure() -> Result<Vec<Sample>, String> {
    let switch = median_us("switch")?;
    let mut samples = vec![Sample { figure: WRITE.to_owned(), value: switch }];
    // A host without the bridge has no such figure; `doctor` says why. A trial needs a sandbox of its own: the run tells.
    if let Ok(kernel) = median_us("kernel") {
        samples.push(Sample { figure: WRITE_RATIO.to_owned(), value: (switch / kernel - 1.0) * 100.0 });
    }
    Ok(samples)
}

fn median_us(network: &str) -> Result<f64, String> {
    let Measured { dir, _out, .. } = runs::run(&WRITES.replace("NETWORK", network))?;
    let mut times = times_ns(&dir)?;
    times.sort_unstable();
    let median = times.get(times.len() / 2).ok_or("no write was acknowledged")?;
    Ok(*median as f64 / 1e3)
}

/// How long each acknowledged call took.
fn times_ns(dir: &RunDir) -> Result<Vec<u64>, String> {
    let text = std::fs::read(dir.file("history.jsonl")).map_err(|error| error.to_string())?;
    let (history, _) = jsonl::read(text.split(|byte| *byte == b'\n')).map_err(|error| error.to_string())?;
    let operations = history.operations().map_err(|error| error.to_string())?;
    let took = operations.iter().filter_map(|one| Some(one.acknowledged()?.time - one.invoked.time));
    Ok(took.collect())
}
