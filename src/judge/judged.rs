//! The result of one run: what `verdict.json` holds and every reporter shows.

use std::path::PathBuf;

use checker::verdict::Verdict;
use serde::{Deserialize, Serialize};

use crate::director::script::StoryLine;
use crate::events::Calls;
use crate::exit::Exit;

/// One judged run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Judged {
    /// The version of this file's format.
    pub format: u32,
    /// The suite's name.
    pub suite: String,
    /// The seed of the run.
    pub seed: u64,
    /// The run directory.
    pub directory: PathBuf,
    /// "5 nodes of raftkv".
    pub cluster: String,
    /// What the suite expects, in words: "safe", "violates linearizable".
    pub expect: String,
    /// The exit code that this run alone would give.
    pub exit: Exit,
    /// One sentence that says why.
    pub headline: String,
    /// From the first to the last event of the history, in nanoseconds.
    pub lasted: u64,
    /// Completed calls.
    pub calls: Calls,
    /// What became of the planned faults.
    pub faults: FaultCounts,
    /// The properties, in the order of the suite.
    pub checks: Vec<Check>,
    /// The measures that the suite sets thresholds for.
    pub thresholds: Vec<Threshold>,
    /// When the first violation was complete, in nanoseconds since the start of the run.
    pub first_violation: Option<u64>,
    /// Why the harness itself failed, if it did.
    pub harness_failure: Option<String>,
    /// What this host lacks for the run, and how to get it, if that ended it.
    #[serde(default)]
    pub unavailable: Option<String>,
    /// Which step of the choreography did not come about, why, and the last view of every node, a line each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<String>,
    /// The story of the choreography.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StoryLine>,
    /// What else a reader should know: a history that is cut off, a fault that had no effect.
    pub remarks: Vec<String>,
    /// The command that runs the same plan again.
    pub reproduce: String,
}

/// What became of the planned faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultCounts {
    /// In force, as the levers confirmed.
    pub installed: u64,
    /// Not tried, for a stated reason.
    pub skipped: u64,
    /// Tried, with an unclear result.
    pub indeterminate: u64,
    /// Installed, and without any observable effect ("no frame was dropped").
    pub idle: u64,
}

/// One property and its verdict.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Check {
    /// The property's name in suite files.
    pub name: String,
    /// Whether the suite expects a violation of it, or allows one.
    pub expected: Expected,
    /// Milliseconds that the judgement took.
    pub took_ms: u64,
    /// The verdict.
    pub verdict: Verdict,
}

/// What the suite says about one property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// It has to hold.
    Holds,
    /// It may be violated: at least one of those so marked has to be.
    Violated,
    /// It is not what the suite asks about: a violation is shown and changes nothing.
    Tolerated,
}

/// A threshold on a measure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Threshold {
    /// The measure's name.
    pub measure: String,
    /// The bound as the suite writes it: "count>=5000".
    pub bound: String,
    /// What was measured, with its unit.
    pub measured: String,
    /// Whether the bound was kept.
    pub kept: bool,
    /// What missing it means.
    pub meaning: Meaning,
}

/// What a missed threshold says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Meaning {
    /// Too little happened for the verdicts to mean anything.
    Coverage,
    /// The system was slower or less available than asked.
    Performance,
}
