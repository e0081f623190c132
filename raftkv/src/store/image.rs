//! The state machine as bytes: what a snapshot holds of it.
//!
//! Invariant: `decode(encode(store))` has the same state and the same hash, on every node; the hash is part of the image,
//! so that bytes that changed on the way are refused. Sessions belong to the state: without them a duplicate would be
//! applied again after a restart or on another node (thesis, section 6.3).
//! Deliberately without compression and without files: those are the snapshot's.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Cell, Store, Value};
use crate::raft::rules::Rules;
use crate::sessions::{FrozenSessions, SessionImage};
use crate::snapshot::Shards;

/// What every image begins with; the last byte is the version.
const MAGIC: [u8; 4] = *b"kv\x00\x02";

/// A part of a state. A state is one [`Piece::Base`], its keys, and one [`Piece::Hash`]; in pieces it can be written and
/// read without being in memory twice. The order of the variants is the format.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Piece<'a> {
    /// The time in the log and the sessions.
    Base(u64, SessionImage),
    /// A key, what it is bound to, since which entry and until when.
    Key(Cow<'a, str>, Cow<'a, Value>, u64, Option<u64>),
    /// The hash of it all.
    Hash(u64),
}

/// A state that is put together.
pub(crate) struct Pieces {
    store: Store,
    hash: Option<u64>,
}

impl Pieces {
    /// Nothing yet.
    pub(crate) fn new(rules: &Rules) -> Self {
        Self { store: Store::new(rules), hash: None }
    }

    /// Adds a piece.
    pub(crate) fn take(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Base(log_time_ms, sessions) => {
                self.store.log_time_ms = log_time_ms;
                self.store.sessions.restore(sessions);
            }
            Piece::Key(key, value, version, ends_ms) => {
                self.store.bind(key.into_owned(), Cell::new(value.into_owned(), version, ends_ms));
            }
            Piece::Hash(hash) => self.hash = Some(hash),
        }
    }

    /// The state, if it is what was written.
    pub(crate) fn verified(self) -> Result<Store, ImageError> {
        let actual = self.store.hash();
        match self.hash {
            None => Err(ImageError::Damaged("it has no end".to_owned())),
            Some(expected) if expected != actual => Err(ImageError::Hash { expected, actual }),
            Some(_) => Ok(self.store),
        }
    }

    /// The state, whatever it is.
    pub(crate) fn believed(self) -> Store {
        self.store
    }
}

/// Why bytes are not a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// They begin differently.
    #[error("this is no state of the store, or one of another version of this program")]
    Magic,
    /// They end early or have impossible contents.
    #[error("the state of the store cannot be read: {0}")]
    Damaged(String),
    /// They can be read and are not what was written.
    #[error("the state of the store hashes to {actual:016x}, and {expected:016x} was written: it is damaged")]
    Hash {
        /// What was written.
        expected: u64,
        /// What it is.
        actual: u64,
    },
}

/// A state as it was at one moment, to be written. It shares keys and sessions with the state that goes on, until that
/// changes them, and lacks what only a state that goes on needs: by when what ends. So making it costs the same for a
/// state of any size.
#[derive(Debug)]
pub(crate) struct Frozen {
    log_time_ms: u64,
    sessions: FrozenSessions,
    map: Shards<String, Cell>,
    /// The hash of the keys.
    hash: u64,
}

impl Frozen {
    /// Forgets all sessions: what a snapshot without them does to a replica.
    pub(crate) fn forget_sessions(&mut self) {
        self.sessions = FrozenSessions::none();
    }

    /// Visits the whole state in pieces, giving up what was visited.
    pub(crate) fn into_pieces<E>(self, visit: &mut impl FnMut(&Piece<'_>) -> Result<(), E>) -> Result<(), E> {
        let hash = super::hash_of(self.hash, self.sessions.hash());
        visit(&Piece::Base(self.log_time_ms, self.sessions.into_image()))?;
        for part in self.map.into_parts() {
            // The same state is the same bytes, whatever led to it.
            let mut cells: Vec<_> = part.iter().collect();
            cells.sort_unstable_by_key(|&(key, _)| key);
            for (key, cell) in cells {
                let (key, value) = (Cow::Borrowed(key.as_str()), Cow::Borrowed(&cell.value));
                visit(&Piece::Key(key, value, cell.version, cell.ends_ms))?;
            }
        }
        visit(&Piece::Hash(hash))
    }
}

impl Store {
    /// The state as it is now.
    pub(crate) fn frozen(&self) -> Frozen {
        let (sessions, map) = (self.sessions.frozen(), self.map.clone());
        Frozen { log_time_ms: self.log_time_ms, sessions, map, hash: self.hash }
    }

    /// The whole state as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let mut add = |piece: &Piece<'_>| {
            bytes = postcard::to_extend(piece, std::mem::take(&mut bytes))?;
            Ok::<(), postcard::Error>(())
        };
        self.frozen().into_pieces(&mut add).expect("a state always encodes into memory");
        bytes
    }

    /// The state that these bytes hold, to be driven on by `rules`.
    pub fn decode(bytes: &[u8], rules: &Rules) -> Result<Self, ImageError> {
        let mut rest = bytes.strip_prefix(&MAGIC).ok_or(ImageError::Magic)?;
        let mut pieces = Pieces::new(rules);
        while !rest.is_empty() {
            let taken = postcard::take_from_bytes::<Piece<'static>>(rest);
            let (piece, behind) = taken.map_err(|error| ImageError::Damaged(error.to_string()))?;
            pieces.take(piece);
            rest = behind;
        }
        pieces.verified()
    }

    /// Forgets all sessions: what a snapshot without them does to a replica.
    pub fn forget_sessions(&mut self) {
        self.sessions.restore(SessionImage::default());
    }
}
