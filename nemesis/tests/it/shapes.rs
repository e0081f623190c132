//! The properties that define each shape, over clusters of every size and random seeds.

use std::collections::BTreeSet;

use cluster::levers::{Endpoint, Link};
use cluster::system::NodeId;
use nemesis::select::majority;
use nemesis::shape::{self, Direction, Plan, node_link, without_majority};
use nemesis::stream::stream;
use proptest::prelude::*;

fn nodes(count: u16) -> Vec<NodeId> {
    (1..=count).map(NodeId).collect()
}

/// The nodes that `node` sees, itself among them, by a definition that is independent of the shapes' own.
fn seen(plan: &Plan, node: NodeId, all: &[NodeId]) -> BTreeSet<NodeId> {
    let both = |other: &NodeId| {
        !plan.cut.contains(&node_link(node, *other)) && !plan.cut.contains(&node_link(*other, node))
    };
    all.iter().copied().filter(|other| *other == node || both(other)).collect()
}

/// Every cut link has its opposite cut too, and joins two different nodes of the cluster.
fn symmetric_between_nodes(plan: &Plan, all: &[NodeId]) -> bool {
    plan.cut.iter().all(|link| match (link.from, link.to) {
        (Endpoint::Node(a), Endpoint::Node(b)) => {
            a != b
                && all.contains(&a)
                && all.contains(&b)
                && plan.cut.contains(&Link { from: link.to, to: link.from })
        }
        _ => false,
    })
}

proptest! {
    #[test]
    fn a_majority_split_has_two_closed_sides(count in 3_u16..12, seed: u64) {
        let all = nodes(count);
        let plan = shape::split(&all, &mut stream(seed, "t"));
        prop_assert!(symmetric_between_nodes(&plan, &all));
        let sides: BTreeSet<_> = all.iter().map(|node| seen(&plan, *node, &all)).collect();
        prop_assert_eq!(sides.len(), 2);
        let sizes: BTreeSet<_> = sides.iter().map(BTreeSet::len).collect();
        let spared = usize::from((count - 1) / 2);
        prop_assert_eq!(sizes, BTreeSet::from([spared, all.len() - spared]));
        prop_assert_eq!(without_majority(&plan.cut, &all).len(), spared);
    }

    #[test]
    fn the_middle_of_a_bridge_sees_all_and_nobody_else_sees_across(count in 3_u16..12, seed: u64) {
        let all = nodes(count);
        let plan = shape::bridge(&all, &mut stream(seed, "t"));
        prop_assert!(symmetric_between_nodes(&plan, &all));
        let (middle, rest): (Vec<NodeId>, Vec<NodeId>) =
            all.iter().partition(|node| seen(&plan, **node, &all).len() == all.len());
        prop_assert_eq!(middle.len(), 1);
        let halves: BTreeSet<BTreeSet<NodeId>> = rest.iter().map(|node| seen(&plan, *node, &all)).collect();
        prop_assert_eq!(halves.len(), 2);
        let sizes: Vec<usize> = halves.iter().map(BTreeSet::len).collect();
        prop_assert!(sizes[0].abs_diff(sizes[1]) <= 1);
        prop_assert!(halves.iter().all(|half| half.contains(&middle[0])));
    }

    #[test]
    fn in_a_ring_everybody_sees_a_majority_and_no_two_the_same(count in 4_u16..12, seed: u64) {
        let all = nodes(count);
        let plan = shape::ring(&all, &mut stream(seed, "t"));
        prop_assert!(symmetric_between_nodes(&plan, &all));
        let windows: BTreeSet<_> = all.iter().map(|node| seen(&plan, *node, &all)).collect();
        prop_assert_eq!(windows.len(), all.len());
        for window in windows {
            prop_assert!(window.len() >= majority(all.len()) && window.len() < all.len());
            prop_assert!(window.len() <= majority(all.len()) + 1);
        }
        prop_assert!(without_majority(&plan.cut, &all).is_empty());
    }

    #[test]
    fn one_way_cuts_one_direction_of_the_chosen_only(count in 2_u16..12, which: prop::sample::Index, incoming: bool) {
        let all = nodes(count);
        let chosen = all[which.index(all.len())];
        let direction = if incoming { Direction::Incoming } else { Direction::Outgoing };
        let plan = shape::one_way(&[chosen], direction, &all);
        let others = all.iter().filter(|node| **node != chosen);
        let expected: BTreeSet<Link> = others
            .map(|other| if incoming { node_link(*other, chosen) } else { node_link(chosen, *other) })
            .collect();
        prop_assert_eq!(&plan.cut, &expected);
        // The node that is heard but not seen still counts as cut off: no majority answers it.
        prop_assert!(count == 2 || without_majority(&plan.cut, &all).contains(&chosen));
    }

    #[test]
    fn isolated_nodes_see_only_themselves_and_the_others_keep_one_another(
        count in 2_u16..12,
        picked in prop::collection::btree_set(0_u16..12, 1..4),
    ) {
        let all = nodes(count);
        let isolated: Vec<NodeId> = picked.iter().map(|n| n % count + 1).collect::<BTreeSet<_>>().into_iter().map(NodeId).collect();
        let plan = shape::isolate(&isolated, &all);
        prop_assert!(symmetric_between_nodes(&plan, &all));
        for node in &all {
            let expected = if isolated.contains(node) { 1 } else { all.len() - isolated.len() };
            prop_assert_eq!(seen(&plan, *node, &all).len(), expected);
        }
    }

    #[test]
    fn groups_see_exactly_their_own(assignment in prop::collection::vec(0_usize..3, 2..10)) {
        let all = nodes(u16::try_from(assignment.len()).expect("short"));
        let member = |group: usize| all.iter().zip(&assignment).filter(move |(_, g)| **g == group).map(|(n, _)| *n);
        let groups: Vec<Vec<NodeId>> = (0..3).map(|group| member(group).collect()).collect();
        let plan = shape::groups(&groups, &all);
        for (node, group) in all.iter().zip(&assignment) {
            prop_assert_eq!(seen(&plan, *node, &all), groups[*group].iter().copied().collect::<BTreeSet<_>>());
        }
    }
}

#[test]
fn a_node_in_two_groups_is_a_bridge() {
    let all = nodes(3);
    let plan = shape::groups(&[vec![NodeId(1), NodeId(2)], vec![NodeId(2), NodeId(3)]], &all);
    assert_eq!(plan.cut, BTreeSet::from([node_link(NodeId(1), NodeId(3)), node_link(NodeId(3), NodeId(1))]));
}

#[test]
fn every_split_of_five_nodes_is_drawn() {
    let all = nodes(5);
    let cuts: BTreeSet<_> = (0..500).map(|seed| shape::split(&all, &mut stream(seed, "t")).cut).collect();
    assert_eq!(cuts.len(), 10, "5 choose 2");
}

#[test]
fn a_client_cut_takes_both_directions_and_no_link_between_nodes() {
    let plan = shape::clients(&[NodeId(2)]);
    let (client, node) = (Endpoint::Clients, Endpoint::Node(NodeId(2)));
    assert_eq!(plan.cut, BTreeSet::from([Link { from: client, to: node }, Link { from: node, to: client }]));
}
