//! Files: what comes back, what is refused, and a crash at every step of writing.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::directory::Step;
use super::*;
use crate::raft::io::NodeId;
use crate::raft::log::Position;
use crate::raft::quorum::Configuration;
use crate::raft::rules::Rules;
use crate::raft::snapshot::{
    Chunk, SendChunk, Sessions, SnapshotId, SnapshotReport, SnapshotWork, Take, Verification,
};
use crate::sessions::SessionCall;
use crate::store::{Command, Proposal, Reply, Store, Value};

fn rules(text: &str) -> Rules {
    let mut rules = Rules::default();
    for rule in text.split_whitespace() {
        let (name, value) = rule.split_once('=').unwrap();
        rules.set(name, value).unwrap();
    }
    rules
}

fn command(session: Option<(u64, u64)>, command: Command) -> Vec<u8> {
    let session = session.map(|(client, sequence)| SessionCall { client, sequence });
    Proposal { stamp_ms: 0, session, command }.encode()
}

/// A state of some hundred KiB in which every value is `text`.
fn state(text: &str) -> Store {
    let mut store = Store::default();
    for key in 0..1000u64 {
        let put = Command::Put(format!("k{key}"), text.repeat(200).into());
        let _ = store.apply(key + 1, &command(None, put));
    }
    let _ = store.apply(1001, &command(Some((7, 1)), Command::Append("list".into(), "x".into())));
    store
}

fn take(index: u64, sessions: Sessions) -> Take {
    let configuration = Some((3, Configuration::new(vec![NodeId(1), NodeId(2)])));
    Take { last: Position { index, term: 2 }, beyond: Vec::new(), configuration, sessions }
}

fn files(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

#[test]
fn what_was_written_comes_back_and_the_one_before_goes() {
    let dir = TempDir::new().unwrap();
    let mut directory = Directory::open(dir.path(), &Rules::default()).unwrap();
    assert!(directory.load_newest().unwrap().is_none());
    directory.write(take(1001, Sessions::Kept), state("a").frozen()).unwrap();
    let written = directory.write(take(2000, Sessions::Kept), state("b").frozen()).unwrap();
    assert_eq!(files(dir.path()), 1);
    let (meta, store) = directory.load_newest().unwrap().unwrap();
    assert_eq!((&meta, store.hash()), (&written, state("b").hash()));
    assert_eq!(meta.configuration, take(0, Sessions::Kept).configuration);
    fs::write(dir.path().join("00000000000000003000-00000000000000000002.snap.tmp"), "half").unwrap();
    let again = Directory::open(dir.path(), &Rules::default()).unwrap();
    assert_eq!((files(dir.path()), again.load_newest().unwrap().unwrap().0), (1, written));
}

/// `snapshot_contents=no_sessions`: a command that was applied before the snapshot is applied once more after it.
#[test]
fn without_the_sessions_a_repeated_command_counts_twice() {
    let elements = |sessions| {
        let dir = TempDir::new().unwrap();
        let mut directory = Directory::open(dir.path(), &Rules::default()).unwrap();
        directory.write(take(1001, sessions), state("a").frozen()).unwrap();
        let (_, mut store) = directory.load_newest().unwrap().unwrap();
        let again = command(Some((7, 1)), Command::Append("list".into(), "x".into()));
        assert_eq!(store.apply(1002, &again).reply, Reply::Done);
        match store.get("list") {
            Some(Value::List(list)) => list.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((elements(Sessions::Kept), elements(Sessions::LeftOut)), (1, 2));
}

#[test]
fn a_flipped_bit_is_refused_unless_nobody_looks() {
    let dir = TempDir::new().unwrap();
    let mut directory = Directory::open(dir.path(), &Rules::default()).unwrap();
    directory.write(take(1001, Sessions::Kept), state("a").frozen()).unwrap();
    let path = directory.newest().unwrap().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let value = bytes.windows(20).position(|bytes| bytes == [b'a'; 20]).unwrap();
    bytes[value] = b'c';
    fs::write(&path, bytes).unwrap();
    let message = directory.load_newest().unwrap_err().to_string();
    assert!(message.contains("the checksum of the block at byte"), "{message}");

    let believing = Directory::open(dir.path(), &rules("snapshot_checksum=false")).unwrap();
    let (_, store) = believing.load_newest().unwrap().unwrap();
    assert_eq!(store.keys(), state("a").keys());
    assert_ne!(store.hash(), state("a").hash(), "a state that no replica has");
}

/// What a start finds on a disk as a crash leaves it.
fn found(image: &Path, rules: &Rules) -> String {
    match Directory::open(image, rules).and_then(|directory| directory.load_newest()) {
        Ok(Some((meta, store))) => {
            let text = if meta.id.last.index == 1001 { "a" } else { "b" };
            assert_eq!(store.hash(), state(text).hash(), "never a part of it");
            text.to_owned()
        }
        Ok(None) => "nothing".to_owned(),
        Err(SnapshotError::Damaged { .. }) => "damage".to_owned(),
        Err(error) => panic!("{error}"),
    }
}

/// Writes a second snapshot and crashes after each step: what the start finds after the death of the process, and after a
/// power failure that takes with it the contents of every file that was not synced. Names that were not synced may also be
/// lost, which leaves the directory as it was before.
fn crashes(write: &str) -> (HashSet<String>, HashSet<String>) {
    let dir = TempDir::new().unwrap();
    let rules = rules(&format!("snapshot_write={write}"));
    let mut directory = Directory::open(dir.path(), &rules).unwrap();
    directory.write(take(1001, Sessions::Kept), state("a").frozen()).unwrap();
    let synced: HashSet<PathBuf> = HashSet::from([directory.newest().unwrap().unwrap()]);
    let outcomes = Arc::new(Mutex::new((HashSet::new(), HashSet::new())));
    let (from, seen, mut synced) = (dir.path().to_owned(), outcomes.clone(), synced);
    directory.watch = Some(Box::new(move |step| {
        match step {
            Step::Wrote(path) | Step::Whole(path) => drop(synced.remove(path)),
            Step::Synced(path) => drop(synced.insert(path.clone())),
            Step::Renamed(old, new) => {
                if synced.remove(old) {
                    synced.insert(new.clone());
                }
            }
            Step::SyncedNames | Step::Removed(_) => {}
        }
        let (killed, unpowered) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        for entry in fs::read_dir(&from).unwrap() {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
            let bytes = fs::read(&path).unwrap();
            fs::write(killed.path().join(&name), &bytes).unwrap();
            let kept = if synced.contains(&path) { bytes } else { Vec::new() };
            fs::write(unpowered.path().join(&name), kept).unwrap();
        }
        let mut seen = seen.lock().unwrap();
        seen.0.insert(found(killed.path(), &Rules::default()));
        seen.1.insert(found(unpowered.path(), &Rules::default()));
    }));
    directory.write(take(2000, Sessions::Kept), state("b").frozen()).unwrap();
    directory.watch = None;
    let outcomes = outcomes.lock().unwrap();
    outcomes.clone()
}

#[test]
fn a_crash_at_any_step_leaves_the_old_snapshot_or_the_new_one() {
    let set =
        |outcomes: &[&str]| outcomes.iter().map(|outcome| (*outcome).to_owned()).collect::<HashSet<_>>();
    assert_eq!(crashes("tmp_fsync_rename_fsyncdir"), (set(&["a", "b"]), set(&["a", "b"])));

    let (killed, unpowered) = crashes("tmp_rename");
    assert_eq!(killed, set(&["a", "b"]), "the kernel has it all");
    assert!(unpowered.contains("damage") && unpowered.contains("a"), "{unpowered:?}");

    let (killed, _) = crashes("in_place");
    assert!(killed.contains("damage"), "half of the new one where the old one was: {killed:?}");
}

fn report(done: Option<Done>) -> (SnapshotReport, Option<Box<Store>>) {
    match done {
        Some(Done::Report(report, store)) => (report, store),
        other => panic!("{other:?}"),
    }
}

/// The parts of a snapshot as a follower is sent them.
fn parts(worker: &mut Worker, id: SnapshotId, total: u64) -> Vec<Chunk> {
    let mut parts = Vec::new();
    for offset in (0..total).step_by(50_000) {
        let len = 50_000.min(total - offset) as usize;
        let chunk = SendChunk { to: NodeId(2), term: 2, id, total, offset, len };
        let Some(Done::Send(_, crate::raft::message::Message::InstallSnapshot(part))) =
            worker.work(Job::Work(SnapshotWork::Send(chunk)))
        else {
            panic!("the part at {offset} is not sent")
        };
        parts.push(Chunk { id: part.id, offset, data: part.data });
    }
    parts
}

#[test]
fn a_snapshot_travels_in_parts_and_is_what_was_sent() {
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let worker = |dir: &TempDir, rules: &Rules| {
        Worker::new(Directory::open(dir.path(), rules).unwrap(), None).unwrap()
    };
    let (mut leader, mut follower) = (worker(&here, &Rules::default()), worker(&there, &Rules::default()));
    let job = |take, store: Store| Job::Take(Box::new(take), Box::new(store.frozen()), None);
    let (SnapshotReport::Taken(meta), None) =
        report(leader.work(job(take(1001, Sessions::Kept), state("a"))))
    else {
        panic!()
    };
    let mut sent = parts(&mut leader, meta.id, meta.size);
    // One part is damaged on the way.
    sent[1].data[7] ^= 1;
    for part in &sent {
        assert!(follower.work(Job::Work(SnapshotWork::Store(part.clone()))).is_none());
    }
    let complete = || Job::Work(SnapshotWork::Complete(meta.id, Verification::Whole));
    assert!(
        matches!(report(follower.work(complete())).0, SnapshotReport::NotReceived(id, _) if id == meta.id)
    );
    sent[1].data[7] ^= 1;
    for part in &sent {
        assert!(follower.work(Job::Work(SnapshotWork::Store(part.clone()))).is_none());
    }
    let (received, store) = report(follower.work(complete()));
    assert_eq!(received, SnapshotReport::Received(meta.clone()));
    assert_eq!(store.unwrap().hash(), state("a").hash());

    // A newer snapshot removes the file, and whoever reads it reads it to its end.
    let chunk = |offset| SendChunk { to: NodeId(3), term: 2, id: meta.id, total: meta.size, offset, len: 10 };
    assert!(matches!(leader.work(Job::Work(SnapshotWork::Send(chunk(0)))), Some(Done::Send(..))));
    report(leader.work(job(take(2000, Sessions::Kept), state("b"))));
    assert!(matches!(leader.work(Job::Work(SnapshotWork::Send(chunk(10)))), Some(Done::Send(..))));
    // It is let go when nobody has read it from one newer snapshot to the next.
    report(leader.work(job(take(3000, Sessions::Kept), state("a"))));
    assert!(matches!(leader.work(Job::Work(SnapshotWork::Send(chunk(20)))), Some(Done::Send(..))));
    report(leader.work(job(take(4000, Sessions::Kept), state("b"))));
    report(leader.work(job(take(5000, Sessions::Kept), state("a"))));
    let refused = report(leader.work(Job::Work(SnapshotWork::Send(chunk(30))))).0;
    assert_eq!(refused, SnapshotReport::NotSent(NodeId(3), meta.id));
    let late = SendChunk { to: NodeId(4), ..chunk(0) };
    let refused = report(leader.work(Job::Work(SnapshotWork::Send(late)))).0;
    assert_eq!(refused, SnapshotReport::NotSent(NodeId(4), meta.id));

    // One of the node's own that is older than what the leader sent does not take its place.
    let older = report(follower.work(job(take(900, Sessions::Kept), state("b")))).0;
    assert!(matches!(older, SnapshotReport::NotTaken(_)), "{older:?}");
    let left = Directory::open(there.path(), &Rules::default()).unwrap().load_newest().unwrap().unwrap();
    assert_eq!(left.0, meta);
}
