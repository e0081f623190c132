//! What a fuzzer feeds: bytes from outside into the parts of a node that read them.
//!
//! Each body returns for any bytes, and the harness around it takes a panic for the finding. The bodies lie here, and not
//! in `fuzz/`, so that the tests of the stable toolchain run them too over the checked-in corpus (`tests/fuzz.rs`).
//! Invariant: a body is a function of its bytes: no clock, no randomness, nothing left over from the call before.
//! Not a part of the node; reference: the book of `cargo fuzz`.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use crate::peers::codec::{self, FRAME_MAX, HELLO_MAX, Hello};
use crate::raft::control::{Change, Order, Part, Poke, Timer};
use crate::raft::io::{DiskSpace, HardState, Input, Micros, NodeId, PersistId, ReadAsk, RequestId};
use crate::raft::message::Message;
use crate::raft::quorum::Configuration;
use crate::raft::recovery::Standing;
use crate::raft::rules::Rules;
use crate::raft::{Config, Raft};
use crate::sim::UNSAFE_RULES;
use crate::wal::{self, Sizes, Wal};

/// A body and its name, which is that of its target and of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] =
    &[("wal_reader", wal_reader), ("peer_frame", peer_frame), ("raft_steps", raft_steps)];

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
        let (len, crc) = (payload.len() as u32, crc32fast::hash(payload));
        whole = [&len.to_le_bytes()[..], &crc.to_le_bytes(), payload].concat();
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
            while !inputs.is_empty() {
                raft.steps(Micros(now), &mut inputs);
            }
        }
    }
    while !inputs.is_empty() {
        raft.steps(Micros(now), &mut inputs);
    }
    let _ = raft.status();
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
            7 | 8 => Input::Order { request, order: self.order() },
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
