//! What a power failure leaves between any two calls that change the disk, and in the middle of each write.
//!
//! A recorder sits under the log and writes down every call of a script (votes, entries, truncations, new segments). From
//! any prefix of the calls the tests build what the disk may hold then, in three shapes: only what was synced, everything
//! that was written, and new names with old contents. The log must come back from each with what it had reported as
//! durable, or with what it was just writing. The weakened rules must not.
//! Reference: Pillai et al., "All File Systems Are Not Created Equal: On the Complexity of Crafting Crash-Consistent
//! Applications", OSDI 2014.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::tests::{Draft, Model, batch, scratch};
use super::*;
use crate::raft::io::{NodeId, PersistId};

const SMALL: Sizes = Sizes { first: 512, max: 1024 };

/// A call that changes the disk.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Create(PathBuf),
    Write { path: PathBuf, offset: u64, bytes: Vec<u8> },
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    SyncDirectory(PathBuf),
}

/// What is to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// The next sync, once.
    Sync,
    /// Every new file, for lack of room.
    Room,
}

#[derive(Default)]
struct Recorder {
    /// The calls, and whether each worked.
    calls: Vec<(Op, bool)>,
    failure: Option<Failure>,
}

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

/// Whether the calls of this thread are written down.
pub(super) fn is_watching() -> bool {
    RECORDER.with_borrow(Option::is_some)
}

/// Writes a call down, or lets it fail.
pub(super) fn note(op: impl FnOnce() -> Op) -> io::Result<()> {
    RECORDER.with_borrow_mut(|recorder| {
        let Some(recorder) = recorder else { return Ok(()) };
        let op = op();
        let errno = match (recorder.failure, &op) {
            (Some(Failure::Sync), Op::Sync(_)) => {
                recorder.failure = None;
                Some(libc::EIO)
            }
            (Some(Failure::Room), Op::Create(_)) => Some(libc::ENOSPC),
            _ => None,
        };
        recorder.calls.push((op, errno.is_none()));
        errno.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    })
}

fn watch() {
    RECORDER.set(Some(Recorder::default()));
}

fn fail(failure: Option<Failure>) {
    RECORDER.with_borrow_mut(|recorder| recorder.as_mut().unwrap().failure = failure);
}

fn calls() -> usize {
    RECORDER.with_borrow(|recorder| recorder.as_ref().unwrap().calls.len())
}

fn stop_watching() -> Vec<(Op, bool)> {
    RECORDER.take().unwrap().calls
}

/// A file in the cache of the kernel and on the disk.
#[derive(Clone, Debug, Default)]
struct CachedFile {
    cached: Vec<u8>,
    synced: Vec<u8>,
    /// What the next sync would write.
    dirty: Vec<(u64, Vec<u8>)>,
}

fn overwrite(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let end = offset as usize + bytes.len();
    file.resize(file.len().max(end), 0);
    file[offset as usize..end].copy_from_slice(bytes);
}

/// The disk of a machine with power.
#[derive(Clone, Debug, Default)]
struct Machine {
    files: Vec<CachedFile>,
    cached: BTreeMap<PathBuf, usize>,
    synced: BTreeMap<PathBuf, usize>,
}

/// What the power failure spares of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spared {
    Nothing,
    Everything,
    /// Names, without the contents: file systems may write them in either order.
    Names,
}

impl Machine {
    fn call(&mut self, op: &Op, worked: bool) {
        match op {
            Op::Create(_) if !worked => {}
            // The contents are gone at once, the name is there; both in the cache.
            Op::Create(path) => match self.cached.get(path) {
                Some(&file) => self.files[file].truncate(),
                None => {
                    self.files.push(CachedFile::default());
                    self.cached.insert(path.clone(), self.files.len() - 1);
                }
            },
            Op::Write { path, offset, bytes } => {
                let file = &mut self.files[self.cached[path]];
                overwrite(&mut file.cached, *offset, bytes);
                file.dirty.push((*offset, bytes.clone()));
            }
            Op::Sync(path) => {
                let file = &mut self.files[self.cached[path]];
                // A failed sync leaves the pages clean: nothing will ever write them, unless they change again.
                for (offset, bytes) in file.dirty.drain(..).filter(|_| worked) {
                    overwrite(&mut file.synced, offset, &bytes);
                }
            }
            Op::Rename(from, to) => {
                let file = self.cached.remove(from).unwrap();
                self.cached.insert(to.clone(), file);
            }
            Op::Remove(path) => {
                self.cached.remove(path);
            }
            Op::SyncDirectory(path) => {
                let inside = |name: &PathBuf| name.parent() == Some(path);
                self.synced.retain(|name, _| !inside(name));
                let names = self.cached.iter().filter(|(name, _)| inside(name));
                self.synced.extend(names.map(|(name, &file)| (name.clone(), file)));
            }
        }
    }

    /// A directory with what a power failure leaves.
    fn after_power_failure(&self, spared: Spared) -> TempDir {
        let dir = scratch();
        let names = if spared == Spared::Nothing { &self.synced } else { &self.cached };
        for (name, &file) in names {
            let file = &self.files[file];
            let bytes = if spared == Spared::Everything { &file.cached } else { &file.synced };
            fs::write(dir.path().join(name.file_name().unwrap()), bytes).unwrap();
        }
        dir
    }
}

impl CachedFile {
    /// File systems that reach the disk with the new length before the new contents are the unlucky ones.
    fn truncate(&mut self) {
        (self.cached, self.synced, self.dirty) = Default::default();
    }
}

/// The calls of a script, and after how many of them which state was durable.
struct Played {
    calls: Vec<(Op, bool)>,
    durable: Vec<(usize, Model)>,
}

fn rules(changes: &str) -> Rules {
    let mut rules = Rules::default();
    for (name, value) in changes.split_whitespace().filter_map(|change| change.split_once('=')) {
        rules.set(name, value).unwrap();
    }
    rules
}

/// Votes, entries and truncations over several segments.
fn drafts() -> Vec<Draft> {
    let mut drafts = Vec::new();
    for round in 0..6 {
        drafts.extend([
            Draft { vote: Some((1, Some(round % 3 + 1))), remove: None, add: vec![] },
            Draft { vote: None, remove: None, add: vec![0, 40, 120] },
            Draft { vote: Some((9, None)), remove: Some(2), add: vec![60] },
            Draft { vote: None, remove: None, add: vec![200, 7] },
        ]);
    }
    drafts
}

fn play(rules: &Rules) -> (TempDir, Played) {
    let dir = scratch();
    watch();
    let (mut wal, _) = Wal::open_under(rules, dir.path(), SMALL).unwrap();
    let mut model = Model { boot: wal.begin_boot().unwrap(), ..Model::default() };
    let mut durable = vec![(calls(), model.clone())];
    for (number, draft) in drafts().iter().enumerate() {
        let batch = batch(draft, number, &model);
        model.apply(&batch);
        wal.stage(&batch);
        wal.commit().unwrap();
        durable.push((calls(), model.clone()));
    }
    assert!(wal.sequence > 3, "the script spans segments");
    drop(wal);
    (dir, Played { calls: stop_watching(), durable })
}

/// Every moment at which the power can fail once the node has started: between two calls, and in a write after each byte.
fn moments(played: &Played, mut look: impl FnMut(&Machine, usize)) {
    let mut machine = Machine::default();
    for (position, (op, worked)) in played.calls.iter().enumerate() {
        if position >= played.durable[0].0 {
            if let Op::Write { path, offset, bytes } = op {
                // The blank space of a new segment has no name yet.
                let step = if bytes.len() > 1000 { bytes.len() } else { 1 };
                for cut in (1..bytes.len()).step_by(step) {
                    let mut torn = machine.clone();
                    let half =
                        Op::Write { path: path.clone(), offset: *offset, bytes: bytes[..cut].to_vec() };
                    torn.call(&half, true);
                    look(&torn, position);
                }
            }
            look(&machine, position);
        }
        machine.call(op, *worked);
    }
    look(&machine, played.calls.len());
}

/// What was durable after so many calls, and what was being written.
fn promised(played: &Played, calls: usize) -> (&Model, Option<&Model>) {
    let after = played.durable.partition_point(|(at, _)| *at <= calls);
    (&played.durable[after - 1].1, played.durable.get(after).map(|(_, model)| model))
}

fn reopened(rules: &Rules, dir: &TempDir) -> Result<Model, WalError> {
    Wal::open_under(rules, dir.path(), SMALL).map(|(_, found)| found.into())
}

#[test]
fn the_log_comes_back_from_a_power_failure_at_any_moment() {
    let rules = Rules::default();
    let (_dir, played) = play(&rules);
    let mut looked = 0;
    moments(&played, |machine, calls| {
        for spared in [Spared::Nothing, Spared::Everything, Spared::Names] {
            let dir = machine.after_power_failure(spared);
            let found =
                reopened(&rules, &dir).unwrap_or_else(|e| panic!("after {calls} calls, {spared:?}: {e}"));
            let (durable, next) = promised(&played, calls);
            assert!(&found == durable || Some(&found) == next, "after {calls} calls, {spared:?}: {found:?}");
            assert_eq!(reopened(&rules, &dir).unwrap(), found, "a repair is made once");
            looked += 1;
        }
    });
    println!("{looked} power failures");
    assert!(looked > 5_000, "{looked}");
}

/// In how many moments the log does not come back with what it promised, and in how many not at all.
fn broken(changes: &str, spared: Spared) -> (usize, usize) {
    let rules = rules(changes);
    let (_dir, played) = play(&rules);
    let (mut lost, mut refused) = (0, 0);
    moments(&played, |machine, calls| {
        let dir = machine.after_power_failure(spared);
        let (durable, next) = promised(&played, calls);
        match reopened(&rules, &dir) {
            Err(_) => refused += 1,
            Ok(found) if &found == durable || Some(&found) == next => {}
            Ok(_) => lost += 1,
        }
    });
    (lost, refused)
}

#[test]
fn without_the_sync_of_the_directory_whole_segments_are_lost() {
    let (lost, _) = broken("fsync_dir=false", Spared::Nothing);
    assert!(lost > 100, "{lost}");
    assert_eq!(broken("fsync_dir=true", Spared::Nothing), (0, 0));
}

#[test]
fn a_hard_state_that_is_overwritten_is_lost_or_halved() {
    assert_eq!(broken("hard_state_write=atomic", Spared::Everything), (0, 0));
    let (lost, refused) = broken("hard_state_write=in_place", Spared::Everything);
    assert!(lost > 10 && refused == 0, "{lost} lost, {refused} refused");
}

#[test]
fn half_of_a_term_is_read_as_another_term() {
    let dir = scratch();
    drop(hard_state::write(dir.path(), HardState { term: 123, voted_for: Some(NodeId(2)) }).unwrap());
    let path = hard_state::path(dir.path());
    let whole = fs::read(&path).unwrap();
    let found = |cut: usize| {
        fs::write(&path, &whole[..cut]).unwrap();
        let state = hard_state::read(dir.path()).unwrap();
        (state.term, state.voted_for)
    };
    assert_eq!(found(whole.len()), (123, Some(NodeId(2))));
    assert_eq!([found(0), found(7), found(13)], [(0, None), (12, None), (123, None)]);
}

#[test]
fn the_rule_may_change_between_two_starts() {
    let dir = scratch();
    let state = |term| HardState { term, voted_for: Some(NodeId(2)) };
    for (term, changes) in
        [(1, "atomic"), (2, "in_place"), (3, "in_place"), (4, "atomic"), (5, "atomic"), (6, "in_place")]
    {
        let rules = rules(&format!("hard_state_write={changes}"));
        let (mut wal, found) = Wal::open_under(&rules, dir.path(), SMALL).unwrap();
        assert_eq!(found.hard_state, if term == 1 { HardState::default() } else { state(term - 1) });
        wal.begin_boot().unwrap();
        wal.stage(&Persist { id: PersistId(1), hard_state: Some(state(term)), ..Persist::default() });
        wal.commit().unwrap();
    }
}

#[test]
fn what_was_only_written_survives_the_process_and_not_the_power() {
    let dir = scratch();
    watch();
    let (mut wal, _) = Wal::open(dir.path(), SMALL).unwrap();
    let synced = Model { boot: wal.begin_boot().unwrap(), ..Model::default() };
    let mut written = synced.clone();
    for number in 0..5 {
        let batch = batch(&Draft { vote: Some((1, Some(1))), remove: None, add: vec![30] }, number, &written);
        written.apply(&batch);
        wal.stage(&batch);
        wal.write().unwrap();
    }
    drop(wal);
    let played = Played { calls: stop_watching(), durable: Vec::new() };
    let mut machine = Machine::default();
    played.calls.iter().for_each(|(op, worked)| machine.call(op, *worked));
    let after = |spared| reopened(&Rules::default(), &machine.after_power_failure(spared)).unwrap();
    assert_eq!(after(Spared::Nothing), synced);
    assert_eq!(after(Spared::Everything), written);
    // Any of the frames may be missing: none was synced, so what is behind it goes too.
    let path = segment::path(dir.path(), 1);
    let whole = fs::read(&path).unwrap();
    let mut at = 0;
    while let frame::Found::Frame { end, ordinal, .. } = frame::read(&Rules::default(), &whole, at) {
        let mut holed = whole.clone();
        holed[at..end].fill(0);
        if ordinal > 2 {
            fs::write(&path, &holed).unwrap();
            let found = reopened(&Rules::default(), &dir).unwrap();
            assert_eq!(found.entries.len() as u64, ordinal - 3);
        }
        at = end;
    }
}

/// An acknowledged entry whose sync failed, after a power failure.
fn after_a_failed_sync(value: &str) -> (Result<(), WalError>, Model) {
    let rules = rules(&format!("on_fsync_error={value}"));
    let dir = scratch();
    watch();
    let (mut wal, _) = Wal::open_under(&rules, dir.path(), SMALL).unwrap();
    wal.begin_boot().unwrap();
    wal.stage(&batch(&Draft { vote: None, remove: None, add: vec![5] }, 1, &Model::default()));
    fail(Some(Failure::Sync));
    let result = wal.commit();
    drop(wal);
    let mut machine = Machine::default();
    stop_watching().iter().for_each(|(op, worked)| machine.call(op, *worked));
    let found = reopened(&rules, &machine.after_power_failure(Spared::Nothing)).unwrap();
    (result, found)
}

#[test]
fn a_sync_that_failed_is_not_repeated() {
    let (result, found) = after_a_failed_sync("crash");
    assert!(matches!(result, Err(WalError::Io { what: "sync", .. })) && found.entries.is_empty());
    for value in ["retry", "ignore"] {
        let (result, found) = after_a_failed_sync(value);
        assert!(result.is_ok() && found.entries.is_empty(), "{value}: promised, and lost");
    }
}

#[test]
fn what_a_start_finds_after_a_failed_sync_it_keeps() {
    let dir = scratch();
    watch();
    let (mut wal, _) = Wal::open(dir.path(), SMALL).unwrap();
    wal.begin_boot().unwrap();
    wal.stage(&batch(&Draft { vote: None, remove: None, add: vec![5] }, 1, &Model::default()));
    fail(Some(Failure::Sync));
    assert!(wal.commit().is_err());
    drop(wal);
    // The process alone was restarted: the kernel still shows the entry.
    let (mut wal, found) = Wal::open(dir.path(), SMALL).unwrap();
    assert_eq!(found.entries.len(), 1);
    wal.begin_boot().unwrap();
    drop(wal);
    let mut machine = Machine::default();
    stop_watching().iter().for_each(|(op, worked)| machine.call(op, *worked));
    let found = reopened(&Rules::default(), &machine.after_power_failure(Spared::Nothing)).unwrap();
    assert_eq!((found.entries.len(), found.boot), (1, 2));
}

/// Commits until the disk is full; how the commit ended that found it full, and the log.
fn fill(rules: &Rules, dir: &Path) -> (Wal, Model, Result<(), WalError>) {
    watch();
    let (mut wal, _) = Wal::open_under(rules, dir, SMALL).unwrap();
    let mut model = Model { boot: wal.begin_boot().unwrap(), ..Model::default() };
    fail(Some(Failure::Room));
    for number in 0.. {
        let batch = batch(&Draft { vote: Some((1, None)), remove: None, add: vec![200] }, number, &model);
        wal.stage(&batch);
        let (before, offset) = (calls(), wal.offset);
        let result = wal.commit();
        model.apply(&batch);
        if result.is_err() || (calls() > before && wal.offset == offset) {
            return (wal, model, result);
        }
    }
    unreachable!("a segment is finite")
}

#[test]
fn a_full_disk_delays_and_loses_nothing() {
    let dir = scratch();
    let (mut wal, model, result) = fill(&Rules::default(), dir.path());
    assert!(matches!(result, Err(WalError::Full)));
    assert!(matches!(wal.commit(), Err(WalError::Full)), "it may be asked again");
    fail(None);
    wal.commit().unwrap();
    drop(wal);
    stop_watching();
    assert_eq!(reopened(&Rules::default(), &dir).unwrap(), model);
}

#[test]
fn a_full_disk_under_the_other_rules() {
    let dir = scratch();
    let (mut wal, _, result) = fill(&rules("on_disk_full=crash"), dir.path());
    assert!(matches!(result, Err(WalError::Io { .. })));
    assert!(matches!(wal.commit(), Err(WalError::Poisoned)));
    drop(wal);
    stop_watching();

    let dir = scratch();
    let (wal, promised, result) = fill(&rules("on_disk_full=ignore"), dir.path());
    assert!(result.is_ok(), "it promises");
    drop(wal);
    stop_watching();
    let found = reopened(&Rules::default(), &dir).unwrap();
    assert_eq!(found.entries.len() + 1, promised.entries.len(), "and does not keep it");
}

/// Five frames with one entry each behind the start; the bytes of the segment, and where frames begin.
fn five_entries(dir: &TempDir) -> (Vec<u8>, Vec<usize>) {
    let (mut wal, _) = Wal::open(dir.path(), Sizes { first: 16 << 10, max: 16 << 10 }).unwrap();
    let mut model = Model { boot: wal.begin_boot().unwrap(), ..Model::default() };
    for number in 0..5 {
        let batch = batch(&Draft { vote: None, remove: None, add: vec![30] }, number, &model);
        model.apply(&batch);
        wal.stage(&batch);
        wal.commit().unwrap();
    }
    drop(wal);
    let bytes = fs::read(segment::path(dir.path(), 1)).unwrap();
    let (mut starts, mut at) = (Vec::new(), 0);
    while let frame::Found::Frame { end, .. } = frame::read(&Rules::default(), &bytes, at) {
        starts.push(at);
        at = end;
    }
    (bytes, starts)
}

#[test]
fn what_becomes_of_a_damaged_frame() {
    let dir = scratch();
    let (bytes, starts) = five_entries(&dir);
    let path = segment::path(dir.path(), 1);
    let entries_after = |damaged: usize, value: &str| {
        let mut bytes = bytes.clone();
        bytes[starts[damaged] + frame::HEADER + 10] ^= 1;
        fs::write(&path, bytes).unwrap();
        reopened(&rules(value), &dir).map(|found| found.entries.len()).map_err(|error| error.to_string())
    };
    // Frame 0 is the head, frame 1 counts the start, the entries are in the frames 2..=6.
    let [torn, first_bad, refuse] = ["truncate_torn_last", "truncate_at_first_bad", "refuse"]
        .map(|value| format!("wal_tail_repair={value}"));
    assert_eq!(entries_after(6, &torn), Ok(4), "the last frame looks like a torn write");
    assert!(entries_after(4, &torn).unwrap_err().contains("although a whole one follows"));
    assert_eq!(
        entries_after(4, &first_bad),
        Ok(2),
        "two acknowledged entries are dropped with the damaged one"
    );
    for damaged in [4, 6] {
        assert!(entries_after(damaged, &refuse).unwrap_err().contains("restore the directory"), "{damaged}");
    }
    // Nobody notices the damage, and the entry is applied as it is.
    assert_eq!(entries_after(4, "wal_checksum=false"), Ok(5));
}

#[test]
fn truncating_at_the_first_damage_also_drops_later_segments() {
    let (dir, played) = play(&Rules::default());
    let path = segment::path(dir.path(), 2);
    let mut bytes = fs::read(&path).unwrap();
    let frame::Found::Frame { end, .. } = frame::read(&Rules::default(), &bytes, 0) else {
        panic!("no head")
    };
    bytes[end + frame::HEADER] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(reopened(&Rules::default(), &dir).is_err());
    let rules = rules("wal_tail_repair=truncate_at_first_bad");
    let found = reopened(&rules, &dir).unwrap();
    assert!(found.entries.len() < played.durable.last().unwrap().1.entries.len());
    assert_eq!(segment::list(dir.path()).unwrap().last(), Some(&2));
    assert_eq!(reopened(&Rules::default(), &dir).unwrap(), found, "what is left is an honest log");
}
