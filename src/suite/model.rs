//! A suite as it was read: typed, complete, serialisable.
//!
//! Invariant: every default is filled in and every name is known to the vocabulary that the suite was read with, so that
//! nothing behind this point asks what was meant. Durations are nanoseconds. Deliberately absent: positions (they end
//! with the reading) and anything random (the plan draws it).

use std::collections::BTreeMap;
use std::time::Duration;

use checker::params::Params;
use cluster::network::NetworkKind;
use cluster::systems::SystemOptions;
use serde::{Deserialize, Serialize};

use crate::script::model::Script;

use super::claim::Claim;
use super::question::Question;

/// The kind of workload of a choreography without clients: the operations of its steps are all.
pub const SCRIPTED: &str = "scripted";

/// What a suite file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct SuiteFile {
    /// The question that it answers, if it says so.
    pub question: Option<Question>,
    /// The suite, or one for each cell of its matrix, in the order of the file; never none.
    pub suites: Vec<Suite>,
}

/// A suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Suite {
    /// The version of the suite format.
    pub version: u64,
    /// The name; also that of its directory of runs.
    pub name: String,
    /// The cell of the matrix that this is; `None` for a suite without a matrix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<String>,
    /// What is tested.
    pub system: SystemUse,
    /// What the clients do.
    pub workload: WorkloadUse,
    /// How long the clients work before the first fault can come.
    pub warm_up_ns: u64,
    /// How long faults are injected.
    pub duration_ns: u64,
    /// The faults; `None` for a run without any.
    pub faults: Option<FaultPlan>,
    /// The choreography that takes their place; `None` for a run without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
    /// The longest that the cluster may take to acknowledge writes again after everything is healed.
    pub quiesce_ns: u64,
    /// What is judged, in the order of the file.
    pub checks: Vec<CheckUse>,
    /// Below or above what a run says too little or is too slow, in the order of the file.
    pub thresholds: Vec<Threshold>,
    /// What has to come out.
    pub expect: Expect,
}

/// The system under test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SystemUse {
    /// Its name in the registry.
    #[serde(rename = "use")]
    pub system: String,
    /// How many nodes.
    pub nodes: u16,
    /// How many hosts beside them, for nodes that come later.
    #[serde(default)]
    pub spares: u16,
    /// Where the nodes keep their data.
    pub data: DataPlace,
    /// What connects the nodes and the clients.
    #[serde(default)]
    pub network: NetworkKind,
    /// Protocol rules; `None` for a system without any.
    pub rules: Option<RuleUse>,
    /// The system's own settings.
    pub settings: Params,
}

/// Where data directories lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataPlace {
    /// On the disk that the run directory lies on.
    Disk,
    /// In memory (tmpfs).
    Memory,
}

/// Protocol rules: those of a preset, apart from some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RuleUse {
    /// The preset.
    pub preset: String,
    /// The rules that are set on top of it, as text, `--set` included.
    pub set: BTreeMap<String, String>,
}

/// What the clients do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct WorkloadUse {
    /// The kind's name in the registry.
    pub kind: String,
    /// How many clients.
    pub clients: usize,
    /// Operations per second over all clients; `None` for as many as they can.
    pub rate: Option<f64>,
    /// The longest that one call may take until its outcome is unknown.
    pub op_timeout_ns: u64,
    /// The kind's own settings.
    pub settings: Params,
}

/// Faults drawn at random.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FaultPlan {
    /// The time between the beginnings of two faults, and before the first, lowest then highest.
    pub every_ns: (u64, u64),
    /// What can be injected.
    pub mix: Vec<FaultUse>,
}

/// One entry of a mix of faults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FaultUse {
    /// The fault's name in the registry.
    pub fault: String,
    /// How often it is chosen, relative to the others; at least 1.
    pub weight: u64,
    /// The fault's own settings.
    pub settings: Params,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CheckUse {
    /// The property's name in the registry.
    pub check: String,
    /// The most time that its judgement may take.
    pub timeout_ns: u64,
    /// Its settings.
    pub settings: Params,
}

/// A bound on a measure of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Threshold {
    /// What is measured.
    pub measure: String,
    /// Which number of it: `count`, `max`...
    pub aggregate: String,
    /// How it compares.
    pub comparison: Comparison,
    /// With what: nanoseconds for a time.
    pub value: f64,
    /// As it was written, for reports: `max<8s`.
    pub text: String,
}

/// How a measured number compares with a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// `>=`
    #[serde(rename = ">=")]
    AtLeast,
    /// `>`
    #[serde(rename = ">")]
    Above,
    /// `<=`
    #[serde(rename = "<=")]
    AtMost,
    /// `<`
    #[serde(rename = "<")]
    Below,
    /// `==`
    #[serde(rename = "==")]
    Exactly,
}

/// What has to come out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// No check is violated.
    Safe,
    /// At least one of these is violated, and no other check.
    Violates(Vec<String>),
    /// No check is violated, and all of these come out.
    Shows(Vec<Claim>),
}

impl Expect {
    /// The expectation in words: "safe", "violates linearizable or lost-commits".
    pub fn words(&self) -> String {
        match self {
            Expect::Safe => "safe".to_owned(),
            Expect::Violates(names) => format!("violates {}", names.join(" or ")),
            Expect::Shows(claims) => {
                let claims: Vec<String> = claims.iter().map(Claim::words).collect();
                format!("safe, {}", claims.join(", "))
            }
        }
    }

    /// What is claimed beside safety.
    pub fn claims(&self) -> &[Claim] {
        match self {
            Expect::Shows(claims) => claims,
            Expect::Safe | Expect::Violates(_) => &[],
        }
    }
}

impl Suite {
    /// The name, and that of the cell behind a `/`; also the directory of its runs.
    pub fn title(&self) -> String {
        match &self.cell {
            Some(cell) => format!("{}/{cell}", self.name),
            None => self.name.clone(),
        }
    }

    /// The cell that this one is compared with, if it claims to be worse or no worse than another.
    pub fn control(&self) -> Option<&str> {
        self.expect.claims().iter().find_map(|claim| match claim {
            Claim::Degrades(degrades) => Some(degrades.control.as_str()),
            _ => None,
        })
    }

    /// How long faults are injected.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.duration_ns)
    }

    /// How long the clients work before the first fault can come.
    pub fn warm_up(&self) -> Duration {
        Duration::from_nanos(self.warm_up_ns)
    }

    /// The longest that the cluster may take to acknowledge writes again after everything is healed.
    pub fn quiesce(&self) -> Duration {
        Duration::from_nanos(self.quiesce_ns)
    }

    /// The longest that one call may take.
    pub fn op_timeout(&self) -> Duration {
        Duration::from_nanos(self.workload.op_timeout_ns)
    }
}

impl SystemUse {
    /// What the system is built from.
    pub fn options(&self) -> SystemOptions {
        let mut rules = Vec::new();
        if let Some(using) = &self.rules {
            rules.push(("preset".to_owned(), using.preset.clone()));
            rules.extend(using.set.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        SystemOptions { params: self.settings.clone(), rules }
    }
}

impl CheckUse {
    /// The most time that its judgement may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_nanos(self.timeout_ns)
    }
}

impl Comparison {
    /// Whether a measured number passes.
    pub fn holds(self, measured: f64, bound: f64) -> bool {
        match self {
            Comparison::AtLeast => measured >= bound,
            Comparison::Above => measured > bound,
            Comparison::AtMost => measured <= bound,
            Comparison::Below => measured < bound,
            Comparison::Exactly => measured == bound,
        }
    }
}
