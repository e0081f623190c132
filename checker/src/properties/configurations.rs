//! The configurations that a node had, rebuilt from its trace, and whether a set of nodes is a majority of one.
//!
//! Invariant: a node starts again with the latest configuration of what its disk kept, which may be an older one than it had
//! before. Where in the log that stands is known only if it is the one that it had.

use crate::trace::{ConfigState, Node, Trace, What};

/// Who counts: one set, or two of which both need a majority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Configuration {
    /// Its place in the log; 0 for the one that the node started with.
    pub(super) index: u64,
    members: Vec<Node>,
    outgoing: Vec<Node>,
}

impl Configuration {
    /// Whether these nodes are a majority of each part.
    pub(super) fn is_quorum(&self, nodes: &[Node]) -> bool {
        let majority = |members: &[Node]| {
            let have = members.iter().filter(|member| nodes.contains(member)).count();
            members.is_empty() || 2 * have > members.len()
        };
        majority(&self.members) && majority(&self.outgoing)
    }

    /// Everybody who counts, sorted.
    pub(super) fn everybody(&self) -> Vec<Node> {
        let mut all: Vec<Node> = self.members.iter().chain(&self.outgoing).copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether the same nodes count in each part, wherever in the log they are written.
    fn same_sets(&self, other: &Configuration) -> bool {
        let set = |nodes: &[Node]| {
            let mut nodes = nodes.to_vec();
            nodes.sort_unstable();
            nodes
        };
        set(&self.members) == set(&other.members) && set(&self.outgoing) == set(&other.outgoing)
    }

    /// "n1, n2, n3", "n1, n2 and before n3, n4".
    pub(super) fn words(&self, trace: &Trace) -> String {
        let names =
            |nodes: &[Node]| nodes.iter().map(|node| trace.name(*node)).collect::<Vec<_>>().join(", ");
        match self.outgoing.is_empty() {
            true => names(&self.members),
            false => format!("{} and before {}", names(&self.members), names(&self.outgoing)),
        }
    }
}

/// The configurations of one node while its trace is read.
#[derive(Clone, Debug, Default)]
pub(super) struct Configurations {
    /// The latest of its log, with the event that says so.
    pub(super) latest: Option<(Configuration, usize)>,
    /// The latest that it knows to be committed.
    pub(super) committed: Option<Configuration>,
}

impl Configurations {
    /// Takes in one event of the node.
    pub(super) fn observe(&mut self, trace: &Trace, position: usize) {
        match trace.events[position].what {
            What::Boot(boot) => {
                let members = trace.list(boot.members).to_vec();
                if members.is_empty() {
                    return;
                }
                let outgoing = trace.list(boot.outgoing).to_vec();
                let found = Configuration { index: 0, members, outgoing };
                if !self.latest.as_ref().is_some_and(|(known, _)| known.same_sets(&found)) {
                    self.latest = Some((found, position));
                    self.committed = None;
                }
            }
            What::Config(config) => {
                let found = Configuration {
                    index: config.index,
                    members: trace.list(config.members).to_vec(),
                    outgoing: trace.list(config.outgoing).to_vec(),
                };
                if config.state == ConfigState::Commit {
                    self.committed = Some(found.clone());
                }
                let newer = self.latest.as_ref().is_none_or(|(known, _)| found.index >= known.index);
                if newer || config.state == ConfigState::Rollback {
                    self.latest = Some((found, position));
                }
            }
            _ => {}
        }
    }
}
