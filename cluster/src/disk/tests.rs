//! Disks against a deliberately dumb twin that remembers every state a file and the names ever had.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::time::UNIX_EPOCH;

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

use super::content::{File, PAGE, SECTOR};
use super::names::Metadata;
use super::store::{Existing, Kind, Maker, ROOT, Store, SyncKind};
use super::*;

const MAKER: Maker = Maker { owner: (0, 0), now: UNIX_EPOCH };
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// No file of these tests grows beyond it.
const SIZE_MAX: usize = 3 * PAGE as usize;

/// A directory (the root or the one in it) and a name.
type Name = (bool, usize);

#[derive(Clone, Debug)]
enum Step {
    Create(Name),
    Write(Name, usize, usize, u8),
    Truncate(Name, usize),
    Clear(Name, usize, usize),
    Sync(Name, bool),
    SyncDirectory(bool),
    Unlink(Name),
    Rename(Name, Name),
    Exchange(Name, Name),
    Link(Name, Name),
}

fn step() -> impl Strategy<Value = Step> {
    let name = || (any::<bool>(), 0..NAMES.len());
    let at = 0..SIZE_MAX - 6000;
    prop_oneof![
        4 => name().prop_map(Step::Create),
        8 => (name(), at.clone(), 1..6000_usize, any::<u8>()).prop_map(|(n, a, l, b)| Step::Write(n, a, l, b)),
        2 => (name(), 0..SIZE_MAX).prop_map(|(n, size)| Step::Truncate(n, size)),
        1 => (name(), at, 1..6000_usize).prop_map(|(n, a, l)| Step::Clear(n, a, l)),
        3 => (name(), any::<bool>()).prop_map(|(n, data)| Step::Sync(n, data)),
        1 => any::<bool>().prop_map(Step::SyncDirectory),
        2 => name().prop_map(Step::Unlink),
        3 => (name(), name()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => (name(), name()).prop_map(|(from, to)| Step::Exchange(from, to)),
        1 => (name(), name()).prop_map(|(from, to)| Step::Link(from, to)),
    ]
}

type Names = BTreeMap<Name, u64>;

/// What the twin remembers: every content since the last sync of a file, the durable one first, and all states of the
/// names since they were durable.
struct Twin {
    store: Store,
    directory: u64,
    files: BTreeMap<u64, Vec<Vec<u8>>>,
    names: Vec<Names>,
    /// Files whose names have never been durable.
    fresh: Vec<u64>,
}

impl Twin {
    fn new() -> Self {
        let mut store = Store::new(Metadata::Journal, 1 << 30, MAKER);
        let directory = store.make(ROOT, OsStr::new("directory"), Kind::Directory, 0o755, MAKER).unwrap();
        store.sync_directory(ROOT);
        Self { store, directory, files: BTreeMap::new(), names: vec![Names::new()], fresh: Vec::new() }
    }

    fn place(&self, name: Name) -> (u64, &'static OsStr) {
        (if name.0 { self.directory } else { ROOT }, OsStr::new(NAMES[name.1]))
    }

    fn find(&self, name: Name) -> Option<u64> {
        self.names.last().and_then(|names| names.get(&name)).copied()
    }

    fn rename(&mut self, act: impl FnOnce(&mut Names)) {
        let mut names = self.names.last().unwrap().clone();
        act(&mut names);
        self.names.push(names);
    }

    fn content(&self, file: u64) -> Vec<u8> {
        self.files[&file].last().unwrap().clone()
    }

    fn commit(&mut self) {
        self.names = self.names.split_off(self.names.len() - 1);
        self.fresh.clear();
    }

    fn play(&mut self, step: &Step) {
        match *step {
            Step::Create(name) => {
                let (directory, text) = self.place(name);
                let kind = Kind::File(File::default());
                let made = self.store.make(directory, text, kind, 0o644, MAKER);
                assert_eq!(made.is_ok(), self.find(name).is_none());
                if let Ok(file) = made {
                    self.files.insert(file, vec![Vec::new()]);
                    self.fresh.push(file);
                    self.rename(|names| {
                        let _ = names.insert(name, file);
                    });
                }
            }
            Step::Write(name, at, length, byte) => {
                let Some(file) = self.find(name) else { return };
                let data: Vec<u8> = (0..length).map(|index| byte.wrapping_add((index / 97) as u8)).collect();
                self.store.write(file, at as u64, &data, UNIX_EPOCH).unwrap();
                let mut content = self.content(file);
                content.resize(content.len().max(at + length), 0);
                content[at..at + length].copy_from_slice(&data);
                self.files.get_mut(&file).unwrap().push(content);
            }
            Step::Truncate(name, size) => {
                let Some(file) = self.find(name) else { return };
                self.store.truncate(file, size as u64, UNIX_EPOCH).unwrap();
                let mut content = self.content(file);
                content.resize(size, 0);
                self.files.get_mut(&file).unwrap().push(content);
            }
            Step::Clear(name, at, length) => {
                let Some(file) = self.find(name) else { return };
                let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
                self.store.allocate(file, mode, (at as u64, length as u64), UNIX_EPOCH).unwrap();
                let mut content = self.content(file);
                let end = (at + length).min(content.len());
                content[at.min(end)..end].fill(0);
                self.files.get_mut(&file).unwrap().push(content);
            }
            Step::Sync(name, data_only) => {
                let Some(file) = self.find(name) else { return };
                let kind = if data_only { SyncKind::Data } else { SyncKind::Full };
                let states = &self.files[&file];
                let resized = states.iter().any(|state| state.len() != states[0].len());
                self.store.sync(file, kind).unwrap();
                // A length that changed and came back may or may not take the names along; either is allowed.
                let back = resized && states.last().unwrap().len() == states[0].len();
                let content = self.content(file);
                self.files.insert(file, vec![content]);
                let commits = !data_only || resized || self.fresh.contains(&file);
                if commits && !(data_only && back && !self.fresh.contains(&file)) {
                    self.commit();
                } else if back {
                    // Settle it for both sides.
                    self.store.sync_directory(ROOT);
                    self.commit();
                }
            }
            Step::SyncDirectory(inner) => {
                self.store.sync_directory(if inner { self.directory } else { ROOT });
                self.commit();
            }
            Step::Unlink(name) => {
                let (directory, text) = self.place(name);
                let done = self.store.unlink(directory, text, UNIX_EPOCH);
                assert_eq!(done.is_ok(), self.find(name).is_some());
                if done.is_ok() {
                    self.rename(|names| {
                        let _ = names.remove(&name);
                    });
                }
            }
            Step::Rename(from, to) => {
                let Some(file) = self.find(from) else { return };
                let places = (self.place(from), self.place(to));
                self.store.rename(places.0, places.1, Existing::Replace, UNIX_EPOCH).unwrap();
                if self.find(to) != Some(file) {
                    self.rename(|names| {
                        names.remove(&from);
                        names.insert(to, file);
                    });
                }
            }
            Step::Exchange(from, to) => {
                let (Some(one), Some(other)) = (self.find(from), self.find(to)) else { return };
                let places = (self.place(from), self.place(to));
                self.store.rename(places.0, places.1, Existing::Exchange, UNIX_EPOCH).unwrap();
                self.rename(|names| {
                    names.insert(from, other);
                    names.insert(to, one);
                });
            }
            Step::Link(from, to) => {
                let Some(file) = self.find(from) else { return };
                let (directory, text) = self.place(to);
                let done = self.store.link(file, directory, text, UNIX_EPOCH);
                assert_eq!(done.is_ok(), self.find(to).is_none());
                if done.is_ok() {
                    self.rename(|names| {
                        let _ = names.insert(to, file);
                    });
                }
            }
        }
        self.same_as_now();
    }

    fn names_of_store(&self) -> Names {
        let mut found = Names::new();
        for (inner, directory) in [(false, ROOT), (true, self.directory)] {
            for (name, file) in self.store.entries(directory) {
                if let Some(index) = NAMES.iter().position(|one| OsStr::new(one) == name) {
                    found.insert((inner, index), file);
                }
            }
        }
        found
    }

    fn read(&self, file: u64) -> Vec<u8> {
        self.store.read(file, 0, u64::MAX).unwrap()
    }

    fn same_as_now(&self) {
        assert_eq!(&self.names_of_store(), self.names.last().unwrap());
        for file in self.names.last().unwrap().values() {
            assert!(self.read(*file) == self.content(*file), "what is read differs from what was written");
        }
    }

    /// Checks what a power failure left against all that it may leave, and goes on from there.
    fn power_failure(&mut self, survival: Survival, seed: u64) {
        let lost = self.store.power_failure(survival, &mut ChaCha12Rng::seed_from_u64(seed));
        let names = self.names_of_store();
        match survival {
            Survival::Nothing => assert_eq!(names, self.names[0]),
            Survival::Some { .. } => assert!(self.names.contains(&names), "names that never were together"),
        }
        for file in names.values() {
            let (content, states) = (self.read(*file), &self.files[file]);
            match survival {
                Survival::Nothing => assert!(content == states[0], "not what was durable"),
                Survival::Some { .. } => allowed(&content, states),
            }
            if states.len() == 1 {
                assert!(content == states[0], "a file that was durable has changed");
            }
        }
        if self.names.len() == 1 && self.files.values().all(|states| states.len() == 1) {
            assert_eq!(lost, Lost::default(), "nothing could be lost");
        }
        let contents: Vec<(u64, Vec<u8>)> = names.values().map(|file| (*file, self.read(*file))).collect();
        self.files = contents.into_iter().map(|(file, content)| (file, vec![content])).collect();
        self.names = vec![names];
        self.fresh.clear();
    }
}

/// Whether every sector is one that the file had since it was durable, and the length a possible one.
fn allowed(content: &[u8], states: &[Vec<u8>]) {
    let longest = states.iter().map(Vec::len).max().unwrap_or(0);
    let shortest = states.iter().map(Vec::len).min().unwrap_or(0);
    assert!((shortest..=longest).contains(&content.len()), "a length of {} that never was", content.len());
    for (number, sector) in content.chunks(SECTOR).enumerate() {
        let at = number * SECTOR;
        let of = |state: &Vec<u8>| {
            let mut bytes = vec![0; SECTOR];
            let there = state.get(at..state.len().min(at + SECTOR)).unwrap_or_default();
            bytes[..there.len()].copy_from_slice(there);
            bytes
        };
        let mut padded = sector.to_vec();
        padded.resize(SECTOR, 0);
        // The end of the file may lie in the middle of a sector whose other bytes a longer state had.
        let equal = |state: &Vec<u8>| of(state)[..sector.len()] == *sector || of(state) == padded;
        assert!(states.iter().any(equal), "sector {number} holds what was never written there");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_power_failure_leaves_what_it_may(
        parts in prop::collection::vec((prop::collection::vec(step(), 0..25), any::<bool>(), any::<u64>()), 1..4),
    ) {
        let mut twin = Twin::new();
        for (steps, all, seed) in parts {
            steps.iter().for_each(|step| twin.play(step));
            let some = Survival::Some { keep_ppm: 500_000, torn_ppm: 500_000 };
            twin.power_failure(if all { Survival::Nothing } else { some }, seed);
        }
    }

    #[test]
    fn an_orderly_end_loses_nothing(steps in prop::collection::vec(step(), 0..40), seed in any::<u64>()) {
        let mut twin = Twin::new();
        steps.iter().for_each(|step| twin.play(step));
        twin.store.unmounted();
        twin.store.sync_all();
        twin.same_as_now();
        let lost = twin.store.power_failure(Survival::Nothing, &mut ChaCha12Rng::seed_from_u64(seed));
        prop_assert_eq!(lost, Lost::default());
        twin.same_as_now();
    }
}

fn make(store: &mut Store, directory: u64, name: &str) -> u64 {
    store.make(directory, OsStr::new(name), Kind::File(File::default()), 0o644, MAKER).unwrap()
}

fn names(store: &Store, directory: u64) -> Vec<String> {
    store.entries(directory).into_iter().map(|(name, _)| name.into_string().unwrap()).collect()
}

fn fail(store: &mut Store) -> Lost {
    store.power_failure(Survival::Nothing, &mut ChaCha12Rng::seed_from_u64(1))
}

#[test]
fn strictly_a_name_needs_a_sync_of_its_directory() {
    let mut store = Store::new(Metadata::Strict, 1 << 20, MAKER);
    let (kept, gone) = (make(&mut store, ROOT, "kept"), make(&mut store, ROOT, "early"));
    store.write(kept, 0, b"x", UNIX_EPOCH).unwrap();
    store.sync(kept, SyncKind::Full).unwrap();
    store.sync_directory(ROOT);
    let late = make(&mut store, ROOT, "late");
    store.sync(late, SyncKind::Full).unwrap();
    store.unlink(ROOT, OsStr::new("early"), UNIX_EPOCH).unwrap();
    let lost = fail(&mut store);
    assert_eq!(names(&store, ROOT), ["early", "kept"]);
    assert_eq!((lost.names, lost.pages), (2, 0));
    assert_eq!(store.read(kept, 0, 9).unwrap(), b"x");
    assert_eq!(store.read(gone, 0, 9).unwrap(), b"");
}

#[test]
fn a_rename_survives_whole_and_with_what_it_builds_on() {
    let mut store = Store::new(Metadata::Strict, 1 << 20, MAKER);
    let inner = store.make(ROOT, OsStr::new("inner"), Kind::Directory, 0o755, MAKER).unwrap();
    store.sync_directory(ROOT);
    make(&mut store, ROOT, "a");
    store.rename((ROOT, OsStr::new("a")), (inner, OsStr::new("b")), Existing::Replace, UNIX_EPOCH).unwrap();
    make(&mut store, ROOT, "other");
    // The new name is durable; so the old one must not come back when the root is synced later, and is not lost before.
    store.sync_directory(inner);
    fail(&mut store);
    assert_eq!((names(&store, ROOT), names(&store, inner)), (vec!["inner".to_owned()], vec!["b".to_owned()]));
}

#[test]
fn a_sync_that_failed_is_not_made_up_for_by_the_next() {
    let mut store = Store::new(Metadata::Journal, 1 << 20, MAKER);
    let file = make(&mut store, ROOT, "log");
    store.write(file, 0, b"first", UNIX_EPOCH).unwrap();
    store.sync(file, SyncKind::Full).unwrap();
    store.write(file, 0, b"other", UNIX_EPOCH).unwrap();
    store.sync_failed(file);
    store.sync(file, SyncKind::Full).unwrap();
    assert_eq!(store.read(file, 0, 9).unwrap(), b"other", "the cache still has it");
    fail(&mut store);
    assert_eq!(store.read(file, 0, 9).unwrap(), b"first");
}

#[test]
fn room_is_counted_and_comes_back() {
    let mut store = Store::new(Metadata::Journal, 4 * PAGE, MAKER);
    let file = make(&mut store, ROOT, "a");
    store.allocate(file, 0, (0, 3 * PAGE), UNIX_EPOCH).unwrap();
    let other = make(&mut store, ROOT, "b");
    store.write(other, 0, b"x", UNIX_EPOCH).unwrap();
    assert_eq!(store.write(other, PAGE, b"x", UNIX_EPOCH), Err(nix::errno::Errno::ENOSPC));
    store.write(file, 0, &[1; 3 * PAGE as usize], UNIX_EPOCH).unwrap();
    assert_eq!(store.space(), (4 * PAGE, 4 * PAGE));
    store.unlink(ROOT, OsStr::new("a"), UNIX_EPOCH).unwrap();
    // A file without a name that nobody has open goes with the next commit.
    store.sync_directory(ROOT);
    assert_eq!(store.space(), (4 * PAGE, PAGE));
    store.write(other, PAGE, b"x", UNIX_EPOCH).unwrap();
}

#[test]
fn files_that_are_open_outlive_their_names() {
    let mut store = Store::new(Metadata::Journal, 1 << 20, MAKER);
    let file = make(&mut store, ROOT, "a");
    store.reference(file);
    store.unlink(ROOT, OsStr::new("a"), UNIX_EPOCH).unwrap();
    store.sync_directory(ROOT);
    store.write(file, 0, b"x", UNIX_EPOCH).unwrap();
    assert_eq!(store.read(file, 0, 1).unwrap(), b"x");
    store.forget(file, 1);
    assert!(store.read(file, 0, 1).is_err());
}
