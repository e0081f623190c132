//! Who comes and goes in a run: changes of the members, in some of the seeds, and who is asked for in the end.
//!
//! Invariant: everything random comes from a generator of its own, so that a run without changes is the same as it would
//! be without this file.
//! Deliberately without invariants of its own: two leaders in a term and lost commits show in [`super::invariants`],
//! whatever the configuration.

use std::collections::BTreeSet;
use std::fmt;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::storms::Storm;
use super::world::{Event as Happening, Waiting, World};
use crate::raft::Raft;
use crate::raft::control::{Change, Order, Part};
use crate::raft::io::{Input, NodeId, RequestId};
use crate::raft::quorum::Configuration;
use crate::raft::rules::{ConfigEffective, Membership, Rules, Switch, Witness};
use crate::raft::trace::{ConfigState, Event, EventKind};

/// What is drawn for a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Coming {
    /// Nodes that are not among the first members.
    pub spares: u16,
    /// The mean time between orders to change the members, in milliseconds.
    pub every_ms: u64,
    /// How they change: the rule `membership`, drawn if it was the default.
    pub way: Membership,
    /// Whether new members learn first: the rule `learners`, drawn if it was the default.
    pub learners: bool,
}

impl fmt::Display for Coming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} more nodes, an order to change the members every {} ms, membership={}, learners={}",
            self.spares,
            self.every_ms,
            self.way.text(),
            self.learners
        )
    }
}

/// The members of a run.
pub(super) struct Members {
    random: ChaCha8Rng,
    first: Configuration,
    coming: Option<Coming>,
    /// The latest configuration that a node knew to be committed.
    agreed: (u64, Configuration),
}

impl Members {
    /// Draws who comes and goes in a cluster of `nodes`. Rules of which every value is safe are drawn with it.
    pub(super) fn draw(seed: u64, nodes: u16, storm: Storm, rules: &mut Rules) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x6d65_6d62_6572_7321);
        let has_witness = rules.membership.witness != Witness::None;
        // A smaller cluster could never have such a quorum, or would have nobody but its witness.
        let least = rules.membership.quorum.largest().max(if has_witness { 3 } else { 1 });
        let nodes = nodes.max(least as u16);
        let mut first = Configuration::new((1..=nodes).map(NodeId).collect());
        if has_witness {
            first = first.with_witness(NodeId(nodes));
        }
        let every_ms = [0, 0, 0, 15, 60, 200][random.random_range(0..6)];
        let is_storm = storm == Storm::Members;
        // In a storm of members most orders come at elections.
        let every_ms = if is_storm { every_ms.max(60) * 5 } else { every_ms };
        let coming = (every_ms > 0 && !has_witness).then(|| {
            // Clusters of even size have changes whose majorities do not meet (Ongaro, 2015).
            let sizes = if is_storm { [nodes, 4, 4, 4, 4] } else { [nodes, nodes, 2, 4, 4] };
            let size = sizes[random.random_range(0..5)].max(least as u16);
            first = Configuration::new((1..=size).map(NodeId).collect());
            if rules.membership.membership == Membership::Single
                && random.random_range(0..if is_storm { 4 } else { 2 }) == 0
            {
                rules.membership.membership = Membership::Joint;
            }
            rules.membership.learners &= random.random_range(0..3) > if is_storm { 1 } else { 0 };
            let (way, learners) = (rules.membership.membership, rules.membership.learners);
            Coming { spares: random.random_range(1..=2), every_ms, way, learners }
        });
        Self { random, agreed: (0, first.clone()), first, coming }
    }

    /// How many members there are at first.
    pub(super) fn first(&self) -> u16 {
        self.first.voters().len() as u16
    }

    /// What was drawn; nothing in a run without changes.
    pub(super) fn coming(&self) -> Option<&Coming> {
        self.coming.as_ref()
    }

    /// What `node` is told about the members before it has a log.
    pub(super) fn initial(&self, node: NodeId) -> Configuration {
        if self.first.contains(node) { self.first.clone() } else { Configuration::default() }
    }

    /// The time until the next order, if there is one.
    pub(super) fn pause_us(&mut self) -> Option<u64> {
        let mean = self.coming.as_ref()?.every_ms * 1_000;
        Some(self.random.random_range(0..=2 * mean))
    }

    /// Whether the network is divided just before an order.
    pub(super) fn divides(&mut self) -> bool {
        self.random.random_range(0..5) == 0
    }

    /// What is asked of a leader whose configuration is `latest`.
    pub(super) fn draw_change(&mut self, latest: &Configuration, all: &[NodeId]) -> Change {
        let mut any = |nodes: &[NodeId]| nodes[self.random.random_range(0..nodes.len())];
        let strangers: Vec<NodeId> = all.iter().copied().filter(|&node| !latest.contains(node)).collect();
        let (one, member) = (any(all), any(&latest.members()));
        match self.random.random_range(0..10) {
            0..3 if !strangers.is_empty() => {
                let node = strangers[self.random.random_range(0..strangers.len())];
                Change::Add { node, address: String::new(), part: Part::Voter }
            }
            3 if !strangers.is_empty() => {
                let node = strangers[self.random.random_range(0..strangers.len())];
                Change::Add { node, address: String::new(), part: Part::Learner }
            }
            4 if !latest.learners().is_empty() => Change::Promote(latest.learners()[0]),
            0..9 if latest.voters().len() > 1 => Change::Remove(member),
            _ => {
                let mut voters: Vec<NodeId> =
                    all.iter().copied().filter(|_| self.random.random_range(0..2) == 0).collect();
                voters.push(one);
                Change::Replace(voters.into_iter().map(|node| (node, None)).collect())
            }
        }
    }

    /// Takes notice of what a node traced.
    pub(super) fn saw(&mut self, events: &[Event]) {
        for event in events {
            if let EventKind::Config(config) = &event.kind
                && config.state == ConfigState::Commit
                && config.index >= self.agreed.0
            {
                self.agreed = (config.index, config.configuration.clone());
            }
        }
    }

    /// The last members, for messages.
    pub(super) fn agreed_upon(&self) -> String {
        let names: Vec<String> = self.agreed.1.members().iter().map(NodeId::to_string).collect();
        format!("configuration {} of {}", self.agreed.0, names.join(" "))
    }

    /// Whether `node` has to have everything in the end.
    pub(super) fn needs(&self, node: NodeId) -> bool {
        self.agreed.1.contains(node)
    }

    /// Whether it also has to have applied it.
    pub(super) fn applies(&self, node: NodeId, rules: &Rules) -> bool {
        rules.membership.witness == Witness::None || !self.agreed.1.is_witness(node)
    }

    /// Those that an operator would switch off: no member by what was agreed upon, nor by what a node that knows of it has
    /// in its log. Older logs name many who are gone. Where a configuration counts when it is applied, those stay who have a
    /// say in what still counts for a member: of two, one cannot lead alone before it knows that the other is removed.
    pub(super) fn gone<'a>(&self, all: &[NodeId], running: impl Iterator<Item = &'a Raft>) -> Vec<NodeId> {
        let mut named = BTreeSet::new();
        for raft in running {
            if raft.status().config_index >= self.agreed.0 {
                named.extend(raft.latest().members());
            } else if raft.rules().membership.config_effective == ConfigEffective::OnApply
                && self.needs(raft.status().id)
            {
                named.extend(raft.configuration().all_voters());
            }
        }
        let wanted = |node: NodeId| self.needs(node) || named.contains(&node);
        all.iter().copied().filter(|&node| self.coming.is_some() && !wanted(node)).collect()
    }
}

impl World {
    pub(super) fn schedule_change(&mut self) {
        if let Some(pause) = self.members.pause_us() {
            self.schedule(pause, Happening::Change);
        }
    }

    pub(super) fn begin_change(&mut self) {
        self.schedule_change();
        let leaders = self.leaders();
        let Some(leader) = self.any(&leaders) else { return };
        if self.members.divides() {
            self.split();
        }
        self.order_change(leader);
    }

    /// Asks a node to change the members, in whichever way is drawn.
    pub(super) fn order_change(&mut self, leader: NodeId) {
        let ids = self.ids();
        let Some(raft) = &self.nodes[leader.0 as usize - 1].raft else { return };
        if raft.latest().is_empty() {
            return;
        }
        let latest = raft.latest().clone();
        let change = self.members.draw_change(&latest, &ids);
        self.requests += 1;
        let request = RequestId(self.requests);
        self.waiting.insert(request, (leader, Waiting::Order));
        self.step(leader, Input::Order { request, order: Order::Change(change) });
    }
}
