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
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut paths);
    // The table itself does not count, and the simulation is not part of a node.
    paths.retain(|path| {
        !path.ends_with("raft/rules/mod.rs") && !path.components().any(|part| part.as_os_str() == "sim")
    });
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
