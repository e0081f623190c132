//! Whole runs of the built program on real processes: what it finds, what it prints, what it leaves.
//!
//! Every suite is short and written here. No test asserts how fast something is.

mod support;

use support::{Place, finish, json, json_lines, raftcheck, verdict};

/// A suite with these faults, checks and last lines.
fn suite(system: &str, workload: &str, faults: &str, rest: &str) -> String {
    format!(
        "version: 1\nname: short\nsystem: {{ use: raftkv, nodes: 3, data: memory{system} }}\n\
         workload: {{ {workload}, clients: 6, op-timeout: 500ms }}\n{faults}quiesce: 8s\n{rest}"
    )
}

const REGISTER: &str = "kind: register, rate: 300/s, keys: 3, mix: { read: 5, write: 4, cas: 1 }";

const ALL_CHECKS: &str = "checks: [linearizable, lost-commits, election-safety, vote-once, log-matching, \
                          leader-completeness, state-machine-safety, commit-monotonic]\n";

/// The faults of a suite: this long, these in the mix.
fn faults(duration: &str, every: &str, mix: &[&str]) -> String {
    let entries: String = mix.iter().map(|entry| format!("    - {entry}\n")).collect();
    format!("duration: {duration}\nfaults:\n  every: {every}\n  mix:\n{entries}")
}

fn isolation() -> String {
    faults("3s", "300ms..500ms", &["partition: { shape: isolate-leader, for: 1s..1500ms }"])
}

#[test]
fn an_honest_cluster_passes_a_mix_of_faults_and_leaves_everything_that_judging_needs() {
    let place = Place::new();
    let mix = [
        "partition: { shape: [majority, isolate-leader, one-way, bridge], for: 200ms..500ms }",
        "kill: { target: any, for: 200ms..400ms }",
        "stop: { target: follower, for: 200ms..400ms }",
        "pause: { target: leader, for: 200ms..400ms }",
    ];
    let rest = format!("{ALL_CHECKS}thresholds: {{ faults_installed: [count>=3] }}\nexpect: safe\n");
    let text = suite("", REGISTER, &faults("4s", "250ms..400ms", &mix), &rest);
    let junit = place.path().join("junit.xml");
    let done = place.run(&text, &["--seed", "11", "--junit", junit.to_str().expect("UTF-8")]).exits(0);
    let done = done.prints("PASS no violation found");
    let run = place.only_run();
    done.prints(&run.display().to_string());

    let names = ["suite.yaml", "env.json", "harness.log", "nodes/n1/stderr.log", "nodes/n1/stdout.log"];
    for name in names {
        assert!(run.join(name).is_file(), "{name} is missing");
    }
    assert_eq!(std::fs::read_to_string(run.join("suite.yaml")).expect("suite"), text);
    let latest = run.parent().expect("parent").join("latest");
    assert_eq!(latest.canonicalize().expect("latest"), run.canonicalize().expect("run"));
    for name in ["n1", "n2", "n3"] {
        assert!(!json_lines(&run.join("nodes").join(name).join("trace.jsonl")).is_empty(), "{name}");
    }
    let judged = json(&run.join("verdict.json"));
    for check in judged["checks"].as_array().expect("checks") {
        let name = check["name"].as_str().expect("name");
        assert_eq!(verdict(&judged, name), "holds", "{check:#}");
    }
    let history = json_lines(&run.join("history.jsonl"));
    assert_eq!(history[0]["format"], "raftcheck-history");
    let acknowledged = history.iter().filter(|event| event["type"] == "ok").count() as u64;
    assert_eq!(judged["calls"]["ok"].as_u64(), Some(acknowledged));
    assert!(acknowledged > 300, "{acknowledged} acknowledged calls show little");

    assert_eq!(json(&run.join("run.json"))["end"], "complete");
    every_fault_was_undone(&run);
    junit_tells(&junit, 1, 0, 0);
    checks_the_same(&run, 0);
}

/// Each fault in force was undone, and the ledger closes what it opened.
fn every_fault_was_undone(run: &std::path::Path) {
    let lines = json_lines(&run.join("faults.jsonl"));
    let ids = |event: &str| {
        let of_event = lines.iter().filter(|line| line["event"] == event);
        of_event.map(|line| line["id"].as_u64().expect("id")).collect::<std::collections::BTreeSet<_>>()
    };
    assert!(!ids("installed").is_empty(), "{lines:#?}");
    assert!(ids("installed").is_subset(&ids("undone")), "{lines:#?}");
    let ledger = json_lines(&run.join("ledger.jsonl"));
    let begun = ledger.iter().filter(|line| line.get("begin").is_some()).count();
    let ended = ledger.iter().filter(|line| line.get("end").is_some()).count();
    assert_eq!(begun, ended, "{ledger:#?}");
}

/// The report is well-formed and counts these cases.
fn junit_tells(path: &std::path::Path, tests: usize, failures: usize, errors: usize) {
    let xml = std::fs::read_to_string(path).expect("JUnit report");
    let report = quick_junit::Report::deserialize_from_str(&xml).unwrap_or_else(|e| panic!("{e}\n{xml}"));
    assert_eq!((report.tests, report.failures, report.errors), (tests, failures, errors), "{xml}");
}

/// `raftcheck check` comes to the same verdicts and the same exit code.
fn checks_the_same(run: &std::path::Path, code: i32) {
    let without_times = |mut judged: serde_json::Value| {
        for check in judged["checks"].as_array_mut().expect("checks") {
            check["took_ms"].take();
        }
        judged
    };
    let before = without_times(json(&run.join("verdict.json")));
    let page = run.join("again.html");
    finish(raftcheck(&["check", "--html"]).arg(&page).arg(run)).exits(code);
    assert_eq!(before, without_times(json(&run.join("verdict.json"))));
    let read = |path: &std::path::Path| std::fs::read_to_string(path).expect("a page");
    let page = read(&page);
    assert!(page == read(&run.join("report.html")), "the page of {} is another one now", run.display());
    let faults = (!json_lines(&run.join("faults.jsonl")).is_empty()).then_some("Faults");
    for part in ["Repeat it with", "Over time", "Versions and host", "id=\"data\""].into_iter().chain(faults)
    {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn stale_reads_are_found_and_are_a_pass_where_they_are_expected() {
    let place = Place::new();
    let rest = "checks: [linearizable, election-safety]\nexpect: { violates: [linearizable] }\n";
    let text = suite(", rules: { read_mode: local }", REGISTER, &isolation(), rest);
    place.run(&text, &["--seed", "1"]).exits(0).prints("PASS found the expected violation of linearizable");
    checks_the_same(&place.only_run(), 0);
}

#[test]
fn stale_reads_fail_a_suite_that_expects_safety_with_the_evidence() {
    let place = Place::new();
    let rest = "checks: [linearizable, election-safety]\nexpect: safe\n";
    let text = suite(", rules: { read_mode: local }", REGISTER, &isolation(), rest);
    let junit = place.path().join("junit.xml");
    let done = place
        .run(&text, &["--seed", "2", "--junit", junit.to_str().expect("UTF-8")])
        .exits(1)
        .prints("FAIL violated: linearizable")
        .prints("REPRODUCE WITH: raftcheck run ")
        .prints("--seed 2")
        .prints("report.html");
    let run = place.only_run();
    let judged = json(&run.join("verdict.json"));
    assert_eq!(verdict(&judged, "linearizable"), "violated");
    assert_eq!(verdict(&judged, "election-safety"), "holds");
    assert!(judged["first_violation"].as_u64().is_some_and(|at| at > 0), "{judged:#}");
    // A few operations, not a dump of the history.
    let shown = done.stdout.lines().skip_while(|line| !line.contains("!! linearizable")).skip(1);
    let evidence = shown.take_while(|line| line.starts_with("     ")).count();
    assert!((2..=30).contains(&evidence), "{evidence} lines of evidence\n{}", done.stdout);
    junit_tells(&junit, 1, 1, 0);
    checks_the_same(&run, 1);
}

#[test]
fn an_expected_violation_that_does_not_appear_is_a_failure() {
    let place = Place::new();
    let rest = "checks: [linearizable]\nexpect: { violates: [linearizable] }\n";
    let text = suite(", rules: { read_mode: local }", REGISTER, &isolation(), rest);
    // The rule that the suite switches off is switched on again: what --set is for.
    let done = place.run(&text, &["--seed", "3", "--set", "read_mode=read_index"]).exits(1);
    let done = done.prints("FAIL did not reproduce: no violation of linearizable");
    done.prints("--set read_mode=read_index");
    checks_the_same(&place.only_run(), 1);
}

#[test]
fn json_is_one_document_and_json_lines_are_one_per_event() {
    let rest = "checks: [linearizable]\nexpect: safe\n";
    let text = suite("", REGISTER, "duration: 1s\n", rest);
    let place = Place::new();
    let done = place.run(&text, &["--format", "json", "--runs", "2", "--seed", "40"]).exits(0);
    let document: serde_json::Value = serde_json::from_str(&done.stdout).expect("one document");
    let runs = document["runs"].as_array().expect("runs");
    let seeds: Vec<_> = runs.iter().map(|run| run["seed"].as_u64()).collect();
    assert_eq!(seeds, [Some(40), Some(41)]);
    assert!(runs.iter().all(|run| run["exit"] == "as-expected"), "{document:#}");
    assert_eq!(place.runs().len(), 2);

    let place = Place::new();
    let done = place.run(&text, &["--format", "jsonl"]).exits(0);
    let parse =
        |line| serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    let events: Vec<_> = done.stdout.lines().map(parse).collect();
    let phases: Vec<_> =
        events.iter().filter(|e| e["event"] == "phase").filter_map(|e| e["phase"].as_str()).collect();
    let order =
        ["starting", "warm-up", "faults", "healing", "recovery", "settling", "final-reads", "stopping"];
    assert_eq!(phases, order);
    assert!(events.iter().all(|event| event["suite"] == "short"), "{events:#?}");
    assert_eq!(events.last().expect("events")["event"], "judged");
}

#[test]
fn too_few_calls_are_no_pass() {
    let place = Place::new();
    // With the quiet time at the end 3000 calls would be possible on paper; a healthy run never uses it up.
    let rest = "checks: [linearizable]\nthresholds: { ops_ok: [count>=2500] }\nexpect: safe\n";
    let done = place.run(&suite("", REGISTER, "duration: 1s\n", rest), &[]).exits(4);
    done.prints("VACUOUS too little happened to say anything: ops_ok count>=2500 but was ");
    checks_the_same(&place.only_run(), 4);
}

#[test]
fn a_suite_whose_clients_are_cut_off_says_that_too_little_happened() {
    let place = Place::new();
    let cuts =
        ["n1", "n2", "n3"].map(|node| format!("partition: {{ shape: clients, target: {node}, for: 2s }}"));
    let mix: Vec<&str> = cuts.iter().map(String::as_str).collect();
    let rest = "checks: [linearizable]\nthresholds: { ops_ok: [count>=1100] }\nexpect: safe\n";
    let text = suite("", REGISTER, &faults("3s", "50ms..60ms", &mix), rest);
    place.run(&text, &["--seed", "5"]).exits(4).prints("VACUOUS");
    every_fault_was_undone(&place.only_run());
}

#[test]
fn a_missed_bound_on_unavailability_has_an_exit_code_of_its_own() {
    let place = Place::new();
    let rest = "checks: [linearizable]\nthresholds: { unavailability: [max<1ms] }\nexpect: safe\n";
    let done = place.run(&suite("", REGISTER, "duration: 1s\n", rest), &[]).exits(99);
    done.prints("THRESHOLD no violation found, but unavailability max<1ms but was ");
    checks_the_same(&place.only_run(), 99);
}

#[test]
fn edits_of_stopped_nodes_are_really_made() {
    let place = Place::new();
    let mix = [
        "truncate-log: { target: follower, entries: 2, for: 100ms..200ms }",
        "lose-vote: { target: follower, for: 100ms..200ms }",
    ];
    // No Raft is safe against a disk that forgets what it acknowledged, so nothing is asked about safety here.
    let rest = "checks: [commit-monotonic]\nexpect: { violates: [commit-monotonic] }\n";
    let done = place.run(&suite("", REGISTER, &faults("3s", "300ms..400ms", &mix), rest), &["--seed", "6"]);
    assert!([0, 1].contains(&done.code()), "{done}");
    let run = place.only_run();
    let lines = json_lines(&run.join("faults.jsonl"));
    let proof = |fault: &str| {
        let installed = lines.iter().find(|line| line["fault"] == fault && line["event"] == "installed");
        let installed = installed.unwrap_or_else(|| panic!("no {fault} was installed: {lines:#?}"));
        installed["proof"].as_str().expect("proof").to_owned()
    };
    let truncated = proof("truncate-log");
    assert!(truncated.contains("removed entries"), "{truncated}");
    let forgotten = proof("lose-vote");
    assert!(forgotten.contains("vote"), "{forgotten}");
    every_fault_was_undone(&run);
}

#[test]
fn sets_and_lists_survive_kills() {
    for workload in ["kind: set, rate: 200/s", "kind: append, rate: 200/s"] {
        let place = Place::new();
        let mix = ["kill: { target: leader, for: 200ms..400ms }"];
        let rest = "checks: [linearizable, lost-commits]\nexpect: safe\n";
        let text = suite("", workload, &faults("2s", "400ms..600ms", &mix), rest);
        place.run(&text, &["--seed", "7"]).exits(0).prints("PASS no violation found");
        let judged = json(&place.only_run().join("verdict.json"));
        assert_eq!(verdict(&judged, "lost-commits"), "holds", "{workload}");
    }
}

#[test]
fn a_seed_fixes_the_plan() {
    let mix = [
        "partition: { shape: [majority, one-way, isolate], for: 100ms..200ms }",
        "pause: { target: any, for: 50ms..90ms }",
    ];
    let rest = "checks: [linearizable]\nexpect: safe\n";
    let text = suite("", REGISTER, &faults("1s", "100ms..200ms", &mix), rest);
    let plan = |seed: &str| {
        let place = Place::new();
        place.run(&text, &["--seed", seed]).exits(0);
        let plan = json(&place.only_run().join("plan.json"));
        (plan["faults"].clone(), plan["streams"].clone())
    };
    let first = plan("8");
    assert_eq!(first, plan("8"));
    assert_ne!(first, plan("9"));
}

#[test]
fn etcd_passes_too_where_it_is_installed() {
    let place = Place::new();
    let mix = ["partition: { shape: isolate-leader, for: 500ms..1s }"];
    let text = format!(
        "version: 1\nname: other\nsystem: {{ use: etcd, nodes: 3, data: memory }}\n\
         workload: {{ kind: register, clients: 6, rate: 100/s, keys: 3, mix: {{ read: 5, write: 4, cas: 1 }}, \
         op-timeout: 1s }}\n{}quiesce: 10s\nchecks: [linearizable, lost-commits]\nexpect: safe\n",
        faults("3s", "500ms..1s", &mix)
    );
    let done = place.run(&text, &["--seed", "10"]);
    if done.code() == 77 {
        eprintln!("SKIPPED: {}", done.stderr);
        return;
    }
    done.exits(0).prints("3 nodes of etcd").prints("PASS no violation found");
    every_fault_was_undone(&place.only_run());
}

#[test]
fn a_cluster_that_never_acknowledges_a_call_cannot_be_tested() {
    // No slot is taken: nodes that never hold an election do nothing.
    let place = Place::new();
    let rest = "checks: [linearizable]\nexpect: safe\n";
    let text = suite(", rules: { election_timer: manual }", REGISTER, "duration: 1s\n", rest);
    let done = support::finish(&mut place.command(&text, &[])).exits(70);
    done.prints("HARNESS FAILURE no verdict: the cluster did not acknowledge enough calls before any fault");
    checks_the_same(&place.only_run(), 70);
}
