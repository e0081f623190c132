//! How bytes lie in a segment: frames, each the unit of one `fdatasync`.
//!
//! ```text
//! | len u32 | crc u32 | ordinal u64 | synced u64 | payload (len bytes) | zeros up to a multiple of 8 |
//! ```
//!
//! All numbers are little endian. The checksum covers everything but itself, so a flipped bit anywhere is seen. The
//! ordinal counts the frames of the whole log, so that a frame cannot be mistaken for one of another place.
//!
//! `synced` is the ordinal of the last frame that was known to be on the disk when this one was written; under the honest
//! rules the one before. The invariant that the reader lives on: a bad frame with a good one behind it that was written
//! when the bad one was on the disk was damaged later (corruption); any other bad frame was being written when the machine
//! stopped (a torn tail, which nobody was ever promised).
//! What this file lacks on purpose: any knowledge of what a payload means.

use crate::raft::rules::Rules;

/// Bytes before the payload.
pub(super) const HEADER: usize = 24;
/// Frames start at multiples of this.
pub(super) const ALIGN: usize = 8;
/// The longest payload that a reader believes in.
pub(super) const MAX_PAYLOAD: usize = 256 << 20;

/// The bytes that a frame with `payload` bytes takes.
pub(super) fn frame_len(payload: usize) -> usize {
    HEADER + payload.next_multiple_of(ALIGN)
}

/// Makes a frame in place: `buffer` holds [`HEADER`] bytes of room and then the payload.
pub(super) fn seal(buffer: &mut Vec<u8>, ordinal: u64, synced: u64) {
    let len = buffer.len() - HEADER;
    assert!(len > 0 && len <= MAX_PAYLOAD, "a frame of {len} bytes");
    buffer.resize(frame_len(len), 0);
    buffer[0..4].copy_from_slice(&(len as u32).to_le_bytes());
    buffer[8..16].copy_from_slice(&ordinal.to_le_bytes());
    buffer[16..24].copy_from_slice(&synced.to_le_bytes());
    let crc = checksum(buffer);
    buffer[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// The checksum of a whole frame.
fn checksum(frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame[0..4]);
    hasher.update(&frame[8..]);
    hasher.finalize()
}

/// What stands at one offset of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A whole frame.
    Frame {
        /// Its number.
        ordinal: u64,
        /// What it carries.
        payload: &'a [u8],
        /// Where the next one would start.
        end: usize,
    },
    /// Nothing was ever written from here on: zeros, or the end of the file.
    Blank,
    /// Something that is no frame.
    Bad,
}

/// Reads what stands at `offset`.
pub(super) fn read<'a>(rules: &Rules, segment: &'a [u8], offset: usize) -> Found<'a> {
    match frame_at(rules, segment, offset) {
        Some((head, payload, end)) => Found::Frame { ordinal: head.ordinal, payload, end },
        None if segment[offset.min(segment.len())..].iter().all(|&byte| byte == 0) => Found::Blank,
        None => Found::Bad,
    }
}

/// The head of what may be a frame.
struct Head {
    len: usize,
    crc: u32,
    ordinal: u64,
    synced: u64,
}

/// The head at `offset`, if it is possible.
fn head_at(segment: &[u8], offset: usize) -> Option<Head> {
    let header = segment.get(offset..)?.get(..HEADER)?;
    let number = |range: std::ops::Range<usize>| {
        header[range].iter().rev().fold(0u64, |number, &byte| number << 8 | u64::from(byte))
    };
    let (len, crc) = (number(0..4) as usize, number(4..8) as u32);
    (len > 0 && len <= MAX_PAYLOAD).then(|| Head { len, crc, ordinal: number(8..16), synced: number(16..24) })
}

/// The whole frame at `offset`, if one stands there.
fn frame_at<'a>(rules: &Rules, segment: &'a [u8], offset: usize) -> Option<(Head, &'a [u8], usize)> {
    let head = head_at(segment, offset)?;
    let frame = segment.get(offset..)?.get(..frame_len(head.len))?;
    // The honest law: disks return what they were not given, silently (Bairavasundaram et al., "An Analysis of Data
    // Corruption in the Storage Stack", FAST 2008). What is read is checked before it is believed.
    let intact = checksum(frame) == head.crc || !rules.storage.wal_checksum;
    let (payload, end) = (&frame[HEADER..HEADER + head.len], offset + frame.len());
    intact.then_some((head, payload, end))
}

/// The offset of a whole frame somewhere behind `offset` that was written when frame `ordinal` was on the disk: the proof
/// that what stands at `offset` was once complete. Only a head whose ordinal is possible there is worth a checksum, or a
/// torn write of many random bytes would cost a checksum of the rest for each of its words.
pub(super) fn proof_of(rules: &Rules, segment: &[u8], offset: usize, ordinal: u64) -> Option<usize> {
    let frames_max = (segment.len() / frame_len(1)) as u64;
    let possible = ordinal + 1..=ordinal.saturating_add(frames_max);
    (offset + ALIGN..segment.len()).step_by(ALIGN).find(|&at| {
        let may_be = |head: &Head| possible.contains(&head.ordinal) && head.synced >= ordinal;
        head_at(segment, at).as_ref().is_some_and(may_be) && frame_at(rules, segment, at).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn honest() -> Rules {
        Rules::default()
    }

    fn frame(ordinal: u64, payload: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0; HEADER];
        buffer.extend_from_slice(payload);
        seal(&mut buffer, ordinal, ordinal - 1);
        buffer
    }

    #[test]
    fn a_frame_is_read_back() {
        for len in [1, 7, 8, 9, 1000] {
            let payload = vec![0xa5; len];
            let bytes = frame(42, &payload);
            assert_eq!(bytes.len() % ALIGN, 0);
            assert_eq!(
                read(&honest(), &bytes, 0),
                Found::Frame { ordinal: 42, payload: &payload, end: bytes.len() }
            );
            assert_eq!(read(&honest(), &bytes, bytes.len()), Found::Blank);
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let bytes = frame(3, b"some payload, not a multiple of 8");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&honest(), &damaged, 0), Found::Bad, "bit {bit}");
        }
    }

    #[test]
    fn a_later_frame_is_found_behind_a_damaged_length() {
        let mut bytes = frame(3, b"first");
        let second = bytes.len();
        bytes.extend(frame(4, b"second"));
        bytes[1] = 0xff;
        assert_eq!(read(&honest(), &bytes, 0), Found::Bad);
        assert_eq!(proof_of(&honest(), &bytes, 0, 3), Some(second));
        assert_eq!(proof_of(&honest(), &bytes, 0, 4), None, "a frame is not later than itself");
    }

    #[test]
    fn a_frame_that_was_written_before_the_one_ahead_was_synced_proves_nothing() {
        let mut bytes = frame(3, b"first");
        let mut second = vec![0; HEADER];
        second.extend_from_slice(b"second");
        seal(&mut second, 4, 2);
        bytes.extend(second);
        bytes[HEADER] ^= 1;
        assert_eq!(proof_of(&honest(), &bytes, 0, 3), None);
    }

    #[test]
    fn without_the_checksum_damage_is_believed() {
        let mut rules = Rules::default();
        rules.set("wal_checksum", "false").unwrap();
        let mut bytes = frame(3, b"seven");
        bytes[HEADER] = b'S';
        assert_eq!(read(&honest(), &bytes, 0), Found::Bad);
        assert_eq!(read(&rules, &bytes, 0), Found::Frame { ordinal: 3, payload: b"Seven", end: bytes.len() });
    }
}
