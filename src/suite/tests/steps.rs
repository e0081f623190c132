//! The page about choreographies against the reader, and every verb against the plan that a run reads again.

use crate::script::expr::Function;
use crate::suite::{Suite, read, verbs, vocabulary};

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
                accept(&format!("{head}  - {example}\n"));
                read_so_far += 1;
            }
        }
    }
    assert!(read_so_far >= 50, "{read_so_far}");
}
