//! `raftcheck bench`: what raftcheck itself costs on this host. Figures, not assertions: a host is busy when it is busy.

mod checker;
mod greedy;
mod large;
mod mechanisms;
mod runs;

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::exit::Exit;

/// The arguments of `raftcheck bench`.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    part: Option<Part>,
    /// How often each figure is measured
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
    /// Measure what has to be measured inside a sandbox, once
    #[arg(long, hide = true)]
    inside: bool,
}

/// What is measured by itself.
#[derive(Clone, Debug, clap::Subcommand)]
enum Part {
    /// How long the judge takes for histories from easy to hard
    Checker(checker::Args),
}

/// One measured number.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sample {
    figure: String,
    value: f64,
}

/// One row of the table.
#[derive(Clone, Debug, Serialize)]
struct Row {
    figure: &'static str,
    unit: &'static str,
    /// What the project asks of itself.
    bar: &'static str,
    median: f64,
    min: f64,
    max: f64,
    samples: usize,
}

const SANDBOX: &str = "sandbox, 5 hosts and switch ready";
const CUT: &str = "cut of all links of 5 nodes in effect";
const SYNC: &str = "write and fdatasync on a disk that can fail";
const LEADER: &str = "first leader of 5 nodes after `run` started";
const CLOCK: &str = "a moved clock beside the kernel's, per reading";
const PATCH: &str = "clocks of its own for a starting program";
const RATE: &str = "operations recorded per second, 3 nodes";
const END: &str = "from the last operation to the verdict";
const INSIDE_MEMORY: &str = "memory of the recording process";
const OUTSIDE_MEMORY: &str = "memory of the judging process";

/// Figure, unit and bar, in the order of the table.
const FIGURES: [(&str, &str, &str); 10] = [
    (SANDBOX, "ms", "<= 50"),
    (LEADER, "ms", "<= 500"),
    (CUT, "us", "<= 1000"),
    (SYNC, "us", "<= 20"),
    (CLOCK, "ns", "<= 25"),
    (PATCH, "us", "<= 1000"),
    (RATE, "/s", ">= 10000"),
    (END, "s", "<= 2"),
    (INSIDE_MEMORY, "MiB", "<= 200"),
    (OUTSIDE_MEMORY, "MiB", "<= 200"),
];

/// Measures and prints the table.
pub(super) fn main(args: &Args) -> Exit {
    if let Some(Part::Checker(args)) = &args.part {
        return checker::main(args);
    }
    if args.inside {
        return mechanisms::inside();
    }
    let mut samples = Vec::new();
    for round in 1..=args.repeat {
        eprintln!("round {round} of {}", args.repeat);
        let measured = mechanisms::measure().and_then(|mut found| {
            found.extend(runs::measure()?);
            Ok(found)
        });
        match measured {
            Ok(found) => samples.extend(found),
            Err(error) => {
                eprintln!("error: {error}");
                return Exit::Harness;
            }
        }
    }
    print(&rows(&samples), args.json);
    Exit::AsExpected
}

fn rows(samples: &[Sample]) -> Vec<Row> {
    let row = |&(figure, unit, bar): &(&'static str, &'static str, &'static str)| {
        let mut values: Vec<f64> =
            samples.iter().filter(|sample| sample.figure == figure).map(|sample| sample.value).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Row { figure, unit, bar, median: values[values.len() / 2], min, max, samples: values.len() })
    };
    FIGURES.iter().filter_map(row).collect()
}

fn print(rows: &[Row], json: bool) {
    let mut out = io::stdout().lock();
    if json {
        for row in rows {
            let _ = writeln!(out, "{}", serde_json::to_string(row).unwrap_or_default());
        }
        return;
    }
    let width = rows.iter().map(|row| row.figure.len()).max().unwrap_or(0);
    let _ = writeln!(
        out,
        "{:width$}  {:>10}  {:>10}  {:>10}  {:4}  bar       samples",
        "", "median", "min", "max", ""
    );
    for row in rows {
        let _ = writeln!(
            out,
            "{:width$}  {:>10}  {:>10}  {:>10}  {:4}  {:8}  {}",
            row.figure,
            number(row.median),
            number(row.min),
            number(row.max),
            row.unit,
            row.bar,
            row.samples
        );
    }
}

/// Three figures are enough for a noisy machine.
fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.1}"),
        value => format!("{value:.3}"),
    }
}
