//! What a fault may do to a cluster: the whole surface between `nemesis` and `cluster`.
//!
//! A trait, so that the choice, the ledger and the undoing of faults are tested on a model of a cluster, without
//! processes.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::clock::{ClockFamily, ClockSetting, ClockState};
use crate::disk::{DiskEdit, DiskState, DiskTrouble};
use crate::edit::{DataEdit, FileEdit};
use crate::limits::{LimitState, Limits};
use crate::order::Order;
use crate::start::{StartAs, StartOutcome};
use crate::system::{BoxFuture, NodeId, View};

/// An end of a link: a node's host, or the host that all clients live on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Endpoint {
    /// The clients' host.
    Clients,
    /// A node's host.
    Node(NodeId),
}

/// The direction from one endpoint to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// Where frames come from.
    pub from: Endpoint,
    /// Where they go to.
    pub to: Endpoint,
}

/// What happens to the frames of one link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkRule {
    /// They pass.
    #[default]
    Pass,
    /// They vanish, as on a cut cable: no reset, no ICMP.
    Drop,
    /// They pass as over a bad line.
    Shape(Shaping),
}

/// How bad a line is. Shares are in parts of a million, each drawn for every frame on its own; all zero is a perfect line.
/// A frame is what the sender's kernel hands out, up to 64 KiB of a TCP stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Shaping {
    /// How much later every frame arrives, in microseconds.
    pub delay_us: u32,
    /// By how much the delay differs from frame to frame, in both directions, evenly. Frames keep their order.
    pub jitter_us: u32,
    /// The share of frames that are lost.
    pub loss_ppm: u32,
    /// How many frames in a row are lost in the mean; 0 or 1: each on its own.
    pub burst_frames: u32,
    /// The share of frames that arrive twice.
    pub duplicate_ppm: u32,
    /// The share of frames that arrive up to 10 ms later than their place.
    pub reorder_ppm: u32,
    /// The share of frames in which a bit of the payload changes, unnoticed by any checksum below the program.
    pub corrupt_ppm: u32,
    /// How much the line carries, in kilobits a second; 0: any amount.
    pub rate_kbit: u32,
    /// How long the line is dead, in milliseconds, again and again; 0: never.
    pub down_ms: u32,
    /// How long it lives between two deaths, in milliseconds. It begins with a life, at its first frame.
    pub up_ms: u32,
    /// What happens to TCP connections that were there before the rule of the link was set, the last time that it changed.
    pub connections: Connections,
}

/// What happens to the TCP connections that were there before a rule. New ones pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connections {
    /// They go on.
    #[default]
    Pass,
    /// Nothing of them gets through, and neither end is told.
    Stall,
    /// The next segment of each is answered with a reset to both ends, as by a firewall that has lost its table.
    Reset,
}

impl Shaping {
    /// Two bad lines one behind the other: delays and their jitters add up, a frame gets through where both let it, and
    /// the slower one sets the rate.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let either = |one: u32, other: u32| {
            let (one, other) = (u64::from(one), u64::from(other));
            (one + other - one * other / 1_000_000).min(1_000_000) as u32
        };
        let slower = match (self.rate_kbit, other.rate_kbit) {
            (0, rate) | (rate, 0) => rate,
            (one, other) => one.min(other),
        };
        Self {
            delay_us: self.delay_us.saturating_add(other.delay_us),
            jitter_us: self.jitter_us.saturating_add(other.jitter_us),
            loss_ppm: either(self.loss_ppm, other.loss_ppm),
            burst_frames: self.burst_frames.max(other.burst_frames),
            duplicate_ppm: either(self.duplicate_ppm, other.duplicate_ppm),
            reorder_ppm: either(self.reorder_ppm, other.reorder_ppm),
            corrupt_ppm: either(self.corrupt_ppm, other.corrupt_ppm),
            rate_kbit: slower,
            down_ms: self.down_ms.max(other.down_ms),
            up_ms: match (self.down_ms, other.down_ms) {
                (0, _) => other.up_ms,
                (_, 0) => self.up_ms,
                _ => self.up_ms.min(other.up_ms),
            },
            connections: self.connections.max(other.connections),
        }
    }
}

/// Counters of one link since the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkStats {
    /// Frames let through, at once or later.
    pub passed: u64,
    /// Frames dropped by the rule of the link.
    pub dropped: u64,
    /// Of those that passed: how many had to wait.
    pub delayed: u64,
    /// ... how many arrived twice.
    pub duplicated: u64,
    /// ... how many others could overtake.
    pub reordered: u64,
    /// ... how many were changed.
    pub corrupted: u64,
    /// Of those that were dropped: how many were answered with resets to both ends of their connection.
    pub reset: u64,
    /// Frames that vanished because their sender had lost power since their connection began.
    pub stale: u64,
}

/// A signal that a fault sends to the whole process group of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeSignal {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Terminate,
    /// SIGSTOP.
    Pause,
    /// SIGCONT.
    Resume,
}

/// The state of a node's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProcessState {
    /// It runs (as far as the kernel knows).
    Running,
    /// It is stopped by SIGSTOP.
    Paused,
    /// It does not exist.
    Down,
}

/// Why a lever did not move.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeverError {
    /// The cluster is not in the state that this needs (a file edit of a running node, a signal to one that is down).
    #[error("{0}")]
    WrongState(String),
    /// The system or the host cannot do this at all.
    #[error("{0}")]
    Unsupported(String),
    /// It was tried and failed; the effect may be there in part.
    #[error("{0}")]
    Failed(String),
}

/// The levers on one running cluster.
pub trait Levers: Send + Sync {
    /// The nodes of the initial cluster, in the order of their ids.
    fn nodes(&self) -> Vec<NodeId>;

    /// The spare hosts, in the order of their ids. Every lever that takes a node takes them as well.
    fn spares(&self) -> Vec<NodeId> {
        Vec::new()
    }

    /// Replaces the rules of these links, all at one instant, and returns that instant: every frame that the switch
    /// takes up after it obeys all of the new rules. Links that are not listed keep theirs.
    fn set_links(&self, rules: &[(Link, LinkRule)]) -> Result<Instant, LeverError>;

    /// The rule and the counters of one link.
    fn link(&self, link: Link) -> (LinkRule, LinkStats);

    /// The state of the node's process.
    fn process(&self, node: NodeId) -> ProcessState;

    /// Sends a signal to the node's process group. For `Pause` and `Resume` returns once the kernel shows the new
    /// state, for `Kill` once the process is gone and reaped.
    fn signal(&self, node: NodeId, signal: NodeSignal) -> BoxFuture<'_, Result<(), LeverError>>;

    /// Waits until the process of the node is gone; false if it still exists after `timeout`.
    fn wait_down(&self, node: NodeId, timeout: Duration) -> BoxFuture<'_, bool>;

    /// Starts a node that is down, on its old data directory.
    fn start(&self, node: NodeId) -> BoxFuture<'_, Result<(), LeverError>>;

    /// Starts a node that is down otherwise than before, or a spare one, and waits until it answers, or ends, or `patience`
    /// is over.
    fn start_as(
        &self,
        node: NodeId,
        how: StartAs,
        patience: Duration,
    ) -> BoxFuture<'_, Result<StartOutcome, LeverError>> {
        let _ = (how, patience);
        let why = format!("{node} cannot be started otherwise than before");
        Box::pin(async move { Err(LeverError::Unsupported(why)) })
    }

    /// Edits the data of a node that is down by its files alone and returns the proof that it did something.
    fn edit_data(&self, node: NodeId, edit: DataEdit) -> BoxFuture<'_, Result<String, LeverError>> {
        let why = format!("{node} cannot be changed to one {edit}");
        Box::pin(async move { Err(LeverError::Unsupported(why)) })
    }

    /// Edits the files of a node that is down and returns the proof that it did something.
    fn edit(&self, node: NodeId, edit: FileEdit) -> BoxFuture<'_, Result<String, LeverError>>;

    /// What a node says of itself; `None` if it does not answer within `timeout`, or cannot be asked.
    fn look(&self, node: NodeId, timeout: Duration) -> BoxFuture<'_, Option<View>> {
        let _ = (node, timeout);
        Box::pin(async { None })
    }

    /// Asks a running node for something that it offers to its operators, and returns what it answered.
    fn order(&self, node: NodeId, order: Order) -> BoxFuture<'_, Result<String, LeverError>>;

    /// Replaces what is wrong with a node's disk, and returns the instant from which on it is. Requests that wait are let
    /// go if nothing has to wait any more.
    fn set_disk(&self, node: NodeId, trouble: DiskTrouble) -> Result<Instant, LeverError> {
        let _ = trouble;
        Err(no_disk(node))
    }

    /// A node's disk; `None` if its data lies on a plain directory.
    fn disk(&self, node: NodeId) -> Option<DiskState> {
        let _ = node;
        None
    }

    /// Edits the disk of a node that is down and returns the proof that it did something. The seed is for what is
    /// random in it.
    fn edit_disk(
        &self,
        node: NodeId,
        edit: DiskEdit,
        seed: u64,
    ) -> BoxFuture<'_, Result<String, LeverError>> {
        let _ = (edit, seed);
        Box::pin(async move { Err(no_disk(node)) })
    }

    /// Changes a family of the node's clocks, also while the node is down, and returns the instant from which on every
    /// process of the node sees the change.
    fn set_clock(
        &self,
        _node: NodeId,
        _family: ClockFamily,
        _setting: &ClockSetting,
    ) -> Result<Instant, LeverError> {
        Err(LeverError::Unsupported("the nodes of this cluster have no clocks of their own".to_owned()))
    }

    /// Replaces the limits of a running node, and returns the instant from which on they hold. They end with its process.
    fn set_limits(&self, node: NodeId, limits: Limits) -> Result<Instant, LeverError> {
        let _ = limits;
        Err(LeverError::Unsupported(format!("what {node} may use of the machine cannot be limited")))
    }

    /// The limits of a node and what they did; none if it is down.
    fn limits(&self, node: NodeId) -> LimitState {
        let _ = node;
        LimitState::default()
    }

    /// What a family of the node's clocks does; `None` if the node goes by the host's clocks.
    fn clock(&self, _node: NodeId, _family: ClockFamily) -> Option<ClockState> {
        None
    }
}

pub(crate) fn no_disk(node: NodeId) -> LeverError {
    LeverError::Unsupported(format!("the data of {node} lies on a plain directory, not on a disk that fails"))
}
