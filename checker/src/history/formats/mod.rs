//! Histories that other tools recorded, and our own: one door for all formats.
//!
//! Each reader turns text into a [`History`] of our own vocabulary and nothing else; what cannot be expressed in it is an
//! error with line and column, never a guess. What only some models
//! know is [`Op::Other`](super::Op), and [`Specification::settle`] spells it as its model does. There are no files here; the
//! caller hands in the bytes. Transactions of lists are read elsewhere, in `crate::transactions`.

mod detect;
pub(crate) mod edn;
mod jepsen;
mod lines;
mod own;
mod porcupine;
mod settle;
mod specification;
#[cfg(test)]
mod tests;

pub use detect::detect;
pub use specification::{Misfit, Specification};

use super::{History, Value};

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
    /// The events.
    pub history: History,
    /// The functions that were called, each with the place where it first was.
    pub functions: Vec<Function>,
    /// What the time of an event is.
    pub clock: Clock,
    /// The last line, if it is cut off and was left out.
    pub cut_off: Option<usize>,
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
        let before = &text[..offset.min(text.len())];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        FormatError { line, column: before.len() - start + 1, problem: problem.into() }
    }
}

/// Reads a history.
pub fn read(format: Format, text: &[u8], reading: &Reading) -> Result<Recorded, FormatError> {
    match format {
        Format::Raftcheck => own::read(text, reading),
        Format::JepsenEdn | Format::KnossosEdn => jepsen::read(text, reading),
        Format::JepsenText => lines::read(text, reading, lines::Others::Refused),
        Format::PorcupineEtcd => lines::read(text, reading, lines::Others::Skipped),
        Format::PorcupineKv => porcupine::read_kv(text, reading),
    }
}

/// Reads one value, written as EDN: `0`, `nil`, `"text"`, `[1 2]`.
pub fn value(text: &str) -> Result<Value, FormatError> {
    let mut reader = edn::Reader::new(text.as_bytes());
    let problem = |problem: &str| FormatError { line: 1, column: 1, problem: problem.to_owned() };
    let first = reader.next()?.ok_or_else(|| problem("a value was expected"))?;
    match reader.next()? {
        Some(_) => Err(problem("one value was expected, and here are several")),
        None => jepsen::value(&first).map_err(|why| problem(&why)),
    }
}
