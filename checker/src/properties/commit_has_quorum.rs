//! `commit-has-quorum`: whatever a leader commits, a majority of its configuration had acknowledged to it in that term.
//!
//! ```yaml
//! checks: [commit-has-quorum]
//! ```
//!
//! Derived anew from the acknowledgements that the followers wrote down themselves; what the leader says that it counted
//! plays no part. The leader counts itself. As the times of two nodes order nothing, an acknowledgement counts wherever it stands
//! in the follower's trace. Majorities are those of the latest configuration in the leader's log, or of the latest that it
//! knows to be committed, so that both ways of changing members are allowed; a store with smaller quorums on purpose
//! violates this. A leader whose followers left no whole trace is not judged. The reader of a violation sees the commit and
//! the furthest acknowledgement of each follower that falls short. Reference: Ongaro & Ousterhout, section 5.3.

use rustc_hash::FxHashMap;

use super::configurations::{Configuration, Configurations};
use super::{Needs, PropertyKind, Run, evidence};
use crate::params::Params;
use crate::trace::{Commit, Node, Role, Trace, What};
use crate::verdict::{Budget, Cause, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "commit-has-quorum",
    summary: "Whatever a leader commits, a majority of its configuration had acknowledged to it in that term.",
    example: "checks: [commit-has-quorum]",
    settings: &[],
    needs: Needs::Trace,
    judge,
};

/// The furthest acknowledgement of a follower to a leader in a term, with its event.
type Acks = FxHashMap<(Node, u64, Node), (u64, usize)>;

fn judge(run: &Run<'_>, _: &Params, budget: &Budget<'_>) -> Verdict {
    let trace = run.trace;
    let acks = acks(trace);
    let mut examined = 0;
    for node in trace.all_nodes() {
        let mut configurations = Configurations::default();
        let mut leads = None;
        for position in trace.of(node) {
            let event = &trace.events[position];
            configurations.observe(trace, position);
            match event.what {
                What::Boot(_) => leads = None,
                What::Role(role, _) => leads = (role == Role::Leader).then_some(event.term),
                What::Commit(commit) if leads == Some(event.term) => {
                    examined += 1;
                    if examined % 4096 == 0 && (budget.expired)() {
                        let reached = format!("after {examined} commits");
                        return Verdict::Inconclusive(Cause::Time { reached });
                    }
                    let verdict = missing(trace, &acks, &configurations, position, commit);
                    if let Some(verdict) = verdict {
                        return verdict;
                    }
                }
                _ => {}
            }
        }
    }
    evidence::holds(trace, examined, "commits of leaders")
}

fn acks(trace: &Trace) -> Acks {
    let mut acks = Acks::default();
    for (position, event) in trace.events.iter().enumerate() {
        if let What::Ack(to, index) = event.what {
            let furthest = acks.entry((to, event.term, event.node)).or_insert((index, position));
            if index > furthest.0 {
                *furthest = (index, position);
            }
        }
    }
    acks
}

fn missing(
    trace: &Trace,
    acks: &Acks,
    configurations: &Configurations,
    position: usize,
    commit: Commit,
) -> Option<Verdict> {
    let event = &trace.events[position];
    let (latest, _) = configurations.latest.as_ref()?;
    let of = |follower: Node| acks.get(&(event.node, event.term, follower)).copied();
    let has = |node: Node| node == event.node || of(node).is_some_and(|(index, _)| index >= commit.index);
    let enough = |configuration: &Configuration| {
        let have: Vec<Node> = configuration.everybody().into_iter().filter(|node| has(*node)).collect();
        configuration.is_quorum(&have)
    };
    if enough(latest) || configurations.committed.as_ref().is_some_and(enough) {
        return None;
    }
    let everybody = latest.everybody();
    // What a node without a whole trace acknowledged, nobody knows.
    if everybody.iter().any(|node| trace.of(*node).next().is_none()) || !trace.torn.is_empty() {
        return None;
    }
    let who = trace.name(event.node);
    let names: Vec<&str> =
        everybody.iter().filter(|node| has(**node)).map(|node| trace.name(*node)).collect();
    let summary = format!(
        "{who} committed index {} in term {}, and of {} only {} had it",
        commit.index,
        event.term,
        latest.words(trace),
        names.join(", ")
    );
    let short = everybody.iter().filter(|node| !has(**node)).filter_map(|node| of(*node));
    let mut items = vec![evidence::event(trace, position)];
    items.extend(short.take(3).map(|(index, at)| {
        let what =
            format!("acknowledges up to index {index} to {who} in term {}, and never more", event.term);
        evidence::instant(trace, at, what)
    }));
    Some(evidence::violated(trace, summary, items))
}
