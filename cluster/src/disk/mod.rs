//! Disks in memory: each node's data directory on a file system of its own that can fail like a disk.
//!
//! A disk knows what was written and what was made durable, so that the power can fail. It is served to the kernel by a
//! thread of the harness through `/dev/fuse`, and mounted within the sandbox alone.
//!
//! Invariant: what a program was told is durable survives every power failure, and what it was not told may or may not;
//! no other part of the harness ever writes to the disk of a running node.
//! Deliberately lacks: the time that a real disk takes, the kernel's own crash (its page cache outlives a killed program,
//! and goes only with [`DiskEdit::PowerFailure`]), and attributes that lag behind.
//!
//! * [`content`]: the bytes of one file, now and after a power failure. Pure.
//! * [`names`]: directories, and when names become durable. Pure.
//! * [`store`]: a whole disk as a value. Pure.
//! * [`trouble`]: what can be wrong with a disk in use, and its counters.
//! * [`wire`], [`serve`], [`server`]: the protocol, one request, the mount and its thread.

mod content;
mod names;
mod serve;
mod server;
mod store;
#[cfg(test)]
mod tests;
mod trouble;
mod wire;

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};

pub use content::{Lost, Survival};
pub use names::Metadata;
pub use trouble::{DiskState, DiskStats, DiskTrouble, Wait};

use serve::{Core, LetGo};
use server::{Server, Shared, lock};
use store::{Kind, Maker, ROOT, Store};

/// How much a disk holds.
const CAPACITY: u64 = 1 << 30;
/// How often a disk that may be rolled back is remembered, and for how long.
const REMEMBER_EVERY: Duration = Duration::from_millis(250);
const REMEMBER_FOR: Duration = Duration::from_secs(30);

/// What is done to the disk of a node that is down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskEdit {
    /// What was not made durable is lost, all or in part.
    PowerFailure {
        /// What survives of it.
        survival: Survival,
    },
    /// Everything is as it was a while ago.
    Rollback {
        /// How long ago, in milliseconds.
        age_ms: u64,
    },
    /// Bits of one file change.
    FlipBits {
        /// How many.
        bits: u32,
    },
    /// The end of one file is cut off.
    Truncate {
        /// How many bytes, at most.
        bytes: u64,
    },
    /// One file is removed.
    DeleteFile,
    /// Everything is removed.
    Wipe,
}

/// Whether disks can be made here; the reason and its remedy if not. Called inside the sandbox.
pub fn available() -> Result<(), String> {
    server::open_device().map(drop).map_err(|error| {
        let fix = match error.kind() {
            io::ErrorKind::PermissionDenied => "sudo chmod 666 /dev/fuse",
            _ => "sudo modprobe fuse; inside a container, start it with `--device /dev/fuse`",
        };
        format!("this host does not let this user open /dev/fuse ({error}), on which disks that fail are built\n  to fix it: {fix}")
    })
}

/// What [`trial`] found.
#[derive(Clone, Debug)]
pub struct Trial {
    /// How long each small write took that was made durable, in order of size.
    pub syncs: Vec<Duration>,
    /// How long a power failure took, with a new mount.
    pub power_failure: Duration,
}

/// Mounts a disk over an empty directory, writes and syncs so many times, and lets the power fail. `Err` says what did not
/// work. Called inside the sandbox.
pub fn trial(place: &Path, rounds: usize) -> Result<Trial, String> {
    available()?;
    let text = |error: io::Error| error.to_string();
    let disk = Disk::mount(place, Metadata::Journal, 1).map_err(text)?;
    let path = place.join("file");
    let mut file = fs::File::create(&path).map_err(text)?;
    let mut syncs = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let begun = Instant::now();
        file.write_all(&[1; 256]).and_then(|()| file.sync_data()).map_err(text)?;
        syncs.push(begun.elapsed());
    }
    file.write_all(&[2; 256]).map_err(text)?;
    drop(file);
    let begun = Instant::now();
    let edit = DiskEdit::PowerFailure { survival: Survival::Nothing };
    disk.edit(&edit, 1).map_err(|error| error.to_string())?;
    let power_failure = begun.elapsed();
    let left = fs::read(&path).map_err(text)?;
    disk.unplug();
    syncs.sort();
    if left.len() == rounds * 256 && left.iter().all(|byte| *byte == 1) {
        Ok(Trial { syncs, power_failure })
    } else {
        Err(format!(
            "after a power failure {} bytes were left of {} that were synced",
            left.len(),
            rounds * 256
        ))
    }
}

/// The disk of one node.
pub(crate) struct Disk {
    place: PathBuf,
    core: Shared,
    server: Mutex<Option<Server>>,
    past: Mutex<VecDeque<(Instant, Store)>>,
    model: Metadata,
}

impl Disk {
    /// An empty disk, mounted over a directory.
    pub(crate) fn mount(place: &Path, model: Metadata, seed: u64) -> io::Result<Self> {
        let owner = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let maker = Maker { owner, now: SystemTime::now() };
        let store = Store::new(model, CAPACITY, maker);
        let core = Arc::new(Mutex::new(Core::new(store, ChaCha12Rng::seed_from_u64(seed))));
        let server = Mutex::new(Some(Server::start(&core, place)?));
        Ok(Self { place: place.to_owned(), core, server, past: Mutex::default(), model })
    }

    /// How it is.
    pub(crate) fn state(&self) -> DiskState {
        lock(&self.core).state()
    }

    /// Changes what is wrong with it. What has waited is let go where nothing has to wait any more.
    pub(crate) fn set_trouble(&self, trouble: DiskTrouble) -> Instant {
        let server = self.server();
        let (answers, files) = {
            let mut core = lock(&self.core);
            core.set_trouble(trouble);
            let answers = if trouble.sync_wait == Wait::None && trouble.read_wait == Wait::None {
                core.let_go(LetGo::Succeeding)
            } else {
                Vec::new()
            };
            let reads_matter = trouble.read_error_ppm > 0 || trouble.read_wait != Wait::None;
            (answers, if reads_matter { core.store.files() } else { Vec::new() })
        };
        let effective = Instant::now();
        if let Some(server) = server.as_ref() {
            server.send(&answers);
            // What the kernel has cached would be read without asking the disk.
            server.send(&files.into_iter().map(wire::forget_cache_of).collect::<Vec<_>>());
        }
        effective
    }

    /// Fails all that waits, so that a process that was killed can end.
    pub(crate) fn fail_waiting(&self) {
        let server = self.server();
        let answers = lock(&self.core).let_go(LetGo::Failing);
        if let Some(server) = server.as_ref() {
            server.send(&answers);
        }
    }

    /// Remembers how it is now, for [`DiskEdit::Rollback`].
    pub(crate) fn remember(&self) {
        let now = Instant::now();
        let store = lock(&self.core).store.clone();
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        past.retain(|(at, _)| now.duration_since(*at) < REMEMBER_FOR);
        past.push_back((now, store));
    }

    /// How often [`Disk::remember`] wants to be called.
    pub(crate) fn remember_interval() -> Duration {
        REMEMBER_EVERY
    }

    /// Edits the disk of a node that is down, with fresh caches afterwards. Returns the proof.
    pub(crate) fn edit(&self, edit: &DiskEdit, seed: u64) -> Result<String, EditError> {
        let mut server = self.server();
        drop(server.take());
        let proof = {
            let mut core = lock(&self.core);
            core.unplugged();
            self.change(&mut core.store, edit, &mut ChaCha12Rng::seed_from_u64(seed))
        };
        *server = Some(Server::start(&self.core, &self.place).map_err(EditError::Mount)?);
        proof
    }

    fn change(&self, store: &mut Store, edit: &DiskEdit, rng: &mut dyn Rng) -> Result<String, EditError> {
        if !matches!(edit, DiskEdit::PowerFailure { .. }) {
            // A program that was merely killed loses nothing that it wrote.
            store.unmounted();
            store.sync_all();
        }
        match edit {
            DiskEdit::PowerFailure { survival } => Ok(store.power_failure(*survival, rng).to_string()),
            DiskEdit::Rollback { age_ms } => self.roll_back(store, Duration::from_millis(*age_ms)),
            DiskEdit::Wipe => {
                let files = store.files().len();
                let owner = store.inode(ROOT).map_or((0, 0), |root| root.owner);
                *store = Store::new(self.model, CAPACITY, Maker { owner, now: SystemTime::now() });
                Ok(format!("{files} files removed"))
            }
            DiskEdit::FlipBits { bits } => damage(store, rng, |file, rng| {
                for _ in 0..*bits {
                    file.flip(rng.random_range(0..file.now().size()), rng.random_range(0..8));
                }
                format!("{bits} bits flipped")
            }),
            DiskEdit::Truncate { bytes } => damage(store, rng, |file, _| {
                let size = file.now().size();
                file.truncate(size.saturating_sub(*bytes));
                file.sync();
                format!("{} of {size} bytes cut off", size.min(*bytes))
            }),
            DiskEdit::DeleteFile => {
                let (path, _) = pick(store, rng)?;
                store.delete(&path).map_err(|errno| EditError::Nothing(errno.to_string()))?;
                Ok(format!("{} deleted", path.display()))
            }
        }
    }

    fn roll_back(&self, store: &mut Store, age: Duration) -> Result<String, EditError> {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let position = past.iter().rposition(|(at, _)| now.duration_since(*at) >= age);
        let position =
            position.ok_or_else(|| EditError::Nothing(format!("nothing is remembered from {age:?} ago")))?;
        let age = now.duration_since(past[position].0);
        let before = store.contents();
        let full = store.is_full();
        *store = past[position].1.clone();
        store.set_full(full);
        // As a copy of the disk at that moment would be: with what was durable then.
        store.power_failure(Survival::Nothing, &mut ChaCha12Rng::seed_from_u64(0));
        past.truncate(position + 1);
        if store.contents() == before {
            return Err(EditError::Nothing(format!("nothing has changed in the last {age:.1?}")));
        }
        Ok(format!("rolled back by {age:.1?}"))
    }

    /// Makes everything durable.
    pub(crate) fn make_durable(&self) {
        lock(&self.core).store.sync_all();
    }

    /// Unmounts it. Whoever still uses it gets errors.
    pub(crate) fn unplug(&self) {
        drop(self.server().take());
    }

    /// Unmounts it and writes what is on it into the directory that it was mounted over.
    pub(crate) fn copy_out(&self) -> io::Result<()> {
        let mut server = self.server();
        if server.take().is_none() {
            return Ok(());
        }
        let mut core = lock(&self.core);
        core.unplugged();
        write_directory(&core.store, ROOT, &self.place)
    }

    fn server(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a disk was not edited.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    /// There was nothing that this could have changed.
    #[error("{0}")]
    Nothing(String),
    /// The disk could not be mounted again.
    #[error("the disk could not be mounted again: {0}")]
    Mount(io::Error),
}

/// One file with something in it.
fn pick(store: &Store, rng: &mut dyn Rng) -> Result<(PathBuf, u64), EditError> {
    let mut files = store.paths();
    if files.is_empty() {
        return Err(EditError::Nothing("no file on the disk has anything in it".to_owned()));
    }
    let position = rng.random_range(0..files.len());
    Ok(files.swap_remove(position))
}

fn damage(
    store: &mut Store,
    rng: &mut dyn Rng,
    act: impl FnOnce(&mut content::File, &mut dyn Rng) -> String,
) -> Result<String, EditError> {
    let (path, number) = pick(store, rng)?;
    let done = store.damage(number, |file| act(file, rng));
    done.map(|what| format!("{}: {what}", path.display()))
        .map_err(|errno| EditError::Nothing(errno.to_string()))
}

/// Writes a directory of a disk to a real one. Holes stay holes, so that a file costs what it holds.
fn write_directory(store: &Store, number: u64, place: &Path) -> io::Result<()> {
    for (name, entry) in store.entries(number) {
        let Ok(inode) = store.inode(entry) else { continue };
        let path = place.join(name);
        match &inode.kind {
            Kind::Directory => {
                fs::create_dir_all(&path)?;
                write_directory(store, entry, &path)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(inode.mode | 0o700))?;
            }
            Kind::File(content) => {
                let file = fs::File::create(&path)?;
                file.set_len(content.now().size())?;
                for (offset, bytes) in content.now().extents() {
                    file.write_all_at(bytes, offset)?;
                }
                file.set_permissions(fs::Permissions::from_mode(inode.mode))?;
            }
            Kind::Link(target) => symlink(target, &path)?,
            // A socket of a process that is gone.
            Kind::Special(..) => {}
        }
    }
    Ok(())
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == Lost::default() {
            return write!(f, "everything was durable, so nothing was lost");
        }
        let Lost { pages, torn, kept, names, names_kept } = self;
        write!(f, "of what was not durable {pages} pages and {names} names were lost")?;
        if torn + kept + names_kept > 0 {
            write!(f, ", {torn} pages torn, {kept} pages and {names_kept} names kept")?;
        }
        Ok(())
    }
}
