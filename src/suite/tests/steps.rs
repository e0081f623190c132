//! The page about choreographies against the reader, and every verb against the plan that a run reads again.

use crate::script::expr::Function;
use crate::suite::{Claim, Expect, Suite, read, verbs, vocabulary};

const PAGE: &str = include_str!("../../../docs/questions.md");

fn accept(source: &str) -> Suite {
    read("suite.yaml", source.as_bytes(), &[], &vocabulary())
        .unwrap_or_else(|problems| panic!("{source}\n{problems}"))
}

#[test]
fn every_suite_of_the_page_is_read_and_survives_a_plan() {
    let blocks = PAGE.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let suites: Vec<&str> = blocks.filter(|block| block.starts_with("version: 1\n")).collect();
    assert!(suites.len() >= 4, "{}", suites.len());
    for source in suites {
        let suite = accept(source);
        let text = serde_json::to_string(&suite).expect("a suite can be written");
        assert_eq!(serde_json::from_str::<Suite>(&text).expect("and read again"), suite);
    }
}

#[test]
fn the_page_has_every_verb_and_every_function() {
    for (verb, _) in verbs() {
        assert!(PAGE.contains(&format!("`{verb}")), "{verb}");
    }
    for function in Function::ALL {
        assert!(PAGE.contains(&format!("`{}(", function.name())), "{}", function.name());
    }
}

/// The sentence of each verb holds an example, and the reader takes it where it stands for itself.
#[test]
fn the_examples_of_verbs_are_steps() {
    let head = "version: 1\nname: x\nsystem: { use: raftkv, nodes: 3, spares: 2 }\nsteps:\n  - begin: { put: { key: k, value: 1 }, \
                as: w }\n  - copy-data: { node: n1, to: yesterday }\n  - hold-messages: { to: n1 }\n    label: LABEL\n  - \
                fault: { kill: { target: n1 } }\n    label: LABEL\n";
    let mut read_so_far = 0;
    for (verb, sentence) in verbs() {
        for example in sentence.split('`').skip(1).step_by(2) {
            let stands_alone = example.starts_with(&format!("{verb}:")) && !sentence.contains("` with ");
            if stands_alone && !matches!(*verb, "parallel" | "call" | "repeat" | "for-each" | "if") {
                accept(&format!("{head}  - {example}\nchecks: [state-machine-safety]\n"));
                read_so_far += 1;
            }
        }
    }
    assert!(read_so_far >= 50, "{read_so_far}");
}

#[test]
fn what_begins_is_an_operation_or_an_order_and_nothing_is_expected_of_it() {
    let read = |step: &str| {
        let head = "version: 1\nname: x\nsystem: { use: raftkv, nodes: 3, spares: 1 }\nsteps:\n";
        read("suite.yaml", format!("{head}  - {step}\n").as_bytes(), &[], &vocabulary())
            .map_err(|problems| problems.to_string())
    };
    for step in [
        "begin: { put: { key: k, value: 1 }, as: w }",
        "begin: { campaign: n1 }",
        "begin: { snapshot: [n1, n2], as: x }",
        "begin: { transfer: { from: n1, to: n2 }, as: x }",
        "begin: { change-members: { at: n1, to: [n1, n4] }, as: x }",
    ] {
        read(step).unwrap_or_else(|problems| panic!("{problems}"));
    }
    for (step, why) in [
        ("begin: { kill: n1, as: x }", "no order that takes its time"),
        ("begin: { campaign: { node: n1, expect: refused }, as: x }", "nothing can be expected"),
        ("begin: { add-member: { at: n1 }, as: x }", "has no `node`"),
        ("start-twin: { node: n2, of: n1 }", "needs a host of its own"),
        ("put: { key: k, value: 1, ttl: 5s }", "turns to one node"),
        ("poison: { key: k, value: 1 }", "turns to one node"),
        ("put: { key: k, value: 1, bytes: 0 }", "`bytes` cannot be `0`"),
        ("get: { key: k, bytes: 7 }", "unknown"),
        ("begin: { add-member: { at: n1, node: n5 }, as: x }", "`n1` to `n4`"),
    ] {
        let problems = read(step).expect_err(step);
        assert!(problems.contains(why), "{step}: {problems}");
    }
}

#[test]
fn writes_that_end_by_themselves_are_not_judged_by_the_history() {
    let suite = |checks: &str| {
        format!(
            "version: 1\nname: x\nsystem: {{ use: raftkv, nodes: 3 }}\nsteps:\n  - put: {{ at: n1, key: k, value: 1, ttl: 500ms }}\n\
             {checks}"
        )
    };
    let read = |checks: &str| read("suite.yaml", suite(checks).as_bytes(), &[], &vocabulary());
    assert!(read("checks: [state-machine-safety]\n").is_ok());
    for (checks, why) in [
        ("checks: [linearizable: { timeout: 5s }, state-machine-safety]\n", "`linearizable` does not know"),
        ("", "name the `checks`"),
    ] {
        let problems = read(checks).expect_err(checks).to_string();
        assert!(problems.contains(why), "{problems}");
    }
}

/// A suite that ends with these steps, behind one that takes a lock and one that takes none.
fn with_lock(steps: &str, checks: &str) -> String {
    let head = "version: 1\nname: x\nsystem: { use: raftkv, nodes: 3 }\nsteps:\n  - lock: { at: n1, key: l, client: a, ttl: 300ms, \
                as: first }\n  - put: { at: n1, key: x, value: 1, client: b, as: w }\n";
    format!("{head}{steps}{checks}")
}

#[test]
fn a_write_carries_the_token_of_a_lock_operation() {
    let read = |step: &str| {
        let source = with_lock(&format!("  - {step}\n"), "checks: [mutual-exclusion, lost-commits]\n");
        read("suite.yaml", source.as_bytes(), &[], &vocabulary()).map_err(|problems| problems.to_string())
    };
    for step in [
        "put: { at: n1, key: x, value: 1, client: a, token: first }",
        "begin: { lock: { at: n1, key: l, client: b, ttl: 1s }, as: second }",
        "begin: { put: { at: n1, key: x, value: 1, token: first }, as: w }",
        "lock: { key: m, client: a }",
        "unlock: { key: l, client: a, expect: failed }",
        "get: { at: n1, key: l, sees: reply(first) }",
    ] {
        read(step).unwrap_or_else(|problems| panic!("{step}: {problems}"));
    }
    for (step, why) in [
        ("put: { at: n1, key: x, value: 1, token: frist }", "did you mean `first`"),
        ("put: { at: n1, key: x, value: 1, token: w }", "`w` takes no lock"),
        ("put: { key: x, value: 1, token: first }", "turns to one node"),
        ("put: { at: n1, key: x, value: 1, token: first, ttl: 1s }", "does not end by itself"),
        ("append: { at: n1, key: x, value: 1, token: first }", "unknown"),
        ("lock: { at: n1, key: l }", "has no `client`"),
        ("lock: { at: n1, key: l, client: a, tll: 1s }", "did you mean `ttl`"),
        ("lock: { key: l, client: a, ttl: 1s }", "turns to one node"),
        ("unlock: { at: n1, key: l, client: a, ttl: 1s }", "unknown"),
        ("lokc: { at: n1, key: l, client: a }", "did you mean `lock`"),
    ] {
        let problems = read(step).expect_err(step);
        assert!(problems.contains(why), "{step}: {problems}");
    }
    let etcd = with_lock("", "checks: [mutual-exclusion]\n").replace("raftkv", "etcd");
    let problems =
        super::super::read("suite.yaml", etcd.as_bytes(), &[], &vocabulary()).expect_err("no locks");
    assert!(problems.to_string().contains("`etcd` cannot perform acquire"), "{problems}");
}

#[test]
fn locks_beside_keys_are_not_judged_as_linearizable() {
    let read = |checks: &str| {
        read("suite.yaml", with_lock("", checks).as_bytes(), &[], &vocabulary()).map_err(|p| p.to_string())
    };
    read("checks: [mutual-exclusion, lost-commits, stale-read]\n").unwrap_or_else(|p| panic!("{p}"));
    let problems = read("checks: [linearizable]\n").expect_err("it knows no locks");
    assert!(problems.contains("`linearizable` does not know locks"), "{problems}");
    let problems = read("").expect_err("all that fit would include it");
    assert!(problems.contains("name the `checks`"), "{problems}");
}

#[test]
fn claims_look_at_a_part_between_labels() {
    let source = "version: 1\nname: x\nsystem: { use: raftkv, nodes: 3 }\nsteps:\n  - campaign: n1\n    label: stood\n  - kill: n1\n    \
                  label: gone\nchecks: [election-safety]\nexpect: { live: { within: 1s, after: stood, until: gone } }\n";
    let Expect::Shows(claims) = accept(source).expect else { panic!("it claims something") };
    let Claim::Live(live) = &claims[0] else { panic!("{claims:?}") };
    assert_eq!((live.part.after.as_deref(), live.part.until.as_deref()), (Some("stood"), Some("gone")));
}

#[test]
fn a_fault_of_a_step_may_be_done_to_a_spare_host() {
    let suite = |node: &str| {
        format!(
            "version: 1\nname: x\nsystem: {{ use: raftkv, nodes: 3, spares: 1 }}\nsteps:\n  - start: n4\n  - fault: {{ network: {{ \
             target: {node}, delay: 5ms }} }}\n    label: slow\nexpect: {{ behaviour: {{ never: elected, node: {node} }} }}\n\
             checks: [election-safety]\n"
        )
    };
    accept(&suite("n4"));
    accept(&suite("n4").replace("target: n4", "target: L").replace("- start: n4", "- let: { L: leader() }"));
    let problems = read("suite.yaml", suite("n5").as_bytes(), &[], &vocabulary()).expect_err("no such host");
    assert!(problems.to_string().contains("`n1` to `n4`"), "{problems}");
}
