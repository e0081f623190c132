//! The boundary of the pure core: what goes in, what comes out.
//!
//! `Raft::step(now, Input) -> Effects` does no IO, reads no clock and draws no random number that was not
//! handed in. The driver carries the fields of [`Effects`] out in the order in which they stand here. Only
//! what is named `durable` waits for the disk; the rest goes on meanwhile.
//! Reference: the `Ready` value of etcd-io/raft, and section 10.2.1 of the thesis for writing to the leader's
//! disk in parallel with sending.

use std::fmt;
use std::str::FromStr;

use super::control::{Order, OrderOutcome};
use super::log::{Entry, Position};
use super::message::Message;
use super::rules::ReadMode;
use super::snapshot::{SnapshotId, SnapshotReport, SnapshotWork};
use super::trace::Event;

/// A member of the cluster. `1` is `n1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u16);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl FromStr for NodeId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix('n').unwrap_or(text);
        match digits.parse() {
            Ok(number) if number > 0 => Ok(NodeId(number)),
            _ => Err(format!("`{text}` is not a node: expected n1, n2, ...")),
        }
    }
}

/// Time of the driver's monotonic clock in microseconds since an arbitrary start. The simulation brings its
/// own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Micros(pub u64);

impl Micros {
    /// The time `millis` milliseconds later.
    pub fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis.saturating_mul(1000)))
    }

    /// The milliseconds since `earlier`, rounded down, 0 if that is in the future.
    pub fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1000
    }
}

/// What a node's clocks show at one moment. Timers and promises go by the first, a leader's lease by the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// A clock that nobody sets.
    pub monotonic: Micros,
    /// The clock of the rule `lease_clock`, since any start of its own.
    pub lease: Micros,
}

impl From<Micros> for Now {
    /// Where there is only one clock.
    fn from(now: Micros) -> Self {
        Self { monotonic: now, lease: now }
    }
}

/// Ties a client's request to its answer; drawn by the driver, opaque to the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// The number of a [`Persist`], counted from 1 in the order of issue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PersistId(pub u64);

/// What the core can be told.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time has passed: at the latest at the deadline that the last [`Effects`] named.
    Tick,
    /// A peer's message arrived.
    Message {
        /// The peer.
        from: NodeId,
        /// What it said.
        message: Message,
    },
    /// A client wants this command in the log. Answered through [`Effects::refused`] (at once),
    /// [`Effects::applied`] or [`Effects::dropped`]: exactly one of them, unless the node stops first.
    Propose {
        /// Returned with the answer.
        request: RequestId,
        /// Opaque bytes.
        command: Vec<u8>,
    },
    /// A client wants to read. Answered through [`Effects::reads`] or [`Effects::refused`]: exactly one of them, unless the
    /// node stops first. A read through the log waits until its entry is committed or its leader deposed, any other one for
    /// `read_timeout` at the longest.
    Read {
        /// Returned with the answer.
        request: RequestId,
        /// What the client asks for.
        ask: ReadAsk,
    },
    /// Everything up to and including this [`Persist`] is as durable as it asked for.
    Persisted(PersistId),
    /// The disk takes nothing more, or takes writes again.
    Disk(DiskSpace),
    /// How some [`SnapshotWork`] ended.
    Snapshot(SnapshotReport),
    /// An operator orders something. Answered through [`Effects::ordered`].
    Order {
        /// Returned with the answer.
        request: RequestId,
        /// What is to be done.
        order: Order,
    },
}

/// What a client wants of a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadAsk {
    /// How it is answered; as the rules say if the client does not choose.
    pub mode: Option<ReadMode>,
    /// The highest index whose effects the client has seen, 0 if it does not say. The rule `session_index` makes a
    /// node heed it.
    pub seen: u64,
}

/// The part of a node's state that must survive a crash beside the log (figure 2 of the paper).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HardState {
    /// The latest term that this node has seen.
    pub term: u64,
    /// Whom it voted for in that term.
    pub voted_for: Option<NodeId>,
}

/// Whether the disk has room. While it has none, what was handed out stays open: it is written once there is room again,
/// and nothing that depends on it is said before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskSpace {
    /// It takes writes.
    Free,
    /// It is full.
    Full,
}

/// When a write has to be forced to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flush {
    /// Before it is reported as [`Input::Persisted`].
    #[default]
    Now,
    /// At the latest so many milliseconds after that.
    Within(u64),
    /// Whenever the operating system does it.
    Never,
}

/// One batch of writes to the disk. The driver may write several before one fsync (group commit).
#[derive(Clone, Debug, Default)]
pub struct Persist {
    /// Its number.
    pub id: PersistId,
    /// The new hard state, if it changed.
    pub hard_state: Option<HardState>,
    /// A durable snapshot that reaches to here has replaced the log: remove all entries, and go on behind this
    /// place. Before everything that follows.
    pub reset: Option<Position>,
    /// Remove entries with an index >= this, before appending.
    pub truncate_from: Option<u64>,
    /// Entries to append.
    pub entries: Vec<Entry>,
    /// Entries up to this index are not needed any more. They may be removed once all the rest is durable, and
    /// whenever that suits: nothing depends on it.
    pub compact: Option<u64>,
    /// The commit index, if it is to be remembered.
    pub commit: Option<u64>,
    /// A hard state to be written behind all this, for which the disk is not waited.
    pub cached: Option<HardState>,
    /// When everything but `cached` has to be on the disk.
    pub flush: Flush,
}

impl Persist {
    /// Carries it out on a log in memory, as the disks of scripts and of the simulation hold it.
    pub fn write_to(self, log: &mut Vec<Entry>) {
        if self.reset.is_some() {
            log.clear();
        }
        if let Some(from) = self.truncate_from {
            log.retain(|entry| entry.index < from);
        }
        log.extend(self.entries);
        if let Some(index) = self.compact {
            log.retain(|entry| entry.index > index);
        }
    }

    /// Whether it has to be forced to the disk before it is reported.
    pub fn must_be_synced(&self) -> bool {
        self.flush == Flush::Now && self.writes()
    }

    /// Whether anything in it has to become durable, sooner or later.
    pub fn writes(&self) -> bool {
        self.hard_state.is_some()
            || self.reset.is_some()
            || self.truncate_from.is_some()
            || !self.entries.is_empty()
    }
}

/// Why a request is refused. Each of these proves that it had no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This node does not lead, or no longer does.
    NotLeader {
        /// Who does, as far as it knows.
        leader: Option<NodeId>,
    },
    /// It leads, but cannot take the request now (too much in flight, a transfer is under way).
    Busy(&'static str),
    /// The entry would be larger than the rules allow.
    TooLarge {
        /// How many bytes it would have.
        bytes: usize,
        /// How many it may have.
        max: usize,
    },
}

/// What the driver has to do, in this order.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// The node must stop, and do nothing of the rest: why.
    pub halt: Option<String>,
    /// Trace lines, before anything that they describe becomes visible to others.
    pub trace: Vec<Event>,
    /// Messages that promise nothing about this node's disk: a leader's AppendEntries and heartbeats,
    /// pre-vote requests, answers that refuse.
    pub send: Vec<(NodeId, Message)>,
    /// What must become durable.
    pub persist: Option<Persist>,
    /// Trace lines of what holds only once `persist` (or, if that is `None`, every earlier one) is durable:
    /// the fsync itself, then votes and acknowledgements. To be written then, before `send_durable` leaves.
    /// The driver leaves [`super::trace::EventKind::Fsync`] out if it did not really sync.
    pub trace_durable: Vec<Event>,
    /// Messages that may leave only then: granted votes, acknowledged appends, vote requests (the candidate's
    /// own vote must be durable), and every answer that depends on a term that is not durable yet. After them
    /// the driver reports [`Input::Persisted`].
    pub send_durable: Vec<(NodeId, Message)>,
    /// Writes whose entry at this index is neither committed nor applied, and that are answered all the same:
    /// what `ack_at` weakens. Each comes again in `applied`, unless this node is deposed before.
    pub acknowledged: Vec<(RequestId, u64)>,
    /// Before anything else is applied, the state of this snapshot, of which [`SnapshotReport::Received`] told,
    /// replaces the state machine's.
    pub restore: Option<SnapshotId>,
    /// Entries to apply, in order: committed (or not even that, under `apply_at: append`), never handed out
    /// before by this process. Need not wait for `persist`.
    pub apply: Vec<Entry>,
    /// The commit index after `apply`.
    pub commit: u64,
    /// Requests whose own entry is the one with this index in `apply` or in an earlier one: to be answered
    /// with the result of applying it.
    pub applied: Vec<(RequestId, u64)>,
    /// Reads that may be answered from the state machine once it has applied this index; never above the last
    /// index of `apply` or of an earlier one.
    pub reads: Vec<(RequestId, u64)>,
    /// What is to be done about snapshots, once `apply` is.
    pub snapshots: Vec<SnapshotWork>,
    /// Orders that are done or refused.
    pub ordered: Vec<(RequestId, OrderOutcome)>,
    /// Requests that are refused, provably without effect.
    pub refused: Vec<(RequestId, Refusal)>,
    /// Proposals that this node can no longer speak for (it was deposed while they were open): their outcome
    /// is unknown to the client.
    pub dropped: Vec<RequestId>,
    /// When to call with [`Input::Tick`] at the latest; `None`: only when something arrives.
    pub deadline: Option<Micros>,
}
