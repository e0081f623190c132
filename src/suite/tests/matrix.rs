//! What cells of a matrix become, and what a question is.

use super::reading::PARTITION;
use super::schema::{invalid, yaml};
use super::vocabulary::vocabulary;
use crate::suite::{
    Behaviour, Claim, Expect, Factor, NodeEvent, Part, Progress, SuiteFile, When, read_file, schema,
};

const MATRIX: &str = "\
version: 1
name: votes
system: { use: raftkv, nodes: 5, rules: { read_mode: log } }
workload: { kind: register, rate: \"${{ rate }}\", clients: 2 }
duration: 10s
faults: { every: \"${{ every }}\", mix: \"${{ faults }}\" }
question:
  group: A
  asked: [S1-023, S0-014]
  zh: 安全吗？
  en: Is it safe?
  answer: { zh: 不, en: No. }
  why: { zh: 因为, en: Because. }
  sources: [thesis 3.8]
matrix:
  - cell: first
    rules: { pre_vote: \"off\" }
    values: { rate: 100/s, every: 1s..2s, faults: [kill, pause] }
    expect: safe
  - cell: second
    nodes: 3
    rules: { read_mode: local }
    values: { rate: 50/s, every: 3s, faults: [kill] }
    thresholds: { ops_ok: [count>=100] }
    expect: { violates: linearizable }
  - cell: third
    duration: 20s
    values: &v { rate: 50/s, every: 3s, faults: [kill] }
    expect:
      stalls: { for: 2s }
      behaviour: [{ never: elected, node: n4, term: 3 }, { occurs: exits }]
  - cell: fourth
    values: *v
    expect: { live: { within: 1s, of: elections }, degrades: { measure: latency.p99, at-least: 1.5x, control: first } }
";

fn accept(source: &str) -> SuiteFile {
    read_file("suite.yaml", source.as_bytes(), &[], &vocabulary())
        .unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn a_cell_is_a_suite_of_its_own() {
    let file = accept(MATRIX);
    let [first, second, third, fourth] = &file.suites[..] else { panic!("{:?}", file.suites.len()) };
    assert_eq!((first.title().as_str(), second.title().as_str()), ("votes/first", "votes/second"));
    assert_eq!((first.system.nodes, second.system.nodes), (5, 3));
    let set =
        |suite: &crate::suite::Suite| suite.system.rules.clone().unwrap().set.into_iter().collect::<Vec<_>>();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(set(first), [pair("pre_vote", "off"), pair("read_mode", "log")]);
    assert_eq!(set(second), [pair("read_mode", "local")]);
    assert_eq!((first.workload.rate, second.workload.rate), (Some(100.0), Some(50.0)));
    let faults = |suite: &crate::suite::Suite| suite.faults.as_ref().unwrap().mix.len();
    assert_eq!((faults(first), faults(second)), (2, 1));
    assert_eq!((second.thresholds[0].value, third.duration_ns), (100.0, 20_000_000_000));
    assert_eq!(first.expect, Expect::Safe);
    assert_eq!(second.expect, Expect::Violates(vec!["linearizable".to_owned()]));
    assert_eq!(fourth.control(), Some("first"));
}

#[test]
fn claims_keep_their_bounds() {
    let file = accept(MATRIX);
    let [Claim::Stalls(stalls), Claim::Behaviour(never), Claim::Behaviour(occurs)] =
        file.suites[2].expect.claims()
    else {
        panic!("{:?}", file.suites[2].expect)
    };
    assert_eq!(
        (stalls.of, stalls.bound_ns, &stalls.part),
        (Progress::Writes, 2_000_000_000, &Part::default())
    );
    let expected = Behaviour {
        when: When::Never,
        event: NodeEvent::Elected,
        node: Some("n4".to_owned()),
        term: Some(3),
        part: Part::default(),
    };
    assert_eq!(*never, expected);
    assert_eq!(
        (occurs.when, occurs.event, occurs.part.after.as_deref()),
        (When::Occurs, NodeEvent::Exits, None)
    );
    let [Claim::Live(live), Claim::Degrades(degrades)] = file.suites[3].expect.claims() else {
        panic!("{:?}", file.suites[3].expect)
    };
    assert_eq!((live.of, &live.part), (Progress::Elections, &Part::default()));
    assert_eq!((degrades.factor, degrades.aggregate.as_str()), (Factor::AtLeast(1.5), "p99"));
    let words: Vec<String> = file.suites.iter().map(|suite| suite.expect.words()).collect();
    assert_eq!(words[2], "safe, stalls (no writes for 2s), n4: never elected in term 3, a node: exits");
}

#[test]
fn a_measure_of_nodes_may_be_that_of_one() {
    let measured = |how: &str| MATRIX.replace("measure: latency.p99", how);
    let file = accept(&measured("measure: memory.max, node: n2"));
    let words = "memory.max of n2 at least 1.5 times worse than in first";
    assert!(file.suites[3].expect.words().contains(words), "{}", file.suites[3].expect.words());
    assert_eq!(
        invalid(&schema(&vocabulary()), &yaml(&measured("measure: memory.max, node: n2")), "suite"),
        None
    );
    for (how, why) in [
        ("measure: latency.p99, node: n2", "not of a node"),
        ("measure: memory.max, node: n9", "`n1` to `n5`"),
        ("measure: memory.mx", "did you mean `memory.max`"),
        ("measure: memory.max, nod: n1", "did you mean `node`"),
    ] {
        let problems = read_file("suite.yaml", measured(how).as_bytes(), &[], &vocabulary()).unwrap_err();
        assert!(problems.to_string().contains(why), "{how}: {problems}");
    }
    let bounded = |bound: &str| {
        let source = MATRIX.replace("ops_ok: [count>=100]", &format!("memory: [{bound}]"));
        read_file("suite.yaml", source.as_bytes(), &[], &vocabulary())
    };
    assert!(bounded("max<=200MiB").is_ok());
    let problems = bounded("max<=200MB").unwrap_err().to_string();
    assert!(problems.contains("max<=200MiB"), "{problems}");
}

#[test]
fn a_question_is_read_in_both_languages() {
    let question = accept(MATRIX).question.unwrap();
    assert_eq!(
        (question.group, question.asked.as_slice()),
        ('A', &["S1-023".to_owned(), "S0-014".to_owned()][..])
    );
    assert_eq!((question.question.zh.as_str(), question.why.en.as_str()), ("安全吗？", "Because."));
    assert_eq!(accept(PARTITION).question, None);
}

#[test]
fn plans_hold_claims() {
    for suite in accept(MATRIX).suites {
        let json = serde_json::to_string(&suite).unwrap();
        assert_eq!(serde_json::from_str::<crate::suite::Suite>(&json).unwrap(), suite);
    }
}

#[test]
fn a_matrix_is_valid_against_the_schema() {
    let source = MATRIX.to_owned();
    let schema = schema(&vocabulary());
    assert_eq!(invalid(&schema, &yaml(&source), "suite"), None);
    for (from, to) in [
        ("expect: safe", "expect: unsafe"),
        ("- cell: first\n   ", "-"),
        ("stalls: { for: 2s }", "stalls: { within: 2s }"),
        ("never: elected", "never: elect"),
        ("group: A", "group: a"),
        ("control: first }", "contrl: first }"),
    ] {
        let broken = source.replace(from, to);
        assert_ne!(broken, source, "{from} does not occur");
        assert!(invalid(&schema, &yaml(&broken), "suite").is_some(), "{to} is valid");
    }
}

#[test]
fn templates_cannot_make_a_suite_grow_without_end() {
    let value = "x".repeat(1000);
    let text = "${{ v }}".repeat(2000);
    let source = format!(
        "version: 1\nname: \"{text}\"\nsystem: {{ use: raftkv }}\nworkload: {{ kind: set }}\nduration: 10s\n\
         matrix:\n  - {{ cell: a, values: {{ v: {value} }}, expect: safe }}\n"
    );
    let problems = read_file("suite.yaml", source.as_bytes(), &[], &vocabulary()).unwrap_err();
    assert!(problems.to_string().contains("more than 65536 bytes"), "{problems}");
    let list = format!("[{}]", vec!["1"; 3000].join(","));
    let uses = vec!["\"${{ v }}\""; 3000].join(",");
    let source = format!(
        "version: 1\nname: a\nsystem: {{ use: raftkv }}\nworkload: {{ kind: set }}\nduration: 10s\nchecks: [{uses}]\n\
         matrix:\n  - {{ cell: a, values: {{ v: {list} }}, expect: safe }}\n"
    );
    let problems = read_file("suite.yaml", source.as_bytes(), &[], &vocabulary()).unwrap_err();
    assert!(problems.to_string().contains("more than 20000 values"), "{problems}");
}

const STORIES: &str = "\
version: 1
name: stories
system: { use: raftkv, nodes: 3 }
procedures:
  kill: { steps: [{ kill: n1 }, { call: back }] }
  pause: { steps: [{ pause: n1 }] }
  back: { steps: [{ start: n1 }] }
steps:
  - call: ${{ story }}
checks: [linearizable]
matrix:
  - { cell: one, values: { story: kill }, expect: safe }
  - { cell: two, values: { story: pause }, expect: safe }
";

#[test]
fn cells_choose_among_procedures() {
    let file = accept(STORIES);
    let steps: Vec<usize> =
        file.suites.iter().map(|suite| suite.script.as_ref().unwrap().steps.len()).collect();
    assert_eq!(steps, [1, 1]);
    // What no cell calls is still refused.
    let source = STORIES.replace("story: pause", "story: kill");
    let problems = read_file("suite.yaml", source.as_bytes(), &[], &vocabulary()).unwrap_err().to_string();
    assert!(problems.contains("no step calls the procedure `pause`"), "{problems}");
    assert!(!problems.contains("`back`"), "{problems}");
}
