//! Cuts links between nodes, or between nodes and clients, all at one instant. Frames on a cut link vanish, as on a
//! pulled cable: nobody gets a reset.
//!
//! ```yaml
//! - partition: { shape: [majority, isolate-leader, bridge, one-way], for: 2s..8s }
//! ```
//!
//! Each injection draws one shape of the list:
//!
//! * `majority`: a random split into a majority and all nodes that it can spare; both directions between them are cut.
//! * `isolate-leader`: the leader alone. Skipped while no leader is known.
//! * `isolate`: the node or nodes of `target`, each alone.
//! * `one-way`: the nodes of `target` lose one direction to all other nodes: `outgoing`, they hear and are not heard;
//!   `incoming`, they are heard and do not hear. One of the list `direction` is drawn.
//! * `bridge`: two halves that see one another only through one node in the middle.
//! * `ring`: every node sees a majority, and no two see the same one. Four nodes at least.
//! * `groups`: two nodes see one another exactly where they stand in a common group of `groups`. A node in two groups is a
//!   bridge between them.
//! * `clients`: the nodes of `target` lose the clients and keep one another.
//!
//! Clients reach every node during a partition of nodes (`clients: everywhere`), so that a deposed leader that still
//! answers reads is found out. With `clients: with-majority` each node that does not see a majority, itself counted, loses
//! its clients too, as when a rack is cut off with everything in it.
//!
//! Overlapping partitions add up: a link passes when no active fault cuts it.
//!
//! The reader sees who was cut from whom, the instant of the cut, and how many frames were dropped until it was healed. A
//! partition during which nobody tried to use a cut link is reported as without effect.

use checker::params::{Kind, Params, Setting};
use cluster::levers::{Levers, LinkRule};
use cluster::system::{BoxFuture, NodeId};
use rand::Rng;
use rand::seq::IndexedRandom;

use crate::fault::{Choice, Fault, FaultKind, Injection, Installed, Needs};
use crate::picture::Picture;
use crate::select::{Selector, node_named};
use crate::settings::{self, FOR, TARGET};
use crate::shape::{self, Direction, Plan};
use crate::target::{Cut, Target};

const SHAPES: &[&str] =
    &["majority", "isolate-leader", "isolate", "one-way", "bridge", "ring", "groups", "clients"];

pub(crate) const KIND: FaultKind = FaultKind {
    name: "partition",
    summary: "Cuts links between nodes, or between nodes and clients, all at one instant.",
    source: include_str!("partition.rs"),
    settings: &[
        Setting {
            name: "shape",
            kind: Kind::List(&Kind::Word(SHAPES)),
            default: Some("majority"),
            doc: "What is cut; each injection draws one of the list.",
        },
        FOR,
        Setting { doc: "The nodes that `isolate`, `one-way` and `clients` are done to.", ..TARGET },
        Setting {
            name: "direction",
            kind: Kind::List(&Kind::Word(&["outgoing", "incoming"])),
            default: Some("[outgoing, incoming]"),
            doc: "The direction that `one-way` cuts; each injection draws one of the list.",
        },
        Setting {
            name: "groups",
            kind: Kind::Groups,
            default: Some("[]"),
            doc: "The groups of the shape `groups`; every node stands in at least one.",
        },
        Setting {
            name: "clients",
            kind: Kind::Word(&["everywhere", "with-majority"]),
            default: Some("everywhere"),
            doc: "Whether clients still reach every node, or only those that see a majority.",
        },
    ],
    needs,
    build,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Majority,
    IsolateLeader,
    Isolate,
    OneWay,
    Bridge,
    Ring,
    Groups,
    Clients,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Everywhere,
    WithMajority,
}

struct Partition {
    shapes: Vec<Shape>,
    selector: Selector,
    directions: Vec<Direction>,
    groups: Vec<Vec<NodeId>>,
    reach: Reach,
}

fn needs(params: &Params) -> Needs {
    let shapes = settings::words(params, "shape").unwrap_or_default();
    let uses_target = shapes.iter().any(|shape| matches!(*shape, "isolate" | "one-way" | "clients"));
    let roles = shapes.contains(&"isolate-leader") || (uses_target && Selector::needs(params).roles);
    Needs { roles, ..Needs::default() }
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let shapes: Vec<Shape> = settings::words(params, "shape")?
        .into_iter()
        .map(|word| Shape::read(word, nodes))
        .collect::<Result<_, _>>()?;
    if shapes.is_empty() {
        return Err("`shape` is an empty list".to_owned());
    }
    let directions: Vec<Direction> =
        settings::words(params, "direction")?.into_iter().map(read_direction).collect::<Result<_, _>>()?;
    if directions.is_empty() && shapes.contains(&Shape::OneWay) {
        return Err("`direction` is an empty list".to_owned());
    }
    let reach = match settings::text(params, "clients")? {
        "everywhere" => Reach::Everywhere,
        "with-majority" => Reach::WithMajority,
        other => return Err(format!("`clients` is `everywhere` or `with-majority`, not `{other}`")),
    };
    let groups = read_groups(params, &shapes, nodes)?;
    Ok(Box::new(Partition { shapes, selector: Selector::read(params, nodes)?, directions, groups, reach }))
}

impl Shape {
    fn read(word: &str, nodes: usize) -> Result<Self, String> {
        let (shape, nodes_min) = match word {
            "majority" => (Shape::Majority, 3),
            "isolate-leader" => (Shape::IsolateLeader, 2),
            "isolate" => (Shape::Isolate, 2),
            "one-way" => (Shape::OneWay, 2),
            "bridge" => (Shape::Bridge, 3),
            "ring" => (Shape::Ring, 4),
            "groups" => (Shape::Groups, 2),
            "clients" => (Shape::Clients, 1),
            other => {
                return Err(format!("there is no shape `{other}`; the shapes are {}", SHAPES.join(", ")));
            }
        };
        if nodes < nodes_min {
            return Err(format!("the shape `{word}` needs {nodes_min} nodes, and the cluster has {nodes}"));
        }
        Ok(shape)
    }
}

fn read_direction(word: &str) -> Result<Direction, String> {
    match word {
        "outgoing" => Ok(Direction::Outgoing),
        "incoming" => Ok(Direction::Incoming),
        other => Err(format!("`direction` is `outgoing` or `incoming`, not `{other}`")),
    }
}

fn read_groups(params: &Params, shapes: &[Shape], nodes: usize) -> Result<Vec<Vec<NodeId>>, String> {
    let groups: Vec<Vec<NodeId>> = settings::groups(params, "groups")?
        .into_iter()
        .map(|group| group.into_iter().map(|name| group_member(name, nodes)).collect())
        .collect::<Result<_, String>>()?;
    match (groups.is_empty(), shapes.contains(&Shape::Groups)) {
        (true, false) => return Ok(groups),
        (true, true) => return Err("the shape `groups` needs `groups: [[n1, n2], [n3]]`".to_owned()),
        (false, false) => return Err("`groups` is given, but `shape` does not list `groups`".to_owned()),
        (false, true) => {}
    }
    let all = (1..=nodes).filter_map(|number| u16::try_from(number).ok()).map(NodeId).collect::<Vec<_>>();
    if let Some(node) = all.iter().find(|node| !groups.iter().any(|group| group.contains(node))) {
        return Err(format!("`groups`: {node} stands in no group"));
    }
    if shape::groups(&groups, &all).cut.is_empty() {
        return Err("`groups`: every two nodes share a group, so nothing would be cut".to_owned());
    }
    Ok(groups)
}

fn group_member(name: &str, nodes: usize) -> Result<NodeId, String> {
    node_named(name, nodes)
        .map_err(|_| format!("`groups`: there is no node `{name}`; the cluster has n1 to n{nodes}"))
}

impl Partition {
    fn plan(&self, shape: Shape, picture: &Picture, rng: &mut dyn Rng) -> Result<Plan, String> {
        let nodes = picture.ids();
        Ok(match shape {
            Shape::Majority => shape::split(&nodes, rng),
            Shape::IsolateLeader => shape::isolate(&[picture.leader().ok_or("no leader is known")?], &nodes),
            Shape::Isolate => shape::isolate(&self.selector.select(picture, rng)?, &nodes),
            Shape::OneWay => {
                let direction = *self.directions.choose(rng).ok_or("no direction to draw from")?;
                shape::one_way(&self.selector.select(picture, rng)?, direction, &nodes)
            }
            Shape::Bridge => shape::bridge(&nodes, rng),
            Shape::Ring => shape::ring(&nodes, rng),
            Shape::Groups => shape::groups(&self.groups, &nodes),
            Shape::Clients => shape::clients(&self.selector.select(picture, rng)?),
        })
    }

    fn choose_cut(&self, picture: &Picture, rng: &mut dyn Rng) -> Result<Cut, String> {
        let shape = *self.shapes.choose(rng).ok_or("no shape to draw from")?;
        let mut plan = self.plan(shape, picture, rng)?;
        if self.reach == Reach::WithMajority {
            let stranded = shape::without_majority(&plan.cut, &picture.ids());
            plan.cut.extend(shape::client_links(&stranded));
        }
        Ok(plan.into_cut())
    }
}

impl Fault for Partition {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match self.choose_cut(picture, rng) {
            Ok(cut) if cut.rules.is_empty() => Choice::Skipped(format!("{} cuts no link", cut.what)),
            Ok(cut) => Choice::Target(Target::Links(cut)),
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(async move {
            match target {
                Target::Links(cut) => cut_links(cut, levers),
                other => Injection::Skipped(format!("{} is no target of a partition", other.describe())),
            }
        })
    }
}

fn cut_links(cut: &Cut, levers: &dyn Levers) -> Injection {
    let effective = match levers.set_links(&cut.rules) {
        Ok(effective) => effective,
        Err(
            error
            @ (cluster::levers::LeverError::WrongState(_) | cluster::levers::LeverError::Unsupported(_)),
        ) => {
            return Injection::Skipped(error.to_string());
        }
        Err(error) => return Injection::Indeterminate(error.to_string()),
    };
    let dropping = cut.rules.iter().filter(|(link, _)| levers.link(*link).0 == LinkRule::Drop).count();
    if dropping < cut.rules.len() {
        return Injection::Indeterminate(format!("only {dropping} of {} links drop frames", cut.rules.len()));
    }
    Injection::Installed(Installed {
        proof: format!("{dropping} links drop frames"),
        effective: Some(effective),
    })
}
