//! A whole disk as a value: files, names, attributes, and what a power failure leaves of them.
//!
//! Invariant: the operations mean what the system calls of the same name mean on a local file system; content becomes
//! durable by [`Store::sync`] alone, names as [`Metadata`] says. Attributes (mode, owner, times) and the targets of
//! symbolic links are not part of the model of power failures: they are durable with the name. Pure: the time and random
//! numbers are handed in. Deliberately lacks permissions, which the kernel checks, and access times.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::errno::Errno;
use rand::Rng;

use super::content::{Content, File, Lost, PAGE, Survival};
use super::names::{Change, Metadata, Names};

/// The number of the root directory, as FUSE wants it.
pub(crate) const ROOT: u64 = 1;

/// What a name leads to.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    File(File),
    Directory,
    Link(OsString),
    /// A socket, a FIFO or a device: type bits of the mode, and the number of the device.
    Special(u32, u32),
}

#[derive(Clone, Debug)]
pub(crate) struct Inode {
    pub(crate) kind: Kind,
    /// Permission bits.
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) names: u32,
    pub(crate) modified: SystemTime,
    pub(crate) changed: SystemTime,
    /// How many references the kernel holds.
    references: u64,
}

/// Who makes a file, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maker {
    pub(crate) owner: (u32, u32),
    pub(crate) now: SystemTime,
}

/// How much a sync makes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncKind {
    /// fsync.
    Full,
    /// fdatasync.
    Data,
}

/// What a rename does about a name that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    Replace,
    Refuse,
    Exchange,
}

/// A disk.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    model: Metadata,
    inodes: BTreeMap<u64, Inode>,
    names: Names,
    next: u64,
    /// How many pages there may be, and are.
    capacity: u64,
    used: u64,
    full: bool,
    /// Files without a durable name: a sync of data alone has to write their names too.
    fresh: BTreeSet<u64>,
    /// Files that lost their last name.
    orphans: BTreeSet<u64>,
}

type Result<T> = std::result::Result<T, Errno>;

impl Store {
    /// An empty disk of `capacity` bytes.
    pub(crate) fn new(model: Metadata, capacity: u64, maker: Maker) -> Self {
        let mut store = Self {
            model,
            inodes: BTreeMap::new(),
            names: Names::with_root(ROOT),
            next: ROOT + 1,
            capacity: capacity / PAGE,
            used: 0,
            full: false,
            fresh: BTreeSet::new(),
            orphans: BTreeSet::new(),
        };
        store.inodes.insert(ROOT, inode(Kind::Directory, 0o700, maker));
        store
    }

    /// Bytes that may be occupied, and that are.
    pub(crate) fn space(&self) -> (u64, u64) {
        (self.capacity * PAGE, self.used * PAGE)
    }

    pub(crate) fn inode(&self, number: u64) -> Result<&Inode> {
        self.inodes.get(&number).ok_or(Errno::ENOENT)
    }

    /// The number of links that stat shows.
    pub(crate) fn links(&self, number: u64) -> u32 {
        let Some(inode) = self.inodes.get(&number) else { return 0 };
        let is_directory = |to: u64| matches!(self.inodes.get(&to).map(|to| &to.kind), Some(Kind::Directory));
        match inode.kind {
            Kind::Directory => {
                2 + self.names.entries(number).filter(|(_, to)| is_directory(*to)).count() as u32
            }
            _ => inode.names,
        }
    }

    // ---- names -----------------------------------------------------------------------------------------------------

    pub(crate) fn lookup(&self, directory: u64, name: &OsStr) -> Result<u64> {
        self.names.find(directory, name).ok_or(Errno::ENOENT)
    }

    pub(crate) fn entries(&self, directory: u64) -> Vec<(OsString, u64)> {
        self.names.entries(directory).map(|(name, to)| (name.clone(), to)).collect()
    }

    pub(crate) fn make(
        &mut self,
        directory: u64,
        name: &OsStr,
        kind: Kind,
        mode: u32,
        maker: Maker,
    ) -> Result<u64> {
        self.living_directory(directory)?;
        if self.names.find(directory, name).is_some() {
            return Err(Errno::EEXIST);
        }
        let number = self.next;
        self.next += 1;
        self.inodes.insert(number, inode(kind, mode & 0o7777, maker));
        self.fresh.insert(number);
        self.names.change(vec![change(directory, name, Some(number))]);
        self.touch(directory, maker.now);
        Ok(number)
    }

    pub(crate) fn link(&mut self, number: u64, directory: u64, name: &OsStr, now: SystemTime) -> Result<()> {
        self.living_directory(directory)?;
        if self.names.find(directory, name).is_some() {
            return Err(Errno::EEXIST);
        }
        let inode = self.inodes.get_mut(&number).ok_or(Errno::ENOENT)?;
        if matches!(inode.kind, Kind::Directory) {
            return Err(Errno::EPERM);
        }
        inode.names += 1;
        inode.changed = now;
        self.orphans.remove(&number);
        self.names.change(vec![change(directory, name, Some(number))]);
        self.touch(directory, now);
        Ok(())
    }

    pub(crate) fn unlink(&mut self, directory: u64, name: &OsStr, now: SystemTime) -> Result<()> {
        let number = self.lookup(directory, name)?;
        if matches!(self.inode(number)?.kind, Kind::Directory) {
            return Err(Errno::EISDIR);
        }
        self.names.change(vec![change(directory, name, None)]);
        self.drop_name(number, now);
        self.touch(directory, now);
        Ok(())
    }

    pub(crate) fn remove_directory(&mut self, directory: u64, name: &OsStr, now: SystemTime) -> Result<()> {
        let number = self.lookup(directory, name)?;
        self.empty_directory(number)?;
        self.names.change(vec![change(directory, name, None)]);
        self.drop_name(number, now);
        self.touch(directory, now);
        Ok(())
    }

    pub(crate) fn rename(
        &mut self,
        from: (u64, &OsStr),
        to: (u64, &OsStr),
        existing: Existing,
        now: SystemTime,
    ) -> Result<()> {
        let moved = self.lookup(from.0, from.1)?;
        self.living_directory(to.0)?;
        let target = self.names.find(to.0, to.1);
        match (existing, target) {
            (Existing::Refuse, Some(_)) => return Err(Errno::EEXIST),
            (Existing::Exchange, None) => return Err(Errno::ENOENT),
            (Existing::Exchange, Some(other)) => {
                self.names.change(vec![change(from.0, from.1, Some(other)), change(to.0, to.1, Some(moved))]);
            }
            // Two names of one file: POSIX wants both to stay.
            (_, Some(other)) if other == moved => return Ok(()),
            (_, target) => {
                if let Some(other) = target {
                    self.replaceable(moved, other)?;
                }
                self.names.change(vec![change(from.0, from.1, None), change(to.0, to.1, Some(moved))]);
                if let Some(other) = target {
                    self.drop_name(other, now);
                }
            }
        }
        self.touch(from.0, now);
        self.touch(to.0, now);
        Ok(())
    }

    fn replaceable(&self, moved: u64, other: u64) -> Result<()> {
        let is_directory = |number| Ok(matches!(self.inode(number)?.kind, Kind::Directory));
        match (is_directory(moved)?, is_directory(other)?) {
            (true, true) => self.empty_directory(other),
            (true, false) => Err(Errno::ENOTDIR),
            (false, true) => Err(Errno::EISDIR),
            (false, false) => Ok(()),
        }
    }

    fn empty_directory(&self, number: u64) -> Result<()> {
        if !matches!(self.inode(number)?.kind, Kind::Directory) {
            return Err(Errno::ENOTDIR);
        }
        if self.names.entries(number).next().is_some() { Err(Errno::ENOTEMPTY) } else { Ok(()) }
    }

    /// A directory that was removed while somebody had it open takes no new names.
    fn living_directory(&self, number: u64) -> Result<()> {
        let inode = self.inode(number)?;
        match inode.kind {
            Kind::Directory if inode.names > 0 => Ok(()),
            Kind::Directory => Err(Errno::ENOENT),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn touch(&mut self, number: u64, now: SystemTime) {
        if let Some(inode) = self.inodes.get_mut(&number) {
            inode.modified = now;
            inode.changed = now;
        }
    }

    fn drop_name(&mut self, number: u64, now: SystemTime) {
        if let Some(inode) = self.inodes.get_mut(&number) {
            inode.names -= 1;
            inode.changed = now;
            if inode.names == 0 {
                self.orphans.insert(number);
            }
        }
    }

    // ---- content ---------------------------------------------------------------------------------------------------

    fn file(&self, number: u64) -> Result<&File> {
        match &self.inode(number)?.kind {
            Kind::File(file) => Ok(file),
            Kind::Directory => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Changes a file and keeps count of the pages.
    fn change_file<T>(
        &mut self,
        number: u64,
        now: SystemTime,
        act: impl FnOnce(&mut File) -> T,
    ) -> Result<T> {
        let inode = self.inodes.get_mut(&number).ok_or(Errno::ENOENT)?;
        let Kind::File(file) = &mut inode.kind else { return Err(Errno::EINVAL) };
        let before = file.pages();
        let result = act(file);
        self.used = self.used + file.pages() - before;
        inode.modified = now;
        inode.changed = now;
        Ok(result)
    }

    pub(crate) fn read(&self, number: u64, offset: u64, length: u64) -> Result<Vec<u8>> {
        Ok(self.file(number)?.now().read(offset, length))
    }

    pub(crate) fn write(&mut self, number: u64, offset: u64, data: &[u8], now: SystemTime) -> Result<()> {
        let growth = self.file(number)?.growth(offset, data.len() as u64);
        self.room(growth)?;
        let inode = self.inodes.get_mut(&number).ok_or(Errno::ENOENT)?;
        let Kind::File(file) = &mut inode.kind else { return Err(Errno::EINVAL) };
        file.write(offset, data);
        self.used += growth;
        inode.modified = now;
        inode.changed = now;
        Ok(())
    }

    pub(crate) fn truncate(&mut self, number: u64, size: u64, now: SystemTime) -> Result<()> {
        self.change_file(number, now, |file| file.truncate(size))
    }

    /// fallocate; the bits of `mode` are those of the system call.
    pub(crate) fn allocate(
        &mut self,
        number: u64,
        mode: i32,
        range: (u64, u64),
        now: SystemTime,
    ) -> Result<()> {
        let (offset, length) = range;
        let end = offset.checked_add(length).ok_or(Errno::EFBIG)?;
        let keep_size = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
        match mode & !libc::FALLOC_FL_KEEP_SIZE {
            0 => {}
            libc::FALLOC_FL_PUNCH_HOLE if keep_size => {
                return self.change_file(number, now, |file| file.clear(offset, length));
            }
            libc::FALLOC_FL_ZERO_RANGE => self.change_file(number, now, |file| file.clear(offset, length))?,
            _ => return Err(Errno::EOPNOTSUPP),
        }
        self.room(self.file(number)?.growth_reserving(end))?;
        self.change_file(number, now, |file| file.reserve(end, if keep_size { 0 } else { end }))
    }

    fn room(&self, pages: u64) -> Result<()> {
        if pages > 0 && (self.full || self.used + pages > self.capacity) {
            Err(Errno::ENOSPC)
        } else {
            Ok(())
        }
    }

    pub(crate) fn change_inode(&mut self, number: u64, act: impl FnOnce(&mut Inode)) -> Result<()> {
        self.inodes.get_mut(&number).map(act).ok_or(Errno::ENOENT)
    }

    // ---- what is durable -------------------------------------------------------------------------------------------

    /// fsync or fdatasync of a file.
    pub(crate) fn sync(&mut self, number: u64, kind: SyncKind) -> Result<()> {
        let inode = self.inodes.get_mut(&number).ok_or(Errno::ENOENT)?;
        let mut names = kind == SyncKind::Full || self.fresh.contains(&number);
        if let Kind::File(file) = &mut inode.kind {
            names |= file.length_is_new();
            file.sync();
        }
        if names && self.model == Metadata::Journal {
            self.commit();
        }
        Ok(())
    }

    /// A sync that failed. Names stay pending: a journal that cannot be written stops the disk for good, and this does not.
    pub(crate) fn sync_failed(&mut self, number: u64) {
        if let Some(Inode { kind: Kind::File(file), .. }) = self.inodes.get_mut(&number) {
            file.sync_failed();
        }
    }

    /// All regular files.
    pub(crate) fn files(&self) -> Vec<u64> {
        let is_file = |inode: &Inode| matches!(inode.kind, Kind::File(_));
        self.inodes.iter().filter(|(_, inode)| is_file(inode)).map(|(number, _)| *number).collect()
    }

    /// The regular files that hold anything, with their paths from the root, in the order of these.
    pub(crate) fn paths(&self) -> Vec<(PathBuf, u64)> {
        let (mut found, mut left) = (Vec::new(), vec![(PathBuf::new(), ROOT)]);
        while let Some((path, directory)) = left.pop() {
            for (name, number) in self.names.entries(directory) {
                let path = path.join(name);
                match self.inodes.get(&number).map(|inode| &inode.kind) {
                    Some(Kind::Directory) => left.push((path, number)),
                    Some(Kind::File(file)) if file.now().size() > 0 => found.push((path, number)),
                    _ => {}
                }
            }
        }
        found.sort();
        found
    }

    /// Changes a file behind everybody's back.
    pub(crate) fn damage<T>(&mut self, number: u64, act: impl FnOnce(&mut File) -> T) -> Result<T> {
        let now = self.inode(number)?.modified;
        self.change_file(number, now, act)
    }

    /// Removes the file of this path.
    pub(crate) fn delete(&mut self, path: &Path) -> Result<()> {
        let mut directory = ROOT;
        for part in path.parent().into_iter().flatten() {
            directory = self.lookup(directory, part)?;
        }
        let now = self.inode(directory)?.modified;
        self.unlink(directory, path.file_name().ok_or(Errno::EINVAL)?, now)?;
        self.sync_all();
        Ok(())
    }

    /// Every file's path and bytes, to compare disks with.
    pub(crate) fn contents(&self) -> Vec<(PathBuf, Content)> {
        let content = |number| self.file(number).map(|file| file.now().clone()).unwrap_or_default();
        self.paths().into_iter().map(|(path, number)| (path, content(number))).collect()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Whether nothing may grow any more.
    pub(crate) fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// fsync of a directory.
    pub(crate) fn sync_directory(&mut self, number: u64) {
        match self.model {
            Metadata::Journal => self.commit(),
            Metadata::Strict => {
                self.names.sync_directory(number);
                self.collect();
            }
        }
    }

    /// Makes everything durable, as an orderly unmount does.
    pub(crate) fn sync_all(&mut self) {
        for inode in self.inodes.values_mut() {
            if let Kind::File(file) = &mut inode.kind {
                file.sync();
            }
        }
        self.commit();
    }

    fn commit(&mut self) {
        self.names.sync();
        self.fresh.clear();
        self.collect();
    }

    /// Goes back to what is durable, and to what survives beside it. The kernel has forgotten all its references.
    pub(crate) fn power_failure(&mut self, survival: Survival, rng: &mut dyn Rng) -> Lost {
        let mut lost = Lost::default();
        self.names.power_failure(self.model, survival, rng, &mut lost);
        // Files without a name now are lost with it, and their pages are not worth a mention.
        self.forget_unreachable();
        for inode in self.inodes.values_mut() {
            if let Kind::File(file) = &mut inode.kind {
                file.power_failure(survival, rng, &mut lost);
            }
        }
        self.count_pages();
        lost
    }

    /// What is left after the kernel has let go of everything: files without a name are gone.
    pub(crate) fn unmounted(&mut self) {
        self.forget_unreachable();
        // A file that only a power failure could bring back is gone with the chance of one.
        self.names.sync();
        self.fresh.clear();
        self.count_pages();
    }

    fn forget_unreachable(&mut self) {
        let reachable = self.names.reachable(ROOT);
        self.names.retain(&reachable);
        self.inodes.retain(|number, _| reachable.contains_key(number));
        for (number, inode) in &mut self.inodes {
            inode.references = 0;
            inode.names = reachable.get(number).copied().unwrap_or(0);
        }
        self.orphans.clear();
        self.fresh.clear();
    }

    fn count_pages(&mut self) {
        let pages = self.inodes.values().map(|inode| match &inode.kind {
            Kind::File(file) => file.pages(),
            _ => 0,
        });
        self.used = pages.sum();
    }

    // ---- the kernel's references -----------------------------------------------------------------------------------

    /// The kernel was told of this file.
    pub(crate) fn reference(&mut self, number: u64) {
        if let Some(inode) = self.inodes.get_mut(&number) {
            inode.references += 1;
        }
    }

    /// The kernel has forgotten so many references.
    pub(crate) fn forget(&mut self, number: u64, count: u64) {
        if let Some(inode) = self.inodes.get_mut(&number) {
            inode.references = inode.references.saturating_sub(count);
            if inode.references == 0 && self.orphans.contains(&number) {
                self.collect();
            }
        }
    }

    /// Frees the files that nobody can ever see again.
    fn collect(&mut self) {
        if self.orphans.is_empty() {
            return;
        }
        let recoverable = self.names.recoverable();
        let gone = |number: &u64| {
            !recoverable.contains(number) && self.inodes.get(number).is_none_or(|inode| inode.references == 0)
        };
        let gone: Vec<u64> = self.orphans.iter().copied().filter(gone).collect();
        for number in gone {
            self.orphans.remove(&number);
            self.fresh.remove(&number);
            if let Some(Inode { kind: Kind::File(file), .. }) = self.inodes.remove(&number) {
                self.used -= file.pages();
            }
        }
    }
}

fn inode(kind: Kind, mode: u32, maker: Maker) -> Inode {
    Inode { kind, mode, owner: maker.owner, names: 1, modified: maker.now, changed: maker.now, references: 0 }
}

fn change(directory: u64, name: &OsStr, to: Option<u64>) -> Change {
    Change { directory, name: name.to_owned(), to }
}
