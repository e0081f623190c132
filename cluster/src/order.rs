//! What an operator can ask of a running node, and a fault with them.
//!
//! Invariant: an order is something that the system offers to its operators anyway. It never makes a node do what its own
//! rules forbid: a node that must not stand for election refuses to.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::system::NodeId;

/// Something that a node is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Stand for election now. With PreVote (thesis, section 9.6) that is its rehearsal.
    Campaign,
    /// Hand leadership over to this node (thesis, section 3.10).
    Transfer {
        /// The node that is to lead.
        to: NodeId,
    },
    /// Take a snapshot of the state machine (thesis, chapter 5).
    Snapshot,
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
}

impl Order {
    /// Its kind.
    pub fn kind(&self) -> OrderKind {
        match self {
            Order::Campaign => OrderKind::Campaign,
            Order::Transfer { .. } => OrderKind::Transfer,
            Order::Snapshot => OrderKind::Snapshot,
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Campaign => f.write_str("stand for election"),
            Order::Transfer { to } => write!(f, "hand leadership to {to}"),
            Order::Snapshot => f.write_str("take a snapshot"),
        }
    }
}

impl fmt::Display for OrderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OrderKind::Campaign => "stand for election",
            OrderKind::Transfer => "hand leadership over",
            OrderKind::Snapshot => "take a snapshot",
        })
    }
}
