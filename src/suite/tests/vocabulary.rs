//! Words like those of the real registries, with enough variety that every kind of setting occurs.
//!
//! They are written out here so that the reports in `testdata/` do not change with every new fault or rule.

use std::borrow::Cow;
use std::sync::Arc;

use checker::params::{Kind, Param, Params, Setting};
use cluster::order::OrderKind;
use cluster::system::{Capabilities, System};
use cluster::systems::SystemOptions;
use nemesis::fault::{Fault, Needs};

use crate::script::expr::Function;
use crate::suite::{
    CheckEntry, Entry, Evidence, FaultEntry, RuleBook, RuleEntry, SystemEntry, Vocabulary, measures,
};

const FOR: Setting =
    Setting { name: "for", kind: Kind::DurationRange, default: Some("1s..3s"), doc: "How long it lasts." };
const TARGET: Setting =
    Setting { name: "target", kind: Kind::Target, default: Some("any"), doc: "Which nodes." };

/// The settings of `partition`.
const PARTITION: [Setting; 3] = [
    Setting {
        name: "shape",
        kind: Kind::List(&Kind::Word(&["majority", "isolate-leader", "bridge", "one-way", "ring", "groups"])),
        default: None,
        doc: "Which links are cut.",
    },
    Setting {
        name: "groups",
        kind: Kind::Groups,
        default: Some("[[n1], [n2, n3]]"),
        doc: "For the shape `groups`.",
    },
    FOR,
];

pub(super) fn vocabulary() -> Vocabulary {
    Vocabulary {
        systems: vec![raftkv(), etcd()],
        workloads: crate::suite::vocabulary().workloads,
        faults: vec![
            fault("partition", &PARTITION),
            fault("kill", &[TARGET, FOR]),
            fault("pause", &[TARGET, FOR]),
            FaultEntry { needs: needs_edits, build: entries_below_nodes, ..fault("truncate-log", TRUNCATE) },
        ],
        checks: vec![
            check("linearizable", Evidence::Model, &[]),
            check("lost-commits", Evidence::Model, &[]),
            check("progress", Evidence::Any, &[]),
            check("election-safety", Evidence::Trace, &[]),
            check("vote-once", Evidence::Trace, &[]),
        ],
        measures: measures(),
    }
}

const TRUNCATE: &[Setting] = &[
    TARGET,
    Setting {
        name: "entries",
        kind: Kind::Count { min: 1, max: 1000 },
        default: Some("3"),
        doc: "How many entries.",
    },
    Setting { name: "share", kind: Kind::Ratio, default: Some("25%"), doc: "How often." },
    Setting {
        name: "torn",
        kind: Kind::Flag,
        default: Some("false"),
        doc: "Whether the last entry is torn.",
    },
    Setting { name: "pace", kind: Kind::Rate, default: Some("10/s"), doc: "How fast." },
    Setting { name: "note", kind: Kind::Text, default: Some("none"), doc: "For the report." },
    FOR,
];

/// A check that an entry makes of its own settings.
fn entries_below_nodes(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    match params.0.get("entries") {
        Some(Param::Count(entries)) if *entries >= 100 * nodes as u64 => {
            Err(format!("`entries: {entries}` is too many for {nodes} nodes"))
        }
        _ => any_fault(params, nodes),
    }
}

/// Some fault; the reader only looks at whether there is one.
fn any_fault(_: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let kind = nemesis::faults::find("kill").expect("there is a fault `kill`");
    let settings = [("target", "any"), ("limit", "minority")];
    let params = settings.map(|(name, word)| (name.to_owned(), Param::Text(word.to_owned())));
    (kind.build)(&Params(params.into()), nodes)
}

/// Some system.
fn any_system(_: &SystemOptions) -> Result<Arc<dyn System>, String> {
    let kind = cluster::systems::registry().first().expect("there is a system");
    (kind.build)(&SystemOptions::default())
}

fn needs_edits(_: &Params) -> Needs {
    Needs { edits: true, ..Needs::default() }
}

fn needs_roles(params: &Params) -> Needs {
    let leader = params.0.get("target") == Some(&Param::Text("leader".to_owned()));
    Needs { roles: leader, ..Needs::default() }
}

fn entry(name: &'static str, settings: &'static [Setting]) -> Entry {
    Entry { name, summary: "An entry of the tests.", example: Cow::Borrowed(""), settings }
}

fn fault(name: &'static str, settings: &'static [Setting]) -> FaultEntry {
    FaultEntry { entry: entry(name, settings), needs: needs_roles, build: any_fault }
}

fn check(name: &'static str, evidence: Evidence, settings: &'static [Setting]) -> CheckEntry {
    CheckEntry { entry: entry(name, settings), evidence }
}

fn raftkv() -> SystemEntry {
    SystemEntry {
        entry: entry("raftkv", &[]),
        capabilities: Capabilities {
            ops: &["read", "write", "cas", "delete", "append", "add", "members"],
            trace: true,
            edits: true,
            roles: true,
            orders: &[OrderKind::Campaign, OrderKind::Fsync, OrderKind::Failpoint],
            write_modes: true,
            starts: true,
            returns: true,
        },
        failpoints: &["before_fsync", "mid_apply"],
        tells: |_| true,
        rules: Some(rules()),
        build: any_system,
    }
}

fn etcd() -> SystemEntry {
    const SNAPSHOTS: Setting = Setting {
        name: "snapshot-count",
        kind: Kind::Count { min: 1, max: u64::MAX },
        default: Some("100000"),
        doc: "Entries until a snapshot.",
    };
    SystemEntry {
        entry: entry("etcd", &[SNAPSHOTS]),
        capabilities: Capabilities {
            ops: &["read", "write", "cas", "delete"],
            trace: false,
            edits: false,
            roles: false,
            orders: &[],
            write_modes: false,
            starts: false,
            returns: false,
        },
        failpoints: &[],
        tells: |function| function == Function::Role,
        rules: None,
        build: any_system,
    }
}

fn rules() -> RuleBook {
    let rule = |name, values: &[&str], default| RuleEntry::new(name, "A rule of the tests.", values, default);
    RuleBook {
        presets: vec![
            ("production".to_owned(), "All on.".to_owned()),
            ("paper".to_owned(), "As printed.".to_owned()),
        ],
        default_preset: "production".to_owned(),
        rules: vec![
            rule("read_mode", &["log", "read_index", "local"], "read_index"),
            rule("persist_vote", &["durable", "memory"], "durable"),
            rule("pre_vote", &["on", "off"], "on"),
            rule("noop_on_election", &["true", "false"], "true"),
            rule("heartbeat", &["a time such as 50ms"], "50ms"),
        ],
        check: |name, value| match (name, value) {
            ("read_mode", "log" | "read_index" | "local") | ("persist_vote", "durable" | "memory") => Ok(()),
            ("pre_vote", "on" | "off") | ("noop_on_election", "true" | "false") => Ok(()),
            ("heartbeat", value) if value.ends_with("ms") => Ok(()),
            _ => Err(format!("{name} cannot be {value}")),
        },
        validate: |using| match using.set.get("heartbeat").map(String::as_str) {
            Some("9999ms") => Err("`heartbeat: 9999ms` deposes every leader".to_owned()),
            _ => Ok(()),
        },
    }
}
