//! A matrix with real processes: each cell is a run with a verdict of its own, and cells are compared.

use support::{Place, finish, raftcheck};

mod support;

/// Two of three nodes are killed, or none: the same clients either wait or do not.
const MATRIX: &str = "\
version: 1
name: majority
system: { use: raftkv, nodes: 3, data: memory }
workload: { kind: register, clients: 4, rate: 200/s, keys: 2, op-timeout: 500ms }
warm-up: 200ms
duration: 3s
quiesce: 5s
checks: [linearizable, lost-commits, election-safety]
matrix:
  - cell: killed
    faults: { every: 300ms, mix: [{ kill: { target: majority, for: 1500ms } }] }
    expect:
      stalls: { for: 1s }
      degrades: { measure: unavailability.max, at-least: 2x, control: whole }
      behaviour: [{ occurs: restarts }, { never: exits }]
  - cell: whole
    expect: { live: { within: 2s }, behaviour: { never: restarts } }
";

#[test]
fn every_cell_has_a_verdict_and_a_control_runs_first() {
    let place = Place::new();
    let done = place.run(MATRIX, &["--seed", "7", "--format", "json"]).exits(0);
    let report: serde_json::Value = serde_json::from_str(&done.stdout).expect("one JSON document");
    let runs = report["runs"].as_array().expect("runs");
    let suites: Vec<&str> = runs.iter().filter_map(|run| run["suite"].as_str()).collect();
    // In the order of the file, whatever the order in which they were made.
    assert_eq!(suites, ["majority/killed", "majority/whole"]);
    let verdict = |run: usize, check: &str| {
        let checks = runs[run]["checks"].as_array().expect("checks");
        let found = checks
            .iter()
            .find(|found| found["name"] == check)
            .unwrap_or_else(|| panic!("no {check}: {done}"));
        found["verdict"]["verdict"].as_str().map(str::to_owned)
    };
    for (run, check) in [(0, "stalls"), (0, "degrades"), (0, "behaviour"), (1, "live"), (1, "behaviour")] {
        assert_eq!(verdict(run, check).as_deref(), Some("holds"), "{check}");
    }
    // Judged again from its files, the comparison included.
    let killed = runs[0]["directory"].as_str().expect("a directory");
    finish(&mut raftcheck(&["check", killed])).exits(0).prints("times worse than");
}

#[test]
fn claims_that_do_not_come_true_are_misses() {
    let place = Place::new();
    let wrong = MATRIX
        .replace("stalls: { for: 1s }", "live: { within: 500ms }")
        .replace("expect: { live: { within: 2s }", "expect: { stalls: { for: 2s }");
    let done = place.run(&wrong, &["--seed", "7"]).exits(1);
    assert!(done.stdout.contains("violated: live"), "{done}");
    assert!(done.stdout.contains("violated: stalls"), "{done}");
}

#[test]
fn a_cell_can_be_chosen_and_a_misspelt_one_is_named() {
    let place = Place::new();
    finish(&mut place.command(MATRIX, &["--cell", "whol"])).exits(64).complains("did you mean `whole`?");
    let alone = "version: 1\nname: alone\nsystem: { use: raftkv }\nworkload: { kind: set }\nduration: 1s\n";
    finish(&mut place.command(alone, &["--cell", "whole"])).exits(64).complains("have no matrix");
    let done = place.run(MATRIX, &["--cell", "whole", "--seed", "9"]).exits(0);
    assert!(done.stdout.contains("majority/whole") && !done.stdout.contains("majority/killed"), "{done}");
}
