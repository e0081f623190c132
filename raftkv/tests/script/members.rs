//! Commands about who is a member.

use std::collections::BTreeMap;

use raftkv::raft::control::{Change, Order, Part};
use raftkv::raft::io::NodeId;
use raftkv::raft::quorum::Configuration;

use super::{Node, Outcome, Script};

impl Script {
    /// Adds nodes that are not among the members and know nobody.
    pub(super) fn spare(&mut self, arguments: &[&str]) -> Outcome {
        for name in arguments {
            self.nodes.insert(name.parse()?, Node { spare: true, ..Node::default() });
        }
        Ok(())
    }

    /// The configuration that the cluster begins with, as `id` knows it.
    pub(super) fn initial(&self, id: NodeId) -> Configuration {
        if self.nodes[&id].spare {
            return Configuration::default();
        }
        let members = self.nodes.iter().filter(|(_, node)| !node.spare).map(|(&id, _)| id).collect();
        self.witnesses.iter().fold(Configuration::new(members), |known, &node| known.with_witness(node))
    }

    /// `n1 add n4`, `n1 add learner n4`, `n1 promote n4`, `n1 remove n4`, `n1 replace n1 n4 n5`.
    pub(super) fn change(&mut self, arguments: &[&str]) -> Outcome {
        let [id, order @ ..] = arguments else { return Err("change: whom to ask?".into()) };
        let add = |node: &str, part| {
            Ok::<_, String>(Change::Add { node: node.parse()?, address: String::new(), part })
        };
        let change = match order {
            ["add", "learner", node] => add(node, Part::Learner)?,
            ["add", "witness", node] => add(node, Part::Witness)?,
            ["add", node] => add(node, Part::Voter)?,
            ["promote", node] => Change::Promote(node.parse()?),
            ["remove", node] => Change::Remove(node.parse()?),
            ["replace", nodes @ ..] => {
                let voters: Result<Vec<NodeId>, String> = nodes.iter().map(|node| node.parse()).collect();
                Change::Replace(voters?.into_iter().map(|node| (node, None)).collect())
            }
            _ => return Err(format!("change: unknown order `{}`", order.join(" "))),
        };
        self.order(id.parse()?, &order.join(" "), Order::Change(change))
    }

    /// `n1 n4 | n2 n3`: messages between the groups are lost from now on. Who is not named can talk to nobody.
    pub(super) fn partition(&mut self, arguments: &[&str]) -> Outcome {
        let mut sides = BTreeMap::new();
        for (side, group) in arguments.split(|&word| word == "|").enumerate() {
            for name in group {
                sides.insert(name.parse::<NodeId>()?, side);
            }
        }
        self.sides = Some(sides);
        Ok(())
    }

    /// Whether a message from one to the other arrives.
    pub(super) fn passes(&self, from: NodeId, to: NodeId) -> bool {
        let side = |node: NodeId| self.sides.as_ref().and_then(|sides| sides.get(&node));
        let together = self.sides.is_none() || (side(from).is_some() && side(from) == side(to));
        let links = [(from, from), (to, to), (from, to), (to, from)];
        together && !links.iter().any(|link| self.cut.contains(link))
    }
}
