//! Making the last write of a log look as if the machine had stopped in its middle. Only the editing of a stopped node's
//! files does this.

use std::fs::{self, OpenOptions};
use std::path::Path;

use super::frame::{self, Found};
use super::{TornTail, WalError, segment};
use crate::raft::rules::Rules;

/// Zeroes the last frame of the log behind its first `kept` bytes. Tells where the frame began and how long it was.
pub fn tear_last(directory: &Path, kept: u64) -> Result<TornTail, WalError> {
    let sequences = segment::list(directory)?;
    let Some(&sequence) = sequences.last() else {
        return Err(WalError::corrupt(directory, 0, "there is no segment"));
    };
    let path = segment::path(directory, sequence);
    let bytes = fs::read(&path).map_err(|e| WalError::io("read", &path, e))?;
    let mut last = None;
    let mut at = 0;
    while let Found::Frame { end, .. } = frame::read(&Rules::default(), &bytes, at) {
        last = Some((at as u64, end as u64));
        at = end;
    }
    // The first frame is durable before the segment has its name: no crash leaves it torn.
    let Some((offset, end)) = last.filter(|&(offset, _)| offset > 0) else {
        return Err(WalError::corrupt(
            &path,
            0,
            "the segment has no write that a crash could have cut short",
        ));
    };
    if kept >= end - offset {
        let what = format!("the last write has {} bytes: fewer have to be kept", end - offset);
        return Err(WalError::corrupt(&path, offset, what));
    }
    let file = OpenOptions::new().write(true).open(&path).map_err(|e| WalError::io("open", &path, e))?;
    segment::write_zeros(&file, &path, offset + kept, end).map_err(|e| WalError::io("write", &path, e))?;
    file.sync_data().map_err(|e| WalError::io("sync", &path, e))?;
    Ok(TornTail { path, offset, bytes: end - offset, later: Vec::new() })
}
