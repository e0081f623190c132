//! The suites of this repository and the examples of the registries, against the real vocabulary.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::schema::{invalid, yaml};
use crate::suite::{Evidence, Suite, is_suite, read, read_file, schema, vocabulary};

fn suites(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("the suites can be listed") {
        let path = entry.expect("the suites can be listed").path();
        if path.is_dir() {
            suites(&path, found);
        } else if is_suite(&path) {
            found.push(path);
        }
    }
}

fn accept(source: &str) -> Suite {
    read("suite.yaml", source.as_bytes(), &[], &vocabulary())
        .unwrap_or_else(|problems| panic!("{source}\n{problems}"))
}

#[test]
fn every_suite_is_read_and_valid() {
    let mut found = Vec::new();
    suites(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/suites")), &mut found);
    assert!(found.len() >= 7, "{found:?}");
    let schema = schema(&vocabulary());
    for path in found {
        let source = fs::read_to_string(&path).expect("a suite can be read");
        println!("{}", path.display());
        accept(&source);
        assert_eq!(invalid(&schema, &yaml(&source), "suite"), None);
        let comments = source.lines().take_while(|line| line.starts_with("# ")).count();
        // A question says itself what the suite shows.
        let question = read_file("suite", source.as_bytes(), &[], &vocabulary())
            .is_ok_and(|file| file.question.is_some());
        assert!(
            comments == 2 || question,
            "{}: a suite opens with what it shows, in two lines",
            path.display()
        );
    }
}

#[test]
fn every_example_is_read_and_its_own() {
    let words = vocabulary();
    let head = "version: 1\nname: example\nduration: 30s\n";
    for system in &words.systems {
        let example = &system.entry.example;
        let suite = accept(&format!("{head}system: {example}\nworkload: {{ kind: register }}\n"));
        assert_eq!(suite.system.system, system.entry.name);
    }
    let head = format!("{head}system: {{ use: raftkv }}\n");
    for workload in &words.workloads {
        let suite = accept(&format!("{head}{}", workload.entry.example));
        assert_eq!(suite.workload.kind, workload.entry.name);
    }
    let head = format!("{head}workload: {{ kind: register }}\n");
    for fault in &words.faults {
        // A twin needs a host.
        let head = head.replace("use: raftkv", "use: raftkv, spares: 1");
        let example = fault.entry.example.lines().map(|line| format!("    {line}\n")).collect::<String>();
        let suite = accept(&format!("{head}faults:\n  every: 3s\n  mix:\n{example}"));
        assert!(
            suite.faults.expect("there are faults").mix.iter().any(|used| used.fault == fault.entry.name)
        );
    }
    // The workload that every check of a history fits, but for those of what only steps call.
    let of_workload = head.replace("kind: register", "kind: append");
    let of_steps = "version: 1\nname: example\nsystem: { use: raftkv }\nsteps: [{ campaign: n1 }]\n";
    for check in &words.checks {
        let fits = words.workloads.iter().any(|workload| workload.checks.contains(&check.entry.name));
        let head = if fits || check.evidence != Evidence::Model { &of_workload } else { of_steps };
        let suite = accept(&format!("{head}{}\n", check.entry.example));
        assert!(suite.checks.iter().any(|used| used.check == check.entry.name), "{}", check.entry.example);
    }
}

/// Every setting without a value, every preset and every listed value of a rule is something that the reader takes.
#[test]
fn defaults_and_listed_values_are_accepted() {
    let words = vocabulary();
    assert!(!words.systems.is_empty() && !words.faults.is_empty() && !words.checks.is_empty());
    for system in &words.systems {
        let Some(book) = &system.rules else { continue };
        assert!(book.presets.iter().any(|(preset, _)| *preset == book.default_preset));
        for rule in &book.rules {
            for value in rule.values.iter().chain([&rule.default]) {
                assert_eq!((book.check)(&rule.name, value), Ok(()), "{}: {value}", rule.name);
            }
            assert!(rule.values.is_empty() != rule.form.is_empty(), "{}: words or a form", rule.name);
        }
    }
    for fault in
        words.faults.iter().filter(|fault| fault.entry.settings.iter().all(|set| set.default.is_some()))
    {
        let source = format!(
            "version: 1\nname: x\nduration: 30s\nsystem: {{ use: raftkv }}\nworkload: {{ kind: set }}\n\
             faults: {{ every: 3s, mix: [{}] }}\n",
            fault.entry.name
        );
        accept(&source.replace("use: raftkv", "use: raftkv, spares: 1"));
    }
}

/// A fault that no suite uses is one that nobody sees at work.
#[test]
fn every_fault_is_used_by_a_suite_and_those_for_any_process_by_one_of_etcd() {
    let mut found = Vec::new();
    for folder in ["suites", "suites/broken", "suites/reads", "suites/etcd"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let files = fs::read_dir(&folder).expect("the suites can be listed");
        found.extend(files.map(|file| file.expect("a suite").path()).filter(|path| is_suite(path)));
    }
    let (mut used, mut of_etcd) = (BTreeSet::new(), BTreeSet::new());
    for path in found {
        let suite = accept(&fs::read_to_string(&path).expect("a suite can be read"));
        let faults = suite.faults.iter().flat_map(|plan| plan.mix.iter().map(|entry| entry.fault.clone()));
        match suite.system.system.as_str() {
            "etcd" => of_etcd.extend(faults),
            _ => used.extend(faults),
        }
    }
    let words = vocabulary();
    let etcd = words.systems.iter().find(|system| system.entry.name == "etcd").expect("etcd");
    // Those that break what any Raft relies on tell nothing about etcd.
    let unsafe_by_nature = ["disk-error", "disk-full", "disk-flip", "disk-damage", "data-damage", "twin"];
    for kind in nemesis::faults::registry() {
        assert!(used.contains(kind.name), "no suite uses {}", kind.name);
        let fits = (kind.needs)(&crate::suite::defaults(kind.settings)).missing(&etcd.capabilities);
        if fits.is_empty() && !unsafe_by_nature.contains(&kind.name) {
            assert!(of_etcd.contains(kind.name), "no suite of etcd uses {}", kind.name);
        }
    }
}

#[test]
fn the_places_of_crash_at_are_those_of_the_bundled_node() {
    let words = vocabulary();
    let raftkv = words.systems.iter().find(|system| system.entry.name == "raftkv").expect("raftkv");
    assert_eq!(nemesis::faults::POINTS, raftkv.failpoints);
}

#[test]
fn a_fault_that_needs_a_spare_host_says_so_once() {
    let text = |spares: &str| {
        format!(
            "version: 1\nname: x\nduration: 30s\nsystem: {{ use: raftkv{spares} }}\nworkload: {{ kind: set }}\n\
             faults: {{ every: 3s, mix: [twin] }}\n"
        )
    };
    let refused = |spares: &str| {
        let text = text(spares);
        let refused = read("suite.yaml", text.as_bytes(), &[], &vocabulary());
        refused.expect_err("no spare host").to_string()
    };
    assert!(refused("").contains("say `spares: 1` in `system`"), "{}", refused(""));
    assert!(!refused(", spares: many").contains("a host that no node lives on"));
    accept(&text(", spares: 1"));
}
