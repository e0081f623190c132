//! `vote-once`: a node votes for at most one candidate in a term, also across restarts.
//!
//! ```yaml
//! checks: [vote-once]
//! ```
//!
//! The reader of a violation sees the two votes, and the start in between at which the first was forgotten. Giving the
//! same vote again is allowed. Reference: Ongaro & Ousterhout, section 5.2.

use rustc_hash::FxHashMap;

use super::{Needs, PropertyKind, Run, evidence};
use crate::params::Params;
use crate::trace::{Node, What};
use crate::verdict::{Budget, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "vote-once",
    summary: "A node votes for at most one candidate in a term, also across restarts.",
    example: "checks: [vote-once]",
    settings: &[],
    needs: Needs::Trace,
    judge,
};

fn judge(run: &Run<'_>, _: &Params, _: &Budget<'_>) -> Verdict {
    let trace = run.trace;
    let mut votes: FxHashMap<(Node, u64), (Node, usize)> = FxHashMap::default();
    let mut boots: FxHashMap<Node, usize> = FxHashMap::default();
    for (position, event) in trace.events.iter().enumerate() {
        let to = match event.what {
            What::Vote(to) => to,
            What::Boot(_) => {
                boots.insert(event.node, position);
                continue;
            }
            _ => continue,
        };
        let (first, at) = *votes.entry((event.node, event.term)).or_insert((to, position));
        if first != to {
            let (voter, one, two) = (trace.name(event.node), trace.name(first), trace.name(to));
            let summary = format!("{voter} voted for {one} and for {two} in term {}", event.term);
            let restart = boots.get(&event.node).filter(|&&boot| boot > at);
            let shown = [Some(&at), restart, Some(&position)];
            let items = shown.into_iter().flatten().map(|&at| evidence::event(trace, at)).collect();
            return evidence::violated(trace, summary, items);
        }
    }
    evidence::holds(trace, votes.len() as u64, "votes")
}
