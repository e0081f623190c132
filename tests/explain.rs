//! `raftcheck check --explain` and `--html`: what is said of a verdict, and the page of a history.

mod support;

use std::path::Path;

use support::{Done, Place, finish, raftcheck};

const HOLDS: i32 = 0;
const VIOLATED: i32 = 1;
const USAGE: i32 = 64;

/// A register that shows a value that was overwritten, beside a write of unknown outcome.
const STALE: &str = "{:type :invoke, :f :write, :value 1, :process 0, :time 1000000}
{:type :ok, :f :write, :value 1, :process 0, :time 2000000}
{:type :invoke, :f :write, :value 2, :process 1, :time 2500000}
{:type :invoke, :f :write, :value 3, :process 0, :time 3000000}
{:type :ok, :f :write, :value 3, :process 0, :time 4000000}
{:type :invoke, :f :read, :value nil, :process 2, :time 5000000}
{:type :ok, :f :read, :value 1, :process 2, :time 6000000}
{:type :info, :f :write, :value 2, :process 1, :time 7000000}
";

fn check(place: &Place, name: &str, text: &str, options: &[&str]) -> Done {
    finish(raftcheck(&["check"]).arg(place.write(name, text)).args(options))
}

/// What follows the verdict.
fn explanation(done: &Done) -> &str {
    done.stdout.split_once("\n\n").map_or("", |(_, explanation)| explanation)
}

#[test]
fn a_violation_is_explained() {
    let place = Place::new();
    let done = check(&place, "history.edn", STALE, &["--explain", "--initial", "0"]).exits(VIOLATED);
    let expected = "\
linearizable: read x -> 1 was invoked after write x = 3 completed, yet write x = 1 had completed before write x = 3 was invoked: \
the older value came back
    process 0  |---a---|       |---b---|
    process 2                                  |---c---|
    a  process 0  1.000 .. 2.000 ms  write x = 1
    b  process 0  3.000 .. 4.000 ms  write x = 3
    c  process 2  5.000 .. 6.000 ms  read x -> 1
  What it demands:
    - Every operation seems to take effect at one instant between its call and its return.
  What the order of time says:
    - a ended at 2.000 ms, before b began at 3.000 ms: so a comes first
    - b ended at 4.000 ms, before c began at 5.000 ms: so b comes first
  What the answers say:
    - c read 1: x held it at that moment, and of these only a wrote it
  What would make it hold:
    - without b, or without c the others can be explained
    - c reading 3 instead of 1
";
    assert_eq!(explanation(&done), expected, "{done}");
}

#[test]
fn the_other_answers_are_explained_too() {
    let place = Place::new();
    let fine = STALE.replace(":read, :value 1", ":read, :value 3");
    let done = check(&place, "history.edn", &fine, &["--explain"]).exits(HOLDS);
    for text in [
        "3 operations were answered, 1 of them reads; 1 of unknown outcome",
        "at most 2 calls open at a time",
    ] {
        assert!(explanation(&done).contains(text), "{text}\n{done}");
    }
    let mixed = "{:type :invoke, :f :append, :value 1, :process 0}\n{:type :ok, :f :append, :value 1, :process 0}\n\
                 {:type :invoke, :f :cas, :value [1 2], :process 0}\n{:type :ok, :f :cas, :value [1 2], :process 0}\n";
    let done = check(&place, "mixed.edn", mixed, &["--explain"]).exits(2);
    for text in ["inconclusive: no model fits", "How far it came", "What would help", "neither a violation"] {
        assert!(explanation(&done).contains(text), "{text}\n{done}");
    }
}

#[test]
fn a_circle_of_transactions_has_arrows() {
    let place = Place::new();
    let text = "{:type :invoke, :f :txn, :value [[:append :x 1]], :process 0}
{:type :ok, :f :txn, :value [[:append :x 1]], :process 0}
{:type :invoke, :f :txn, :value [[:r :x nil]], :process 1}
{:type :ok, :f :txn, :value [[:r :x []]], :process 1}
{:type :invoke, :f :txn, :value [[:r :x nil]], :process 1}
{:type :ok, :f :txn, :value [[:r :x [1]]], :process 1}
";
    let page = place.path().join("page.html");
    let done = check(&place, "history.edn", text, &["--explain", "--html", &page.display().to_string()])
        .exits(VIOLATED);
    assert!(explanation(&done).contains("T1 --rw--> T2 --realtime--> T1"), "{done}");
    let page = read(&page);
    assert!(page.contains("The circle") && page.contains("T1 read x before T2 appended to it"), "{page}");
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_page_stands_alone() {
    let place = Place::new();
    let page = place.path().join("page.html");
    let file = page.display().to_string();
    let hostile = STALE.replace(":value 1,", ":value \"</script><img src=x>\",");
    check(&place, "history.edn", &hostile, &["--html", &file]).exits(VIOLATED);
    let text = read(&page);
    assert!(text.starts_with("<!DOCTYPE html>") && text.ends_with("</html>\n"));
    assert!(text.contains("VIOLATED") && text.contains("&lt;/script&gt;&lt;img"), "{text}");
    assert_eq!(text.matches("</script").count(), 2, "the data and the program");
    for loading in ["<img", "<link", "<iframe", "<object", "@import", "url(http"] {
        assert!(!text.contains(loading), "{loading}");
    }
}

#[test]
fn arguments_that_contradict_each_other_are_named() {
    let place = Place::new();
    let history = place.write("history.edn", STALE);
    let both = history.display().to_string();
    let refused: [(&[&str], &str); 9] = [
        (&["--model", "register", "--consistency", "serializable"], "--consistency is for transactions"),
        (&["--model", "list-append", "--initial", "0"], "--initial is for single operations"),
        (&["--model", "list-append", "--input-format", "porcupine-kv"], "has no transactions"),
        (&["--model", "set", "--failed-cas", "drop"], "which has no CAS"),
        (&["--independent", "--input-format", "raftcheck"], "names its keys"),
        (&["--explain", "--format", "json"], "--explain is text for people"),
        (&["--html", &both], "would write over the history"),
        (&["--html", "/"], "this is a directory"),
        (&["--html", "/no-such-directory/page.html"], "there is no directory"),
    ];
    for (options, words) in refused {
        let done = finish(raftcheck(&["check"]).arg(&history).args(options)).exits(USAGE);
        assert!(done.stderr.contains(words), "{options:?}\n{done}");
    }
    assert_eq!(read(&history), STALE, "nothing was written over");
    let done = finish(&mut raftcheck(&["check", &both, &both, "--html", "page.html"])).exits(USAGE);
    assert!(done.stderr.contains("these are 2 paths"), "{done}");
}
