//! `role-transitions`: a node changes its role only as Raft allows.
//!
//! ```yaml
//! checks: [role-transitions]
//! ```
//!
//! A node starts as a follower; only a candidate becomes leader, in the term in which it stood; a leader becomes nothing
//! but a follower. Where lines may be missing (before the first start that the trace tells) nothing is judged. The reader
//! of a violation sees the two events. Reference: Ongaro & Ousterhout, figure 4; thesis, section 9.6 for pre-candidates.

use rustc_hash::FxHashMap;

use super::{Needs, PropertyKind, Run, evidence};
use crate::params::Params;
use crate::trace::{Node, Role, What};
use crate::verdict::{Budget, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "role-transitions",
    summary: "A node changes its role only as Raft allows.",
    example: "checks: [role-transitions]",
    settings: &[],
    needs: Needs::Trace,
    judge,
};

fn judge(run: &Run<'_>, _: &Params, _: &Budget<'_>) -> Verdict {
    let trace = run.trace;
    let mut roles: FxHashMap<Node, (Role, usize)> = FxHashMap::default();
    let mut changes = 0;
    for (position, event) in trace.events.iter().enumerate() {
        let next = match event.what {
            What::Boot(_) => {
                roles.insert(event.node, (Role::Follower, position));
                continue;
            }
            What::Role(role, _) => role,
            _ => continue,
        };
        let Some((role, at)) = roles.insert(event.node, (next, position)) else { continue };
        changes += 1;
        let before = trace.events[at].term;
        if let Some(why) = refused(role, before, next, event.term) {
            let summary = format!("{} {why}", trace.name(event.node));
            let items = vec![evidence::event(trace, at), evidence::event(trace, position)];
            return evidence::violated(trace, summary, items);
        }
    }
    evidence::holds(trace, changes, "changes of role")
}

/// Why this change is none that Raft allows.
fn refused(role: Role, before: u64, next: Role, term: u64) -> Option<String> {
    match (role, next) {
        (Role::Candidate, Role::Leader) if before == term => None,
        (Role::Candidate, Role::Leader) => {
            Some(format!("leads term {term}, and stood for election in term {before}"))
        }
        (_, Role::Leader) => Some(format!("leads term {term} without having stood for election in it")),
        (Role::Leader, Role::Candidate | Role::PreCandidate) => {
            Some(format!("stands for election in term {term} without having stopped to lead term {before}"))
        }
        _ => None,
    }
}
