//! What is known of the cluster at the moment at which a fault chooses.
//!
//! A value, so that choosing is a pure function. It may be out of date: nodes are asked now and then, not now. A view
//! older than [`Picture::fresh`] counts as none.

use std::time::Duration;

use cluster::levers::{Levers, ProcessState};
use cluster::system::{NodeId, Role, View};

use crate::claims::Claims;

/// The cluster, as far as it is known.
#[derive(Clone, Debug)]
pub struct Picture {
    /// All nodes, in the order of their ids.
    pub nodes: Vec<NodePicture>,
    /// The spare hosts on which nothing runs.
    pub spares: Vec<NodeId>,
    /// The nodes that the fault was done to that ended last.
    pub healed: Vec<NodeId>,
    /// What the active faults hold.
    pub active: Claims,
    /// The greatest age at which a view still counts.
    pub fresh: Duration,
}

/// One node, as far as it is known.
#[derive(Clone, Debug)]
pub struct NodePicture {
    /// Which node.
    pub id: NodeId,
    /// The state of its process.
    pub process: ProcessState,
    /// The last view that it gave of itself, and how long ago it was asked for.
    pub view: Option<(View, Duration)>,
}

impl Picture {
    /// The picture at this moment: the processes as the kernel shows them, the views as they were last `seen`.
    pub fn take(
        levers: &dyn Levers,
        active: Claims,
        fresh: Duration,
        seen: impl Fn(NodeId) -> Option<(View, Duration)>,
    ) -> Self {
        let nodes = levers.nodes().into_iter();
        let nodes = nodes.map(|id| NodePicture { id, process: levers.process(id), view: seen(id) });
        let (spares, healed) = (Self::free_spares(levers), Vec::new());
        Self { nodes: nodes.collect(), spares, healed, active, fresh }
    }

    /// The spare hosts on which nothing runs at this moment.
    pub fn free_spares(levers: &dyn Levers) -> Vec<NodeId> {
        let spares = levers.spares().into_iter();
        spares.filter(|host| levers.process(*host) == ProcessState::Down).collect()
    }

    /// The names of all nodes.
    pub fn ids(&self) -> Vec<NodeId> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    /// The leader: the running node that says that it leads, of the highest term among those that say so, by fresh views.
    ///
    /// A deposed leader behind a partition says so too, of a lower term; that is why the term decides. Between a
    /// deposition and the next election it is still the best answer there is.
    pub fn leader(&self) -> Option<NodeId> {
        self.nodes
            .iter()
            .filter_map(|node| Some((self.fresh_view(node)?, node.id)))
            .filter(|(view, _)| view.role == Some(Role::Leader))
            .max_by_key(|(view, id)| (view.term, std::cmp::Reverse(*id)))
            .map(|(_, id)| id)
    }

    /// The nodes that say that they follow, by fresh views.
    pub fn followers(&self) -> Vec<NodeId> {
        let follows =
            |node: &&NodePicture| self.fresh_view(node).is_some_and(|view| view.role == Some(Role::Follower));
        self.nodes.iter().filter(follows).map(|node| node.id).collect()
    }

    /// The nodes that a fault may be aimed at: they run, and no active fault holds their process.
    pub fn eligible(&self) -> Vec<NodeId> {
        self.ids().into_iter().filter(|id| self.obstacle(*id).is_none()).collect()
    }

    /// Why a process fault may not be aimed at this node, if it may not.
    pub fn obstacle(&self, id: NodeId) -> Option<String> {
        if let Some(holder) = self.active.holder(id) {
            return Some(format!("{id} is under {holder}"));
        }
        match self.nodes.iter().find(|node| node.id == id).map(|node| node.process) {
            None => Some(format!("the cluster has no {id}")),
            Some(ProcessState::Down) => Some(format!("{id} is down")),
            Some(ProcessState::Paused) => Some(format!("{id} is paused")),
            Some(ProcessState::Running) => None,
        }
    }

    /// The nodes that cannot be aimed at, each with its reason, as one text.
    pub(crate) fn obstacles(&self) -> String {
        let reasons: Vec<String> = self.nodes.iter().filter_map(|node| self.obstacle(node.id)).collect();
        if reasons.is_empty() { "all nodes are free".to_owned() } else { reasons.join(", ") }
    }

    fn fresh_view<'a>(&self, node: &'a NodePicture) -> Option<&'a View> {
        let (view, age) = node.view.as_ref()?;
        (node.process == ProcessState::Running && *age <= self.fresh).then_some(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u16, role: Role, term: u64, age_ms: u64) -> NodePicture {
        let view = View { role: Some(role), term: Some(term), ..View::default() };
        let view = Some((view, Duration::from_millis(age_ms)));
        NodePicture { id: NodeId(id), process: ProcessState::Running, view }
    }

    fn picture(nodes: Vec<NodePicture>) -> Picture {
        Picture {
            nodes,
            spares: Vec::new(),
            healed: Vec::new(),
            active: Claims::default(),
            fresh: Duration::from_secs(1),
        }
    }

    #[test]
    fn of_two_leaders_the_one_of_the_higher_term_counts() {
        let deposed = node(1, Role::Leader, 3, 10);
        let picture = picture(vec![deposed, node(2, Role::Leader, 4, 900), node(3, Role::Follower, 9, 5)]);
        assert_eq!(picture.leader(), Some(NodeId(2)));
        assert_eq!(picture.followers(), vec![NodeId(3)]);
    }

    #[test]
    fn an_old_view_and_a_view_of_a_node_that_is_gone_do_not_count() {
        let mut gone = node(1, Role::Leader, 5, 10);
        gone.process = ProcessState::Down;
        let picture = picture(vec![gone, node(2, Role::Leader, 4, 1001), node(3, Role::Follower, 5, 1001)]);
        assert_eq!(picture.leader(), None);
        assert!(picture.followers().is_empty());
        assert_eq!(picture.eligible(), vec![NodeId(2), NodeId(3)]);
    }
}
