//! Random streams: one per purpose, all from one seed.
//!
//! Invariant: what is drawn from the stream of one purpose never depends on how much was drawn from another, so that
//! a longer draw for one decision does not shift every later one.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The random stream of this purpose under this seed.
pub fn stream(seed: u64, purpose: &str) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(fnv1a(purpose.as_bytes()));
    rng
}

/// The FNV-1a hash: fixed for all time, unlike the hashers of the standard library, so that a seed keeps its meaning.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn a_purpose_has_one_stream_of_its_own() {
        assert_eq!(stream(7, "when").next_u64(), stream(7, "when").next_u64());
        assert_ne!(stream(7, "when").next_u64(), stream(7, "which").next_u64());
        assert_ne!(stream(7, "when").next_u64(), stream(8, "when").next_u64());
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
