//! A 64-bit hash that is the same on all nodes, for comparing states.
//!
//! Invariant: it depends on the bytes and their order alone. The hash of a map is the wrapping sum of the hashes of its
//! bindings, so that a change costs the change, not the map.
//! Deliberately not cryptographic: it finds bugs and bad memory, not forgers.
//! Reference: FNV-1a over words with a final mix, as the log's hash of an entry; Bellare and Micciancio, "A New Paradigm
//! for Collision-free Hashing", 1997, for sums of hashes.

/// A hash under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digest(u64);

impl Digest {
    /// A hash of something of this kind.
    pub(crate) fn new(kind: u64) -> Self {
        Self(0xcbf2_9ce4_8422_2325).word(kind)
    }

    /// With one more number.
    pub(crate) fn word(self, value: u64) -> Self {
        Self((self.0 ^ value).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23))
    }

    /// With these bytes and their length.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let mut digest = self.word(bytes.len() as u64);
        let (chunks, rest) = bytes.as_chunks::<8>();
        for chunk in chunks {
            digest = digest.word(u64::from_le_bytes(*chunk));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        digest.word(u64::from_le_bytes(last))
    }

    /// The hash.
    pub(crate) fn end(self) -> u64 {
        let mut state = self.0 ^ (self.0 >> 32);
        state = state.wrapping_mul(0xd6e8_feb8_6659_fd93);
        state ^ (state >> 32)
    }
}
