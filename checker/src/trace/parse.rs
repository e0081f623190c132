//! Reads trace files, line by line, into the compact form.
//!
//! Invariant: no line is dropped silently. A node that is killed in the middle of a write leaves a piece of a line,
//! at the end of its file or just before the `boot` line of its next start, on the same line as that; both are noted in
//! [`Trace::torn`]. Any other damage is an error with line and column. Unknown fields and events are accepted.

use std::borrow::Cow;

use rustc_hash::FxHashMap;
use serde::Deserialize;
use serde::de::{self, Visitor};

use super::{
    Boot, Commit, Config, ConfigState, Entry, Event, Node, ReadMode, Role, SnapshotState, Span, Torn, Trace,
    What,
};

/// A line that is no trace line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{source_name}, line {line}, column {column}: {problem}")]
pub struct TraceError {
    /// The file.
    pub source_name: String,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// What is wrong.
    pub problem: String,
}

/// Collects the files of a run.
#[derive(Debug, Default)]
pub struct TraceBuilder {
    origin: u64,
    trace: Trace,
    names: FxHashMap<String, Node>,
}

impl TraceBuilder {
    /// A builder for a run that started at `origin`, in nanoseconds of the clock of the traces.
    pub fn new(origin: u64) -> Self {
        TraceBuilder { origin, ..Self::default() }
    }

    /// Reads one file, as its lines (with or without their newlines). `source` names it in errors.
    pub fn read<L: AsRef<[u8]>>(
        &mut self,
        source: &str,
        lines: impl IntoIterator<Item = L>,
    ) -> Result<(), TraceError> {
        self.read_lines(source, None, lines)
    }

    /// Reads the file of a host on which other nodes may run a second time. What such a twin tells is not of the node whose
    /// name it bears: two processes that share a name do not share a memory. It is told of as "n2 on n4".
    pub fn read_of_host<L: AsRef<[u8]>>(
        &mut self,
        source: &str,
        host: &str,
        lines: impl IntoIterator<Item = L>,
    ) -> Result<(), TraceError> {
        self.read_lines(source, Some(host), lines)
    }

    fn read_lines<L: AsRef<[u8]>>(
        &mut self,
        source: &str,
        host: Option<&str>,
        lines: impl IntoIterator<Item = L>,
    ) -> Result<(), TraceError> {
        let mut held: Option<TraceError> = None;
        let mut latest = 0;
        for (at, line) in lines.into_iter().enumerate() {
            let line = line.as_ref();
            if line.trim_ascii().is_empty() {
                continue;
            }
            if let Some(error) = held.take() {
                return Err(error);
            }
            let parsed = match serde_json::from_slice::<Line<'_>>(line) {
                Ok(parsed) => Some(parsed),
                Err(error) => {
                    let torn = Torn { source: source.to_owned(), line: at + 1 };
                    let rescued = boot_behind(line);
                    match rescued.is_some() {
                        true => self.trace.torn.push(torn),
                        false => held = Some(damage(source, at + 1, &error)),
                    }
                    rescued
                }
            };
            let Some(parsed) = parsed else { continue };
            // Within a file the order of lines is the truth, even if the clock disagrees.
            latest = parsed.t.max(latest);
            self.push(latest, &parsed, host);
        }
        if let Some(error) = held {
            self.trace.torn.push(Torn { source: error.source_name, line: error.line });
        }
        Ok(())
    }

    /// The merged trace.
    pub fn finish(mut self) -> Trace {
        // Stable: events of one node keep their order.
        self.trace.events.sort_by_key(|event| event.time);
        self.trace
    }

    fn push(&mut self, time: u64, line: &Line<'_>, host: Option<&str>) {
        let node = match host.filter(|host| line.n != *host) {
            None => self.node(&line.n),
            Some(host) => self.node(&format!("{} on {host}", line.n)),
        };
        let what = self.what(line);
        let time = time.saturating_sub(self.origin);
        self.trace.events.push(Event { time, node, term: line.term, what });
    }

    fn what(&mut self, line: &Line<'_>) -> What {
        match line.ev.as_ref() {
            "boot" => What::Boot(Boot {
                count: line.boot,
                voted_for: line.voted_for.as_ref().map(|name| self.node(name)),
                last_index: line.last_index,
                last_term: line.last_term,
                snapshot_index: line.snapshot_index,
                members: self.list(&line.members),
                outgoing: self.list(&line.outgoing),
            }),
            "role" => match line.role.as_deref() {
                Some("follower") => What::Role(Role::Follower, Span::default()),
                Some("pre_candidate") => What::Role(Role::PreCandidate, Span::default()),
                Some("candidate") => What::Role(Role::Candidate, Span::default()),
                Some("leader") => What::Role(Role::Leader, self.list(&line.votes)),
                _ => What::Other,
            },
            "term" => What::Term,
            "vote" => line.to.as_ref().map_or(What::Other, |to| What::Vote(self.node(to))),
            "append" => What::Append(self.entries(line)),
            "truncate" => What::Truncate(line.from),
            "fsync" => What::Fsync(line.index, line.hard_state),
            "ack" => line.to.as_ref().map_or(What::Other, |to| What::Ack(self.node(to), line.index)),
            "commit" => {
                let acks = self.list(&line.acks);
                What::Commit(Commit { index: line.index, entry_term: line.entry_term, acks })
            }
            "apply" => What::Apply(self.entries(line)),
            "read" => match line.mode.as_deref() {
                Some("lease") => What::Read(ReadMode::Lease, line.index),
                _ => What::Read(ReadMode::Other, line.index),
            },
            "state" => line.hash.as_ref().map_or(What::Other, |hash| What::State(line.index, hash.0)),
            "config" => self.config(line),
            "snapshot" => match line.state.as_deref() {
                Some("taken") => What::Snapshot(SnapshotState::Taken, line.index, line.entry_term),
                Some("installed") => What::Snapshot(SnapshotState::Installed, line.index, line.entry_term),
                Some("compacted") => What::Snapshot(SnapshotState::Compacted, line.index, line.entry_term),
                _ => What::Other,
            },
            _ => What::Other,
        }
    }

    fn config(&mut self, line: &Line<'_>) -> What {
        let state = match line.state.as_deref() {
            Some("append") => ConfigState::Append,
            Some("commit") => ConfigState::Commit,
            Some("rollback") => ConfigState::Rollback,
            _ => return What::Other,
        };
        let (members, outgoing) = (self.list(&line.members), self.list(&line.outgoing));
        What::Config(Config { index: line.index, state, members, outgoing })
    }

    fn node(&mut self, name: &str) -> Node {
        if let Some(&node) = self.names.get(name) {
            return node;
        }
        let node = Node(self.trace.nodes.len() as u16);
        self.trace.nodes.push(name.to_owned());
        self.names.insert(name.to_owned(), node);
        node
    }

    fn list(&mut self, names: &[Cow<'_, str>]) -> Span {
        let start = self.trace.lists.len() as u32;
        for name in names {
            let node = self.node(name);
            self.trace.lists.push(node);
        }
        Span { start, end: self.trace.lists.len() as u32 }
    }

    fn entries(&mut self, line: &Line<'_>) -> Span {
        let start = self.trace.entries.len() as u32;
        self.trace.entries.extend(line.entries.iter().map(|e| Entry { index: e.0, term: e.1, hash: e.2.0 }));
        Span { start, end: self.trace.entries.len() as u32 }
    }
}

/// The `boot` line that follows a torn one on the same line.
fn boot_behind(line: &[u8]) -> Option<Line<'_>> {
    const START: &[u8] = b"{\"t\":";
    let start =
        (1..line.len().saturating_sub(START.len())).rev().find(|&at| line[at..].starts_with(START))?;
    serde_json::from_slice::<Line<'_>>(&line[start..]).ok().filter(|line| line.ev == "boot")
}

fn damage(source: &str, line: usize, error: &serde_json::Error) -> TraceError {
    let text = error.to_string();
    let problem = text.rfind(" at line ").map_or(text.as_str(), |at| &text[..at]).to_owned();
    TraceError { source_name: source.to_owned(), line, column: error.column(), problem }
}

#[derive(Deserialize)]
struct Line<'a> {
    t: u64,
    #[serde(borrow)]
    n: Cow<'a, str>,
    term: u64,
    #[serde(borrow)]
    ev: Cow<'a, str>,
    #[serde(default)]
    boot: u64,
    #[serde(borrow, default)]
    voted_for: Option<Cow<'a, str>>,
    #[serde(default)]
    last_index: u64,
    #[serde(default)]
    last_term: u64,
    #[serde(default)]
    snapshot_index: u64,
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    votes: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    to: Option<Cow<'a, str>>,
    #[serde(default)]
    entries: Vec<LineEntry>,
    #[serde(default)]
    from: u64,
    #[serde(default)]
    index: u64,
    #[serde(default)]
    hard_state: bool,
    #[serde(default)]
    entry_term: u64,
    #[serde(borrow, default)]
    acks: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    members: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    outgoing: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    mode: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    state: Option<Cow<'a, str>>,
    #[serde(default)]
    hash: Option<Hash>,
}

#[derive(Deserialize)]
struct LineEntry(u64, u64, Hash);

/// Up to 16 hexadecimal digits.
struct Hash(u64);

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Hexadecimal;
        impl<'de> Visitor<'de> for Hexadecimal {
            type Value = Hash;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a hash of 16 hexadecimal digits")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Hash, E> {
                u64::from_str_radix(text, 16)
                    .map(Hash)
                    .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        from.deserialize_str(Hexadecimal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = r#"{"t":1000,"n":"n1","term":3,"ev":"boot","boot":2,"voted_for":null,"last_index":7,"last_term":3,"snapshot_index":0,"members":["n1","n2"],"rules":{"pre_vote":"full","x":[1]}}"#;
    const VOTE: &str = r#"{"t":1500,"n":"n1","term":4,"ev":"vote","to":"n2","last_index":7,"last_term":3}"#;
    const APPEND: &str = r#"{"t":1600,"n":"n1","term":4,"ev":"append","entries":[[8,4,"00000000000000ff"],[9,4,"ffffffffffffffff"]]}"#;

    fn read(lines: &[&str]) -> Result<Trace, TraceError> {
        let mut builder = TraceBuilder::new(500);
        builder.read("n1/trace.jsonl", lines)?;
        Ok(builder.finish())
    }

    #[test]
    fn lines_become_events() {
        let leader = r#"{"t":1700,"n":"n2","term":4,"ev":"role","role":"leader","votes":["n2","n1"]}"#;
        let other = r#"{"t":1800,"n":"n2","term":4,"ev":"dance","partner":{"a":1}}"#;
        let trace = read(&[BOOT, VOTE, APPEND, leader, other]).unwrap();
        assert_eq!(trace.nodes, ["n1", "n2"]);
        let What::Boot(boot) = trace.events[0].what else { panic!() };
        assert_eq!((trace.events[0].time, trace.events[0].node, trace.events[0].term), (500, Node(0), 3));
        assert_eq!((boot.count, boot.voted_for, boot.last_index, boot.last_term), (2, None, 7, 3));
        assert_eq!(trace.list(boot.members), [Node(0), Node(1)]);
        assert_eq!(trace.events[1].what, What::Vote(Node(1)));
        let What::Append(span) = trace.events[2].what else { panic!() };
        assert_eq!(trace.entries(span)[1], Entry { index: 9, term: 4, hash: u64::MAX });
        let What::Role(Role::Leader, votes) = trace.events[3].what else { panic!() };
        assert_eq!(trace.list(votes), [Node(1), Node(0)]);
        assert_eq!(trace.events[4].what, What::Other);
        assert!(trace.torn.is_empty());
    }

    #[test]
    fn files_are_merged_by_time_without_changing_their_own_order() {
        let mut builder = TraceBuilder::new(0);
        let line = |t, n: &str| format!(r#"{{"t":{t},"n":"{n}","term":{t},"ev":"term"}}"#);
        // The clock of n1 goes backward; its order of lines does not.
        builder.read("a", [line(10, "n1"), line(30, "n1"), line(20, "n1")]).unwrap();
        builder.read("b", [line(15, "n2"), line(40, "n2")]).unwrap();
        let order: Vec<u64> = builder.finish().events.iter().map(|e| e.term).collect();
        assert_eq!(order, [10, 15, 30, 20, 40]);
    }

    /// Two processes under one name: what one of them does must not be held against the other.
    #[test]
    fn what_a_twin_tells_is_its_own() {
        let mut builder = TraceBuilder::new(0);
        let vote = |n: &str| format!(r#"{{"t":10,"n":"{n}","term":4,"ev":"vote","to":"n2"}}"#);
        builder.read_of_host("the trace of n2", "n2", [vote("n2")]).unwrap();
        builder.read_of_host("the trace of n4", "n4", [vote("n2"), vote("n4")]).unwrap();
        let trace = builder.finish();
        let who: Vec<&str> = trace.events.iter().map(|event| trace.name(event.node)).collect();
        assert_eq!(who, ["n2", "n2 on n4", "n4"]);
        // Whom it votes for is the name.
        assert!(trace.events.iter().all(|event| event.what == What::Vote(Node(0))));
    }

    #[test]
    fn a_torn_line_is_accepted_at_the_end_and_before_a_boot_only() {
        let torn = &VOTE[..40];
        let trace = read(&[BOOT, torn]).unwrap();
        assert_eq!((trace.events.len(), trace.torn[0].line), (1, 2));
        let joined = format!("{torn}{BOOT}");
        let trace = read(&[VOTE, &joined, APPEND]).unwrap();
        assert_eq!((trace.events.len(), trace.torn.len(), trace.torn[0].line), (3, 1, 2));
        let error = read(&[BOOT, torn, VOTE]).unwrap_err();
        assert_eq!((error.line, error.source_name.as_str()), (2, "n1/trace.jsonl"));
        assert!(read(&[BOOT, &format!("{torn}{VOTE}"), VOTE]).is_err());
    }

    #[test]
    fn damaged_lines_never_panic() {
        for line in [BOOT, VOTE, APPEND] {
            for cut in 0..line.len() {
                assert!(read(&[&line[..cut], BOOT]).is_err() || line[..cut].trim().is_empty());
                let trace = read(&[BOOT, &line[..cut]]).unwrap();
                assert_eq!(trace.events.len(), 1);
            }
        }
        let error =
            read(&[r#"{"t":1,"n":"n1","term":4,"ev":"append","entries":[[8,4,"zz"]]}"#, BOOT]).unwrap_err();
        assert!(error.to_string().contains("hexadecimal"), "{error}");
    }
}
