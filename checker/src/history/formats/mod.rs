//! Histories that other tools recorded: Jepsen and Maelstrom `history.edn`, Knossos files, Porcupine's logs.
//!
//! Each reader turns text into a [`History`] of our own vocabulary and nothing else; what cannot be expressed in it is an
//! error with line and column, never a guess. A mutex is a register here: to acquire is a CAS from nil to `locked`, to
//! release the CAS back. There are no files here; the caller hands in the bytes.

mod edn;
mod jepsen;
mod porcupine;
#[cfg(test)]
mod tests;

use super::History;

/// Which format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Jepsen, Maelstrom, Knossos: EDN maps, one after the other or in one list.
    JepsenEdn,
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
    /// One, unless the operations have a `:key`.
    #[default]
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
    fn at(text: &[u8], offset: usize, problem: impl Into<String>) -> Self {
        let before = &text[..offset.min(text.len())];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        FormatError { line, column: before.len() - start + 1, problem: problem.into() }
    }
}

/// Reads a history.
pub fn read(format: Format, text: &[u8], reading: &Reading) -> Result<History, FormatError> {
    match format {
        Format::JepsenEdn => jepsen::read(text, reading),
        Format::PorcupineEtcd => porcupine::read_etcd(text, reading),
        Format::PorcupineKv => porcupine::read_kv(text, reading),
    }
}
