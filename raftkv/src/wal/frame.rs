//! How bytes lie in a segment: frames, each the unit of one `fdatasync`.
//!
//! ```text
//! | len u32 | crc u32 | ordinal u64 | payload (len bytes) | zeros up to a multiple of 8 |
//! ```
//!
//! All numbers are little endian. The checksum covers everything but itself, so a flipped bit anywhere is seen. The
//! ordinal counts the frames of the whole log, so that a frame cannot be mistaken for one of another place.
//!
//! The invariant that the reader lives on: frame `k + 1` is written only after frame `k` is durable. So a bad frame with
//! a good one behind it was damaged later (corruption), and a bad frame with none behind it was being written when the
//! machine stopped (a torn tail, which nobody was ever promised).
//! What this file lacks on purpose: any knowledge of what a payload means.

/// Bytes before the payload.
pub(super) const HEADER: usize = 16;
/// Frames start at multiples of this.
pub(super) const ALIGN: usize = 8;
/// The longest payload that a reader believes in.
pub(super) const MAX_PAYLOAD: usize = 256 << 20;

/// The bytes that a frame with `payload` bytes takes.
pub(super) fn frame_len(payload: usize) -> usize {
    HEADER + payload.next_multiple_of(ALIGN)
}

/// Makes a frame in place: `buffer` holds [`HEADER`] bytes of room and then the payload.
pub(super) fn seal(buffer: &mut Vec<u8>, ordinal: u64) {
    let len = buffer.len() - HEADER;
    assert!(len > 0 && len <= MAX_PAYLOAD, "a frame of {len} bytes");
    buffer.resize(frame_len(len), 0);
    buffer[0..4].copy_from_slice(&(len as u32).to_le_bytes());
    buffer[8..16].copy_from_slice(&ordinal.to_le_bytes());
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
pub(super) fn read(segment: &[u8], offset: usize) -> Found<'_> {
    match frame_at(segment, offset) {
        Some((ordinal, payload, end)) => Found::Frame { ordinal, payload, end },
        None if segment[offset.min(segment.len())..].iter().all(|&byte| byte == 0) => Found::Blank,
        None => Found::Bad,
    }
}

/// The head of what may be a frame.
struct Head {
    len: usize,
    crc: u32,
    ordinal: u64,
}

/// The head at `offset`, if it is possible.
fn head_at(segment: &[u8], offset: usize) -> Option<Head> {
    let header = segment.get(offset..)?.get(..HEADER)?;
    let number = |range: std::ops::Range<usize>| {
        header[range].iter().rev().fold(0u64, |number, &byte| number << 8 | u64::from(byte))
    };
    let (len, crc) = (number(0..4) as usize, number(4..8) as u32);
    (len > 0 && len <= MAX_PAYLOAD).then(|| Head { len, crc, ordinal: number(8..16) })
}

/// The whole frame at `offset`, if one stands there.
fn frame_at(segment: &[u8], offset: usize) -> Option<(u64, &[u8], usize)> {
    let head = head_at(segment, offset)?;
    let frame = segment.get(offset..)?.get(..frame_len(head.len))?;
    (checksum(frame) == head.crc)
        .then(|| (head.ordinal, &frame[HEADER..HEADER + head.len], offset + frame.len()))
}

/// The offset of a whole frame later than `ordinal` somewhere behind `offset`: the proof that what stands at `offset` was
/// once complete. Only a head whose ordinal is possible there is worth a checksum, or a torn write of many random bytes
/// would cost a checksum of the rest for each of its words.
pub(super) fn later_frame(segment: &[u8], offset: usize, ordinal: u64) -> Option<usize> {
    let frames_max = (segment.len() / frame_len(1)) as u64;
    let possible = ordinal + 1..=ordinal.saturating_add(frames_max);
    (offset + ALIGN..segment.len()).step_by(ALIGN).find(|&at| {
        head_at(segment, at).is_some_and(|head| possible.contains(&head.ordinal))
            && frame_at(segment, at).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(ordinal: u64, payload: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0; HEADER];
        buffer.extend_from_slice(payload);
        seal(&mut buffer, ordinal);
        buffer
    }

    #[test]
    fn a_frame_is_read_back() {
        for len in [1, 7, 8, 9, 1000] {
            let payload = vec![0xa5; len];
            let bytes = frame(42, &payload);
            assert_eq!(bytes.len() % ALIGN, 0);
            assert_eq!(read(&bytes, 0), Found::Frame { ordinal: 42, payload: &payload, end: bytes.len() });
            assert_eq!(read(&bytes, bytes.len()), Found::Blank);
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let bytes = frame(3, b"some payload, not a multiple of 8");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&damaged, 0), Found::Bad, "bit {bit}");
        }
    }

    #[test]
    fn a_later_frame_is_found_behind_a_damaged_length() {
        let mut bytes = frame(3, b"first");
        let second = bytes.len();
        bytes.extend(frame(4, b"second"));
        bytes[1] = 0xff;
        assert_eq!(read(&bytes, 0), Found::Bad);
        assert_eq!(later_frame(&bytes, 0, 3), Some(second));
        assert_eq!(later_frame(&bytes, 0, 4), None, "a frame is not later than itself");
    }
}
