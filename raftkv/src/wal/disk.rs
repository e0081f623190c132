//! The calls that change the disk: the only ones that the log makes.
//!
//! Invariant: nothing else in this folder writes, renames, removes or syncs. That is what lets the tests write down every
//! call, let any of them fail, and build what a power failure leaves between any two of them.
//! Deliberately without a file system of its own: outside of tests these are bare system calls.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::WalError;
use crate::raft::rules::Rules;

/// Tells the tests of a call; they may let it fail.
macro_rules! note {
    ($($op:tt)*) => {
        #[cfg(test)]
        super::crash_tests::note(|| super::crash_tests::Op::$($op)*)?;
    };
}

/// Makes an empty file, or empties it.
pub(super) fn create(path: &Path) -> io::Result<File> {
    note!(Create(path.into()));
    OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)
}

/// Writes into a file.
pub(super) fn write(file: &File, path: &Path, bytes: &[u8], offset: u64) -> io::Result<()> {
    let _ = path;
    note!(Write { path: path.into(), offset, bytes: bytes.into() });
    file.write_all_at(bytes, offset)
}

/// Makes the contents of a file durable.
pub(super) fn sync(file: &File, path: &Path) -> io::Result<()> {
    let _ = path;
    note!(Sync(path.into()));
    file.sync_data()
}

/// Gives a file another name.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), WalError> {
    let call = || {
        note!(Rename(from.into(), to.into()));
        fs::rename(from, to)
    };
    call().map_err(|e| WalError::io("rename", from, e))
}

/// Removes a file.
pub(super) fn remove(path: &Path) -> Result<(), WalError> {
    let call = || {
        note!(Remove(path.into()));
        fs::remove_file(path)
    };
    call().map_err(|e| WalError::io("remove", path, e))
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(rules: &Rules, path: &Path) -> Result<(), WalError> {
    // The honest law: fsync of a file says nothing about its name ("calling fsync() does not necessarily ensure that the
    // entry in the directory containing the file has also reached disk", fsync(2)). A segment whose name is lost in a power
    // failure is lost with everything in it (etcd issue 6368).
    if !rules.storage.fsync_dir {
        return Ok(());
    }
    let call = || {
        note!(SyncDirectory(path.into()));
        File::open(path).and_then(|directory| directory.sync_all())
    };
    call().map_err(|e| WalError::io("sync the directory", path, e))
}
