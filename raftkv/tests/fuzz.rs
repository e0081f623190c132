//! The bodies of the fuzz targets, run by the stable toolchain over the checked-in corpus and over mutations of it, so that
//! neither rots. `UPDATE=1` writes the corpus again.

use std::path::PathBuf;

use raftkv::fuzz::TARGETS;
use raftkv::peers::codec;
use raftkv::raft::io::{HardState, NodeId, Persist, PersistId};
use raftkv::raft::log::{Entry, Payload, Position};
use raftkv::raft::message::*;
use raftkv::sessions::SessionCall;
use raftkv::store::{Command, Proposal};
use raftkv::wal::{self, Sizes, Wal};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Mutations of each target's corpus in one run.
const MUTATIONS: u32 = 10_000;

fn corpus(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

fn messages() -> Vec<Message> {
    let entry = |index, payload| Entry { index, term: 1, payload };
    let entries = vec![entry(1, Payload::Noop), entry(2, Payload::Command(vec![7; 5].into()))];
    let vote = VoteRequest { term: 1, last_index: 0, last_term: 0, occasion: Occasion::Timeout };
    vec![
        Message::RequestVote(vote),
        Message::VoteReply(VoteReply {
            term: 1,
            ballot: Ballot::PreVote,
            granted: true,
            committed: Position::default(),
        }),
        Message::VoteReply(VoteReply {
            term: 1,
            ballot: Ballot::Vote,
            granted: true,
            committed: Position::default(),
        }),
        Message::AppendEntries(AppendEntries { term: 1, prev_index: 0, prev_term: 0, entries, commit: 1 }),
        Message::AppendReply(AppendReply { term: 1, outcome: AppendOutcome::Matched(2) }),
        Message::Heartbeat(Heartbeat { term: 1, commit: 2, round: 1 }),
        Message::HeartbeatReply(HeartbeatReply { term: 1, round: 1, last_index: 2 }),
    ]
}

/// Honest inputs of a target.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "wal_reader" => {
            let (file, payloads) = segment();
            vec![[&[0], &file[..]].concat(), [&[1], &payloads[..]].concat()]
        }
        "peer_frame" => {
            let mut stream = vec![0];
            messages().iter().for_each(|message| codec::encode(message, &mut stream));
            let payloads = messages().into_iter().map(|message| {
                let payload = postcard::to_stdvec(&message).unwrap();
                [&[1], &payload[..]].concat()
            });
            payloads.chain([stream]).collect()
        }
        "raft_steps" => {
            // No weakened rule, three members, a voter, seed 1; then ticks, own writes and each message from n2.
            let mut script = vec![0, 2, 1, 1];
            for message in messages() {
                script.extend([0, 0, 200, 1]);
                script.extend([0, 3, 1, 1, 1]);
                script.extend([0, 9, 2]);
                script.extend(postcard::to_stdvec(&message).unwrap());
                script.extend([10, 1]);
            }
            script.extend([1, 1, 3, 9, 1, 1]);
            vec![script]
        }
        "snapshot_file" => {
            let payloads = snapshot_blocks();
            let mut file = b"RAFTKVS1".to_vec();
            let mut behind_lengths = vec![2];
            for payload in payloads {
                file.extend((payload.len() as u32).to_le_bytes());
                file.extend(crc32fast::hash(&payload).to_le_bytes());
                file.extend(&payload);
                behind_lengths.extend((payload.len() as u16).to_le_bytes());
                behind_lengths.extend(payload);
            }
            vec![[&[0], &file[..]].concat(), [&[1], &file[..]].concat(), behind_lengths]
        }
        "http_request" => [
            "\x00/kv/a%2Fb?mode=read_index\nraft-session-index:7\n\n",
            "\x01/kv/k?ttl=2s\nraft-session:1\nraft-seq:2\n\nvalue",
            "\x02/kv/k/cas\n\n{\"expected\":null,\"new\":\"b\"}",
            "\x02/kv/k/incr\n\n-3",
            "\x02/kv/k/lock?ttl=500ms\n\nme",
            "\x02/control/members\n\n{\"add\":{\"node\":\"n4\",\"address\":\"10.0.0.4\",\"part\":\"learner\"}}",
            "\x02/control/poke\n\n{\"node\":\"n2\",\"next_index\":5}",
            "\x01/control/failpoints\n\n{\"point\":\"mid_apply\",\"action\":\"hold\",\"skip\":2}",
        ]
        .map(|request| request.as_bytes().to_vec())
        .to_vec(),
        "raft_pool" => vec![pool_script(0), pool_script(1), pool_script(2)],
        other => panic!("no seeds for the target {other}: write some"),
    }
}

/// The payloads of a snapshot: its header, its pieces and its end.
fn snapshot_blocks() -> Vec<Vec<u8>> {
    let rules = raftkv::raft::rules::Rules::default();
    let mut store = raftkv::store::Store::new(&rules);
    for (index, command) in [
        Command::Put("k".into(), "v".into()),
        Command::Add("s".into(), "m".into()),
        Command::Increment("c".into(), 3),
    ]
    .into_iter()
    .enumerate()
    {
        let session = Some(SessionCall { client: 1, sequence: 1 + index as u64 });
        store.apply(1 + index as u64, &Proposal { stamp_ms: 1, session, command }.encode());
    }
    // See `snapshot/format.rs`: format 1, the entry that it covers, no configuration; the pieces; how many these are.
    let header = postcard::to_stdvec(&(1_u32, (3_u64, 1_u64), None::<()>)).unwrap();
    let pieces = store.encode()[4..].to_vec();
    let end = postcard::to_stdvec(&(store.keys() as u64 + 2)).unwrap();
    vec![header, pieces, end]
}

/// A cluster that elects a leader, writes, takes snapshots and loses a node now and then, spoken in acts.
fn pool_script(kind: u8) -> Vec<u8> {
    let mut script = vec![2, kind, 1, kind, 1, kind, 2];
    let mut random = ChaCha8Rng::seed_from_u64(u64::from(kind));
    // Patience ends at one node; then messages, syncs and writes in turn.
    script.extend([13, 0, 200]);
    for _ in 0..400 {
        let act = [0, 0, 0, 5, 13, 16, 16, 20, 20, 27, 19, 30][random.random_range(0..12)];
        script.extend([act, random.random_range(0..4), random.random_range(0..40)]);
    }
    script
}

/// A segment file without its blank space, and the same as payloads behind their lengths.
fn segment() -> (Vec<u8>, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wal");
    let (mut wal, _) = Wal::open(&path, Sizes { first: 4096, max: 4096 }).unwrap();
    wal.begin_boot().unwrap();
    for index in 1..=3 {
        let entry = Entry { index, term: index, payload: Payload::Command(vec![index as u8; 9].into()) };
        let hard_state = Some(HardState { term: index, voted_for: Some(NodeId(2)) });
        let truncate_from = (index == 3).then_some(3);
        let entries = vec![entry];
        wal.stage(&Persist {
            id: PersistId(index),
            hard_state,
            truncate_from,
            entries,
            ..Persist::default()
        });
        wal.commit().unwrap();
    }
    drop(wal);
    let mut file = std::fs::read(path.join(wal::segment_name(1))).unwrap();
    let written = file.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    file.truncate(written.next_multiple_of(8));
    // A frame begins with its length; its header and its payload fill a multiple of 8.
    let (mut payloads, mut at) = (Vec::new(), 0);
    while at < file.len() {
        let len = u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        payloads.push(u8::try_from(len).unwrap());
        payloads.extend(&file[at + wal::FRAME_HEADER..at + wal::FRAME_HEADER + len]);
        at += wal::FRAME_HEADER + len.next_multiple_of(8);
    }
    (file, payloads)
}

fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut ChaCha8Rng) {
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..6) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            2 if at < bytes.len() => bytes[at] = random.random_range(0..=255),
            3 => bytes.truncate(at),
            4 => bytes.insert(at, random.random_range(0..=255)),
            _ => {
                let other = &others[random.random_range(0..others.len())];
                let from = random.random_range(0..=other.len());
                let to = random.random_range(from..=other.len().min(from + 64));
                bytes.splice(at..at, other[from..to].iter().copied());
            }
        }
        bytes.truncate(1 << 16);
    }
}

#[test]
fn the_corpus_is_checked_in() {
    for (target, _) in TARGETS {
        let directory = corpus(target);
        for (number, seed) in seeds(target).into_iter().enumerate() {
            let path = directory.join(format!("seed-{number}"));
            if std::env::var_os("UPDATE").is_some() {
                std::fs::create_dir_all(&directory).unwrap();
                std::fs::write(&path, seed).unwrap();
            }
            assert!(path.is_file(), "{} is missing: run with UPDATE=1", path.display());
        }
    }
}

#[test]
fn no_target_panics_over_its_corpus_and_mutations_of_it() {
    for (target, body) in TARGETS {
        let mut inputs: Vec<Vec<u8>> = Vec::new();
        for entry in std::fs::read_dir(corpus(target)).unwrap() {
            inputs.push(std::fs::read(entry.unwrap().path()).unwrap());
        }
        inputs.extend(seeds(target));
        inputs.sort();
        inputs.iter().for_each(|input| body(input));
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for number in 0..MUTATIONS {
            let mut input = inputs[random.random_range(0..inputs.len())].clone();
            mutate(&mut input, &inputs, &mut random);
            let result = std::panic::catch_unwind(|| body(&input));
            assert!(result.is_ok(), "{target} panics over mutation {number}: {}", input.escape_ascii());
        }
    }
}

#[test]
fn the_honest_seeds_reach_what_they_are_meant_for() {
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = segment();
    std::fs::write(dir.path().join(wal::segment_name(1)), file).unwrap();
    let found = wal::read(dir.path()).unwrap().unwrap();
    assert_eq!((found.entries.len(), found.hard_state.term), (3, 3));
    let mut bytes = &seeds("peer_frame").pop().unwrap()[1..];
    let mut decoded = Vec::new();
    while let Ok(Some((message, len))) = codec::decode::<Message>(bytes, codec::FRAME_MAX) {
        decoded.push(message);
        bytes = &bytes[len..];
    }
    assert_eq!(decoded, messages());
}
