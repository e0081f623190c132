//! `leader-append-only`: a leader never removes entries of its own log.
//!
//! ```yaml
//! checks: [leader-append-only]
//! ```
//!
//! The reader of a violation sees the election and the removal in the same term. What a snapshot makes superfluous is no
//! removal. Reference: Ongaro & Ousterhout, figure 3.

use rustc_hash::FxHashMap;

use super::{Needs, PropertyKind, Run, evidence};
use crate::params::Params;
use crate::trace::{Node, Role, What};
use crate::verdict::{Budget, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "leader-append-only",
    summary: "A leader never removes entries of its own log.",
    example: "checks: [leader-append-only]",
    settings: &[],
    needs: Needs::Trace,
    judge,
};

fn judge(run: &Run<'_>, _: &Params, _: &Budget<'_>) -> Verdict {
    let trace = run.trace;
    let mut leads: FxHashMap<Node, usize> = FxHashMap::default();
    let mut elections = 0;
    for (position, event) in trace.events.iter().enumerate() {
        match event.what {
            What::Role(Role::Leader, _) => {
                elections += 1;
                leads.insert(event.node, position);
            }
            What::Role(..) | What::Boot(_) => drop(leads.remove(&event.node)),
            What::Truncate(from) => {
                // A higher term ends the leadership, whenever the node says so.
                let elected = leads.get(&event.node).filter(|at| trace.events[**at].term == event.term);
                let Some(&elected) = elected else { continue };
                let who = trace.name(event.node);
                let summary =
                    format!("{who} removed its log from index {from} on while it led term {}", event.term);
                let items = vec![evidence::event(trace, elected), evidence::event(trace, position)];
                return evidence::violated(trace, summary, items);
            }
            _ => {}
        }
    }
    evidence::holds(trace, elections, "elections")
}
