//! The readers on small and on damaged text. Whole recorded histories are judged through the command line.

use super::*;
use crate::history::{EventBody, Op, Outcome, Reply, Value};

/// Small texts of all formats, damaged at random places in random ways: an answer or an error with a place in the text.
#[test]
fn random_damage_never_panics() {
    use rand::{RngExt, SeedableRng};
    let seeds = [
        LINES.to_owned(),
        format!("; k\n[{LINES}]"),
        "0\t:invoke\t:cas\t[1 2]\n0\t:fail\t:cas\t[1 2]\t:timed-out\n".to_owned(),
        "INFO  jepsen.util - 0\t:invoke\t:write\t4\nINFO  jepsen.util - 0\t:info\t:write\t:timed-out\n".to_owned(),
        "{:process 0, :type :invoke, :f :append, :key \"k\", :value \"ab\"}\n{:process 0, :type :ok, :f :append, \
         :key \"k\", :value \"ab\"}\n{:process 0, :type :invoke, :f :get, :key \"k\"}\n{:process 0, :type :ok, :f \
         :get, :key \"k\", :value \"ab\"}"
            .to_owned(),
        "{\"format\":\"raftcheck-history\",\"version\":1}\n{\"t\":1,\"p\":0,\"type\":\"invoke\",\"f\":\"cas\",\
         \"key\":\"a\",\"value\":[1,2]}\n{\"t\":2,\"p\":0,\"type\":\"ok\",\"mismatch\":3}\n"
            .to_owned(),
    ];
    let pieces = [
        "",
        "\n",
        "[",
        "]",
        "}",
        "{",
        "\"",
        "\\",
        ":",
        "#",
        "#_",
        "-1",
        "nil",
        "\t",
        "\u{e4}",
        "9999999999999999999",
    ];
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
    for round in 0..40_000 {
        let mut text = seeds[round % seeds.len()].clone().into_bytes();
        for _ in 0..rng.random_range(1..4) {
            let from = rng.random_range(0..=text.len());
            let to = (from + rng.random_range(0..4)).min(text.len());
            let piece = pieces[rng.random_range(0..pieces.len())];
            text.splice(from..to, piece.bytes());
        }
        let keys = [Keys::Unsaid, Keys::One, Keys::Independent][rng.random_range(0..3)];
        let lines = 1 + text.iter().filter(|&&byte| byte == b'\n').count();
        for format in FORMATS.into_iter().chain(detect(&text)) {
            match read(format, &text, &Reading { keys, ..Reading::default() }) {
                Err(error) => assert!((1..=lines).contains(&error.line) && error.column > 0, "{error}"),
                Ok(mut recorded) => {
                    assert!(recorded.history().operations().is_ok(), "{}", String::from_utf8_lossy(&text));
                    for specification in Specification::ALL {
                        let mut recorded = recorded.clone();
                        if specification.fits(&recorded.functions).is_ok()
                            && specification.settle(&mut recorded, NilReads::Exact).is_ok()
                        {
                            assert!(recorded.history().operations().is_ok());
                        }
                    }
                    if let Ok(specification) = Specification::detect(&recorded) {
                        let _ = specification.settle(&mut recorded, NilReads::Ignored);
                    }
                }
            }
        }
    }
}

const FORMATS: [Format; 6] = [
    Format::Raftcheck,
    Format::JepsenEdn,
    Format::JepsenText,
    Format::KnossosEdn,
    Format::PorcupineEtcd,
    Format::PorcupineKv,
];

const LINES: &str = r#"{:type :invoke, :f :read, :value nil, :process 0, :time 5, :index 0}
#jepsen.history.Op{:type :ok, :f :read, :value 3, :process 0, :time 9, :index 1, :error [:a {:b #{1 2}}]}
{:type :info, :f :start-partition, :process :nemesis, :time 10, :value {:n1 #{"n2"}}}
"#;

#[test]
fn a_map_a_line_and_a_vector_of_maps_are_the_same() {
    let lines = read(Format::JepsenEdn, LINES.as_bytes(), &Reading::default()).unwrap();
    let vector = format!("; a comment\n[{LINES}]");
    let vector = read(Format::KnossosEdn, vector.as_bytes(), &Reading::default()).unwrap();
    assert_eq!(vector.history(), lines.history());
    assert_eq!((lines.functions[0].line, lines.functions[0].column), (1, 1));
    assert_eq!((vector.functions[0].line, vector.functions[0].column), (2, 2));
    assert_eq!(lines.history().events.len(), 2);
    assert_eq!(lines.history().events[1].body, EventBody::Complete(Outcome::Ok(Reply::Value(Value::Int(3)))));
    assert_eq!(lines.history().events[1].time, 9);
}

#[test]
fn independent_keys_are_a_matter_of_reading() {
    let text = "{:type :invoke, :f :cas, :value [7 [1 2]], :process 0}\n{:type :fail, :f :cas, :value [7 [1 2]], :process 0}";
    let reading =
        Reading { keys: Keys::Independent, cas_failure: CasFailure::Mismatch, ..Reading::default() };
    let history = read(Format::JepsenEdn, text.as_bytes(), &reading).unwrap().history();
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
    let history = read(Format::PorcupineKv, text.as_bytes(), &Reading::default()).unwrap().history();
    let list = Value::List(["ab", "b", "x"].map(|s| Value::Text(s.into())).to_vec());
    assert_eq!(history.events[5].body, EventBody::Complete(Outcome::Ok(Reply::Value(list))));
    let ambiguous = text.replace("\"b\"", "\"abc\"");
    assert!(read(Format::PorcupineKv, ambiguous.as_bytes(), &Reading::default()).is_err());
}

#[test]
fn damage_is_named_and_nothing_panics() {
    for cut in 0..LINES.len() {
        for format in FORMATS {
            let _ = read(format, &LINES.as_bytes()[..cut], &Reading::default());
            let _ = read(format, &LINES.as_bytes()[cut..], &Reading::default());
        }
    }
    let deep = "[".repeat(100_000);
    assert!(read(Format::JepsenEdn, deep.as_bytes(), &Reading::default()).is_err());
    let discards = "#_".repeat(100_000);
    assert!(read(Format::JepsenEdn, discards.as_bytes(), &Reading::default()).is_err());
    let text = "{:process 0, :type :invoke, :f :read}\n  {:process 0, :type :never, :f :read, :value {}}";
    let error = read(Format::JepsenEdn, text.as_bytes(), &Reading::default()).unwrap_err();
    assert_eq!((error.line, error.column), (2, 3), "{error}");
}

fn spec(text: &str) -> Result<Specification, Misfit> {
    let recorded = read(detect(text.as_bytes()).expect("a format"), text.as_bytes(), &Reading::default());
    Specification::detect(&recorded.unwrap_or_else(|error| panic!("{text}: {error}")))
}

#[test]
fn formats_are_told_apart_by_their_first_entry() {
    let cases = [
        ("{\"format\":\"raftcheck-history\",\"version\":1}\n", Some(Format::Raftcheck)),
        (LINES, Some(Format::JepsenEdn)),
        ("#jepsen.history.Op{:type :invoke}", Some(Format::JepsenEdn)),
        ("; Knossos\n({:type :invoke})", Some(Format::KnossosEdn)),
        ("0\t:invoke\t:read\tnil\n", Some(Format::JepsenText)),
        ("noise\nINFO  jepsen.util - 0\t:invoke\t:read\tnil\n", Some(Format::PorcupineEtcd)),
        ("{:process 0, :type :invoke, :f :get, :key \"7\", :value nil}", Some(Format::PorcupineKv)),
        ("{:process 0, :type :invoke, :f :get, :key 7, :value nil}", Some(Format::JepsenEdn)),
        ("hello", None),
        ("", None),
    ];
    for (text, format) in cases {
        assert_eq!(detect(text.as_bytes()), format, "{text}");
    }
}

#[test]
fn lines_between_tabs_are_read_strictly_or_as_a_log() {
    let text = "0\t:invoke\t:cas\t[1 2]\n:nemesis\t:info\t:start\tnil\n0\t:fail\t:cas\t[1 2]\t:timed-out\n";
    let recorded = read(Format::JepsenText, text.as_bytes(), &Reading::default()).unwrap();
    assert_eq!(recorded.history().events.len(), 2);
    assert_eq!(
        recorded.history().events[1].body,
        EventBody::Complete(Outcome::Failed(":timed-out".to_owned()))
    );
    assert_eq!((recorded.clock, recorded.history().events[1].time), (Clock::Lines, 3));
    let noise = format!("{text}noise\n");
    let error = read(Format::JepsenText, noise.as_bytes(), &Reading::default()).unwrap_err();
    assert_eq!((error.line, error.column), (4, 1));
    let log = "x\nINFO  jepsen.util - 3\t:invoke\t:write\t[1\n";
    let error = read(Format::PorcupineEtcd, log.as_bytes(), &Reading::default()).unwrap_err();
    assert_eq!((error.line, error.column), (2, 21), "{error}");
}

#[test]
fn a_pair_that_nobody_explained_is_refused() {
    let of = |f: &str, value: &str| format!("{{:type :invoke, :f {f}, :value {value}, :process 0}}");
    for text in [of(":read", "[3 nil]"), of(":write", "[3 4]"), of(":cas", "[3 [4 5]]")] {
        let read = |keys| read(Format::JepsenEdn, text.as_bytes(), &Reading { keys, ..Reading::default() });
        assert!(read(Keys::Unsaid).unwrap_err().problem.contains("--independent"), "{text}");
        assert!(read(Keys::One).is_ok(), "{text}");
        assert!(read(Keys::Independent).is_ok(), "{text}");
    }
}

#[test]
fn a_model_is_found_or_two_functions_are_named() {
    let of = |functions: &[&str]| {
        let call = |(process, f): (usize, &&str)| {
            let value = if *f == ":cas" { "[1 2]" } else { "1" };
            format!("{{:type :invoke, :f {f}, :value {value}, :process {process}}}\n")
        };
        functions.iter().enumerate().map(call).collect::<String>()
    };
    assert_eq!(spec(&of(&[":read", ":write"])), Ok(Specification::Register));
    assert_eq!(spec(&of(&[":cas", ":read"])), Ok(Specification::CasRegister));
    assert_eq!(spec(&of(&[":read", ":append"])), Ok(Specification::Append));
    assert_eq!(spec(&of(&[":add", ":read"])), Ok(Specification::Set));
    assert_eq!(spec(&of(&[":put", ":delete"])), Ok(Specification::Kv));
    assert_eq!(spec(&of(&[":release"])), Ok(Specification::Mutex));
    let misfit = spec(&of(&[":read", ":write", ":acquire"])).unwrap_err().to_string();
    let expected = ":acquire at line 3, and no model knows it together with :read (line 1), :write (line 2)";
    assert!(misfit.ends_with(expected), "{misfit}");
}

#[test]
fn a_second_call_of_a_busy_process_has_a_place() {
    let text = "{:process 0, :type :invoke, :f :read}\n {:process 0, :type :invoke, :f :read}";
    let error = read(Format::JepsenEdn, text.as_bytes(), &Reading::default()).unwrap_err();
    assert_eq!((error.line, error.column), (2, 2));
    assert!(error.problem.contains("line 1"), "{error}");
}
