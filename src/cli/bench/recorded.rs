//! `raftcheck bench checker FILE...`: how long the judge takes for histories that somebody recorded.
//!
//! The time is that of the judgement alone, without reading the file; formats and models are found in the files, as
//! `raftcheck check` finds them. Beside it stands the textbook search ([`greedy`]) where it knows the model. The last row is
//! the sum. Invariant: a file that cannot be measured is an error, so the sum is always of all that were named.

use std::path::{Path, PathBuf};
use std::time::Instant;

use checker::history::formats::{self, CasFailure, Specification};
use checker::linearizability::{FailedCas, check_recording};
use checker::verdict::{Budget, Verdict};
use serde::Serialize;

use super::checker::{GREEDY_MEMORY_BYTES, GREEDY_TIME, MEMORY_BYTES, TIME, print};
use super::{greedy, number};
use crate::cli::check;
use crate::exit::Exit;

/// What one file, or all of them, took.
#[derive(Debug, Serialize)]
struct Measured {
    file: String,
    operations: usize,
    median_ms: f64,
    min_ms: f64,
    max_ms: f64,
    /// `None` where the textbook search gave up or does not know the model.
    greedy_ms: Option<f64>,
    verdict: &'static str,
}

/// Measures and prints the table.
pub(super) fn main(files: &[PathBuf], repeat: u32, json: bool) -> Exit {
    if !json {
        print(&format!(
            "{:48} {:>10} {:>10} {:>10} {:>10}  {:>11}  verdict\n",
            "check time in ms", "operations", "median", "min", "max", "textbook"
        ));
    }
    let mut all = Vec::new();
    for file in files {
        match measure(file, repeat) {
            Ok(found) => {
                show(&found, json);
                all.push(found);
            }
            Err(problem) => {
                eprintln!("error: {}{problem}", file.display());
                return Exit::Usage;
            }
        }
    }
    if all.len() > 1 {
        show(&sum(&all), json);
    }
    Exit::AsExpected
}

/// Fails with what follows the name of the file in a message.
fn measure(file: &Path, repeat: u32) -> Result<Measured, String> {
    let text = std::fs::read(file).map_err(|error| format!(": {error}"))?;
    if checker::transactions::looks_like(&text) {
        return Err(": transactions are not measured here".to_owned());
    }
    let format = formats::detect(&text).ok_or(": this begins like no history that raftcheck knows")?;
    let reading = check::usual_reading(format);
    let place = |line, column, problem: &dyn std::fmt::Display| format!(":{line}:{column}: {problem}");
    let mut recorded = formats::read(format, &text, &reading)
        .map_err(|error| place(error.line, error.column, &error.problem))?;
    drop(text);
    let specification = Specification::detect(&recorded)
        .and_then(|found| found.settle(&mut recorded, reading.nil_reads).map(|()| found))
        .map_err(|misfit| place(misfit.function.line, misfit.function.column, &misfit))?;
    let failed_cas = match reading.cas_failure {
        CasFailure::NothingHappened => FailedCas::Drop,
        CasFailure::Mismatch => FailedCas::Observe,
    };
    let recording = &recorded.recording;
    let (mut times, mut verdict) = (Vec::new(), "");
    for _ in 0..repeat {
        let begun = Instant::now();
        let expired = || begun.elapsed() > TIME;
        let budget = Budget { expired: &expired, memory_bytes: MEMORY_BYTES };
        verdict = match check_recording(recording, specification, failed_cas, &budget) {
            Verdict::Holds(_) => "holds",
            Verdict::Violated(_) => "violated",
            Verdict::Inconclusive(_) => "inconclusive",
        };
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    // The textbook search knows a register, and takes a refused CAS for an observation.
    let known = match specification {
        Specification::Register => true,
        Specification::CasRegister => failed_cas == FailedCas::Observe,
        _ => false,
    };
    Ok(Measured {
        file: file.display().to_string(),
        operations: recording.len(),
        median_ms: times[times.len() / 2],
        min_ms: times[0],
        max_ms: times[times.len() - 1],
        greedy_ms: known
            .then(|| greedy::of_keys(recording.operations(), GREEDY_TIME, GREEDY_MEMORY_BYTES))
            .flatten(),
        verdict,
    })
}

/// A sum of medians, of the shortest, and of the longest; of the textbook search only if it judged all of them.
fn sum(all: &[Measured]) -> Measured {
    let total = |figure: fn(&Measured) -> f64| all.iter().map(figure).sum();
    let textbook: Vec<f64> = all.iter().filter_map(|one| one.greedy_ms).collect();
    Measured {
        file: format!("all {}", all.len()),
        operations: all.iter().map(|one| one.operations).sum(),
        median_ms: total(|one| one.median_ms),
        min_ms: total(|one| one.min_ms),
        max_ms: total(|one| one.max_ms),
        greedy_ms: (textbook.len() == all.len()).then(|| textbook.iter().sum()),
        verdict: "",
    }
}

fn show(found: &Measured, json: bool) {
    if json {
        return print(&format!("{}\n", serde_json::to_string(found).unwrap_or_default()));
    }
    // The end of a path tells one file from the other.
    let begins = found.file.char_indices().rev().nth(47).map_or(0, |(at, _)| at);
    print(&format!(
        "{:48} {:>10} {:>10} {:>10} {:>10}  {:>11}  {}\n",
        &found.file[begins..],
        found.operations,
        number(found.median_ms),
        number(found.min_ms),
        number(found.max_ms),
        found.greedy_ms.map_or("-".to_owned(), number),
        found.verdict,
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(file: &str, median_ms: f64, greedy_ms: Option<f64>) -> Measured {
        let file = file.to_owned();
        Measured { file, operations: 2, median_ms, min_ms: 1.0, max_ms: 9.0, greedy_ms, verdict: "holds" }
    }

    #[test]
    fn textbook_that_gave_up_once_has_no_sum() {
        let found = sum(&[one("a", 2.0, Some(3.0)), one("b", 4.0, None)]);
        assert_eq!((found.operations, found.median_ms, found.greedy_ms), (4, 6.0, None));
        assert_eq!(sum(&[one("a", 2.0, Some(3.0)), one("b", 4.0, Some(5.0))]).greedy_ms, Some(8.0));
    }

    #[test]
    fn file_that_cannot_be_measured_is_named_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("h.edn");
        std::fs::write(&file, "{:process 0, :type :invoke, :f :read, :value nil}\n{:process 0, :type :ok")
            .unwrap();
        let problem = measure(&file, 1).unwrap_err();
        assert!(problem.starts_with(":2:"), "{problem}");
        assert!(measure(&directory.path().join("none"), 1).is_err());
    }

    #[test]
    fn textbook_stands_beside_a_register() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("h.edn");
        let text = "{:process 0, :type :invoke, :f :write, :value 1}\n{:process 0, :type :ok, :f :write, :value 1}\n\
                    {:process 1, :type :invoke, :f :read, :value nil}\n{:process 1, :type :ok, :f :read, :value nil}\n";
        std::fs::write(&file, text).unwrap();
        let found = measure(&file, 3).unwrap();
        assert_eq!((found.operations, found.verdict), (2, "violated"));
        assert!(found.greedy_ms.is_some());
    }
}
