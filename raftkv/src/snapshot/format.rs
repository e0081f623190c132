//! The bytes of a snapshot file.
//!
//! ```text
//! | "RAFTKVS1" | block | block | ... |      block: | len u32 | crc u32 | payload (len bytes) |
//! ```
//!
//! All numbers are little endian. The first block is the [`Header`], the last one the [`End`]; between them every block is a
//! sequence of [`Piece`]s of the state machine. A file without its end was not written to the end. The checksum that names
//! the snapshot in messages is that over all bytes of the file.
//!
//! Invariant: decoding any bytes returns a state or an error; it allocates no more than the file is long.
//! What it lacks on purpose: compression, and any order of the keys that two nodes would share.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use crate::raft::log::Position;
use crate::raft::quorum::Configuration;
use crate::raft::rules::Rules;
use crate::store::{Frozen, Piece, Pieces, Store};

const MAGIC: &[u8; 8] = b"RAFTKVS1";
/// The version of what the blocks say.
const FORMAT: u32 = 1;
/// A block is closed when it has grown to this.
const BLOCK: usize = 64 << 10;
/// The longest block that a reader believes in.
const BLOCK_MAX: usize = 256 << 20;

/// What a snapshot says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) format: u32,
    /// The last entry that it covers.
    pub(super) last: Position,
    /// The configuration in force there, and the index of the entry that it came from.
    pub(super) configuration: Option<(u64, Configuration)>,
}

impl Header {
    pub(super) fn new(last: Position, configuration: Option<(u64, Configuration)>) -> Self {
        Self { format: FORMAT, last, configuration }
    }
}

/// The end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    /// How many pieces there are.
    pieces: u64,
}

/// Writes to `inner`, and keeps the checksum and count of what it wrote.
struct Summing<W> {
    inner: W,
    hasher: crc32fast::Hasher,
    size: u64,
}

impl<W: Write> Summing<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        self.inner.write_all(bytes)
    }

    fn block(&mut self, payload: &[u8]) -> io::Result<()> {
        self.put(&(payload.len() as u32).to_le_bytes())?;
        self.put(&crc32fast::hash(payload).to_le_bytes())?;
        self.put(payload)
    }
}

fn encode<T: Serialize>(value: &T, buffer: &mut Vec<u8>) {
    *buffer = postcard::to_extend(value, std::mem::take(buffer)).expect("a value always encodes into memory");
}

/// Writes a snapshot; its checksum and size. `wrote` is called after every block.
pub(super) fn write(
    out: impl Write,
    header: &Header,
    state: Frozen,
    mut wrote: impl FnMut(),
) -> io::Result<(u32, u64)> {
    let mut out = Summing { inner: out, hasher: crc32fast::Hasher::new(), size: 0 };
    out.put(MAGIC)?;
    let (mut buffer, mut pieces) = (Vec::with_capacity(2 * BLOCK), 0);
    encode(header, &mut buffer);
    out.block(&buffer)?;
    wrote();
    buffer.clear();
    state.into_pieces(&mut |piece: &Piece<'_>| {
        pieces += 1;
        encode(piece, &mut buffer);
        if buffer.len() >= BLOCK {
            out.block(&buffer)?;
            wrote();
            buffer.clear();
            buffer.shrink_to(2 * BLOCK);
        }
        Ok::<(), io::Error>(())
    })?;
    if !buffer.is_empty() {
        out.block(&buffer)?;
    }
    buffer.clear();
    encode(&End { pieces }, &mut buffer);
    out.block(&buffer)?;
    out.inner.flush()?;
    Ok((out.hasher.finalize(), out.size))
}

/// Whether the checksums of blocks are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blocks {
    /// A block that differs is refused.
    Verified,
    /// It is taken as it is.
    Believed,
}

/// What was read.
pub(super) struct Loaded {
    pub(super) header: Header,
    pub(super) store: Store,
    pub(super) checksum: u32,
    pub(super) size: u64,
}

/// Why a file cannot be read.
pub(super) enum ReadError {
    Io(io::Error),
    Damaged(String),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged("it ends too early".into()),
            _ => Self::Io(error),
        }
    }
}

fn damaged(what: impl Into<String>) -> ReadError {
    ReadError::Damaged(what.into())
}

struct Blocked<R> {
    inner: R,
    left: u64,
    hasher: crc32fast::Hasher,
    size: u64,
    blocks: Blocks,
}

impl<R: Read> Blocked<R> {
    fn exactly(&mut self, len: usize) -> Result<Vec<u8>, ReadError> {
        if len as u64 > self.left {
            return Err(damaged(format!("at byte {} it ends too early", self.size)));
        }
        let mut bytes = vec![0; len];
        self.inner.read_exact(&mut bytes)?;
        self.hasher.update(&bytes);
        self.size += len as u64;
        self.left -= len as u64;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u32, ReadError> {
        let bytes = self.exactly(4)?;
        Ok(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte)))
    }

    fn block(&mut self) -> Result<Vec<u8>, ReadError> {
        let at = self.size;
        let (len, crc) = (self.number()? as usize, self.number()?);
        if len == 0 || len > BLOCK_MAX {
            return Err(damaged(format!("at byte {at} stands a block of {len} bytes")));
        }
        let payload = self.exactly(len)?;
        if self.blocks == Blocks::Verified && crc32fast::hash(&payload) != crc {
            return Err(damaged(format!("the checksum of the block at byte {at} is wrong")));
        }
        Ok(payload)
    }
}

/// Reads a snapshot of `len` bytes.
pub(super) fn read(from: impl Read, len: u64, blocks: Blocks, rules: &Rules) -> Result<Loaded, ReadError> {
    let mut from = Blocked { inner: from, left: len, hasher: crc32fast::Hasher::new(), size: 0, blocks };
    if from.exactly(MAGIC.len())? != MAGIC {
        return Err(damaged("it is no snapshot"));
    }
    let header: Header =
        postcard::from_bytes(&from.block()?).map_err(|_| damaged("its header is malformed"))?;
    if header.format != FORMAT {
        return Err(damaged(format!("its format is {}, this program reads {FORMAT}", header.format)));
    }
    let (mut state, mut pieces) = (Pieces::new(rules), 0);
    let end = loop {
        let block = from.block()?;
        if from.left == 0 {
            break postcard::from_bytes::<End>(&block).map_err(|_| damaged("its end is malformed"))?;
        }
        let mut rest = block.as_slice();
        while !rest.is_empty() {
            let (piece, behind) = postcard::take_from_bytes::<Piece<'static>>(rest).map_err(|_| {
                damaged(format!("a piece in the block before byte {} is malformed", from.size))
            })?;
            state.take(piece);
            pieces += 1;
            rest = behind;
        }
    };
    if end.pieces != pieces {
        return Err(damaged(format!("it has {pieces} pieces and should have {}", end.pieces)));
    }
    let store = match blocks {
        Blocks::Verified => state.verified().map_err(|error| damaged(error.to_string()))?,
        Blocks::Believed => state.believed(),
    };
    Ok(Loaded { header, store, checksum: from.hasher.finalize(), size: from.size })
}

/// The checksum and size of a file, whatever it is.
pub(super) fn sum(mut from: impl Read) -> io::Result<(u32, u64)> {
    let (mut hasher, mut size, mut buffer) = (crc32fast::Hasher::new(), 0, vec![0; BLOCK]);
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok((hasher.finalize(), size)),
            len => {
                hasher.update(&buffer[..len]);
                size += len as u64;
            }
        }
    }
}
