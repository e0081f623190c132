//! Reading the log back after a stop of any kind.
//!
//! Invariant: what comes out is exactly what the durable frames said, in order, or an error. Nothing is guessed: a gap in
//! the indexes, a missing segment, a damaged frame that is not the last one all refuse.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::compact::Spans;
use super::frame::{self, Found};
use super::record::{self, Continuity, FORMAT, Record, SegmentStart};
use super::{WalError, disk, head_frame, segment};
use crate::raft::io::HardState;
use crate::raft::log::{Entry, Position};
use crate::raft::rules::{Rules, WalTailRepair};

/// What a log holds.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Term and vote.
    pub hard_state: HardState,
    /// The place before the first entry; `None` if the front of the log was removed, so that only the first entry tells
    /// where it begins.
    pub base: Option<Position>,
    /// The entries, with consecutive indexes.
    pub entries: Vec<Entry>,
    /// How often the node was started, without the start under way.
    pub boot: u64,
    /// How far the log was known to be committed, if that was kept; 0 otherwise.
    pub commit: u64,
    /// A write that the last stop cut short.
    pub torn: Option<TornTail>,
}

impl Recovered {
    /// A log in which nothing was ever written.
    pub(super) fn blank() -> Self {
        Self { base: Some(Position::default()), ..Self::default() }
    }

    /// Where the first entry that is there, or comes next, stands; `None` if the log does not tell.
    pub fn first_index(&self) -> Option<u64> {
        let begins = self.entries.first().map(|entry| entry.index);
        begins.or(self.base.map(|base| base.index + 1))
    }

    /// Writes down where the log begins, before entries are taken out of it by hand. The term there is not known any more
    /// if the front was removed, and nobody asks for it.
    pub fn pin(&mut self) {
        let before = self.first_index().map(|first| Position { index: first - 1, term: 0 });
        self.base = self.base.or(before);
    }
}

/// A write that never became durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub path: PathBuf,
    /// Where the write began.
    pub offset: u64,
    /// Up to where bytes of it reached the file.
    pub bytes: u64,
    /// Later segments that go with it. Only under weakened rules.
    pub later: Vec<u64>,
}

/// Where writing goes on.
pub(super) struct End {
    pub(super) file: File,
    pub(super) sequence: u64,
    pub(super) capacity: u64,
    pub(super) offset: u64,
    /// Where the last frame begins.
    pub(super) last: u64,
    pub(super) ordinal: u64,
    pub(super) spans: Spans,
}

/// Reads the log of a stopped node without changing it. `None` if there is none.
pub fn read(directory: &Path) -> Result<Option<Recovered>, WalError> {
    if !directory.exists() {
        return Ok(None);
    }
    let rules = &Rules::default();
    let sequences = segment::list(directory)?;
    let Some(base) = find_base(rules, directory, &sequences)? else { return Ok(None) };
    Ok(Some(replay_from(rules, directory, &sequences[base..])?.0))
}

/// Reads the log and removes what a base segment superseded. `None` if there is none.
pub(super) fn replay(rules: &Rules, directory: &Path) -> Result<Option<(Recovered, End)>, WalError> {
    let sequences = segment::list(directory)?;
    let Some(base) = find_base(rules, directory, &sequences)? else { return Ok(None) };
    remove_superseded(rules, directory, &sequences[..base])?;
    replay_from(rules, directory, &sequences[base..]).map(Some)
}

/// Removes segments that a durable base segment replaces.
pub(super) fn remove_superseded(rules: &Rules, directory: &Path, sequences: &[u64]) -> Result<(), WalError> {
    for &sequence in sequences {
        disk::remove(&segment::path(directory, sequence))?;
    }
    if sequences.is_empty() { Ok(()) } else { disk::sync_directory(rules, directory) }
}

/// Makes the first segment of a new log.
pub(super) fn create(rules: &Rules, directory: &Path, size: u64) -> Result<End, WalError> {
    let sequence = 1;
    let file = segment::create_blank(directory, sequence, size)?;
    let start = SegmentStart { format: FORMAT, sequence, continues: Continuity::Base };
    let head = head_frame(start, HardState::default(), 0, &[], 1);
    let path = segment::temporary_path(directory, sequence);
    disk::write(&file, &path, &head, 0).map_err(|e| WalError::io("write", &path, e))?;
    disk::sync(&file, &path).map_err(|e| WalError::io("sync", &path, e))?;
    segment::publish(rules, directory, sequence)?;
    let (capacity, offset) = (size.max(head.len() as u64), head.len() as u64);
    Ok(End { file, sequence, capacity, offset, last: 0, ordinal: 2, spans: Spans::default() })
}

/// The position of the newest base segment in `sequences`. Without one the front of the log was removed behind a snapshot,
/// and the replay begins with what is left.
fn find_base(rules: &Rules, directory: &Path, sequences: &[u64]) -> Result<Option<usize>, WalError> {
    for (position, &sequence) in sequences.iter().enumerate().rev() {
        let path = segment::path(directory, sequence);
        if read_start(rules, &path)?.continues == Continuity::Base {
            return Ok(Some(position));
        }
    }
    Ok((!sequences.is_empty()).then_some(0))
}

/// The first record of a segment.
fn read_start(rules: &Rules, path: &Path) -> Result<SegmentStart, WalError> {
    /// More than the first frame of any segment.
    const HEAD: usize = 4096;
    let file = File::open(path).map_err(|e| WalError::io("open", path, e))?;
    let mut head = Vec::with_capacity(HEAD);
    std::io::Read::read_to_end(&mut std::io::Read::take(file, HEAD as u64), &mut head)
        .map_err(|e| WalError::io("read", path, e))?;
    let Found::Frame { payload, .. } = frame::read(rules, &head, 0) else {
        return Err(WalError::corrupt(path, 0, "the first frame is damaged"));
    };
    match record::decode(payload).as_deref() {
        Some([Record::Segment(start), ..]) if start.format != FORMAT => {
            let what = format!("the format is {}, this program reads {FORMAT}", start.format);
            Err(WalError::corrupt(path, 0, what))
        }
        Some([Record::Segment(start), ..]) => Ok(*start),
        _ => Err(WalError::corrupt(path, 0, "the first record is not the start of a segment")),
    }
}

/// Replays consecutive segments.
fn replay_from(rules: &Rules, directory: &Path, sequences: &[u64]) -> Result<(Recovered, End), WalError> {
    let mut replay =
        Replay { rules, recovered: Recovered::default(), ordinal: None, last: 0, spans: Spans::default() };
    let mut end = None;
    // One buffer for all segments: fresh memory for each costs more than to read it.
    let mut bytes = Vec::new();
    for (position, &sequence) in sequences.iter().enumerate() {
        let path = segment::path(directory, sequence);
        if position > 0 && sequences[position - 1] + 1 != sequence {
            let what = format!("segment {} is missing before it", sequence - 1);
            return Err(WalError::corrupt(&path, 0, what));
        }
        let tail = if position + 1 == sequences.len() { Tail::MayBeTorn } else { Tail::MustBeWhole };
        bytes.clear();
        let read = File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(|e| WalError::io("read", &path, e))?;
        if position > 0 {
            replay.spans.rolled(sequence - 1);
        }
        let offset = replay.segment(&path, sequence, &bytes, tail)?;
        end = Some((path, sequence, bytes.len() as u64, offset as u64));
        if let Some(torn) = &mut replay.recovered.torn {
            torn.later = sequences[position + 1..].to_vec();
            break;
        }
    }
    let (path, sequence, capacity, offset) = end.expect("find_base named at least one segment");
    let file =
        OpenOptions::new().read(true).write(true).open(&path).map_err(|e| WalError::io("open", &path, e))?;
    let ordinal = replay.ordinal.expect("a segment has at least one frame") + 1;
    let (last, spans) = (replay.last, replay.spans);
    Ok((replay.recovered, End { file, sequence, capacity, offset, last, ordinal, spans }))
}

/// What the end of a segment may look like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// It is the last one: the write under way may be there in part.
    MayBeTorn,
    /// A later segment exists, which was begun when this one was durable.
    MustBeWhole,
}

/// The state of a replay.
struct Replay<'a> {
    rules: &'a Rules,
    recovered: Recovered,
    /// The number of the last frame, and where it begins.
    ordinal: Option<u64>,
    last: u64,
    spans: Spans,
}

impl Replay<'_> {
    /// Replays one segment. Returns the offset behind its last frame.
    fn segment(&mut self, path: &Path, sequence: u64, bytes: &[u8], tail: Tail) -> Result<usize, WalError> {
        let mut offset = 0;
        loop {
            match frame::read(self.rules, bytes, offset) {
                Found::Frame { ordinal, payload, end } => {
                    let corrupt = |what: String| WalError::corrupt(path, offset as u64, what);
                    if self.ordinal.is_some_and(|last| last + 1 != ordinal) {
                        let what =
                            format!("frame {ordinal} follows frame {}", self.ordinal.unwrap_or_default());
                        return Err(corrupt(what));
                    }
                    let records =
                        record::decode(payload).ok_or_else(|| corrupt("a record is malformed".into()))?;
                    for (position, record) in records.into_iter().enumerate() {
                        self.record(record, sequence, offset == 0 && position == 0).map_err(corrupt)?;
                    }
                    (self.ordinal, self.last) = (Some(ordinal), offset as u64);
                    offset = end;
                }
                Found::Blank => return Ok(offset),
                Found::Bad => {
                    self.torn(path, bytes, offset, tail)?;
                    return Ok(offset);
                }
            }
        }
    }

    /// Decides what becomes of the bad frame at `offset` and everything behind it.
    fn torn(&mut self, path: &Path, bytes: &[u8], offset: usize, tail: Tail) -> Result<(), WalError> {
        let corruption = self.corruption(bytes, offset, tail);
        // The honest law: a write that was never synced was never acknowledged and may go; what was synced may have been
        // acknowledged, and a node that drops it breaks the promise that made a majority (Alagappan et al.,
        // "Protocol-Aware Recovery for Consensus-Based Storage", FAST 2018). It must not start.
        let reason = match (self.rules.storage.wal_tail_repair, corruption) {
            (WalTailRepair::TruncateTornLast, corruption) => corruption,
            (WalTailRepair::TruncateAtFirstBad, _) if self.ordinal.is_some() => None,
            (WalTailRepair::TruncateAtFirstBad, corruption) => corruption,
            (WalTailRepair::Refuse, corruption) => {
                Some(corruption.unwrap_or("the last frame is torn, and wal_tail_repair is refuse".into()))
            }
        };
        if let Some(reason) = reason {
            return Err(WalError::corrupt(path, offset as u64, reason));
        }
        let written = bytes.iter().rposition(|&byte| byte != 0).map_or(offset, |at| at + 1);
        let (bytes, later) = ((written - offset) as u64, Vec::new());
        self.recovered.torn = Some(TornTail { path: path.into(), offset: offset as u64, bytes, later });
        Ok(())
    }

    /// What proves that the bad frame at `offset` was whole once, if anything does.
    fn corruption(&self, bytes: &[u8], offset: usize, tail: Tail) -> Option<String> {
        let Some(last) = self.ordinal else { return Some("the first frame is damaged".into()) };
        if tail == Tail::MustBeWhole {
            return Some("a damaged frame, although a later segment exists".into());
        }
        let later = frame::proof_of(self.rules, bytes, offset, last + 1)?;
        Some(format!("a damaged frame, although a whole one follows at byte {later}"))
    }

    /// Replays one record.
    fn record(&mut self, record: Record<'_>, sequence: u64, is_first: bool) -> Result<(), String> {
        match record {
            Record::Segment(start) if is_first && start.sequence == sequence => {
                if start.continues == Continuity::Base {
                    self.recovered.base = Some(Position::default());
                }
            }
            Record::Segment(start) => {
                return Err(format!("the start of segment {} stands here", start.sequence));
            }
            _ if is_first => return Err("the segment does not begin with its start".into()),
            Record::HardState(hard_state) => self.recovered.hard_state = hard_state,
            Record::Boot(boot) => self.recovered.boot = boot,
            Record::Commit(index) => self.recovered.commit = index,
            Record::Truncate(from) => {
                let entries = &mut self.recovered.entries;
                let kept = entries.partition_point(|entry| entry.index < from);
                entries.truncate(kept);
                self.spans.truncated(from);
            }
            Record::Entry(entry) => {
                let last = self.recovered.entries.last();
                let before = last.map(|last| last.index).or(self.recovered.base.map(|base| base.index));
                let expected = before.map_or(entry.index, |before| before + 1);
                if entry.index != expected {
                    return Err(format!("entry {} stands where entry {expected} belongs", entry.index));
                }
                self.spans.appended(entry.index);
                self.recovered.entries.push(entry.into_owned());
            }
            Record::Base(base) => {
                self.recovered.entries.clear();
                self.recovered.base = Some(base);
                self.spans.reset(base.index);
            }
        }
        Ok(())
    }
}
