//! `term-monotonic`: a node's current term never falls, also across restarts.
//!
//! ```yaml
//! checks: [term-monotonic]
//! ```
//!
//! While a node runs, every line counts that is written at once; those of what became durable (votes, acknowledgements,
//! syncs) may come late. A term that a node had only in memory when it ended may be lost, because
//! nobody can have heard of it; one in which it voted, answered a leader, led, or that it made durable may not. The reader of a
//! violation sees the event with the higher term, the start in between, and the event with the lower one. Reference:
//! Ongaro & Ousterhout, figure 2 (currentTerm is persistent and increases monotonically).

use rustc_hash::FxHashMap;

use super::{Needs, PropertyKind, Run, evidence};
use crate::params::Params;
use crate::trace::{Node, Role, What};
use crate::verdict::{Budget, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "term-monotonic",
    summary: "A node's current term never falls, also across restarts.",
    example: "checks: [term-monotonic]",
    settings: &[],
    needs: Needs::Trace,
    judge,
};

/// The highest terms of a node, each with the event.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// Since its start.
    running: Option<(u64, usize)>,
    /// Of all that others may know, or that was made durable.
    told: Option<(u64, usize)>,
    boot: Option<usize>,
}

fn judge(run: &Run<'_>, _: &Params, _: &Budget<'_>) -> Verdict {
    let trace = run.trace;
    let mut nodes: FxHashMap<Node, Seen> = FxHashMap::default();
    for (position, event) in trace.events.iter().enumerate() {
        let seen = nodes.entry(event.node).or_default();
        let booted = matches!(event.what, What::Boot(_));
        if booted {
            seen.running = None;
            seen.boot = Some(position);
        }
        let late = matches!(event.what, What::Vote(_) | What::Ack(..) | What::Fsync(..));
        let bound = if booted { seen.told } else { seen.running.filter(|_| !late) };
        if let Some((term, at)) = bound.filter(|(term, _)| event.term < *term) {
            let who = trace.name(event.node);
            let summary = format!("the term of {who} fell from {term} to {}", event.term);
            let restart = seen.boot.filter(|boot| *boot > at && *boot < position);
            let shown = [Some(at), restart, Some(position)];
            let items = shown.into_iter().flatten().map(|at| {
                let what = format!("is in term {}", trace.events[at].term);
                let own = at == position || at == bound.map_or(at, |(_, at)| at);
                if own && !matches!(trace.events[at].what, What::Boot(_) | What::Vote(_) | What::Role(..)) {
                    evidence::instant(trace, at, what)
                } else {
                    evidence::event(trace, at)
                }
            });
            return evidence::violated(trace, summary, items.collect());
        }
        raise(&mut seen.running, event.term, position);
        let told = match event.what {
            What::Vote(_) | What::Ack(..) | What::Role(Role::Leader, _) => true,
            What::Fsync(_, hard_state) => hard_state,
            What::Boot(_) => true,
            _ => false,
        };
        if told {
            raise(&mut seen.told, event.term, position);
        }
    }
    evidence::holds(trace, trace.events.len() as u64, "events")
}

fn raise(highest: &mut Option<(u64, usize)>, term: u64, position: usize) {
    if highest.is_none_or(|(known, _)| term > known) {
        *highest = Some((term, position));
    }
}
