//! The claims of a suite: each becomes a verdict of its own beside those of the checks.
//!
//! Invariant: a claim is judged from the recorded history and the traces alone, whatever steps and faults were meant to
//! do; where these do not reach far enough for the stated bound, the claim is inconclusive and never confirmed.

mod behaviour;
mod control;
mod liveness;

use checker::verdict::{Cause, Counterexample, Coverage, Evidence, Verdict};

pub use control::{CONTROL, Control};

use super::evidence::Recorded;
use super::judged::{Check, Expected};
use crate::director::script::StoryLine;
use crate::events::Phase;
use crate::rundir::RunDir;
use crate::suite::{Claim, Part, Suite};

/// The verdicts on all claims of the suite.
pub(super) fn judge(suite: &Suite, dir: &RunDir, recorded: &Recorded) -> Vec<Check> {
    let claims = suite.expect.claims().iter();
    claims
        .map(|claim| Check {
            name: claim.name().to_owned(),
            expected: Expected::Holds,
            took_ms: 0,
            verdict: verdict(claim, dir, recorded),
        })
        .collect()
}

fn verdict(claim: &Claim, dir: &RunDir, recorded: &Recorded) -> Verdict {
    let part = |part: &Part| window(part, recorded);
    let missed = recorded.record.as_ref().is_some_and(|record| record.missed.is_some());
    let judged = match claim {
        // Whatever was seen then was seen in another scenario than the one that is claimed about.
        _ if missed => Err("the scenario did not come about".to_owned()),
        Claim::Live(claim) => part(&claim.part).and_then(|window| liveness::live(claim, window, recorded)),
        Claim::Stalls(claim) => {
            part(&claim.part).and_then(|window| liveness::stalls(claim, window, recorded))
        }
        Claim::Degrades(claim) => control::degrades(claim, dir, recorded),
        Claim::Behaviour(claim) => behaviour::judge(claim, recorded),
    };
    judged.unwrap_or_else(|reason| Verdict::Inconclusive(Cause::Evidence { reason }))
}

/// A part of a run, in nanoseconds since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    from: u64,
    to: u64,
}

impl Window {
    fn holds(self, time: u64) -> bool {
        (self.from..=self.to).contains(&time)
    }

    fn length(self) -> u64 {
        self.to - self.from
    }
}

/// The part of the run between two labels; without them from the first fault or step until healing begins.
fn window(part: &Part, recorded: &Recorded) -> Result<Window, String> {
    let record = recorded.record.as_ref().ok_or("the run ended without a record of its phases")?;
    let begin =
        |phase: Phase| record.phases.iter().find(|record| record.phase == phase).map(|record| record.at);
    let last = recorded.history.events.last().map_or(0, |event| event.time);
    let from = match &part.after {
        Some(label) => label_end(label, recorded)?,
        None => begin(Phase::Faults).ok_or("the run did not come to its faults")?,
    };
    let to = match &part.until {
        Some(label) => label_begin(label, recorded)?,
        None => begin(Phase::Healing).or_else(|| begin(Phase::Stopping)).unwrap_or(last.max(from)),
    };
    if to < from {
        return Err("the part of the run that is claimed about ends before it begins".to_owned());
    }
    Ok(Window { from, to })
}

/// When the step with this label was done.
fn label_end(label: &str, recorded: &Recorded) -> Result<u64, String> {
    labelled(label, recorded).map(|step| step.t)
}

/// When the step with this label began.
fn label_begin(label: &str, recorded: &Recorded) -> Result<u64, String> {
    labelled(label, recorded).map(|step| step.from)
}

fn labelled<'r>(label: &str, recorded: &'r Recorded) -> Result<&'r StoryLine, String> {
    let found = recorded.steps.iter().rev().find(|step| step.label.as_deref() == Some(label));
    found.ok_or_else(|| format!("no step called `{label}` is on record"))
}

fn holds(examined: u64, unit: String) -> Verdict {
    Verdict::Holds(Coverage { examined, unit, power: None })
}

fn violated(summary: String, evidence: Vec<Evidence>) -> Verdict {
    Verdict::Violated(Counterexample { summary, evidence })
}

/// A time of the run as it is printed: "1.234 s".
fn seconds(ns: u64) -> String {
    format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1000)
}
