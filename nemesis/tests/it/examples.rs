//! What the registry says is true: examples and defaults work, names are kept, impossible settings are refused.

use std::collections::BTreeSet;

use checker::params::Param;
use cluster::cluster::Past;
use cluster::disk::Metadata;
use nemesis::faults::registry;
use nemesis::settings::for_range;

use crate::params::{read, try_fault};

#[test]
fn every_example_is_a_list_of_entries_that_build() {
    for kind in registry() {
        let example = kind.example();
        let entries: Vec<serde_json::Value> = serde_yaml::from_str(&example)
            .unwrap_or_else(|error| panic!("the example of {}: {error}\n{example}", kind.name));
        assert!(!entries.is_empty(), "{} has no example", kind.name);
        for entry in entries {
            let entry = entry.to_string();
            let (found, params) = read(&entry);
            assert_eq!(found.name, kind.name);
            (kind.build)(&params, 5).unwrap_or_else(|why| panic!("{entry}: {why}"));
        }
    }
}

#[test]
fn every_kind_builds_from_its_defaults_and_lasts_two_to_five_seconds_if_it_lasts() {
    for kind in registry() {
        let (_, params) = read(&format!("{}: {{}}", kind.name));
        assert!((kind.build)(&params, 3).is_ok(), "{}", kind.name);
        match kind.settings.iter().any(|setting| setting.name == "for") {
            true => assert_eq!(for_range(&params), Ok((2_000_000_000, 5_000_000_000)), "{}", kind.name),
            false => assert!(for_range(&params).is_err(), "{}", kind.name),
        }
    }
}

#[test]
fn names_are_unique_and_in_kebab_case_and_pages_are_complete() {
    let kebab = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let names: BTreeSet<&str> = registry().iter().map(|kind| kind.name).collect();
    assert_eq!(names.len(), registry().len());
    for kind in registry() {
        assert!(kebab(kind.name) && kind.settings.iter().all(|setting| kebab(setting.name)), "{}", kind.name);
        assert!(kind.summary.ends_with('.'), "{}", kind.name);
        let (page, proof) = kind.page_and_proof();
        assert!(proof.starts_with("The reader sees") && !proof.trim_end().contains("\n\n"), "{proof}");
        assert!(page.contains("```yaml") && !page.contains("The reader sees"), "{}", kind.name);
        let settings: BTreeSet<&str> = kind.settings.iter().map(|setting| setting.name).collect();
        assert_eq!(settings.len(), kind.settings.len(), "{} has a setting twice", kind.name);
    }
}

#[test]
fn settings_that_cannot_work_are_refused_with_the_reason() {
    let cases = [
        ("partition: { shape: ring }", 3, "needs 4 nodes"),
        ("partition: { shape: [majority, bridge] }", 2, "`majority` needs 3 nodes"),
        ("partition: { shape: [] }", 5, "`shape` is an empty list"),
        ("partition: { shape: one-way, direction: [] }", 5, "`direction` is an empty list"),
        ("partition: { shape: groups }", 3, "needs `groups:"),
        ("partition: { groups: [[n1], [n2, n3]] }", 3, "does not list `groups`"),
        ("partition: { shape: groups, groups: [[n1], [n2]] }", 3, "n3 stands in no group"),
        ("partition: { shape: groups, groups: [[n1, n2, n3]] }", 3, "nothing would be cut"),
        ("partition: { shape: groups, groups: [[n1], [n4, n2]] }", 3, "no node `n4`"),
        ("network: { delay: 1s, burst: 4 }", 3, "`loss` is 0%"),
        ("network: { delay: 61s }", 3, "`delay` is at most 1m"),
        ("network: { loss: 1% }", 1, "needs 2 nodes"),
        ("network: { loss: 1%, direction: [] }", 3, "`direction` is an empty list"),
        ("transfer-leader: { target: leader }", 5, "the one node that is to lead next"),
        ("kill: { target: n6 }", 5, "no node `n6`"),
        ("kill: { target: leeder }", 5, "`leader`"),
        ("pause: { target: minority }", 2, "needs 3 nodes"),
        ("power-failure: { unsynced: [] }", 3, "`unsynced` is empty"),
        ("disk-error: { share: 0% }", 3, "nothing would fail"),
        ("disk-slow: { sync: 0ms }", 3, "nothing would be slow"),
        ("disk-slow: { sync: 61s }", 3, "`sync` is longer than 1m"),
        ("messages: { target: all, direction: outgoing }", 3, "`direction: outgoing` is of one node"),
        ("disk-flip: { share: 0% }", 3, "nothing would be stored wrong"),
        ("twin: { target: all }", 3, "`target` is one node"),
        ("data-damage: { how: swap }", 1, "needs 2 nodes"),
        ("data-damage: { how: restore, age: 61s }", 3, "`age` is at most 1m"),
        ("starve: { share: 0% }", 3, "would run for 0 us"),
        ("starve: { share: 100% }", 3, "stand still for 0 us"),
        ("starve: { share: 50%, period: 61s }", 3, "`period` is at most 1m"),
        ("disk-damage: { how: rollback, age: 30s }", 3, "`age` is longer than 25s"),
    ];
    for (entry, nodes, expected) in cases {
        let why = try_fault(entry, nodes).err().unwrap_or_else(|| panic!("{entry} was accepted"));
        assert!(why.contains(expected), "{entry}: {why}");
    }
}

#[test]
fn params_of_the_wrong_type_are_refused_without_a_panic() {
    for kind in registry() {
        let (_, good) = read(&format!("{}: {{}}", kind.name));
        for setting in kind.settings.iter().filter(|setting| setting.name != "for") {
            let mut wrong = good.clone();
            wrong.0.insert(setting.name.to_owned(), Param::Flag(true));
            let why =
                (kind.build)(&wrong, 3).err().unwrap_or_else(|| panic!("{}: {}", kind.name, setting.name));
            assert!(why.contains(setting.name), "{why}");
            wrong.0.remove(setting.name);
            assert!((kind.build)(&wrong, 3).is_err());
        }
        assert!(for_range(&Default::default()).is_err());
    }
}

#[test]
fn needs_follow_from_the_settings() {
    let needs = |entry: &str| {
        let (kind, params) = read(entry);
        let needs = (kind.needs)(&params);
        (needs.roles, needs.edits)
    };
    assert_eq!(needs("kill: { target: any }"), (false, false));
    assert_eq!(needs("kill: { target: leader }"), (true, false));
    assert_eq!(needs("partition: { shape: [majority, isolate-leader] }"), (true, false));
    assert_eq!(needs("partition: { shape: majority, target: leader }"), (false, false));
    assert_eq!(needs("partition: { shape: isolate, target: follower }"), (true, false));
    assert_eq!(needs("network: { target: leader, loss: 1% }"), (true, false));
    assert_eq!(needs("truncate-log: {}"), (false, true));
    assert_eq!(needs("lose-vote: { target: follower }"), (true, true));
    let disk = |entry: &str| {
        let (kind, params) = read(entry);
        (kind.needs)(&params).disk.map(|disk| (disk.metadata, disk.past))
    };
    assert_eq!(disk("kill: {}"), None);
    assert_eq!(disk("disk-full: {}"), Some((Metadata::Journal, Past::Forgotten)));
    assert_eq!(disk("power-failure: { directories: strict }"), Some((Metadata::Strict, Past::Forgotten)));
    assert_eq!(disk("disk-damage: { how: rollback }"), Some((Metadata::Journal, Past::Remembered)));
    assert_eq!(needs("clock: { target: leader }"), (true, false));
    let clocks = |entry: &str| {
        let (kind, params) = read(entry);
        (kind.needs)(&params).clocks
    };
    assert!(clocks("clock: {}") && !clocks("pause: {}"));
    let words = |entry: &str| {
        let (kind, params) = read(entry);
        (kind.needs)(&params).in_words().join(", ")
    };
    assert_eq!(words("pause: {}"), "");
    assert_eq!(words("twin: { target: any }"), "a spare host (`spares: 1` in `system`)");
    assert!(words("flap: { target: leader }").contains("switch") && words("flap: {}").contains("switch"));
}
