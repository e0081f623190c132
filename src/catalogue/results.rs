//! What came out when the catalogue was run: a file that the answer book is made from.
//!
//! Invariant: a result names the text of the suite that it is of (by its digest), so that nobody takes it for one of a
//! suite that was changed since. Runs of one entry replace earlier ones of the same entry and leave all others alone.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;

use checker::verdict::Verdict;
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::judge::Judged;

/// The version of the file's format.
const FORMAT: u32 = 1;
/// The most lines of evidence that are kept of a cell.
const EVIDENCE_MAX: usize = 8;

/// The results of the catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The version of this format.
    pub format: u32,
    /// By entry.
    pub entries: BTreeMap<String, EntryResult>,
}

/// The results of one entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntryResult {
    /// Of the suite's text, 16 hexadecimal digits.
    pub digest: String,
    /// The version of raftcheck that ran it.
    pub raftcheck: String,
    /// The kernel that it ran on, and how many processors it had.
    pub host: String,
    /// Its cells, in the order of the suite.
    pub cells: Vec<CellResult>,
}

/// The results of one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellResult {
    /// Its name; empty for a suite without a matrix.
    pub cell: String,
    /// What it expects, in words.
    pub expected: String,
    /// How often it was run.
    pub runs: u64,
    /// How often the expected verdict came.
    pub as_expected: u64,
    /// The results, with how often each came.
    pub verdicts: BTreeMap<String, u64>,
    /// What proves the verdict, of the first run that came out as expected, or else of the first.
    pub evidence: Vec<String>,
    /// The time of a run in the middle, judgement included, in seconds.
    pub seconds_median: f64,
    /// The mean time.
    pub seconds_mean: f64,
}

/// One run of a cell.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The exit code of the run alone.
    pub exit: Exit,
    /// Why, in one sentence.
    pub headline: String,
    /// What proves it.
    pub evidence: Vec<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl Default for Results {
    fn default() -> Self {
        Self { format: FORMAT, entries: BTreeMap::new() }
    }
}

impl Results {
    /// Reads the file; an absent one is empty.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(crate::rundir::named(path, error)),
        };
        let read: Self = serde_json::from_reader(BufReader::new(file))
            .map_err(|error| crate::rundir::named(path, error.into()))?;
        if read.format != FORMAT {
            let problem = format!("results of format {}, and this raftcheck knows {FORMAT}", read.format);
            return Err(crate::rundir::named(path, io::Error::other(problem)));
        }
        Ok(read)
    }

    /// Writes the file in one piece.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        let temporary = path.with_extension("json.tmp");
        let written = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, path));
        written.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            crate::rundir::named(path, error)
        })
    }
}

impl CellResult {
    /// What these runs of a cell come to; `None` of none.
    pub fn of(cell: &str, expected: &str, samples: &[Sample]) -> Option<Self> {
        let good = |sample: &&Sample| sample.exit == Exit::AsExpected;
        let shown = samples.iter().find(good).or(samples.first())?;
        let mut times: Vec<f64> = samples.iter().map(|sample| sample.seconds).collect();
        times.sort_by(f64::total_cmp);
        let mut verdicts = BTreeMap::new();
        for sample in samples {
            *verdicts.entry(sample.headline.clone()).or_default() += 1;
        }
        let round = |seconds: f64| (seconds * 1000.0).round() / 1000.0;
        Some(Self {
            cell: cell.to_owned(),
            expected: expected.to_owned(),
            runs: samples.len() as u64,
            as_expected: samples.iter().filter(good).count() as u64,
            verdicts,
            evidence: shown.evidence.clone(),
            seconds_median: round(times[times.len() / 2]),
            seconds_mean: round(times.iter().sum::<f64>() / times.len() as f64),
        })
    }
}

impl Sample {
    /// A judged run.
    pub fn of(judged: &Judged, seconds: f64) -> Self {
        Self { exit: judged.exit, headline: judged.headline.clone(), evidence: evidence(judged), seconds }
    }

    /// A run that could not be made.
    pub fn failed(exit: Exit, reason: &str, seconds: f64) -> Self {
        let headline = reason.lines().next().unwrap_or_default().to_owned();
        Self { exit, headline, evidence: reason.lines().map(str::to_owned).collect(), seconds }
    }
}

/// What proves the result of a run: the first violation with its operations or events; or else what was left open; or
/// else what held, and how much of it was looked at.
fn evidence(judged: &Judged) -> Vec<String> {
    let rendered = |wanted: fn(&Verdict) -> bool| {
        let check = judged.checks.iter().find(|check| wanted(&check.verdict))?;
        let text = checker::verdict::render(&check.name, &check.verdict);
        let lines = text.lines().map(str::to_owned).take(EVIDENCE_MAX);
        Some(lines.collect::<Vec<_>>())
    };
    if let Some(lines) = rendered(|verdict| matches!(verdict, Verdict::Violated(_))) {
        return lines;
    }
    if let Some(failure) = judged.harness_failure.as_ref().or(judged.unavailable.as_ref()) {
        return failure.lines().take(EVIDENCE_MAX).map(str::to_owned).collect();
    }
    if let Some(lines) = rendered(|verdict| matches!(verdict, Verdict::Inconclusive(_))) {
        return lines;
    }
    let held = judged.checks.iter().filter_map(|check| match &check.verdict {
        Verdict::Holds(coverage) if coverage.examined > 0 || !coverage.unit.is_empty() => {
            Some(format!("{}: {} {}", check.name, coverage.examined, coverage.unit))
        }
        _ => None,
    });
    held.take(EVIDENCE_MAX).collect()
}

/// The digest of a suite's text: FNV-1a with 64 bits.
pub fn digest(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// This host in a few words.
pub fn host() -> String {
    let kernel = nix::sys::utsname::uname().ok();
    let release =
        kernel.as_ref().map_or_else(String::new, |kernel| kernel.release().to_string_lossy().into_owned());
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("Linux {release}, {cpus} processors")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(exit: Exit, headline: &str, seconds: f64) -> Sample {
        let evidence = vec![format!("because of {headline}")];
        Sample { exit, headline: headline.to_owned(), evidence, seconds }
    }

    #[test]
    fn an_inconclusive_run_is_a_miss() {
        let samples = [
            sample(Exit::Inconclusive, "open", 3.0),
            sample(Exit::AsExpected, "found", 1.0),
            sample(Exit::AsExpected, "found", 2.0),
        ];
        let result = CellResult::of("memory", "safe", &samples).unwrap();
        assert_eq!((result.runs, result.as_expected), (3, 2));
        assert_eq!(result.verdicts, BTreeMap::from([("open".to_owned(), 1), ("found".to_owned(), 2)]));
        assert_eq!(result.evidence, ["because of found"]);
        assert_eq!((result.seconds_median, result.seconds_mean), (2.0, 2.0));
        assert_eq!(CellResult::of("memory", "safe", &[]), None);
    }

    #[test]
    fn results_are_read_back_and_those_of_other_formats_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("results.json");
        assert_eq!(Results::read(&path).unwrap(), Results::default());
        let cells = vec![CellResult::of("a", "safe", &[sample(Exit::AsExpected, "x", 0.5)]).unwrap()];
        let entry = EntryResult { digest: digest("text"), raftcheck: "1".to_owned(), host: host(), cells };
        let results = Results { format: FORMAT, entries: BTreeMap::from([("q".to_owned(), entry)]) };
        results.write(&path).unwrap();
        assert_eq!(Results::read(&path).unwrap(), results);
        Results { format: 99, ..results }.write(&path).unwrap();
        assert!(Results::read(&path).unwrap_err().to_string().contains("format 99"));
        fs::write(&path, "{").unwrap();
        assert!(Results::read(&path).unwrap_err().to_string().contains("results.json"));
    }

    #[test]
    fn digests_tell_texts_apart() {
        assert_eq!(digest(""), "cbf29ce484222325");
        assert_ne!(digest("a"), digest("b"));
    }
}
