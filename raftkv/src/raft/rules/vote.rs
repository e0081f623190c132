//! The values of the rules about terms, votes and elections.

use std::collections::BTreeMap;

use super::super::io::NodeId;
use super::super::switch::{Switch, switch};

switch! {
    /// Where a vote lives.
    PersistVote {
        /// On disk, before the reply leaves.
        Durable = "durable",
        /// Written before the reply leaves, but not forced to the disk: a power failure forgets it.
        Cache = "cache",
        /// In memory: a restart forgets it, the term stays.
        Memory = "memory",
    }
}

switch! {
    /// How a voter compares the candidate's log with its own.
    VoteCompare {
        /// By last term, then by last index.
        Raft = "raft",
        /// By last index alone.
        IndexOnly = "index_only",
        /// By last term alone.
        TermOnly = "term_only",
        /// Both must be at least the voter's.
        BothGe = "both_ge",
        /// The candidate's log must be strictly newer.
        StrictGt = "strict_gt",
    }
}

switch! {
    /// Whether a candidate rehearses, and what a voter demands of the rehearsal.
    PreVote {
        /// No rehearsal.
        Off = "off",
        /// A log that is as new as the voter's.
        LogOnly = "log_only",
        /// That, and the voter has not heard of a leader lately.
        Full = "full",
        /// A log that is strictly newer than the voter's.
        StrictGt = "strict_gt",
    }
}

switch! {
    /// How a candidate counts.
    Votes {
        /// Voters, each once.
        Set = "set",
        /// Granting replies.
        Counter = "counter",
    }
}

switch! {
    /// What a candidate does with its own vote.
    VoteSelf {
        /// It records it, and counts it once it is on disk.
        Yes = "yes",
        /// It neither gives nor counts it, and may give it to another candidate of the term.
        NoCount = "no_count",
        /// It counts it without having recorded it.
        CountNotRecorded = "count_not_recorded",
    }
}

switch! {
    /// The role in which a node starts.
    StartRole {
        /// It waits for a leader.
        Follower = "follower",
        /// It stands for election at once.
        Candidate = "candidate",
        /// It takes itself for the leader.
        Leader = "leader",
    }
}

switch! {
    /// How leadership is handed over.
    LeaderTransfer {
        /// To a voter that has the whole log, while no proposals are taken.
        Checked = "checked",
        /// At once, to whomever was named.
        Blind = "blind",
    }
}

/// How much each node should lead; a node that is not named has the priority 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElectionPriority(BTreeMap<NodeId, i32>);

impl ElectionPriority {
    /// The priority of `node`.
    pub fn of(&self, node: NodeId) -> i32 {
        self.0.get(&node).copied().unwrap_or_default()
    }
}

impl Switch for ElectionPriority {
    fn values() -> Vec<&'static str> {
        vec!["none", "a list such as n1=10,n2=5"]
    }
    fn parse(text: &str) -> Option<Self> {
        if matches!(text, "none" | "0") {
            return Some(Self::default());
        }
        let mut priorities = BTreeMap::new();
        for part in text.split(',') {
            let (node, priority) = part.trim().split_once('=')?;
            let earlier = priorities.insert(node.trim().parse().ok()?, priority.trim().parse().ok()?);
            if earlier.is_some() {
                return None;
            }
        }
        Some(Self(priorities))
    }
    fn text(&self) -> String {
        if self.0.is_empty() {
            return "none".to_owned();
        }
        let part = |(node, priority): (&NodeId, &i32)| format!("{node}={priority}");
        self.0.iter().map(part).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_can_be_written_and_read_back() {
        for text in ["none", "n1=10,n2=5", "n3=-1"] {
            assert_eq!(ElectionPriority::parse(text).unwrap().text(), text);
        }
        let priorities = ElectionPriority::parse(" n2=5, 1=10").unwrap();
        assert_eq!(
            (priorities.of(NodeId(1)), priorities.of(NodeId(2)), priorities.of(NodeId(3))),
            (10, 5, 0)
        );
        assert_eq!(ElectionPriority::parse("0"), Some(ElectionPriority::default()));
        for text in ["", "n1", "n1=x", "n1=1,n1=2", "n0=1", "n1=1,"] {
            assert_eq!(ElectionPriority::parse(text), None, "{text}");
        }
    }
}
