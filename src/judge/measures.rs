//! Measures of a run, from its history and its record of phases.

mod leadership;
mod memory;

use checker::history::{EventBody, History, Outcome};

use super::evidence::Recorded;
use super::judged::{Meaning, Threshold};
use crate::events::Phase;
use crate::rundir::PhaseRecord;
use crate::suite::{self, Direction, Suite, Unit};
use leadership::Leadership;

/// A time without an acknowledged call that counts as a window of unavailability, in nanoseconds.
const GAP: u64 = 100_000_000;

/// Compares the measures of a run with the bounds of its suite.
pub(super) fn thresholds(suite: &Suite, recorded: &Recorded) -> Vec<Threshold> {
    suite.thresholds.iter().map(|threshold| compare(threshold, recorded)).collect()
}

fn compare(threshold: &suite::Threshold, recorded: &Recorded) -> Threshold {
    let measured = measure(&threshold.measure, &threshold.aggregate, None, recorded);
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

/// Which way a measure is worse.
pub(super) fn direction(name: &str) -> Direction {
    let entry = suite::measures().into_iter().find(|entry| entry.name == name);
    entry.map_or(Direction::MoreIsWorse, |entry| entry.direction)
}

/// One number of a run, for a measure of nodes that of one of them if it is named; `None` if the run did not come far enough
/// to have it.
pub(super) fn measure(
    name: &str,
    aggregate: &str,
    node: Option<&str>,
    recorded: &Recorded,
) -> Option<(f64, Unit)> {
    let entry = suite::measures().into_iter().find(|entry| entry.name == name)?;
    let (_, unit) = entry.aggregates.iter().find(|(known, _)| *known == aggregate)?;
    let value = match name {
        "ops_ok" => acknowledged(recorded) as f64,
        "faults_installed" => recorded.faults.counts.installed as f64,
        "recovery" => recorded.record.as_ref()?.recovered_after? as f64,
        _ => during_faults(name, aggregate, node, recorded)?,
    };
    Some((value, *unit))
}

/// What is measured while faults came and went.
fn during_faults(name: &str, aggregate: &str, node: Option<&str>, recorded: &Recorded) -> Option<f64> {
    let window = window(&recorded.record.as_ref()?.phases, &recorded.history)?;
    let minutes = window.to.saturating_sub(window.from) as f64 / 60e9;
    let per_minute = |count: u64| (minutes > 0.0).then(|| count as f64 / minutes);
    let leadership = || Leadership::of(&recorded.trace, window);
    match (name, aggregate) {
        ("unavailability", aggregate) => {
            let gaps = gaps(&recorded.history, window);
            let outages = || gaps.iter().filter(|gap| **gap >= GAP);
            Some(match aggregate {
                "max" => gaps.iter().copied().max().unwrap_or(0) as f64,
                "total" => outages().sum::<u64>() as f64,
                _ => outages().count() as f64,
            })
        }
        ("latency", aggregate) => quantile(&mut latencies(&recorded.history, window), aggregate),
        ("throughput", _) => {
            let answered = latencies(&recorded.history, window).len();
            per_minute(answered as u64).map(|rate| rate / 60.0)
        }
        ("elections", "count") => Some(leadership()?.elections as f64),
        ("elections", _) => per_minute(leadership()?.elections),
        ("terms", "count") => Some(leadership()?.terms as f64),
        ("terms", _) => per_minute(leadership()?.terms),
        ("leader_changes", _) => Some(leadership()?.changes as f64),
        ("memory", _) => memory::most(&recorded.memory, node, window).map(|bytes| bytes as f64),
        ("leaderless", "max") => Some(leadership()?.leaderless.iter().copied().max().unwrap_or(0) as f64),
        ("leaderless", _) => Some(leadership()?.leaderless.iter().sum::<u64>() as f64),
        _ => None,
    }
}

/// The times of calls that were acknowledged in the window, in nanoseconds.
fn latencies(history: &History, window: Window) -> Vec<u64> {
    let Ok(operations) = history.operations() else { return Vec::new() };
    let within = |time: &u64| (window.from..=window.to).contains(time);
    let answered = operations.iter().filter_map(|operation| {
        let end = operation.acknowledged()?.time;
        within(&end).then(|| end - operation.invoked.time)
    });
    answered.collect()
}

/// The quantile of this name, by the nearest rank; `None` of nothing.
fn quantile(times: &mut [u64], name: &str) -> Option<f64> {
    times.sort_unstable();
    let share = match name {
        "p50" => 0.50,
        "p99" => 0.99,
        _ => 1.0,
    };
    let rank = (times.len() as f64 * share).ceil() as usize;
    times.get(rank.max(1) - 1).map(|time| *time as f64)
}

/// Calls acknowledged before the final reads.
fn acknowledged(recorded: &Recorded) -> usize {
    let until = recorded.final_reads_from().unwrap_or(usize::MAX);
    let events = recorded.history.events.iter().take(until);
    events.filter(|event| matches!(event.body, EventBody::Complete(Outcome::Ok(_)))).count()
}

/// A measured number with its unit.
pub(super) fn text(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Time if value < 1e9 => format!("{:.2} ms", value / 1e6),
        Unit::Time => format!("{:.2} s", value / 1e9),
        Unit::Number => format!("{}", (value * 100.0).round() / 100.0),
        Unit::Ratio => format!("{:.1} %", value * 100.0),
        Unit::Bytes => format!("{:.1} MiB", value / f64::from(1 << 20)),
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

/// The stretches of the window without any acknowledged call, in nanoseconds; also the ones at both ends.
fn gaps(history: &History, window: Window) -> Vec<u64> {
    let mut last = window.from;
    let mut gaps = Vec::new();
    for event in &history.events {
        if !matches!(event.body, EventBody::Complete(Outcome::Ok(_))) || event.time < window.from {
            continue;
        }
        if event.time > window.to {
            break;
        }
        gaps.push(event.time - last);
        last = event.time;
    }
    gaps.push(window.to.saturating_sub(last));
    gaps
}

#[cfg(test)]
mod tests {
    use checker::history::{Event, EventBody, History, Key, Op, Outcome, ProcessId, Reply};

    use super::{Window, gaps, latencies, quantile};

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
        let longest = |history: &History, window| gaps(history, window).into_iter().max().unwrap();
        assert_eq!(longest(&history(&[50, 110, 120, 195, 300]), window), 75);
        assert_eq!(longest(&history(&[50, 160, 199]), window), 60);
        assert_eq!(longest(&history(&[50, 110, 300]), window), 90);
        assert_eq!(longest(&history(&[]), window), 100);
    }

    #[test]
    fn quantiles_are_ranks_of_what_was_acknowledged_in_the_window() {
        assert_eq!(quantile(&mut [], "p50"), None);
        assert_eq!(quantile(&mut [7], "p99"), Some(7.0));
        assert_eq!(quantile(&mut (1..=100).rev().collect::<Vec<_>>(), "p99"), Some(99.0));
        assert_eq!(quantile(&mut (1..=100).collect::<Vec<_>>(), "p50"), Some(50.0));
        assert_eq!(quantile(&mut [3, 1, 2], "max"), Some(3.0));
        let window = Window { from: 100, to: 200 };
        assert_eq!(latencies(&history(&[50, 110, 300]), window), [0]);
    }
}
