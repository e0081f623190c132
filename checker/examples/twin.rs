//! Compares the checker with a twin that tries every order, on as many small random histories as you like; or judges large
//! histories that hold because of how they are made.
//!
//! ```console
//! $ cargo run --release -p checker --example twin -- --rounds 1000000 --model fifo-queue --seed 7
//! $ cargo run --release -p checker --example twin -- --rounds 100000 --large
//! ```
//!
//! Without `--model` all of them take turns, a slice of the histories each, and a line says how far a model has come. The
//! seed of a slice is the given one plus its number, so `--rounds 100000 --seed N` does one slice again. Ends with a panic and
//! the history at the first disagreement.

use std::time::{Duration, Instant};

use checker::history::formats::Specification;
use checker::linearizability::twin::{self, Report};

/// Histories of a model before it is the next one's turn.
const SLICE: u64 = 100_000;

/// What one model has come to.
struct Progress {
    specification: Specification,
    total: Report,
    rounds: u64,
    took: Duration,
}

fn main() {
    let (mut rounds, mut seed, mut model) = (SLICE, 1, None);
    let mut compare: fn(Specification, u64, u64) -> Report = twin::compare;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--large" {
            compare = twin::compare_large;
            continue;
        }
        let told = words.next();
        let number = || told.as_deref().and_then(|text| text.parse::<u64>().ok());
        match (word.as_str(), number()) {
            ("--rounds", Some(number)) => rounds = number,
            ("--seed", Some(number)) => seed = number,
            ("--model", _) if told.as_deref().is_some_and(known) => model = told,
            _ => {
                eprintln!("usage: twin [--rounds N] [--seed N] [--model NAME] [--large]");
                std::process::exit(64);
            }
        }
    }
    let chosen = |specification: &Specification| model.as_deref().is_none_or(|m| m == specification.name());
    let start =
        |specification| Progress { specification, total: Report::default(), rounds: 0, took: Duration::ZERO };
    let mut all: Vec<Progress> = twin::MODELS.into_iter().filter(chosen).map(start).collect();
    for slice in 0..rounds.div_ceil(SLICE) {
        for progress in &mut all {
            let count = SLICE.min(rounds - slice * SLICE);
            let begun = Instant::now();
            progress.total = progress.total + compare(progress.specification, seed + slice, count);
            progress.took += begun.elapsed();
            progress.rounds += count;
            show(progress);
        }
    }
}

fn known(name: &str) -> bool {
    twin::MODELS.iter().any(|specification| specification.name() == name)
}

fn show(progress: &Progress) {
    let Progress { specification, total, rounds, took } = progress;
    println!(
        "{specification}: {rounds} histories, no disagreement, {:.0}/s: {} hold ({} by the rule), {} violated ({} by the rule, \
         {} by the relaxation), {} undecided; {:.2} calls each, {:.1} % of them unknown; {:.2} calls of evidence",
        *rounds as f64 / took.as_secs_f64().max(1e-9),
        total.hold,
        total.rule_holds,
        total.violated,
        total.rule_violated,
        total.relaxed_violated,
        total.undecided,
        total.calls as f64 / (*rounds).max(1) as f64,
        total.unknown as f64 * 100.0 / total.calls.max(1) as f64,
        total.evidence as f64 / (2 * total.violated).max(1) as f64,
    );
}
