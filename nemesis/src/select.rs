//! Node selectors (`target:`) and the limit on how many nodes may be out at one time.
//!
//! "A majority" is n/2 + 1 of all nodes of the cluster, "a minority" (n - 1)/2 of them (rounded down), whatever happens to
//! be down at the moment. Only running nodes that no process fault holds are selected.

use checker::params::Params;
use cluster::levers::ProcessState;
use cluster::system::NodeId;
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

use crate::fault::Needs;
use crate::picture::Picture;
use crate::settings;

/// Which nodes a fault is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The leader, see [`Picture::leader`].
    Leader,
    /// One node that follows.
    Follower,
    /// One node.
    Any,
    /// As many nodes as make a majority.
    Majority,
    /// As many nodes as a majority can spare.
    Minority,
    /// Every node.
    All,
    /// The node that another fault has let go last.
    Healed,
    /// This one.
    Named(NodeId),
}

/// How many nodes may be down or paused at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// A minority, but at least one.
    Minority,
    /// Any number.
    None,
}

/// The number of nodes that make a majority of `nodes`.
pub fn majority(nodes: usize) -> usize {
    nodes / 2 + 1
}

/// The number of nodes that a majority of `nodes` can spare.
pub fn minority(nodes: usize) -> usize {
    nodes - majority(nodes).min(nodes)
}

impl Selector {
    /// Reads the setting `target` for a cluster of this many nodes.
    pub fn read(params: &Params, nodes: usize) -> Result<Self, String> {
        match settings::text(params, "target")? {
            "leader" => Ok(Selector::Leader),
            "follower" => Ok(Selector::Follower),
            "any" => Ok(Selector::Any),
            "majority" => Ok(Selector::Majority),
            "minority" if minority(nodes) == 0 => Err(format!(
                "`target: minority` needs 3 nodes; in a cluster of {nodes} no node can be spared"
            )),
            "minority" => Ok(Selector::Minority),
            "all" => Ok(Selector::All),
            "healed" => Ok(Selector::Healed),
            name => node_named(name, nodes).map(Selector::Named),
        }
    }

    /// What a system must tell so that this can be selected.
    pub fn needs(params: &Params) -> Needs {
        let target = settings::text(params, "target").unwrap_or_default();
        Needs { roles: matches!(target, "leader" | "follower"), ..Needs::default() }
    }

    /// The nodes, in the order of their ids; never empty. `Err` says why there are none.
    pub fn select(self, picture: &Picture, rng: &mut dyn Rng) -> Result<Vec<NodeId>, String> {
        let eligible = picture.eligible();
        match self {
            Selector::Leader => {
                let leader = picture.leader().ok_or("no leader is known")?;
                free(picture, leader)
            }
            Selector::Follower => {
                let followers: Vec<NodeId> =
                    picture.followers().into_iter().filter(|id| eligible.contains(id)).collect();
                one_of(&followers, rng)
                    .ok_or_else(|| format!("no free follower is known ({})", picture.obstacles()))
            }
            Selector::Any => {
                one_of(&eligible, rng).ok_or_else(|| format!("no node is free: {}", picture.obstacles()))
            }
            Selector::Named(id) => free(picture, id),
            Selector::Healed => {
                let free: Vec<NodeId> =
                    picture.healed.iter().copied().filter(|id| eligible.contains(id)).collect();
                one_of(&free, rng).ok_or_else(|| match picture.healed.is_empty() {
                    true => "no fault has let a node go yet".to_owned(),
                    false => format!("what was let go last is not free: {}", picture.obstacles()),
                })
            }
            Selector::Majority => some(majority(picture.nodes.len()), eligible, picture, rng),
            Selector::Minority => some(minority(picture.nodes.len()), eligible, picture, rng),
            Selector::All => some(picture.nodes.len(), eligible, picture, rng),
        }
    }
}

impl Limit {
    /// Reads the setting `limit`.
    pub fn read(params: &Params) -> Result<Self, String> {
        match settings::text(params, "limit")? {
            "minority" => Ok(Limit::Minority),
            "none" => Ok(Limit::None),
            other => Err(format!("`limit` is `minority` or `none`, not `{other}`")),
        }
    }

    /// Why these nodes, chosen by this selector, must not be taken out now, if they must not.
    pub fn objection(self, selector: Selector, chosen: &[NodeId], picture: &Picture) -> Option<String> {
        if self == Limit::None || matches!(selector, Selector::Majority | Selector::All) {
            return None;
        }
        let out = |id: &NodeId| chosen.contains(id) || is_out(picture, *id);
        let count = picture.ids().iter().filter(|id| out(id)).count();
        let allowed = minority(picture.nodes.len()).max(1);
        (count > allowed).then(|| {
            format!(
                "{count} of {} nodes would be down or paused at one time, and the limit is {allowed} ({})",
                picture.nodes.len(),
                picture.obstacles()
            )
        })
    }
}

/// Selects nodes for a process fault: by the selector, within the limit.
pub(crate) fn take_out(
    selector: Selector,
    limit: Limit,
    picture: &Picture,
    rng: &mut dyn Rng,
) -> Result<Vec<NodeId>, String> {
    let chosen = selector.select(picture, rng)?;
    match limit.objection(selector, &chosen, picture) {
        Some(objection) => Err(objection),
        None => Ok(chosen),
    }
}

/// The node of this name in a cluster of `nodes` nodes.
pub(crate) fn node_named(name: &str, nodes: usize) -> Result<NodeId, String> {
    let number = name.strip_prefix('n').and_then(|digits| digits.parse::<u16>().ok());
    // The name is compared with its own rendering so that `n01` and `n+1` are no second names of n1.
    let node = number.map(NodeId).filter(|node| node.to_string() == name);
    node.filter(|node| (1..=nodes).contains(&usize::from(node.0))).ok_or_else(|| {
        format!("there is no node `{name}`; a target is `leader`, `follower`, `any`, `majority`, `minority`, `all`, `healed`, or one of n1 to n{nodes}")
    })
}

/// Whether a node is down or paused, or about to be.
fn is_out(picture: &Picture, id: NodeId) -> bool {
    let gone = |node: &crate::picture::NodePicture| node.id == id && node.process != ProcessState::Running;
    picture.active.holder(id).is_some() || picture.nodes.iter().any(gone)
}

fn free(picture: &Picture, id: NodeId) -> Result<Vec<NodeId>, String> {
    match picture.obstacle(id) {
        Some(obstacle) => Err(obstacle),
        None => Ok(vec![id]),
    }
}

fn one_of(nodes: &[NodeId], rng: &mut dyn Rng) -> Option<Vec<NodeId>> {
    nodes.choose(rng).map(|id| vec![*id])
}

fn some(
    count: usize,
    mut eligible: Vec<NodeId>,
    picture: &Picture,
    rng: &mut dyn Rng,
) -> Result<Vec<NodeId>, String> {
    if eligible.len() < count || count == 0 {
        let (free, all) = (eligible.len(), picture.nodes.len());
        return Err(format!(
            "{count} nodes are wanted and {free} of {all} are free: {}",
            picture.obstacles()
        ));
    }
    eligible.shuffle(rng);
    eligible.truncate(count);
    eligible.sort();
    Ok(eligible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_and_a_minority_of_every_size() {
        let sizes: Vec<(usize, usize)> = (0..=7).map(|n| (majority(n), minority(n))).collect();
        assert_eq!(sizes, [(1, 0), (1, 0), (2, 0), (2, 1), (3, 1), (3, 2), (4, 2), (4, 3)]);
    }

    #[test]
    fn a_node_has_exactly_one_name() {
        assert_eq!(node_named("n5", 5), Ok(NodeId(5)));
        for wrong in ["n0", "n6", "n01", "n+1", "5", "", "n", "N1", "n99999999"] {
            let message = node_named(wrong, 5).expect_err(wrong);
            assert!(message.contains("n1 to n5"), "{message}");
        }
    }
}
