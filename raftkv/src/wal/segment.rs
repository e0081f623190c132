//! Segment files: names, creation, blank space.
//!
//! Invariant: a file with a segment's final name is complete: zeroed to its full size, with its first frame durable and its
//! name durable in the directory. Blank space is written out as zeros and synced beforehand, because an `fdatasync` that
//! has to allocate blocks or change the file size costs a journal commit more.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{WalError, disk};
use crate::raft::rules::Rules;

/// The suffix of finished segments.
const SUFFIX: &str = ".wal";
/// The suffix of files that nobody relies on yet.
const TEMPORARY: &str = ".tmp";

/// The path of segment `sequence`.
pub(super) fn path(directory: &Path, sequence: u64) -> PathBuf {
    directory.join(format!("{sequence:016}{SUFFIX}"))
}

/// The path of a segment that is still being made.
pub(super) fn temporary_path(directory: &Path, sequence: u64) -> PathBuf {
    directory.join(format!("{sequence:016}{TEMPORARY}"))
}

/// The numbers of all finished segments, ascending. Removes what was left unfinished.
pub(super) fn list(directory: &Path) -> Result<Vec<u64>, WalError> {
    let mut sequences = Vec::new();
    for entry in fs::read_dir(directory).map_err(|e| WalError::io("list", directory, e))? {
        let entry = entry.map_err(|e| WalError::io("list", directory, e))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(TEMPORARY) {
            disk::remove(&entry.path())?;
        } else if let Some(stem) = name.strip_suffix(SUFFIX) {
            let unknown = |_| WalError::corrupt(&entry.path(), 0, "is not named like a segment");
            sequences.push(stem.parse().map_err(unknown)?);
        }
    }
    sequences.sort_unstable();
    Ok(sequences)
}

/// Makes a blank temporary file of `size` bytes whose blocks are allocated and durable.
pub(super) fn create_blank(directory: &Path, sequence: u64, size: u64) -> Result<File, WalError> {
    let path = temporary_path(directory, sequence);
    let file = disk::create(&path).map_err(|e| WalError::io("create", &path, e))?;
    let reserved = write_zeros(&file, &path, 0, size).map_err(|e| WalError::io("reserve space in", &path, e));
    let synced = reserved.and_then(|()| disk::sync(&file, &path).map_err(|e| WalError::io("sync", &path, e)));
    if synced.is_err() {
        // On a full disk the half of a segment would only be in the way. It is removed at the next start at the latest.
        let _ = fs::remove_file(&path);
    }
    synced.map(|()| file)
}

/// Overwrites `from..to` with zeros.
pub(super) fn write_zeros(file: &File, path: &Path, from: u64, to: u64) -> std::io::Result<()> {
    const CHUNK: usize = 256 << 10;
    let zeros = vec![0; CHUNK.min((to.saturating_sub(from)) as usize)];
    let mut at = from;
    while at < to {
        let len = zeros.len().min((to - at) as usize);
        disk::write(file, path, &zeros[..len], at)?;
        at += len as u64;
    }
    Ok(())
}

/// Gives a temporary segment, whose first frame is durable, its final name.
pub(super) fn publish(rules: &Rules, directory: &Path, sequence: u64) -> Result<(), WalError> {
    disk::rename(&temporary_path(directory, sequence), &path(directory, sequence))?;
    disk::sync_directory(rules, directory)
}
