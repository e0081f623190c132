//! What a frame says: a sequence of records in postcard encoding.
//!
//! Invariant: the order of the variants is the file format; a new one is added at the end.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::failpoints::{self, Point};
use crate::raft::io::HardState;
use crate::raft::log::{Entry, Position};

/// The version of the format that this code writes and reads.
pub(super) const FORMAT: u32 = 2;

/// One step of the replay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Record<'a> {
    /// The first record of a segment.
    Segment(SegmentStart),
    /// Term and vote from here on.
    HardState(HardState),
    /// All entries with an index >= this are gone.
    Truncate(u64),
    /// The next entry.
    Entry(Cow<'a, Entry>),
    /// The node was started for the n-th time.
    Boot(u64),
    /// A snapshot that reaches to here replaces all entries before this record; the log goes on behind it.
    Base(Position),
    /// Entries up to here were committed.
    Commit(u64),
}

/// How a segment begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentStart {
    /// [`FORMAT`].
    pub(super) format: u32,
    /// The number in its file name: a renamed file is noticed.
    pub(super) sequence: u64,
    /// Whether older segments are part of the log.
    pub(super) continues: Continuity,
}

/// Whether the replay may begin at a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Continuity {
    /// The log begins here: every older segment is superseded.
    Base,
    /// The log goes on from the segment before.
    Continued,
}

/// Appends a record to a frame's payload.
pub(super) fn encode(record: &Record<'_>, buffer: &mut Vec<u8>) {
    let bytes = std::mem::take(buffer);
    *buffer = postcard::to_extend(record, bytes).expect("a record always encodes into memory");
}

/// Reads the records of a payload. `None` if they do not fill it exactly.
pub(super) fn decode(mut payload: &[u8]) -> Option<Vec<Record<'static>>> {
    let mut records = Vec::new();
    while !payload.is_empty() {
        let (record, rest) = postcard::take_from_bytes::<Record<'static>>(payload).ok()?;
        records.push(record);
        payload = rest;
    }
    Some(records)
}

/// Passes the points that lie in the middle of a write with this payload.
pub(super) fn hit_points(payload: &[u8]) {
    for record in decode(payload).unwrap_or_default() {
        match record {
            Record::HardState(_) => failpoints::hit(Point::HardStateMidWrite),
            Record::Entry(entry) => failpoints::hit_at(Point::WalMidRecord, || entry.as_ref().into()),
            _ => {}
        }
    }
}
