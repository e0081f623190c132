//! Snapshots on disk: the file format, the directory, and the thread that writes, receives and reads them.
//!
//! Invariants: a snapshot that was reported durable is there after any crash, whole, and an older one goes only after that;
//! a file that is damaged is refused, never loaded in part. At most one part of a file is in memory for each message.
//! What it lacks on purpose: any choice of what to take, send or install. That is the core's (`raft/snapshot.rs`,
//! `raft/install.rs`), as is the removal of the log behind a snapshot.
//! Reference: chapter 5 of the thesis; Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014, for what a rename
//! promises without the two syncs around it.

mod directory;
mod format;
mod shards;
mod worker;

use std::path::{Path, PathBuf};

use crate::raft::rules::Rules;
pub use directory::Directory;
pub(crate) use shards::Shards;
pub(crate) use worker::{Done, Job, Worker};

/// Why a snapshot cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The operating system refused.
    #[error("cannot {what} {}: {source}", .path.display())]
    Io {
        /// The operation.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The file is not what was written.
    #[error(
        "the snapshot {} is damaged: {what}; restore the directory from a copy, or remove the node from the cluster and add \
         a new member under another id", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl SnapshotError {
    fn io<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Self + 'a {
        move |source| Self::Io { what, path: path.into(), source }
    }

    fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), what: what.into() }
    }
}

/// Reads the bytes of a file as a start does, and writes what was read again; for fuzzers. Nothing if they are refused.
pub(crate) fn read_and_write(bytes: &[u8], is_verified: Verified, rules: &Rules) -> Option<(u64, Vec<u8>)> {
    let blocks = match is_verified {
        Verified::Yes => format::Blocks::Verified,
        Verified::No => format::Blocks::Believed,
    };
    let loaded = format::read(bytes, bytes.len() as u64, blocks, rules).ok()?;
    let hash = loaded.store.hash();
    let mut again = Vec::new();
    format::write(&mut again, &loaded.header, loaded.store.frozen(), || {})
        .expect("memory takes every write");
    Some((hash, again))
}

/// Whether the checksums in a file are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verified {
    /// They are.
    Yes,
    /// They are believed.
    No,
}

#[cfg(test)]
mod tests;
