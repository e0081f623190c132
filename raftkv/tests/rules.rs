//! Each rule of the protocol is consulted in exactly one place.
//!
//! A rule that is read nowhere is a documented switch without an effect; one that is read twice can be half
//! off.

use std::fs;
use std::path::{Path, PathBuf};

use raftkv::raft::rules::Rules;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_rule_is_consulted_once() {
    let mut paths = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&root, &mut paths);
    // The tables themselves do not count, and the simulation is not part of a node.
    paths.retain(|path| !path.starts_with(root.join("raft/rules")) && !path.starts_with(root.join("sim")));
    let texts: Vec<(PathBuf, String)> = paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            // Formatting may break a chain of fields over lines.
            (path, code.join("\n").split_whitespace().collect::<String>())
        })
        .collect();
    for rule in Rules::describe() {
        let needle = format!("rules.{}.{}", rule.group, rule.name);
        let places: Vec<&Path> = texts
            .iter()
            .flat_map(|(path, code)| {
                let whole = |(at, _): &(usize, &str)| {
                    let next = code[at + needle.len()..].chars().next();
                    !next.is_some_and(|c| c.is_alphanumeric() || c == '_')
                };
                code.match_indices(&needle).filter(whole).map(|_| path.as_path()).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(places.len(), 1, "{needle} is consulted in {places:?}");
    }
}

/// Values that are a number, a duration or a list have no finite set; their rules are named in a script or a test.
fn is_a_word(value: &str) -> bool {
    value.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') && !value.is_empty()
}

#[test]
fn every_value_is_shown_by_a_script_or_a_test() {
    let mut paths = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    sources(&root.join("src"), &mut paths);
    sources(&root.join("tests"), &mut paths);
    paths.extend(fs::read_dir(root.join("testdata")).unwrap().map(|entry| entry.unwrap().path()));
    // The lists that name every unsafe value show nothing of what they do.
    let lists = ["src/raft/rules", "src/sim/mod.rs", "src/sim/drawn.rs"];
    let names_only = |path: &PathBuf| lists.iter().any(|list| path.starts_with(root.join(list)));
    let texts: Vec<String> = paths
        .into_iter()
        .filter(|path| path.is_file() && !names_only(path))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    // Written out as `name=value`, or set by its name and a value that stands in the same file.
    let ends =
        |text: &str, at: usize| !text[at..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let shown = |name: &str, value: &str| {
        let (plain, call) = (format!("{name}={value}"), format!("\"{name}\", \"{value}\""));
        let (interpolated, quoted) = (format!("{name}={{"), format!("\"{value}\""));
        texts.iter().any(|text| {
            text.match_indices(&plain).any(|(at, _)| ends(text, at + plain.len()))
                || text.contains(&call)
                || (text.contains(&interpolated) && text.contains(&quoted))
        })
    };
    let named = |name: &str| texts.iter().any(|text| text.contains(&format!("{name}=")));
    let mut missing = Vec::new();
    for rule in Rules::describe() {
        let words: Vec<&str> = rule.values.iter().copied().filter(|value| is_a_word(value)).collect();
        let values = words.iter().filter(|value| **value != rule.default);
        let unseen = values.filter(|value| !shown(rule.name, value));
        missing.extend(unseen.map(|value| format!("{}={value}", rule.name)));
        if words.is_empty() && !named(rule.name) {
            missing.push(format!("{}=...", rule.name));
        }
    }
    assert!(missing.is_empty(), "no script and no test shows {missing:#?}");
}
