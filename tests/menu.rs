//! Whole runs with the faults that need more than one lever, and the capture of what the network did.
//!
//! Every suite is short and written here. No test asserts how fast something is.

mod support;

use std::path::Path;

use serde_json::{Value, json as value};
use support::{Place, json, json_lines, verdict};

/// A suite of three nodes with these faults.
fn suite(system: &str, every: &str, mix: &[&str], rest: &str) -> String {
    let mix: String = mix.iter().map(|entry| format!("    - {entry}\n")).collect();
    format!(
        "version: 1\nname: short\nsystem: {{ use: raftkv, nodes: 3{system} }}\n\
         workload: {{ kind: register, clients: 6, rate: 300/s, keys: 3, mix: {{ read: 5, write: 4, cas: 1 }}, op-timeout: 500ms }}\n\
         duration: 4s\nfaults:\n  every: {every}\n  mix:\n{mix}quiesce: 8s\n{rest}"
    )
}

/// The proofs of the faults that were installed.
fn proofs(run: &Path) -> Vec<String> {
    let text = |line: &Value| line["proof"].as_str().unwrap_or_default().to_owned();
    let lines = json_lines(&run.join("faults.jsonl"));
    assert!(lines.iter().all(|line| line["event"] != "stuck"), "{lines:#?}");
    lines.iter().filter(|line| line["event"] == "installed").map(text).collect()
}

/// What became of their effects.
fn effects(run: &Path) -> Vec<String> {
    let lines = json_lines(&run.join("faults.jsonl"));
    lines.iter().filter_map(|line| Some(line["effect"]["seen"].as_str()?.to_owned())).collect()
}

#[test]
fn a_node_that_is_started_twice_is_refused_or_not_listened_to() {
    let place = Place::new();
    let mix = [
        "twin: { target: any, data: shared, for: 200ms..400ms }",
        "twin: { target: any, data: empty, for: 200ms..400ms }",
        "twin: { target: any, data: copy, for: 500ms..800ms }",
    ];
    let rest = "checks: [linearizable, lost-commits, election-safety, vote-once, commit-monotonic, term-monotonic]\n\
                thresholds: { faults_installed: [count>=3] }\nexpect: safe\n";
    let text = suite(", spares: 1, rules: { preset: production }", "300ms..600ms", &mix, rest);
    place.run(&text, &["--seed", "4"]).exits(0);
    let run = place.only_run();
    let judged = json(&run.join("verdict.json"));
    for check in ["election-safety", "vote-once", "commit-monotonic", "term-monotonic"] {
        assert_eq!(verdict(&judged, check), "holds");
    }
    let proofs = proofs(&run);
    let said = |text: &str| proofs.iter().any(|proof| proof.contains(text));
    assert!(said("ended at once") || said("n4 answers as"), "{proofs:#?}");
    // A twin that ends does right, and nothing of it is left on its host.
    let record = json(&run.join("run.json"));
    assert_eq!(record["unexpected_exits"], value!([]), "{record:#}");
    let effects = effects(&run);
    assert!(effects.iter().any(|seen| seen.starts_with("n4 ")), "{effects:#?}");
    let left = std::fs::read_dir(run.join("nodes/n4/data")).expect("a directory");
    assert_eq!(left.count(), 0);
}

#[test]
fn what_a_node_has_stored_is_damaged_and_the_damage_is_named() {
    let ways = [
        ("flip-bits, file: \"wal/*\", bits: 2", "flipped 2 bits of wal/"),
        ("truncate, file: \"wal/*\", bytes: 1000", "bytes off wal/"),
        ("delete-file, file: \"wal/*\"", "removed wal/"),
        ("wipe", "removed all "),
        ("restore, age: 300ms", " of earlier"),
        ("swap", "exchanged "),
    ];
    for (how, proof) in ways {
        let place = Place::new();
        let mix = format!("data-damage: {{ target: n3, how: {how}, limit: none, for: 100ms..200ms }}");
        // One node of three: it may refuse to start, and nobody who asks the other two may notice.
        let rest = "checks: [linearizable, lost-commits, election-safety]\nexpect: safe\n";
        let text = suite(", rules: { preset: production }", "1500ms", &[&mix], rest);
        let done = place.run(&text, &["--seed", "9"]);
        let run = place.only_run();
        let judged = json(&run.join("verdict.json"));
        assert_eq!(verdict(&judged, "election-safety"), "holds", "{how}: {done}");
        assert!(proofs(&run)[0].contains(proof), "{how}: {:?}", proofs(&run));
    }
}

/// The blocks of a pcapng file: kind and body. Both lengths of each are checked.
fn blocks(mut file: &[u8]) -> Vec<(u32, &[u8])> {
    let number = |bytes: &[u8]| u32::from_ne_bytes(bytes[..4].try_into().expect("four bytes"));
    let mut blocks = Vec::new();
    while !file.is_empty() {
        let length = number(&file[4..]) as usize;
        assert_eq!(number(&file[length - 4..]) as usize, length);
        blocks.push((number(file), &file[8..length - 4]));
        file = &file[length..];
    }
    blocks
}

#[test]
fn packets_are_captured_with_what_became_of_them() {
    const SECTION_HEADER: u32 = 0x0a0d_0d0a;
    const PACKET: u32 = 6;
    let place = Place::new();
    let rest = "checks: [linearizable]\nthresholds: { faults_installed: [count>=1] }\nexpect: safe\n";
    let mix = ["partition: { shape: isolate-leader, for: 500ms..800ms }"];
    let text = suite(", data: memory", "1s..1500ms", &mix, rest);
    place.run(&text, &["--seed", "3", "--pcap"]).exits(0);
    let run = place.only_run();
    let file = std::fs::read(run.join("network.pcapng")).expect("a capture");
    let blocks = blocks(&file);
    assert_eq!(blocks[0].0, SECTION_HEADER);
    let packets: Vec<&[u8]> =
        blocks.iter().filter(|(kind, _)| *kind == PACKET).map(|(_, body)| *body).collect();
    let holds = |body: &&&[u8], text: &[u8]| body.windows(text.len()).any(|window| window == text);
    let lost = packets.iter().filter(|body| holds(body, b"lost: the link drops it")).count();
    let puts = packets.iter().filter(|body| holds(body, b"PUT /kv/")).count();
    assert!(lost > 0 && puts > 100 && packets.len() > lost + puts, "{lost}, {puts} of {}", packets.len());
    let plan = json(&run.join("plan.json"));
    assert!(plan["command"].as_str().is_some_and(|command| command.ends_with(" --pcap")), "{plan:#}");
}

#[test]
fn without_being_asked_nothing_is_captured_and_the_bridge_cannot() {
    let place = Place::new();
    let rest = "checks: [linearizable]\nexpect: safe\n";
    let mix = ["partition: { shape: isolate-leader, for: 200ms }"];
    let text = suite(", data: memory", "1s", &mix, rest);
    let done = place.run(&text, &["--pcap", "--net", "kernel"]).exits(64);
    done.complains("--net switch");
    assert!(place.runs().is_empty());
    place.run(&text, &["--seed", "3"]).exits(0);
    assert!(!place.only_run().join("network.pcapng").exists());
}
