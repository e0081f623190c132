//! `commit-monotonic`: a node's commit index never falls while the node runs, and it never applies another entry at an
//! index than it once did.
//!
//! ```yaml
//! checks: [commit-monotonic]
//! ```
//!
//! The commit index is volatile, so it starts anew at every start of the node; what was applied stays applied. An
//! installed snapshot that ends below the commit index takes it back. The
//! reader of a violation sees the two events of the node.

use rustc_hash::FxHashMap;

use super::{Needs, PropertyKind, Run, evidence};
use crate::params::Params;
use crate::trace::{Commit, Entry, Node, SnapshotState, What};
use crate::verdict::{Budget, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "commit-monotonic",
    summary: "A node's commit index never falls while it runs, and what it applied at an index stays the same.",
    example: "checks: [commit-monotonic]",
    settings: &[],
    needs: Needs::Trace,
    judge,
};

fn judge(run: &Run<'_>, _: &Params, _: &Budget<'_>) -> Verdict {
    let trace = run.trace;
    // The highest commit since the node's start.
    let mut highest: FxHashMap<Node, (u64, usize)> = FxHashMap::default();
    let mut applied: FxHashMap<(Node, u64), (Entry, usize)> = FxHashMap::default();
    let mut examined = 0;
    for (position, event) in trace.events.iter().enumerate() {
        let who = trace.name(event.node);
        match event.what {
            What::Boot(_) => {
                highest.remove(&event.node);
            }
            // A snapshot from the leader raises the commit index to its end.
            What::Commit(Commit { index, .. }) | What::Snapshot(SnapshotState::Installed, index, _) => {
                examined += 1;
                let top = highest.entry(event.node).or_insert((index, position));
                if index < top.0 {
                    let summary = format!("the commit index of {who} fell from {} to {index}", top.0);
                    let items = vec![evidence::event(trace, top.1), evidence::event(trace, position)];
                    return evidence::violated(trace, summary, items);
                }
                *top = (index, position);
            }
            What::Apply(span) => {
                for &entry in trace.entries(span) {
                    let (first, at) = *applied.entry((event.node, entry.index)).or_insert((entry, position));
                    if first != entry {
                        let summary = format!("{who} applied two different entries at index {}", entry.index);
                        let items = vec![
                            evidence::entry(trace, at, "applies", first),
                            evidence::entry(trace, position, "applies", entry),
                        ];
                        return evidence::violated(trace, summary, items);
                    }
                }
            }
            _ => {}
        }
    }
    evidence::holds(trace, examined, "commits")
}
