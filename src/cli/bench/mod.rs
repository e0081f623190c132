//! `raftcheck bench`: what raftcheck itself costs on this host. Figures, not assertions: a host is busy when it is busy.

mod checker;
mod greedy;
mod large;
mod mechanisms;
mod network;
mod recorded;
mod runs;
mod victim;
mod writes;

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use Bar::{AtLeast, AtMost};

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
    /// Be the program whose clock is changed
    #[arg(long, hide = true)]
    victim: bool,
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
    /// What the project asks of itself; empty for a figure that others are compared with.
    bar: String,
    /// Whether the median is within it.
    met: Option<bool>,
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

const ADDED: &str = "round trip through the switch, beyond the kernel's bridge";
const KERNEL_TRIP: &str = "round trip over the kernel's bridge";
const STREAM: &str = "one TCP stream through the switch";
const KERNEL_STREAM: &str = "one TCP stream over the kernel's bridge";
const WRITE: &str = "a write to 3 nodes through the switch, p50";
const WRITE_RATIO: &str = "... above that over the kernel's bridge";
const SEEN_CUT: &str = "from asking for a cut to the last datagram at its victim";
const SEEN_KERNEL_CUT: &str = "... over the kernel's bridge";
const SEEN_CLOCK: &str = "from asking for a clock change until its victim sees it";

/// What the project asks of itself, in the unit of the figure.
#[derive(Clone, Copy, Debug)]
enum Bar {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// Nothing: others are compared with it.
    None,
}

/// Figure, unit and bar, in the order of the table.
const FIGURES: [(&str, &str, Bar); 19] = [
    (SANDBOX, "ms", AtMost(50.0)),
    (LEADER, "ms", AtMost(500.0)),
    (KERNEL_TRIP, "us", Bar::None),
    (ADDED, "us", AtMost(15.0)),
    (KERNEL_STREAM, "Gb/s", Bar::None),
    (STREAM, "Gb/s", AtLeast(4.0)),
    (WRITE, "us", Bar::None),
    (WRITE_RATIO, "%", AtMost(10.0)),
    (CUT, "us", AtMost(1000.0)),
    (SEEN_CUT, "us", AtMost(1000.0)),
    (SEEN_KERNEL_CUT, "us", AtMost(1000.0)),
    (SEEN_CLOCK, "us", AtMost(1000.0)),
    (SYNC, "us", AtMost(20.0)),
    (CLOCK, "ns", AtMost(25.0)),
    (PATCH, "us", AtMost(1000.0)),
    (RATE, "/s", AtLeast(10_000.0)),
    (END, "s", AtMost(2.0)),
    (INSIDE_MEMORY, "MiB", AtMost(200.0)),
    (OUTSIDE_MEMORY, "MiB", AtMost(200.0)),
];

impl Bar {
    fn words(self) -> String {
        match self {
            AtMost(bound) => format!("<= {bound}"),
            AtLeast(bound) => format!(">= {bound}"),
            Bar::None => String::new(),
        }
    }

    fn met(self, value: f64) -> Option<bool> {
        match self {
            AtMost(bound) => Some(value <= bound),
            AtLeast(bound) => Some(value >= bound),
            Bar::None => None,
        }
    }
}

/// Measures and prints the table.
pub(super) fn main(args: &Args) -> Exit {
    if let Some(Part::Checker(args)) = &args.part {
        return checker::main(args);
    }
    if args.inside {
        return mechanisms::inside();
    }
    if args.victim {
        return victim::main();
    }
    let mut samples = Vec::new();
    for round in 1..=args.repeat {
        eprintln!("round {round} of {}", args.repeat);
        let measured = mechanisms::measure().and_then(|mut found| {
            found.extend(runs::measure()?);
            found.extend(writes::measure()?);
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
    let row = |&(figure, unit, bar): &(&'static str, &'static str, Bar)| {
        let mut values: Vec<f64> =
            samples.iter().filter(|sample| sample.figure == figure).map(|sample| sample.value).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let median = values[values.len() / 2];
        let (bar, met) = (bar.words(), bar.met(median));
        Some(Row { figure, unit, bar, met, median, min, max, samples: values.len() })
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
        "{:width$}  {:>10}  {:>10}  {:>10}  {:4}  {:8}  {:6}  samples",
        "", "median", "min", "max", "", "bar", "median"
    );
    for row in rows {
        let _ = writeln!(
            out,
            "{:width$}  {:>10}  {:>10}  {:>10}  {:4}  {:8}  {:6}  {}",
            row.figure,
            number(row.median),
            number(row.min),
            number(row.max),
            row.unit,
            row.bar,
            match row.met {
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "",
            },
            row.samples
        );
    }
}

/// Three figures are enough for a noisy machine.
fn number(value: f64) -> String {
    match value {
        value if value.abs() >= 100.0 => format!("{value:.0}"),
        value if value.abs() >= 1.0 => format!("{value:.1}"),
        value => format!("{value:.3}"),
    }
}
