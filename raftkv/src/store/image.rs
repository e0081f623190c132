//! The state machine as bytes: what a snapshot holds of it.
//!
//! Invariant: `decode(encode(store))` has the same state and the same hash, on every node; the hash is part of the image,
//! so that bytes that changed on the way are refused. Sessions belong to the state: without them a duplicate would be
//! applied again after a restart or on another node (thesis, section 6.3).
//! Deliberately without compression and without files: those are the snapshot's.

use serde::{Deserialize, Serialize};

use super::{Cell, Store, Value};
use crate::raft::rules::Rules;
use crate::sessions::SessionImage;

/// What every image begins with; the last byte is the version.
const MAGIC: [u8; 4] = *b"kv\x00\x01";

/// The state in an order that is the same everywhere.
#[derive(Serialize, Deserialize)]
struct Image {
    hash: u64,
    log_time_ms: u64,
    cells: Vec<(String, Value, u64, Option<u64>)>,
    sessions: SessionImage,
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

impl Store {
    /// The whole state as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let image = Image {
            hash: self.hash(),
            log_time_ms: self.log_time_ms,
            cells: self
                .map
                .iter()
                .map(|(key, cell)| (key.clone(), cell.value.clone(), cell.version, cell.ends_ms))
                .collect(),
            sessions: self.sessions.image(),
        };
        postcard::to_extend(&image, MAGIC.to_vec()).expect("a state always encodes into memory")
    }

    /// The state that these bytes hold, to be driven on by `rules`.
    pub fn decode(bytes: &[u8], rules: &Rules) -> Result<Self, ImageError> {
        let body = bytes.strip_prefix(&MAGIC).ok_or(ImageError::Magic)?;
        let image: Image =
            postcard::from_bytes(body).map_err(|error| ImageError::Damaged(error.to_string()))?;
        let mut store = Self::new(rules);
        store.log_time_ms = image.log_time_ms;
        for (key, value, version, ends_ms) in image.cells {
            store.bind(key, Cell::new(value, version, ends_ms));
        }
        store.sessions.restore(image.sessions);
        let actual = store.hash();
        if actual != image.hash {
            return Err(ImageError::Hash { expected: image.hash, actual });
        }
        Ok(store)
    }

    /// Forgets all sessions: what a snapshot without them does to a replica.
    pub fn forget_sessions(&mut self) {
        self.sessions.restore(SessionImage::default());
    }
}
