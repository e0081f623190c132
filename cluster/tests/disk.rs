//! Disks in memory, mounted, used by real programs, and made to fail.

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use checker::history::{Key, Op, Outcome, ProcessId, Reply, Value};
use cluster::cluster::{Cluster, ClusterOptions, FailingDisk, Medium};
use cluster::disk::{DiskEdit, DiskTrouble, Survival, Wait, available};
use cluster::levers::{LeverError, Levers, NodeSignal, ProcessState};
use cluster::system::{NodeId, System};
use cluster::systems::raftkv::RaftKv;
use cluster::systems::{SystemOptions, registry};

use common::{Play, Scene, Stage, block_on, eventually, scripts, start};

fn main() -> ExitCode {
    common::main(&[
        Scene { name: "programs_find_a_file_system", play: Play::Inside(programs_find_a_file_system) },
        Scene { name: "only_what_was_synced_survives", play: Play::Inside(only_what_was_synced_survives) },
        Scene { name: "a_mapped_file_is_saved_by_msync", play: Play::Inside(mapped_file) },
        Scene { name: "programs_see_the_errors", play: Play::Inside(programs_see_the_errors) },
        Scene { name: "a_node_whose_sync_is_held_can_be_killed", play: Play::Inside(held_and_killed) },
        Scene { name: "a_node_whose_sync_is_held_can_be_paused", play: Play::Inside(held_and_paused) },
        Scene { name: "the_data_is_there_after_the_run", play: Play::Inside(data_after_the_run) },
        Scene { name: "stores_keep_what_they_acknowledged", play: Play::Inside(stores_keep_what_they_said) },
        Scene {
            name: "twenty_kills_with_busy_disks_leave_nothing",
            play: Play::Outside(kills_leave_nothing),
        },
        Scene { name: "busy_disks", play: Play::Actor(busy_disks) },
    ])
}

const N1: NodeId = NodeId(1);
/// Says that it is ready and then sleeps.
const SLEEPER: &str = "touch $1/ready; exec sleep 1000";
/// Writes and syncs for ever.
const WRITER: &str =
    "touch $1/ready; while :; do dd if=/dev/zero of=$1/log bs=512 count=8 conv=fsync 2>/dev/null; done";

fn failing(script: &'static str, nodes: u16, directory: &Path) -> ClusterOptions {
    ClusterOptions { medium: Medium::Failing(FailingDisk::default()), ..scripts(script, nodes, directory) }
}

/// Whether there is a /dev/fuse for this user; says so if not.
fn possible() -> bool {
    match available() {
        Ok(()) => true,
        Err(why) => {
            assert!(why.contains("to fix it"), "{why}");
            println!("    NOT TESTED: {why}");
            false
        }
    }
}

fn data(cluster: &Cluster) -> PathBuf {
    cluster.spec(N1).unwrap().data_dir.clone()
}

async fn power_failure(cluster: &Cluster, survival: Survival) -> String {
    cluster.signal(N1, NodeSignal::Kill).await.unwrap();
    let proof = cluster.edit_disk(N1, DiskEdit::PowerFailure { survival }, 7).await.unwrap();
    Levers::start(cluster, N1).await.unwrap();
    proof
}

/// What stores do with files, each compared with what a local file system does.
fn programs_find_a_file_system(directory: &Path) {
    if !possible() {
        return;
    }
    block_on(async {
        let (cluster, _exits) = start(failing(SLEEPER, 1, directory)).await;
        let real = directory.join("real");
        fs::create_dir(&real).unwrap();
        let (ours, theirs) = (use_files(&data(&cluster)), use_files(&real));
        assert_eq!(ours, theirs);
    });
}

/// Everything that can be seen of a tour through the system calls.
fn use_files(at: &Path) -> Vec<String> {
    let mut seen = Vec::new();
    let path = |name: &str| at.join(name);
    let mut note = |what: &str, result: std::io::Result<String>| {
        let result = result.map_err(|error| error.raw_os_error());
        seen.push(format!("{what}: {result:?}"));
    };
    let nothing = |(): ()| String::new();
    let file =
        OpenOptions::new().create(true).read(true).write(true).truncate(false).open(path("a")).unwrap();
    note("write", file.write_all_at(&[7; 10_000], 5000).map(nothing));
    note("size", file.metadata().map(|meta| format!("{} {}", meta.len(), meta.nlink())));
    let mut bytes = vec![1; 9000];
    note("read", file.read_exact_at(&mut bytes, 4000).map(|()| format!("{:?}", &bytes[990..1010])));
    note("shorter", file.set_len(6000).map(nothing));
    note("longer", file.set_len(9000).map(nothing));
    note("zeros", file.read_exact_at(&mut bytes[..10], 5995).map(|()| format!("{:?}", &bytes[..10])));
    note("sync", file.sync_all().and(file.sync_data()).map(nothing));
    note("make directories", fs::create_dir_all(path("d/e")).map(nothing));
    note("not empty", fs::remove_dir(path("d")).map(nothing));
    note("rename", fs::rename(path("a"), path("d/e/b")).map(nothing));
    note("gone", fs::metadata(path("a")).map(|_| String::new()));
    note("link", fs::hard_link(path("d/e/b"), path("c")).map(nothing));
    note("links", fs::metadata(path("c")).map(|meta| meta.nlink().to_string()));
    note("symbolic link", std::os::unix::fs::symlink("c", path("s")).map(nothing));
    note("through it", fs::read(path("s")).map(|bytes| bytes.len().to_string()));
    note("read link", fs::read_link(path("s")).map(|target| target.display().to_string()));
    note("replace", fs::write(path("t"), "new").and(fs::rename(path("t"), path("c"))).map(nothing));
    note("replaced", fs::read_to_string(path("c")));
    note("rename a directory over a file", fs::rename(path("d"), path("c")).map(nothing));
    note("unlink while open", fs::remove_file(path("d/e/b")).map(nothing));
    note("still there", file.read_exact_at(&mut bytes[..4], 5000).map(|()| format!("{:?}", &bytes[..4])));
    note("no name", file.metadata().map(|meta| meta.nlink().to_string()));
    let appending = || OpenOptions::new().append(true).open(path("c"));
    note("append", appending().and_then(|mut file| file.write_all(b"er")).map(nothing));
    note("appended", fs::read_to_string(path("c")));
    note("exclusive", OpenOptions::new().write(true).create_new(true).open(path("c")).map(|_| String::new()));
    note("truncating", File::create(path("c")).map(|_| String::new()));
    note("truncated", fs::metadata(path("c")).map(|meta| meta.len().to_string()));
    let synchronous = OpenOptions::new().write(true).custom_flags(libc::O_DSYNC).open(path("c"));
    note("O_DSYNC", synchronous.and_then(|mut file| file.write_all(b"x")).map(nothing));
    note("lock", File::open(path("c")).and_then(|file| file.lock()).map(nothing));
    note("copy", fs::copy(path("c"), path("copy")).map(|bytes| bytes.to_string()));
    note("sync a directory", File::open(at).and_then(|directory| directory.sync_all()).map(nothing));
    for number in 0..300 {
        fs::write(path("d").join(format!("file-{number}")), [0]).unwrap();
    }
    let names =
        |directory: &Path| fs::read_dir(directory).map(|entries| entries.flatten().count().to_string());
    note("many", names(&path("d")));
    note("remove all", fs::remove_dir_all(path("d")).map(nothing));
    let mut left: Vec<_> = fs::read_dir(at).unwrap().flatten().map(|entry| entry.file_name()).collect();
    left.retain(|name| name != "ready");
    left.sort();
    note("left", Ok(format!("{left:?}")));
    // SAFETY: the descriptor is open for the call.
    let allocated = unsafe { libc::fallocate(std::os::fd::AsRawFd::as_raw_fd(&file), 0, 0, 100_000) };
    note("allocated", file.metadata().map(|meta| format!("{allocated} {}", meta.len())));
    seen
}

fn only_what_was_synced_survives(directory: &Path) {
    if !possible() {
        return;
    }
    block_on(async {
        let (cluster, _exits) = start(failing(SLEEPER, 1, directory)).await;
        let at = data(&cluster);
        let mut log = File::create(at.join("log")).unwrap();
        log.write_all(&[1; 6000]).unwrap();
        log.sync_data().unwrap();
        log.write_all(&[2; 6000]).unwrap();
        fs::write(at.join("other"), "never synced").unwrap();
        // A kill alone takes nothing.
        cluster.signal(N1, NodeSignal::Kill).await.unwrap();
        assert_eq!(fs::read(at.join("log")).unwrap().len(), 12_000);
        Levers::start(&*cluster, N1).await.unwrap();
        drop(log);
        let proof = power_failure(&cluster, Survival::Nothing).await;
        println!("    {proof}");
        assert!(proof.contains("pages and"), "{proof}");
        assert!(fs::read(at.join("log")).unwrap() == [1; 6000], "not what was synced");
        assert!(!at.join("other").exists(), "a name that nothing had made durable");
        let log = File::open(at.join("log")).unwrap();
        log.sync_all().unwrap();
        eventually("it runs again", || at.join("ready").exists());
        File::open(&at).unwrap().sync_all().unwrap();
        let some = Survival::Some { keep_ppm: 500_000, torn_ppm: 500_000 };
        let proof = power_failure(&cluster, some).await;
        assert!(proof.contains("everything was durable"), "{proof}");
        let refused = cluster.edit_disk(N1, DiskEdit::Wipe, 1).await;
        assert!(matches!(refused, Err(LeverError::WrongState(_))), "{refused:?}");
    });
}

fn mapped_file(directory: &Path) {
    if !possible() {
        return;
    }
    block_on(async {
        let (cluster, _exits) = start(failing(SLEEPER, 1, directory)).await;
        let at = data(&cluster);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(at.join("map"));
        let file = file.unwrap();
        file.set_len(8192).unwrap();
        file.sync_all().unwrap();
        // SAFETY: the mapping is as long as the file, is used within its bounds, and is removed before the end.
        unsafe {
            let descriptor = std::os::fd::AsRawFd::as_raw_fd(&file);
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let map = libc::mmap(std::ptr::null_mut(), 8192, protection, libc::MAP_SHARED, descriptor, 0);
            assert_ne!(map, libc::MAP_FAILED);
            let bytes = map.cast::<u8>();
            *bytes = 1;
            assert_eq!(libc::msync(map, 4096, libc::MS_SYNC), 0);
            *bytes.add(4096) = 2;
            // What a reader sees and what is durable differ now.
            let mut seen = [0; 1];
            file.read_exact_at(&mut seen, 4096).unwrap();
            assert_eq!(seen, [2]);
            libc::munmap(map, 8192);
        }
        drop(file);
        power_failure(&cluster, Survival::Nothing).await;
        let left = fs::read(at.join("map")).unwrap();
        assert_eq!((left[0], left[4096], left.len()), (1, 0, 8192));
    });
}

fn programs_see_the_errors(directory: &Path) {
    if !possible() {
        return;
    }
    block_on(async {
        let (cluster, _exits) = start(failing(SLEEPER, 1, directory)).await;
        let at = data(&cluster);
        let mut file = File::create(at.join("log")).unwrap();
        let errno = |result: std::io::Result<()>| result.err().and_then(|error| error.raw_os_error());
        let sound = DiskTrouble::default();
        let trouble = |trouble: DiskTrouble| _ = cluster.set_disk(N1, trouble).unwrap();
        file.write_all(b"x").unwrap();
        trouble(DiskTrouble { sync_error_ppm: 1_000_000, errors_max: 1, ..sound });
        assert_eq!(errno(file.sync_all()), Some(libc::EIO));
        assert_eq!(errno(file.sync_all()), None);
        trouble(DiskTrouble { write_error_ppm: 1_000_000, ..sound });
        assert_eq!(errno(file.write_all(b"x")), Some(libc::EIO));
        trouble(DiskTrouble { full: true, ..sound });
        assert_eq!(errno(file.write_all(&[0; 8192])), Some(libc::ENOSPC));
        trouble(DiskTrouble { read_only: true, ..sound });
        assert_eq!(errno(File::create(at.join("new")).map(drop)), Some(libc::EROFS));
        trouble(DiskTrouble { read_error_ppm: 1_000_000, ..sound });
        let mut byte = [0];
        assert_eq!(errno(File::open(at.join("log")).unwrap().read_exact(&mut byte)), Some(libc::EIO));
        trouble(DiskTrouble { sync_wait: Wait::For(20_000), ..sound });
        let began = Instant::now();
        file.sync_all().unwrap();
        assert!(began.elapsed() >= Duration::from_millis(20), "{:?}", began.elapsed());
        trouble(sound);
        file.write_all(b"y").and_then(|()| file.sync_all()).unwrap();
        let stats = cluster.disk(N1).unwrap().stats;
        assert_eq!((stats.sync_errors, stats.write_errors, stats.read_only), (1, 1, 1), "{stats:?}");
        // The kernel may cut one write or read into several requests.
        assert!(stats.no_space >= 1 && stats.read_errors >= 1 && stats.syncs_waited == 1, "{stats:?}");
    });
}

const HELD: DiskTrouble = DiskTrouble {
    sync_error_ppm: 0,
    write_error_ppm: 0,
    read_error_ppm: 0,
    errors_max: 0,
    flip_ppm: 0,
    full: false,
    read_only: false,
    sync_wait: Wait::Held,
    read_wait: Wait::None,
};

fn held_and_killed(directory: &Path) {
    if !possible() {
        return;
    }
    block_on(async {
        let (cluster, _exits) = start(failing(WRITER, 1, directory)).await;
        for _ in 0..10 {
            cluster.set_disk(N1, HELD).unwrap();
            eventually("a sync waits", || cluster.disk(N1).unwrap().waiting > 0);
            let began = Instant::now();
            cluster.signal(N1, NodeSignal::Kill).await.unwrap();
            assert!(began.elapsed() < Duration::from_secs(5));
            assert_eq!(cluster.process(N1), ProcessState::Down);
            cluster.edit_disk(N1, DiskEdit::PowerFailure { survival: Survival::Nothing }, 1).await.unwrap();
            cluster.set_disk(N1, DiskTrouble::default()).unwrap();
            Levers::start(&*cluster, N1).await.unwrap();
        }
    });
}

fn held_and_paused(directory: &Path) {
    if !possible() {
        return;
    }
    block_on(async {
        let (cluster, _exits) = start(failing(WRITER, 1, directory)).await;
        cluster.set_disk(N1, HELD).unwrap();
        eventually("a sync waits", || cluster.disk(N1).unwrap().waiting > 0);
        cluster.signal(N1, NodeSignal::Pause).await.unwrap();
        assert_eq!(cluster.process(N1), ProcessState::Paused);
        cluster.signal(N1, NodeSignal::Resume).await.unwrap();
        cluster.set_disk(N1, DiskTrouble::default()).unwrap();
        let before = cluster.disk(N1).unwrap().stats.syncs;
        eventually("it goes on", || cluster.disk(N1).unwrap().stats.syncs > before + 2);
    });
}

fn data_after_the_run(directory: &Path) {
    if !possible() {
        return;
    }
    block_on(async {
        let (cluster, _exits) = start(failing(SLEEPER, 2, directory)).await;
        let at = data(&cluster);
        fs::create_dir(at.join("wal")).unwrap();
        fs::write(at.join("wal/1"), [3; 5000]).unwrap();
        File::options().write(true).open(at.join("wal/1")).unwrap().set_len(100_000).unwrap();
        cluster.stop_all(Duration::from_millis(200)).await;
        cluster.save_disks().unwrap();
        drop(cluster);
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains("raftcheck"), "{mounts}");
        let saved = fs::read(at.join("wal/1")).unwrap();
        assert_eq!((saved.len(), saved[4999], saved[5000]), (100_000, 3, 0));
        assert!(at.join("ready").exists());
    });
}

/// The power of all nodes fails at once, three times; every acknowledged write is still there.
fn stores_keep_what_they_said(directory: &Path) {
    if !possible() {
        return;
    }
    let etcd = registry().iter().find(|kind| kind.name == "etcd").unwrap();
    let mut systems = vec![(etcd.build)(&SystemOptions::default()).unwrap()];
    if let Some(program) = common::bundled_node() {
        systems.push(Arc::new(RaftKv::new(program, Vec::new())));
    }
    for system in systems {
        match system.probe() {
            Ok(_) => block_on(loses_nothing(system, directory)),
            Err(missing) => println!("    NOT TESTED: {missing}"),
        }
        fs::remove_dir_all(directory.join("run")).unwrap_or_default();
    }
}

async fn loses_nothing(system: Arc<dyn System>, directory: &Path) {
    let name = system.name();
    let options = ClusterOptions { system, ..failing("", 3, directory) };
    let (cluster, _exits) = start(options).await;
    let client = cluster.connect(N1, Duration::from_secs(2));
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut process = 0;
    for round in 0..3 {
        for number in 0..40 {
            let (key, value) = (Key::new(format!("k{number}")), Value::Int(round * 1000 + number));
            loop {
                process += 1;
                let write = Op::Write { key: key.clone(), value: value.clone() };
                match client.call(ProcessId(process), &write).await.outcome {
                    Outcome::Ok(_) => break,
                    other => assert!(Instant::now() < deadline, "{name} takes no writes: {other:?}"),
                }
            }
        }
        let survival = match round {
            0 => Survival::Nothing,
            _ => Survival::Some { keep_ppm: 500_000, torn_ppm: 500_000 },
        };
        for node in cluster.nodes() {
            cluster.signal(node, NodeSignal::Kill).await.unwrap();
        }
        for node in cluster.nodes() {
            let edit = DiskEdit::PowerFailure { survival };
            let seed = round as u64 * 10 + u64::from(node.0);
            println!("    {name} {node}: {}", cluster.edit_disk(node, edit, seed).await.unwrap());
        }
        for node in cluster.nodes() {
            Levers::start(&*cluster, node).await.unwrap();
        }
        for number in 0..40 {
            let read = Op::Read { key: Key::new(format!("k{number}")) };
            let found = loop {
                process += 1;
                match client.call(ProcessId(process), &read).await.outcome {
                    Outcome::Ok(Reply::Value(found)) => break found,
                    other => assert!(Instant::now() < deadline, "{name} takes no reads: {other:?}"),
                }
            };
            assert_eq!(found, Value::Int(round * 1000 + number), "{name} lost an acknowledged write");
        }
    }
    cluster.stop_all(Duration::from_millis(200)).await;
}

fn busy_disks(directory: &Path) {
    block_on(async {
        let (cluster, _exits) = start(failing(WRITER, 3, directory)).await;
        cluster.set_disk(NodeId(2), HELD).unwrap();
        eventually("a sync waits", || cluster.disk(NodeId(2)).unwrap().waiting > 0);
        println!("ready");
        std::future::pending::<()>().await;
    });
}

/// The harness is killed while nodes wait for their disks: no process, no mount, nothing of it is left.
fn kills_leave_nothing(stage: &Stage) {
    let anybody = fs::metadata("/dev/fuse").is_ok_and(|device| device.mode() & 0o006 == 0o006);
    if !possible() || (stage.user() != 0 && !anybody) {
        println!("    NOT TESTED: user {} may not open /dev/fuse", stage.user());
        return;
    }
    for _ in 0..20 {
        let mut actor = stage.actor("busy_disks");
        // A group of its own: nothing else is killed.
        let mut actor = actor.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut said = [0; 5];
        actor.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        actor.kill().unwrap();
        actor.wait().unwrap();
        let needle = stage.directory.display().to_string();
        eventually("no process is left", || !processes().iter().any(|line| line.contains(&needle)));
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(&needle), "{mounts}");
        let _ = Command::new("rm").arg("-rf").arg(stage.directory.join("run")).status();
    }
}

/// The command lines of all processes.
fn processes() -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let line = |path: PathBuf| fs::read(path.join("cmdline")).ok();
    entries
        .filter_map(|entry| line(entry.path()))
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .collect()
}
