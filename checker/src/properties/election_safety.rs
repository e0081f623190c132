//! `election-safety`: at most one leader per term.
//!
//! ```yaml
//! checks: [election-safety]
//! ```
//!
//! The reader of a violation sees two nodes lead one term, and who voted for each. Reference: Ongaro & Ousterhout,
//! figure 3. One node that leads a term again after a restart is not counted: there still was only one leader.

use rustc_hash::FxHashMap;

use super::{Needs, PropertyKind, Run, evidence};
use crate::params::Params;
use crate::trace::{Role, What};
use crate::verdict::{Budget, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "election-safety",
    summary: "At most one node leads in any term.",
    example: "checks: [election-safety]",
    settings: &[],
    needs: Needs::Trace,
    judge,
};

fn judge(run: &Run<'_>, _: &Params, _: &Budget<'_>) -> Verdict {
    let trace = run.trace;
    let mut leaders: FxHashMap<u64, usize> = FxHashMap::default();
    for (position, event) in trace.events.iter().enumerate() {
        if !matches!(event.what, What::Role(Role::Leader, _)) {
            continue;
        }
        let first = *leaders.entry(event.term).or_insert(position);
        let other = trace.events[first].node;
        if other != event.node {
            let summary =
                format!("{} and {} both lead term {}", trace.name(other), trace.name(event.node), event.term);
            let items = vec![evidence::event(trace, first), evidence::event(trace, position)];
            return evidence::violated(trace, summary, items);
        }
    }
    evidence::holds(trace, leaders.len() as u64, "terms with a leader")
}
