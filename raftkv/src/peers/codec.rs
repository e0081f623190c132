//! The bytes between two nodes: `| len u32 | crc of the payload u32 | crc of these 8 bytes u32 | postcard |`, little endian.
//!
//! Invariant: whatever arrives, decoding returns a value, "not yet" or an error; it allocates no more than has arrived. The
//! header has a checksum of its own, because whoever believes a damaged length waits for bytes that nobody sends.

use serde::{Deserialize, Serialize};

use super::known::Incarnation;
use crate::raft::io::NodeId;
use crate::raft::rules::{Rules, Toggle};

/// The longest payload that is accepted.
pub const FRAME_MAX: usize = 32 << 20;
/// The longest first frame of a connection.
pub const HELLO_MAX: usize = 1024;
/// The version of the protocol.
pub const PROTOCOL: u32 = 4;
/// Bytes before the payload.
const HEADER: usize = 12;

/// The first frame of a connection: who speaks to whom, in which cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// The cluster.
    pub cluster: String,
    /// Who connects.
    pub from: NodeId,
    /// Whom it takes the other side for.
    pub to: NodeId,
    /// Which start of which data directory it is.
    pub incarnation: Incarnation,
}

/// Why a connection cannot go on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is impossible.
    #[error("a frame of {len} bytes, at most {max} are allowed")]
    Length {
        /// The length in the frame.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The checksum differs.
    #[error("the checksum of a frame is wrong")]
    Checksum,
    /// The payload is not what it should be.
    #[error("the contents of a frame are malformed")]
    Malformed,
}

/// Appends a frame with `value` to `out`.
pub fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    *out = postcard::to_extend(value, std::mem::take(out)).expect("a message always encodes into memory");
    let header = header(&out[start + HEADER..]);
    out[start..start + HEADER].copy_from_slice(&header);
}

/// What stands before a payload.
pub(crate) fn header(payload: &[u8]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[4..8].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    let crc = crc32fast::hash(&header[..8]);
    header[8..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Takes the first frame of `bytes`. Returns the value and the length of the frame, or `None` if more bytes are needed.
pub fn decode<T: for<'de> Deserialize<'de>>(
    bytes: &[u8],
    max: usize,
) -> Result<Option<(T, usize)>, FrameError> {
    decode_under(&Rules::default(), bytes, max)
}

/// The same under other rules.
pub fn decode_under<T: for<'de> Deserialize<'de>>(
    rules: &Rules,
    bytes: &[u8],
    max: usize,
) -> Result<Option<(T, usize)>, FrameError> {
    let Some(header) = bytes.get(..HEADER) else { return Ok(None) };
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    // The honest law: the sums of TCP and Ethernet let damage through (Stone and Partridge, "When the CRC and TCP checksum
    // disagree", SIGCOMM 2000), and Raft assumes messages that are lost or late, never false.
    let checked = rules.storage.rpc_checksum == Toggle::On;
    if checked && crc32fast::hash(&header[..8]) != word(8) {
        return Err(FrameError::Checksum);
    }
    let len = word(0) as usize;
    if len == 0 || len > max {
        return Err(FrameError::Length { len, max });
    }
    let Some(payload) = bytes.get(HEADER..HEADER + len) else { return Ok(None) };
    if checked && crc32fast::hash(payload) != word(4) {
        return Err(FrameError::Checksum);
    }
    match postcard::take_from_bytes(payload) {
        Ok((value, [])) => Ok(Some((value, HEADER + len))),
        _ => Err(FrameError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::raft::log::{Entry, Payload};
    use crate::raft::message::{AppendEntries, Message};

    fn append() -> Message {
        let entry = Entry { index: 2, term: 1, payload: Payload::Command(vec![0, 255, 7].into()) };
        Message::AppendEntries(AppendEntries {
            term: 1,
            prev_index: 1,
            prev_term: 1,
            entries: vec![entry],
            commit: 1,
        })
    }

    #[test]
    fn a_message_arrives_in_pieces() {
        let mut bytes = Vec::new();
        encode(&append(), &mut bytes);
        let first = bytes.len();
        encode(&append(), &mut bytes);
        for cut in 0..first {
            assert_eq!(decode::<Message>(&bytes[..cut], FRAME_MAX), Ok(None), "cut at {cut}");
        }
        assert_eq!(decode(&bytes, FRAME_MAX), Ok(Some((append(), first))));
        assert_eq!(decode(&bytes[first..], FRAME_MAX), Ok(Some((append(), bytes.len() - first))));
    }

    #[test]
    fn damage_is_noticed() {
        let mut bytes = Vec::new();
        encode(&append(), &mut bytes);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // At once: a receiver that waited for the rest of a longer frame would swallow all that follows.
            assert_eq!(decode::<Message>(&damaged, FRAME_MAX), Err(FrameError::Checksum), "bit {bit}");
        }
        assert_eq!(
            decode::<Message>(&bytes, 3),
            Err(FrameError::Length { len: bytes.len() - HEADER, max: 3 })
        );
    }

    #[test]
    fn without_the_checksum_damage_is_taken_for_what_was_sent() {
        let mut bytes = Vec::new();
        encode(&append(), &mut bytes);
        let at = bytes.iter().rposition(|&byte| byte == 7).unwrap();
        bytes[at] = 6;
        assert_eq!(decode::<Message>(&bytes, FRAME_MAX), Err(FrameError::Checksum));
        let mut rules = Rules::default();
        rules.set("rpc_checksum", "off").unwrap();
        let Ok(Some((Message::AppendEntries(append), _))) = decode_under(&rules, &bytes, FRAME_MAX) else {
            panic!("it is refused");
        };
        assert_eq!(append.entries[0].payload, Payload::Command(vec![0, 255, 6].into()));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), honest in any::<bool>()) {
            if honest {
                bytes = [&header(&bytes)[..], &bytes].concat();
            }
            let _ = decode::<Message>(&bytes, FRAME_MAX);
            let _ = decode::<Hello>(&bytes, HELLO_MAX);
        }
    }
}
