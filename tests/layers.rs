//! Dependencies point one way, as `docs/architecture.md` says: read from the manifests and the sources, so that the page
//! stays true.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The crates of the workspace beside the command itself.
const CRATES: [&str; 5] = ["checker", "workloads", "cluster", "nemesis", "raftkv"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names in a manifest's `[section]`.
fn section(manifest: &str, name: &str) -> BTreeSet<String> {
    let header = format!("[{name}]");
    let lines = manifest.lines().skip_while(|line| line.trim() != header).skip(1);
    let lines = lines.map(str::trim).take_while(|line| !line.starts_with('['));
    let entries = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    entries
        .map(|line| line.split(['.', '=', ' ']).next().unwrap_or_default().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

fn dependencies(folder: &str) -> BTreeSet<String> {
    section(&read(&root().join(folder).join("Cargo.toml")), "dependencies")
}

/// The crates of the workspace that each of them stands on.
fn workspace_edges() -> BTreeMap<&'static str, BTreeSet<String>> {
    let ours = |name: &&String| CRATES.contains(&name.as_str());
    CRATES
        .iter()
        .map(|folder| (*folder, dependencies(folder).iter().filter(ours).cloned().collect()))
        .collect()
}

#[test]
fn the_workspace_has_the_crates_that_the_page_names() {
    let manifest = read(&root().join("Cargo.toml"));
    let members = manifest.lines().find(|line| line.starts_with("members")).expect("members");
    let named: BTreeSet<&str> = members.split('"').skip(1).step_by(2).collect();
    assert_eq!(named, CRATES.into_iter().collect());
    let page = read(&root().join("docs/architecture.md"));
    for folder in CRATES {
        assert!(page.contains(&format!("\n{folder}/")), "docs/architecture.md does not name {folder}/");
    }
}

#[test]
fn dependencies_point_one_way() {
    let order = ["checker", "workloads", "cluster", "nemesis"];
    let edges = workspace_edges();
    for (place, folder) in order.iter().enumerate() {
        for dependency in &edges[folder] {
            assert!(
                order[..place].contains(&dependency.as_str()),
                "{folder} must not depend on {dependency}"
            );
        }
    }
    let root = dependencies(".");
    for folder in CRATES {
        assert!(root.contains(folder), "the command does not use {folder}");
    }
}

#[test]
fn the_bundled_node_and_the_harness_know_nothing_of_each_other() {
    let edges = workspace_edges();
    assert_eq!(edges["raftkv"], BTreeSet::new());
    for (folder, dependencies) in &edges {
        assert!(!dependencies.contains("raftkv"), "{folder} must not depend on raftkv");
        let manifest = read(&root().join(folder).join("Cargo.toml"));
        let for_tests = section(&manifest, "dev-dependencies");
        assert!(!for_tests.contains("raftkv") || *folder == "raftkv", "{folder} must not test with raftkv");
    }
}

#[test]
fn faults_know_no_clients() {
    let edges = workspace_edges();
    assert!(!edges["nemesis"].contains("workloads"));
    refuse("nemesis/src", &["workloads::", "checker::history", "cluster::client"]);
}

#[test]
fn judges_and_workloads_do_no_io_and_read_no_clock() {
    for folder in ["checker", "workloads"] {
        let dependencies = dependencies(folder);
        for forbidden in ["tokio", "nix", "libc", "reqwest", "tracing", "cluster"] {
            assert!(!dependencies.contains(forbidden), "{folder} must not depend on {forbidden}");
        }
        refuse(&format!("{folder}/src"), IO_AND_CLOCKS);
    }
    refuse("workloads/src", &["std::thread"]);
    // The checker shares out work between threads that end before its functions return, and waits for nothing else.
    refuse("checker/src", &["thread::sleep", "thread::spawn", "thread::Builder"]);
}

#[test]
fn the_core_of_the_node_does_no_io_and_reads_no_clock() {
    refuse("raftkv/src/raft", IO_AND_CLOCKS);
    refuse("raftkv/src/raft", &["tokio::", "rand::rng(", "thread_rng", "std::thread"]);
}

#[test]
fn the_director_reads_no_clock() {
    refuse("src/director", IO_AND_CLOCKS);
    refuse("src/director", &["tokio::", "std::thread"]);
}

const IO_AND_CLOCKS: &[&str] =
    &["std::fs", "std::net", "std::process", "std::env", "Instant::now", "SystemTime", "std::io::std"];

/// Fails if a source file below the folder says one of these outside of its tests and comments.
#[track_caller]
fn refuse(folder: &str, words: &[&str]) {
    let mut files = Vec::new();
    sources(&root().join(folder), &mut files);
    assert!(!files.is_empty(), "{folder} has no sources");
    for file in files {
        let text = read(&file);
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in words {
                assert!(!code.contains(word), "{}:{}: {word}", file.display(), number + 1);
            }
        }
    }
}

/// The sources of a folder, without files and folders of tests.
fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("entry").path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if stem == "tests" || stem.ends_with("_tests") || stem.ends_with("_test") {
            continue;
        }
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
