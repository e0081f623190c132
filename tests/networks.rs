//! Runs over the kernel's bridge instead of the packet switch: the same verdicts, and what it cannot do is said.

mod support;

use std::sync::OnceLock;

use serde_json::Value;
use support::{Place, finish, json, json_lines, raftcheck, verdict};

/// A suite of three nodes with these settings of the system and this mix of faults.
fn suite(system: &str, mix: &str, rest: &str) -> String {
    format!(
        "version: 1\nname: short\nsystem: {{ use: raftkv, nodes: 3, data: memory{system} }}\n\
         workload: {{ kind: register, clients: 6, rate: 300/s, keys: 3, mix: {{ read: 5, write: 4, cas: 1 }}, op-timeout: 500ms }}\n\
         duration: 3s\nfaults:\n  every: 300ms..500ms\n  mix:\n{mix}quiesce: 8s\n{rest}"
    )
}

const CUTS: &str = "    - partition: { shape: [majority, isolate-leader, one-way], for: 200ms..500ms }\n    \
                    - partition: { shape: clients, target: leader, for: 200ms..300ms }\n";

const ALONE: &str = "    - partition: { shape: isolate-leader, for: 1s..1500ms }\n";

/// Whether this host has what the bridge needs; says so if not. A bridge that is there and does not work fails.
fn possible() -> bool {
    static TRIED: OnceLock<bool> = OnceLock::new();
    *TRIED.get_or_init(|| {
        let done = finish(&mut raftcheck(&["doctor", "--json"]));
        let findings: Vec<Value> =
            done.stdout.lines().map(|line| serde_json::from_str(line).expect("a finding")).collect();
        let bridge = findings.iter().find(|finding| {
            finding["what"].as_str().is_some_and(|what| what.starts_with("network of the kernel"))
        });
        let bridge = bridge.unwrap_or_else(|| panic!("doctor does not try the bridge\n{done}"));
        let why = bridge["detail"].as_str().expect("a detail");
        let works = bridge["works"] == true;
        assert!(works || why.contains("to fix it"), "{why}");
        if !works {
            println!("NOT TESTED: {why}");
        }
        works
    })
}

/// What the suite came to run on.
fn network(place: &Place) -> Value {
    json(&place.only_run().join("plan.json"))["suite"]["system"]["network"].clone()
}

#[test]
fn cuts_by_the_kernel_are_made_proved_and_healed() {
    if !possible() {
        return;
    }
    let place = Place::new();
    let rest = "checks: [linearizable, lost-commits, election-safety, log-matching]\n\
                thresholds: { faults_installed: [count>=3] }\nexpect: safe\n";
    let done = place.run(&suite("", CUTS, rest), &["--seed", "11", "--net", "kernel"]).exits(0);
    done.prints("PASS no violation found");
    assert_eq!(network(&place), "kernel");
    let plan = json(&place.only_run().join("plan.json"));
    assert!(plan["command"].as_str().is_some_and(|command| command.ends_with(" --net kernel")), "{plan:#}");
    let faults = json_lines(&place.only_run().join("faults.jsonl"));
    let dropped = |line: &&Value| {
        line["event"] == "undone"
            && line["effect"]["seen"].as_str().is_some_and(|seen| seen.contains("frames dropped"))
    };
    assert!(faults.iter().filter(dropped).count() >= 3, "{faults:#?}");
    assert!(
        faults.iter().all(|line| line["event"] != "indeterminate" && line["event"] != "stuck"),
        "{faults:#?}"
    );
}

#[test]
fn stale_reads_are_caught_over_the_kernels_bridge() {
    if !possible() {
        return;
    }
    let place = Place::new();
    let rest = "checks: [linearizable, election-safety]\nexpect: safe\n";
    let text = suite(", rules: { read_mode: local }, network: kernel", ALONE, rest);
    place.run(&text, &["--seed", "2"]).exits(1).prints("FAIL violated: linearizable");
    assert_eq!(network(&place), "kernel");
    let judged = json(&place.only_run().join("verdict.json"));
    assert_eq!(verdict(&judged, "linearizable"), "violated");
    assert_eq!(verdict(&judged, "election-safety"), "holds");
}

#[test]
fn a_suite_that_needs_bad_lines_is_not_run_over_the_kernels_bridge() {
    for (fault, word) in [
        ("    - network: { delay: 20ms, for: 1s }\n", "network"),
        ("    - flap: { for: 1s }\n", "flap"),
        ("    - connections: { how: reset, for: 1s }\n", "connections"),
    ] {
        let place = Place::new();
        let text = suite("", &(ALONE.to_owned() + fault), "checks: [linearizable]\nexpect: safe\n");
        let done = place.run(&text, &["--net", "kernel"]).exits(77);
        done.prints(&format!("the suite injects {word}, and the kernel's network only cuts links"));
        let run = place.only_run();
        assert!(!run.join("nodes").exists(), "no node was started for {fault}");
        assert!(!run.join("faults.jsonl").exists());
    }
}

#[test]
fn a_step_that_needs_a_bad_line_is_not_taken_over_the_kernels_bridge() {
    let place = Place::new();
    let text = "version: 1\nname: short\nsystem: { use: raftkv, nodes: 3, data: memory, network: kernel }\nsteps:\n  \
                - fault: { network: { target: n1, delay: 20ms } }\n    label: slow\n  - heal: slow\n\
                checks: [linearizable]\nexpect: safe\n";
    place.run(text, &[]).exits(77).prints("the suite injects network");
}

#[test]
fn the_switch_can_be_asked_for_where_a_suite_says_kernel() {
    let place = Place::new();
    let mix = "    - network: { delay: 5ms, for: 300ms }\n";
    let text = suite(", network: kernel", mix, "checks: [linearizable]\nexpect: safe\n");
    place.run(&text, &["--seed", "3", "--net", "switch"]).exits(0);
    assert_eq!(network(&place), "switch");
}

#[test]
fn an_unknown_network_is_an_error_with_its_place() {
    let place = Place::new();
    let text = suite(", network: kernal", ALONE, "checks: [linearizable]\nexpect: safe\n");
    let done = place.run(&text, &[]).exits(64);
    assert!(done.stderr.contains("kernal") && done.stderr.contains("kernel"), "{done}");
    let done =
        place.run(&suite("", ALONE, "checks: [linearizable]\nexpect: safe\n"), &["--net", "wire"]).exits(64);
    assert!(done.stderr.contains("wire") && done.stderr.contains("kernel"), "{done}");
}
