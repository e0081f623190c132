//! `quorum-overlap`: any majority of a configuration shares a node with any majority of the one before it in the log.
//!
//! ```yaml
//! checks: [quorum-overlap]
//! ```
//!
//! Judged for every two configurations that follow each other in the log of one node, whoever wrote them. A joint
//! configuration needs majorities of both its parts, so it overlaps with each of them. The reader of a violation sees the two
//! configurations and two majorities that could decide differently. Reference: Ongaro's thesis, section 4.1; Ongaro &
//! Ousterhout, section 6.

use super::configurations::{Configuration, Configurations};
use super::{Needs, PropertyKind, Run, evidence};
use crate::params::Params;
use crate::trace::{ConfigState, Node, Trace, What};
use crate::verdict::{Budget, Cause, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "quorum-overlap",
    summary: "Any majority of a configuration shares a node with any majority of the one before it.",
    example: "checks: [quorum-overlap]",
    settings: &[],
    needs: Needs::Trace,
    judge,
};

/// With more nodes than this not all sets of them are tried.
const NODES_MAX: usize = 16;

fn judge(run: &Run<'_>, _: &Params, _: &Budget<'_>) -> Verdict {
    let trace = run.trace;
    let mut examined = 0;
    for node in trace.all_nodes() {
        let mut configurations = Configurations::default();
        for position in trace.of(node) {
            let before = configurations.latest.clone();
            configurations.observe(trace, position);
            let What::Config(config) = trace.events[position].what else { continue };
            let (Some((old, at)), Some((new, _))) = (before, &configurations.latest) else { continue };
            if config.state != ConfigState::Append || new.index <= old.index {
                continue;
            }
            examined += 1;
            match apart(&old, new) {
                Ok(None) => {}
                Ok(Some(sets)) => return violated(trace, (&old, at), (new, position), &sets),
                Err(reason) => return Verdict::Inconclusive(Cause::Evidence { reason }),
            }
        }
    }
    evidence::holds(trace, examined, "changes of configuration")
}

/// A majority of each that share no node.
fn apart(old: &Configuration, new: &Configuration) -> Result<Option<[Vec<Node>; 2]>, String> {
    let mut all = old.everybody();
    all.extend(new.everybody());
    all.sort_unstable();
    all.dedup();
    if all.len() > NODES_MAX {
        return Err(format!("a change of configuration concerns {} nodes, more than {NODES_MAX}", all.len()));
    }
    let chosen = |set: u32, wanted: bool| {
        let nodes = all.iter().enumerate().filter(move |(bit, _)| (set >> bit & 1 == 1) == wanted);
        nodes.map(|(_, node)| *node).collect::<Vec<_>>()
    };
    // Smaller sets first, so that what is shown is small.
    let mut sets: Vec<u32> = (0..1 << all.len()).collect();
    sets.sort_by_key(|set| set.count_ones());
    let found = sets.into_iter().map(|set| [chosen(set, true), chosen(set, false)]);
    Ok(found.into_iter().find(|[one, other]| old.is_quorum(one) && new.is_quorum(other)))
}

fn violated(
    trace: &Trace,
    (old, at): (&Configuration, usize),
    (new, position): (&Configuration, usize),
    [one, other]: &[Vec<Node>; 2],
) -> Verdict {
    let names = |nodes: &[Node]| nodes.iter().map(|node| trace.name(*node)).collect::<Vec<_>>().join(", ");
    let summary = format!(
        "from {} to {} at index {}: {} decide for the old configuration, and {} for the new one",
        old.words(trace),
        new.words(trace),
        new.index,
        names(one),
        names(other)
    );
    let shown = |at, configuration: &Configuration| {
        evidence::instant(trace, at, format!("counts {}", configuration.words(trace)))
    };
    evidence::violated(trace, summary, vec![shown(at, old), shown(position, new)])
}
