//! Term and vote in a file of their own that is overwritten, as `hard_state_write=in_place` wants it.
//!
//! Invariant: none, and that is the point. The old value is gone before the new one is there, and no checksum tells half a
//! value from a whole one: what a crash leaves is read as far as it goes. An honest node has term and vote as records of
//! its log, in checksummed frames, and never has this file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{WalError, disk};
use crate::failpoints::{self, Point};
use crate::raft::io::HardState;

/// Where it is.
pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join("hard-state")
}

/// Overwrites it.
pub(super) fn write(directory: &Path, hard_state: HardState) -> Result<File, WalError> {
    let path = path(directory);
    let vote = hard_state.voted_for.map_or("none".to_owned(), |node| node.to_string());
    let text = format!("term {} vote {vote}\n", hard_state.term);
    let call = || {
        let file = disk::create(&path)?;
        let (first, rest) = text.as_bytes().split_at(match failpoints::armed(Point::HardStateMidWrite) {
            true => text.len() / 2,
            false => text.len(),
        });
        disk::write(&file, &path, first, 0)?;
        if !rest.is_empty() {
            failpoints::hit(Point::HardStateMidWrite);
            disk::write(&file, &path, rest, first.len() as u64)?;
        }
        Ok(file)
    };
    call().map_err(|e| WalError::io("write", &path, e))
}

/// What it says, as far as that can be read; `None` if there is none.
pub(super) fn read(directory: &Path) -> Option<HardState> {
    let text = fs::read_to_string(path(directory)).ok()?;
    let mut words = text.split_whitespace();
    let term = words.nth(1).and_then(|term| term.parse().ok()).unwrap_or_default();
    Some(HardState { term, voted_for: words.nth(1).and_then(|vote| vote.parse().ok()) })
}
