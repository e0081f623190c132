//! The protocol of `/dev/fuse`: requests into values, values into replies.
//!
//! Invariant: a request that is cut short or has a length that lies is an error, never a panic. Only what the disk serves is
//! here; every other request is answered with ENOSYS, for which the kernel has a fallback.
//! Reference: `include/uapi/linux/fuse.h` of Linux, protocol 7.31 and later.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;

/// The version that is spoken; the kernel answers older ones too.
const MAJOR: u32 = 7;
const MINOR: u32 = 31;
/// The most that one write brings, in bytes.
pub(crate) const WRITE_MAX: usize = 1 << 20;
/// A request with a write of that size, and its headers.
pub(crate) const REQUEST_MAX: usize = WRITE_MAX + 4096;
const PAGES_MAX: u16 = (WRITE_MAX / 4096) as u16;
/// How long the kernel may trust names and attributes: only it changes them.
const VALID_SECONDS: u64 = 3600;

const BIG_WRITES: u32 = 1 << 5;
const PARALLEL_DIRECTORY_OPERATIONS: u32 = 1 << 18;
const MAX_PAGES: u32 = 1 << 22;

/// The numbers of the requests that are served.
pub(crate) mod op {
    pub(crate) const LOOKUP: u32 = 1;
    pub(crate) const FORGET: u32 = 2;
    pub(crate) const GETATTR: u32 = 3;
    pub(crate) const SETATTR: u32 = 4;
    pub(crate) const READLINK: u32 = 5;
    pub(crate) const SYMLINK: u32 = 6;
    pub(crate) const MKNOD: u32 = 8;
    pub(crate) const MKDIR: u32 = 9;
    pub(crate) const UNLINK: u32 = 10;
    pub(crate) const RMDIR: u32 = 11;
    pub(crate) const RENAME: u32 = 12;
    pub(crate) const LINK: u32 = 13;
    pub(crate) const READ: u32 = 15;
    pub(crate) const WRITE: u32 = 16;
    pub(crate) const STATFS: u32 = 17;
    pub(crate) const RELEASE: u32 = 18;
    pub(crate) const FSYNC: u32 = 20;
    pub(crate) const INIT: u32 = 26;
    pub(crate) const OPENDIR: u32 = 27;
    pub(crate) const READDIR: u32 = 28;
    pub(crate) const RELEASEDIR: u32 = 29;
    pub(crate) const FSYNCDIR: u32 = 30;
    pub(crate) const CREATE: u32 = 35;
    pub(crate) const DESTROY: u32 = 38;
    pub(crate) const BATCH_FORGET: u32 = 42;
    pub(crate) const FALLOCATE: u32 = 43;
    pub(crate) const RENAME2: u32 = 45;
    /// Those that a disk that is read only refuses.
    pub(crate) const CHANGES: [u32; 12] =
        [SETATTR, SYMLINK, MKNOD, MKDIR, UNLINK, RMDIR, RENAME, LINK, WRITE, CREATE, FALLOCATE, RENAME2];
}

/// A request of the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) unique: u64,
    pub(crate) opcode: u32,
    /// The file or directory that it is about.
    pub(crate) node: u64,
    pub(crate) owner: (u32, u32),
    pub(crate) body: Body<'a>,
}

/// The rest of a request, read from the front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a>(&'a [u8]);

type Result<T> = std::result::Result<T, Errno>;

impl<'a> Request<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut body = Body(bytes);
        let length = body.u32()? as usize;
        let (opcode, unique, node) = (body.u32()?, body.u64()?, body.u64()?);
        let owner = (body.u32()?, body.u32()?);
        body.skip(8)?;
        if length != bytes.len() {
            return Err(Errno::EINVAL);
        }
        Ok(Self { unique, opcode, node, owner, body })
    }
}

impl<'a> Body<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count).ok_or(Errno::EINVAL)?;
        self.0 = rest;
        Ok(front)
    }

    pub(crate) fn skip(&mut self, count: usize) -> Result<()> {
        self.take(count).map(drop)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        let bytes = self.take(4)?;
        bytes.try_into().map(u32::from_ne_bytes).map_err(|_| Errno::EINVAL)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        let bytes = self.take(8)?;
        bytes.try_into().map(u64::from_ne_bytes).map_err(|_| Errno::EINVAL)
    }

    /// A name, which ends with a zero.
    pub(crate) fn name(&mut self) -> Result<&'a OsStr> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(Errno::EINVAL)?;
        let name = self.take(end)?;
        self.skip(1)?;
        Ok(OsStr::from_bytes(name))
    }
}

/// What FUSE_SETATTR asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SetAttributes {
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) size: Option<u64>,
    pub(crate) modified: Option<SystemTime>,
}

impl SetAttributes {
    pub(crate) fn parse(body: &mut Body<'_>, now: SystemTime) -> Result<Self> {
        let valid = body.u32()?;
        body.skip(12)?;
        let size = body.u64()?;
        body.skip(16)?;
        let modified_seconds = body.u64()?;
        body.skip(12)?;
        let modified_ns = body.u32()?;
        body.skip(4)?;
        let mode = body.u32()?;
        body.skip(4)?;
        let (uid, gid) = (body.u32()?, body.u32()?);
        let given = |bit: u32| valid & (1 << bit) != 0;
        let modified = match (given(5), given(8)) {
            (_, true) => Some(now),
            (true, false) => {
                let since = Duration::new(modified_seconds, modified_ns.min(999_999_999));
                Some(UNIX_EPOCH.checked_add(since).unwrap_or(now))
            }
            (false, false) => None,
        };
        Ok(Self {
            mode: given(0).then_some(mode),
            uid: given(1).then_some(uid),
            gid: given(2).then_some(gid),
            size: given(3).then_some(size),
            modified,
        })
    }
}

/// What stat shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes {
    pub(crate) number: u64,
    pub(crate) size: u64,
    pub(crate) pages: u64,
    /// Type and permissions.
    pub(crate) mode: u32,
    pub(crate) links: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) device: u32,
    pub(crate) modified: SystemTime,
    pub(crate) changed: SystemTime,
}

/// The body of a reply.
#[derive(Debug, Default)]
pub(crate) struct Reply(Vec<u8>);

impl Reply {
    pub(crate) fn bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn u16(mut self, value: u16) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub(crate) fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub(crate) fn zeros(mut self, count: usize) -> Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    /// Of FUSE_INIT, to a kernel that offers these flags.
    pub(crate) fn init(readahead: u32, offered: u32) -> Self {
        let flags = (BIG_WRITES | PARALLEL_DIRECTORY_OPERATIONS | MAX_PAGES) & offered;
        Self::default()
            .u32(MAJOR)
            .u32(MINOR)
            .u32(readahead)
            .u32(flags)
            .u16(64)
            .u16(48)
            .u32(WRITE_MAX as u32)
            .u32(1)
            .u16(PAGES_MAX)
            .u16(0)
            .zeros(32)
    }

    fn attributes_alone(self, of: &Attributes) -> Self {
        let time = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (modified, changed) = (time(of.modified), time(of.changed));
        self.u64(of.number)
            .u64(of.size)
            .u64(of.pages * 8)
            .u64(modified.as_secs())
            .u64(modified.as_secs())
            .u64(changed.as_secs())
            .u32(modified.subsec_nanos())
            .u32(modified.subsec_nanos())
            .u32(changed.subsec_nanos())
            .u32(of.mode)
            .u32(of.links)
            .u32(of.owner.0)
            .u32(of.owner.1)
            .u32(of.device)
            .u32(4096)
            .u32(0)
    }

    /// Of FUSE_GETATTR and FUSE_SETATTR.
    pub(crate) fn attributes(of: &Attributes) -> Self {
        Self::default().u64(VALID_SECONDS).zeros(8).attributes_alone(of)
    }

    /// Of everything that finds or makes a name.
    pub(crate) fn entry(of: &Attributes) -> Self {
        let head = Self::default().u64(of.number).u64(0).u64(VALID_SECONDS).u64(VALID_SECONDS).zeros(8);
        head.attributes_alone(of)
    }

    /// The whole message.
    pub(crate) fn message(unique: u64, result: Result<Self>) -> Vec<u8> {
        let (error, body) = match result {
            Ok(Self(body)) => (0, body),
            Err(errno) => (-(errno as i32), Vec::new()),
        };
        let mut message = Self(Vec::with_capacity(16 + body.len()))
            .u32(16 + body.len() as u32)
            .u32(error as u32)
            .u64(unique)
            .0;
        message.extend_from_slice(&body);
        message
    }
}

/// An entry of a directory: its name, its number and its type as in a mode.
pub(crate) type Entry = (OsString, u64, u32);

/// As many entries from `offset` on as fit into `limit` bytes.
pub(crate) fn entries(all: &[Entry], offset: u64, limit: usize) -> Reply {
    let mut reply = Reply::default();
    for (position, (name, number, kind)) in all.iter().enumerate().skip(offset as usize) {
        let padded = name.len().next_multiple_of(8);
        if reply.0.len() + 24 + padded > limit {
            break;
        }
        reply = reply.u64(*number).u64(position as u64 + 1).u32(name.len() as u32).u32(kind >> 12);
        reply.0.extend_from_slice(name.as_bytes());
        reply = reply.zeros(padded - name.len());
    }
    reply
}

/// The message that makes the kernel forget what it has read of a file.
pub(crate) fn forget_cache_of(number: u64) -> Vec<u8> {
    const INVALIDATE_INODE: u32 = 2;
    Reply::default().u32(40).u32(INVALIDATE_INODE).u64(0).u64(number).u64(0).u64(0).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_have_the_sizes_of_the_kernels_structures() {
        let attributes = Attributes {
            number: 1,
            size: 0,
            pages: 0,
            mode: 0,
            links: 1,
            owner: (0, 0),
            device: 0,
            modified: UNIX_EPOCH,
            changed: UNIX_EPOCH,
        };
        let length = |reply: Reply| Reply::message(1, Ok(reply)).len();
        assert_eq!(length(Reply::init(0, u32::MAX)), 16 + 64);
        assert_eq!(length(Reply::attributes(&attributes)), 16 + 104);
        assert_eq!(length(Reply::entry(&attributes)), 16 + 128);
        assert_eq!(forget_cache_of(1).len(), 40);
        assert_eq!(Reply::message(7, Err(Errno::EIO)).len(), 16);
    }

    #[test]
    fn a_request_that_is_cut_short_is_an_error() {
        for length in 0..40 {
            assert!(Request::parse(&vec![0; length]).is_err(), "{length}");
        }
        let mut whole = vec![0; 42];
        whole[0] = 42;
        whole[40] = b'a';
        let mut request = Request::parse(&whole).unwrap();
        assert_eq!(request.body.name().unwrap(), "a");
        assert!(request.body.u32().is_err());
        whole[0] = 43;
        assert!(Request::parse(&whole).is_err());
    }
}
