//! How much memory the nodes hold, from the outside and while the run goes on: `memory.jsonl`.
//!
//! Invariant: what stands here was read from the kernel's account of the nodes' processes, so that it means the same for every
//! system and no node can be wrong about itself. A node without a process is not in a sample. Peaks between two samples are
//! not seen.

use std::collections::BTreeMap;

use cluster::cluster::Cluster;
use serde::{Deserialize, Serialize};

use crate::director::Nanos;
use crate::recorder::LineFile;
use crate::rundir::RunDir;

/// The file in the run directory.
pub const MEMORY: &str = "memory.jsonl";
/// Between two samples.
const EVERY: Nanos = 100_000_000;

/// What the nodes held at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemorySample {
    /// When, in nanoseconds since the start of the run.
    pub t: Nanos,
    /// The resident set of each node that had a process, in bytes.
    pub resident: BTreeMap<String, u64>,
}

/// Takes samples.
pub(super) struct Memory {
    file: LineFile,
    next: Nanos,
}

impl Memory {
    pub(super) fn create(dir: &RunDir) -> Result<Self, String> {
        let file = LineFile::create(&dir.file(MEMORY)).map_err(|error| error.to_string())?;
        Ok(Self { file, next: 0 })
    }

    /// When the next sample is due.
    pub(super) fn next(&self) -> Nanos {
        self.next
    }

    /// Takes a sample, if one is due.
    pub(super) fn sample(&mut self, now: Nanos, cluster: &Cluster) -> Result<(), String> {
        if now < self.next {
            return Ok(());
        }
        self.next = now + EVERY;
        let resident = cluster.resident_bytes();
        let resident = resident.into_iter().map(|(node, bytes)| (node.to_string(), bytes)).collect();
        let line =
            serde_json::to_string(&MemorySample { t: now, resident }).map_err(|error| error.to_string())?;
        let written = self.file.line(|buffer| {
            buffer.push_str(&line);
            buffer.push('\n');
        });
        written.map_err(|error| error.to_string())
    }

    /// Hands the samples to the kernel.
    pub(super) fn flush(&mut self) -> Result<(), String> {
        self.file.flush().map_err(|error| error.to_string())
    }
}
