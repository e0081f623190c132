//! `linearizable`: every operation seems to take effect at one instant between its call and its return.
//!
//! ```yaml
//! checks: [linearizable]
//! checks: [{ linearizable: { failed-cas: drop } }]
//! ```
//!
//! The reader of a violation sees the few operations of one key that no order explains. Operations of unknown outcome
//! may take effect at any later time or never. Reference: Herlihy & Wing 1990.

use super::{Needs, PropertyKind, Run};
use crate::linearizability::{self, FailedCas};
use crate::params::{Kind, Param, Params, Setting};
use crate::verdict::{Budget, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "linearizable",
    summary: "Every operation seems to take effect at one instant between its call and its return.",
    example: "checks: [linearizable]",
    settings: &[Setting {
        name: "failed-cas",
        kind: Kind::Word(&["observe", "drop"]),
        default: Some("observe"),
        doc: "Whether a CAS that found another value proves that the key did not hold the expected one.",
    }],
    needs: Needs::History,
    judge,
};

fn judge(run: &Run<'_>, params: &Params, budget: &Budget<'_>) -> Verdict {
    let failed_cas = match params.0.get("failed-cas") {
        Some(Param::Text(word)) if word == "drop" => FailedCas::Drop,
        _ => FailedCas::Observe,
    };
    linearizability::check(run.history, failed_cas, budget)
}
