//! The thread that does everything about snapshot files, in the order in which it was asked for.
//!
//! Invariant: what it reports as durable is. It never decides anything; the driver hands it what the core wants done.
//! A snapshot that cannot be written is reported and leaves the node as it was, without one; only the log grows.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender};

use rustc_hash::FxHashMap;

use super::{Directory, SnapshotError};
use crate::raft::io::NodeId;
use crate::raft::message::Message;
use crate::raft::snapshot::{SendChunk, SnapshotId, SnapshotMeta, SnapshotReport, SnapshotWork, Take};
use crate::store::{Frozen, Store};

/// What the thread is asked to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// Write a snapshot of the state as it was. Whoever waits for its end learns of it by the end of the channel.
    Take(Box<Take>, Box<Frozen>, Option<Sender<()>>),
    /// Everything else that the core asks for.
    Work(SnapshotWork),
    /// Free a state that was replaced, which takes as long as it is large.
    Free(Box<Store>),
}

/// What it tells.
#[derive(Debug)]
pub(crate) enum Done {
    /// For the core; with a received snapshot the state in it.
    Report(SnapshotReport, Option<Box<Store>>),
    /// A message to be sent.
    Send(NodeId, Message),
}

/// Everything that the thread needs.
pub(crate) struct Worker {
    directory: Directory,
    /// The newest snapshot and its file.
    newest: Option<(SnapshotId, PathBuf)>,
    /// What is being sent to whom. An open file can be read to its end although a newer snapshot has removed its name.
    open: FxHashMap<NodeId, Sending>,
}

/// A snapshot that is being sent.
struct Sending {
    id: SnapshotId,
    file: File,
    /// Whether a part was read since the newest snapshot came.
    used: Used,
}

/// Whether a file is still in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Used {
    Lately,
    NotLately,
}

impl Worker {
    /// A worker on a directory in which `newest` was found.
    pub(crate) fn new(directory: Directory, newest: Option<&SnapshotMeta>) -> Result<Self, SnapshotError> {
        let mut this = Self { directory, newest: None, open: FxHashMap::default() };
        if let Some(meta) = newest {
            this.remember(meta)?;
        }
        Ok(this)
    }

    /// Works until no job can come any more.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>, tell: impl Fn(Done)) {
        while let Ok(job) = jobs.recv() {
            if let Some(done) = self.work(job) {
                tell(done);
            }
        }
    }

    /// Does one thing.
    pub(crate) fn work(&mut self, job: Job) -> Option<Done> {
        let report = match job {
            Job::Take(take, state, end) => {
                let report = self.take(*take, *state);
                drop(end);
                report
            }
            // The driver adds the state to it.
            Job::Work(SnapshotWork::Take(_)) => return None,
            Job::Free(state) => {
                drop(state);
                return None;
            }
            Job::Work(SnapshotWork::Store(chunk)) => {
                let error = self.directory.store(&chunk).err()?;
                tracing::warn!("cannot receive a snapshot: {error}");
                SnapshotReport::NotReceived(chunk.id, error.to_string())
            }
            Job::Work(SnapshotWork::Complete(id, verification)) => {
                let completed = self.directory.complete(id, verification).and_then(|(meta, store)| {
                    self.remember(&meta)?;
                    Ok((meta, store))
                });
                match completed {
                    Ok((meta, store)) => {
                        return Some(Done::Report(SnapshotReport::Received(meta), Some(Box::new(store))));
                    }
                    Err(error) => {
                        tracing::warn!("cannot use a received snapshot: {error}");
                        SnapshotReport::NotReceived(id, error.to_string())
                    }
                }
            }
            Job::Work(SnapshotWork::Send(chunk)) => match self.read(&chunk) {
                Ok(data) => {
                    return Some(Done::Send(chunk.to, chunk.message(data)));
                }
                Err(error) => {
                    tracing::warn!("cannot send a snapshot to {}: {error}", chunk.to);
                    self.open.remove(&chunk.to);
                    SnapshotReport::NotSent(chunk.to, chunk.id)
                }
            },
        };
        Some(Done::Report(report, None))
    }

    fn take(&mut self, take: Take, state: Frozen) -> SnapshotReport {
        // It was ordered before the core knew of one from the leader, which must not be replaced by an older one.
        if self.newest.as_ref().is_some_and(|(newest, _)| newest.last.index >= take.last.index) {
            return SnapshotReport::NotTaken("a newer snapshot has come from the leader".to_owned());
        }
        let taken = self.directory.write(take, state).and_then(|meta| {
            self.remember(&meta)?;
            Ok(meta)
        });
        taken.map_or_else(
            |error| {
                tracing::warn!("cannot take a snapshot: {error}");
                SnapshotReport::NotTaken(error.to_string())
            },
            SnapshotReport::Taken,
        )
    }

    /// A snapshot is the newest now. A file that was replaced takes its room on the disk for as long as it is open, so one from
    /// which nothing was read since the last time is closed: its receiver has it, or begins again with the newest.
    fn remember(&mut self, meta: &SnapshotMeta) -> Result<(), SnapshotError> {
        self.newest = self.directory.newest()?.map(|path| (meta.id, path));
        self.open.retain(|_, sending| std::mem::replace(&mut sending.used, Used::NotLately) == Used::Lately);
        Ok(())
    }

    /// Reads a part of a snapshot that is to be sent.
    fn read(&mut self, chunk: &SendChunk) -> Result<Vec<u8>, SnapshotError> {
        let gone = || SnapshotError::damaged(&PathBuf::from(format!("{:?}", chunk.id)), "it was replaced");
        let newest = self.newest.as_ref().filter(|(id, _)| *id == chunk.id);
        if self.open.get(&chunk.to).is_none_or(|sending| sending.id != chunk.id) {
            let (_, path) = newest.ok_or_else(gone)?;
            let file = File::open(path).map_err(SnapshotError::io("open", path))?;
            self.open.insert(chunk.to, Sending { id: chunk.id, file, used: Used::Lately });
        }
        let sending = self.open.get_mut(&chunk.to).ok_or_else(gone)?;
        sending.used = Used::Lately;
        let mut data = vec![0; chunk.len];
        let read = sending.file.read_exact_at(&mut data, chunk.offset);
        read.map_err(SnapshotError::io("read", &PathBuf::from(format!("{:?}", chunk.id))))?;
        // The last part may be asked for again; as long as the file has its name it can be opened again too.
        if newest.is_some() && chunk.offset + chunk.len as u64 >= chunk.total {
            self.open.remove(&chunk.to);
        }
        Ok(data)
    }
}
