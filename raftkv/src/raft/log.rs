//! The replicated log in memory: entries without holes, each named by its index and term.
//!
//! Invariant: the entry at position `k` has the index `base_index + 1 + k`. The log knows nothing about
//! commitment or durability; who may truncate what is decided by its callers, and under weakened rules that
//! may be a committed entry.
//! Reference: figure 2 and section 5.3 of the Raft paper (Ongaro and Ousterhout, 2014, extended version).

use std::fmt;
use std::sync::Arc;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::quorum::Configuration;

/// The bytes of a client's command, shared by everything that holds the entry, so that a copy costs no
/// allocation.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Command(Arc<[u8]>);

impl Command {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Command {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&[u8]> for Command {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl Serialize for Command {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Command;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of a command")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Command, E> {
                Ok(bytes.into())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Command, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(bytes.into())
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// What an entry carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// Nothing: the marker of a new leader, or of a read that goes through the log.
    Noop,
    /// A command of a client, opaque to the core.
    Command(Command),
    /// The members from here on.
    Configuration(Configuration),
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its position, from 1.
    pub index: u64,
    /// The term of the leader that created it.
    pub term: u64,
    /// What it carries.
    pub payload: Payload,
}

impl Entry {
    /// A fixed 64-bit hash over term, kind and payload, the same on all nodes and in all versions: the trace
    /// compares entries by it. FNV-1a over 64-bit little-endian words, with a final mix because FNV's high
    /// bits spread poorly.
    pub fn hash(&self) -> u64 {
        let mut state = 0xcbf2_9ce4_8422_2325_u64;
        let mut word =
            |value: u64| state = (state ^ value).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        word(self.term);
        match &self.payload {
            Payload::Noop => word(0),
            Payload::Command(command) => {
                word(1);
                word(command.as_bytes().len() as u64);
                for chunk in command.as_bytes().chunks(8) {
                    let mut bytes = [0; 8];
                    bytes[..chunk.len()].copy_from_slice(chunk);
                    word(u64::from_le_bytes(bytes));
                }
            }
            Payload::Configuration(configuration) => {
                word(2);
                configuration.words(&mut word);
            }
        }
        state ^= state >> 32;
        state = state.wrapping_mul(0xd6e8_feb8_6659_fd93);
        state ^ (state >> 32)
    }

    /// About how many bytes it takes in a message.
    pub fn size_bytes(&self) -> usize {
        match &self.payload {
            Payload::Noop => 16,
            Payload::Command(command) => 16 + command.as_bytes().len(),
            Payload::Configuration(configuration) => 16 + configuration.size_bytes(),
        }
    }
}

/// How much of the log one message may carry.
#[derive(Clone, Copy, Debug)]
pub struct SliceLimit {
    /// At most so many entries.
    pub entries: usize,
    /// No further entry once so many bytes are in; the first entry is always taken, whatever its size.
    pub bytes: usize,
}

/// The log of one node.
#[derive(Clone, Debug, Default)]
pub struct Log {
    base_index: u64,
    base_term: u64,
    entries: Vec<Entry>,
}

impl Log {
    /// The log as it was recovered from disk. Its entries must be contiguous and start at 1.
    pub fn recovered(entries: Vec<Entry>) -> Result<Self, String> {
        for (position, entry) in entries.iter().enumerate() {
            let expected = position as u64 + 1;
            if entry.index != expected {
                return Err(format!(
                    "the recovered log has entry {} where entry {expected} belongs",
                    entry.index
                ));
            }
        }
        Ok(Self { base_index: 0, base_term: 0, entries })
    }

    /// The index of the last entry, 0 for an empty log.
    pub fn last_index(&self) -> u64 {
        self.base_index + self.entries.len() as u64
    }

    /// The term of the last entry, 0 for an empty log.
    pub fn last_term(&self) -> u64 {
        self.entries.last().map_or(self.base_term, |entry| entry.term)
    }

    /// The term of the entry at `index`; 0 at index 0; `None` where the log has no entry.
    pub fn term(&self, index: u64) -> Option<u64> {
        if index == self.base_index {
            return Some(self.base_term);
        }
        self.get(index).map(|entry| entry.term)
    }

    /// The entry at `index`.
    pub fn get(&self, index: u64) -> Option<&Entry> {
        let position = index.checked_sub(self.base_index + 1)?;
        self.entries.get(usize::try_from(position).ok()?)
    }

    /// The entries from `from` to `to`, both included, as far as they exist.
    pub fn range(&self, from: u64, to: u64) -> &[Entry] {
        let start = from.max(self.base_index + 1) - self.base_index - 1;
        let end = to.min(self.last_index()).saturating_sub(self.base_index);
        if start >= end { &[] } else { &self.entries[start as usize..end as usize] }
    }

    /// Copies the entries from `from` on, as many as `limit` allows.
    pub fn slice(&self, from: u64, limit: SliceLimit) -> Vec<Entry> {
        let mut bytes = 0;
        let mut taken = Vec::new();
        for entry in self.range(from, self.last_index()).iter().take(limit.entries) {
            bytes += entry.size_bytes();
            if !taken.is_empty() && bytes > limit.bytes {
                break;
            }
            taken.push(entry.clone());
        }
        taken
    }

    /// Adds an entry of `term` at the end.
    pub fn push(&mut self, term: u64, payload: Payload) -> &Entry {
        let index = self.last_index() + 1;
        self.entries.push(Entry { index, term, payload });
        &self.entries[self.entries.len() - 1]
    }

    /// Adds a leader's entries at the end. Their indices must continue the log.
    pub fn extend(&mut self, entries: &[Entry]) {
        if let Some(first) = entries.first() {
            assert_eq!(first.index, self.last_index() + 1, "entries must continue the log");
        }
        self.entries.extend_from_slice(entries);
    }

    /// Removes all entries with an index >= `from`.
    pub fn truncate_from(&mut self, from: u64) {
        let keep = from.saturating_sub(self.base_index + 1);
        self.entries.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
    }

    /// The largest index <= `index` whose term is <= `term`, and that term: where two logs can agree at the
    /// latest. Both sides of a rejected append skip whole terms with it (end of section 5.3 of the paper).
    pub fn agreement_bound(&self, index: u64, term: u64) -> (u64, u64) {
        let mut at = index.min(self.last_index());
        loop {
            match self.term(at) {
                Some(own) if own > term && at > 0 => at -= 1,
                Some(own) => return (at, own),
                None => return (at, self.base_term),
            }
        }
    }
}

/// A log of empty entries with these terms.
#[cfg(test)]
pub(super) fn log_of(terms: &[u64]) -> Log {
    let mut log = Log::default();
    for &term in terms {
        log.push(term, Payload::Noop);
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_and_ranges() {
        let log = log_of(&[1, 1, 4, 6]);
        assert_eq!((log.last_index(), log.last_term()), (4, 6));
        assert_eq!((log.term(0), log.term(3), log.term(5)), (Some(0), Some(4), None));
        assert_eq!(log.range(2, 3).iter().map(|e| e.index).collect::<Vec<_>>(), [2, 3]);
        assert!(log.range(5, 9).is_empty());
        assert!(log.range(3, 2).is_empty());
    }

    #[test]
    fn a_slice_takes_at_least_one_entry_and_honours_both_limits() {
        let mut log = Log::default();
        for _ in 0..5 {
            log.push(1, Payload::Command(vec![7; 100].into()));
        }
        assert_eq!(log.slice(1, SliceLimit { entries: 3, bytes: 10_000 }).len(), 3);
        assert_eq!(log.slice(1, SliceLimit { entries: 9, bytes: 1 }).len(), 1);
        assert_eq!(log.slice(4, SliceLimit { entries: 9, bytes: 10_000 }).len(), 2);
        assert_eq!(log.slice(6, SliceLimit { entries: 9, bytes: 10_000 }).len(), 0);
    }

    #[test]
    fn truncation_and_growth() {
        let mut log = log_of(&[1, 1, 4]);
        log.truncate_from(2);
        assert_eq!(log.last_index(), 1);
        log.truncate_from(7);
        assert_eq!(log.last_index(), 1);
        assert_eq!(log.push(5, Payload::Noop).index, 2);
    }

    #[test]
    fn the_agreement_bound_skips_whole_terms() {
        let log = log_of(&[1, 1, 4, 4, 5, 5, 6]);
        assert_eq!(log.agreement_bound(7, 4), (4, 4));
        assert_eq!(log.agreement_bound(7, 3), (2, 1));
        assert_eq!(log.agreement_bound(9, 6), (7, 6));
        assert_eq!(log.agreement_bound(7, 0), (0, 0));
    }

    #[test]
    fn a_hole_in_a_recovered_log_is_refused() {
        let mut entries = log_of(&[1, 1, 2]).range(1, 3).to_vec();
        assert!(Log::recovered(entries.clone()).is_ok());
        entries.remove(1);
        assert!(Log::recovered(entries).unwrap_err().contains("entry 3 where entry 2 belongs"));
    }

    #[test]
    fn the_hash_depends_on_term_kind_and_payload_and_never_changes() {
        let entry = |term, payload| Entry { index: 1, term, payload };
        let noop = entry(1, Payload::Noop);
        let command = entry(1, Payload::Command(b"x=1".as_slice().into()));
        let empty = entry(1, Payload::Command(Vec::new().into()));
        let hashes = [noop.hash(), command.hash(), empty.hash(), entry(2, Payload::Noop).hash()];
        for (position, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..position].contains(hash));
        }
        assert_eq!(Entry { index: 9, ..noop.clone() }.hash(), noop.hash(), "the index is not part of it");
        // Stored traces are judged by later versions: these values are fixed for ever.
        let fixed = ["ece1fb9205ebf287", "16e962760449df5c", "a3b343bacfe4a890", "63787b59f1d5b6b6"];
        assert_eq!(hashes.map(|hash| format!("{hash:016x}")), fixed);
    }

    #[test]
    fn a_command_survives_postcard() {
        let entry = Entry { index: 3, term: 2, payload: Payload::Command(b"\x00\xffx".as_slice().into()) };
        let bytes = postcard::to_stdvec(&entry).unwrap();
        assert_eq!(postcard::from_bytes::<Entry>(&bytes).unwrap(), entry);
    }
}
