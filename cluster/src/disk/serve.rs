//! One request of the kernel to a disk: what it means, and what is answered.
//!
//! Invariant: every request gets one answer, now or (a sync or read that has to wait) later; a trouble that touches a
//! request is counted when its answer is made. A sync that waits has its effect when it is answered, so that a power
//! failure meanwhile loses what it was asked to save.
//! Deliberately not served: extended attributes (ENOTSUP to programs), locks and `copy_file_range`, which the kernel then
//! does by itself. The kernel tells a FUSE server nothing of `sync(2)` and `syncfs(2)`: they make nothing durable here.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha12Rng;

use super::content::{PAGE, chance};
use super::store::{Existing, Kind, Maker, Store, SyncKind};
use super::trouble::{DiskState, DiskStats, DiskTrouble, Wait};
use super::wire::{Attributes, Entry, Reply, Request, SetAttributes, entries, op};

/// A disk in use.
pub(super) struct Core {
    pub(super) store: Store,
    pub(super) trouble: DiskTrouble,
    pub(super) stats: DiskStats,
    /// Requests that wait for their answer.
    pub(super) held: Vec<Held>,
    /// Errors that the present trouble has given.
    given: u32,
    rng: ChaCha12Rng,
    /// Directories that are being read: the entries that they had when they were opened.
    open: BTreeMap<u64, Vec<Entry>>,
    next_handle: u64,
}

/// A request that waits.
pub(super) struct Held {
    unique: u64,
    since: Instant,
    /// `None`: until it is let go.
    due: Option<Instant>,
    then: Then,
}

enum Then {
    Sync { number: u64, kind: SyncKind },
    SyncDirectory { number: u64 },
    Answer(Reply),
}

/// What became of a request.
enum Outcome {
    Reply(Reply),
    Wait(Wait, Then),
    /// The kernel wants no answer.
    Nothing,
}

type Result<T> = std::result::Result<T, Errno>;

/// What is done to a request that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LetGo {
    /// It is carried out.
    Succeeding,
    /// It fails with EIO.
    Failing,
}

impl Core {
    pub(super) fn new(store: Store, rng: ChaCha12Rng) -> Self {
        Self {
            store,
            trouble: DiskTrouble::default(),
            stats: DiskStats::default(),
            held: Vec::new(),
            given: 0,
            rng,
            open: BTreeMap::new(),
            next_handle: 1,
        }
    }

    pub(super) fn state(&self) -> DiskState {
        DiskState { trouble: self.trouble, stats: self.stats, waiting: self.held.len() as u64 }
    }

    pub(super) fn set_trouble(&mut self, trouble: DiskTrouble) {
        self.trouble = trouble;
        self.given = 0;
        self.store.set_full(trouble.full);
    }

    /// Forgets what belonged to the kernel's side of a mount.
    pub(super) fn unplugged(&mut self) {
        self.held.clear();
        self.open.clear();
    }

    /// The answer to a request; `None` if it has to wait, or wants none.
    pub(super) fn answer(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let request = Request::parse(bytes).ok()?;
        let unique = request.unique;
        match self.serve(request) {
            Ok(Outcome::Reply(reply)) => Some(Reply::message(unique, Ok(reply))),
            Ok(Outcome::Nothing) => None,
            Err(errno) => Some(Reply::message(unique, Err(errno))),
            Ok(Outcome::Wait(wait, then)) => {
                let since = Instant::now();
                let due = match wait {
                    Wait::None => return Some(Reply::message(unique, self.carry_out(then))),
                    Wait::For(us) => Some(since + Duration::from_micros(us.into())),
                    Wait::Held => None,
                };
                let counter = match then {
                    Then::Answer(_) => &mut self.stats.reads_waited,
                    Then::Sync { .. } | Then::SyncDirectory { .. } => &mut self.stats.syncs_waited,
                };
                *counter += 1;
                self.held.push(Held { unique, since, due, then });
                None
            }
        }
    }

    /// When the next of the waiting requests is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.held.iter().filter_map(|held| held.due).min()
    }

    /// The answers that are due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Vec<u8>> {
        if self.held.is_empty() {
            return Vec::new();
        }
        let is_due = |held: &mut Held| held.due.is_some_and(|due| due <= now);
        let due: Vec<Held> = self.held.extract_if(.., is_due).collect();
        due.into_iter().map(|held| self.end(held, LetGo::Succeeding)).collect()
    }

    /// The answers to all that waits.
    pub(super) fn let_go(&mut self, how: LetGo) -> Vec<Vec<u8>> {
        let held = std::mem::take(&mut self.held);
        held.into_iter().map(|held| self.end(held, how)).collect()
    }

    fn end(&mut self, held: Held, how: LetGo) -> Vec<u8> {
        let waited = held.since.elapsed().as_micros() as u64;
        self.stats.waited_max_us = self.stats.waited_max_us.max(waited);
        let result = match how {
            LetGo::Succeeding => self.carry_out(held.then),
            LetGo::Failing => Err(Errno::EIO),
        };
        Reply::message(held.unique, result)
    }

    fn carry_out(&mut self, then: Then) -> Result<Reply> {
        match then {
            Then::Sync { number, kind } => self.store.sync(number, kind).map(|()| Reply::default()),
            Then::SyncDirectory { number } => {
                self.store.sync_directory(number);
                Ok(Reply::default())
            }
            Then::Answer(reply) => Ok(reply),
        }
    }

    fn serve(&mut self, request: Request<'_>) -> Result<Outcome> {
        if self.trouble.read_only && op::CHANGES.contains(&request.opcode) {
            self.stats.read_only += 1;
            return Err(Errno::EROFS);
        }
        match request.opcode {
            op::FORGET | op::BATCH_FORGET => self.forget(request).map(|()| Outcome::Nothing),
            op::READ => self.read(request),
            op::FSYNC | op::FSYNCDIR => self.sync(request),
            _ => self.serve_at_once(request).map(Outcome::Reply),
        }
    }

    fn serve_at_once(&mut self, mut request: Request<'_>) -> Result<Reply> {
        let (node, now) = (request.node, SystemTime::now());
        let maker = Maker { owner: request.owner, now };
        let body = &mut request.body;
        match request.opcode {
            op::LOOKUP => self.store.lookup(node, body.name()?).and_then(|number| self.entry(number)),
            op::GETATTR => self.attributes(node).map(|of| Reply::attributes(&of)),
            op::SETATTR => self.set_attributes(node, SetAttributes::parse(body, now)?, now),
            op::READLINK => match &self.store.inode(node)?.kind {
                Kind::Link(target) => Ok(Reply::bytes(target.as_bytes().to_vec())),
                _ => Err(Errno::EINVAL),
            },
            op::SYMLINK => {
                let (name, target) = (body.name()?, body.name()?.to_owned());
                self.make(node, name, Kind::Link(target), 0o777, maker)
            }
            op::MKNOD => {
                let (mode, device) = (body.u32()?, body.u32()?);
                body.skip(8)?;
                self.make(node, body.name()?, kind_of(mode, device), mode, maker)
            }
            op::MKDIR => {
                let mode = body.u32()?;
                body.skip(4)?;
                self.make(node, body.name()?, Kind::Directory, mode, maker)
            }
            op::UNLINK => self.store.unlink(node, body.name()?, now).map(|()| Reply::default()),
            op::RMDIR => self.store.remove_directory(node, body.name()?, now).map(|()| Reply::default()),
            op::RENAME => {
                let to = body.u64()?;
                let (old, new) = (body.name()?, body.name()?);
                self.rename((node, old), (to, new), 0, now)
            }
            op::LINK => {
                let number = body.u64()?;
                self.store.link(number, node, body.name()?, now)?;
                self.entry(number)
            }
            op::WRITE => self.write(request, now),
            op::STATFS => Ok(self.space()),
            op::INIT => {
                body.skip(8)?;
                Ok(Reply::init(body.u32()?, body.u32()?))
            }
            op::OPENDIR => self.open_directory(node),
            op::READDIR => {
                let (handle, offset, size) = (body.u64()?, body.u64()?, body.u32()?);
                let all = self.open.get(&handle).ok_or(Errno::EBADF)?;
                Ok(entries(all, offset, size as usize))
            }
            op::RELEASEDIR => {
                self.open.remove(&body.u64()?);
                Ok(Reply::default())
            }
            op::RELEASE | op::DESTROY => Ok(Reply::default()),
            op::CREATE => {
                body.skip(4)?;
                let mode = body.u32()?;
                body.skip(8)?;
                let kind = Kind::File(super::content::File::default());
                // What follows the entry is the answer to an open: no handle, no flags.
                self.make(node, body.name()?, kind, mode, maker).map(|entry| entry.zeros(16))
            }
            op::FALLOCATE => {
                body.skip(8)?;
                let range = (body.u64()?, body.u64()?);
                let mode = body.u32()? as i32;
                let done = self.store.allocate(node, mode, range, now);
                self.with_space(done).map(|()| Reply::default())
            }
            op::RENAME2 => {
                let (to, flags) = (body.u64()?, body.u32()?);
                body.skip(4)?;
                let (old, new) = (body.name()?, body.name()?);
                self.rename((node, old), (to, new), flags, now)
            }
            _ => Err(Errno::ENOSYS),
        }
    }

    // ---- names -----------------------------------------------------------------------------------------------------

    fn entry(&mut self, number: u64) -> Result<Reply> {
        let reply = Reply::entry(&self.attributes(number)?);
        self.store.reference(number);
        Ok(reply)
    }

    fn make(&mut self, node: u64, name: &OsStr, kind: Kind, mode: u32, maker: Maker) -> Result<Reply> {
        let number = self.store.make(node, name, kind, mode, maker)?;
        self.entry(number)
    }

    fn rename(
        &mut self,
        from: (u64, &OsStr),
        to: (u64, &OsStr),
        flags: u32,
        now: SystemTime,
    ) -> Result<Reply> {
        let existing = match flags {
            0 => Existing::Replace,
            libc::RENAME_NOREPLACE => Existing::Refuse,
            libc::RENAME_EXCHANGE => Existing::Exchange,
            _ => return Err(Errno::EINVAL),
        };
        self.store.rename(from, to, existing, now).map(|()| Reply::default())
    }

    fn open_directory(&mut self, node: u64) -> Result<Reply> {
        let mut all: Vec<Entry> =
            [".", ".."].iter().map(|name| (OsString::from(name), node, libc::S_IFDIR)).collect();
        for (name, number) in self.store.entries(node) {
            let kind = type_bits(&self.store.inode(number)?.kind);
            all.push((name, number, kind));
        }
        let handle = self.next_handle;
        self.next_handle += 1;
        self.open.insert(handle, all);
        Ok(Reply::default().u64(handle).zeros(8))
    }

    fn forget(&mut self, mut request: Request<'_>) -> Result<()> {
        if request.opcode == op::FORGET {
            self.store.forget(request.node, request.body.u64()?);
            return Ok(());
        }
        let count = request.body.u32()?;
        request.body.skip(4)?;
        for _ in 0..count {
            self.store.forget(request.body.u64()?, request.body.u64()?);
        }
        Ok(())
    }

    fn attributes(&self, number: u64) -> Result<Attributes> {
        let inode = self.store.inode(number)?;
        let (size, pages, device) = match &inode.kind {
            Kind::File(file) => (file.now().size(), file.pages(), 0),
            Kind::Directory => (PAGE, 1, 0),
            Kind::Link(target) => (target.len() as u64, 0, 0),
            Kind::Special(_, device) => (0, 0, *device),
        };
        Ok(Attributes {
            number,
            size,
            pages,
            mode: type_bits(&inode.kind) | inode.mode,
            links: self.store.links(number),
            owner: inode.owner,
            device,
            modified: inode.modified,
            changed: inode.changed,
        })
    }

    fn set_attributes(&mut self, node: u64, set: SetAttributes, now: SystemTime) -> Result<Reply> {
        if let Some(size) = set.size {
            self.store.truncate(node, size, now)?;
        }
        self.store.change_inode(node, |inode| {
            inode.mode = set.mode.map_or(inode.mode, |mode| mode & 0o7777);
            inode.owner = (set.uid.unwrap_or(inode.owner.0), set.gid.unwrap_or(inode.owner.1));
            inode.modified = set.modified.unwrap_or(inode.modified);
            inode.changed = now;
        })?;
        self.attributes(node).map(|of| Reply::attributes(&of))
    }

    fn space(&self) -> Reply {
        let (capacity, used) = self.store.space();
        let (all, free) = (capacity / PAGE, capacity.saturating_sub(used) / PAGE);
        let free = if self.trouble.full { 0 } else { free };
        Reply::default()
            .u64(all)
            .u64(free)
            .u64(free)
            .u64(1 << 20)
            .u64(1 << 19)
            .u32(PAGE as u32)
            .u32(255)
            .u32(PAGE as u32)
            .zeros(28)
    }

    // ---- content ---------------------------------------------------------------------------------------------------

    fn write(&mut self, mut request: Request<'_>, now: SystemTime) -> Result<Reply> {
        let body = &mut request.body;
        body.skip(8)?;
        let (offset, size) = (body.u64()?, body.u32()?);
        body.skip(20)?;
        let data = body.take(size as usize)?;
        self.stats.writes += 1;
        if self.fails(self.trouble.write_error_ppm) {
            self.stats.write_errors += 1;
            return Err(Errno::EIO);
        }
        let done = if size > 0 && chance_if(self.trouble.flip_ppm, &mut self.rng) {
            let mut wrong = data.to_vec();
            let at = self.rng.random_range(0..wrong.len());
            wrong[at] ^= 1 << self.rng.random_range(0..8);
            self.stats.flipped += 1;
            self.store.write(request.node, offset, &wrong, now)
        } else {
            self.store.write(request.node, offset, data, now)
        };
        self.with_space(done)?;
        Ok(Reply::default().u32(size).zeros(4))
    }

    /// Counts a lack of space.
    fn with_space(&mut self, done: Result<()>) -> Result<()> {
        if done == Err(Errno::ENOSPC) {
            self.stats.no_space += 1;
        }
        done
    }

    fn read(&mut self, mut request: Request<'_>) -> Result<Outcome> {
        request.body.skip(8)?;
        let (offset, size) = (request.body.u64()?, request.body.u32()?);
        self.stats.reads += 1;
        if self.fails(self.trouble.read_error_ppm) {
            self.stats.read_errors += 1;
            return Err(Errno::EIO);
        }
        let data = self.store.read(request.node, offset, size.into())?;
        Ok(Outcome::Wait(self.trouble.read_wait, Then::Answer(Reply::bytes(data))))
    }

    fn sync(&mut self, mut request: Request<'_>) -> Result<Outcome> {
        request.body.skip(8)?;
        let data_only = request.body.u32()? & 1 != 0;
        self.stats.syncs += 1;
        if self.fails(self.trouble.sync_error_ppm) {
            self.stats.sync_errors += 1;
            self.store.sync_failed(request.node);
            return Err(Errno::EIO);
        }
        let number = request.node;
        let then = match request.opcode {
            op::FSYNCDIR => Then::SyncDirectory { number },
            _ => Then::Sync { number, kind: if data_only { SyncKind::Data } else { SyncKind::Full } },
        };
        Ok(Outcome::Wait(self.trouble.sync_wait, then))
    }

    /// Whether this request is one of those that fail.
    fn fails(&mut self, ppm: u32) -> bool {
        let left = self.trouble.errors_max == 0 || self.given < self.trouble.errors_max;
        let fails = left && chance_if(ppm, &mut self.rng);
        self.given += u32::from(fails);
        fails
    }
}

/// Draws only where there is something to draw.
fn chance_if(ppm: u32, rng: &mut dyn Rng) -> bool {
    ppm > 0 && chance(ppm, rng)
}

fn kind_of(mode: u32, device: u32) -> Kind {
    match mode & libc::S_IFMT {
        libc::S_IFREG | 0 => Kind::File(super::content::File::default()),
        other => Kind::Special(other, device),
    }
}

fn type_bits(kind: &Kind) -> u32 {
    match kind {
        Kind::File(_) => libc::S_IFREG,
        Kind::Directory => libc::S_IFDIR,
        Kind::Link(_) => libc::S_IFLNK,
        Kind::Special(bits, _) => *bits,
    }
}
