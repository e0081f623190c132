//! `state-machine-safety`: no two nodes ever apply different entries at one index.
//!
//! ```yaml
//! checks: [state-machine-safety]
//! ```
//!
//! Judged from every application on every node, also across restarts of one node. A snapshot that a node installs or
//! starts from stands for the application of its last entry, of which the term is known. The reader of a violation sees the
//! two applications. Reference: Ongaro & Ousterhout, figure 3.

use rustc_hash::FxHashMap;

use super::{Needs, PropertyKind, Run, evidence};
use crate::params::Params;
use crate::trace::{Entry, Node, SnapshotState, Trace, What};
use crate::verdict::{Budget, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "state-machine-safety",
    summary: "No two nodes ever apply different entries at one index.",
    example: "checks: [state-machine-safety]",
    settings: &[],
    needs: Needs::Trace,
    judge,
};

/// What is known of the entry that was applied at an index.
#[derive(Clone, Copy)]
struct Applied {
    term: u64,
    /// None where only a snapshot tells.
    hash: Option<u64>,
    position: usize,
}

fn judge(run: &Run<'_>, _: &Params, _: &Budget<'_>) -> Verdict {
    let trace = run.trace;
    let mut applied: FxHashMap<u64, Applied> = FxHashMap::default();
    // The term of the last entry of each node's snapshots. Those of uncommitted entries do no harm until they are used.
    let mut snapshots: FxHashMap<(Node, u64), u64> = FxHashMap::default();
    let mut examined = 0;
    for (position, event) in trace.events.iter().enumerate() {
        let known = match event.what {
            What::Apply(span) => {
                for &entry in trace.entries(span) {
                    examined += 1;
                    let new = Applied { term: entry.term, hash: Some(entry.hash), position };
                    if let Some(verdict) = compare(trace, &mut applied, entry.index, new) {
                        return verdict;
                    }
                }
                continue;
            }
            What::Snapshot(state, index, term) => {
                if state != SnapshotState::Compacted {
                    snapshots.insert((event.node, index), term);
                }
                (state == SnapshotState::Installed).then_some((index, term))
            }
            What::Boot(boot) => {
                let index = boot.snapshot_index;
                snapshots.get(&(event.node, index)).map(|&term| (index, term))
            }
            _ => None,
        };
        // A snapshot that does not know its term says 0.
        let Some((index, term)) = known.filter(|&(_, term)| term > 0) else { continue };
        let new = Applied { term, hash: None, position };
        if let Some(verdict) = compare(trace, &mut applied, index, new) {
            return verdict;
        }
    }
    evidence::holds(trace, examined, "applied entries")
}

fn compare(
    trace: &Trace,
    applied: &mut FxHashMap<u64, Applied>,
    index: u64,
    new: Applied,
) -> Option<Verdict> {
    let first = applied.entry(index).or_insert(new);
    let differs = first.term != new.term || first.hash.zip(new.hash).is_some_and(|(one, two)| one != two);
    if !differs {
        if first.hash.is_none() {
            *first = new;
        }
        return None;
    }
    let name = |applied: &Applied| trace.name(trace.events[applied.position].node);
    let summary = format!("{} and {} applied different entries at index {index}", name(first), name(&new));
    let items = [*first, new].map(|Applied { term, hash, position }| match hash {
        Some(hash) => evidence::entry(trace, position, "applies", Entry { index, term, hash }),
        None => {
            let what = format!("takes over a snapshot that ends in entry {index} of term {term}");
            evidence::instant(trace, position, what)
        }
    });
    Some(evidence::violated(trace, summary, items.to_vec()))
}
