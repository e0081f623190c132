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
use crate::raft::recovery::Standing;
use crate::raft::rules::{OnEmptyDir, Rules};

/// The file that says whose the directory is.
const IDENTITY: &str = "identity.json";
/// The directory of the log.
const WAL: &str = "wal";
/// The file that remembers the other members.
const PEERS: &str = "peers.json";
/// The directory of snapshots.
const SNAPSHOTS: &str = "snapshots";
/// The folder of a state machine that is kept.
const STATE: &str = "state";
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
    /// It has no contents, and nobody said that it should not.
    #[error(
        "{} holds no data. If this is the first start of a new cluster, start every node once with --bootstrap. If {node} \
         has run before, its disk was lost: it must not vote under its old name; remove it from the cluster and add a new \
         member under another id", .path.display()
    )]
    Empty {
        /// The directory.
        path: PathBuf,
        /// Who asks.
        node: NodeId,
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

/// Whether two names are the same cluster's, or nobody cares.
pub fn same_cluster(rules: &Rules, one: &str, other: &str) -> bool {
    // The honest law: messages are between the members of one cluster. Terms and indices of another one mean nothing here,
    // and a quorum counted across both is none.
    one == other || !rules.storage.cluster_id_check
}

/// Whether the operator says that there can be no data yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstStart {
    /// `--bootstrap` was given.
    Announced,
    /// It was not.
    NotAnnounced,
}

/// What the file says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Deed {
    #[serde(flatten)]
    identity: Identity,
    /// The number that the directory drew when it was made.
    #[serde(default = "drawn")]
    directory: String,
    #[serde(default)]
    standing: Standing,
}

/// A number that no other directory has drawn.
fn drawn() -> String {
    use std::hash::{BuildHasher, RandomState};
    // Each state is keyed by the system's random numbers.
    format!("{:016x}{:016x}", RandomState::new().hash_one(1), RandomState::new().hash_one(2))
}

/// A data directory that this process holds.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    directory: String,
    standing: Standing,
    /// Holds the lock.
    _lock: File,
}

impl DataDir {
    /// Takes the directory for `identity` under the honest rules, creating it if it does not exist.
    pub fn open(path: &Path, identity: &Identity) -> Result<Self, DataDirError> {
        Self::open_under(&Rules::default(), path, identity, FirstStart::Announced)
    }

    /// Takes the directory for `identity`; makes it, if it is empty and may be.
    pub fn open_under(
        rules: &Rules,
        path: &Path,
        identity: &Identity,
        first_start: FirstStart,
    ) -> Result<Self, DataDirError> {
        if !path.exists() {
            fs::create_dir_all(path).map_err(io("create", path))?;
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                sync_directory(parent)?;
            }
        }
        let mut this = Self::lock(path)?;
        let deed = match this.deed()? {
            Some(deed) => deed,
            None if this.wal().exists() => {
                let what = format!("holds a log but no {IDENTITY}");
                return Err(DataDirError::Damaged { path: path.into(), what });
            }
            None => {
                let standing = Self::standing_of_the_empty(rules, path, identity.node, first_start)?;
                Deed { identity: identity.clone(), directory: drawn(), standing }
            }
        };
        let (found, wanted) = (&deed.identity, identity);
        let same_node = (found.format, found.node) == (wanted.format, wanted.node);
        if !same_node || !same_cluster(rules, &found.cluster, &wanted.cluster) {
            return Err(DataDirError::Foreign {
                path: path.into(),
                found: deed.identity,
                wanted: wanted.clone(),
            });
        }
        // Also where it was drawn just now for a directory that had none.
        let text = serde_json::to_vec(&deed).expect("a deed is always JSON");
        if fs::read(path.join(IDENTITY)).ok().as_deref() != Some(&text) {
            replace_file(&path.join(IDENTITY), &text)?;
        }
        (this.directory, this.standing) = (deed.directory, deed.standing);
        Ok(this)
    }

    /// As what a node takes part that has nothing.
    fn standing_of_the_empty(
        rules: &Rules,
        path: &Path,
        node: NodeId,
        first_start: FirstStart,
    ) -> Result<Standing, DataDirError> {
        if first_start == FirstStart::Announced {
            return Ok(Standing::Voter);
        }
        // The honest law: what a member promised binds it for ever; "a server that loses any of its persistent state cannot
        // safely rejoin the cluster with its prior identity" (thesis, section 11.7.3).
        match rules.storage.on_empty_dir {
            OnEmptyDir::JoinAsVoter => Ok(Standing::Voter),
            OnEmptyDir::Refuse => Err(DataDirError::Empty { path: path.into(), node }),
            OnEmptyDir::RejoinAsLearner => Ok(Standing::Learner),
        }
    }

    /// The number that it drew when it was made.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// Whether its node may vote.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Where the other members are remembered.
    pub fn acquaintances(&self) -> PathBuf {
        self.path.join(PEERS)
    }

    /// Takes the existing directory of a stopped node, whosever it is.
    pub fn open_stopped(path: &Path) -> Result<(Self, Identity), DataDirError> {
        let this = Self::lock(path)?;
        let deed = this.deed()?.ok_or_else(|| DataDirError::Damaged {
            path: path.into(),
            what: format!("is not the data directory of a node: it has no {IDENTITY}"),
        })?;
        Ok((this, deed.identity))
    }

    /// Where the log lies.
    pub fn wal(&self) -> PathBuf {
        self.path.join(WAL)
    }

    /// Where the snapshots lie.
    pub fn snapshots(&self) -> PathBuf {
        self.path.join(SNAPSHOTS)
    }

    /// Where a state machine is kept that outlives its process.
    pub fn state(&self) -> PathBuf {
        self.path.join(STATE)
    }

    /// Takes the existing directory, whatever is in it.
    pub(crate) fn lock(path: &Path) -> Result<Self, DataDirError> {
        let lock = File::open(path).map_err(io("open", path))?;
        match lock.try_lock() {
            Ok(()) => {
                let (directory, standing) = (String::new(), Standing::Voter);
                Ok(Self { path: path.into(), directory, standing, _lock: lock })
            }
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path.into())),
            Err(TryLockError::Error(source)) => Err(io("lock", path)(source)),
        }
    }

    fn deed(&self) -> Result<Option<Deed>, DataDirError> {
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
}

/// Temporary file, fsync, rename, fsync of the directory: after a crash the file holds the old contents or the new ones.
pub fn replace_file(path: &Path, contents: &[u8]) -> Result<(), DataDirError> {
    let temporary = path.with_extension("tmp");
    let write = |path: &Path| {
        let mut file = File::create(path)?;
        file.write_all(contents)?;
        file.sync_all()
    };
    write(&temporary).map_err(io("write", &temporary))?;
    fs::rename(&temporary, path).map_err(io("rename", &temporary))?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
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

    #[test]
    fn an_empty_directory_needs_a_word() {
        let dir = tempfile::tempdir().unwrap();
        let mine = Identity::new(NodeId(1), "c");
        let open = |path: &str, value: &str, first| {
            let mut rules = Rules::default();
            rules.set("on_empty_dir", value).unwrap();
            DataDir::open_under(&rules, &dir.path().join(path), &mine, first)
        };
        let refused = open("a", "refuse", FirstStart::NotAnnounced).unwrap_err().to_string();
        assert!(refused.contains("--bootstrap") && refused.contains("n1 has run before"), "{refused}");
        let held = open("a", "refuse", FirstStart::Announced).unwrap();
        let drawn = held.directory().to_owned();
        assert_eq!((drawn.len(), held.standing()), (32, Standing::Voter));
        drop(held);
        let again = open("a", "refuse", FirstStart::NotAnnounced).unwrap();
        assert_eq!(again.directory(), drawn, "a directory keeps its number");
        assert_ne!(open("b", "refuse", FirstStart::Announced).unwrap().directory(), drawn);
        assert_eq!(open("c", "join_as_voter", FirstStart::NotAnnounced).unwrap().standing(), Standing::Voter);
        let learner = open("d", "rejoin_as_learner", FirstStart::NotAnnounced).unwrap();
        assert_eq!(learner.standing(), Standing::Learner);
        drop(learner);
        let again = open("d", "join_as_voter", FirstStart::Announced).unwrap();
        assert_eq!(again.standing(), Standing::Learner, "for as long as the directory lives");
    }

    #[test]
    fn another_cluster_may_be_mixed_in_only_by_rule() {
        let dir = tempfile::tempdir().unwrap();
        drop(DataDir::open(dir.path(), &Identity::new(NodeId(1), "c")).unwrap());
        let other = Identity::new(NodeId(1), "d");
        assert!(matches!(DataDir::open(dir.path(), &other), Err(DataDirError::Foreign { .. })));
        let mut rules = Rules::default();
        rules.set("cluster_id_check", "false").unwrap();
        DataDir::open_under(&rules, dir.path(), &other, FirstStart::NotAnnounced).unwrap();
    }
}
