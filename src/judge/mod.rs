//! From a run directory to its verdicts.
//!
//! Invariant: only files of the directory are looked at, so that a recorded run gives the same verdicts whenever it is
//! judged. What is missing or cut off is said, and whatever can still be decided is.

mod evidence;
mod expectation;
mod judged;
mod measures;

use std::io;
use std::time::Instant;

use checker::properties::{self, Needs, Run};
use checker::verdict::{Budget, Cause, Counterexample, Coverage, Evidence, Verdict};

pub use judged::{Check, Expected, FaultCounts, Judged, Meaning, Threshold};

use crate::events::Phase;
use crate::plan::Plan;
use crate::rundir::{EndRecord, RunDir};
use crate::suite::{CheckUse, Expect, Suite};
use evidence::Recorded;
use expectation::Circumstances;

/// The check that a healed cluster acknowledges writes again. Part of every run.
pub const RECOVERS: &str = "recovers";
/// The check that no node ends by itself. Part of every run.
pub const NODES_STAY_UP: &str = "nodes-stay-up";

/// The most memory that one property may hold.
const JUDGE_MEMORY: usize = 1 << 30;

/// Judges a run and writes `verdict.json`. `failure` and `unavailable` are what the recording process said of itself.
pub fn judge(dir: &RunDir, failure: Option<String>, unavailable: Option<String>) -> io::Result<Judged> {
    let plan: Plan = dir.read_json("plan.json")?;
    let recorded = evidence::read(dir);
    let suite = &plan.suite;
    let mut checks: Vec<Check> = suite.checks.iter().map(|check| property(check, suite, &recorded)).collect();
    checks.extend(always(suite, &recorded));
    let thresholds = measures::thresholds(suite, &recorded);
    let harness = failure.or_else(|| recorded.damage.clone());
    let (exit, headline) = expectation::result(
        &checks,
        &thresholds,
        Circumstances {
            harness: harness.as_deref(),
            unavailable: unavailable.as_deref(),
            interrupted: recorded.record.as_ref().is_some_and(|record| record.end == EndRecord::Interrupted),
        },
    );
    let counts = recorded.history.counts().all();
    let judged = Judged {
        format: crate::rundir::FORMAT,
        suite: suite.name.clone(),
        seed: plan.seed,
        directory: dir.path().to_owned(),
        cluster: format!("{} nodes of {}", suite.system.nodes, suite.system.system),
        expect: expected_words(&suite.expect),
        exit,
        headline,
        lasted: recorded.history.events.last().map_or(0, |event| event.time),
        calls: crate::events::Calls { ok: counts.ok, failed: counts.failed, unknown: counts.unknown },
        faults: recorded.faults.counts,
        first_violation: first_violation(&checks),
        checks,
        thresholds,
        harness_failure: harness,
        remarks: recorded.remarks,
        reproduce: plan.reproduce(),
    };
    dir.write_json("verdict.json", &judged)?;
    Ok(judged)
}

/// Judges a run that was judged before: what the recording process said is taken from `verdict.json`.
pub fn again(dir: &RunDir) -> io::Result<Judged> {
    let before: Option<Judged> = dir.read_json("verdict.json").ok();
    let failure = before.and_then(|judged| judged.harness_failure);
    judge(dir, failure, None)
}

fn property(check: &CheckUse, suite: &Suite, recorded: &Recorded) -> Check {
    let begun = Instant::now();
    let expired = || begun.elapsed() > check.timeout();
    let budget = Budget { expired: &expired, memory_bytes: JUDGE_MEMORY };
    let verdict = match properties::find(&check.check) {
        None => undecided(format!("this raftcheck knows no property called {}", check.check)),
        Some(kind) => match missing(kind.needs, recorded) {
            Some(reason) => undecided(reason),
            None => {
                let run = Run {
                    history: &recorded.history,
                    final_reads_from: recorded.final_reads_from(),
                    trace: &recorded.trace,
                };
                (kind.judge)(&run, &check.settings, &budget)
            }
        },
    };
    Check {
        name: check.check.clone(),
        expected: expected(&check.check, suite),
        took_ms: begun.elapsed().as_millis() as u64,
        verdict,
    }
}

/// The evidence that a property needs and the run does not have.
fn missing(needs: Needs, recorded: &Recorded) -> Option<String> {
    match needs {
        Needs::Trace => recorded.trace_damage.clone(),
        Needs::History | Needs::HistoryAndFinalReads => None,
    }
}

/// The checks that every run is subject to.
fn always(suite: &Suite, recorded: &Recorded) -> Vec<Check> {
    let Some(record) = &recorded.record else { return Vec::new() };
    let check = |name: &str, verdict| Check {
        name: name.to_owned(),
        expected: expected(name, suite),
        took_ms: 0,
        verdict,
    };
    let mut checks = Vec::new();
    let healed = record.phases.iter().find(|phase| phase.phase == Phase::Recovery).map(|phase| phase.at);
    if let Some(healed) = healed.filter(|_| record.end == EndRecord::Complete) {
        checks.push(check(RECOVERS, recovers(suite, healed, record.recovered_after)));
    }
    checks.push(check(NODES_STAY_UP, stay_up(suite, &record.unexpected_exits)));
    checks
}

fn recovers(suite: &Suite, healed: u64, recovered_after: Option<u64>) -> Verdict {
    match recovered_after {
        Some(_) => Verdict::Holds(Coverage { examined: 1, unit: "recovery".to_owned() }),
        None => violated(
            format!(
                "no write was acknowledged in the {} after everything was healed, nor during the final reads",
                crate::suite::duration_text(suite.quiesce_ns)
            ),
            vec![Evidence {
                start: healed,
                end: Some(healed + suite.quiesce_ns),
                who: "all clients".to_owned(),
                what: "wrote without success".to_owned(),
            }],
        ),
    }
}

fn stay_up(suite: &Suite, exits: &[crate::rundir::ExitRecord]) -> Verdict {
    if exits.is_empty() {
        return Verdict::Holds(Coverage {
            examined: u64::from(suite.system.nodes),
            unit: "nodes".to_owned(),
        });
    }
    let evidence = exits.iter().map(|exit| Evidence {
        start: exit.at,
        end: Some(exit.at),
        who: exit.node.clone(),
        what: format!("ended by itself ({}); it said last: {}", exit.status, exit.last.trim_end()),
    });
    violated("a node ended although no fault ended it".to_owned(), evidence.collect())
}

fn violated(summary: String, evidence: Vec<Evidence>) -> Verdict {
    Verdict::Violated(Counterexample { summary, evidence })
}

fn undecided(reason: String) -> Verdict {
    Verdict::Inconclusive(Cause::Evidence { reason })
}

fn expected(name: &str, suite: &Suite) -> Expected {
    match &suite.expect {
        Expect::Violates(names) if names.iter().any(|violated| violated == name) => Expected::Violated,
        // A weakened cluster may also fall over: that is not what its suite asks about.
        Expect::Violates(_) if name == RECOVERS || name == NODES_STAY_UP => Expected::Tolerated,
        _ => Expected::Holds,
    }
}

fn expected_words(expect: &Expect) -> String {
    match expect {
        Expect::Safe => "safe".to_owned(),
        Expect::Violates(names) => format!("violates {}", names.join(" or ")),
    }
}

/// When the first violation was complete: the last of its operations had returned.
fn first_violation(checks: &[Check]) -> Option<u64> {
    let complete = |check: &Check| match &check.verdict {
        Verdict::Violated(counterexample) => {
            counterexample.evidence.iter().map(|evidence| evidence.end.unwrap_or(evidence.start)).max()
        }
        _ => None,
    };
    checks.iter().filter_map(complete).min()
}
