//! The data directory: whose it is, and who holds it.
//!
//! Invariants: at most one process works in a directory (`flock` on the directory itself, which the kernel drops with
//! the process, however it ends); and a directory is only ever used by the node and the cluster that it was made for, so
//! that a node started on a foreign directory does not vote with somebody else's past.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::raft::io::NodeId;

/// The file that says whose the directory is.
const IDENTITY: &str = "identity.json";
/// The directory of the log.
const WAL: &str = "wal";
/// The directory of snapshots.
const SNAPSHOTS: &str = "snapshots";
/// The version of the layout.
const FORMAT: u32 = 1;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
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
    /// Another process works in it.
    #[error("{} is in use: its node is running; stop it first", .0.display())]
    InUse(PathBuf),
    /// It was made for another node or cluster.
    #[error(
        "{} belongs to {found}, not to {wanted}: give this node its own directory, or an empty one", .path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        found: Identity,
        /// Who asks.
        wanted: Identity,
    },
    /// It has contents but does not say whose it is.
    #[error("{} {what}; restore it from a copy, or start with an empty directory", .path.display())]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// Whose directory it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The version of the layout.
    pub format: u32,
    /// The node.
    pub node: NodeId,
    /// The cluster.
    pub cluster: String,
}

impl Identity {
    /// The identity of a node of a cluster, in the layout that this program writes.
    pub fn new(node: NodeId, cluster: &str) -> Self {
        Self { format: FORMAT, node, cluster: cluster.to_owned() }
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "n{} of cluster `{}` (layout {})", self.node.0, self.cluster, self.format)
    }
}

/// A data directory that this process holds.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl DataDir {
    /// Takes the directory for `identity`, creating it if it does not exist.
    pub fn open(path: &Path, identity: &Identity) -> Result<Self, DataDirError> {
        if !path.exists() {
            fs::create_dir_all(path).map_err(io("create", path))?;
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                sync_directory(parent)?;
            }
        }
        let this = Self::lock(path)?;
        match this.identity()? {
            Some(found) if found == *identity => {}
            Some(found) => {
                return Err(DataDirError::Foreign { path: path.into(), found, wanted: identity.clone() });
            }
            None if this.wal().exists() => {
                let what = format!("holds a log but no {IDENTITY}");
                return Err(DataDirError::Damaged { path: path.into(), what });
            }
            None => this.write_identity(identity)?,
        }
        Ok(this)
    }

    /// Takes the existing directory of a stopped node, whosever it is.
    pub fn open_stopped(path: &Path) -> Result<(Self, Identity), DataDirError> {
        let this = Self::lock(path)?;
        let identity = this.identity()?.ok_or_else(|| DataDirError::Damaged {
            path: path.into(),
            what: format!("is not the data directory of a node: it has no {IDENTITY}"),
        })?;
        Ok((this, identity))
    }

    /// Where the log lies.
    pub fn wal(&self) -> PathBuf {
        self.path.join(WAL)
    }

    /// Where the snapshots lie.
    pub fn snapshots(&self) -> PathBuf {
        self.path.join(SNAPSHOTS)
    }

    /// Takes the existing directory, whatever is in it.
    pub(crate) fn lock(path: &Path) -> Result<Self, DataDirError> {
        let lock = File::open(path).map_err(io("open", path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.into(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path.into())),
            Err(TryLockError::Error(source)) => Err(io("lock", path)(source)),
        }
    }

    fn identity(&self) -> Result<Option<Identity>, DataDirError> {
        let path = self.path.join(IDENTITY);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io("read", &path)(e)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|e| DataDirError::Damaged {
            path: self.path.clone(),
            what: format!("has an {IDENTITY} that cannot be read ({e})"),
        })
    }

    /// Temporary file, fsync, rename, fsync of the directory: after a crash the file is whole or absent.
    fn write_identity(&self, identity: &Identity) -> Result<(), DataDirError> {
        let temporary = self.path.join(format!("{IDENTITY}.tmp"));
        let text = serde_json::to_vec(identity).expect("an identity is always JSON");
        let write = |path: &Path| {
            let mut file = File::create(path)?;
            file.write_all(&text)?;
            file.sync_all()
        };
        write(&temporary).map_err(io("write", &temporary))?;
        fs::rename(&temporary, self.path.join(IDENTITY)).map_err(io("rename", &temporary))?;
        sync_directory(&self.path)
    }
}

fn sync_directory(path: &Path) -> Result<(), DataDirError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(io("sync the directory", path))
}

fn io<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> DataDirError + 'a {
    move |source| DataDirError::Io { what, path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_belongs_to_one_node_and_one_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let (mine, other) = (Identity::new(NodeId(1), "c"), Identity::new(NodeId(2), "c"));
        let held = DataDir::open(&path, &mine).unwrap();
        assert!(matches!(DataDir::open(&path, &mine), Err(DataDirError::InUse(_))));
        assert!(matches!(DataDir::open_stopped(&path), Err(DataDirError::InUse(_))));
        drop(held);
        assert!(matches!(DataDir::open(&path, &other), Err(DataDirError::Foreign { .. })));
        let elsewhere = Identity::new(NodeId(1), "d");
        let message = DataDir::open(&path, &elsewhere).unwrap_err().to_string();
        assert!(message.contains("belongs to n1 of cluster `c`"), "{message}");
        assert_eq!(DataDir::open_stopped(&path).unwrap().1, mine);
        DataDir::open(&path, &mine).unwrap();
    }

    #[test]
    fn a_log_without_an_owner_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mine = Identity::new(NodeId(1), "c");
        fs::create_dir(dir.path().join(WAL)).unwrap();
        let message = DataDir::open(dir.path(), &mine).unwrap_err().to_string();
        assert!(message.contains("holds a log but no identity.json"), "{message}");
        fs::write(dir.path().join(IDENTITY), "{").unwrap();
        let message = DataDir::open(dir.path(), &mine).unwrap_err().to_string();
        assert!(message.contains("cannot be read"), "{message}");
    }
}
