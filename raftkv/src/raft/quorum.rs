//! Who votes, and the arithmetic of majorities.
//!
//! Invariant: two quorums of the same configuration have a member in common. Everything that counts nodes
//! asks here.
//! Reference: section 5.2 of the paper.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::io::NodeId;

/// The members of a cluster and what each of them counts for.
///
/// It is part of the log (chapter 4 of the thesis) and of snapshots, so its encoding is an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Whose votes and acknowledgements count, ascending; C-new while `outgoing` is not empty.
    voters: Vec<NodeId>,
    /// C-old of a joint configuration (section 6 of the paper): both need a majority. Empty otherwise.
    outgoing: Vec<NodeId>,
    /// Who gets the log and does not count (thesis, section 4.2.1).
    learners: Vec<NodeId>,
    /// Those of the voters that keep no state machine.
    witnesses: Vec<NodeId>,
    /// Where members are, for the transport; opaque to the core. A member that is not named is where the node's
    /// arguments say.
    addresses: BTreeMap<NodeId, String>,
}

impl Configuration {
    /// A configuration of these voters, each named once or oftener.
    pub fn new(mut voters: Vec<NodeId>) -> Self {
        voters.sort_unstable();
        voters.dedup();
        Self { voters, ..Self::default() }
    }

    /// All voters in ascending order.
    pub fn voters(&self) -> &[NodeId] {
        &self.voters
    }

    /// Whether `node` is one of them.
    pub fn contains(&self, node: NodeId) -> bool {
        self.voters.binary_search(&node).is_ok()
    }

    /// All members but `node`.
    pub fn others(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.voters.iter().copied().filter(move |&voter| voter != node)
    }

    /// Everything that it says as numbers, each list led by its length, for a hash that never changes.
    pub(super) fn words(&self, word: &mut impl FnMut(u64)) {
        for nodes in [&self.voters, &self.outgoing, &self.learners, &self.witnesses] {
            word(nodes.len() as u64);
            nodes.iter().for_each(|node| word(u64::from(node.0)));
        }
        word(self.addresses.len() as u64);
        for (node, address) in &self.addresses {
            word(u64::from(node.0));
            word(address.len() as u64);
            address.bytes().for_each(|byte| word(u64::from(byte)));
        }
    }

    /// About how many bytes it takes in a message.
    pub fn size_bytes(&self) -> usize {
        let named = self.voters.len() + self.outgoing.len() + self.learners.len() + self.witnesses.len();
        2 * named + self.addresses.values().map(|address| 4 + address.len()).sum::<usize>()
    }

    /// Whether so many different members are enough to elect a leader.
    pub fn elects(&self, members: usize) -> bool {
        members >= majority(self.voters.len())
    }

    /// The largest value that a majority has reached, given the value of each member.
    pub fn reached<T: Ord + Copy>(&self, value_of: impl FnMut(NodeId) -> T) -> Option<T> {
        let mut values: Vec<T> = self.voters.iter().copied().map(value_of).collect();
        reached_by_majority(&mut values)
    }
}

/// The size of a majority of `members`.
pub fn majority(members: usize) -> usize {
    members / 2 + 1
}

/// The largest value that at least a majority has reached, given the value of every member.
pub fn reached_by_majority<T: Ord + Copy>(values: &mut [T]) -> Option<T> {
    values.sort_unstable_by(|a, b| b.cmp(a));
    values.get(majority(values.len()) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_majorities_always_meet() {
        for members in 1..=9 {
            assert!(2 * majority(members) > members);
            assert!(2 * (majority(members) - 1) <= members, "and none is larger than it must be");
        }
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_counting(values in proptest::collection::vec(0_u64..8, 1..8)) {
            let reached = |value: u64| 2 * values.iter().filter(|&&v| v >= value).count() > values.len();
            let counted = (0..8).rev().find(|&value| reached(value));
            proptest::prop_assert_eq!(reached_by_majority(&mut values.clone()), counted);
        }
    }

    #[test]
    fn nobody_is_no_majority() {
        assert_eq!(reached_by_majority::<u64>(&mut []), None);
    }

    #[test]
    fn a_member_counts_once() {
        let configuration = Configuration::new(vec![NodeId(3), NodeId(1), NodeId(3), NodeId(2)]);
        assert_eq!(configuration.voters(), [NodeId(1), NodeId(2), NodeId(3)]);
        assert!(configuration.elects(2) && !configuration.elects(1));
        assert!(configuration.contains(NodeId(2)) && !configuration.contains(NodeId(4)));
        assert_eq!(configuration.others(NodeId(2)).collect::<Vec<_>>(), [NodeId(1), NodeId(3)]);
    }
}
