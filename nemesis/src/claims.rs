//! What the active faults hold of the cluster, and how overlapping ones compose.
//!
//! The rule: a link is cut while any active fault cuts it, is as bad as all active faults make it together, and passes
//! untouched only when none does anything to it. A node is
//! held by at most one process fault. No fault owns a link, so undoing one leaves what another still asks for.

use cluster::levers::{Link, LinkRule};
use cluster::system::NodeId;
use serde::{Deserialize, Serialize};

use crate::target::Target;

/// The number of one fault of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(pub u64);

impl std::fmt::Display for FaultId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "fault {}", self.0)
    }
}

/// The targets of all active faults, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Claims(pub Vec<(FaultId, Target)>);

impl Claims {
    /// The rule that the active faults put on this link together.
    pub fn rule(&self, link: Link) -> LinkRule {
        self.0.iter().map(|(_, target)| target.rule(link)).fold(LinkRule::Pass, stronger)
    }

    /// The process fault that holds this node, if one does. While it does, the node's process may be down or paused
    /// because of it.
    pub fn holder(&self, node: NodeId) -> Option<FaultId> {
        self.0.iter().find(|(_, target)| target.processes().contains(&node)).map(|(id, _)| *id)
    }
}

/// The rule of a link on which two faults put a rule each: a cut is a cut, and bad lines add up.
pub fn stronger(one: LinkRule, other: LinkRule) -> LinkRule {
    match (one, other) {
        (LinkRule::Drop, _) | (_, LinkRule::Drop) => LinkRule::Drop,
        (LinkRule::Pass, rule) | (rule, LinkRule::Pass) => rule,
        (LinkRule::Shape(one), LinkRule::Shape(other)) => LinkRule::Shape(one.and(other)),
    }
}
