//! What the nodes say that they did: the traces of all nodes of a run, merged.
//!
//! The lines are described in `docs/trace.md`. Invariant: the events of one node stand in the order in which it wrote
//! them; between nodes they are merged by time, which is good enough to read, and on which no property relies.
//! [`logs`] rebuilds from them what each node had in its log at any event.

pub mod logs;
mod parse;

pub use parse::{TraceBuilder, TraceError};

/// One log entry as a node names it: two entries are the same if and only if all three fields are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its place in the log, from 1.
    pub index: u64,
    /// The term in which a leader created it.
    pub term: u64,
    /// Over term, kind and payload.
    pub hash: u64,
}

/// A node, as its position in [`Trace::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node(pub u16);

/// A part of [`Trace::entries`] or [`Trace::lists`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

/// What a node is in its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether it could win an election.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

/// What happened to a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotState {
    /// The node wrote one of its own state.
    Taken,
    /// It replaced its state by one from the leader.
    Installed,
    /// It removed the log entries that one covers.
    Compacted,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The node recovered its state.
    Boot(Boot),
    /// The role changed; for a leader with the nodes that voted for it.
    Role(Role, Span),
    /// The current term rose.
    Term,
    /// A vote was given to this node.
    Vote(Node),
    /// Entries were added to the log, in memory.
    Append(Span),
    /// All entries from this index on were removed.
    Truncate(u64),
    /// The log up to this index is durable; term and vote too where the flag is set.
    Fsync(u64, bool),
    /// The node told this one that its log matches up to this index.
    Ack(Node, u64),
    /// The commit index rose.
    Commit(Commit),
    /// Entries were applied.
    Apply(Span),
    /// A read was answered in this way, at this applied index.
    Read(ReadMode, u64),
    /// The hash of the node's state behind this index.
    State(u64, u64),
    /// A configuration came into the log, was committed, or is the latest again.
    Config(Config),
    /// A snapshot up to this index, whose last entry has this term.
    Snapshot(SnapshotState, u64, u64),
    /// An event that this reader does not know.
    Other,
}

/// How a read came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMode {
    /// By the leader's lease alone.
    Lease,
    /// In any other way.
    Other,
}

/// What became of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigState {
    /// It was added to the log.
    Append,
    /// It was committed.
    Commit,
    /// Later ones were removed, and it is the latest again.
    Rollback,
}

/// A configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its place in the log; 0 for the initial one.
    pub index: u64,
    /// What became of it.
    pub state: ConfigState,
    /// Who counts.
    pub members: Span,
    /// Who counts too, as the old part of a joint configuration.
    pub outgoing: Span,
}

/// What a node found on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// How often this data directory was started, from 1.
    pub count: u64,
    /// Its vote in its term.
    pub voted_for: Option<Node>,
    /// The last entry of its log.
    pub last_index: u64,
    /// The term of that entry.
    pub last_term: u64,
    /// The last entry that its snapshot covers.
    pub snapshot_index: u64,
    /// Who counts in its configuration.
    pub members: Span,
    /// Who counts too, as the old part of a joint configuration.
    pub outgoing: Span,
}

/// The commit index rose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// To here.
    pub index: u64,
    /// The term of the entry there.
    pub entry_term: u64,
    /// On a leader: the nodes that it counted. Empty on a follower.
    pub acks: Span,
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds since the start of the run.
    pub time: u64,
    /// Who.
    pub node: Node,
    /// Its term after the event.
    pub term: u64,
    /// What.
    pub what: What,
}

/// A line that was lost because its node was killed while writing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub source: String,
    /// The line in it, from 1.
    pub line: usize,
}

/// The traces of all nodes of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The names of the nodes.
    pub nodes: Vec<String>,
    /// All events.
    pub events: Vec<Event>,
    /// Lines that were cut off.
    pub torn: Vec<Torn>,
    entries: Vec<Entry>,
    lists: Vec<Node>,
}

impl Trace {
    /// The entries of an append or apply.
    pub fn entries(&self, span: Span) -> &[Entry] {
        &self.entries[span.start as usize..span.end as usize]
    }

    /// The nodes of a list: votes, acks.
    pub fn list(&self, span: Span) -> &[Node] {
        &self.lists[span.start as usize..span.end as usize]
    }

    /// The name of a node.
    pub fn name(&self, node: Node) -> &str {
        self.nodes.get(node.0 as usize).map_or("?", String::as_str)
    }

    /// The positions of one node's events.
    pub fn of(&self, node: Node) -> impl Iterator<Item = usize> {
        (0..self.events.len()).filter(move |&at| self.events[at].node == node)
    }

    /// All nodes.
    pub fn all_nodes(&self) -> impl Iterator<Item = Node> + use<> {
        (0..self.nodes.len() as u16).map(Node)
    }
}
