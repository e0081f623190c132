//! `raftcheck ask` and its kin as people type them.

use support::{finish, raftcheck};

mod support;

#[test]
fn groups_and_their_questions_are_listed_in_either_language() {
    finish(&mut raftcheck(&["ask", "--lang", "en"])).exits(0).prints("Answered in words").prints("t-term");
    finish(&mut raftcheck(&["ask", "--lang", "zh"])).exits(0).prints("不靠运行回答的问题");
    let mut asked = raftcheck(&["ask"]);
    finish(asked.env("LC_ALL", "zh_CN.UTF-8")).exits(0).prints("不靠运行回答的问题");
}

#[test]
fn a_question_in_words_is_answered_by_name_number_and_words() {
    for query in [&["t-term"][..], &["S0-002"], &["s0-002"]] {
        let arguments = [&["ask", "--lang", "en", "--dry-run"], query].concat();
        finish(&mut raftcheck(&arguments)).exits(0).prints("logical clock");
    }
    let arguments = ["ask", "--lang", "zh", "--dry-run", "t-term"];
    finish(&mut raftcheck(&arguments)).exits(0).prints("逻辑时钟");
}

#[test]
fn an_unknown_question_names_the_three_nearest() {
    let done = finish(&mut raftcheck(&["ask", "t-trem", "--lang", "en"])).exits(64).complains("t-term");
    assert_eq!(done.stderr.lines().filter(|line| line.starts_with("  ")).count(), 3, "{done}");
    finish(&mut raftcheck(&["ask", "--group", "X"])).exits(64).complains("there is no group `X`");
    finish(&mut raftcheck(&["ask", "--group", "A", "--all"])).exits(64);
}

#[test]
fn answers_are_also_for_programs() {
    let done = finish(&mut raftcheck(&["ask", "t-term", "--json", "--lang", "en"])).exits(0);
    let document: serde_json::Value = serde_json::from_str(&done.stdout).expect("one JSON document");
    assert_eq!(document["questions"][0]["id"], "t-term");
    assert!(document["questions"][0]["answer"].as_str().is_some_and(|answer| answer.contains("term")));
}

#[test]
fn all_questions_can_be_planned() {
    // Nothing is run; every suite of the catalogue is read.
    finish(&mut raftcheck(&["ask", "--all", "--dry-run", "--lang", "en"])).exits(0);
}
