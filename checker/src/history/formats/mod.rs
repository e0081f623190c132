//! Histories that other tools recorded, and our own: one door for all formats.
//!
//! Each reader turns text into a [`Recording`] in our own vocabulary and nothing else; what cannot be expressed in it is an
//! error with line and column, never a guess. Text comes in pieces of any size, and none of it is held longer than until
//! its entry is complete. What only some models know is [`Op::Other`](super::Op), and [`Specification::settle`] spells it
//! as its model does. There are no files here; the caller hands in the bytes. Transactions of lists are read elsewhere,
//! in `crate::transactions`.

mod detect;
pub(crate) mod edn;
pub(crate) mod entry;
mod jepsen;
mod json;
mod line_feed;
mod lines;
pub(crate) mod meter;
mod own;
mod porcupine;
mod pump;
mod reader;
mod settle;
mod specification;
pub(crate) mod stream;
#[cfg(test)]
mod tests;

pub use detect::detect;
pub(crate) use pump::pump;
pub use reader::{Reader, read, read_from};
pub use specification::{Misfit, Specification};

use super::{History, Recording, Value};
use crate::verdict::Cause;
use entry::Place;

/// Which format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `history.jsonl` of raftcheck.
    Raftcheck,
    /// Jepsen and Maelstrom: EDN maps, one after the other.
    JepsenEdn,
    /// Jepsen's `history.txt`: process, type, function and value between tabs.
    JepsenText,
    /// Knossos: EDN maps in one vector or list.
    KnossosEdn,
    /// `INFO  jepsen.util - 2<TAB>:invoke<TAB>:write<TAB>4`: a register with CAS, one key.
    PorcupineEtcd,
    /// `{:process 9, :type :invoke, :f :append, :key "0", :value "x 9 0 y"}`: put, append and get of strings per key.
    PorcupineKv,
}

/// What `:fail` of a CAS means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CasFailure {
    /// The CAS did not happen, whatever the reason was (Knossos).
    #[default]
    NothingHappened,
    /// The CAS found another value than the expected one (Porcupine's etcd model).
    Mismatch,
}

/// What a read of nil means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NilReads {
    /// The key was absent.
    #[default]
    Exact,
    /// Nothing (Knossos).
    Ignored,
}

/// How many keys the values speak of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// One, unless the operations have a `:key`; values that look like `[key value]` are refused, because a verdict on
    /// the wrong reading would be worthless.
    #[default]
    Unsaid,
    /// One, unless the operations have a `:key`; a vector of two is a value like any other.
    One,
    /// `jepsen.independent`: every value is `[key value]`.
    Independent,
}

/// How to understand a recorded history. The text itself does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What `:fail` of a CAS means.
    pub cas_failure: CasFailure,
    /// What a read of nil means.
    pub nil_reads: NilReads,
    /// How many keys there are.
    pub keys: Keys,
}

/// A history, and what its text said beside the events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The operations.
    pub recording: Recording,
    /// The functions that were called, each with the place where it first was.
    pub functions: Vec<Function>,
    /// What the time of an event is.
    pub clock: Clock,
    /// The last line, if it is cut off and was left out.
    pub cut_off: Option<usize>,
}

impl Recorded {
    /// The events. A large recording takes several times its own memory in this form.
    pub fn history(&self) -> History {
        self.recording.history()
    }
}

/// What the time of an event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// Nanoseconds, as the recorder took them.
    #[default]
    Nanoseconds,
    /// The text has none: the number of the line.
    Lines,
}

/// A function of a history, and where it was first called. Line and column count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// As the text spells it, without a colon.
    pub name: String,
    /// The line.
    pub line: usize,
    /// The column, in bytes.
    pub column: usize,
}

/// Why a text is no history of its format. Line and column count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct FormatError {
    /// The line.
    pub line: usize,
    /// The column, in bytes.
    pub column: usize,
    /// What is wrong.
    pub problem: String,
}

impl FormatError {
    pub(crate) fn at(text: &[u8], offset: usize, problem: impl Into<String>) -> Self {
        Self::of(Place::START.behind(&text[..offset.min(text.len())]), problem.into())
    }

    pub(crate) fn of(place: Place, problem: String) -> Self {
        FormatError { line: place.line, column: place.column, problem }
    }

    /// An error in a part of a text as one in the whole, where the part begins at this place.
    fn within(self, base: Place) -> Self {
        Self::of(base.then(Place { line: self.line, column: self.column }), self.problem)
    }
}

/// Why nothing was read from a source.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source failed.
    #[error("{0}")]
    Source(#[from] std::io::Error),
    /// The text is no history.
    #[error("{0}")]
    Format(#[from] FormatError),
    /// The budget was over before the text was.
    #[error("the budget was over before the text was read")]
    Spent(Cause),
}

/// Reads one value, written as EDN: `0`, `nil`, `"text"`, `[1 2]`.
pub fn value(text: &str) -> Result<Value, FormatError> {
    let mut reader = edn::Reader::new(text.as_bytes());
    let problem = |problem: &str| FormatError { line: 1, column: 1, problem: problem.to_owned() };
    let first = reader.next()?.ok_or_else(|| problem("a value was expected"))?;
    match reader.next()? {
        Some(_) => Err(problem("one value was expected, and here are several")),
        None => Ok(jepsen::value(&first)),
    }
}
