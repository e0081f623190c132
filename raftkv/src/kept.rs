//! A state machine that outlives its process: the rule `state_machine: persistent`.
//!
//! ```text
//! state/journal   frames: | len u32 | crc u32 | record |, little endian; the first record is a whole state
//! state/applied   | index u64 | crc u32 |, only where the index is not part of the journal
//! ```
//!
//! Invariant under `applied_index: atomic`: the index of a command is in the frame of the command, so that whatever a crash
//! leaves, the index says exactly which entries the state contains. The other values break that and nothing else.
//! Deliberately without fsync: the log is what is durable. A power failure takes a tail of the journal, index and all, and
//! the log has those entries, because it is only shortened behind a durable snapshot; of snapshot and journal the newer counts.
//! Reference: the etcd 3.5 data inconsistency (etcd issue 13766): an index that was saved apart from the data.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::datadir::replace_file;
use crate::raft::log::{Entry, Payload};
use crate::raft::rules::{AppliedIndex, Rules};
use crate::store::Store;

/// Bytes before a record.
const HEADER: usize = 8;
/// A journal that is not longer than this is not worth a new one.
const SHORT: u64 = 4 << 20;

#[derive(Serialize, Deserialize)]
enum Record {
    /// A whole state, and the last entry in it.
    State(u64, Vec<u8>),
    /// An entry, and what the state machine did with it, if anything.
    Entry(u64, Option<Vec<u8>>),
}

/// The files of a state machine that is kept.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    file: File,
    index_file: File,
    order: AppliedIndex,
    /// Entries up to this are in the state according to what was found at the start, and are not applied again.
    counted: u64,
    bytes: u64,
    /// How long it was when it held nothing but a state.
    base_bytes: u64,
}

impl Journal {
    /// Opens the files below `directory`. The state is the one that they hold, or that of the snapshot up to `index` if that is
    /// newer.
    pub fn open(
        rules: &Rules,
        directory: &Path,
        index: u64,
        snapshot: Store,
    ) -> Result<(Self, Store), String> {
        fs::create_dir_all(directory).map_err(failed("create", directory))?;
        let path = directory.join("applied");
        let index_file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let index_file = index_file.map_err(failed("open", &path))?;
        let path = directory.join("journal");
        let found = match fs::read(&path) {
            Ok(bytes) => replay(rules, &bytes).map_err(|error| format!("{}: {error}", path.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let found = found.filter(|(last, _)| *last >= index);
        // The honest law: lastApplied is exactly as durable as the state machine ("if the state machine is persistent,
        // lastApplied should be as persistent", thesis, section 3.8), and becomes so together with it. An index that is
        // behind its data has entries applied twice after a crash, one that is ahead has them left out.
        let order = rules.storage.applied_index;
        let apart = matches!(order, AppliedIndex::Behind | AppliedIndex::Ahead);
        let counted = match &found {
            Some((last, _)) if apart => read_index(&index_file).unwrap_or(*last).max(index),
            Some((last, _)) if order == AppliedIndex::Atomic => *last,
            _ => index,
        };
        let (last, store) = found.unwrap_or((index, snapshot));
        let file = new_journal(directory, last, &store)?;
        let bytes = file.metadata().map_err(failed("look at", &path))?.len();
        let directory = directory.to_owned();
        let journal = Self { directory, file, index_file, order, counted, bytes, base_bytes: bytes };
        if apart {
            journal.write_index(counted)?;
        } else {
            // Nobody may believe an old one after a start under another rule.
            journal.index_file.set_len(0).map_err(failed("empty", &journal.directory.join("applied")))?;
        }
        Ok((journal, store))
    }

    /// Whether the state that was found at the start contains this entry, as far as is known.
    pub fn contains(&self, index: u64) -> bool {
        index <= self.counted
    }

    /// Keeps what an entry did, which is the command `done` or nothing. `between` is called where a crash hurts most.
    pub fn keep(&mut self, entry: &Entry, skipped: bool, between: impl FnOnce()) -> Result<(), String> {
        let done = match &entry.payload {
            Payload::Command(command) if !skipped => Some(command.as_bytes().to_vec()),
            _ => None,
        };
        let record = Record::Entry(entry.index, done);
        match self.order {
            AppliedIndex::Atomic => {
                between();
                self.append(&record)
            }
            AppliedIndex::Behind => {
                self.append(&record)?;
                between();
                self.write_index(entry.index)
            }
            AppliedIndex::Ahead => {
                self.write_index(entry.index)?;
                between();
                self.append(&record)
            }
            AppliedIndex::None => {
                self.append(&record)?;
                between();
                Ok(())
            }
        }
    }

    /// Begins a new journal if this one has become long: its state instead of what led to it.
    pub fn shorten(&mut self, last: u64, store: &Store) -> Result<(), String> {
        if self.bytes <= SHORT.max(4 * self.base_bytes) {
            return Ok(());
        }
        self.begin(last, store)
    }

    /// Begins again with a state that replaces what is kept: that of an installed snapshot.
    pub fn replace(&mut self, index: u64, store: &Store) -> Result<(), String> {
        self.begin(index, store)?;
        self.counted = index;
        match self.order {
            AppliedIndex::Behind | AppliedIndex::Ahead => self.write_index(index),
            AppliedIndex::Atomic | AppliedIndex::None => Ok(()),
        }
    }

    fn begin(&mut self, last: u64, store: &Store) -> Result<(), String> {
        self.file = new_journal(&self.directory, last, store)?;
        self.bytes = self.file.metadata().map_err(failed("look at", &self.directory))?.len();
        self.base_bytes = self.bytes;
        Ok(())
    }

    fn append(&mut self, record: &Record) -> Result<(), String> {
        let frame = frame(record);
        self.bytes += frame.len() as u64;
        self.file.write_all(&frame).map_err(failed("write the journal in", &self.directory))
    }

    fn write_index(&self, index: u64) -> Result<(), String> {
        let mut bytes = index.to_le_bytes().to_vec();
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        self.index_file.write_all_at(&bytes, 0).map_err(failed("write the index in", &self.directory))
    }
}

fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> String {
    move |error| format!("cannot {what} {}: {error}", path.display())
}

fn frame(record: &Record) -> Vec<u8> {
    let payload = postcard::to_allocvec(record).expect("a record always encodes into memory");
    let mut frame = (payload.len() as u32).to_le_bytes().to_vec();
    frame.extend(crc32fast::hash(&payload).to_le_bytes());
    frame.extend(payload);
    frame
}

/// Writes a journal that holds a state and nothing else, in the place of the one that there is.
fn new_journal(directory: &Path, last: u64, store: &Store) -> Result<File, String> {
    let path = directory.join("journal");
    let base = frame(&Record::State(last, store.encode()));
    replace_file(&path, &base).map_err(|error| error.to_string())?;
    OpenOptions::new().append(true).open(&path).map_err(failed("open", &path))
}

fn read_index(file: &File) -> Option<u64> {
    let mut bytes = [0; 12];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let (index, crc) = bytes.split_at(8);
    (crc32fast::hash(index).to_le_bytes() == crc)
        .then(|| u64::from_le_bytes(index.try_into().unwrap_or_default()))
}

/// The record at the beginning of `bytes`, and what is behind it. A frame that is not whole was being written when the
/// process or the machine stopped.
fn next_record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (len, rest) = bytes.split_at_checked(HEADER / 2)?;
    let (crc, rest) = rest.split_at_checked(HEADER / 2)?;
    let (payload, rest) = rest.split_at_checked(u32::from_le_bytes(len.try_into().ok()?) as usize)?;
    if crc32fast::hash(payload).to_le_bytes() != crc {
        return None;
    }
    Some((postcard::from_bytes(payload).ok()?, rest))
}

/// The state that a journal leads to, and the last entry in it; nothing without the state that it begins with.
fn replay(rules: &Rules, mut bytes: &[u8]) -> Result<Option<(u64, Store)>, String> {
    let Some((Record::State(mut last, image), rest)) = next_record(bytes) else { return Ok(None) };
    let mut store = Store::decode(&image, rules).map_err(|error| error.to_string())?;
    bytes = rest;
    while let Some((Record::Entry(index, done), rest)) = next_record(bytes) {
        if let Some(command) = done {
            store.apply(index, &command);
        }
        (last, bytes) = (index, rest);
    }
    Ok(Some((last, store)))
}
