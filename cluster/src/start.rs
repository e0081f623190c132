//! How a node is started otherwise than before, and what came of it.
//!
//! Invariant: a start that the node itself refuses is an outcome, not an error of the harness: it has an exit code and what
//! the node said.

use serde::{Deserialize, Serialize};

use crate::order::Failpoint;
use crate::system::{Bootstrap, NodeId};

/// What is particular about the next start of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct StartAs {
    /// Rules of this node alone, on top of those of the suite, instead of those that it had so far; it keeps them for later
    /// starts. Absent: those that it has.
    pub rules: Option<Vec<(String, String)>>,
    /// Failpoints that are armed before it serves anybody, at this start only.
    pub failpoints: Vec<Failpoint>,
    /// Whether it is told that an empty data directory is no loss, at this start only.
    pub bootstrap: Bootstrap,
    /// The name of its cluster, which it keeps for later starts. Absent: the one that it has, that of the suite at first.
    pub cluster: Option<String>,
    /// The first members of its cluster as it is told, which it keeps for later starts. Absent: those that it was told.
    pub members: Option<Vec<NodeId>>,
    /// Start another node's twin on this host, which is a spare one; it stays that for later starts. Absent: what the host
    /// was so far.
    pub twin: Option<Twin>,
}

/// A second process that takes itself for a certain node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Twin {
    /// For which.
    pub of: NodeId,
    /// On which data.
    pub data: TwinData,
}

/// What a twin has stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TwinData {
    /// It uses the data directory of the node itself.
    Shared,
    /// It has that of its host, which may hold a copy.
    #[default]
    Own,
}

/// What came of a start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartOutcome {
    /// The node answers.
    Answers,
    /// Its process ended by itself before it answered.
    Refused {
        /// Its exit code; absent if a signal ended it.
        code: Option<i32>,
        /// How it ended, in words.
        status: String,
        /// The last lines that it printed at this start.
        said: String,
    },
    /// It runs and has not answered yet.
    Silent,
}
