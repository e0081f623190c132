//! Plays simulated clusters for as long as wanted.
//!
//! `cargo run --release -p raftkv --example simulate -- --seeds 100000 [--first 1] [--rule pre_vote=off]... [--preset paper]`
//! stops at the first finding; `--table` looks for each unsafe rule value and prints how many seeds that
//! took.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use raftkv::raft::rules::Rules;
use raftkv::sim::{self, Demand};

/// Plays simulated Raft clusters and checks every invariant after every step.
#[derive(Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Change a rule: name=value.
    #[arg(long = "rule", value_name = "NAME=VALUE")]
    rules: Vec<String>,
    /// Start from a named combination of rules.
    #[arg(long, default_value = "production")]
    preset: String,
    /// Also demand that the healed cluster works again.
    #[arg(long)]
    progress: bool,
    /// Look for every unsafe rule value instead.
    #[arg(long)]
    table: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.table {
        return table(&arguments);
    }
    match rules(&arguments) {
        Ok(rules) => play(&arguments, &rules),
        Err(error) => {
            eprintln!("simulate: {error}");
            ExitCode::from(64)
        }
    }
}

fn rules(arguments: &Arguments) -> Result<Rules, String> {
    let mut rules = Rules::preset(&arguments.preset).map_err(|error| error.to_string())?;
    for rule in &arguments.rules {
        let (name, value) = rule.split_once('=').ok_or(format!("`{rule}`: expected NAME=VALUE"))?;
        rules.set(name, value).map_err(|error| error.to_string())?;
    }
    Ok(rules)
}

fn play(arguments: &Arguments, rules: &Rules) -> ExitCode {
    let started = Instant::now();
    let demand = if arguments.progress { Demand::Progress } else { Demand::Safety };
    let (mut steps, mut elections, mut transfers, mut writes, mut reads) = (0, 0, 0, 0, 0);
    let (mut crashes, mut cuts, mut changes) = (0, 0, 0);
    for (played, seed) in (arguments.first..).take(arguments.seeds as usize).enumerate() {
        let report = sim::run(seed, rules, demand);
        steps += report.steps;
        elections += report.elections;
        transfers += report.transfers;
        writes += report.writes;
        reads += report.reads;
        crashes += report.crashes;
        cuts += report.cuts;
        changes += report.changes;
        if let Some(finding) = report.finding {
            println!("seed {seed} (the {}. played): {finding}", played + 1);
            println!("  {}", report.shape);
            let rules: Vec<String> = arguments.rules.iter().map(|rule| format!(" --rule {rule}")).collect();
            let progress = if arguments.progress { " --progress" } else { "" };
            println!(
                "REPRODUCE WITH: cargo run -p raftkv --example simulate -- --seeds 1 --first {seed} --preset {}{}{progress}",
                arguments.preset,
                rules.concat()
            );
            return ExitCode::FAILURE;
        }
    }
    println!(
        "no violation found in {} seeds: {steps} steps, {elections} elections, {transfers} handovers, {writes} \
         acknowledged writes, {reads} reads, {crashes} crashes, {cuts} partitions and cuts, {changes} changes of the \
         members, in {:.1} s",
        arguments.seeds,
        started.elapsed().as_secs_f64()
    );
    ExitCode::SUCCESS
}

/// Every value that must be found, and what else has to be switched so that it can be.
fn table(arguments: &Arguments) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    println!("| rule | seeds from `production` | what broke | seeds from `paper` | what broke |");
    println!("|---|---|---|---|---|");
    for unsafe_rule in sim::UNSAFE_RULES {
        let hunt = |preset| match sim::hunt(preset, unsafe_rule, arguments.first, arguments.seeds) {
            Some((seeds, finding)) => (true, format!("{seeds} | {:?}", finding.invariant)),
            None => (false, format!("none in {} | ", arguments.seeds)),
        };
        let (production, paper) = (hunt("production"), hunt("paper"));
        println!("| `{unsafe_rule}` | {} | {} |", production.1, paper.1);
        if !production.0 && !paper.0 {
            code = ExitCode::FAILURE;
        }
    }
    code
}
