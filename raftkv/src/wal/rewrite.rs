//! Replacing a whole log by another one, atomically.
//!
//! A new base segment is written beside the old log and takes its place with one rename; the old segments are removed
//! afterwards, or at the next start if this is interrupted. An honest node never calls this: only the editing of a
//! stopped node's files does.

use std::path::Path;

use super::record::{self, Continuity, FORMAT, Record, SegmentStart};
use super::recover::{Recovered, remove_superseded};
use super::{HEAD_ROOM, WalError, disk, frame, hard_state, head_frame, segment};
use crate::raft::log::Position;
use crate::raft::rules::Rules;

/// Makes `contents` the contents of the log in `directory`. The caller holds the lock on the data directory.
pub fn rewrite(directory: &Path, contents: &Recovered) -> Result<(), WalError> {
    /// Entries go into frames of about this size.
    const FRAME: usize = 1 << 20;
    /// Blank space left behind them.
    const SPARE: usize = 256 << 10;
    let old = segment::list(directory)?;
    let sequence = old.last().map_or(1, |last| last + 1);
    let start = SegmentStart { format: FORMAT, sequence, continues: Continuity::Base };
    let mut bytes = head_frame(start, contents.hard_state, contents.boot, &[], 1);
    let mut ordinal = 1;
    let mut buffer = vec![0; frame::HEADER];
    if let Some(first) = contents.first_index().filter(|&first| first > 1) {
        let known = contents.base.filter(|base| base.index + 1 == first);
        let base = known.unwrap_or(Position { index: first - 1, term: 0 });
        record::encode(&Record::Base(base), &mut buffer);
        ordinal += 1;
        frame::seal(&mut buffer, ordinal, ordinal - 1);
        bytes.append(&mut buffer);
        buffer.resize(frame::HEADER, 0);
    }
    for (position, entry) in contents.entries.iter().enumerate() {
        record::encode(&Record::Entry(std::borrow::Cow::Borrowed(entry)), &mut buffer);
        if buffer.len() >= FRAME || position + 1 == contents.entries.len() {
            ordinal += 1;
            frame::seal(&mut buffer, ordinal, ordinal - 1);
            bytes.append(&mut buffer);
            buffer.resize(frame::HEADER, 0);
        }
    }
    if contents.commit > 0 {
        // It says how far the log once reached, whatever was taken out of it.
        record::encode(&Record::Commit(contents.commit), &mut buffer);
        ordinal += 1;
        frame::seal(&mut buffer, ordinal, ordinal - 1);
        bytes.append(&mut buffer);
    }
    let size = (bytes.len() + SPARE) as u64 + HEAD_ROOM;
    let file = segment::create_blank(directory, sequence, size)?;
    let path = segment::temporary_path(directory, sequence);
    disk::write(&file, &path, &bytes, 0).map_err(|e| WalError::io("write", &path, e))?;
    disk::sync(&file, &path).map_err(|e| WalError::io("sync", &path, e))?;
    let rules = Rules::default();
    segment::publish(&rules, directory, sequence)?;
    let separate = hard_state::path(directory);
    if separate.exists() {
        // It would outlive what was edited.
        disk::remove(&separate)?;
    }
    remove_superseded(&rules, directory, &old)
}
