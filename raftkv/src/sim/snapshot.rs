//! The state machine of a simulated node, and where its snapshots lie.
//!
//! The state is the row of entries that were applied, so two states are equal exactly if the same was applied in the same
//! order, and a snapshot that mixes two is seen for what it is. A snapshot is written while the node goes on; a crash leaves
//! what the rule `snapshot_write` makes of one half-way.
//! Invariant: work is done in the order in which it was asked for, as by the thread of a real node.

use std::collections::VecDeque;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::disk::Crash;
use crate::raft::io::{Micros, NodeId};
use crate::raft::log::{Payload, Position};
use crate::raft::message::Message;
use crate::raft::quorum::Configuration;
use crate::raft::rules::SnapshotWrite;
use crate::raft::snapshot::{
    Chunk, SendChunk, Sessions, SnapshotId, SnapshotMeta, SnapshotReport, SnapshotWork, Take, Verification,
};
use crate::raft::trace::EntryMark;
use crate::store::Store;

/// What was applied, in order.
pub(super) type State = Vec<EntryMark>;

/// Bytes of one entry in a snapshot.
const MARK: usize = 24;

/// A snapshot: its bytes are the length of the header, the header, and the state.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) meta: SnapshotMeta,
    pub(super) state: State,
    bytes: Vec<u8>,
}

type Header = (Position, Option<(u64, Configuration)>);

impl Snapshot {
    fn of(take: &Take, mut state: State) -> Option<Self> {
        state.extend(take.beyond.iter().map(EntryMark::from));
        let header: Header = (take.last, take.configuration.clone());
        let header = postcard::to_stdvec(&header).ok()?;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        let words = state.iter().flat_map(|&EntryMark(index, term, hash)| [index, term, hash]);
        bytes.extend(words.flat_map(u64::to_le_bytes));
        Self::decode(bytes)
    }

    fn is_beyond(&self, other: &Self) -> bool {
        self.meta.id.last.index >= other.meta.id.last.index
    }

    /// What is in these bytes, if they are a snapshot at all.
    fn decode(bytes: Vec<u8>) -> Option<Self> {
        let (len, rest) = bytes.split_first_chunk()?;
        let (header, marks) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
        let (last, configuration): Header = postcard::from_bytes(header).ok()?;
        let (marks, []) = marks.as_chunks::<MARK>() else { return None };
        let word = |mark: &[u8; MARK], at: usize| {
            mark[at..at + 8].iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
        };
        let state =
            marks.iter().map(|mark| EntryMark(word(mark, 0), word(mark, 8), word(mark, 16))).collect();
        let id = SnapshotId { last, checksum: crc32fast::hash(&bytes) };
        let meta = SnapshotMeta { id, size: bytes.len() as u64, configuration };
        Some(Self { meta, state, bytes })
    }
}

/// The store as `take` makes it part of a snapshot.
pub(super) fn store_of(take: &Take, store: &Store) -> Store {
    let mut store = store.clone();
    for entry in &take.beyond {
        if let Payload::Command(command) = &entry.payload {
            let _ = store.apply(entry.index, command.as_bytes());
        }
    }
    if take.sessions == Sessions::LeftOut {
        store.forget_sessions();
    }
    store
}

/// What came of some work.
#[derive(Debug)]
pub(super) enum Outcome {
    Report(SnapshotReport),
    Send(NodeId, Message),
}

#[derive(Debug)]
enum Work {
    Write(Option<Snapshot>),
    Store(Chunk),
    Complete(SnapshotId, Verification),
    Send(SendChunk),
}

/// The snapshots of one node.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// The newest that has a name.
    newest: Option<Snapshot>,
    /// The one before, for those who still read it.
    before: Option<Snapshot>,
    /// Whether the newest has only a name so far.
    unsynced: bool,
    received: Vec<u8>,
    /// The last one that was received, in memory.
    loaded: Option<Snapshot>,
    work: VecDeque<(Micros, Work)>,
}

impl Shelf {
    /// Takes work that is done `at` the given time, and never before earlier work.
    /// Of a snapshot that is taken it tells the name.
    pub(super) fn submit(&mut self, work: SnapshotWork, state: &State, at: Micros) -> Option<SnapshotId> {
        let due = self.work.back().map_or(at, |(last, _)| at.max(*last));
        let work = match work {
            SnapshotWork::Take(take) => Work::Write(Snapshot::of(&take, state.clone())),
            SnapshotWork::Store(chunk) => Work::Store(chunk),
            SnapshotWork::Complete(id, verification) => Work::Complete(id, verification),
            SnapshotWork::Send(chunk) => Work::Send(chunk),
        };
        let taken = match &work {
            Work::Write(Some(snapshot)) => Some(snapshot.meta.id),
            _ => None,
        };
        self.work.push_back((due, work));
        taken
    }

    /// When the next work is done.
    pub(super) fn due(&self) -> Option<Micros> {
        self.work.front().map(|(due, _)| *due)
    }

    /// Finishes the next work.
    pub(super) fn complete(&mut self, write: SnapshotWrite) -> Option<Outcome> {
        let report = match self.work.pop_front()?.1 {
            Work::Write(Some(snapshot)) if self.newest.as_ref().is_some_and(|n| n.is_beyond(&snapshot)) => {
                SnapshotReport::NotTaken("a newer one has come from the leader".into())
            }
            Work::Write(Some(snapshot)) => {
                let meta = snapshot.meta.clone();
                self.name(snapshot, write);
                SnapshotReport::Taken(meta)
            }
            Work::Write(None) => SnapshotReport::NotTaken("it cannot be encoded".into()),
            Work::Store(chunk) => {
                self.store(chunk);
                return None;
            }
            Work::Complete(id, verification) => match self.assemble(id, verification) {
                Ok(snapshot) => {
                    let meta = snapshot.meta.clone();
                    self.loaded = Some(snapshot.clone());
                    self.name(snapshot, write);
                    SnapshotReport::Received(meta)
                }
                Err(reason) => SnapshotReport::NotReceived(id, reason),
            },
            Work::Send(chunk) => match self.read(&chunk) {
                Some(data) => return Some(Outcome::Send(chunk.to, chunk.message(data))),
                None => SnapshotReport::NotSent(chunk.to, chunk.id),
            },
        };
        Some(Outcome::Report(report))
    }

    fn name(&mut self, snapshot: Snapshot, write: SnapshotWrite) {
        self.before = self.newest.replace(snapshot);
        self.unsynced = write == SnapshotWrite::TmpRename;
    }

    fn store(&mut self, chunk: Chunk) {
        let (from, to) = (chunk.offset as usize, chunk.offset as usize + chunk.data.len());
        if from == 0 {
            self.received.clear();
        }
        self.received.resize(self.received.len().max(to), 0);
        self.received[from..to].copy_from_slice(&chunk.data);
    }

    fn assemble(&mut self, id: SnapshotId, verification: Verification) -> Result<Snapshot, String> {
        let bytes = self.received.clone();
        if verification == Verification::Whole && crc32fast::hash(&bytes) != id.checksum {
            return Err("it is not what the leader named".to_owned());
        }
        Snapshot::decode(bytes).ok_or_else(|| "it is no snapshot".to_owned())
    }

    fn read(&self, chunk: &SendChunk) -> Option<Vec<u8>> {
        let shelf = [&self.newest, &self.before];
        let snapshot = shelf.into_iter().flatten().find(|snapshot| snapshot.meta.id == chunk.id)?;
        let from = chunk.offset as usize;
        snapshot.bytes.get(from..from + chunk.len).map(<[u8]>::to_vec)
    }

    /// The node crashes; what of the write under way reaches the disk is drawn.
    pub(super) fn crash(&mut self, random: &mut ChaCha8Rng, write: SnapshotWrite, crash: Crash) {
        let under_way = std::mem::take(&mut self.work).into_iter().find_map(|(_, work)| match work {
            Work::Write(snapshot) => snapshot,
            _ => None,
        });
        let lucky = random.random_range(0..2) == 0;
        match (write, under_way) {
            // The last step of it is atomic.
            (SnapshotWrite::Full, Some(snapshot)) if lucky => self.newest = Some(snapshot),
            // Half of it has taken the place of the one before.
            (SnapshotWrite::InPlace, Some(_)) if lucky => self.newest = None,
            // The name was on the disk, the contents were not, and the one before had been removed.
            (SnapshotWrite::TmpRename, _) if self.unsynced && lucky && crash == Crash::Power => {
                self.newest = None
            }
            _ => {}
        }
        self.lose_work();
    }

    /// The node ends: what was under way is lost, what has a name stays.
    pub(super) fn lose_work(&mut self) {
        self.work.clear();
        (self.before, self.loaded, self.unsynced) = (None, None, false);
        self.received.clear();
    }

    /// The state of the snapshot that was received last, if it is this one.
    pub(super) fn take_loaded(&mut self, id: SnapshotId) -> Option<Snapshot> {
        self.loaded.take().filter(|snapshot| snapshot.meta.id == id)
    }

    /// The last entry that the newest one covers, 0 without one.
    pub(super) fn covered(&self) -> u64 {
        self.newest.as_ref().map_or(0, |snapshot| snapshot.meta.id.last.index)
    }

    /// What a starting node finds.
    pub(super) fn recover(&self) -> Option<Snapshot> {
        self.newest.clone()
    }
}
