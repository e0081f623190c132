//! `raftcheck bench checker --large`: histories of a million calls and more, from the file to the verdict.
//!
//! Each file is written by `raftcheck generate` and judged by `raftcheck check`, as anybody would, so a figure has all in it:
//! starting, reading, judging, and the memory at its peak. The files lie in the directory for temporary files (`TMPDIR`) and
//! are gone afterwards.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use serde::Serialize;

use super::checker::print;
use super::number;
use crate::exit::Exit;
use crate::session;

/// One row.
struct Case {
    name: &'static str,
    /// For `raftcheck generate history`.
    make: &'static [&'static str],
    /// For `raftcheck check`.
    judge: &'static [&'static str],
    most_seconds: f64,
    most_mb: f64,
}

/// The smallest first, because the memory of all that were judged is known at its peak only.
const CASES: [Case; 3] = [
    Case {
        name: "register, 1,000,000 ops, 50 clients, 1 % unknown",
        make: &["--operations", "1000000", "--clients", "50", "--unknown", "1%"],
        judge: &[],
        most_seconds: 1.0,
        most_mb: 300.0,
    },
    Case {
        name: "list-append, 1,000,000 transactions",
        make: &["--model", "list-append", "--operations", "1000000", "--keys", "1000"],
        judge: &[],
        most_seconds: 5.0,
        most_mb: 2000.0,
    },
    Case {
        name: "register, 10,000,000 ops, 1,000 keys, 1 % unknown",
        make: &["--operations", "10000000", "--clients", "50", "--keys", "1000", "--unknown", "1%"],
        judge: &["--independent"],
        most_seconds: 10.0,
        most_mb: 2000.0,
    },
];

#[derive(Debug, Serialize)]
struct Measured {
    case: &'static str,
    file_mb: f64,
    median_s: f64,
    min_s: f64,
    max_s: f64,
    memory_mb: f64,
    most_s: f64,
    most_mb: f64,
    met: bool,
    verdict: &'static str,
}

/// Measures and prints the table.
pub(super) fn main(repeat: u32, json: bool) -> Exit {
    if !json {
        print(&format!(
            "{:52} {:>8} {:>8} {:>8} {:>8} {:>8}  bar\n",
            "file to verdict in s", "file MB", "median", "min", "max", "MB"
        ));
    }
    for case in &CASES {
        match measure(case, repeat) {
            Ok(found) if json => print(&format!("{}\n", serde_json::to_string(&found).unwrap_or_default())),
            Ok(found) => print(&row(&found)),
            Err(error) => {
                eprintln!("error: {}: {error}", case.name);
                return Exit::Harness;
            }
        }
    }
    Exit::AsExpected
}

fn measure(case: &Case, repeat: u32) -> Result<Measured, String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let file = directory.path().join("history.edn");
    let mut make: Vec<&OsStr> = ["generate", "history", "--format", "edn", "--out"].map(OsStr::new).to_vec();
    make.push(file.as_os_str());
    make.extend(case.make.iter().map(OsStr::new));
    let made = run(&make)?;
    if !made.success() {
        return Err(format!("the history was not written ({made})"));
    }
    let file_mb = size_mb(&file)?;
    let mut judge: Vec<&OsStr> = vec![OsStr::new("check"), file.as_os_str()];
    judge.extend(case.judge.iter().map(OsStr::new));
    let (mut times, mut verdict) = (Vec::new(), "");
    for _ in 0..repeat {
        let begun = Instant::now();
        let ended = run(&judge)?;
        times.push(begun.elapsed().as_secs_f64());
        verdict = match ended.code() {
            Some(0) => "holds",
            Some(2) => "inconclusive",
            _ => return Err(format!("`raftcheck check` ended otherwise than it should ({ended})")),
        };
    }
    times.sort_by(f64::total_cmp);
    // Of all children so far: the files grow from case to case.
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| error.to_string())?.max_rss();
    let (median_s, memory_mb) = (times[times.len() / 2], peak as f64 * 1024.0 / 1e6);
    Ok(Measured {
        case: case.name,
        file_mb,
        median_s,
        min_s: times[0],
        max_s: times[times.len() - 1],
        memory_mb,
        most_s: case.most_seconds,
        most_mb: case.most_mb,
        met: verdict == "holds" && median_s <= case.most_seconds && memory_mb <= case.most_mb,
        verdict,
    })
}

fn run(arguments: &[&OsStr]) -> Result<ExitStatus, String> {
    let executable = session::executable().map_err(|error| error.to_string())?;
    Command::new(executable)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| error.to_string())
}

fn size_mb(file: &Path) -> Result<f64, String> {
    let found = file.metadata().map_err(|error| error.to_string())?;
    Ok(found.len() as f64 / 1e6)
}

fn row(found: &Measured) -> String {
    format!(
        "{:52} {:>8} {:>8} {:>8} {:>8} {:>8}  <= {} s, {} MB {}  {}\n",
        found.case,
        number(found.file_mb),
        number(found.median_s),
        number(found.min_s),
        number(found.max_s),
        number(found.memory_mb),
        found.most_s,
        found.most_mb,
        if found.met { "met" } else { "MISSED" },
        found.verdict,
    )
}
