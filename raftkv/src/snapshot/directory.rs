//! The directory of snapshots: writing one so that a crash at any point leaves the old one or the new one, finding the
//! newest, receiving one in parts.
//!
//! Invariant under the honest rule: a file with a snapshot's name is whole and durable, and the one before is removed only
//! when the name of the new one is durable too. Temporary files belong to nobody after a crash and are removed at the start.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::SnapshotError;
use super::format::{self, Blocks, Header, Loaded, ReadError};
use crate::failpoints::{self, Point};
use crate::raft::log::Position;
use crate::raft::rules::{Rules, SnapshotWrite};
use crate::raft::snapshot::{Chunk, Sessions, SnapshotId, SnapshotMeta, Take, Verification};
use crate::store::{Frozen, Store};

/// The suffix of snapshots.
const SUFFIX: &str = ".snap";
/// The suffix of files that nobody relies on yet.
const TEMPORARY: &str = ".tmp";
/// The file that a leader's parts go into.
const RECEIVED: &str = "received.tmp";

/// What was just done, for failpoints and for tests that crash there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A part of this file was written.
    Wrote(PathBuf),
    /// All of it was.
    Whole(PathBuf),
    /// The file is durable.
    Synced(PathBuf),
    /// The file has another name.
    Renamed(PathBuf, PathBuf),
    /// The names in the directory are durable.
    SyncedNames,
    /// The file is gone.
    Removed(PathBuf),
}

/// Who is told of each step.
#[cfg(test)]
pub(super) type Watch = Box<dyn FnMut(&Step) + Send>;

/// The snapshots of one node. Has one owner.
pub struct Directory {
    path: PathBuf,
    rules: Rules,
    #[cfg(test)]
    pub(super) watch: Option<Watch>,
}

impl Directory {
    /// The directory at `path`, created if there is none, without what an earlier process left unfinished.
    pub fn open(path: &Path, rules: &Rules) -> Result<Self, SnapshotError> {
        if !path.exists() {
            fs::create_dir(path).map_err(SnapshotError::io("create", path))?;
            path.parent().map_or(Ok(()), sync_names)?;
        }
        let this = Self {
            path: path.into(),
            rules: rules.clone(),
            #[cfg(test)]
            watch: None,
        };
        for name in this.names()?.iter().filter(|name| name.ends_with(TEMPORARY)) {
            let path = this.path.join(name);
            fs::remove_file(&path).map_err(SnapshotError::io("remove", &path))?;
        }
        Ok(this)
    }

    /// The newest snapshot that can be read, with the state in it. A damaged one is passed over only for an older one that
    /// is whole: whether the log reaches back to that is for whoever joins them to see.
    pub fn load_newest(&self) -> Result<Option<(SnapshotMeta, Store)>, SnapshotError> {
        let mut refused = None;
        for path in self.snapshots()?.into_iter().rev() {
            match self.load(&path) {
                Ok(loaded) => {
                    failpoints::hit(Point::SnapshotLoad);
                    let Loaded { header, store, checksum, size } = loaded;
                    let id = SnapshotId { last: header.last, checksum };
                    return Ok(Some((SnapshotMeta { id, size, configuration: header.configuration }, store)));
                }
                Err(error) => {
                    tracing::warn!("{error}");
                    refused = refused.or(Some(error));
                }
            }
        }
        refused.map_or(Ok(None), Err)
    }

    /// Where the newest snapshot lies.
    pub(super) fn newest(&self) -> Result<Option<PathBuf>, SnapshotError> {
        Ok(self.snapshots()?.pop())
    }

    /// Writes a snapshot of `state` and makes it durable.
    pub(super) fn write(&mut self, take: Take, mut state: Frozen) -> Result<SnapshotMeta, SnapshotError> {
        if take.sessions == Sessions::LeftOut {
            state.forget_sessions();
        }
        let header = Header::new(take.last, take.configuration.clone());
        let name = name_of(take.last);
        let path = match self.discipline() {
            SnapshotWrite::Full | SnapshotWrite::TmpRename => self.path.join(format!("{name}{TEMPORARY}")),
            SnapshotWrite::InPlace => self.newest()?.unwrap_or_else(|| self.path.join(&name)),
        };
        let file = File::create(&path).map_err(SnapshotError::io("create", &path))?;
        let wrote = || self.did(Step::Wrote(path.clone()));
        let (checksum, size) = format::write(BufWriter::new(file), &header, state, wrote)
            .map_err(SnapshotError::io("write", &path))?;
        self.did(Step::Whole(path.clone()));
        self.publish(&path, &name)?;
        Ok(SnapshotMeta {
            id: SnapshotId { last: take.last, checksum },
            size,
            configuration: take.configuration,
        })
    }

    /// Keeps a part of a snapshot that a leader sends.
    pub(super) fn store(&mut self, chunk: &Chunk) -> Result<(), SnapshotError> {
        let path = self.path.join(RECEIVED);
        let begin = chunk.offset == 0;
        let file = OpenOptions::new().write(true).create(true).truncate(begin).open(&path);
        let file = file.map_err(SnapshotError::io("open", &path))?;
        file.write_all_at(&chunk.data, chunk.offset).map_err(SnapshotError::io("write", &path))?;
        self.did(Step::Wrote(path));
        Ok(())
    }

    /// Makes what was received a snapshot, durable, and reads the state in it.
    pub(super) fn complete(
        &mut self,
        id: SnapshotId,
        verification: Verification,
    ) -> Result<(SnapshotMeta, Store), SnapshotError> {
        let path = self.path.join(RECEIVED);
        if verification == Verification::Whole {
            let file = File::open(&path).map_err(SnapshotError::io("open", &path))?;
            let (checksum, _) =
                format::sum(BufReader::new(file)).map_err(SnapshotError::io("read", &path))?;
            if checksum != id.checksum {
                return Err(SnapshotError::damaged(&path, "it is not what the leader named"));
            }
        }
        let Loaded { header, store, checksum, size } = self.load(&path)?;
        self.did(Step::Whole(path.clone()));
        match self.discipline() {
            SnapshotWrite::Full | SnapshotWrite::TmpRename => self.publish(&path, &name_of(header.last))?,
            SnapshotWrite::InPlace => {
                let target = self.newest()?.unwrap_or_else(|| self.path.join(name_of(header.last)));
                fs::copy(&path, &target).map_err(SnapshotError::io("copy", &path))?;
                self.did(Step::Wrote(target));
                self.remove(&path)?;
            }
        }
        failpoints::hit(Point::SnapshotLoad);
        let id = SnapshotId { last: header.last, checksum };
        Ok((SnapshotMeta { id, size, configuration: header.configuration }, store))
    }

    /// How a snapshot gets to the disk.
    fn discipline(&self) -> SnapshotWrite {
        // The honest law: write to a temporary file, sync it, rename it, sync the directory. Without the first sync the
        // name may reach the disk before the contents, without the second not at all; whatever is overwritten in place is
        // gone if the node stops half-way (Pillai et al., OSDI 2014; thesis, section 5.1.3).
        self.rules.snapshot.snapshot_write
    }

    /// Gives a whole file its final name and removes older ones.
    fn publish(&mut self, from: &Path, name: &str) -> Result<(), SnapshotError> {
        let to = self.path.join(name);
        match self.discipline() {
            SnapshotWrite::Full => {
                sync(from)?;
                self.did(Step::Synced(from.into()));
                self.rename(from, &to)?;
                sync_names(&self.path)?;
                self.did(Step::SyncedNames);
            }
            SnapshotWrite::TmpRename => self.rename(from, &to)?,
            SnapshotWrite::InPlace => return Ok(()),
        }
        for older in self.snapshots()?.into_iter().filter(|path| *path != to) {
            self.remove(&older)?;
        }
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), SnapshotError> {
        fs::rename(from, to).map_err(SnapshotError::io("rename", from))?;
        self.did(Step::Renamed(from.into(), to.into()));
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> Result<(), SnapshotError> {
        fs::remove_file(path).map_err(SnapshotError::io("remove", path))?;
        self.did(Step::Removed(path.into()));
        Ok(())
    }

    fn load(&self, path: &Path) -> Result<Loaded, SnapshotError> {
        let file = File::open(path).map_err(SnapshotError::io("open", path))?;
        let len = file.metadata().map_err(SnapshotError::io("look at", path))?.len();
        // The honest law: what is loaded is what was written, which a checksum shows and nothing else does (Ganesan et al.,
        // "Redundancy Does Not Imply Fault Tolerance", FAST 2017, for what becomes of those who do not look).
        let blocks = if self.rules.snapshot.snapshot_checksum { Blocks::Verified } else { Blocks::Believed };
        format::read(BufReader::with_capacity(256 << 10, file), len, blocks, &self.rules).map_err(|error| {
            match error {
                ReadError::Io(source) => SnapshotError::io("read", path)(source),
                ReadError::Damaged(what) => SnapshotError::damaged(path, what),
            }
        })
    }

    /// All snapshots, the newest last.
    fn snapshots(&self) -> Result<Vec<PathBuf>, SnapshotError> {
        let mut names = self.names()?;
        names.retain(|name| name.ends_with(SUFFIX));
        // The numbers in the names have a fixed width.
        names.sort_unstable();
        Ok(names.iter().map(|name| self.path.join(name)).collect())
    }

    fn names(&self) -> Result<Vec<String>, SnapshotError> {
        let list = || {
            fs::read_dir(&self.path)?
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect::<std::io::Result<Vec<_>>>()
        };
        list().map_err(SnapshotError::io("list", &self.path))
    }

    fn did(&mut self, step: Step) {
        match &step {
            Step::Wrote(_) => failpoints::hit(Point::SnapshotWrite),
            Step::Whole(_) => failpoints::hit(Point::SnapshotFsync),
            Step::Synced(_) => failpoints::hit(Point::SnapshotRename),
            Step::Renamed(..) | Step::SyncedNames | Step::Removed(_) => {}
        }
        #[cfg(test)]
        if let Some(watch) = &mut self.watch {
            watch(&step);
        }
    }
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("path", &self.path).finish_non_exhaustive()
    }
}

fn name_of(last: Position) -> String {
    format!("{:020}-{:020}{SUFFIX}", last.index, last.term)
}

fn sync(path: &Path) -> Result<(), SnapshotError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(SnapshotError::io("sync", path))
}

fn sync_names(path: &Path) -> Result<(), SnapshotError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(SnapshotError::io("sync the directory", path))
}
