//! The vocabulary of this raftcheck, from the registries of the layers below.
//!
//! The only file of the reader that knows real systems, workloads, faults, checks and rules; a registry entry that is
//! added below shows up here by itself. Deliberately absent: words of its own, apart from the measures.

use std::borrow::Cow;

use checker::properties::{self, PropertyKind};
use cluster::systems::{SystemKind, SystemOptions};
use nemesis::fault::FaultKind;
use raftkv::raft::rules::{PRESETS, Rules};
use workloads::WorkloadKind;

use super::model::RuleUse;
use super::vocabulary::{
    Ceiling, CheckEntry, Direction, Entry, Evidence, FaultEntry, MeasureEntry, RuleBook, RuleEntry,
    SystemEntry, Unit, Vocabulary, WorkloadEntry,
};
use crate::script::expr::Function;

/// The systems whose rules are those of the bundled node.
const BUNDLED: &str = "raftkv";

/// All the words that a suite can use.
pub fn vocabulary() -> Vocabulary {
    Vocabulary {
        systems: cluster::systems::registry().iter().filter_map(system).collect(),
        workloads: workloads::registry().iter().map(workload).collect(),
        faults: nemesis::faults::registry().iter().map(fault).collect(),
        checks: properties::registry().iter().map(check).collect(),
        measures: measures(),
    }
}

/// A system as it is with its defaults; one that does not even build from those can be in no suite.
fn system(kind: &SystemKind) -> Option<SystemEntry> {
    let capabilities = (kind.build)(&SystemOptions::default()).ok()?.capabilities();
    let entry = Entry {
        name: kind.name,
        summary: kind.summary,
        example: Cow::Borrowed(kind.example),
        settings: kind.settings,
    };
    let rules = (kind.name == BUNDLED).then(bundled_rules);
    let bundled = kind.name == BUNDLED;
    Some(SystemEntry {
        entry,
        capabilities,
        failpoints: if bundled { failpoints() } else { &[] },
        tells: if bundled { tells_everything } else { tells_the_usual },
        rules,
        build: kind.build,
    })
}

/// The failpoints of the bundled node, by name.
fn failpoints() -> &'static [&'static str] {
    static NAMES: std::sync::OnceLock<Vec<&'static str>> = std::sync::OnceLock::new();
    NAMES.get_or_init(|| raftkv::failpoints::Point::ALL.iter().map(|point| point.name()).collect())
}

fn tells_everything(_: Function) -> bool {
    true
}

/// What any Raft tells of itself, and what is seen from outside.
fn tells_the_usual(function: Function) -> bool {
    matches!(
        function,
        Function::Role
            | Function::Term
            | Function::Commit
            | Function::Applied
            | Function::Leader
            | Function::Leaders
            | Function::Followers
            | Function::NoLeader
            | Function::Running
            | Function::Paused
            | Function::Exited
            | Function::RefusedStart
            | Function::Nodes
            | Function::Others
            | Function::Elapsed
            | Function::Acked
            | Function::Failed
            | Function::Unknown
            | Function::Pending
            | Function::Unanswered
            | Function::Reply
    )
}

fn workload(kind: &WorkloadKind) -> WorkloadEntry {
    let entry = Entry {
        name: kind.name,
        summary: kind.summary,
        example: Cow::Borrowed(kind.example),
        settings: kind.settings,
    };
    WorkloadEntry { entry, functions: kind.functions, checks: kind.checks, build: kind.build }
}

fn fault(kind: &FaultKind) -> FaultEntry {
    let entry = Entry {
        name: kind.name,
        summary: kind.summary,
        example: Cow::Owned(kind.example()),
        settings: kind.settings,
    };
    FaultEntry { entry, needs: kind.needs, build: kind.build }
}

fn check(kind: &PropertyKind) -> CheckEntry {
    let evidence = match kind.needs {
        properties::Needs::History | properties::Needs::HistoryAndFinalReads => Evidence::Model,
        properties::Needs::Trace => Evidence::Trace,
    };
    let entry = Entry {
        name: kind.name,
        summary: kind.summary,
        example: Cow::Borrowed(kind.example),
        settings: kind.settings,
    };
    CheckEntry { entry, evidence }
}

fn bundled_rules() -> RuleBook {
    let rules = Rules::describe().into_iter();
    RuleBook {
        presets: PRESETS.iter().map(|(name, what)| ((*name).to_owned(), (*what).to_owned())).collect(),
        default_preset: "production".to_owned(),
        rules: rules
            .map(|rule| {
                let summary = format!("{} Otherwise: {}.", rule.governs, rule.breaks);
                RuleEntry::new(rule.name, &summary, &rule.values, &rule.default)
            })
            .collect(),
        check: |name, value| Rules::default().set(name, value).map_err(|error| error.to_string()),
        validate: bundled_rules_work,
    }
}

/// Whether a cluster can work at all under these rules.
fn bundled_rules_work(using: &RuleUse) -> Result<(), String> {
    let mut rules = Rules::preset(&using.preset).map_err(|error| error.to_string())?;
    for (name, value) in &using.set {
        rules.set(name, value).map_err(|error| error.to_string())?;
    }
    rules.validate().map_err(|error| error.to_string())
}

/// What thresholds can bound, and what cells of a matrix can be compared in.
pub fn measures() -> Vec<MeasureEntry> {
    use Direction::{LessIsWorse, MoreIsWorse};
    use Unit::{Bytes, Number, Time};
    let measure = |name, summary, aggregates, direction| MeasureEntry {
        name,
        summary,
        aggregates,
        direction,
        of_nodes: false,
        ceiling: Ceiling::Open,
        default: None,
    };
    vec![
        MeasureEntry {
            ceiling: Ceiling::Calls,
            default: Some("count>=1"),
            ..measure(
                "ops_ok",
                "calls that were acknowledged, final reads not counted",
                &[("count", Number)],
                LessIsWorse,
            )
        },
        MeasureEntry {
            ceiling: Ceiling::Faults,
            default: Some("count>=1"),
            ..measure(
                "faults_installed",
                "faults that were seen to take effect",
                &[("count", Number)],
                MoreIsWorse,
            )
        },
        measure(
            "unavailability",
            "times without any acknowledged call, while faults came and went: the longest, and those of 100 ms or more",
            &[("max", Time), ("total", Time), ("windows", Number)],
            MoreIsWorse,
        ),
        measure(
            "recovery",
            "the time from the end of healing until calls were acknowledged again",
            &[("max", Time)],
            MoreIsWorse,
        ),
        measure(
            "latency",
            "the time of acknowledged calls, while faults came and went",
            &[("p50", Time), ("p99", Time), ("max", Time)],
            MoreIsWorse,
        ),
        measure(
            "throughput",
            "acknowledged calls per second, while faults came and went",
            &[("mean", Number)],
            LessIsWorse,
        ),
        measure(
            "elections",
            "nodes that became leader, while faults came and went",
            &[("count", Number), ("per-minute", Number)],
            MoreIsWorse,
        ),
        measure(
            "terms",
            "terms that began, while faults came and went",
            &[("count", Number), ("per-minute", Number)],
            MoreIsWorse,
        ),
        measure(
            "leader_changes",
            "elections of another node than the one before, while faults came and went",
            &[("count", Number)],
            MoreIsWorse,
        ),
        measure(
            "leaderless",
            "times in which no node led, while faults came and went; a node that was killed led until the last line of its trace",
            &[("max", Time), ("total", Time)],
            MoreIsWorse,
        ),
        MeasureEntry {
            of_nodes: true,
            ..measure(
                "memory",
                "the most memory that the processes of a node held (resident set), while faults came and went; looked at every 100 ms from outside",
                &[("max", Bytes)],
                MoreIsWorse,
            )
        },
    ]
}
