//! Runs do not disturb each other: each has a network, a process table and files of its own.

mod support;

use support::{Live, Place, json};

const SUITE: &str = "version: 1\nname: side\nsystem: { use: raftkv, nodes: 3, data: memory }\n\
                     workload: { kind: register, clients: 6, rate: 200/s, keys: 3, op-timeout: 500ms, \
                     mix: { read: 5, write: 4, cas: 1 } }\nduration: 2s\nfaults:\n  every: 300ms..500ms\n  mix:\n    \
                     - partition: { shape: isolate-leader, for: 200ms..400ms }\n    \
                     - kill: { target: any, for: 200ms..300ms }\nquiesce: 8s\n\
                     checks: [linearizable, lost-commits, election-safety, log-matching]\nexpect: safe\n";

#[test]
fn two_programs_at_once_both_pass() {
    let (one, other) = (Place::new(), Place::new());
    let first = Live::start(&mut one.command(SUITE, &["--seed", "1"]));
    let mut second = Live::start(&mut other.command(SUITE, &["--seed", "1"]));
    // The same seed and the same addresses: only the namespaces keep them apart.
    second.wait_for_fault();
    for (live, place) in [(first, &one), (second, &other)] {
        let (done, _) = live.finish();
        done.exits(0);
        assert_eq!(json(&place.only_run().join("verdict.json"))["exit"], "as-expected");
    }
}

#[test]
fn runs_of_one_program_side_by_side_do_not_share_a_directory() {
    let place = Place::new();
    let done =
        support::finish(&mut place.command(SUITE, &["--runs", "2", "--jobs", "2", "--seed", "5"])).exits(0);
    done.prints("2 of 2 runs as expected");
    let seeds: Vec<_> =
        place.runs().iter().map(|run| json(&run.join("verdict.json"))["seed"].as_u64()).collect();
    assert_eq!(seeds.len(), 2);
    assert!(seeds.contains(&Some(5)) && seeds.contains(&Some(6)), "{seeds:?}");
}
