//! `lease-overlap`: no node answers reads by its lease while another one leads a later term.
//!
//! ```yaml
//! checks: [lease-overlap]
//! checks: [{ lease-overlap: { slack: 500ms } }]
//! ```
//!
//! The times of the traces are those of one clock of the host. A line may be written later than what it tells was decided,
//! because its process stood still in between; so one late line proves nothing. A violation are two answers by lease of one term,
//! both after the election of another node in a later term, and further apart than the slack: what the second one
//! tells was decided behind the first. The reader of a violation sees the election and the two answers. Reference: Ongaro's thesis,
//! section 6.4.1.

use rustc_hash::FxHashMap;

use super::{Needs, PropertyKind, Run, evidence};
use crate::params::{Kind, Param, Params, Setting};
use crate::trace::{Node, ReadMode, Role, What};
use crate::verdict::{Budget, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "lease-overlap",
    summary: "No node answers reads by its lease while another one leads a later term.",
    example: "checks: [lease-overlap]",
    settings: &[Setting {
        name: "slack",
        kind: Kind::Duration,
        default: Some("100ms"),
        doc: "How far apart the two answers have to lie.",
    }],
    needs: Needs::Trace,
    judge,
};

const SLACK_NS: u64 = 100_000_000;

fn judge(run: &Run<'_>, params: &Params, _: &Budget<'_>) -> Verdict {
    let trace = run.trace;
    let slack = match params.0.get("slack") {
        Some(Param::Duration(ns)) => *ns,
        _ => SLACK_NS,
    };
    // The election of the highest term so far, and the first answer of each node in each term behind a later election.
    let mut elected: Option<usize> = None;
    let mut first: FxHashMap<(Node, u64), (usize, usize)> = FxHashMap::default();
    let mut examined = 0;
    for (position, event) in trace.events.iter().enumerate() {
        match event.what {
            What::Role(Role::Leader, _) if elected.is_none_or(|at| trace.events[at].term < event.term) => {
                elected = Some(position);
            }
            What::Read(ReadMode::Lease, _) => {
                examined += 1;
                let other =
                    |at: &usize| trace.events[*at].term > event.term && trace.events[*at].node != event.node;
                let Some(later) = elected.filter(other) else { continue };
                let (answer, election) = *first.entry((event.node, event.term)).or_insert((position, later));
                if event.time - trace.events[answer].time <= slack {
                    continue;
                }
                let (who, other) = (trace.name(event.node), trace.name(trace.events[election].node));
                let summary = format!(
                    "{who} answers reads by its lease of term {} while {other} leads term {}",
                    event.term, trace.events[election].term
                );
                let read = |at| {
                    evidence::instant(
                        trace,
                        at,
                        format!("answers a read by its lease of term {}", event.term),
                    )
                };
                let items = vec![evidence::event(trace, election), read(answer), read(position)];
                return evidence::violated(trace, summary, items);
            }
            _ => {}
        }
    }
    evidence::holds(trace, examined, "reads by lease")
}
