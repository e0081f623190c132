//! A judged history, for people and for programs.

use std::fmt::Write as _;
use std::io::Write as _;

use checker::history::formats::{CasFailure, Clock, Format, Keys, NilReads};
use checker::verdict::{Cause, Counterexample, Verdict, render};
use serde_json::json;

use super::history::{Cost, Judged};
use super::options::Options;
use crate::cli::Format as OutputFormat;
use crate::exit::Exit;
use crate::report::Style;

/// The name of the property in suites, here too.
pub(super) const PROPERTY: &str = "linearizable";

/// A judged history in both forms.
pub(super) struct Shown {
    /// For people.
    pub(super) human: String,
    /// For programs.
    pub(super) value: serde_json::Value,
    /// What it means for the exit code.
    pub(super) exit: Exit,
}

/// A history of single operations.
pub(super) fn operations(judged: &Judged) -> Shown {
    Shown { human: human(judged, style()), value: value(judged), exit: judged.exit }
}

/// A history of which the text could not be read within its budget.
pub(super) fn unread(name: &str, property: &str, cause: Cause, cost: &Cost<'_>, options: &Options) -> Shown {
    let verdict = Verdict::Inconclusive(cause);
    let mut remarks: Vec<String> = options.advice(&verdict).into_iter().collect();
    if options.showing.html.is_some() {
        remarks.push("no page was written: the history was not read to its end".to_owned());
    }
    let mut human = format!("{}\n{}", style().bold(name), render(property, &verdict));
    for remark in &remarks {
        // Writing to a String cannot fail.
        let _ = writeln!(human, "note: {remark}");
    }
    let exit = Exit::Inconclusive;
    let value = json!({
        "file": name,
        "property": property,
        "result": verdict,
        "took_ms": cost.begun.elapsed().as_millis() as u64,
        "remarks": remarks,
        "exit": exit.code(),
    });
    Shown { human, value, exit }
}

/// How standard output is written to.
pub(super) fn style() -> Style {
    Style::of(&std::io::stdout())
}

/// Shows one history as soon as it is judged.
pub(super) fn judged(shown: &Shown, output: OutputFormat) {
    match output {
        OutputFormat::Human => print(&shown.human),
        OutputFormat::Jsonl => {
            print(&format!("{}\n", json!({ "event": "judged-history", "result": shown.value })))
        }
        OutputFormat::Json => {}
    }
}

/// Shows all of them together, where that is asked for, and sums up several.
pub(super) fn finished(all: Vec<serde_json::Value>, exits: &[Exit], output: OutputFormat) {
    match output {
        OutputFormat::Json => {
            let document = json!({ "format": 1, "histories": all });
            print(&format!("{}\n", serde_json::to_string_pretty(&document).unwrap_or_default()));
        }
        OutputFormat::Human if exits.len() > 1 => print(&summary(exits)),
        OutputFormat::Human | OutputFormat::Jsonl => {}
    }
}

/// What became of several histories, in one line.
fn summary(exits: &[Exit]) -> String {
    let kinds = [
        (Exit::Differs, "violated"),
        (Exit::AsExpected, "without a violation"),
        (Exit::Inconclusive, "inconclusive"),
        (Exit::Vacuous, "that could not have shown anything"),
        (Exit::Usage, "not judged"),
    ];
    let count = |kind: Exit| exits.iter().filter(|&&exit| exit == kind).count();
    let parts: Vec<String> = kinds
        .into_iter()
        .filter(|&(kind, _)| count(kind) > 0)
        .map(|(kind, what)| format!("{} {what}", count(kind)))
        .collect();
    format!("\n{} histories: {}\n", exits.len(), parts.join(", "))
}

/// A reader that has gone away is no failure.
fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// One history for programs.
fn value(judged: &Judged) -> serde_json::Value {
    json!({
        "file": judged.file,
        "input_format": format_name(judged.format),
        "model": judged.specification.name(),
        "model_detected": judged.detected,
        "independent": judged.reading.keys == Keys::Independent,
        "initial": judged.initial.to_string(),
        "nil_reads": nil_reads(judged),
        "failed_cas": failed_cas(judged),
        "times": match judged.clock { Clock::Nanoseconds => "nanoseconds", Clock::Lines => "lines" },
        "keys": judged.keys,
        "calls": { "ok": judged.calls.ok, "failed": judged.calls.failed, "unknown": judged.calls.unknown },
        "property": PROPERTY,
        "result": judged.verdict,
        "took_ms": judged.took.as_millis() as u64,
        "remarks": judged.remarks,
        "exit": judged.exit.code(),
    })
}

/// The format by the name of `--input-format`.
fn format_name(format: Format) -> &'static str {
    match format {
        Format::Raftcheck => "raftcheck",
        Format::JepsenEdn | Format::JepsenText => "jepsen",
        Format::KnossosEdn => "knossos",
        Format::PorcupineEtcd => "porcupine-etcd",
        Format::PorcupineKv => "porcupine-kv",
    }
}

fn nil_reads(judged: &Judged) -> &'static str {
    match judged.reading.nil_reads {
        NilReads::Exact => "exact",
        NilReads::Ignored => "any",
    }
}

fn failed_cas(judged: &Judged) -> &'static str {
    match judged.reading.cas_failure {
        CasFailure::Mismatch => "observe",
        CasFailure::NothingHappened => "drop",
    }
}

fn human(judged: &Judged, style: Style) -> String {
    let mut text = String::new();
    let found = if judged.detected { " (detected)" } else { "" };
    let calls = &judged.calls;
    let keys = if judged.keys == 1 { "key" } else { "keys" };
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{}: format {}, model {}{found}, initially {}, --nil-reads {}, --failed-cas {}{}",
        style.bold(&judged.file),
        format_name(judged.format),
        judged.specification,
        judged.initial,
        nil_reads(judged),
        failed_cas(judged),
        if judged.reading.keys == Keys::Independent { ", --independent" } else { "" },
    );
    let _ = writeln!(
        text,
        "{} operations on {} {keys}: {} ok, {} failed, {} unknown; judged in {:.3} s",
        calls.ok + calls.failed + calls.unknown,
        judged.keys,
        calls.ok,
        calls.failed,
        calls.unknown,
        judged.took.as_secs_f64(),
    );
    text.push_str(&verdict(PROPERTY, &judged.verdict, judged.clock));
    for remark in &judged.remarks {
        let _ = writeln!(text, "note: {remark}");
    }
    text.push_str(&judged.explained);
    text
}

/// A verdict with as much of its evidence as a person looks at.
pub(super) fn verdict(property: &str, verdict: &Verdict, clock: Clock) -> String {
    let (verdict, left_out) = shortened(verdict);
    let mut text = match (&verdict, clock) {
        (Verdict::Violated(counterexample), Clock::Lines) => by_lines(property, counterexample),
        (verdict, _) => render(property, verdict),
    };
    if left_out > 0 {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  and {left_out} earlier operations, which --format json shows");
    }
    text
}

/// As many operations as a person looks at.
const SHOWN: usize = 40;

/// The verdict with the last operations of its evidence, where the contradiction comes out, and how many are left out.
fn shortened(verdict: &Verdict) -> (Verdict, usize) {
    let mut verdict = verdict.clone();
    let Verdict::Violated(counterexample) = &mut verdict else { return (verdict, 0) };
    let left_out = counterexample.evidence.len().saturating_sub(SHOWN);
    counterexample.evidence.drain(..left_out);
    (verdict, left_out)
}

/// A violation in a history without times: the lines of the file take their place.
fn by_lines(property: &str, counterexample: &Counterexample) -> String {
    let mut text = format!("{property}: VIOLATED\n  {}\n", counterexample.summary);
    let rows: Vec<(String, &str, &str)> = counterexample
        .evidence
        .iter()
        .map(|evidence| {
            let lines = match evidence.end {
                _ if evidence.who == "initially" => String::new(),
                Some(end) => format!("lines {} .. {end}", evidence.start),
                None => format!("lines {} .. open", evidence.start),
            };
            (lines, evidence.who.as_str(), evidence.what.as_str())
        })
        .collect();
    let widths = (
        rows.iter().map(|row| row.0.len()).max().unwrap_or(0),
        rows.iter().map(|row| row.1.chars().count()).max().unwrap_or(0),
    );
    for (lines, who, what) in rows {
        let _ = writeln!(text, "  {lines:<a$}  {who:<b$}  {what}", a = widths.0, b = widths.1);
    }
    text
}
