//! `state-machine-safety`: no two nodes ever apply different entries at one index.
//!
//! ```yaml
//! checks: [state-machine-safety]
//! ```
//!
//! Judged from every application on every node, also across restarts of one node. The reader of a violation sees the
//! two applications. Reference: Ongaro & Ousterhout, figure 3.

use rustc_hash::FxHashMap;

use super::{Needs, PropertyKind, Run, evidence};
use crate::params::Params;
use crate::trace::{Entry, What};
use crate::verdict::{Budget, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "state-machine-safety",
    summary: "No two nodes ever apply different entries at one index.",
    example: "checks: [state-machine-safety]",
    settings: &[],
    needs: Needs::Trace,
    judge,
};

fn judge(run: &Run<'_>, _: &Params, _: &Budget<'_>) -> Verdict {
    let trace = run.trace;
    let mut applied: FxHashMap<u64, (Entry, usize)> = FxHashMap::default();
    let mut examined = 0;
    for (position, event) in trace.events.iter().enumerate() {
        let What::Apply(span) = event.what else { continue };
        for &entry in trace.entries(span) {
            examined += 1;
            let (first, at) = *applied.entry(entry.index).or_insert((entry, position));
            if first != entry {
                let (one, two) = (trace.name(trace.events[at].node), trace.name(event.node));
                let summary = format!("{one} and {two} applied different entries at index {}", entry.index);
                let items = vec![
                    evidence::entry(trace, at, "applies", first),
                    evidence::entry(trace, position, "applies", entry),
                ];
                return evidence::violated(trace, summary, items);
            }
        }
    }
    evidence::holds(trace, examined, "applied entries")
}
