//! Changes to what a node that is down has stored.
//!
//! Invariant: no honest node ever takes these code paths. A [`FileEdit`] knows the system's own formats and is carried out
//! by the system's own program; a [`DataEdit`] knows only files, so it is there for every system. Both name in one line what
//! they changed, and fail where there was nothing to change.
//! Deliberately lacks what a disk does by itself (power failures, rollbacks), which are edits of [`crate::disk`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::system::NodeId;
use crate::view::Vote;

/// A change to the files of a stopped node in its system's own terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileEdit {
    /// Remove the last `entries` entries of the log.
    TruncateLog {
        /// How many.
        entries: u64,
    },
    /// Forget whom the node voted for; the term stays.
    LoseVote,
    /// Forget the term, and the vote with it; the log stays.
    LoseTerm,
    /// Set term and vote. A new term has no vote unless one is given.
    EditHardState {
        /// The term; it stays if absent.
        term: Option<u64>,
        /// The vote; it stays if absent and the term does.
        vote: Option<Vote>,
    },
    /// Replace the whole log. The term becomes that of the last entry, unless it is higher.
    SeedLog {
        /// The entries from index 1 on; their terms never fall.
        entries: Vec<SeedEntry>,
    },
    /// Flip one bit in the record of this entry.
    CorruptRecord {
        /// The index of the entry.
        index: u64,
    },
    /// Leave only the first bytes of the last write to the log, as a power failure in its middle does.
    TornWrite {
        /// How many bytes of it are left.
        keep: u64,
    },
}

/// An entry of a log that is made up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedEntry {
    /// Its term.
    pub term: u64,
    /// The key that it binds, and to what; empty without.
    #[serde(default)]
    pub put: Option<(String, String)>,
}

/// A change to the stored data of a stopped node, whatever its system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataEdit {
    /// Remove everything.
    Wipe,
    /// Keep a copy under this name; one of the same node and name is replaced.
    Save {
        /// The name: letters, digits, `-` and `_`.
        name: String,
    },
    /// Put a copy in the place of everything.
    Restore {
        /// The name of the copy.
        name: String,
        /// Whose copy; the node's own if absent.
        of: Option<NodeId>,
    },
    /// Exchange everything with another node that is down.
    Swap {
        /// The other one.
        with: NodeId,
    },
    /// Flip bits, each of another byte, among the bytes of one file that are written and not all zero at its end.
    FlipBits {
        /// The file, relative to the data directory; `*` stands for any characters. The first of several by name.
        file: String,
        /// How many.
        bits: u32,
        /// Which are drawn from this.
        seed: u64,
    },
    /// Cut bytes off the end of one file.
    Truncate {
        /// As in `FlipBits`.
        file: String,
        /// How many.
        bytes: u64,
    },
    /// Remove one file.
    DeleteFile {
        /// As in `FlipBits`.
        file: String,
    },
}

impl fmt::Display for FileEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileEdit::TruncateLog { entries } => write!(f, "without the last {entries} log entries"),
            FileEdit::LoseVote => f.write_str("without the vote of its term"),
            FileEdit::LoseTerm => f.write_str("without its term"),
            FileEdit::EditHardState { .. } => f.write_str("with another term or vote"),
            FileEdit::SeedLog { entries } => write!(f, "with a log of {} other entries", entries.len()),
            FileEdit::CorruptRecord { index } => write!(f, "with a wrong bit in entry {index}"),
            FileEdit::TornWrite { keep } => write!(f, "with {keep} bytes of its last write"),
        }
    }
}

impl fmt::Display for DataEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataEdit::Wipe => f.write_str("with nothing stored"),
            DataEdit::Save { name } => write!(f, "copied as {name}"),
            DataEdit::Restore { name, of: None } => write!(f, "with its data of {name}"),
            DataEdit::Restore { name, of: Some(of) } => write!(f, "with the data of {of}, {name}"),
            DataEdit::Swap { with } => write!(f, "with the data of {with}, and the other way round"),
            DataEdit::FlipBits { file, bits, .. } => write!(f, "with {bits} wrong bits in {file}"),
            DataEdit::Truncate { file, bytes } => write!(f, "with {file} {bytes} bytes shorter"),
            DataEdit::DeleteFile { file } => write!(f, "without {file}"),
        }
    }
}
