//! The search for cycles, the plainest first.
//!
//! A cycle lies within a strongly connected component of the dependencies that it may use, so nothing is searched where a
//! component has one node. Within one, a shortest way back is looked for from each dependency of the kind that gives the
//! anomaly its name.
//! References: Tarjan, "Depth-first search and linear graph algorithms", 1972; Elle, section 6.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::anomaly::{Anomaly, Found, Time};
use super::graph::{Edge, Graph, Kind, Kinds};
use super::level::Consistency;
use super::watch::Watch;
use super::{Transactions, explain};
use crate::verdict::Cause;

/// A kind of cycle: one dependency of the kind `must`, closed by a way of others.
struct Goal {
    must: Kind,
    way: Way,
    name: fn(Time) -> Anomaly,
}

/// What the way back may be made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Appends only.
    Appends,
    /// Appends and reads of them.
    Facts,
    /// That and reads before appends, no two of these in a row, nor one behind the first dependency.
    Apart,
    /// Anything.
    Any,
}

const GOALS: &[Goal] = &[
    Goal { must: Kind::Ww, way: Way::Appends, name: Anomaly::G0 },
    Goal { must: Kind::Wr, way: Way::Facts, name: Anomaly::G1c },
    Goal { must: Kind::Rw, way: Way::Facts, name: Anomaly::GSingle },
    Goal { must: Kind::Rw, way: Way::Apart, name: Anomaly::GNonadjacent },
    Goal { must: Kind::Rw, way: Way::Any, name: Anomaly::G2 },
];

/// Looks for each kind of cycle that the level forbids, first without the order of time. A kind that was found is not
/// looked for again with more help. Fails where the budget ends; what was found by then is in `all` with what was there.
pub(super) fn search(
    transactions: &Transactions,
    graph: &Graph,
    level: Consistency,
    watch: &mut Watch<'_>,
    all: &mut Vec<Found>,
) -> Result<(), Cause> {
    watch.begin("the search for cycles")?;
    // Most histories have no cycle of any kind, and one look says so.
    let largest = components(graph, allowed(Way::Any, level.uses()), watch)?.largest();
    if largest == 1 {
        return Ok(());
    }
    let others = all.len();
    for time in [Time::Unused, Time::Process, Time::Real] {
        for goal in GOALS {
            let anomaly = (goal.name)(time);
            let plainer = |found: &Found| found.anomaly < anomaly && same_cycle(goal, found.anomaly);
            let found = &all[others..];
            if !level.forbids(anomaly) || found.iter().any(plainer) || implied(goal, found) {
                continue;
            }
            let kinds = allowed(goal.way, time);
            // Where any cycle is forbidden, this one only has a more telling name, which is not worth a long search.
            if goal.way == Way::Apart && level >= Consistency::Serializable && largest > SMALL {
                continue;
            }
            watch.begin(format!("the search for {anomaly}"))?;
            let Some(mut cycle) = find(graph, goal, kinds, watch)? else { continue };
            // It is told from a transaction on, not from the end of a list.
            while graph.is_end(cycle[0]) {
                cycle.rotate_left(1);
            }
            let named: Vec<u32> = cycle.iter().copied().filter(|&node| !graph.is_end(node)).collect();
            let why = explain::cycle(transactions, graph, &named, &cycle);
            all.push(Found { anomaly, transactions: named, why });
        }
    }
    Ok(())
}

/// Whether an anomaly is this goal's, at whatever time.
fn same_cycle(goal: &Goal, anomaly: Anomaly) -> bool {
    [Time::Unused, Time::Process, Time::Real].into_iter().any(|time| (goal.name)(time) == anomaly)
}

/// A cycle of a stricter kind is one of the looser ones, too, and says more.
fn implied(goal: &Goal, found: &[Found]) -> bool {
    let single = |found: &Found| matches!(found.anomaly, Anomaly::GSingle(_));
    let apart = |found: &Found| matches!(found.anomaly, Anomaly::GSingle(_) | Anomaly::GNonadjacent(_));
    match goal.way {
        Way::Appends | Way::Facts => false,
        Way::Apart => found.iter().any(single),
        Way::Any => found.iter().any(apart),
    }
}

fn allowed(way: Way, time: Time) -> Kinds {
    let kinds = match way {
        Way::Appends => Kinds::of(&[Kind::Ww]),
        Way::Facts => Kinds::of(&[Kind::Ww, Kind::Wr]),
        Way::Apart | Way::Any => Kinds::of(&[Kind::Ww, Kind::Wr, Kind::Rw]),
    };
    match time {
        Time::Unused => kinds,
        Time::Process => kinds.and(Kind::Process),
        Time::Real => kinds.and(Kind::Process).and(Kind::Realtime),
    }
}

/// A component of this size is searched in every way.
const SMALL: u32 = 1000;
/// How many ways are looked for in the hope of a shorter cycle, once there is one.
const TRIES: u32 = 1000;

fn find(graph: &Graph, goal: &Goal, kinds: Kinds, watch: &mut Watch<'_>) -> Result<Option<Vec<u32>>, Cause> {
    let order = components(graph, kinds, watch)?;
    let components = components(graph, kinds.and(goal.must), watch)?;
    let mut best: Option<Vec<u32>> = None;
    let apart = goal.way == Way::Apart;
    let walker = Walker { graph, kinds, apart, components: &components, order: &order };
    let mut tries = 0;
    for from in 0..graph.nodes() {
        if components.is_alone(from) {
            continue;
        }
        for edge in graph.from(from).iter().filter(|edge| edge.kind == goal.must) {
            if !components.together(from, edge.to) || !order.may_lead(edge.to, from) {
                continue;
            }
            if best.is_some() {
                tries += 1;
                if tries > TRIES {
                    return Ok(best);
                }
            }
            if let Some(cycle) = walker.way_back(from, edge, watch)?
                && best.as_ref().is_none_or(|best| cycle.len() < best.len())
            {
                // Two transactions are as short as a cycle can be.
                let shortest = cycle.iter().filter(|&&node| !graph.is_end(node)).count() <= 2;
                best = Some(cycle);
                if shortest {
                    return Ok(best);
                }
            }
        }
    }
    Ok(best)
}

/// Looks for shortest ways.
struct Walker<'a> {
    graph: &'a Graph,
    kinds: Kinds,
    apart: bool,
    components: &'a Components,
    /// The components without the first dependency of a cycle.
    order: &'a Components,
}

/// A node, and whether the last dependency on the way to it was a read before an append. Only where those must be apart
/// does the second part tell places from each other.
type At = (u32, bool);

impl Walker<'_> {
    /// A shortest way from the end of `first` back to `from`, as a cycle that begins with `from`.
    fn way_back(&self, from: u32, first: &Edge, watch: &mut Watch<'_>) -> Result<Option<Vec<u32>>, Cause> {
        let start: At = (first.to, self.apart);
        let mut came: FxHashMap<At, At> = FxHashMap::default();
        let mut queue = VecDeque::from([start]);
        came.insert(start, start);
        while let Some(at) = queue.pop_front() {
            let edges = self.graph.from(at.0);
            watch.visit(1 + edges.len())?;
            for edge in edges {
                let Some(next) = self.next(at, edge) else { continue };
                if !self.order.may_lead(edge.to, from) {
                    continue;
                }
                if edge.to == from {
                    // The first dependency is one of those that must be apart, too.
                    if self.apart && next.1 {
                        continue;
                    }
                    return Ok(Some(cycle(&came, start, at, from)));
                }
                if let std::collections::hash_map::Entry::Vacant(place) = came.entry(next) {
                    place.insert(at);
                    queue.push_back(next);
                }
            }
        }
        Ok(None)
    }

    fn next(&self, at: At, edge: &Edge) -> Option<At> {
        if !self.kinds.contain(edge.kind) || !self.components.together(at.0, edge.to) {
            return None;
        }
        if !self.apart {
            return Some((edge.to, false));
        }
        // Behind the end of a list comes an append of which nothing is known but that it comes later: both dependencies
        // may be a single one.
        let carries = self.graph.is_end(at.0);
        match (edge.kind == Kind::Rw, at.1) {
            (true, true) => None,
            (true, false) => Some((edge.to, true)),
            (false, last) => Some((edge.to, carries && last)),
        }
    }
}

fn cycle(came: &FxHashMap<At, At>, start: At, end: At, from: u32) -> Vec<u32> {
    let mut way = vec![end.0];
    let mut at = end;
    while at != start {
        at = came[&at];
        way.push(at.0);
    }
    way.push(from);
    way.reverse();
    way
}

/// The strongly connected components of a graph.
struct Components {
    of: Vec<u32>,
    sizes: Vec<u32>,
}

impl Components {
    fn together(&self, a: u32, b: u32) -> bool {
        self.of[a as usize] == self.of[b as usize]
    }

    fn largest(&self) -> u32 {
        self.sizes.iter().copied().max().unwrap_or(1)
    }

    /// Whether there may be a way from one node to the other: components are numbered against the direction of the
    /// dependencies.
    fn may_lead(&self, from: u32, to: u32) -> bool {
        self.of[from as usize] >= self.of[to as usize]
    }

    fn is_alone(&self, node: u32) -> bool {
        self.sizes[self.of[node as usize] as usize] == 1
    }
}

/// Tarjan's algorithm with a stack of its own.
fn components(graph: &Graph, kinds: Kinds, watch: &mut Watch<'_>) -> Result<Components, Cause> {
    const UNSEEN: u32 = u32::MAX;
    let nodes = graph.nodes() as usize;
    let mut order = vec![UNSEEN; nodes];
    let mut low = vec![0_u32; nodes];
    let mut of = vec![UNSEEN; nodes];
    let mut sizes = Vec::new();
    let mut open: Vec<u32> = Vec::new();
    let mut next = 0;
    for root in 0..nodes as u32 {
        if order[root as usize] != UNSEEN {
            continue;
        }
        let mut path: Vec<(u32, usize)> = vec![(root, 0)];
        while let Some(&mut (node, ref mut edge)) = path.last_mut() {
            let at = node as usize;
            if *edge == 0 {
                watch.visit(1 + graph.from(node).len())?;
                order[at] = next;
                low[at] = next;
                next += 1;
                open.push(node);
            }
            let edges = graph.from(node);
            let mut child = None;
            while let Some(candidate) = edges.get(*edge) {
                *edge += 1;
                if !kinds.contain(candidate.kind) {
                    continue;
                }
                let to = candidate.to as usize;
                if order[to] == UNSEEN {
                    child = Some(candidate.to);
                    break;
                }
                if of[to] == UNSEEN {
                    low[at] = low[at].min(order[to]);
                }
            }
            // A node without dependencies is entered once all the same.
            *edge = (*edge).max(1);
            if let Some(child) = child {
                path.push((child, 0));
                continue;
            }
            path.pop();
            if let Some(&(parent, _)) = path.last() {
                low[parent as usize] = low[parent as usize].min(low[at]);
            }
            if low[at] == order[at] {
                let mut size = 0;
                while let Some(member) = open.pop() {
                    of[member as usize] = sizes.len() as u32;
                    size += 1;
                    if member == node {
                        break;
                    }
                }
                sizes.push(size);
            }
        }
    }
    Ok(Components { of, sizes })
}
