//! `raftcheck bench checker`: how long the judge takes for histories from easy to hard, and how much memory.
//!
//! Every case is generated from a fixed seed, so that the table means the same on every host, and is judged in a process
//! of its own, so that its memory is its own. The check time is that of the judgement alone, without reading a file. Beside
//! it stands the textbook search ([`greedy`](super::greedy)), once, with ten seconds and 1 GiB.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ::checker::generate::{BARS, Bar};
use ::checker::history::History;
use ::checker::linearizability::{FailedCas, check};
use ::checker::verdict::{Budget, Verdict};
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

use super::{greedy, large, recorded};
use crate::exit::Exit;
use crate::session;

/// The arguments of `raftcheck bench checker`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// How often each case is judged
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
    /// Measure large histories instead, from their files; that takes minutes and up to 2 GB of the directory for
    /// temporary files
    #[arg(long)]
    large: bool,
    /// Measure these histories instead, without their reading
    #[arg(value_name = "FILE", conflicts_with = "large")]
    files: Vec<PathBuf>,
    /// Judge this case, by number, in this process
    #[arg(long, hide = true)]
    case: Option<usize>,
}

/// Most time and memory that one judgement may take.
pub(super) const TIME: Duration = Duration::from_secs(60);
pub(super) const MEMORY_BYTES: usize = 2 << 30;
/// ... and the textbook search.
pub(super) const GREEDY_TIME: Duration = Duration::from_secs(10);
pub(super) const GREEDY_MEMORY_BYTES: usize = 1 << 30;

/// What the process of one case found.
#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    case: String,
    verdict: String,
    median_ms: f64,
    min_ms: f64,
    max_ms: f64,
    memory_mib: f64,
    bar_ms: Option<f64>,
    met: Option<bool>,
    /// `None` where the textbook search gave up.
    greedy_ms: Option<f64>,
}

/// Measures and prints the table.
pub(super) fn main(args: &Args) -> Exit {
    if let Some(case) = args.case {
        return match BARS.get(case) {
            Some(case) => {
                println!("{}", serde_json::to_string(&measure(case, args.repeat)).unwrap_or_default());
                Exit::AsExpected
            }
            None => Exit::Usage,
        };
    }
    if !args.files.is_empty() {
        return recorded::main(&args.files, args.repeat, args.json);
    }
    if args.large {
        return large::main(args.repeat, args.json);
    }
    if !args.json {
        print(&format!(
            "{:58} {:>10} {:>10} {:>10} {:>6}  {:>9} {:6}  {:>11}  verdict\n",
            "check time in ms", "median", "min", "max", "MiB", "bar", "", "textbook"
        ));
    }
    for (number, case) in BARS.iter().enumerate() {
        match in_a_process(number, args.repeat) {
            Ok(found) if args.json => {
                print(&format!("{}\n", serde_json::to_string(&found).unwrap_or_default()))
            }
            Ok(found) => print(&row(&found)),
            Err(error) => {
                eprintln!("error: {}: {error}", case.name);
                return Exit::Harness;
            }
        }
    }
    Exit::AsExpected
}

fn in_a_process(case: usize, repeat: u32) -> Result<Measured, String> {
    let executable = session::executable().map_err(|error| error.to_string())?;
    let output = Command::new(executable)
        .args(["bench", "checker", "--case", &case.to_string(), "--repeat", &repeat.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout).map_err(|_| format!("no figure came back ({})", output.status))
}

fn measure(case: &Bar, repeat: u32) -> Measured {
    let history = case.history();
    let mut times = Vec::new();
    let mut verdict = String::new();
    for _ in 0..repeat {
        let begun = Instant::now();
        let expired = || begun.elapsed() > TIME;
        let budget = Budget { expired: &expired, memory_bytes: MEMORY_BYTES };
        verdict = match check(&history, FailedCas::Observe, &budget) {
            Verdict::Holds(_) => "holds".to_owned(),
            Verdict::Violated(found) => format!("violated, {} operations", found.evidence.len()),
            Verdict::Inconclusive(_) => "inconclusive".to_owned(),
        };
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        // A case of many seconds is not worth the waiting.
        if times.iter().sum::<f64>() > 60e3 {
            break;
        }
    }
    times.sort_by(f64::total_cmp);
    let memory_mib = getrusage(UsageWho::RUSAGE_SELF).map_or(0.0, |usage| usage.max_rss() as f64 / 1024.0);
    let median_ms = times[times.len() / 2];
    let bar_ms = case.most_ms.is_finite().then_some(case.most_ms);
    Measured {
        case: case.name.to_owned(),
        met: bar_ms.map(|bar| median_ms <= bar && verdict != "inconclusive"),
        verdict,
        median_ms,
        min_ms: times[0],
        max_ms: times[times.len() - 1],
        memory_mib,
        bar_ms,
        greedy_ms: textbook(&history),
    }
}

fn textbook(history: &History) -> Option<f64> {
    greedy::of_keys(history.operations().ok()?.into_iter(), GREEDY_TIME, GREEDY_MEMORY_BYTES)
}

fn row(found: &Measured) -> String {
    let number = super::number;
    let bar = found.bar_ms.map_or("-".to_owned(), |bar| format!("<= {}", number(bar)));
    let met = match found.met {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "",
    };
    let greedy = found.greedy_ms.map_or("gave up".to_owned(), number);
    format!(
        "{:58} {:>10} {:>10} {:>10} {:>6}  {bar:>9} {met:6}  {greedy:>11}  {}\n",
        found.case,
        number(found.median_ms),
        number(found.min_ms),
        number(found.max_ms),
        number(found.memory_mib),
        found.verdict,
    )
}

/// A reader that has gone away is no failure.
pub(super) fn print(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}
