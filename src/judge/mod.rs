//! From a run directory to its verdicts.
//!
//! Invariant: only files of the directory are looked at, so that a recorded run gives the same verdicts whenever it is
//! judged. What is missing or cut off is said, and whatever can still be decided is.

mod claims;
mod evidence;
mod expectation;
mod judged;
mod measures;

use std::io;
use std::time::Instant;

use checker::history::{EventBody, History};
use checker::properties::{self, Needs, Run};
use checker::verdict::{Budget, Cause, Counterexample, Coverage, Evidence, Verdict};

pub use claims::{CONTROL, Control};
pub use judged::{Check, Expected, FaultCounts, Judged, Meaning, Threshold};

use crate::director::script::Missed;
use crate::events::Phase;
use crate::exit::Exit;
use crate::plan::Plan;
use crate::rundir::{EndRecord, RunDir};
use crate::suite::{CheckUse, Claim, Expect, NodeEvent, Suite, When};
pub use evidence::{FaultsRecord, Recorded};
use expectation::Circumstances;

/// The check that a healed cluster acknowledges writes again. Part of every run.
pub const RECOVERS: &str = "recovers";
/// The check that no node ends by itself. Part of every run.
pub const NODES_STAY_UP: &str = "nodes-stay-up";

/// The most memory that one property may hold.
const JUDGE_MEMORY: usize = 1 << 30;

/// A judged run with what it was judged from.
pub struct Judgement {
    /// The verdicts.
    pub judged: Judged,
    /// What the run left behind.
    pub recorded: Recorded,
    /// What was to be done.
    pub plan: Plan,
}

/// Judges a run and writes `verdict.json`. `failure` and `unavailable` are what the recording process said of itself.
pub fn judge(dir: &RunDir, failure: Option<String>, unavailable: Option<String>) -> io::Result<Judgement> {
    let Judgement { mut judged, recorded, plan } = verdicts(dir, failure, unavailable)?;
    if let Err(error) = dir.write_json("verdict.json", &judged) {
        // A full disk must not hide what was found; it only keeps a run from passing.
        let worst = judged.exit.worst(Exit::Harness);
        if worst != judged.exit {
            judged.headline = format!("the verdict could not be written: {error}");
            judged.exit = worst;
        }
        judged.remarks.push(format!("the verdict could not be written: {error}"));
    }
    Ok(Judgement { judged, recorded, plan })
}

fn verdicts(dir: &RunDir, failure: Option<String>, unavailable: Option<String>) -> io::Result<Judgement> {
    let plan: Plan = dir.read_json("plan.json")?;
    let mut recorded = evidence::read(dir);
    if plan.suite.faults.is_some() && plan.faults.is_empty() {
        recorded.remarks.push(
            "the plan holds no fault: with these `every` and `for`, none fits into `duration`".to_owned(),
        );
    }
    let suite = &plan.suite;
    let mut checks: Vec<Check> = suite.checks.iter().map(|check| property(check, suite, &recorded)).collect();
    checks.extend(claims::judge(suite, dir, &recorded));
    checks.extend(always(suite, &recorded));
    let thresholds = measures::thresholds(suite, &recorded);
    // What the host does not allow has left nothing to read, and that is no failure of its own.
    let damage = recorded.damage.clone().filter(|_| unavailable.is_none());
    // Without its record nobody knows which part of the run is missing: such a run is never green.
    let cut = recorded.record.is_none().then(|| "the recording process ended before the run did".to_owned());
    let harness = failure.or(damage).or(cut.filter(|_| unavailable.is_none()));
    let missed = recorded.record.as_ref().and_then(|record| record.missed.as_ref());
    let missed = missed.map(|missed| missed_in_words(&plan, missed));
    let (exit, headline) = expectation::result(
        &checks,
        &thresholds,
        Circumstances {
            harness: harness.as_deref(),
            unavailable: unavailable.as_deref(),
            interrupted: recorded.record.as_ref().is_some_and(|record| record.end == EndRecord::Interrupted),
            missed: missed.as_deref(),
        },
    );
    let counts = recorded.history.counts().all();
    let judged = Judged {
        format: crate::rundir::FORMAT,
        suite: suite.title(),
        seed: plan.seed,
        directory: dir.path().to_owned(),
        cluster: format!("{} nodes of {}", suite.system.nodes, suite.system.system),
        expect: suite.expect.words(),
        exit,
        headline,
        lasted: recorded.history.events.last().map_or(0, |event| event.time),
        calls: crate::events::Calls { ok: counts.ok, failed: counts.failed, unknown: counts.unknown },
        faults: recorded.faults.counts,
        first_violation: first_violation(&checks),
        checks,
        thresholds,
        harness_failure: harness,
        unavailable,
        missed,
        steps: recorded.steps.clone(),
        remarks: recorded.remarks.clone(),
        reproduce: plan.reproduce(),
    };
    Ok(Judgement { judged, recorded, plan })
}

/// Which step did not come about, what was awaited, and the last view of every node.
fn missed_in_words(plan: &Plan, missed: &Missed) -> String {
    let file = plan.command.split_whitespace().find(|word| word.ends_with(".yaml") || word.ends_with(".yml"));
    let place = format!("{}:{}", file.unwrap_or("the suite"), missed.line);
    let views: String = missed.views.iter().map(|view| format!("\n{view}")).collect();
    format!("{place}: `{}`: {}{views}", missed.step, missed.why)
}

/// Judges a run that was judged before: what the recording process said is taken from `verdict.json`, which is written
/// anew where that is possible. A run on a medium that is read only can be judged all the same.
pub fn again(dir: &RunDir) -> io::Result<Judgement> {
    let before: Option<Judged> = dir.read_json("verdict.json").ok();
    let (failure, unavailable) =
        before.map_or((None, None), |judged| (judged.harness_failure, judged.unavailable));
    let Judgement { mut judged, recorded, plan } = verdicts(dir, failure, unavailable)?;
    if let Err(error) = dir.write_json("verdict.json", &judged) {
        judged.remarks.push(format!("the verdict could not be written: {error}"));
    }
    Ok(Judgement { judged, recorded, plan })
}

fn property(check: &CheckUse, suite: &Suite, recorded: &Recorded) -> Check {
    let begun = Instant::now();
    let expired = || begun.elapsed() > check.timeout();
    let budget = Budget { expired: &expired, memory_bytes: JUDGE_MEMORY };
    let verdict = match properties::find(&check.check) {
        None => undecided(format!("this raftcheck knows no property called {}", check.check)),
        Some(kind) => {
            let run = Run {
                history: &recorded.history,
                final_reads_from: recorded.final_reads_from(),
                trace: &recorded.trace,
            };
            match (kind.judge)(&run, &check.settings, &budget) {
                // What can be read proves a violation all the same, and never that there is none.
                Verdict::Holds(coverage) => {
                    missing(kind.needs, recorded).map_or(Verdict::Holds(coverage), undecided)
                }
                other => other,
            }
        }
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
        let verdict = match record.recovered_after {
            Some(_) => Verdict::Holds(Coverage { examined: 1, unit: "recovery".to_owned(), power: None }),
            None => not_recovered(suite, healed, &recorded.history),
        };
        checks.push(check(RECOVERS, verdict));
    }
    checks.push(check(NODES_STAY_UP, stay_up(suite, &record.unexpected_exits)));
    checks
}

/// No write was acknowledged after everything was healed. That says something only if one was tried once the cluster had
/// had time to elect a leader: a slow workload may not write in so short a time, and its clients may still be waiting
/// for what they asked before.
fn not_recovered(suite: &Suite, healed: u64, history: &History) -> Verdict {
    let from = healed.saturating_add(suite.quiesce_ns / 2);
    let late = history.events.iter().rev().take_while(|event| event.time >= from);
    let tried = late.filter(|event| matches!(&event.body, EventBody::Invoke(op) if !op.is_read())).count();
    let quiesce = crate::suite::duration_text(suite.quiesce_ns);
    if tried == 0 {
        return undecided(format!(
            "no client wrote in the second half of the {quiesce} after everything was healed: make `quiesce` longer or \
             the rate of writes higher"
        ));
    }
    violated(
        format!(
            "no write was acknowledged in the {quiesce} after everything was healed, nor during the final reads"
        ),
        vec![Evidence {
            start: healed,
            end: Some(healed.saturating_add(suite.quiesce_ns)),
            who: "all clients".to_owned(),
            what: "wrote without success".to_owned(),
        }],
    )
}

fn stay_up(suite: &Suite, exits: &[crate::rundir::ExitRecord]) -> Verdict {
    if exits.is_empty() {
        return Verdict::Holds(Coverage {
            examined: u64::from(suite.system.nodes),
            unit: "nodes".to_owned(),
            power: None,
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
        // Whoever claims that the cluster stalls does not ask whether it gets going again, and a node that ends by itself
        // may be what is claimed.
        Expect::Shows(claims) if tolerates(claims, name) => Expected::Tolerated,
        _ => Expected::Holds,
    }
}

fn tolerates(claims: &[Claim], name: &str) -> bool {
    claims.iter().any(|claim| match claim {
        Claim::Stalls(_) => name == RECOVERS,
        Claim::Behaviour(claim) => {
            name == NODES_STAY_UP && claim.when == When::Occurs && claim.event == NodeEvent::Exits
        }
        Claim::Live(_) | Claim::Degrades(_) => false,
    })
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

#[cfg(test)]
mod tests {
    use checker::history::{Event, Key, Op, Outcome, ProcessId, Value};
    use checker::trace::TraceBuilder;

    use super::*;

    const TWO_VOTES: [&str; 2] = [
        r#"{"t":1,"n":"n1","term":3,"ev":"vote","to":"n2","last_index":0,"last_term":0}"#,
        r#"{"t":2,"n":"n1","term":3,"ev":"vote","to":"n3","last_index":0,"last_term":0}"#,
    ];

    fn suite() -> Suite {
        let text = "version: 1\nname: s\nsystem: { use: raftkv, nodes: 3 }\nworkload: { kind: register }\n\
                    duration: 1s\nquiesce: 2s\nchecks: [vote-once]\nexpect: safe\n";
        let read = crate::suite::read("s.yaml", text.as_bytes(), &[], &crate::suite::vocabulary());
        read.unwrap_or_else(|problems| panic!("{}", problems.render(crate::suite::Colour::Plain)))
    }

    fn votes(lines: &[&str], damage: Option<&str>) -> Verdict {
        let mut builder = TraceBuilder::new(0);
        builder.read("n1", lines).unwrap();
        let trace_damage = damage.map(str::to_owned);
        let recorded = Recorded { trace: builder.finish(), trace_damage, ..Recorded::default() };
        let suite = suite();
        property(&suite.checks[0], &suite, &recorded).verdict
    }

    #[test]
    fn a_damaged_trace_hides_no_violation_and_proves_nothing() {
        assert!(matches!(votes(&TWO_VOTES[..1], None), Verdict::Holds(_)));
        assert!(matches!(votes(&TWO_VOTES[..1], Some("line 2 is damaged")), Verdict::Inconclusive(_)));
        assert!(matches!(votes(&TWO_VOTES, Some("line 3 is damaged")), Verdict::Violated(_)));
    }

    #[test]
    fn a_cluster_that_nobody_wrote_to_is_not_accused_of_refusing_writes() {
        let ms = 1_000_000;
        let history = |at: u64, op: Op| {
            let event = |time, body| Event { time, process: ProcessId(0), node: None, body };
            let failed = EventBody::Complete(Outcome::Failed("no leader".to_owned()));
            History { events: vec![event(at, EventBody::Invoke(op)), event(at + ms, failed)] }
        };
        let key = Key::new("a");
        let write = || Op::Write { key: key.clone(), value: Value::Int(1) };
        let healed = 1000 * ms;
        let verdict = |history| not_recovered(&suite(), healed, &history);
        assert!(matches!(verdict(history(2500 * ms, write())), Verdict::Violated(_)));
        // Too early to have met a leader, not a write, before the healing.
        assert!(matches!(verdict(history(1500 * ms, write())), Verdict::Inconclusive(_)));
        assert!(matches!(
            verdict(history(2500 * ms, Op::Read { key: key.clone() })),
            Verdict::Inconclusive(_)
        ));
        assert!(matches!(verdict(history(500 * ms, write())), Verdict::Inconclusive(_)));
    }
}
