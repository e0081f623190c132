//! The state of an unharmed cluster, and what differs from it.
//!
//! Baseline: every link between two nodes, and between a node and the clients, passes; every node's process runs; every
//! disk is sound; no node is under a limit; every clock goes as the true one.

use std::fmt;

use cluster::clock::{ClockFamily, ClockState, TRUE_SPEED_PPM};
use cluster::disk::DiskTrouble;
use cluster::levers::{Endpoint, Levers, Link, LinkRule, ProcessState};
use cluster::limits::Limits;
use cluster::system::NodeId;

/// One thing that is not as in an unharmed cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// This link does not pass.
    Link(Link, LinkRule),
    /// This node's process does not run.
    Process(NodeId, ProcessState),
    /// This node's disk is in trouble.
    Disk(NodeId, DiskTrouble),
    /// This node is under limits.
    Limits(NodeId, Limits),
    /// This clock of this node does not go as the true one. A monotonic clock may be ahead or behind.
    Clock(NodeId, ClockFamily, ClockState),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Link(link, rule) => {
                write!(f, "the link from {} to {} has the rule {rule:?}", name(link.from), name(link.to))
            }
            Difference::Disk(node, trouble) => write!(f, "the disk of {node} is in trouble: {trouble:?}"),
            Difference::Limits(node, limits) => write!(f, "{node} is under limits: {limits:?}"),
            Difference::Process(node, ProcessState::Down) => write!(f, "{node} is down"),
            Difference::Clock(node, family, state) => {
                write!(f, "the {family:?} clock of {node} is not true: {state:?}")
            }
            Difference::Process(node, state) => write!(f, "{node} is {state:?}"),
        }
    }
}

/// Everything that differs from the baseline; empty for an unharmed cluster.
pub fn verify_baseline(levers: &dyn Levers) -> Vec<Difference> {
    let nodes = levers.nodes();
    let links = all_links(&nodes).into_iter().map(|link| (link, levers.link(link).0));
    let links =
        links.filter(|(_, rule)| *rule != LinkRule::Pass).map(|(link, rule)| Difference::Link(link, rule));
    let processes = nodes.iter().map(|node| (*node, levers.process(*node)));
    let processes = processes.filter(|(_, state)| *state != ProcessState::Running);
    let processes = processes.map(|(node, state)| Difference::Process(node, state));
    let disks = nodes.iter().filter_map(|node| Some((*node, levers.disk(*node)?.trouble)));
    let disks = disks.filter(|(_, trouble)| *trouble != DiskTrouble::default());
    let disks = disks.map(|(node, trouble)| Difference::Disk(node, trouble));
    let limits = nodes.iter().map(|node| (*node, levers.limits(*node).limits));
    let limits = limits.filter(|(_, limits)| *limits != Limits::default());
    let limits = limits.map(|(node, limits)| Difference::Limits(node, limits));
    let clocks = nodes.iter().flat_map(|node| untrue_clocks(*node, levers));
    links.chain(processes).chain(disks).chain(limits).chain(clocks).collect()
}

fn untrue_clocks(node: NodeId, levers: &dyn Levers) -> impl Iterator<Item = Difference> {
    [ClockFamily::Wall, ClockFamily::Monotonic].into_iter().filter_map(move |family| {
        let state = levers.clock(node, family)?;
        let off = family == ClockFamily::Wall && state.offset_ns != 0;
        let untrue = off || state.strobing || state.speed_ppm != TRUE_SPEED_PPM;
        untrue.then_some(Difference::Clock(node, family, state))
    })
}

/// Every directed link of a cluster of these nodes and the clients' host.
pub fn all_links(nodes: &[NodeId]) -> Vec<Link> {
    let ends: Vec<Endpoint> =
        std::iter::once(Endpoint::Clients).chain(nodes.iter().map(|node| Endpoint::Node(*node))).collect();
    let pairs = ends.iter().flat_map(|from| ends.iter().map(move |to| Link { from: *from, to: *to }));
    pairs.filter(|link| link.from != link.to).collect()
}

fn name(end: Endpoint) -> String {
    match end {
        Endpoint::Clients => "the clients".to_owned(),
        Endpoint::Node(node) => node.to_string(),
    }
}
