//! A verdict as a few aligned lines of plain text, for a terminal or a log.
//!
//! Invariant: the text is a function of the verdict alone, without colours, so that it can be compared and pasted. A
//! front end that wants colour or HTML reads the [`Verdict`] itself.

use std::fmt::Write as _;

use super::{Cause, Evidence, Verdict};

/// Renders the verdict of the property of this name. Ends with a newline.
pub fn render(property: &str, verdict: &Verdict) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = match verdict {
        Verdict::Holds(coverage) => {
            let power = match coverage.power.and_then(|power| power.percent()) {
                Some(percent) => format!("; {percent} % of likely wrong answers would have been noticed"),
                None => String::new(),
            };
            writeln!(text, "{property}: no violation found in {} {}{power}", coverage.examined, coverage.unit)
        }
        Verdict::Violated(counterexample) => {
            let _ = writeln!(text, "{property}: VIOLATED");
            let _ = writeln!(text, "  {}", counterexample.summary);
            put_evidence(&mut text, &counterexample.evidence);
            Ok(())
        }
        Verdict::Inconclusive(cause) => writeln!(text, "{property}: inconclusive: {}", words(cause)),
    };
    text
}

fn words(cause: &Cause) -> String {
    match cause {
        Cause::Time { reached } => format!("the time budget ran out: {reached}"),
        Cause::Memory { reached } => format!("the memory budget ran out: {reached}"),
        Cause::Evidence { reason } => format!("not enough evidence: {reason}"),
        Cause::Model { reason } => format!("no model fits: {reason}"),
    }
}

fn put_evidence(text: &mut String, evidence: &[Evidence]) {
    let times: Vec<(String, String)> = evidence.iter().map(|e| (milliseconds(e.start), until(e))).collect();
    let widths = (
        times.iter().map(|t| t.0.len()).max().unwrap_or(0),
        times.iter().map(|t| t.1.len()).max().unwrap_or(0),
        evidence.iter().map(|e| e.who.chars().count()).max().unwrap_or(0),
    );
    for (item, (start, end)) in evidence.iter().zip(&times) {
        let _ = writeln!(
            text,
            "  {start:>a$}{end:<b$} ms  {who:<c$}  {what}",
            a = widths.0,
            b = widths.1,
            c = widths.2,
            who = item.who,
            what = item.what
        );
    }
}

fn until(evidence: &Evidence) -> String {
    match evidence.end {
        Some(end) if end == evidence.start => String::new(),
        Some(end) => format!(" .. {}", milliseconds(end)),
        None => " .. open".to_owned(),
    }
}

fn milliseconds(nanoseconds: u64) -> String {
    format!("{}.{:03}", nanoseconds / 1_000_000, nanoseconds / 1_000 % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Counterexample, Coverage, Power};

    fn item(start: u64, end: Option<u64>, who: &str, what: &str) -> Evidence {
        Evidence { start, end, who: who.to_owned(), what: what.to_owned() }
    }

    #[test]
    fn a_violation_is_a_sentence_and_a_table() {
        let verdict = Verdict::Violated(Counterexample {
            summary: "read r3 -> 17 was invoked after read r3 -> 18 completed: the older value came back"
                .to_owned(),
            evidence: vec![
                item(9_500_000, Some(12_250_000), "process 3 via n2", "write r3 = 17"),
                item(1_204_000_500, None, "process 12 via n3", "write r3 = 18 (outcome unknown)"),
                item(1_300_000_000, Some(1_300_000_000), "n1", "leads term 4"),
            ],
        });
        insta::assert_snapshot!(render("linearizable", &verdict), @r"
        linearizable: VIOLATED
          read r3 -> 17 was invoked after read r3 -> 18 completed: the older value came back
             9.500 .. 12.250 ms  process 3 via n2   write r3 = 17
          1204.000 .. open   ms  process 12 via n3  write r3 = 18 (outcome unknown)
          1300.000           ms  n1                 leads term 4
        ");
    }

    #[test]
    fn the_power_of_a_history_is_told_in_percent() {
        let power = Some(Power { tried: 7, refuted: 2 });
        let holds = Verdict::Holds(Coverage { examined: 3, unit: "operations".to_owned(), power });
        insta::assert_snapshot!(render("linearizable", &holds), @"linearizable: no violation found in 3 operations; 28 % of likely wrong answers would have been noticed");
    }

    #[test]
    fn the_other_verdicts_take_one_line() {
        let holds = Verdict::Holds(Coverage { examined: 12_000, unit: "operations".to_owned(), power: None });
        let unclear = Verdict::Inconclusive(Cause::Time { reached: "key r1: after 3 operations".to_owned() });
        insta::assert_snapshot!(render("linearizable", &holds) + &render("lost-commits", &unclear), @r"
        linearizable: no violation found in 12000 operations
        lost-commits: inconclusive: the time budget ran out: key r1: after 3 operations
        ");
    }
}
