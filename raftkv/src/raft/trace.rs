//! The events of a node's trace, typed, and the JSON line of each.
//!
//! The format is described in `docs/trace.md`; the judge of the traces shares no code with this crate, so the
//! names and fields here are an interface. The core says what happened and in which term; the driver adds
//! time and node.
//! Deliberately without serde: a line is written for every batch of entries, so it is formatted straight into
//! a buffer.

use std::fmt::{self, Write};

use super::io::NodeId;
use super::log::{Entry, Position};
use super::quorum::Configuration;
use super::rules::Rules;

/// One event, in the term that the node had after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The node's term after the event.
    pub term: u64,
    /// What happened.
    pub kind: EventKind,
}

/// How much of a trace somebody reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// All of it.
    #[default]
    Everything,
    /// Nobody asks which entries were appended and applied: their hashes are not computed.
    NoEntries,
}

/// An entry as the trace names it: index, term, hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryMark(pub u64, pub u64, pub u64);

impl From<&Entry> for EntryMark {
    fn from(entry: &Entry) -> Self {
        Self(entry.index, entry.term, entry.hash())
    }
}

/// The part a node plays in its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether it could win an election, without disturbing anybody.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

impl Role {
    /// Its name in the trace and in `/status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Follower => "follower",
            Role::PreCandidate => "pre_candidate",
            Role::Candidate => "candidate",
            Role::Leader => "leader",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a node found on its disk when it started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// How often this data directory has been started, from 1.
    pub boot: u64,
    /// The recovered vote.
    pub voted_for: Option<NodeId>,
    /// The index of the last recovered entry.
    pub last_index: u64,
    /// The term of the last recovered entry.
    pub last_term: u64,
    /// The index of the snapshot, 0 without one.
    pub snapshot_index: u64,
    /// Who counts in the latest configuration of its log.
    pub members: Vec<NodeId>,
    /// Who counts too, if that is a joint one.
    pub outgoing: Vec<NodeId>,
    /// The rules in force.
    pub rules: Rules,
}

/// A raised commit index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The new commit index.
    pub index: u64,
    /// The term of the entry there.
    pub entry_term: u64,
    /// On a leader the nodes that were counted.
    pub acks: Option<Vec<NodeId>>,
}

/// What became of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigState {
    /// It was added to the log.
    Append,
    /// It was committed.
    Commit,
    /// A later one was removed from the log, and it is the latest again.
    Rollback,
}

impl ConfigState {
    /// Its name in the trace.
    pub fn as_str(self) -> &'static str {
        match self {
            ConfigState::Append => "append",
            ConfigState::Commit => "commit",
            ConfigState::Rollback => "rollback",
        }
    }
}

/// How far a handover of leadership is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// The leader has begun it.
    Begun,
    /// The target was told to stand for election.
    Told,
    /// The target leads.
    Done,
    /// It did not come to that.
    GivenUp,
}

impl Handover {
    /// Its name in the trace.
    pub fn as_str(self) -> &'static str {
        match self {
            Handover::Begun => "begun",
            Handover::Told => "told",
            Handover::Done => "done",
            Handover::GivenUp => "given_up",
        }
    }
}

/// A configuration of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where it stands.
    pub index: u64,
    /// What it says.
    pub configuration: Configuration,
    /// What became of it.
    pub state: ConfigState,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The node has recovered its state.
    Boot(Box<Boot>),
    /// The role changed; a new leader names the nodes that voted for it.
    Role(Role, Vec<NodeId>),
    /// The term changed.
    Term,
    /// A vote was given.
    Vote(Vote),
    /// Entries were added to the log.
    Append(Vec<EntryMark>),
    /// All entries with an index >= this were removed.
    Truncate(u64),
    /// A write is durable.
    Fsync(Fsync),
    /// A follower told this leader that its log matches up to this index.
    Ack(NodeId, u64),
    /// The commit index rose.
    Commit(Commit),
    /// Entries were applied.
    Apply(Vec<EntryMark>),
    /// Leadership is being handed to this node.
    Transfer(NodeId, Handover),
    /// A snapshot that reaches to this place was taken or installed, or the log up to it was removed.
    Snapshot(SnapshotState, Position),
    /// A read was answered: the mode, and the index that the answer reflects at least.
    Read(&'static str, u64),
    /// The hash of the state behind this index, as this node compares it with others.
    State(u64, u64),
    /// A configuration came into the log, was committed, or is the latest again.
    Config(Box<Config>),
}

/// What happened to a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotState {
    /// The node has a durable one of its own state.
    Taken,
    /// One from a leader has replaced its state.
    Installed,
    /// The log up to there is gone.
    Compacted,
}

impl SnapshotState {
    /// Its name in the trace.
    pub fn as_str(self) -> &'static str {
        match self {
            SnapshotState::Taken => "taken",
            SnapshotState::Installed => "installed",
            SnapshotState::Compacted => "compacted",
        }
    }
}

/// A vote that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The candidate.
    pub to: NodeId,
    /// The last index of the voter.
    pub last_index: u64,
    /// The last term of the voter.
    pub last_term: u64,
}

/// A write that became durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fsync {
    /// The highest durable index of the log.
    pub index: u64,
    /// Whether term and vote were in it.
    pub hard_state: bool,
}

impl Event {
    /// The line for this event of `node` at `t` nanoseconds, with its line feed.
    pub fn line(&self, t: u64, node: NodeId) -> String {
        let mut out = String::with_capacity(96);
        self.write_line(t, node, &mut out);
        out
    }

    /// Appends the line to `out`, with its line feed.
    pub fn write_line(&self, t: u64, node: NodeId, out: &mut String) {
        let line = Line { t, node, event: self };
        writeln!(out, "{line}").expect("a String takes every write");
    }
}

struct Line<'a> {
    t: u64,
    node: NodeId,
    event: &'a Event,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{\"t\":{},\"n\":\"{}\",\"term\":{},\"ev\":\"", self.t, self.node, self.event.term)?;
        match &self.event.kind {
            EventKind::Boot(boot) => write_boot(f, boot)?,
            EventKind::Role(role, votes) => {
                write!(f, "role\",\"role\":\"{role}\"")?;
                if *role == Role::Leader {
                    write!(f, ",\"votes\":{}", Nodes(votes))?;
                }
            }
            EventKind::Term => write!(f, "term\"")?,
            EventKind::Vote(vote) => write!(
                f,
                "vote\",\"to\":\"{}\",\"last_index\":{},\"last_term\":{}",
                vote.to, vote.last_index, vote.last_term
            )?,
            EventKind::Append(entries) => write!(f, "append\",\"entries\":{}", Marks(entries))?,
            EventKind::Truncate(from) => write!(f, "truncate\",\"from\":{from}")?,
            EventKind::Fsync(fsync) => {
                write!(f, "fsync\",\"index\":{},\"hard_state\":{}", fsync.index, fsync.hard_state)?;
            }
            EventKind::Ack(to, index) => write!(f, "ack\",\"to\":\"{to}\",\"index\":{index}")?,
            EventKind::Commit(commit) => {
                write!(f, "commit\",\"index\":{},\"entry_term\":{}", commit.index, commit.entry_term)?;
                if let Some(acks) = &commit.acks {
                    write!(f, ",\"acks\":{}", Nodes(acks))?;
                }
            }
            EventKind::Apply(entries) => write!(f, "apply\",\"entries\":{}", Marks(entries))?,
            EventKind::Transfer(to, state) => {
                write!(f, "transfer\",\"to\":\"{to}\",\"state\":\"{}\"", state.as_str())?;
            }
            EventKind::State(index, hash) => {
                write!(f, "state\",\"index\":{index},\"hash\":\"{hash:016x}\"")?;
            }
            EventKind::Snapshot(state, Position { index, term }) => {
                let state = state.as_str();
                write!(f, "snapshot\",\"index\":{index},\"entry_term\":{term},\"state\":\"{state}\"")?;
            }
            EventKind::Read(mode, index) => write!(f, "read\",\"mode\":\"{mode}\",\"index\":{index}")?,
            EventKind::Config(config) => write_config(f, config)?,
        }
        f.write_str("}")
    }
}

/// What a configuration does not have is left out.
fn write_config(f: &mut fmt::Formatter<'_>, config: &Config) -> fmt::Result {
    let Config { index, configuration, state } = config;
    let (members, state) = (Nodes(configuration.voters()), state.as_str());
    write!(f, "config\",\"index\":{index},\"members\":{members},\"state\":\"{state}\"")?;
    let lists = [
        ("outgoing", configuration.outgoing()),
        ("learners", configuration.learners()),
        ("witnesses", configuration.witnesses()),
    ];
    for (name, nodes) in lists.into_iter().filter(|(_, nodes)| !nodes.is_empty()) {
        write!(f, ",\"{name}\":{}", Nodes(nodes))?;
    }
    Ok(())
}

fn write_boot(f: &mut fmt::Formatter<'_>, boot: &Boot) -> fmt::Result {
    write!(f, "boot\",\"boot\":{},\"voted_for\":", boot.boot)?;
    match boot.voted_for {
        Some(node) => write!(f, "\"{node}\"")?,
        None => f.write_str("null")?,
    }
    write!(
        f,
        ",\"last_index\":{},\"last_term\":{},\"snapshot_index\":{},\"members\":{}",
        boot.last_index,
        boot.last_term,
        boot.snapshot_index,
        Nodes(&boot.members)
    )?;
    if !boot.outgoing.is_empty() {
        write!(f, ",\"outgoing\":{}", Nodes(&boot.outgoing))?;
    }
    write!(f, ",\"rules\":{}", boot.rules.to_json())
}

struct Nodes<'a>(&'a [NodeId]);

impl fmt::Display for Nodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, node) in self.0.iter().enumerate() {
            write!(f, "{}\"{node}\"", if position == 0 { "[" } else { "," })?;
        }
        f.write_str(if self.0.is_empty() { "[]" } else { "]" })
    }
}

struct Marks<'a>(&'a [EntryMark]);

impl fmt::Display for Marks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (position, EntryMark(index, term, hash)) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(f, "{comma}[{index},{term},\"{hash:016x}\"]")?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_json_with_the_documented_fields() {
        let mark = EntryMark(4, 2, 0xabc);
        let boot = Boot {
            boot: 2,
            voted_for: None,
            last_index: 7,
            last_term: 3,
            snapshot_index: 0,
            members: vec![NodeId(1), NodeId(2)],
            outgoing: Vec::new(),
            rules: Rules::default(),
        };
        let in_a_change = Boot { outgoing: vec![NodeId(1)], ..boot.clone() };
        let commit = |acks| EventKind::Commit(Commit { index: 4, entry_term: 2, acks });
        let plain = Configuration::new(vec![NodeId(1), NodeId(2)]);
        let joint = Configuration::new(vec![NodeId(1)]).with_learner(NodeId(3)).with_witness(NodeId(2));
        let joint = joint.joint_with(&joint.with_voter(NodeId(2)).with_witness(NodeId(2)));
        let config = |configuration: &Configuration| {
            let configuration = configuration.clone();
            EventKind::Config(Box::new(Config { index: 3, configuration, state: ConfigState::Append }))
        };
        let cases: Vec<(EventKind, &str, &[&str])> = vec![
            (
                EventKind::Boot(Box::new(boot)),
                "boot",
                &["boot", "voted_for", "last_index", "last_term", "snapshot_index", "members", "rules"],
            ),
            (
                EventKind::Boot(Box::new(in_a_change)),
                "boot",
                &[
                    "boot",
                    "voted_for",
                    "last_index",
                    "last_term",
                    "snapshot_index",
                    "members",
                    "outgoing",
                    "rules",
                ],
            ),
            (EventKind::Role(Role::Leader, vec![NodeId(1)]), "role", &["role", "votes"]),
            (EventKind::Role(Role::Follower, vec![]), "role", &["role"]),
            (EventKind::Term, "term", &[]),
            (
                EventKind::Vote(Vote { to: NodeId(3), last_index: 1, last_term: 1 }),
                "vote",
                &["to", "last_index", "last_term"],
            ),
            (EventKind::Append(vec![mark, mark]), "append", &["entries"]),
            (EventKind::Truncate(3), "truncate", &["from"]),
            (EventKind::Fsync(Fsync { index: 3, hard_state: true }), "fsync", &["index", "hard_state"]),
            (EventKind::Ack(NodeId(1), 9), "ack", &["to", "index"]),
            (commit(None), "commit", &["index", "entry_term"]),
            (commit(Some(vec![NodeId(1), NodeId(3)])), "commit", &["index", "entry_term", "acks"]),
            (EventKind::Apply(vec![]), "apply", &["entries"]),
            (EventKind::Transfer(NodeId(3), Handover::GivenUp), "transfer", &["to", "state"]),
            (
                EventKind::Snapshot(SnapshotState::Taken, Position { index: 3, term: 1 }),
                "snapshot",
                &["index", "entry_term", "state"],
            ),
            (EventKind::Read("log", 3), "read", &["mode", "index"]),
            (EventKind::State(3, 0xabc), "state", &["index", "hash"]),
            (config(&plain), "config", &["index", "members", "state"]),
            (config(&joint), "config", &["index", "members", "state", "outgoing", "learners", "witnesses"]),
        ];
        for (kind, name, fields) in cases {
            let line = Event { term: 5, kind }.line(17, NodeId(2));
            assert!(line.ends_with("}\n"));
            let json: serde_json::Value =
                serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
            let object = json.as_object().unwrap();
            assert_eq!((&object["t"], &object["n"], &object["term"]), (&17.into(), &"n2".into(), &5.into()));
            assert_eq!(object["ev"], name);
            let mut expected: Vec<&str> = ["t", "n", "term", "ev"].iter().chain(fields).copied().collect();
            let mut found: Vec<&str> = object.keys().map(String::as_str).collect();
            expected.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, expected, "{line}");
        }
    }
}
