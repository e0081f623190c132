//! A measure against that of another cell of the same matrix.
//!
//! What the control run measured lies in the run directory of the run that is compared with it, so that judging again
//! comes to the same. Invariant: without a measured control there is no verdict.

use std::path::PathBuf;

use checker::verdict::{Evidence, Verdict};
use serde::{Deserialize, Serialize};

use super::super::evidence::{self, Recorded};
use super::super::measures;
use super::{holds, violated};
use crate::rundir::RunDir;
use crate::suite::{Claim, Degrades, Direction, Factor, Suite};

/// The file with what the control measured.
pub const CONTROL: &str = "control.json";

/// The run that another one is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// Its cell.
    pub cell: String,
    /// Its run directory.
    pub directory: PathBuf,
    /// The measures of it that are claimed about: `latency.p99`, `memory.max of n1` and its value, `None` if it could not be measured.
    pub measured: Vec<(String, Option<f64>)>,
}

impl Control {
    /// What the run in this directory measured of all that a suite claims about its control.
    pub fn read(suite: &Suite, cell: &str, dir: &RunDir) -> Self {
        let recorded = evidence::read(dir);
        let claims = suite.expect.claims().iter().filter_map(|claim| match claim {
            Claim::Degrades(claim) if claim.control == cell => Some(claim),
            _ => None,
        });
        let measured = claims.map(|claim| {
            let node = claim.node.as_deref();
            let value = measures::measure(&claim.measure, &claim.aggregate, node, &recorded);
            (claim.measured(), value.map(|(value, _)| value))
        });
        Self { cell: cell.to_owned(), directory: dir.path().to_owned(), measured: measured.collect() }
    }
}

/// Whether the measure is worse by the factor.
pub(super) fn degrades(claim: &Degrades, dir: &RunDir, recorded: &Recorded) -> Result<Verdict, String> {
    let Degrades { measure, aggregate, node, control, factor } = claim;
    let name = claim.measured();
    let no_control = || format!("there is no run of the cell `{control}` to compare {name} with");
    let other: Control = dir.read_json(CONTROL).map_err(|_| no_control())?;
    let theirs = other.measured.iter().find(|(measured, _)| *measured == name);
    let theirs = theirs.and_then(|(_, value)| *value).ok_or_else(no_control)?;
    let ours = measures::measure(measure, aggregate, node.as_deref(), recorded);
    let (ours, unit) = ours.ok_or_else(|| format!("{name} was not measured"))?;
    let worse = match measures::direction(measure) {
        Direction::MoreIsWorse => ratio(ours, theirs),
        Direction::LessIsWorse => ratio(theirs, ours),
    };
    let text = |value| measures::text(value, unit);
    let told =
        format!("{name} is {}, {worse:.2} times worse than the {} of {control}", text(ours), text(theirs));
    let kept = match factor {
        Factor::AtLeast(factor) => worse >= *factor,
        Factor::AtMost(factor) => worse <= *factor,
    };
    if kept {
        return Ok(holds(1, format!("comparison: {told}")));
    }
    let end = recorded.history.events.last().map_or(0, |event| event.time);
    let evidence = Evidence { start: 0, end: Some(end), who: "all clients".to_owned(), what: told.clone() };
    Ok(violated(format!("{told}, and {}", claimed(*factor)), vec![evidence]))
}

fn claimed(factor: Factor) -> String {
    match factor {
        Factor::AtLeast(factor) => format!("at least {factor} times is claimed"),
        Factor::AtMost(factor) => format!("at most {factor} times is claimed"),
    }
}

/// How often the one goes into the other. Something is infinitely more than nothing, and nothing as much as nothing.
fn ratio(value: f64, base: f64) -> f64 {
    match (value > 0.0, base > 0.0) {
        (false, false) => 1.0,
        (true, false) => f64::INFINITY,
        _ => value / base,
    }
}
