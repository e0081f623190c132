//! The shapes of partitions, as pure functions from nodes to the directed links that are cut.
//!
//! A node *hears* another when the link from that one to it passes, and *sees* it when both directions pass. The
//! definitions are those of Jepsen's partitioners, except where a comment says otherwise.
//! Reference: <https://jepsen-io.github.io/jepsen/jepsen.nemesis.html>.

use std::collections::BTreeSet;

use cluster::levers::{Endpoint, Link, LinkRule};
use cluster::system::NodeId;
use rand::Rng;
use rand::seq::SliceRandom;

use crate::moves::list;
use crate::select::{majority, minority};
use crate::target::Cut;

/// Links to cut, and what that amounts to in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// "majority: n1 n2 n4 | n3 n5".
    pub what: String,
    /// The directed links that are cut.
    pub cut: BTreeSet<Link>,
}

/// Which links of a node a one-way cut takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The node hears the others, and they do not hear it.
    Outgoing,
    /// The others hear the node, and it does not hear them.
    Incoming,
}

/// A random split into a majority and as many nodes as it can spare, with all links between the two sides cut.
pub fn split(nodes: &[NodeId], rng: &mut dyn Rng) -> Plan {
    let mut nodes = nodes.to_vec();
    nodes.shuffle(rng);
    let mut minor = nodes.split_off(nodes.len() - minority(nodes.len()));
    nodes.sort();
    minor.sort();
    Plan { what: format!("majority: {} | {}", list(&nodes), list(&minor)), cut: between(&nodes, &minor) }
}

/// Each of these nodes loses both directions to every other node, also to one another.
pub fn isolate(isolated: &[NodeId], nodes: &[NodeId]) -> Plan {
    let cut = isolated.iter().flat_map(|node| between(&[*node], nodes)).collect();
    Plan { what: format!("isolate: {} alone", list(isolated)), cut }
}

/// Each of these nodes loses one direction to every other node.
pub fn one_way(chosen: &[NodeId], direction: Direction, nodes: &[NodeId]) -> Plan {
    let cut = links(chosen, nodes).into_iter().map(|link| match direction {
        Direction::Outgoing => link,
        Direction::Incoming => reverse(link),
    });
    let what = match direction {
        Direction::Outgoing => format!("one-way: nobody hears {}", list(chosen)),
        Direction::Incoming => format!("one-way: {} hears nobody", list(chosen)),
    };
    Plan { what, cut: cut.collect() }
}

/// Two halves that are cut from one another, and one node that sees both.
pub fn bridge(nodes: &[NodeId], rng: &mut dyn Rng) -> Plan {
    let mut nodes = nodes.to_vec();
    nodes.shuffle(rng);
    let Some(middle) = nodes.pop() else {
        return Plan { what: "bridge: no nodes".to_owned(), cut: BTreeSet::new() };
    };
    let mut half = nodes.split_off(nodes.len() / 2);
    nodes.sort();
    half.sort();
    Plan {
        what: format!("bridge: {} | {middle} | {}", list(&nodes), list(&half)),
        cut: between(&nodes, &half),
    }
}

/// The nodes in a random circle; each sees its nearest neighbours, the same number on both sides, just as many as make a
/// majority with itself. Everybody sees a majority, and no two nodes see the same one.
///
/// Needs four nodes: of three, a node and its two neighbours are everybody. Unlike Jepsen's, the windows are always
/// symmetric, so that no link is cut in one direction only.
pub fn ring(nodes: &[NodeId], rng: &mut dyn Rng) -> Plan {
    let mut circle = nodes.to_vec();
    circle.shuffle(rng);
    let reach = majority(circle.len()).saturating_sub(1).div_ceil(2);
    let apart = |a: usize, b: usize| a.abs_diff(b).min(circle.len() - a.abs_diff(b));
    let positions = 0..circle.len();
    let pairs = positions.clone().flat_map(|a| positions.clone().map(move |b| (a, b)));
    let cut = pairs.filter(|(a, b)| apart(*a, *b) > reach).map(|(a, b)| node_link(circle[a], circle[b]));
    Plan { what: format!("ring: {}, each sees {reach} on either side", list(&circle)), cut: cut.collect() }
}

/// Two nodes see one another exactly where they share a group.
pub fn groups(groups: &[Vec<NodeId>], nodes: &[NodeId]) -> Plan {
    let share = |a: NodeId, b: NodeId| groups.iter().any(|group| group.contains(&a) && group.contains(&b));
    let cut = links(nodes, nodes).into_iter().filter(|link| match (link.from, link.to) {
        (Endpoint::Node(from), Endpoint::Node(to)) => !share(from, to),
        _ => false,
    });
    let names: Vec<String> = groups.iter().map(|group| list(group)).collect();
    Plan { what: format!("groups: {}", names.join(" | ")), cut: cut.collect() }
}

/// These nodes and the clients lose one another.
pub fn clients(chosen: &[NodeId]) -> Plan {
    Plan { what: format!("clients: cut from {}", list(chosen)), cut: client_links(chosen) }
}

/// The nodes that see fewer than a majority, themselves counted, under these cuts.
pub fn without_majority(cut: &BTreeSet<Link>, nodes: &[NodeId]) -> Vec<NodeId> {
    let sees = |a: NodeId, b: NodeId| !cut.contains(&node_link(a, b)) && !cut.contains(&node_link(b, a));
    let seen = |node: NodeId| nodes.iter().filter(|other| **other == node || sees(node, **other)).count();
    nodes.iter().copied().filter(|node| seen(*node) < majority(nodes.len())).collect()
}

/// Both directions between the clients and each of these nodes.
pub fn client_links(nodes: &[NodeId]) -> BTreeSet<Link> {
    let inward = nodes.iter().map(|node| Link { from: Endpoint::Clients, to: Endpoint::Node(*node) });
    inward.flat_map(|link| [link, reverse(link)]).collect()
}

impl Plan {
    /// The rules that carry this out.
    pub fn into_cut(self) -> Cut {
        Cut { what: self.what, rules: self.cut.into_iter().map(|link| (link, LinkRule::Drop)).collect() }
    }
}

/// The directed link between two nodes.
pub fn node_link(from: NodeId, to: NodeId) -> Link {
    Link { from: Endpoint::Node(from), to: Endpoint::Node(to) }
}

fn reverse(link: Link) -> Link {
    Link { from: link.to, to: link.from }
}

/// The links from any of these to any of those.
fn links(from: &[NodeId], to: &[NodeId]) -> BTreeSet<Link> {
    let pairs = from.iter().flat_map(|a| to.iter().map(move |b| (*a, *b)));
    pairs.filter(|(a, b)| a != b).map(|(a, b)| node_link(a, b)).collect()
}

/// Both directions between the two sides.
fn between(one: &[NodeId], other: &[NodeId]) -> BTreeSet<Link> {
    links(one, other).into_iter().flat_map(|link| [link, reverse(link)]).collect()
}
