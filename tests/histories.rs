//! `raftcheck check` on histories that others recorded, and `raftcheck generate history`. Nothing here starts a node.
//!
//! Recorded histories with known verdicts are judged if `RAFTCHECK_HISTORIES` names a directory that holds them and a
//! `verdicts.tsv` (file, tab, `ok` or `violated`).

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use support::{Done, Place, ended, finish, raftcheck};

const HOLDS: i32 = 0;
const VIOLATED: i32 = 1;
const INCONCLUSIVE: i32 = 2;
const VACUOUS: i32 = 4;
const USAGE: i32 = 64;

fn check(file: &Path, options: &[&str]) -> Done {
    finish(raftcheck(&["check"]).arg(file).args(options))
}

/// Judges a text under this file name.
fn judge(name: &str, text: &str, options: &[&str]) -> Done {
    let place = Place::new();
    check(&place.write(name, text), options)
}

#[test]
fn recorded_histories_get_their_known_verdicts() {
    let Some(place) = std::env::var_os("RAFTCHECK_HISTORIES").map(PathBuf::from) else {
        eprintln!("SKIPPED: RAFTCHECK_HISTORIES is not set, so no recorded history was judged");
        return;
    };
    let table = std::fs::read_to_string(place.join("verdicts.tsv")).expect("verdicts.tsv");
    let mut judged = 0;
    for line in table.lines().filter(|line| !line.is_empty()) {
        let (file, verdict) = line.split_once('\t').expect("file, tab, verdict");
        let code = match verdict {
            "ok" => HOLDS,
            "violated" => VIOLATED,
            other => panic!("{file}: {other}"),
        };
        let done = check(&place.join(file), &[]).exits(code);
        let format = match file.split('/').next() {
            Some("etcd") => "format porcupine-etcd",
            Some("kv") => "format porcupine-kv",
            _ => "format knossos",
        };
        let _ = done.prints(format).prints(if code == HOLDS { "no violation" } else { "VIOLATED" });
        judged += 1;
    }
    assert!(judged > 0, "verdicts.tsv is empty");
    println!("{judged} recorded histories were judged");
}

const STALE: &str = "{:type :invoke, :f :write, :value 1, :process 0, :time 1000000}
{:type :ok, :f :write, :value 1, :process 0, :time 2000000}
{:type :info, :f :start, :process :nemesis, :time 2500000}
{:type :invoke, :f :read, :value nil, :process 1, :time 3000000}
{:type :ok, :f :read, :value nil, :process 1, :time 4000000}
";

#[test]
fn the_output_names_how_the_history_was_understood_and_what_contradicts_what() {
    let done = judge("history.edn", STALE, &[]).exits(VIOLATED);
    for text in
        ["format jepsen, model register (detected), initially nil", "2 operations on 1 key: 2 ok", "VIOLATED"]
    {
        assert!(done.stdout.contains(text), "{text}\n{done}");
    }
    for text in ["1.000 .. 2.000 ms  process 0", "3.000 .. 4.000 ms  process 1", "--initial"] {
        assert!(done.stdout.contains(text), "{text}\n{done}");
    }
    judge(
        "history.edn",
        &STALE.replace(":read, :value nil, :process 1, :time 4", ":read, :value 1, :process 1, :time 4"),
        &[],
    )
    .exits(HOLDS)
    .prints("no violation found in 2 operations");
    // A vector has no times here: its lines take their place.
    let vector = format!("[{}]", STALE.replace(":time", ":index"));
    judge("k.edn", &vector, &["--nil-reads", "exact"])
        .exits(VIOLATED)
        .prints("lines 1 .. 2")
        .prints("knossos");
    judge("k.edn", &vector, &[]).exits(HOLDS).prints("--nil-reads any");
}

#[test]
fn programs_get_one_document() {
    let done = judge("history.edn", STALE, &["--format", "json"]).exits(VIOLATED);
    let document: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    let history = &document["histories"][0];
    assert_eq!(history["result"]["verdict"], "violated");
    assert_eq!(history["model"], "register");
    assert_eq!(history["exit"], 1);
    assert_eq!(history["result"]["evidence"].as_array().map(Vec::len), Some(2));
}

#[test]
fn standard_input_and_a_jepsen_store_directory_are_histories_too() {
    let mut child =
        raftcheck(&["check", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("spawn");
    child.stdin.take().expect("piped").write_all(STALE.as_bytes()).expect("written");
    assert_eq!(ended(&mut child).code(), Some(VIOLATED));
    let place = Place::new();
    place.write("history.txt", "0\t:invoke\t:write\t1\n0\t:ok\t:write\t1\n");
    check(place.path(), &[]).exits(HOLDS).prints("history.txt: format jepsen");
    place.write("history.edn", STALE);
    check(place.path(), &[]).exits(VIOLATED).prints("history.edn: format jepsen");
}

#[test]
fn a_jepsen_store_is_judged_test_by_test_and_links_only_where_they_are_named() {
    let place = Place::new();
    let held =
        STALE.replace(":read, :value nil, :process 1, :time 4", ":read, :value 1, :process 1, :time 4");
    for (directory, text) in [("a/1", &held), ("b/1", &held), ("b/2", &STALE.to_owned())] {
        std::fs::create_dir_all(place.path().join("store").join(directory)).expect("a directory");
        place.write(&format!("store/{directory}/history.edn"), text);
    }
    std::fs::create_dir_all(place.path().join("store/b/3")).expect("a directory");
    place.write("store/b/3/jepsen.log", "it crashed\n");
    let store = place.path().join("store");
    std::os::unix::fs::symlink("1", store.join("b/latest")).expect("a link");
    std::os::unix::fs::symlink("b/1", store.join("latest")).expect("a link");
    let done = check(&store, &[]).exits(VIOLATED);
    let named: Vec<&str> = done.stdout.lines().filter(|line| line.contains("history.edn: format")).collect();
    assert_eq!(named.len(), 3, "{done}");
    for (line, test) in named.iter().zip(["a/1", "b/1", "b/2"]) {
        assert!(line.contains(&format!("store/{test}/history.edn")), "{done}");
    }
    assert_eq!(done.stdout.matches("VIOLATED").count(), 1, "{done}");
    check(&store.join("b/latest"), &[]).exits(HOLDS).prints("b/latest/history.edn: format jepsen");
    check(&store.join("latest"), &[]).exits(HOLDS);
    check(&store.join("a"), &[]).exits(HOLDS).prints("a/1/history.edn");
    done.complains("b/3: there is no history.edn or history.txt");
    check(&store.join("b/3"), &[]).exits(USAGE).complains("b/3: there is no history.edn");
    let page = place.path().join("page.html");
    finish(raftcheck(&["check"]).arg(&store).arg("--html").arg(&page)).exits(USAGE).complains("3 histories");
    assert!(!page.exists(), "a page was written");
}

#[test]
fn an_option_counts_for_those_tests_of_a_store_that_it_is_for() {
    let place = Place::new();
    let independent = STALE.replace(":value 1", ":value [7 1]").replace(":value nil", ":value [7 nil]");
    let transaction = "{:type :invoke, :f :txn, :value [[:append 1 1]], :process 0}\n\
                       {:type :ok, :f :txn, :value [[:append 1 1]], :process 0}\n";
    for (directory, text) in [("a/1", independent.as_str()), ("b/1", transaction)] {
        std::fs::create_dir_all(place.path().join("store").join(directory)).expect("a directory");
        place.write(&format!("store/{directory}/history.edn"), text);
    }
    let store = place.path().join("store");
    check(&store, &["--independent"])
        .exits(VIOLATED)
        .prints("note: --independent was left out here")
        .prints("2 histories: 1 violated, 1 without a violation");
    check(&store, &["--consistency", "serializable"])
        .exits(USAGE)
        .complains("a/1/history.edn:1:")
        .prints("serializable: no violation")
        .prints("2 histories: 1 without a violation, 1 not judged");
    check(&store.join("b"), &["--independent"])
        .exits(USAGE)
        .complains("--independent is for single operations");
    // Where a store lies deeper than one is looked for, and where the runs of suites do.
    let project = Place::new();
    std::fs::create_dir_all(project.path().join("store/a/b/c")).expect("a directory");
    check(project.path(), &[]).exits(USAGE).complains("raftcheck check ");
    std::fs::create_dir_all(project.path().join("suite/latest")).expect("a directory");
    project.write("suite/latest/plan.json", "{}");
    check(project.path(), &[]).exits(USAGE).complains("such as ").complains("suite/latest");
}

#[test]
fn what_cannot_be_judged_does_not_hide_what_can() {
    let place = Place::new();
    std::fs::create_dir_all(place.path().join("store/t/1")).expect("a directory");
    std::fs::create_dir_all(place.path().join("store/t/2")).expect("a directory");
    let half = &STALE[..STALE.len() / 2];
    place.write("store/t/1/history.edn", half);
    place.write("store/t/2/history.edn", STALE);
    let store = place.path().join("store");
    let lines = half.lines().count();
    check(&store, &[])
        .exits(VIOLATED)
        .complains(&format!("t/1/history.edn:{lines}:"))
        .prints("t/2/history.edn");
    let one = store.join("t/2/history.edn");
    let both = |second: &Path| finish(raftcheck(&["check"]).arg(&one).arg(second));
    both(&place.path().join("nowhere")).exits(VIOLATED).complains("nowhere: No such file");
    both(&place.write("other.edn", STALE.replace(":ok", ":info")))
        .exits(VIOLATED)
        .prints("other.edn: format jepsen");
}

#[test]
fn options_change_the_verdict_as_they_say() {
    judge("h.edn", STALE, &["--nil-reads", "any"]).exits(HOLDS);
    let zero = "{:type :invoke, :f :read, :process 0}\n{:type :ok, :f :read, :value 0, :process 0}\n";
    judge("h.edn", zero, &[]).exits(VIOLATED);
    judge("h.edn", zero, &["--initial", "0"]).exits(HOLDS).prints("initially 0").prints("in 1 operations");
    let nil = zero.replace(":value 0", ":value nil");
    judge("h.edn", &nil, &[]).exits(HOLDS);
    judge("h.edn", &nil, &["--initial", "7"]).exits(VIOLATED).prints("initially  write x = 7");
    let failed = "{:type :invoke, :f :cas, :value [nil 1], :process 0}\n{:type :fail, :f :cas, :process 0}\n\
                  {:type :invoke, :f :write, :value 1, :process 0}\n{:type :ok, :f :write, :value 1, :process 0}\n";
    judge("h.edn", failed, &[]).exits(HOLDS).prints("--failed-cas drop");
    judge("h.edn", failed, &["--failed-cas", "observe"]).exits(VIOLATED);
    let keys = "{:type :invoke, :f :write, :value [1 5], :process 0}\n{:type :ok, :f :write, :value [1 5], :process 0}\n\
                {:type :invoke, :f :read, :value [2 nil], :process 0}\n{:type :ok, :f :read, :value [2 nil], :process 0}\n";
    judge("h.edn", keys, &[]).exits(USAGE).complains("--independent");
    judge("h.edn", keys, &["--independent"]).exits(HOLDS).prints("on 2 keys");
    judge("h.edn", keys, &["--independent=no"]).exits(VIOLATED);
}

/// A hundred times locked and released, and then locked by two.
#[test]
fn a_mutex_speaks_of_itself_and_a_long_proof_is_cut() {
    let call =
        |f: &str| format!("{{:type :invoke, :f :{f}, :process 0}}\n{{:type :ok, :f :{f}, :process 0}}\n");
    let fair = [call("acquire"), call("release")].concat().repeat(100);
    judge("h.edn", &fair, &[]).exits(HOLDS).prints("model mutex (detected)");
    judge("h.edn", &fair, &["--initial", "locked"]).exits(VIOLATED).prints("initially \"locked\"");
    let text = fair + &call("acquire").repeat(2);
    let done = judge("h.edn", &text, &[]).exits(VIOLATED);
    assert!(done.stdout.contains("acquire x") && !done.stdout.contains("cas x"), "{done}");
    assert!(done.stdout.lines().count() <= 50, "{done}");
    let all = judge("h.edn", &text, &["--format", "json"]).exits(VIOLATED);
    assert!(all.stdout.contains("\"acquire x\""), "{all}");
}

#[test]
fn a_history_and_a_model_that_do_not_fit_are_refused() {
    let locks = format!("{STALE}{{:type :invoke, :f :acquire, :process 3, :time 9000000}}\n");
    judge("h.edn", &locks, &["--model", "register"])
        .exits(USAGE)
        .complains("h.edn:6:1: this history has :acquire at line 6, and the model is register");
    judge("h.edn", &locks, &[]).exits(USAGE).complains("no model knows it together with :write (line 1)");
    judge("h.edn", STALE, &["--model", "set"])
        .exits(USAGE)
        .complains(":write at line 1, and the model is set");
    let transaction = "{:type :invoke, :f :txn, :value [[:r 1 nil]], :process 0}";
    judge("h.edn", transaction, &["--model", "register"])
        .exits(USAGE)
        .complains("--model list-append or multi-register");
    judge("h.edn", STALE, &["--junit", "x.xml"]).exits(USAGE).complains("--junit");
    let place = Place::new();
    place.write("plan.json", "{}");
    check(place.path(), &["--model", "register"]).exits(USAGE).complains("--model is for history files");
}

#[test]
fn damage_has_a_file_a_line_and_a_column() {
    judge("h.edn", "{:type :invoke, :f :read, :process 0}\n  {:type :ok ]", &[])
        .exits(USAGE)
        .complains("h.edn:2:14: ");
    let header = "{\"format\":\"raftcheck-history\",\"version\":1}\n";
    judge("h.jsonl", &format!("{header}{{\"t\":x}}\n{{}}\n"), &[]).exits(USAGE).complains("h.jsonl:2:");
    judge("h.txt", "hello\n", &[]).exits(USAGE).complains("h.txt:1:1: ");
    judge("h.txt", "", &[]).exits(USAGE).complains("this is empty").complains("--input-format");
    judge("h.gz", "\u{1f}", &[]).exits(USAGE).complains("like no history");
    judge("test.jepsen", "JEPSEN\0\0", &[]).exits(USAGE).complains("history.edn beside it");
    judge("h.txt", "hello\n", &["--input-format", "jepsen"]).exits(USAGE).complains("h.txt:1:1: ");
    judge("h.edn", STALE, &["--timeout", "60"]).exits(USAGE).complains("unit");
    let cut = format!(
        "{header}{{\"t\":1,\"p\":0,\"type\":\"invoke\",\"f\":\"read\",\"key\":\"a\"}}\n{{\"t\":2,\"p\""
    );
    judge("h.jsonl", &cut, &[])
        .exits(VACUOUS)
        .prints("line 3 is cut off")
        .prints("could not have shown anything");
}

#[test]
fn what_no_model_decides_is_inconclusive() {
    let mixed = "{:type :invoke, :f :append, :value 1, :process 0}\n{:type :ok, :f :append, :process 0}\n\
                 {:type :invoke, :f :cas, :value [1 2], :process 0}\n{:type :ok, :f :cas, :process 0}\n";
    judge("h.edn", mixed, &[]).exits(INCONCLUSIVE).prints("model kv (detected)").prints("inconclusive");
}

#[test]
fn a_budget_that_ends_while_the_text_is_read_decides_nothing() {
    let transaction = "{:type :invoke, :f :txn, :value [[:r 1 nil]], :process 0}";
    for (text, property) in [(STALE, "linearizable"), (transaction, "strict-serializable")] {
        judge("h.edn", text, &["--timeout", "0s"])
            .exits(INCONCLUSIVE)
            .prints(&format!(
                "{property}: inconclusive: the time budget ran out: 0.0 MB of the text were read"
            ))
            .prints("note: a --timeout of more than 0ns");
        let json = judge("h.edn", text, &["--timeout", "0s", "--format", "json"]).exits(INCONCLUSIVE);
        json.prints("\"cause\": \"time\"").prints("\"exit\": 2");
    }
}

/// Generates with these arguments into a file, and judges it.
fn generated(arguments: &str, options: &[&str]) -> (Done, Done) {
    let place = Place::new();
    let file = place.path().join("generated");
    let mut command = raftcheck(&["generate", "history", "--seed", "11", "--out"]);
    let told = finish(command.arg(&file).args(arguments.split_whitespace())).exits(0);
    (told, check(&file, options))
}

#[test]
fn a_generated_history_has_the_verdict_that_it_was_given() {
    for model in ["register", "cas-register", "append", "set"] {
        for violation in ["none", "stale", "lost", "reordered"] {
            for rest in [
                "--format jsonl --values unique --unknown 5%",
                "--format edn --values 3 --keys 2",
                "--format edn --values unique",
            ] {
                let keys: &[&str] = if rest.contains("--keys") { &["--independent"] } else { &[] };
                let arguments =
                    format!("--model {model} --violation {violation} --operations 120 --clients 4 {rest}");
                let (told, done) = generated(&arguments, keys);
                let (code, truth) = match violation {
                    "none" => (HOLDS, "truth: linearizable"),
                    _ => (VIOLATED, "truth: not linearizable: key"),
                };
                assert!(told.stderr.contains(truth), "{arguments}: {told}");
                assert_eq!(done.code(), code, "{arguments}: {told}{done}");
            }
        }
    }
}

#[test]
fn a_seed_is_one_file() {
    let generate = |seed: &str| {
        finish(&mut raftcheck(&["generate", "history", "--unknown", "5%", "--seed", seed])).exits(0)
    };
    assert_eq!(generate("3").stdout, generate("3").stdout);
    assert_ne!(generate("3").stdout, generate("4").stdout);
    let one = ["generate", "history", "--values", "1", "--violation", "stale"];
    finish(&mut raftcheck(&one)).exits(USAGE).complains("two values");
}

#[test]
fn transactions_are_judged_at_the_level_that_is_asked_for() {
    let place = Place::new();
    let skew = "{:process 0 :time 1 :type :invoke :f :txn :value [[:r x nil] [:append y 1]]}
        {:process 1 :time 2 :type :invoke :f :txn :value [[:r y nil] [:append x 1]]}
        {:process 0 :time 3 :type :ok :f :txn :value [[:r x []] [:append y 1]]}
        {:process 1 :time 4 :type :ok :f :txn :value [[:r y []] [:append x 1]]}\n";
    let skew = place.write("skew.edn", skew);
    check(&skew, &[]).exits(VIOLATED).prints("G2: T1 read x before T2 appended to it");
    check(&skew, &["--consistency", "serializable"]).exits(VIOLATED);
    check(&skew, &["--consistency", "snapshot-isolation"]).exits(HOLDS).prints("no violation found in 2");
    check(&skew, &["--initial", "3"]).exits(USAGE).complains("--initial is for single operations");
    let register = place.write("register.edn", "{:process 0 :type :invoke :f :write :value 3}\n");
    check(&register, &["--consistency", "serializable"])
        .exits(USAGE)
        .complains("--consistency is for transactions");

    let file = place.path().join("generated.edn");
    let mut generate =
        raftcheck(&["generate", "history", "--model", "list-append", "--unknown", "2%", "--keys", "3"]);
    finish(generate.args(["--violation", "lost", "--out"]).arg(&file))
        .exits(0)
        .complains("not strict-serializable");
    check(&file, &[]).exits(VIOLATED).prints("G-single-realtime");
    check(&file, &["--consistency", "serializable"]).exits(HOLDS);
}
