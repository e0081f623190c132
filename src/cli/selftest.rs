//! `raftcheck selftest`: the catalogue as a regression of raftcheck itself.
//!
//! Invariant: a cell is good only if every one of its runs had the expected verdict; inconclusive is a miss.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use super::ask::cells::{Runner, Tried};
use super::ask::of_group;
use crate::catalogue::results::CellResult;
use crate::catalogue::{Catalogue, Entry};
use crate::exit::Exit;
use crate::interrupt;
use crate::report::Style;

/// The arguments of `raftcheck selftest`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// How often each cell is run
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u64).range(1..=1000))]
    runs: u64,
    /// Only the questions of this group: a letter
    #[arg(long, value_name = "LETTER")]
    group: Option<String>,
    /// The seed of the first run; random if not given
    #[arg(long)]
    seed: Option<u64>,
    /// Where run directories go
    #[arg(long, value_name = "DIR", default_value = "raftcheck-runs")]
    out: PathBuf,
}

/// Runs everything and prints the table.
pub(super) fn main(args: &Args) -> Exit {
    let catalogue = match Catalogue::get() {
        Ok(catalogue) => catalogue,
        Err(problem) => {
            eprintln!("error: {problem}");
            return Exit::Harness;
        }
    };
    let entries = match &args.group {
        None => catalogue.entries().collect(),
        Some(group) => match of_group(catalogue, group) {
            Ok(entries) => entries,
            Err(message) => {
                eprintln!("error: {message}");
                return Exit::Usage;
            }
        },
    };
    if let Err(error) = interrupt::watch() {
        eprintln!("error: cannot watch for signals: {error}");
        return Exit::Harness;
    }
    let testable = entries.into_iter().filter(|entry| entry.runs().is_some());
    let (exit, table) = run(args, testable);
    print(&summary(&table));
    match (table.is_empty(), interrupt::interrupted()) {
        (_, true) => exit.worst(Exit::Interrupted),
        (true, false) => exit.worst(Exit::Vacuous),
        (false, false) => exit,
    }
}

fn print(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

fn run<'c>(args: &Args, entries: impl Iterator<Item = &'c Entry>) -> (Exit, Vec<(&'c str, CellResult)>) {
    let runner = Runner::new(&args.out, args.seed, args.runs);
    let mut table = Vec::new();
    let mut exit = Exit::AsExpected;
    for entry in entries {
        let Some(runs) = entry.runs().filter(|_| !interrupt::interrupted()) else { continue };
        let tried = runner.entry(entry, runs, &[], |watched| print(&row(&entry.id, watched.result)));
        if let Ok(Tried::Run(worst, cells)) = tried {
            exit = exit.worst(worst);
            table.extend(cells.into_iter().map(|cell| (entry.id.as_str(), cell)));
        }
    }
    (exit, table)
}

/// A line of the table: how often the expected verdict came, the mean time, the cell.
fn row(id: &str, cell: &CellResult) -> String {
    let style = Style::of(&io::stdout());
    let count = format!("{:>3}/{:<3}", cell.as_expected, cell.runs);
    let count = if cell.as_expected == cell.runs { style.good(&count) } else { style.bad(&count) };
    let name = if cell.cell.is_empty() { id.to_owned() } else { format!("{id}/{}", cell.cell) };
    let mut text = format!("{count}  {:>6.2} s  {name}  [{}]\n", cell.seconds_mean, cell.expected);
    if cell.as_expected < cell.runs {
        for (verdict, times) in &cell.verdicts {
            let _ = writeln!(text, "                    {times} x {verdict}");
        }
    }
    text
}

fn summary(table: &[(&str, CellResult)]) -> String {
    let good = table.iter().filter(|(_, cell)| cell.as_expected == cell.runs).count();
    let seconds: f64 = table.iter().map(|(_, cell)| cell.seconds_mean).sum();
    let flaky = table.iter().filter(|(_, cell)| cell.as_expected > 0 && cell.as_expected < cell.runs);
    let never = table.iter().filter(|(_, cell)| cell.as_expected == 0);
    let names = |cells: Vec<&(&str, CellResult)>| {
        let names = cells.iter().map(|(id, cell)| format!("{id}/{}", cell.cell));
        names.map(|name| name.trim_end_matches('/').to_owned()).collect::<Vec<_>>().join(", ")
    };
    let mut text =
        format!("\n{good} of {} cells always as expected; once through takes {seconds:.0} s\n", table.len());
    for (what, cells) in [("flaky", flaky.collect::<Vec<_>>()), ("never as expected", never.collect())] {
        if !cells.is_empty() {
            let _ = writeln!(text, "{what}: {}", names(cells));
        }
    }
    text
}
