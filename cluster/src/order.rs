//! What an operator, or an experiment, can ask of a running node.
//!
//! Invariant: an order is a request, carried out by the node's own code or refused by it; nothing here reaches into a
//! process from outside. Most orders are what a system offers to its operators anyway. [`Order::Poke`],
//! [`Order::Failpoint`] and [`Order::Messages`] are for experiments, and only the bundled node knows them.
//! Deliberately lacks what is done to a node that is down, which are edits.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::messages::MessageOrder;
use crate::system::NodeId;

/// Something that a node is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Stand for election now. With PreVote (thesis, section 9.6) that is its rehearsal.
    Campaign,
    /// Hand leadership over (thesis, section 3.10).
    Transfer {
        /// The node that is to lead; the one that is furthest if absent.
        to: Option<NodeId>,
    },
    /// Take a snapshot of the state machine (thesis, chapter 5).
    Snapshot,
    /// Whether elections begin by themselves from now on.
    Elections(Elections),
    /// Hold every sync of the log, or let all of them go on.
    Fsync(Fsync),
    /// Change who the members are (thesis, chapter 4).
    Members(MemberChange),
    /// Overwrite what a leader believes of a follower's log.
    Poke {
        /// The follower.
        of: NodeId,
        /// What to believe.
        belief: Belief,
    },
    /// Arm a failpoint.
    Failpoint(Failpoint),
    /// Disarm failpoints, and let go on whoever is held there.
    ReleaseFailpoint {
        /// Its name; all of them if absent.
        point: Option<String>,
    },
    /// Hold, drop, delay, repeat or let through messages that arrive from other nodes.
    Messages(MessageOrder),
}

/// How elections begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Elections {
    /// Only by [`Order::Campaign`].
    Manual,
    /// By the election timer, as the rules of the node say.
    Armed,
}

/// What becomes of the syncs of a node's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fsync {
    /// They wait.
    Hold,
    /// They go on.
    Release,
}

/// A change of the members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberChange {
    /// Add a node.
    Add {
        /// Which. The cluster knows its address.
        node: NodeId,
        /// What it is to be.
        part: Part,
    },
    /// Make a learner a voter.
    Promote {
        /// Which.
        node: NodeId,
    },
    /// Remove a member.
    Remove {
        /// Which.
        node: NodeId,
    },
    /// Make exactly these nodes the voters, in one change.
    Replace {
        /// All voters afterwards.
        voters: Vec<NodeId>,
    },
}

/// What a member is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// It counts.
    #[default]
    Voter,
    /// It gets the log and does not count.
    Learner,
    /// It counts and keeps no state machine.
    Witness,
}

/// An index that a leader is made to believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Belief {
    /// The next entry to send to the follower.
    NextIndex(u64),
    /// The last entry that the follower is known to have.
    MatchIndex(u64),
}

/// A named point of a node's work, and what happens there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failpoint {
    /// The name of the point, as the system lists them.
    pub point: String,
    /// What happens.
    pub action: FailpointAction,
    /// So many matching hits pass first.
    #[serde(default)]
    pub skip: u64,
    /// Only hits that concern the entry with this index, or the part with this number.
    #[serde(default)]
    pub index: Option<u64>,
    /// Only hits that concern a command on this key.
    #[serde(default)]
    pub key: Option<String>,
    /// Only hits that concern this peer.
    #[serde(default)]
    pub to: Option<NodeId>,
}

/// What happens at a failpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailpointAction {
    /// The node kills itself with SIGKILL there.
    Crash,
    /// The thread stays there until the point is released.
    Hold,
}

/// The kind of an order, which a system knows or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderKind {
    /// [`Order::Campaign`].
    Campaign,
    /// [`Order::Transfer`].
    Transfer,
    /// [`Order::Snapshot`].
    Snapshot,
    /// [`Order::Elections`].
    Elections,
    /// [`Order::Fsync`].
    Fsync,
    /// [`Order::Members`].
    Members,
    /// [`Order::Poke`].
    Poke,
    /// [`Order::Failpoint`] and [`Order::ReleaseFailpoint`].
    Failpoint,
    /// [`Order::Messages`].
    Messages,
}

impl Order {
    /// Its kind.
    pub fn kind(&self) -> OrderKind {
        match self {
            Order::Campaign => OrderKind::Campaign,
            Order::Transfer { .. } => OrderKind::Transfer,
            Order::Snapshot => OrderKind::Snapshot,
            Order::Elections(_) => OrderKind::Elections,
            Order::Fsync(_) => OrderKind::Fsync,
            Order::Members(_) => OrderKind::Members,
            Order::Poke { .. } => OrderKind::Poke,
            Order::Failpoint(_) | Order::ReleaseFailpoint { .. } => OrderKind::Failpoint,
            Order::Messages(_) => OrderKind::Messages,
        }
    }
}

impl Failpoint {
    /// This at every hit of the point.
    pub fn new(point: impl Into<String>, action: FailpointAction) -> Self {
        Self { point: point.into(), action, skip: 0, index: None, key: None, to: None }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Campaign => f.write_str("stand for election"),
            Order::Transfer { to: Some(to) } => write!(f, "hand leadership to {to}"),
            Order::Transfer { to: None } => f.write_str("hand leadership over"),
            Order::Snapshot => f.write_str("take a snapshot"),
            Order::Elections(Elections::Manual) => f.write_str("hold elections only when told to"),
            Order::Elections(Elections::Armed) => f.write_str("hold elections by its timer"),
            Order::Fsync(Fsync::Hold) => f.write_str("hold its syncs"),
            Order::Fsync(Fsync::Release) => f.write_str("let its syncs go on"),
            Order::Members(change) => change.fmt(f),
            Order::Poke { of, belief: Belief::NextIndex(index) } => {
                write!(f, "send {of} entry {index} next")
            }
            Order::Poke { of, belief: Belief::MatchIndex(index) } => {
                write!(f, "believe that {of} has everything up to {index}")
            }
            Order::Failpoint(failpoint) => failpoint.fmt(f),
            Order::ReleaseFailpoint { point: Some(point) } => write!(f, "go on at {point}"),
            Order::ReleaseFailpoint { point: None } => f.write_str("go on at every failpoint"),
            Order::Messages(order) => order.fmt(f),
        }
    }
}

impl fmt::Display for MemberChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemberChange::Add { node, part } => {
                let part = match part {
                    Part::Voter => "voter",
                    Part::Learner => "learner",
                    Part::Witness => "witness",
                };
                write!(f, "add {node} as a {part}")
            }
            MemberChange::Promote { node } => write!(f, "promote {node}"),
            MemberChange::Remove { node } => write!(f, "remove {node}"),
            MemberChange::Replace { voters } => {
                let voters: Vec<String> = voters.iter().map(NodeId::to_string).collect();
                write!(f, "make {} the voters", voters.join(" "))
            }
        }
    }
}

impl fmt::Display for Failpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { point, action, skip, index, key, to } = self;
        f.write_str(match action {
            FailpointAction::Crash => "crash at ",
            FailpointAction::Hold => "stay at ",
        })?;
        f.write_str(point)?;
        if *skip > 0 {
            write!(f, " after {skip} hits")?;
        }
        index.iter().try_for_each(|index| write!(f, ", index {index}"))?;
        key.iter().try_for_each(|key| write!(f, ", key {key}"))?;
        to.iter().try_for_each(|to| write!(f, ", to {to}"))
    }
}

impl fmt::Display for OrderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OrderKind::Campaign => "stand for election",
            OrderKind::Transfer => "hand leadership over",
            OrderKind::Snapshot => "take a snapshot",
            OrderKind::Elections => "hold elections only when told to",
            OrderKind::Fsync => "hold its syncs",
            OrderKind::Members => "change its members",
            OrderKind::Poke => "believe something else of a follower",
            OrderKind::Failpoint => "crash or stay at a failpoint",
            OrderKind::Messages => "hold messages that arrive",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_written_down_and_read_back() {
        let orders = [
            Order::Campaign,
            Order::Transfer { to: Some(NodeId(2)) },
            Order::Members(MemberChange::Add { node: NodeId(4), part: Part::Learner }),
            Order::Poke { of: NodeId(2), belief: Belief::MatchIndex(9) },
            Order::Failpoint(Failpoint::new("mid_apply", FailpointAction::Hold)),
            Order::ReleaseFailpoint { point: None },
        ];
        for order in orders {
            let text = serde_json::to_string(&order).unwrap();
            assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), order, "{text}");
        }
        // What earlier versions wrote.
        let old = r#"{"transfer":{"to":2}}"#;
        assert_eq!(serde_json::from_str::<Order>(old).unwrap(), Order::Transfer { to: Some(NodeId(2)) });
    }

    #[test]
    fn an_order_is_said_in_words() {
        let failpoint = Failpoint {
            skip: 1,
            key: Some("x".into()),
            to: Some(NodeId(3)),
            ..Failpoint::new("after_send_to_k", FailpointAction::Crash)
        };
        assert_eq!(
            Order::Failpoint(failpoint).to_string(),
            "crash at after_send_to_k after 1 hits, key x, to n3"
        );
        let change = MemberChange::Replace { voters: vec![NodeId(1), NodeId(4)] };
        assert_eq!(Order::Members(change).to_string(), "make n1 n4 the voters");
    }
}
