//! Who counts, and how many of them are enough.
//!
//! Invariant: with the default sizes two quorums of the same configuration have a member in common, and a joint
//! configuration asks both of its halves. Everything that counts nodes asks here; no size and no configuration
//! makes it panic.
//! References: section 5.2 and 6 of the paper; chapter 4 of the thesis; Howard, Malkhi and Spiegelman, "Flexible
//! Paxos", 2016, for quorums that are no majorities.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::io::NodeId;
use super::rules::QuorumSize;

/// The members of a cluster and what each of them counts for.
///
/// It is part of the log (chapter 4 of the thesis) and of snapshots, so its encoding is an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Whose votes and acknowledgements count, ascending; C-new while `outgoing` is not empty.
    voters: Vec<NodeId>,
    /// C-old of a joint configuration (section 6 of the paper): both need a quorum. Empty otherwise.
    outgoing: Vec<NodeId>,
    /// Who gets the log and does not count (thesis, section 4.2.1).
    learners: Vec<NodeId>,
    /// Those of the voters that keep no state machine.
    witnesses: Vec<NodeId>,
    /// Where members are, for the transport; opaque to the core. A member that is not named is where the node's
    /// arguments say.
    addresses: BTreeMap<NodeId, String>,
}

fn ascending(mut nodes: Vec<NodeId>) -> Vec<NodeId> {
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

fn without(nodes: &[NodeId], node: NodeId) -> Vec<NodeId> {
    nodes.iter().copied().filter(|&other| other != node).collect()
}

/// How a configuration is derived from another. None of these decides whether that is safe (see `change`).
impl Configuration {
    /// A configuration of these voters, each named once or oftener.
    pub fn new(voters: Vec<NodeId>) -> Self {
        Self { voters: ascending(voters), ..Self::default() }
    }

    /// The same with these voters, in one step.
    #[must_use]
    pub fn with_voters(&self, voters: Vec<NodeId>) -> Self {
        Self { voters: ascending(voters), ..self.clone() }.tidy()
    }

    /// The same with `node` as a voter.
    #[must_use]
    pub fn with_voter(&self, node: NodeId) -> Self {
        self.with_voters(self.voters.iter().copied().chain([node]).collect())
    }

    /// The same with `node` as a learner, unless it is a voter.
    #[must_use]
    pub fn with_learner(&self, node: NodeId) -> Self {
        let learners = ascending(self.learners.iter().copied().chain([node]).collect());
        Self { learners, ..self.clone() }.tidy()
    }

    /// The same with `node` as one that keeps no state machine, whenever it votes.
    #[must_use]
    pub fn with_witness(&self, node: NodeId) -> Self {
        let witnesses = ascending(self.witnesses.iter().copied().chain([node]).collect());
        Self { witnesses, ..self.clone() }
    }

    /// The same with `node` at this address; no address leaves it where the arguments say.
    #[must_use]
    pub fn with_address(&self, node: NodeId, address: &str) -> Self {
        let mut addresses = self.addresses.clone();
        if !address.is_empty() {
            addresses.insert(node, address.to_owned());
        }
        Self { addresses, ..self.clone() }
    }

    /// The same without `node`, whatever it was.
    #[must_use]
    pub fn without(&self, node: NodeId) -> Self {
        let learners = without(&self.learners, node);
        Self { voters: without(&self.voters, node), learners, ..self.clone() }.tidy()
    }

    /// C-old,new: the voters of both count, each side on its own (section 6 of the paper).
    #[must_use]
    pub fn joint_with(&self, new: &Self) -> Self {
        let witnesses = ascending([self.witnesses.as_slice(), &new.witnesses].concat());
        let mut addresses = self.addresses.clone();
        addresses.extend(new.addresses.clone());
        Self { outgoing: self.voters.clone(), witnesses, addresses, ..new.clone() }.tidy()
    }

    /// C-new of a joint configuration.
    #[must_use]
    pub fn leave_joint(&self) -> Self {
        Self { outgoing: Vec::new(), ..self.clone() }.tidy()
    }

    /// A voter is no learner, and what is known about strangers is forgotten.
    fn tidy(mut self) -> Self {
        let voters = &self.voters;
        self.learners.retain(|node| !voters.contains(node));
        let members = self.members();
        self.witnesses.retain(|node| members.contains(node));
        self.addresses.retain(|node, _| members.contains(node));
        self
    }
}

/// What it says.
impl Configuration {
    /// All voters in ascending order; of a joint configuration those of C-new.
    pub fn voters(&self) -> &[NodeId] {
        &self.voters
    }

    /// The voters of C-old, of a joint configuration.
    pub fn outgoing(&self) -> &[NodeId] {
        &self.outgoing
    }

    /// Who gets the log and does not count.
    pub fn learners(&self) -> &[NodeId] {
        &self.learners
    }

    /// Who keeps no state machine.
    pub fn witnesses(&self) -> &[NodeId] {
        &self.witnesses
    }

    /// Where members are that were added with an address.
    pub fn addresses(&self) -> &BTreeMap<NodeId, String> {
        &self.addresses
    }

    /// Whether two halves must agree.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether it names nobody: the state of a node that has not heard of its cluster yet.
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty() && self.outgoing.is_empty() && self.learners.is_empty()
    }

    /// Whether `node` counts.
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.outgoing.contains(&node)
    }

    /// Whether `node` keeps no state machine.
    pub fn is_witness(&self, node: NodeId) -> bool {
        self.witnesses.contains(&node)
    }

    /// Whether `node` is a member of any kind.
    pub fn contains(&self, node: NodeId) -> bool {
        self.is_voter(node) || self.learners.contains(&node)
    }

    /// Everybody that counts, in either half, ascending.
    pub fn all_voters(&self) -> Vec<NodeId> {
        ascending([self.voters.as_slice(), &self.outgoing].concat())
    }

    /// Everybody that counts but `node`.
    pub fn others(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.all_voters().into_iter().filter(move |&voter| voter != node)
    }

    /// Everybody, ascending.
    pub fn members(&self) -> Vec<NodeId> {
        ascending([self.voters.as_slice(), &self.outgoing, &self.learners].concat())
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
}

/// What is enough.
impl Configuration {
    /// The groups that must agree, each on its own. Nobody is no group.
    fn groups(&self) -> impl Iterator<Item = &[NodeId]> {
        [self.voters.as_slice(), &self.outgoing].into_iter().filter(|group| !group.is_empty())
    }

    /// Whether these votes are enough, given how often each node voted.
    pub fn elects(&self, size: QuorumSize, votes_of: impl Fn(NodeId) -> usize) -> bool {
        let wins = |group: &[NodeId]| {
            group.iter().map(|&node| votes_of(node)).sum::<usize>() >= size.of(group.len())
        };
        self.groups().next().is_some() && self.groups().all(wins)
    }

    /// The largest value that so many members have reached in each group, given the value of each.
    pub fn reached<T: Ord + Copy>(&self, size: QuorumSize, value_of: impl Fn(NodeId) -> T) -> Option<T> {
        let reached = |group: &[NodeId]| {
            let mut values: Vec<T> = group.iter().map(|&node| value_of(node)).collect();
            reached_by(&mut values, size.of(group.len()))
        };
        self.groups().filter_map(reached).min()
    }

    /// The same for as many members as meet every quorum of `election`.
    pub fn met<T: Ord + Copy>(&self, election: QuorumSize, value_of: impl Fn(NodeId) -> T) -> Option<T> {
        let reached = |group: &[NodeId]| {
            let mut values: Vec<T> = group.iter().map(|&node| value_of(node)).collect();
            reached_by(&mut values, meeting(election, group.len()))
        };
        self.groups().filter_map(reached).min()
    }

    /// The smallest number of members in one of its groups.
    pub fn smallest_group(&self) -> usize {
        self.groups().map(<[NodeId]>::len).min().unwrap_or(0)
    }
}

/// The size of a majority of `members`.
pub fn majority(members: usize) -> usize {
    members / 2 + 1
}

/// How many of `members` meet every quorum of `election`: N - E + 1 if the members stay the same. A majority also meets
/// the majorities of a configuration with one member more or less, which half of an even number would not: {n1 n4}
/// meets every three of n1 n2 n3 n4, and not n2 and n3 of n2 n3 n4. A fixed size is the same in every configuration, so
/// who chooses one answers for what it means in the next.
fn meeting(election: QuorumSize, members: usize) -> usize {
    match election {
        QuorumSize::Majority => majority(members),
        QuorumSize::Of(_) | QuorumSize::All => members - election.of(members) + 1,
    }
}

/// The largest value that at least `enough` have reached, given the value of every member. Nobody is too few for
/// anything, and everybody is enough for everything.
fn reached_by<T: Ord + Copy>(values: &mut [T], enough: usize) -> Option<T> {
    values.sort_unstable_by(|a, b| b.cmp(a));
    values.get(enough.clamp(1, values.len().max(1)) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[u16]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    fn of(ids: &[u16]) -> Configuration {
        Configuration::new(nodes(ids))
    }

    #[test]
    fn two_majorities_always_meet() {
        for members in 1..=9 {
            assert!(2 * majority(members) > members);
            assert!(2 * (majority(members) - 1) <= members, "and none is larger than it must be");
        }
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_counting(values in proptest::collection::vec(0_u64..8, 1..8), enough in 1_usize..8) {
            let enough = enough.min(values.len());
            let reached = |value: u64| values.iter().filter(|&&v| v >= value).count() >= enough;
            let counted = (0..8).rev().find(|&value| reached(value));
            proptest::prop_assert_eq!(reached_by(&mut values.clone(), enough), counted);
        }

        /// Compared with listing every set of members: a confirming set meets every electing one, and one
        /// member fewer would not.
        #[test]
        fn what_confirms_meets_what_elects(members in 1_usize..7, election in 1_usize..7) {
            let election = election.min(members);
            let confirming = members - election + 1;
            let sets = |size: usize| (0_u32..1 << members).filter(move |set| set.count_ones() as usize == size);
            let all_meet = |size: usize| sets(size).all(|a| sets(election).all(|b| a & b != 0));
            proptest::prop_assert!(all_meet(confirming));
            proptest::prop_assert!(!all_meet(confirming - 1));
            let configuration = of(&(1..=members as u16).collect::<Vec<_>>());
            let value = |node: NodeId| node.0;
            let smallest = members + 1 - confirming;
            proptest::prop_assert_eq!(configuration.met(QuorumSize::Of(election), value), Some(smallest as u16));
        }
    }

    /// Compared with listing every set of both configurations.
    #[test]
    fn a_confirming_majority_meets_the_majorities_of_the_next_configuration() {
        for members in 1_u32..8 {
            for next in [members - 1, members + 1].into_iter().filter(|&next| next > 0) {
                let sets = |of: u32, size: usize| {
                    (0_u32..1 << of).filter(move |set| set.count_ones() as usize == size)
                };
                let confirming = meeting(QuorumSize::Majority, members as usize);
                let elected_elsewhere =
                    |set: u32| sets(next, majority(next as usize)).any(|other| other & set == 0);
                assert!(!sets(members, confirming).any(elected_elsewhere), "{members} and then {next}");
            }
        }
    }

    #[test]
    fn nobody_is_no_quorum() {
        let nobody = Configuration::default();
        assert_eq!(nobody.reached(QuorumSize::Majority, |_| 7), None);
        assert_eq!(nobody.met(QuorumSize::Of(3), |_| 7), None);
        assert!(!nobody.elects(QuorumSize::Majority, |_| 1));
        assert!(!nobody.elects(QuorumSize::Of(1), |_| 9));
    }

    #[test]
    fn a_quorum_that_is_larger_than_the_cluster_is_everybody() {
        let two = of(&[1, 2]);
        assert!(two.elects(QuorumSize::Of(3), |_| 1));
        assert!(!two.elects(QuorumSize::Of(3), |node| usize::from(node.0 == 1)));
        assert_eq!(two.reached(QuorumSize::Of(9), |node| node.0), Some(1));
        assert_eq!(two.met(QuorumSize::Of(9), |node| node.0), Some(2));
    }

    #[test]
    fn a_joint_configuration_asks_both_halves() {
        let joint = of(&[1, 2, 3]).joint_with(&of(&[3, 4, 5]));
        let votes = |by: &'static [u16]| move |node: NodeId| usize::from(by.contains(&node.0));
        assert!(!joint.elects(QuorumSize::Majority, votes(&[1, 2, 3])));
        assert!(!joint.elects(QuorumSize::Majority, votes(&[3, 4, 5])));
        assert!(joint.elects(QuorumSize::Majority, votes(&[2, 3, 4])));
        assert_eq!(joint.reached(QuorumSize::Majority, |node| if node.0 <= 2 { 9 } else { 4 }), Some(4));
        assert_eq!(joint.leave_joint(), of(&[3, 4, 5]));
        assert_eq!(joint.members(), nodes(&[1, 2, 3, 4, 5]));
    }

    #[test]
    fn a_member_is_one_thing_at_a_time() {
        let grown = of(&[1, 2]).with_learner(NodeId(3)).with_address(NodeId(3), "there");
        assert!(grown.contains(NodeId(3)) && !grown.is_voter(NodeId(3)));
        let promoted = grown.with_voter(NodeId(3));
        assert_eq!(
            (promoted.voters(), promoted.learners()),
            (nodes(&[1, 2, 3]).as_slice(), &[] as &[NodeId])
        );
        assert_eq!(promoted.addresses()[&NodeId(3)], "there");
        assert_eq!(promoted.with_learner(NodeId(1)), promoted, "a voter is not made a learner");
        assert_eq!(promoted.without(NodeId(3)), of(&[1, 2]), "nothing of a removed member stays");
    }

    #[test]
    fn a_member_counts_once() {
        let configuration = of(&[3, 1, 3, 2]);
        assert_eq!(configuration.voters(), nodes(&[1, 2, 3]));
        assert!(configuration.elects(QuorumSize::Majority, |node| usize::from(node.0 != 2)));
        assert!(!configuration.elects(QuorumSize::Majority, |node| usize::from(node.0 == 2)));
        assert!(configuration.contains(NodeId(2)) && !configuration.contains(NodeId(4)));
    }
}
