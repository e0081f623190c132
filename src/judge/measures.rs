//! Measures of a run, from its history and its record of phases.

use checker::history::{EventBody, History, Outcome};

use super::evidence::Recorded;
use super::judged::{Meaning, Threshold};
use crate::events::Phase;
use crate::rundir::PhaseRecord;
use crate::suite::{self, Suite, Unit};

/// Compares the measures of a run with the bounds of its suite.
pub(super) fn thresholds(suite: &Suite, recorded: &Recorded) -> Vec<Threshold> {
    suite.thresholds.iter().map(|threshold| compare(threshold, recorded)).collect()
}

fn compare(threshold: &suite::Threshold, recorded: &Recorded) -> Threshold {
    let measured = measure(&threshold.measure, &threshold.aggregate, recorded);
    Threshold {
        measure: threshold.measure.clone(),
        bound: threshold.text.clone(),
        measured: measured.map_or_else(|| "not measured".to_owned(), |(value, unit)| text(value, unit)),
        kept: measured.is_some_and(|(value, _)| threshold.comparison.holds(value, threshold.value)),
        meaning: match threshold.measure.as_str() {
            "ops_ok" | "faults_installed" => Meaning::Coverage,
            _ => Meaning::Performance,
        },
    }
}

/// One number of a run; `None` if the run did not come far enough to have it.
fn measure(name: &str, aggregate: &str, recorded: &Recorded) -> Option<(f64, Unit)> {
    let record = recorded.record.as_ref();
    match (name, aggregate) {
        ("ops_ok", "count") => Some((acknowledged(recorded) as f64, Unit::Number)),
        ("faults_installed", "count") => Some((recorded.faults.counts.installed as f64, Unit::Number)),
        ("unavailability", "max") => {
            let window = window(&record?.phases, &recorded.history)?;
            Some((unavailability(&recorded.history, window) as f64, Unit::Time))
        }
        ("recovery", "max") => Some((record?.recovered_after? as f64, Unit::Time)),
        _ => None,
    }
}

/// Calls acknowledged before the final reads.
fn acknowledged(recorded: &Recorded) -> usize {
    let until = recorded.final_reads_from().unwrap_or(usize::MAX);
    let events = recorded.history.events.iter().take(until);
    events.filter(|event| matches!(event.body, EventBody::Complete(Outcome::Ok(_)))).count()
}

fn text(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Time => format!("{:.2} s", value / 1e9),
        Unit::Number => format!("{value}"),
        Unit::Ratio => format!("{:.1} %", value * 100.0),
    }
}

/// The part of the run in which faults came and went, in nanoseconds since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    /// Its start.
    from: u64,
    /// Its end.
    to: u64,
}

/// The fault phase up to the end of the recovery; `None` if the run never came to it.
fn window(phases: &[PhaseRecord], history: &History) -> Option<Window> {
    let start = |wanted: Phase| phases.iter().find(|record| record.phase == wanted).map(|record| record.at);
    let from = start(Phase::Faults)?;
    let end = history.events.last().map_or(from, |event| event.time);
    let to = start(Phase::Settling).or_else(|| start(Phase::Stopping)).unwrap_or(end);
    Some(Window { from, to })
}

/// The longest stretch of the window without any acknowledged call, in nanoseconds.
fn unavailability(history: &History, window: Window) -> u64 {
    let mut last = window.from;
    let mut longest = 0;
    for event in &history.events {
        if !matches!(event.body, EventBody::Complete(Outcome::Ok(_))) || event.time < window.from {
            continue;
        }
        if event.time > window.to {
            break;
        }
        longest = longest.max(event.time - last);
        last = event.time;
    }
    longest.max(window.to.saturating_sub(last))
}

#[cfg(test)]
mod tests {
    use checker::history::{Event, EventBody, History, Key, Op, Outcome, ProcessId, Reply};

    use super::{Window, unavailability};

    fn history(acknowledged: &[u64]) -> History {
        let event = |time, body| Event { time, process: ProcessId(0), node: None, body };
        let events = acknowledged.iter().flat_map(|&time| {
            let invoke = EventBody::Invoke(Op::Delete { key: Key::new("a") });
            [event(time, invoke), event(time, EventBody::Complete(Outcome::Ok(Reply::Done)))]
        });
        History { events: events.collect() }
    }

    #[test]
    fn the_gaps_at_both_ends_of_the_window_count() {
        let window = Window { from: 100, to: 200 };
        assert_eq!(unavailability(&history(&[50, 110, 120, 195, 300]), window), 75);
        assert_eq!(unavailability(&history(&[50, 160, 199]), window), 60);
        assert_eq!(unavailability(&history(&[50, 110, 300]), window), 90);
        assert_eq!(unavailability(&history(&[]), window), 100);
    }
}
