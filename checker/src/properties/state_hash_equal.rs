//! `state-hash-equal`: replicas that have applied entries up to the same index have the same state.
//!
//! ```yaml
//! checks: [state-hash-equal]
//! ```
//!
//! Judged from every hash of its state that a node names when it compares itself with others, also across restarts of
//! one node. It sees what no trace of entries shows: a state machine that makes different things of the same entries, and
//! a snapshot that lacks a part. A run in which no two hashes could be compared decides nothing. The reader of a violation
//! sees the two hashes. Reference: Ongaro & Ousterhout, section 2, and etcd's issue 13766.

use rustc_hash::FxHashMap;

use super::{Needs, PropertyKind, Run, evidence};
use crate::params::Params;
use crate::trace::What;
use crate::verdict::{Budget, Cause, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "state-hash-equal",
    summary: "Replicas that applied entries up to the same index have the same state.",
    example: "checks: [state-hash-equal]",
    settings: &[],
    needs: Needs::Trace,
    judge,
};

fn judge(run: &Run<'_>, _: &Params, _: &Budget<'_>) -> Verdict {
    let trace = run.trace;
    let mut states: FxHashMap<u64, (u64, usize)> = FxHashMap::default();
    let mut compared = 0;
    for (position, event) in trace.events.iter().enumerate() {
        let What::State(index, hash) = event.what else { continue };
        let (first, at) = *states.entry(index).or_insert((hash, position));
        compared += u64::from(at != position);
        if first != hash {
            let shown = |at, hash| {
                evidence::instant(trace, at, format!("has a state of hash {hash:016x} behind entry {index}"))
            };
            let (one, two) = (trace.name(trace.events[at].node), trace.name(event.node));
            let summary = format!("the states of {one} and {two} behind entry {index} differ");
            return evidence::violated(trace, summary, vec![shown(at, first), shown(position, hash)]);
        }
    }
    if compared == 0 && !trace.events.is_empty() {
        let reason = "no two nodes named the hash of their state at the same index".to_owned();
        return Verdict::Inconclusive(Cause::Evidence { reason });
    }
    evidence::holds(trace, compared, "compared states")
}
