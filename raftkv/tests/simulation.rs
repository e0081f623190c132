//! Simulated clusters: with the honest rules nothing breaks, with each weakened rule something does.
//!
//! `cargo run --release -p raftkv --example simulate` plays as many seeds as wanted; here a bounded number. The first seed
//! is fixed, so a failure is the same everywhere; `SIM_FIRST_SEED` moves it.

use raftkv::raft::rules::Rules;
use raftkv::sim::{self, Demand};

fn first_seed() -> u64 {
    std::env::var("SIM_FIRST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

fn nothing_breaks(preset: &str, seeds: u64) {
    let mut rules = Rules::preset(preset).unwrap();
    // A preset without sessions does not promise that a command which its client sent again takes effect once.
    rules.set("dedup_sessions", "replicated").unwrap();
    let (mut elections, mut writes, mut reads, mut crashes) = (0, 0, 0, 0);
    for seed in (first_seed()..).take(seeds as usize) {
        let report = sim::run(seed, &rules, Demand::Progress);
        elections += report.elections;
        writes += report.writes;
        reads += report.reads;
        crashes += report.crashes;
        if let Some(finding) = report.finding {
            panic!(
                "seed {seed}: {finding}\n{}\nREPRODUCE WITH: cargo run -p raftkv --example simulate -- --seeds 1 --first {seed} \
                 --preset {preset} --rule dedup_sessions=replicated --progress",
                report.shape
            );
        }
    }
    println!(
        "{preset}: {seeds} seeds, {elections} elections, {writes} writes, {reads} reads, {crashes} crashes"
    );
    // A simulation in which nothing happens finds nothing.
    assert!(elections > seeds && writes > 10 * seeds && reads > 10 * seeds && crashes > seeds);
}

#[test]
fn the_honest_rules_hold_and_clusters_recover() {
    nothing_breaks("production", 400);
}

#[test]
fn the_protocol_of_the_paper_alone_is_safe() {
    nothing_breaks("paper", 150);
}

#[test]
fn what_etcd_does_is_safe() {
    nothing_breaks("etcd-like", 150);
}

#[test]
fn a_typical_course_solution_is_safe() {
    let rules = Rules::preset("naive-6824").unwrap();
    for seed in (first_seed()..).take(150) {
        let report = sim::run(seed, &rules, Demand::Safety);
        assert_eq!(report.finding, None, "seed {seed}");
    }
}

#[test]
fn weakened_rules_are_found() {
    // Those that take more than a moment are in the table of `--example simulate -- --table`.
    for unsafe_rule in sim::UNSAFE_RULES {
        if sim::NEEDS_MANY_SEEDS.contains(unsafe_rule) {
            continue;
        }
        let found = sim::hunt("paper", unsafe_rule, first_seed(), 3000);
        let (seeds, finding) = found.unwrap_or_else(|| panic!("{unsafe_rule} was not found in 3000 seeds"));
        println!("{unsafe_rule}: found after {seeds} seeds: {finding}");
    }
}

#[test]
fn a_seed_fixes_the_run() {
    let rules = Rules::default();
    for seed in 1..20 {
        let [first, second] = [(); 2].map(|()| sim::run(seed, &rules, Demand::Safety));
        let numbers = |r: &sim::Report| {
            (r.shape.clone(), r.steps, r.elections, r.writes, r.reads, r.crashes, r.transfers)
        };
        assert_eq!(numbers(&first), numbers(&second));
    }
}
