//! What suites become.

use checker::params::Param;

use super::vocabulary::vocabulary;
use crate::suite::{Comparison, DataPlace, Expect, Suite, read};

const SECOND: u64 = 1_000_000_000;

/// The example of the manual.
pub(super) const PARTITION: &str = "\
version: 1
name: partition
system: { use: raftkv, nodes: 5, rules: { preset: production } }
workload: { kind: register, clients: 10, rate: 400/s, keys: 8, mix: { read: 5, write: 4, cas: 1 }, op-timeout: 1s }
duration: 30s
faults:
  every: 2s..5s
  mix:
    - partition: { shape: [majority, isolate-leader, bridge, one-way], for: 2s..8s }
    - kill: { target: leader, for: 1s..3s, weight: 3 }
quiesce: 5s
checks: [linearizable, lost-commits, election-safety]
thresholds: { ops_ok: [count>=5000], faults_installed: [count>=5], unavailability: [max<8s] }
expect: safe
";

const SHORT: &str = "\
version: 1
name: short
system: { use: raftkv }
workload: { kind: set }
duration: 10s
";

pub(super) fn accept(source: &str) -> Suite {
    accept_with(source, &[])
}

fn accept_with(source: &str, sets: &[&str]) -> Suite {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    read("suite.yaml", source.as_bytes(), &sets, &vocabulary())
        .unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_example_of_the_manual() {
    let suite = accept(PARTITION);
    assert_eq!((suite.version, suite.name.as_str()), (1, "partition"));
    assert_eq!((suite.system.system.as_str(), suite.system.nodes), ("raftkv", 5));
    assert_eq!((suite.workload.clients, suite.workload.rate), (10, Some(400.0)));
    assert_eq!(suite.workload.settings.0["ops-per-key"], Param::Count(300));
    assert_eq!((suite.warm_up_ns, suite.duration_ns, suite.quiesce_ns), (SECOND, 30 * SECOND, 5 * SECOND));
    let faults = suite.faults.expect("there are faults");
    assert_eq!(faults.every_ns, (2 * SECOND, 5 * SECOND));
    assert_eq!(
        faults.mix.iter().map(|fault| (fault.fault.as_str(), fault.weight)).collect::<Vec<_>>(),
        [("partition", 1), ("kill", 3)]
    );
    assert_eq!(faults.mix[0].settings.0["for"], Param::Range(2 * SECOND, 8 * SECOND));
    assert_eq!(faults.mix[1].settings.0["target"], Param::Text("leader".to_owned()));
    assert_eq!(suite.checks[0].timeout_ns, 60 * SECOND);
    let bounds: Vec<_> = suite.thresholds.iter().map(|bound| (bound.comparison, bound.value)).collect();
    assert_eq!(bounds, [(Comparison::AtLeast, 5000.0), (Comparison::AtLeast, 5.0), (Comparison::Below, 8e9)]);
    assert_eq!(suite.expect, Expect::Safe);
}

#[test]
fn defaults_are_filled_in() {
    let suite = accept(SHORT);
    assert_eq!((suite.system.nodes, suite.system.data), (5, DataPlace::Disk));
    assert_eq!(suite.system.rules.expect("raftkv has rules").preset, "production");
    assert_eq!((suite.workload.clients, suite.workload.rate), (10, Some(400.0)));
    assert_eq!(suite.faults, None);
    let checks: Vec<&str> = suite.checks.iter().map(|check| check.check.as_str()).collect();
    assert_eq!(checks, ["linearizable", "lost-commits", "progress", "election-safety", "vote-once"]);
    let bounds: Vec<_> =
        suite.thresholds.iter().map(|bound| (bound.measure.as_str(), bound.text.as_str())).collect();
    assert_eq!(bounds, [("ops_ok", "count>=1")], "a suite without faults is not held to any");
}

#[test]
fn a_resolved_suite_survives_json() {
    for source in [PARTITION, SHORT] {
        let suite = accept(source);
        let json = serde_json::to_string_pretty(&suite).expect("a suite is plain data");
        assert_eq!(serde_json::from_str::<Suite>(&json).expect("what was written can be read"), suite);
    }
}

#[test]
fn anchors_aliases_and_merges_work() {
    let source = "\
version: 1
name: anchors
system: { use: raftkv }
workload: { kind: register }
duration: 30s
faults:
  every: 2s..5s
  mix:
    - kill: &base { target: leader, for: 1s..3s }
    - pause: { <<: *base, target: n2 }
    - kill: *base
";
    let mix = accept(source).faults.expect("there are faults").mix;
    assert_eq!(mix[1].settings.0["target"], Param::Text("n2".to_owned()));
    assert_eq!(mix[1].settings.0["for"], mix[0].settings.0["for"]);
    assert_eq!(mix[2], mix[0]);
}

#[test]
fn words_like_on_and_off_are_text() {
    let source = SHORT
        .replace("{ use: raftkv }", "{ use: raftkv, rules: { pre_vote: off, noop_on_election: false } }");
    let rules = accept(&source).system.rules.expect("raftkv has rules");
    assert_eq!(rules.set["pre_vote"], "off");
    assert_eq!(rules.set["noop_on_election"], "false");
}

#[test]
fn set_replaces_what_the_file_says() {
    let source =
        SHORT.replace("{ use: raftkv }", "{ use: raftkv, rules: { read_mode: log, pre_vote: off } }");
    let suite = accept_with(&source, &["read_mode=local", "preset=paper", "heartbeat=30ms"]);
    let rules = suite.system.rules.expect("raftkv has rules");
    assert_eq!(rules.preset, "paper");
    let set: Vec<(&str, &str)> =
        rules.set.iter().map(|(rule, value)| (rule.as_str(), value.as_str())).collect();
    assert_eq!(set, [("heartbeat", "30ms"), ("pre_vote", "off"), ("read_mode", "local")]);
}

#[test]
fn short_forms() {
    let source = "\
version: 1
name: short-forms
system: { use: etcd, nodes: 3, data: memory }
workload: { kind: register, rate: max }
duration: 30s
faults:
  every: 3s
  mix:
    - kill
    - pause:
checks: linearizable
thresholds: { ops_ok: count>0 }
expect: { violates: linearizable }
";
    let suite = accept(source);
    assert_eq!(suite.system.rules, None);
    assert_eq!(suite.system.data, DataPlace::Memory);
    assert_eq!(suite.workload.rate, None);
    assert_eq!(suite.faults.expect("there are faults").mix.len(), 2);
    assert_eq!(suite.expect, Expect::Violates(vec!["linearizable".to_owned()]));
}

#[test]
fn the_examples_of_the_workloads_are_read() {
    for kind in workloads::registry() {
        let head = "version: 1\nname: example\nsystem: { use: raftkv }\nduration: 30s\n";
        let suite = accept(&format!("{head}{}", kind.example));
        assert_eq!(suite.workload.kind, kind.name);
    }
}

#[test]
fn thresholds_at_the_edge_of_the_possible_are_accepted() {
    // 1 s warm-up, 10 s, 5 s quiesce at 400/s, and a call of each of 10 clients beyond that.
    accept(&format!("{SHORT}thresholds: {{ ops_ok: count>=6410 }}\n"));
    let over = format!("{SHORT}thresholds: {{ ops_ok: count>=6411 }}\n");
    assert!(read("suite.yaml", over.as_bytes(), &[], &vocabulary()).is_err());
    accept(&PARTITION.replace("faults_installed: [count>=5]", "faults_installed: [count>=14]"));
    let over = PARTITION.replace("faults_installed: [count>=5]", "faults_installed: [count>14]");
    assert!(read("suite.yaml", over.as_bytes(), &[], &vocabulary()).is_err());
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_do_no_harm() {
    assert_eq!(accept(&PARTITION.replace('\n', "\r\n")), accept(PARTITION));
    assert_eq!(accept(&format!("\u{feff}{PARTITION}")), accept(PARTITION));
}
