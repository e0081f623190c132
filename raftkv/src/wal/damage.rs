//! Flipping a bit in the record of one entry, as a disk does that returns what it was not given. Only the editing of a
//! stopped node's files does this.
//!
//! Invariant: exactly one bit of one file changes, in the record that a replay takes for this entry.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::frame::{self, Found};
use super::record::Record;
use super::{WalError, segment};
use crate::raft::rules::Rules;

/// Where a bit was flipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// The byte.
    pub offset: u64,
    /// The term of the entry.
    pub term: u64,
}

/// Flips the lowest bit of the last byte in the record of this entry, which belongs to the value of a command. An entry that
/// was written more than once is damaged where it was written last. `None` if the log has no record of it.
pub fn damage_entry(directory: &Path, index: u64) -> Result<Option<Damage>, WalError> {
    let mut found = None;
    for sequence in segment::list(directory)? {
        let path = segment::path(directory, sequence);
        let bytes = fs::read(&path).map_err(|e| WalError::io("read", &path, e))?;
        if let Some((offset, term)) = last_record(&bytes, index) {
            found = Some((Damage { path, offset: offset as u64, term }, bytes[offset]));
        }
    }
    let Some((damage, byte)) = found else { return Ok(None) };
    let path = &damage.path;
    let file = OpenOptions::new().write(true).open(path).map_err(|e| WalError::io("open", path, e))?;
    file.write_all_at(&[byte ^ 1], damage.offset).map_err(|e| WalError::io("write", path, e))?;
    file.sync_data().map_err(|e| WalError::io("sync", path, e))?;
    Ok(Some(damage))
}

/// The last byte of the last record of this entry in a segment, and the entry's term.
fn last_record(segment: &[u8], index: u64) -> Option<(usize, u64)> {
    let (mut found, mut at) = (None, 0);
    while let Found::Frame { payload, end, .. } = frame::read(&Rules::default(), segment, at) {
        let mut rest = payload;
        while let Ok((record, behind)) = postcard::take_from_bytes::<Record<'static>>(rest) {
            let last = at + frame::HEADER + payload.len() - behind.len() - 1;
            if let Record::Entry(entry) = record
                && entry.index == index
            {
                found = Some((last, entry.term));
            }
            if behind.is_empty() {
                break;
            }
            rest = behind;
        }
        at = end;
    }
    found
}
