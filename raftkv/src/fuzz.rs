//! What a fuzzer feeds: bytes from outside into the parts of a node that read them.
//!
//! Each body returns for any bytes, and the harness around it takes a panic for the finding. The bodies lie here, and not
//! in `fuzz/`, so that the tests of the stable toolchain run them too over the checked-in corpus (`tests/fuzz.rs`).
//! Invariant: a body is a function of its bytes: no clock, no randomness, nothing left over from the call before.
//! Not a part of the node; reference: the book of `cargo fuzz`.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use crate::http;
use crate::peers::codec::{self, FRAME_MAX, HELLO_MAX, Hello};
use crate::raft::control::{Change, Order, Part, Poke, Timer};
use crate::raft::io::{DiskSpace, HardState, Input, Micros, NodeId, PersistId, ReadAsk, RequestId};
use crate::raft::log::Position;
use crate::raft::message::*;
use crate::raft::quorum::Configuration;
use crate::raft::recovery::Standing;
use crate::raft::rules::Rules;
use crate::raft::snapshot::{SnapshotId, SnapshotMeta, SnapshotReport, SnapshotWork};
use crate::raft::{Config, Raft};
use crate::sim::UNSAFE_RULES;
use crate::sim::disk::Crash;
use crate::sim::pool::{Act, Pool};
use crate::snapshot::{self, Verified};
use crate::wal::{self, Sizes, Wal};

/// A body and its name, which is that of its target and of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("wal_reader", wal_reader),
    ("snapshot_file", snapshot_file),
    ("peer_frame", peer_frame),
    ("http_request", http_request),
    ("raft_steps", raft_steps),
    ("raft_pool", raft_pool),
];

/// The bytes of a segment file: a start on it reads them or says why not, and a second start finds what the first left.
///
/// Bytes with an even first one are the file as it is. Otherwise they are the payloads of its frames, each behind its
/// length, so that the records are reached without guessing a checksum; and the first byte says
/// which rules read it.
pub fn wal_reader(bytes: &[u8]) {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    let directory = Scratch::new();
    let file = if how % 2 == 0 { bytes.to_vec() } else { framed(bytes) };
    if std::fs::write(directory.path().join(wal::segment_name(1)), file).is_err() {
        return;
    }
    let mut rules = Rules::default();
    let repair = ["truncate_torn_last", "truncate_at_first_bad", "refuse"][usize::from(how / 2) % 3];
    let checksum = ["true", "false"][usize::from(how / 8) % 2];
    for (name, value) in [("wal_tail_repair", repair), ("wal_checksum", checksum)] {
        rules.set(name, value).expect("these are values of these rules");
    }
    let _ = wal::read(directory.path());
    let first = Wal::open_under(&rules, directory.path(), Sizes::default());
    let Ok((wal, first)) = first else { return };
    drop(wal);
    let (_, second) =
        Wal::open_under(&rules, directory.path(), Sizes::default()).expect("what was repaired can be read");
    assert_eq!(
        (first.entries, first.hard_state, first.boot),
        (second.entries, second.hard_state, second.boot)
    );
}

/// The bytes of a snapshot file: refused, or read to a state that is the same after it was written and read again.
///
/// The lowest bit of the first byte says whether checksums are compared. With the next one set the rest is the payloads of
/// blocks, each behind its length in two bytes.
pub fn snapshot_file(bytes: &[u8]) {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    let rules = Rules::default();
    let file = if how & 2 == 0 { bytes.to_vec() } else { blocks(bytes) };
    let verified = if how & 1 == 0 { Verified::Yes } else { Verified::No };
    let Some((hash, again)) = snapshot::read_and_write(&file, verified, &rules) else { return };
    if verified == Verified::Yes {
        let (same, _) =
            snapshot::read_and_write(&again, verified, &rules).expect("what was written can be read");
        assert_eq!(hash, same);
    }
}

/// A snapshot file with these blocks.
fn blocks(mut bytes: &[u8]) -> Vec<u8> {
    let mut file = b"RAFTKVS1".to_vec();
    while let Some((len, rest)) = bytes.split_first_chunk() {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes(*len))));
        file.extend((payload.len() as u32).to_le_bytes());
        file.extend(crc32fast::hash(payload).to_le_bytes());
        file.extend(payload);
        bytes = rest;
    }
    file
}

/// A request of a client or an operator: the method as a byte, then lines: the URI, headers as `name:value`, an empty one;
/// the rest is the body.
pub fn http_request(bytes: &[u8]) {
    let Some((&method, rest)) = bytes.split_first() else { return };
    let method = ["GET", "PUT", "POST", "DELETE", "PATCH"][usize::from(method) % 5];
    let mut lines = rest.splitn(2, |&byte| byte == b'\n');
    let mut request = hyper::Request::builder().method(method).uri(lines.next().unwrap_or_default());
    let mut rest = lines.next().unwrap_or_default();
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let line;
        (line, rest) = (&rest[..end], &rest[end + 1..]);
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { break };
        request = request.header(&line[..colon], &line[colon + 1..]);
    }
    // What is no HTTP does not come so far.
    if let Ok(request) = request.body(()) {
        http::understands(&request.into_parts().0, rest);
    }
}

/// The frames of a segment with these payloads.
fn framed(mut bytes: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut ordinal = 1;
    while let Some((&len, rest)) = bytes.split_first() {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(len)));
        if !payload.is_empty() {
            file.extend(wal::frame_of(payload, ordinal));
            ordinal += 1;
        }
        bytes = rest;
    }
    file
}

/// A directory for one call, in memory where there is such a place, since syncs are not what is tried here.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = root.join(format!("raftkv-fuzz-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a scratch directory can be made");
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left over is in memory, and the name is not used again.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The bytes of a peer's connection: frames until one is bad. An odd first byte puts the rest into a whole frame.
pub fn peer_frame(bytes: &[u8]) {
    let Some((&how, payload)) = bytes.split_first() else { return };
    let whole;
    let mut stream = payload;
    if how % 2 == 1 {
        whole = [&codec::header(payload)[..], payload].concat();
        stream = &whole;
    }
    let _ = codec::decode::<Hello>(stream, HELLO_MAX);
    while let Ok(Some((message, len))) = codec::decode::<Message>(stream, FRAME_MAX) {
        let mut again = Vec::new();
        codec::encode(&message, &mut again);
        assert_eq!(codec::decode(&again, FRAME_MAX), Ok(Some((message, again.len()))));
        stream = &stream[len..];
    }
}

/// The life of a node under some rules: what others say to it, what clients and operators ask of it, and the time.
pub fn raft_steps(bytes: &[u8]) {
    let mut script = Script(bytes);
    let mut rules = Rules::default();
    for _ in 0..script.byte() % 4 {
        let change = UNSAFE_RULES[usize::from(script.byte()) % UNSAFE_RULES.len()];
        for (name, value) in change.split_whitespace().filter_map(|pair| pair.split_once('=')) {
            rules.set(name, value).expect("the list names rules and their values");
        }
    }
    let members = (1..=1 + u16::from(script.byte() % 4)).map(NodeId).collect();
    let config = Config {
        id: NodeId(1),
        members: Configuration::new(members),
        rules,
        hard_state: HardState::default(),
        snapshot: None,
        log: Vec::new(),
        chunk_bytes: 64,
        commit: 0,
        standing: if script.byte() % 8 == 0 { Standing::Learner } else { Standing::Voter },
        seed: u64::from(script.byte()),
    };
    let Ok(mut raft) = Raft::new(config, Micros(0)) else { return };
    let mut now = 0;
    let mut inputs = VecDeque::new();
    while let Some(input) = script.input() {
        inputs.push_back(input);
        now += u64::from(script.byte()) * 500;
        // Some inputs share a step.
        if script.byte() % 4 > 0 {
            take_all(&mut raft, now, &mut inputs, &mut script);
        }
    }
    take_all(&mut raft, now, &mut inputs, &mut script);
    let _ = raft.status();
}

/// Lets the node take everything, and tells it how its work on snapshots ended.
fn take_all(raft: &mut Raft, now: u64, inputs: &mut VecDeque<Input>, script: &mut Script<'_>) {
    let mut answers = 0;
    while !inputs.is_empty() {
        let effects = raft.steps(Micros(now), inputs);
        for work in effects.snapshots {
            // A node that orders work for each answer would keep this going.
            answers += 1;
            if answers < 64
                && let Some(report) = script.report(work)
            {
                inputs.push_back(Input::Snapshot(report));
            }
        }
    }
}

/// A cluster with safe rules whose messages come whenever, and as often as, the bytes say: every invariant holds.
pub fn raft_pool(bytes: &[u8]) {
    let mut script = Script(bytes);
    let mut rules = Rules::default();
    let modes = ["read_index", "lease", "follower_read_index", "log"];
    let members = 1 + u16::from(script.byte() % 4);
    let choices = [
        ("read_mode", modes[usize::from(script.byte()) % 4]),
        ("snapshot", ["off", "3", "8"][usize::from(script.byte()) % 3]),
        ("membership", ["single", "joint"][usize::from(script.byte()) % 2]),
        ("learners", ["true", "false"][usize::from(script.byte()) % 2]),
        ("backtrack", ["term_hint", "binary", "one"][usize::from(script.byte()) % 3]),
        ("max_entries_per_append", ["1", "2", "1024"][usize::from(script.byte()) % 3]),
    ];
    for (name, value) in choices.into_iter().chain([("log_keep", "0")]) {
        rules.set(name, value).expect("these are values of these rules");
    }
    let Some(mut pool) = Pool::new(&rules, members) else { return };
    while let Some(act) = script.act(pool.nodes()) {
        pool.act(act);
    }
}

/// Bytes that are read as decisions; 0 once they are used up.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        byte
    }

    /// Small numbers, which meet each other, and the ends of the range.
    fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=239 => u64::from(small) % 24,
            large => u64::MAX - u64::from(255 - large) % 3,
        }
    }

    fn node(&mut self) -> NodeId {
        NodeId(u16::from(self.byte() % 6))
    }

    /// What happens next in a cluster of `nodes`.
    fn act(&mut self, nodes: u16) -> Option<Act> {
        if self.0.is_empty() {
            return None;
        }
        let kind = self.byte();
        let id = NodeId(1 + u16::from(self.byte()) % nodes);
        Some(match kind % 32 {
            // Mostly what was sent lately.
            0..11 => Act::Deliver(usize::from(self.byte() % 8)),
            11 | 12 => Act::Deliver(usize::from(self.byte()) * 7),
            13..16 => Act::Pass(id, u64::from(self.byte()) * 2),
            16..19 => Act::Write(id, self.byte()),
            19 => Act::Read(id),
            20..27 => Act::Sync(id),
            27 | 28 => Act::Snapshot(id),
            29 => Act::Restart(id, Crash::Process, usize::from(self.byte())),
            30 => Act::Restart(id, Crash::Power, usize::from(self.byte())),
            _ => Act::Order(id, self.harmless_order()),
        })
    }

    /// An order that breaks nothing: `poke` is left out, which makes a leader believe what is not so.
    fn harmless_order(&mut self) -> Order {
        match self.order() {
            Order::Poke(_) => Order::Campaign,
            order => order,
        }
    }

    /// How some work on a snapshot ends: as it should, or not.
    fn report(&mut self, work: SnapshotWork) -> Option<SnapshotReport> {
        let fails = self.byte().is_multiple_of(4);
        Some(match work {
            SnapshotWork::Take(_) if fails => SnapshotReport::NotTaken("the disk failed".into()),
            SnapshotWork::Take(take) => {
                let id = SnapshotId { last: take.last, checksum: take.last.index as u32 };
                SnapshotReport::Taken(SnapshotMeta { id, size: 100, configuration: take.configuration })
            }
            SnapshotWork::Complete(id, _) if fails => SnapshotReport::NotReceived(id, "it differs".into()),
            SnapshotWork::Complete(id, _) => {
                SnapshotReport::Received(SnapshotMeta { id, size: self.number(), configuration: None })
            }
            SnapshotWork::Send(chunk) if fails => SnapshotReport::NotSent(chunk.to, chunk.id),
            SnapshotWork::Send(_) | SnapshotWork::Store(_) => return None,
        })
    }

    /// A message of any kind with numbers that meet each other; the rest come as encoded bytes.
    fn message(&mut self) -> Message {
        let term = self.number();
        match self.byte() % 12 {
            0 => Message::TimeoutNow(TimeoutNow { term }),
            1 => {
                let is_agreed = self.byte().is_multiple_of(2);
                Message::StateHash(StateHash { term, index: self.number(), hash: self.number(), is_agreed })
            }
            2 => Message::StateHashReply(StateHashReply { term, index: self.number(), hash: self.number() }),
            3 => Message::ReadIndex(ReadIndex { term, tag: self.number() }),
            4 => Message::ReadIndexReply(ReadIndexReply { term, tag: self.number(), index: self.number() }),
            5..8 => Message::InstallSnapshot(InstallSnapshot {
                term,
                id: self.snapshot_id(),
                total: self.number(),
                offset: self.number(),
                data: vec![7; usize::from(self.byte() % 32)],
            }),
            8 => {
                let wanted = InstallOutcome::Wanted(self.snapshot_id(), self.number());
                Message::InstallReply(InstallReply { term, outcome: wanted })
            }
            9 => {
                let outcome = InstallOutcome::Covered(self.number());
                Message::InstallReply(InstallReply { term, outcome })
            }
            10 => Message::Heartbeat(Heartbeat { term, commit: self.number(), round: self.number() }),
            _ => {
                let round = self.number();
                Message::HeartbeatReply(HeartbeatReply { term, round, last_index: self.number() })
            }
        }
    }

    fn snapshot_id(&mut self) -> SnapshotId {
        let last = Position { index: self.number(), term: self.number() };
        SnapshotId { last, checksum: u32::from(self.byte() % 4) }
    }

    fn input(&mut self) -> Option<Input> {
        if self.0.is_empty() {
            return None;
        }
        let request = RequestId(u64::from(self.byte()));
        Some(match self.byte() % 16 {
            0 => Input::Tick,
            1 => Input::Propose { request, command: vec![self.byte(); usize::from(self.byte() % 8)] },
            2 => Input::Read { request, ask: ReadAsk::default() },
            3..=5 => Input::Persisted(PersistId(self.number())),
            6 => Input::Disk(if self.byte().is_multiple_of(2) { DiskSpace::Full } else { DiskSpace::Free }),
            7 => Input::Order { request, order: self.order() },
            8..11 => Input::Message { from: self.node(), message: self.message() },
            _ => {
                let from = self.node();
                match postcard::take_from_bytes::<Message>(self.0) {
                    Ok((message, rest)) => {
                        self.0 = rest;
                        Input::Message { from, message }
                    }
                    Err(_) => Input::Tick,
                }
            }
        })
    }

    fn order(&mut self) -> Order {
        match self.byte() % 9 {
            0 => Order::Campaign,
            1 => Order::Transfer(None),
            2 => Order::Transfer(Some(self.node())),
            3 => Order::Snapshot,
            4 => Order::Poke(Poke::NextIndex(self.node(), self.number())),
            5 => Order::Poke(Poke::MatchIndex(self.node(), self.number())),
            6 => Order::Timer(if self.byte().is_multiple_of(2) { Timer::Manual } else { Timer::Armed }),
            _ => Order::Change(self.change()),
        }
    }

    fn change(&mut self) -> Change {
        match self.byte() % 4 {
            0 => Change::Remove(self.node()),
            1 => Change::Promote(self.node()),
            2 => {
                let parts = [Part::Voter, Part::Learner, Part::Witness];
                let part = parts[usize::from(self.byte()) % parts.len()];
                Change::Add { node: self.node(), address: String::new(), part }
            }
            _ => {
                let count = self.byte() % 5;
                Change::Replace((0..count).map(|_| (self.node(), None)).collect())
            }
        }
    }
}
