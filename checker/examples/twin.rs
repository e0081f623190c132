//! Compares the checker with a twin that tries every order, on as many small random histories as you like.
//!
//! ```console
//! $ cargo run --release -p checker --example twin -- --rounds 1000000 --model fifo-queue --seed 7
//! ```
//!
//! Without `--model` all of them in turn. Ends with a panic and the history at the first disagreement.

use checker::linearizability::twin;

fn main() {
    let (mut rounds, mut seed, mut model) = (100_000, 1, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let told = words.next();
        let number = || told.as_deref().and_then(|text| text.parse::<u64>().ok());
        match (word.as_str(), number()) {
            ("--rounds", Some(number)) => rounds = number,
            ("--seed", Some(number)) => seed = number,
            ("--model", _) if told.is_some() => model = told,
            _ => {
                eprintln!("usage: twin [--rounds N] [--seed N] [--model NAME]");
                std::process::exit(64);
            }
        }
    }
    let chosen = |name: &str| model.as_deref().is_none_or(|model| model == name);
    for specification in twin::MODELS.into_iter().filter(|specification| chosen(specification.name())) {
        let report = twin::compare(specification, seed, rounds);
        println!(
            "{specification}: seed {seed}, {rounds} histories, no disagreement: {} hold ({} by the rule), {} violated \
             ({} by the rule, {} by the relaxation); {:.2} calls each, {:.1} % of them unknown; {:.2} calls of evidence",
            report.hold,
            report.rule_holds,
            report.violated,
            report.rule_violated,
            report.relaxed_violated,
            report.calls as f64 / rounds.max(1) as f64,
            report.unknown as f64 * 100.0 / report.calls.max(1) as f64,
            report.evidence as f64 / (2 * report.violated).max(1) as f64,
        );
    }
}
