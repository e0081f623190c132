//! Who votes, and the arithmetic of majorities.
//!
//! Invariant: two quorums of the same configuration have a member in common. Everything that counts nodes
//! asks here.
//! Reference: section 5.2 of the paper.

use super::io::NodeId;

/// The members whose votes and acknowledgements count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    voters: Vec<NodeId>,
}

impl Configuration {
    /// A configuration of these voters, each named once or oftener.
    pub fn new(mut voters: Vec<NodeId>) -> Self {
        voters.sort_unstable();
        voters.dedup();
        Self { voters }
    }

    /// All members in ascending order.
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
