//! The write-ahead log: the log of entries, term and vote, and the count of starts, in one sequence of checksummed frames.
//!
//! Invariants:
//! * What [`Wal::commit`] reported as done is there after any crash. All that was staged since the commit before is one
//!   frame, one `pwrite` and one `fdatasync` (group commit), and comes back whole or not at all.
//! * Term and vote are records of the same log, not a file of their own: a vote costs one `fdatasync` and is ordered with
//!   the entries around it for free. Each new segment begins with a copy of them.
//! * After an error of a write or a sync nothing is written any more ([`WalError::Poisoned`]): after a failed `fsync` the
//!   kernel may have dropped the dirty pages and report success the next time (Rebello et al., "Can applications recover
//!   from fsync failures?", ATC 2020). The node has to stop.
//! * Only the tail can be torn; a damaged frame with a whole one behind it is corruption, and the node refuses to start.
//!
//! What it lacks on purpose: any way to write less than it was told. A rule that promises more than it keeps is the
//! core's business, which then does not hand the write out. Damage to the last frame of all cannot be told from a torn
//! write, here as in any log without a second copy; it is told once another frame stands behind it, which is after the
//! next start at the latest.

mod compact;
mod damage;
mod disk;
mod frame;
mod hard_state;
mod record;
mod recover;
mod rewrite;
mod segment;
mod tear;

use std::borrow::Cow;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crate::failpoints::{self, Point};
use crate::raft::io::{HardState, Persist};
use crate::raft::log::Entry;
use crate::raft::rules::{HardStateWrite, OnDiskFull, OnFsyncError, Rules};
use record::{Continuity, FORMAT, Record, SegmentStart};

pub use damage::{Damage, damage_entry};
pub use recover::{Recovered, TornTail, read};
pub use rewrite::rewrite;
pub use tear::tear_last;

/// The name of a segment's file, for whoever makes one up.
pub fn segment_name(sequence: u64) -> String {
    segment::path(Path::new(""), sequence).display().to_string()
}

/// Bytes of a frame before its payload.
pub const FRAME_HEADER: usize = frame::HEADER;

/// A whole frame with this payload, for whoever makes a segment up.
pub fn frame_of(payload: &[u8], ordinal: u64) -> Vec<u8> {
    let mut frame = vec![0; frame::HEADER];
    frame.extend_from_slice(payload);
    frame::seal(&mut frame, ordinal, ordinal - 1);
    frame
}

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The operating system refused.
    #[error("cannot {what} {}: {source}{}", .path.display(), hint(.source))]
    Io {
        /// The operation.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The files contradict themselves.
    #[error(
        "{} is corrupt at byte {offset}: {what}; restore the directory from a copy, or remove the node from the cluster \
         and add a new member under another id", .path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// There is no room. What was staged stays staged.
    #[error("the disk is full")]
    Full,
    /// An earlier write failed.
    #[error("the log refuses to write after an earlier error; restart the node")]
    Poisoned,
}

impl WalError {
    fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { what, path: path.into(), source }
    }

    /// Whether there is no room.
    fn is_full(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        matches!(source.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
    }

    fn corrupt(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.into(), offset, what: what.into() }
    }
}

/// What to do about the errors that have a remedy.
fn hint(error: &std::io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => "; the disk is full: free space and start the node again",
        Some(libc::EIO) => {
            "; the disk failed, what it holds is not known: do not start the node on it again unseen"
        }
        Some(libc::EROFS) => "; the file system is mounted read-only",
        _ => "",
    }
}

/// The sizes of segments.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// The first segment, which is zeroed while the node starts.
    pub first: u64,
    /// Each later one is twice the one before, up to this.
    pub max: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { first: 512 << 10, max: 16 << 20 }
    }
}

/// Term and vote on their way to a file of their own.
#[derive(Debug, Default)]
struct SeparateHardState {
    staged: Option<HardState>,
    unsynced: Option<File>,
}

/// An open log. Has one owner.
#[derive(Debug)]
pub struct Wal {
    directory: PathBuf,
    rules: Rules,
    sizes: Sizes,
    file: File,
    sequence: u64,
    capacity: u64,
    offset: u64,
    /// The number of the next frame.
    ordinal: u64,
    /// Room for a frame's header and then what is staged.
    buffer: Vec<u8>,
    /// The last hard state that was staged, for the head of the next segment.
    hard_state: HardState,
    boot: u64,
    spans: compact::Spans,
    /// The number of the last frame that is known to be on the disk.
    synced: u64,
    separate: SeparateHardState,
    next: Option<JoinHandle<Result<File, WalError>>>,
    poisoned: bool,
}

impl Wal {
    /// Opens the log in `directory`, creating it if there is none, repairs a torn tail, and tells what it holds.
    pub fn open(directory: &Path, sizes: Sizes) -> Result<(Self, Recovered), WalError> {
        Self::open_under(&Rules::default(), directory, sizes)
    }

    /// The same under other rules.
    pub fn open_under(rules: &Rules, directory: &Path, sizes: Sizes) -> Result<(Self, Recovered), WalError> {
        if !directory.exists() {
            std::fs::create_dir(directory).map_err(|e| WalError::io("create", directory, e))?;
            if let Some(parent) = directory.parent() {
                disk::sync_directory(rules, parent)?;
            }
        }
        let (mut recovered, end) = match recover::replay(rules, directory)? {
            Some((recovered, end)) => (recovered, end),
            None => (Recovered::blank(), recover::create(rules, directory, sizes.first)?),
        };
        let mut wal = Self {
            directory: directory.into(),
            rules: rules.clone(),
            sizes,
            file: end.file,
            sequence: end.sequence,
            capacity: end.capacity,
            offset: end.offset,
            ordinal: end.ordinal,
            buffer: Vec::new(),
            hard_state: recovered.hard_state,
            boot: recovered.boot,
            spans: end.spans,
            synced: end.ordinal - 1,
            separate: SeparateHardState::default(),
            next: None,
            poisoned: false,
        };
        wal.clear();
        if let Some(torn) = &recovered.torn {
            wal.erase(torn)?;
        }
        wal.write_again(end.last)?;
        wal.adopt_separate_hard_state(&mut recovered)?;
        Ok((wal, recovered))
    }

    /// Counts this start of the node and makes the count durable.
    pub fn begin_boot(&mut self) -> Result<u64, WalError> {
        self.boot += 1;
        record::encode(&Record::Boot(self.boot), &mut self.buffer);
        self.commit()?;
        Ok(self.boot)
    }

    /// Adds a batch to what the next [`Wal::commit`] writes.
    pub fn stage(&mut self, batch: &Persist) {
        if let Some(hard_state) = batch.hard_state {
            self.stage_hard_state(hard_state);
        }
        if let Some(base) = batch.reset {
            record::encode(&Record::Base(base), &mut self.buffer);
        }
        if let Some(from) = batch.truncate_from {
            record::encode(&Record::Truncate(from), &mut self.buffer);
        }
        for entry in &batch.entries {
            record::encode(&Record::Entry(Cow::Borrowed(entry)), &mut self.buffer);
        }
        if let Some(index) = batch.commit {
            record::encode(&Record::Commit(index), &mut self.buffer);
        }
        self.spans.staged(batch);
    }

    /// The size of what is staged, in bytes.
    pub fn staged(&self) -> usize {
        self.buffer.len() - frame::HEADER
    }

    /// Adds a hard state.
    pub fn stage_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
        // The honest law: term and vote change in one piece, and the old ones stay until the new ones are whole. A record
        // in a checksummed frame does that, and so would a file that is written beside the old one and renamed over it
        // (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014). To overwrite them in place destroys the old
        // value first.
        match self.rules.storage.hard_state_write {
            HardStateWrite::Atomic => record::encode(&Record::HardState(hard_state), &mut self.buffer),
            HardStateWrite::InPlace => self.separate.staged = Some(hard_state),
        }
    }

    /// Believes a hard state in a file of its own, if an earlier start has made one, and takes it into the log unless the
    /// rules still want that file.
    fn adopt_separate_hard_state(&mut self, recovered: &mut Recovered) -> Result<(), WalError> {
        let Some(found) = hard_state::read(&self.directory) else { return Ok(()) };
        recovered.hard_state = found;
        self.stage_hard_state(found);
        if self.separate.staged.take().is_none() {
            self.commit()?;
            disk::remove(&hard_state::path(&self.directory))?;
            disk::sync_directory(&self.rules, &self.directory)?;
        }
        Ok(())
    }

    /// Makes everything that was staged or written durable. When there is no room, everything stays staged and may be
    /// committed again; after any other error nothing can be said of it, and the log is closed for good.
    pub fn commit(&mut self) -> Result<(), WalError> {
        self.write()?;
        self.sync()
    }

    /// Writes what was staged, without making it durable. Errors are those of [`Wal::commit`].
    pub fn write(&mut self) -> Result<(), WalError> {
        if self.poisoned {
            return Err(WalError::Poisoned);
        }
        if let Some(hard_state) = self.separate.staged.take() {
            self.separate.unsynced = Some(hard_state::write(&self.directory, hard_state)?);
        }
        if self.staged() == 0 {
            return Ok(());
        }
        match self.write_staged() {
            Ok(()) => {}
            Err(error) if error.is_full() => self.give_up_writing(error)?,
            Err(error) => {
                self.poisoned = true;
                return Err(error);
            }
        }
        self.clear();
        Ok(())
    }

    /// There is no room for what is staged.
    fn give_up_writing(&mut self, error: WalError) -> Result<(), WalError> {
        // The honest law: what is not on disk was not promised. Nothing of the frame counts before it is whole and synced,
        // so it may be written again once there is room.
        match self.rules.storage.on_disk_full {
            OnDiskFull::StopAccepting => Err(WalError::Full),
            OnDiskFull::Crash => {
                self.poisoned = true;
                Err(error)
            }
            OnDiskFull::Ignore => Ok(()),
        }
    }

    /// Makes durable what was written.
    pub fn sync(&mut self) -> Result<(), WalError> {
        if self.poisoned {
            return Err(WalError::Poisoned);
        }
        if let Some(file) = self.separate.unsynced.take() {
            self.sync_file(&file, &hard_state::path(&self.directory))?;
            disk::sync_directory(&self.rules, &self.directory)?;
        }
        if self.synced + 1 == self.ordinal {
            return Ok(());
        }
        self.sync_file(&self.file, &self.path()).inspect_err(|_| self.poisoned = true)?;
        self.synced = self.ordinal - 1;
        Ok(())
    }

    fn sync_file(&self, file: &File, path: &Path) -> Result<(), WalError> {
        failpoints::hit(Point::BeforeFsync);
        let result = disk::sync(file, path).or_else(|error| self.sync_failed(error, file, path));
        result.map_err(|e| WalError::io("sync", path, e))
    }

    /// The disk has refused to sync.
    fn sync_failed(&self, error: std::io::Error, file: &File, path: &Path) -> std::io::Result<()> {
        // The honest law: after a failed fsync nobody knows what is on the disk. Linux marks the pages as clean, so the
        // next fsync reports success without having written them (PostgreSQL's "fsyncgate", 2018; Rebello et al., "Can
        // applications recover from fsync failures?", ATC 2020). Only a stop is honest.
        match self.rules.storage.on_fsync_error {
            OnFsyncError::Crash => Err(error),
            OnFsyncError::Retry => disk::sync(file, path),
            OnFsyncError::Ignore => Ok(()),
        }
    }

    /// Writes the staged frame, in a new segment if this one has no room for it.
    fn write_staged(&mut self) -> Result<(), WalError> {
        let len = frame::frame_len(self.staged()) as u64;
        if self.offset + len > self.capacity {
            // A segment is whole before the next one begins.
            self.sync()?;
            self.roll(len)?;
        }
        frame::seal(&mut self.buffer, self.ordinal, self.synced);
        self.write_frame().map_err(|e| WalError::io("write", &self.path(), e))?;
        self.offset += len;
        self.ordinal += 1;
        self.spans.written();
        self.prepare_next();
        Ok(())
    }

    /// Writes the staged frame into its place: in two halves where an experiment may stop between them.
    fn write_frame(&self) -> std::io::Result<()> {
        let halved = failpoints::armed(Point::WalMidRecord) || failpoints::armed(Point::HardStateMidWrite);
        let (first, second) = self.buffer.split_at(if halved { self.buffer.len() / 2 } else { 0 });
        disk::write(&self.file, &self.path(), first, self.offset)?;
        if halved && let frame::Found::Frame { payload, .. } = frame::read(&self.rules, &self.buffer, 0) {
            record::hit_points(payload);
        }
        disk::write(&self.file, &self.path(), second, self.offset + first.len() as u64)
    }

    /// Goes on in a new segment that has room for a frame of `len` bytes.
    fn roll(&mut self, len: u64) -> Result<(), WalError> {
        let sequence = self.sequence + 1;
        let size = self.next_size().max(len + HEAD_ROOM);
        let prepared = self.next.take().and_then(|handle| handle.join().ok()).and_then(Result::ok);
        let prepared = prepared.filter(|file| file.metadata().is_ok_and(|metadata| metadata.len() >= size));
        // A preparation that failed is tried again here, where its error counts.
        let file = match prepared {
            Some(file) => file,
            None => segment::create_blank(&self.directory, sequence, size)?,
        };
        let capacity = file.metadata().map_err(|e| WalError::io("look at", &self.path(), e))?.len();
        let start = SegmentStart { format: FORMAT, sequence, continues: Continuity::Continued };
        let head = head_frame(start, self.hard_state, self.boot, &[], self.ordinal);
        let path = segment::temporary_path(&self.directory, sequence);
        disk::write(&file, &path, &head, 0).map_err(|e| WalError::io("write", &path, e))?;
        disk::sync(&file, &path).map_err(|e| WalError::io("sync", &path, e))?;
        failpoints::hit(Point::SegmentRoll);
        segment::publish(&self.rules, &self.directory, sequence)?;
        self.spans.rolled(self.sequence);
        self.file = file;
        self.sequence = sequence;
        self.capacity = capacity;
        self.offset = head.len() as u64;
        self.synced = self.ordinal;
        self.ordinal += 1;
        Ok(())
    }

    /// Starts to zero the next segment in the background once this one is half full.
    fn prepare_next(&mut self) {
        #[cfg(test)]
        if crash_tests::is_watching() {
            // The order of all calls is what is tested.
            return;
        }
        if self.next.is_some() || self.offset < self.capacity / 2 {
            return;
        }
        let (directory, sequence, size) = (self.directory.clone(), self.sequence + 1, self.next_size());
        let work = move || segment::create_blank(&directory, sequence, size);
        // Without a thread the next segment is made when it is needed.
        self.next = std::thread::Builder::new().name("wal-prepare".into()).spawn(work).ok();
    }

    fn next_size(&self) -> u64 {
        (self.capacity * 2).min(self.sizes.max).max(self.sizes.first)
    }

    /// Writes the last frame once more. If its sync failed before the node stopped, the kernel may show it although the disk
    /// does not have it, and would not write it with the next sync: its pages are clean. Earlier frames were synced.
    fn write_again(&self, last: u64) -> Result<(), WalError> {
        let mut frame = vec![0; (self.offset - last) as usize];
        self.file.read_exact_at(&mut frame, last).map_err(|e| WalError::io("read", &self.path(), e))?;
        disk::write(&self.file, &self.path(), &frame, last)
            .map_err(|e| WalError::io("write", &self.path(), e))?;
        disk::sync(&self.file, &self.path()).map_err(|e| WalError::io("sync", &self.path(), e))
    }

    /// Overwrites a torn tail with zeros, so that nothing of it can be taken for a frame later.
    fn erase(&mut self, torn: &TornTail) -> Result<(), WalError> {
        recover::remove_superseded(&self.rules, &self.directory, &torn.later)?;
        segment::write_zeros(&self.file, &self.path(), torn.offset, torn.offset + torn.bytes)
            .map_err(|e| WalError::io("repair", &self.path(), e))?;
        disk::sync(&self.file, &self.path()).map_err(|e| WalError::io("sync", &self.path(), e))
    }

    fn path(&self) -> PathBuf {
        segment::path(&self.directory, self.sequence)
    }

    fn clear(&mut self) {
        /// A buffer that one huge batch made is not kept.
        const KEPT: usize = 4 << 20;
        self.buffer.clear();
        self.buffer.shrink_to(KEPT);
        self.buffer.resize(frame::HEADER, 0);
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        // The preparing thread must not outlive the lock on the directory. Its unfinished file is removed at the next
        // start, so its result does not matter.
        if let Some(handle) = self.next.take() {
            let _ = handle.join();
        }
    }
}

/// More than the first frame of a segment without entries takes.
const HEAD_ROOM: u64 = 256;

/// The first frame of a segment.
fn head_frame(
    start: SegmentStart,
    hard_state: HardState,
    boot: u64,
    entries: &[Entry],
    ordinal: u64,
) -> Vec<u8> {
    let mut buffer = vec![0; frame::HEADER];
    record::encode(&Record::Segment(start), &mut buffer);
    record::encode(&Record::HardState(hard_state), &mut buffer);
    record::encode(&Record::Boot(boot), &mut buffer);
    for entry in entries {
        record::encode(&Record::Entry(Cow::Borrowed(entry)), &mut buffer);
    }
    frame::seal(&mut buffer, ordinal, ordinal - 1);
    buffer
}

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;
