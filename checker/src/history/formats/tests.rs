//! Recorded histories with known verdicts, where they are at hand; and the readers on small and on damaged text.

use std::path::PathBuf;

use super::*;
use crate::history::{EventBody, Op, Outcome, Reply, Value};
use crate::linearizability::{FailedCas, check};
use crate::verdict::{Budget, Verdict};

/// The directory of recorded histories with a `verdicts.tsv`, or a loud note that there is none.
fn recorded() -> Option<PathBuf> {
    let near = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/histories");
    let place = std::env::var_os("RAFTCHECK_HISTORIES").map_or(near, PathBuf::from);
    if place.join("verdicts.tsv").is_file() {
        return Some(place);
    }
    eprintln!("SKIPPED: no recorded histories at {}; set RAFTCHECK_HISTORIES to judge them", place.display());
    None
}

#[test]
fn recorded_histories_get_their_known_verdicts() {
    let Some(place) = recorded() else { return };
    let table = std::fs::read_to_string(place.join("verdicts.tsv")).unwrap();
    let mut judged = 0;
    for line in table.lines() {
        let (file, expected) = line.split_once('\t').unwrap();
        let text = std::fs::read(place.join(file)).unwrap();
        let knossos = Reading { nil_reads: NilReads::Ignored, ..Reading::default() };
        let (format, reading) = match file.split('/').next() {
            Some("etcd") => (Format::PorcupineEtcd, Reading::default()),
            Some("kv") => (Format::PorcupineKv, Reading::default()),
            _ => (Format::JepsenEdn, knossos),
        };
        let history = read(format, &text, &reading).unwrap_or_else(|error| panic!("{file}: {error}"));
        let start = std::time::Instant::now();
        let expired = || start.elapsed().as_secs() > 60;
        let verdict =
            check(&history, FailedCas::Observe, &Budget { expired: &expired, memory_bytes: 1 << 30 });
        let found = match &verdict {
            Verdict::Holds(_) => "ok",
            Verdict::Violated(counterexample) => {
                assert!(!counterexample.evidence.is_empty());
                "violated"
            }
            Verdict::Inconclusive(_) => "inconclusive",
        };
        println!("{file}: {} in {:?}", crate::verdict::render("linearizable", &verdict), start.elapsed());
        assert_eq!(found, expected, "{file}: {verdict:?}");
        judged += 1;
    }
    println!("{judged} recorded histories judged");
    assert!(judged > 50);
}

const LINES: &str = r#"{:type :invoke, :f :read, :value nil, :process 0, :time 5, :index 0}
#jepsen.history.Op{:type :ok, :f :read, :value 3, :process 0, :time 9, :index 1, :error [:a {:b #{1 2}}]}
{:type :info, :f :start-partition, :process :nemesis, :time 10, :value {:n1 #{"n2"}}}
"#;

#[test]
fn a_map_a_line_and_a_vector_of_maps_are_the_same() {
    let lines = read(Format::JepsenEdn, LINES.as_bytes(), &Reading::default()).unwrap();
    let vector = format!("; a comment\n[{LINES}]");
    assert_eq!(read(Format::JepsenEdn, vector.as_bytes(), &Reading::default()).unwrap(), lines);
    assert_eq!(lines.events.len(), 2);
    assert_eq!(lines.events[1].body, EventBody::Complete(Outcome::Ok(Reply::Value(Value::Int(3)))));
    assert_eq!(lines.events[1].time, 9);
}

#[test]
fn independent_keys_are_a_matter_of_reading() {
    let text = "{:type :invoke, :f :cas, :value [7 [1 2]], :process 0}\n{:type :fail, :f :cas, :value [7 [1 2]], :process 0}";
    let reading =
        Reading { keys: Keys::Independent, cas_failure: CasFailure::Mismatch, ..Reading::default() };
    let history = read(Format::JepsenEdn, text.as_bytes(), &reading).unwrap();
    let EventBody::Invoke(Op::Cas { key, expected, .. }) = &history.events[0].body else { panic!() };
    assert_eq!((&*key.0, expected), ("7", &Value::Int(1)));
    assert_eq!(history.events[1].body, EventBody::Complete(Outcome::Ok(Reply::Mismatch(None))));
    let plain = "{:type :invoke, :f :write, :value 3, :process 0}";
    assert!(read(Format::JepsenEdn, plain.as_bytes(), &reading).unwrap_err().problem.contains("[key value]"));
}

#[test]
fn texts_are_taken_apart_into_pieces() {
    let text = "{:process 0, :type :invoke, :f :put, :key \"k\", :value \"ab\"}
{:process 0, :type :ok, :f :put, :key \"k\", :value \"ab\"}
{:process 0, :type :invoke, :f :append, :key \"k\", :value \"b\"}
{:process 0, :type :ok, :f :append, :key \"k\", :value \"b\"}
{:process 0, :type :invoke, :f :get, :key \"k\", :value nil}
{:process 0, :type :ok, :f :get, :key \"k\", :value \"abbx\"}";
    let history = read(Format::PorcupineKv, text.as_bytes(), &Reading::default()).unwrap();
    let list = Value::List(["ab", "b", "x"].map(|s| Value::Text(s.into())).to_vec());
    assert_eq!(history.events[5].body, EventBody::Complete(Outcome::Ok(Reply::Value(list))));
    let ambiguous = text.replace("\"b\"", "\"abc\"");
    assert!(read(Format::PorcupineKv, ambiguous.as_bytes(), &Reading::default()).is_err());
}

#[test]
fn damage_is_named_and_nothing_panics() {
    for cut in 0..LINES.len() {
        for format in [Format::JepsenEdn, Format::PorcupineEtcd, Format::PorcupineKv] {
            let _ = read(format, &LINES.as_bytes()[..cut], &Reading::default());
            let _ = read(format, &LINES.as_bytes()[cut..], &Reading::default());
        }
    }
    let deep = "[".repeat(100_000);
    assert!(read(Format::JepsenEdn, deep.as_bytes(), &Reading::default()).is_err());
    let discards = "#_".repeat(100_000);
    assert!(read(Format::JepsenEdn, discards.as_bytes(), &Reading::default()).is_err());
    let text = "{:process 0, :type :invoke, :f :read}\n  {:process 0, :type :ok, :f :read, :value {}}";
    let error = read(Format::JepsenEdn, text.as_bytes(), &Reading::default()).unwrap_err();
    assert_eq!((error.line, error.column), (2, 3), "{error}");
}
