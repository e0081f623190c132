//! Bytes that are almost a suite, or nothing like one: always a suite or a positioned problem, never a panic.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::reading::PARTITION;
use super::vocabulary::vocabulary;
use crate::suite::{Colour, Origin, Problems, read};

/// Reads bytes, and looks at what comes back. True for a suite.
fn survives(bytes: &[u8]) -> bool {
    match read("suite.yaml", bytes, &[], &vocabulary()) {
        Ok(_) => true,
        Err(problems) => {
            well_formed(&problems);
            false
        }
    }
}

fn well_formed(problems: &Problems) {
    assert!(!problems.all().is_empty(), "neither a suite nor a problem");
    for (problem, located) in problems.all().iter().zip(problems.located()) {
        assert!(!problem.message.is_empty());
        assert_eq!(problem.place.origin, Origin::File);
        assert!(located.line >= 1 && located.column >= 1);
    }
    assert!(problems.render(Colour::Plain).contains("error"));
}

#[test]
fn every_truncation() {
    for end in 0..PARTITION.len() {
        survives(&PARTITION.as_bytes()[..end]);
    }
}

#[test]
fn every_single_deletion() {
    for at in 0..PARTITION.len() {
        let mut bytes = PARTITION.as_bytes().to_vec();
        bytes.remove(at);
        survives(&bytes);
    }
}

#[test]
fn random_mutations() {
    const ALPHABET: &[u8] = b" \n\t:-,[]{}\"'#&*!|>%@`?<=.~0159asnms/\xff\xc3\xa9\x00\r";
    let mut accepted = 0;
    for seed in 0..4000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = PARTITION.as_bytes().to_vec();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..bytes.len());
            let byte = ALPHABET[rng.random_range(0..ALPHABET.len())];
            match rng.random_range(0..4) {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => {
                    let end = (at + rng.random_range(1..60)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    let to = rng.random_range(0..bytes.len());
                    bytes.splice(to..to, piece);
                }
            }
        }
        accepted += u32::from(survives(&bytes));
    }
    // Some mutations only touch blanks or digits; if none were accepted, the test would test nothing.
    assert!((10..3000).contains(&accepted), "{accepted} of 4000 mutations were accepted");
}

#[test]
fn pathological_files() {
    let deep = "[".repeat(5000);
    let deep_maps = (0..500).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>();
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let repeat = format!("*a{}, ", n - 1).repeat(10);
        laughs.push_str(&format!("a{n}: &a{n} [{repeat}]\n"));
    }
    let files = [
        "",
        "\n\n",
        "---\n...\n",
        "# nothing\n",
        "null",
        "- a\n- b\n",
        "just text",
        "{",
        "}",
        "&a *a",
        "a: &a [*a]",
        "<<: 5",
        "<<: [1, 2]",
        "? [a, b]\n: c",
        "? {a: b}\n: c",
        "!!binary abc",
        "version: !!int 1",
        "%YAML 9.9\n---\na: b",
        "a: b\n---\nc: d\n",
        "\u{0}",
        "\u{feff}",
        "a: \"\\x\"",
        "a: |\n  text\n b",
        "\t- a",
        "name: '",
        "version: 1\nname: \u{1F600}\n",
        "duration: 99999999999999999999999999h",
        "system: { nodes: 99999999999999999999999999 }",
        "faults: { every: 0s, mix: [[]] }",
        "faults: { every: 1ns, mix: [{}] }\nduration: 1000000h",
        deep.as_str(),
        deep_maps.as_str(),
        laughs.as_str(),
    ];
    for file in files {
        assert!(!survives(file.as_bytes()), "{file:?} is not a suite");
    }
    assert!(!survives(&[0xff, 0xfe, 0x00]));
    assert!(!survives(&vec![b'a'; 2 << 20]));
}

#[test]
fn strange_set_arguments() {
    let strange =
        ["", "=", "read_mode", "=local", "read_mode=", "a=b=c", "日志=本地", "read_mode=\n", "preset=x"];
    for set in strange {
        let problems =
            read("suite.yaml", PARTITION.as_bytes(), &[set.to_owned()], &vocabulary()).unwrap_err();
        assert_eq!(problems.all().len(), 1, "{set:?}: {problems}");
        assert_eq!(problems.all()[0].place.origin, Origin::Set(0));
        assert!(problems.render(Colour::Ansi).contains("--set"), "{set:?}");
    }
}
