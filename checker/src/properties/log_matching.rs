//! `log-matching`: two entries with the same index and term are the same, and so is everything before them.
//!
//! ```yaml
//! checks: [log-matching]
//! ```
//!
//! Judged from every append of every node, whenever it happened: index and term must determine the entry, and the term
//! of the entry before it; by induction that is the whole prefix. Where the trace does not tell what stood before (the
//! log of a node that lost part of its files), the second half is not judged. The reader of a violation sees the two
//! appends. Reference: Ongaro & Ousterhout, figure 3.

use rustc_hash::FxHashMap;

use super::{Needs, PropertyKind, Run, evidence};
use crate::params::Params;
use crate::trace::logs::NodeLog;
use crate::trace::{Entry, Span, Trace, What};
use crate::verdict::{Budget, Cause, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "log-matching",
    summary: "Two entries with the same index and term are the same on all nodes, and so is all before them.",
    example: "checks: [log-matching]",
    settings: &[],
    needs: Needs::Trace,
    judge,
};

/// The first that was seen of an index and term.
#[derive(Clone, Copy)]
struct First {
    entry: Entry,
    position: usize,
    /// The term of the entry before, and where that was learnt.
    before: Option<(u64, usize)>,
}

fn judge(run: &Run<'_>, _: &Params, budget: &Budget<'_>) -> Verdict {
    let trace = run.trace;
    let mut known: FxHashMap<(u64, u64), First> = FxHashMap::default();
    let mut logs = vec![NodeLog::default(); trace.nodes.len()];
    let mut examined = 0;
    for (position, event) in trace.events.iter().enumerate() {
        if position % 4096 == 0 && (budget.expired)() {
            let reached = format!("after {position} of {} trace events", trace.events.len());
            return Verdict::Inconclusive(Cause::Time { reached });
        }
        let log = &mut logs[event.node.0 as usize];
        if let What::Append(span) = event.what {
            examined += trace.entries(span).len() as u64;
            if let Some(verdict) = appended(trace, &mut known, log, position, span) {
                return verdict;
            }
        }
        log.observe(trace, position, event);
    }
    evidence::holds(trace, examined, "appended entries")
}

fn appended(
    trace: &Trace,
    known: &mut FxHashMap<(u64, u64), First>,
    log: &NodeLog,
    position: usize,
    span: Span,
) -> Option<Verdict> {
    let mut previous: Option<Entry> = None;
    for &entry in trace.entries(span) {
        let before = term_before(log, previous, entry);
        previous = Some(entry);
        let new = First { entry, position, before: before.map(|term| (term, position)) };
        let first = known.entry((entry.index, entry.term)).or_insert(new);
        if first.entry.hash != entry.hash {
            return Some(differs(trace, first, position, entry));
        }
        match (first.before, before) {
            (Some((a, at)), Some(b)) if a != b => {
                let what = |term, at| {
                    evidence::instant(
                        trace,
                        at,
                        format!("appends {} after an entry of term {term}", evidence::name(entry)),
                    )
                };
                let summary = format!(
                    "entry {} of term {} follows an entry of term {a} on {} and one of term {b} on {}",
                    entry.index,
                    entry.term,
                    trace.name(trace.events[at].node),
                    trace.name(trace.events[position].node),
                );
                return Some(evidence::violated(trace, summary, vec![what(a, at), what(b, position)]));
            }
            (None, Some(term)) => first.before = Some((term, position)),
            _ => {}
        }
    }
    None
}

/// The term of the entry before this one; 0 before the first.
fn term_before(log: &NodeLog, previous: Option<Entry>, entry: Entry) -> Option<u64> {
    match (entry.index, previous) {
        (0, _) => None,
        (1, _) => Some(0),
        (index, Some(previous)) if previous.index + 1 == index => Some(previous.term),
        (index, _) => log.term_at(index - 1),
    }
}

fn differs(trace: &Trace, first: &First, position: usize, entry: Entry) -> Verdict {
    let summary = format!(
        "entry {} of term {} is not the same on {} and on {}",
        entry.index,
        entry.term,
        trace.name(trace.events[first.position].node),
        trace.name(trace.events[position].node)
    );
    let items = vec![
        evidence::entry(trace, first.position, "appends", first.entry),
        evidence::entry(trace, position, "appends", entry),
    ];
    evidence::violated(trace, summary, items)
}
