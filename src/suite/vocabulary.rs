//! The words of a suite file: what systems, workloads, faults, checks and measures there are.
//!
//! Invariant: whatever a suite may say about an entry (its settings, what it needs) stands here as data; the reader has
//! no branch for any single entry. An entry checks its own settings by being built on trial; an error that begins with
//! the name of a setting is shown at that setting. Deliberately absent: the real entries; see `registries.rs`.

use std::borrow::Cow;
use std::sync::Arc;

use checker::params::{Params, Setting};
use cluster::system::{Capabilities, System};
use cluster::systems::SystemOptions;
use nemesis::fault::{Fault, Needs};
use workloads::Workload;

use super::model::RuleUse;
use crate::script::expr::Function;

/// All the words.
#[derive(Clone)]
pub struct Vocabulary {
    /// Systems, by the name behind `use:`.
    pub systems: Vec<SystemEntry>,
    /// Kinds of workload.
    pub workloads: Vec<WorkloadEntry>,
    /// Faults.
    pub faults: Vec<FaultEntry>,
    /// Checks: properties of the history and of the traces.
    pub checks: Vec<CheckEntry>,
    /// Measures that thresholds bound.
    pub measures: Vec<MeasureEntry>,
}

/// What every entry says of itself.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name in suite files.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// A piece of a suite file that uses it.
    pub example: Cow<'static, str>,
    /// Its settings.
    pub settings: &'static [Setting],
}

/// Makes a system.
pub type BuildSystem = fn(&SystemOptions) -> Result<Arc<dyn System>, String>;
/// Makes a workload for so many clients and a seed.
pub type BuildWorkload = fn(&Params, usize, u64) -> Result<Box<dyn Workload>, String>;
/// Makes a fault for a cluster of so many nodes.
pub type BuildFault = fn(&Params, usize) -> Result<Box<dyn Fault>, String>;

/// A system.
#[derive(Clone)]
pub struct SystemEntry {
    /// Name, summary, example and settings.
    pub entry: Entry,
    /// What it can be asked for.
    pub capabilities: Capabilities,
    /// The failpoints of its nodes; empty where they have none.
    pub failpoints: &'static [&'static str],
    /// Whether a condition can ask this of it.
    pub tells: fn(Function) -> bool,
    /// Its protocol rules, where it has any.
    pub rules: Option<RuleBook>,
    /// Makes it from its settings and rules.
    pub build: BuildSystem,
}

/// The switchable rules of a system.
#[derive(Clone)]
pub struct RuleBook {
    /// Named sets of rules, each with a sentence.
    pub presets: Vec<(String, String)>,
    /// The preset of a suite that names none.
    pub default_preset: String,
    /// The rules.
    pub rules: Vec<RuleEntry>,
    /// Whether this rule takes this value; the last word on it.
    pub check: fn(&str, &str) -> Result<(), String>,
    /// Whether the rules together leave a cluster that can work.
    pub validate: fn(&RuleUse) -> Result<(), String>,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct RuleEntry {
    /// The name, as in the system's own documentation.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// The values, where they can be listed; empty for a free form.
    pub values: Vec<String>,
    /// What a value looks like, where it has a free form: "milliseconds".
    pub form: String,
    /// The value in the default preset.
    pub default: String,
}

/// A kind of workload.
#[derive(Clone)]
pub struct WorkloadEntry {
    /// Name, summary, example and settings.
    pub entry: Entry,
    /// The functions, by name, that it calls with these settings.
    pub functions: fn(&Params) -> Vec<&'static str>,
    /// The checks of evidence [`Evidence::Model`] that fit it.
    pub checks: &'static [&'static str],
    /// Makes it for so many clients and a seed.
    pub build: BuildWorkload,
}

/// A fault.
#[derive(Clone)]
pub struct FaultEntry {
    /// Name, summary, example and settings.
    pub entry: Entry,
    /// What a system must be able to do for it, with these settings.
    pub needs: fn(&Params) -> Needs,
    /// Makes it for a cluster of so many nodes.
    pub build: BuildFault,
}

/// What a check is judged from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The client history, with a model that the workload has to have.
    Model,
    /// Whatever every run has.
    Any,
    /// The traces of the nodes.
    Trace,
}

/// A check.
#[derive(Clone, Debug)]
pub struct CheckEntry {
    /// Name, summary, example and settings.
    pub entry: Entry,
    /// What it is judged from.
    pub evidence: Evidence,
}

/// A measure.
#[derive(Clone, Copy, Debug)]
pub struct MeasureEntry {
    /// The name in suite files.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// The numbers that can be had of it, each with its unit.
    pub aggregates: &'static [(&'static str, Unit)],
    /// Which way a number of it is worse.
    pub direction: Direction,
    /// Whether it is had of single nodes.
    pub of_nodes: bool,
    /// What bounds its `count` from above in any run of a suite.
    pub ceiling: Ceiling,
    /// The threshold of a suite that sets none for this measure.
    pub default: Option<&'static str>,
}

/// The unit of a measured number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A plain number.
    Number,
    /// A time.
    Time,
    /// A part of the whole, from 0 to 1.
    Ratio,
    /// A number of bytes.
    Bytes,
}

/// Which way a measure is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A higher number is worse: times, elections.
    MoreIsWorse,
    /// A lower number is worse: acknowledged calls.
    LessIsWorse,
}

/// What bounds a count from above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ceiling {
    /// Nothing that the suite says.
    Open,
    /// The calls that the clients can make at their rate.
    Calls,
    /// The faults that fit into the duration.
    Faults,
}

impl Vocabulary {
    pub(super) fn system(&self, name: &str) -> Option<&SystemEntry> {
        self.systems.iter().find(|system| system.entry.name == name)
    }

    pub(super) fn workload(&self, name: &str) -> Option<&WorkloadEntry> {
        self.workloads.iter().find(|workload| workload.entry.name == name)
    }

    pub(super) fn fault(&self, name: &str) -> Option<&FaultEntry> {
        self.faults.iter().find(|fault| fault.entry.name == name)
    }

    pub(super) fn check(&self, name: &str) -> Option<&CheckEntry> {
        self.checks.iter().find(|check| check.entry.name == name)
    }

    pub(super) fn measure(&self, name: &str) -> Option<&MeasureEntry> {
        self.measures.iter().find(|measure| measure.name == name)
    }
}

impl RuleEntry {
    /// A rule, from what may be written: either words, all of them, or descriptions and examples of a form.
    pub fn new(name: &str, summary: &str, values: &[&str], default: &str) -> Self {
        let word = |value: &&str| value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        let shown =
            |value: &&str| if value.contains(' ') { (*value).to_owned() } else { format!("`{value}`") };
        let (values, form) = if values.iter().all(word) {
            (values.iter().map(|value| (*value).to_owned()).collect(), String::new())
        } else {
            (Vec::new(), values.iter().map(shown).collect::<Vec<_>>().join(" or "))
        };
        Self { name: name.to_owned(), summary: summary.to_owned(), values, form, default: default.to_owned() }
    }
}
