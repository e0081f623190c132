//! What is known of the cluster and of the operations while a choreography goes on.
//!
//! Invariant: everything has the time at which it was asked for, so that an expression can refuse what is older than the
//! step that it belongs to.

use std::collections::{BTreeMap, BTreeSet};

use checker::history::{Outcome, Reply};
use cluster::levers::ProcessState;
use cluster::messages::MessageFilter;
use cluster::system::{NodeId, View};
use serde_json::{Map, Value as Json};

use crate::director::Nanos;

/// All that is known.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// Every node, spare ones included.
    pub nodes: BTreeMap<NodeId, Seen>,
    /// The nodes of the beginning.
    pub members: BTreeSet<NodeId>,
    /// Operations by name, the latest of each.
    pub operations: BTreeMap<String, Operation>,
    /// Moments by name.
    pub labels: BTreeMap<String, Nanos>,
    /// Messages that are held back by name: where, and which.
    pub messages: BTreeMap<String, (NodeId, MessageFilter)>,
    /// The traces, as far as they were read.
    pub trace: BTreeMap<NodeId, Vec<TraceLine>>,
    /// Up to when they were read.
    pub trace_read: Nanos,
}

/// What is known of one node.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it said; `None` if it did not answer.
    pub view: Option<View>,
    /// When it was asked for that; `None` if never.
    pub asked: Option<Nanos>,
    /// Its process.
    pub process: ProcessState,
    /// When that was looked at.
    pub process_at: Nanos,
    /// Whether it ended instead of answering when it was started last.
    pub refused: bool,
}

impl Default for Seen {
    fn default() -> Self {
        let process = ProcessState::Running;
        Self { view: None, asked: None, process, process_at: 0, refused: false }
    }
}

/// What is known of an operation.
#[derive(Clone, Debug, Default)]
pub struct Operation {
    /// How it ended; `None` while it has not.
    pub outcome: Option<Outcome>,
    /// Its last attempt ended without a definite answer, and it can be repeated.
    pub unanswered: bool,
}

/// An event that a node wrote down.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceLine {
    /// When, in nanoseconds since the start of the run; it may lie before.
    pub at: i128,
    /// Its kind.
    pub event: String,
    /// Everything that it says.
    pub fields: Map<String, Json>,
}

impl Operation {
    /// What it returned, if it took effect and told.
    pub fn reply(&self) -> Option<&Reply> {
        match &self.outcome {
            Some(Outcome::Ok(reply)) => Some(reply),
            _ => None,
        }
    }
}
