//! Named anomalies one by one, and random histories against every order of their transactions.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::verdict::render;

fn judge(transactions: &Transactions, level: Consistency) -> Verdict {
    check(transactions, level, &Budget { expired: &|| false, memory_bytes: usize::MAX })
}

/// A history from the steps of committed transactions that ran one after the other in processes of their own.
fn serial(transactions: &[&str]) -> Transactions {
    let mut text = String::new();
    for (process, steps) in transactions.iter().enumerate() {
        for kind in ["invoke", "ok"] {
            text += &format!("{{:process {process} :type :{kind} :f :txn :value [{steps}]}}\n");
        }
    }
    read(text.as_bytes()).unwrap().transactions
}

/// The same, all of them open at the same time.
fn concurrent(transactions: &[&str]) -> Transactions {
    let mut text = String::new();
    for kind in ["invoke", "ok"] {
        for (process, steps) in transactions.iter().enumerate() {
            text += &format!("{{:process {process} :type :{kind} :f :txn :value [{steps}]}}\n");
        }
    }
    read(text.as_bytes()).unwrap().transactions
}

/// The weakest level at which it is violated, and the name of the anomaly there.
fn verdict(transactions: &Transactions) -> String {
    for &(level, name) in Consistency::ALL {
        match judge(transactions, level) {
            Verdict::Violated(counterexample) => {
                let anomaly = counterexample.summary.split(':').next().unwrap_or_default();
                return format!("{name} {anomaly}");
            }
            Verdict::Holds(_) => {}
            Verdict::Inconclusive(cause) => panic!("{cause:?}"),
        }
    }
    "holds".to_owned()
}

#[test]
fn each_anomaly_has_its_name_and_its_level() {
    let cases: &[(&str, &[&str])] = &[
        ("holds", &["[:append x 1]", "[:append x 2]", "[:r x [1 2]]"]),
        (
            "read-uncommitted G0",
            &["[:append x 1] [:append y 1]", "[:append x 2] [:append y 2]", "[:r x [1 2]] [:r y [2 1]]"],
        ),
        ("read-committed G1b", &["[:append x 1] [:append x 2]", "[:r x [1]]", "[:r x [1 2]]"]),
        ("read-committed G1c", &["[:append x 1] [:r y [1]]", "[:append y 1] [:r x [1]]"]),
        ("snapshot-isolation internal", &["[:append x 1] [:r x []]", "[:r x [1]]"]),
        (
            "snapshot-isolation lost-update",
            &["[:r x []] [:append x 1]", "[:r x []] [:append x 2]", "[:r x [1 2]]"],
        ),
        (
            "snapshot-isolation G-single",
            &["[:r x []] [:r y [1]]", "[:append x 1] [:append y 1]", "[:r x [1]]"],
        ),
        ("serializable G2", &["[:r x []] [:append y 1]", "[:r y []] [:append x 1]"]),
        ("read-uncommitted garbage-read", &["[:r x [7]]"]),
        ("read-uncommitted duplicate-elements", &["[:append x 1]", "[:r x [1 1]]"]),
        (
            "read-uncommitted incompatible-order",
            &["[:append x 1]", "[:append x 2]", "[:r x [1 2]]", "[:r x [2]]"],
        ),
    ];
    for (expected, steps) in cases {
        assert_eq!(&verdict(&concurrent(steps)), expected, "{steps:?}");
    }
}

#[test]
fn the_order_of_time_counts_only_where_it_is_asked_for() {
    assert_eq!(verdict(&serial(&["[:append x 1]", "[:r x []]"])), "strict-serializable G-single-realtime");
    let one_process = "{:process 1 :type :invoke :f :txn :value [[:append x 1]]}
        {:process 1 :type :ok :f :txn :value [[:append x 1]]}
        {:process 1 :type :invoke :f :txn :value [[:r x nil]]}
        {:process 1 :type :ok :f :txn :value [[:r x nil]]}";
    let recorded = read(one_process.as_bytes()).unwrap();
    assert_eq!(verdict(&recorded.transactions), "strong-session-serializable G-single-process");
    assert_eq!(recorded.clock, crate::history::formats::Clock::Lines);
}

#[test]
fn an_aborted_append_must_not_be_seen_and_an_unknown_one_may() {
    let history = |fate: &str| {
        let text = format!(
            "{{:process 0 :type :invoke :f :txn :value [[:append x 1]]}}
             {{:process 0 :type :{fate} :f :txn :value [[:append x 1]]}}
             {{:process 1 :type :invoke :f :txn :value [[:r x nil]]}}
             {{:process 1 :type :ok :f :txn :value [[:r x [1]]]}}"
        );
        verdict(&read(text.as_bytes()).unwrap().transactions)
    };
    assert_eq!(history("fail"), "read-committed G1a");
    assert_eq!(history("info"), "holds");
    assert_eq!(history("ok"), "holds");
}

#[test]
fn a_cycle_is_told_dependency_by_dependency() {
    let skew = concurrent(&["[:r x []] [:append y 1]", "[:r y []] [:append x 1]"]);
    let told = render("strict-serializable", &judge(&skew, Consistency::Serializable));
    insta::assert_snapshot!(told, @r"
    strict-serializable: VIOLATED
      G2: T1 read x before T2 appended to it; T2 read y before T1 appended to it, which closes a circle
      0.000 .. 0.000 ms  T1 process 0  read x -> [], append y 1
      0.000 .. 0.000 ms  T2 process 1  read y -> [], append x 1
    ");
}

#[test]
fn the_notations_of_elle_cli_say_the_same() {
    let edn = "[{:index 0 :process 1 :time 5 :type :invoke :f :txn :value [[:append 253 1] [:r 255 nil]]}
                {:index 1 :process :nemesis :time 6 :type :info :f :start :value nil}
                {:index 2 :process 1 :time 9 :type :ok :f :txn :value [[:append 253 1] [:r 255 [3]]]}]";
    let lines = r#"{"index":0,"process":1,"time":5,"type":"invoke","value":[["append",253,1],["r",255,null]]}
                   {"index":2,"process":1,"time":9,"type":"ok","value":[["append",253,1],["r",255,[3]]]}"#;
    let array = format!("[{}]", lines.replace("}\n", "},\n"));
    let first = read(edn.as_bytes()).unwrap();
    assert_eq!(first.transactions.list[0].times, (5, Some(9)));
    for text in [lines, &array] {
        let other = read(text.as_bytes()).unwrap();
        let steps = |recorded: &Recorded| recorded.transactions.list[0].steps.clone();
        assert_eq!(steps(&other), steps(&first), "{text}");
        assert!(looks_like(text.as_bytes()));
    }
    assert!(looks_like(edn.as_bytes()));
    assert!(!looks_like(b"{:process 0 :type :invoke :f :write :value 3}"));
    assert!(!looks_like(b"{:process 0 :type :invoke :f :append :value [1 2]}"));
}

#[test]
fn what_is_no_history_is_refused_with_its_place() {
    let cases = [
        (
            "{:process 0 :type :ok :f :txn :value []}",
            "1:1: a completion of a transaction that was never invoked",
        ),
        ("{:process 0 :type :invoke :f :txn :value [[:w x 1]]}", "1:1: writes of registers"),
        (
            "{:process 0 :type :invoke :f :txn :value []}\n {:process 0 :type :ok :f :txn :value [[:r x []]]}",
            "2:2: this completes other",
        ),
        ("{:process 0 :type :invoke :f :txn :value [[:r x", "the text ends in the middle"),
        ("{\"process\":0,\"type\":\"invoke\",\n\"value\":[[\"r\",1", "2:"),
        ("7", "1:1: an entry is a map"),
    ];
    for (text, expected) in cases {
        let error = read(text.as_bytes()).unwrap_err();
        let told = format!("{}:{}: {}", error.line, error.column, error.problem);
        assert!(told.contains(expected), "{text}: {told}");
    }
    let twice = concurrent(&["[:append x 1]", "[:append x 1]"]);
    assert!(matches!(
        judge(&twice, Consistency::Serializable),
        Verdict::Inconclusive(Cause::Evidence { .. })
    ));
}

/// Whether some order of the transactions explains every read: all committed ones, and any of those whose outcome is
/// unknown.
fn explained(transactions: &Transactions, time: bool) -> bool {
    let unknown = |number: usize| transactions.list[number].fate == Fate::Unknown;
    fn place(
        transactions: &Transactions,
        time: bool,
        order: &mut Vec<usize>,
        optional: &dyn Fn(usize) -> bool,
    ) -> bool {
        let missing =
            |number: usize| !order.contains(&number) && transactions.list[number].fate != Fate::Aborted;
        let left: Vec<usize> = (0..transactions.list.len()).filter(|&number| missing(number)).collect();
        if left.iter().all(|&number| optional(number)) && replay(transactions, order) {
            return true;
        }
        for &next in &left {
            let invoked = transactions.list[next].invoked;
            let too_late = |&other: &usize| {
                let other = &transactions.list[other];
                other.fate == Fate::Committed && other.completed < invoked
            };
            // Whoever completed before this one was invoked must have been placed.
            if time && left.iter().any(too_late) {
                continue;
            }
            order.push(next);
            let found = place(transactions, time, order, optional);
            order.pop();
            if found {
                return true;
            }
        }
        false
    }
    place(transactions, time, &mut Vec::new(), &unknown)
}

fn replay(transactions: &Transactions, order: &[usize]) -> bool {
    let mut lists = vec![Vec::new(); transactions.keys.len()];
    order.iter().all(|&number| {
        transactions.list[number].steps.iter().all(|step| match step {
            Step::Append(element) => {
                lists[transactions.key_of(*element) as usize].push(*element);
                true
            }
            Step::Read { key, seen: Some(seen) } => lists[*key as usize][..] == seen[..],
            Step::Read { seen: None, .. } => true,
        })
    })
}

/// A few transactions on two lists: they run in an order that fits their times, and then some reads are falsified.
fn random(random: &mut ChaCha8Rng) -> Transactions {
    let count = random.random_range(2..=5);
    let mut transactions =
        Transactions { keys: vec![Value::Int(0), Value::Int(1)], ..Transactions::default() };
    let mut lists: [Vec<Element>; 2] = Default::default();
    let mut position = 0;
    let mut open: Vec<usize> = Vec::new();
    let mut next = || {
        position += 1;
        position
    };
    for process in 0..count {
        let fate = match random.random_range(0..8) {
            0 => Fate::Unknown,
            1 => Fate::Aborted,
            _ => Fate::Committed,
        };
        let applied = fate == Fate::Committed || (fate == Fate::Unknown && random.random_bool(0.5));
        let mut steps = Vec::new();
        let before = lists.clone();
        for _ in 0..random.random_range(1..=3) {
            let key = random.random_range(0..2_u32);
            if random.random_bool(0.5) {
                let element = Element(transactions.elements.len() as u32);
                transactions.elements.push((key, Value::Int(i64::from(element.0))));
                lists[key as usize].push(element);
                steps.push(Step::Append(element));
            } else {
                let mut seen = lists[key as usize].clone();
                if random.random_bool(0.15) {
                    match random.random_range(0..3) {
                        0 => {
                            seen.pop();
                        }
                        1 if seen.len() > 1 => seen.swap(0, 1),
                        _ => seen.clear(),
                    }
                }
                let seen = (fate == Fate::Committed).then(|| seen.into_boxed_slice());
                steps.push(Step::Read { key, seen });
            }
        }
        if !applied {
            lists = before;
        }
        // Each begins now; some end now, some later.
        transactions.list.push(Transaction {
            process: ProcessId(process),
            invoked: next(),
            completed: usize::MAX,
            times: (0, None),
            fate,
            steps,
        });
        open.push(transactions.list.len() - 1);
        open.retain(|&number| {
            let ends = random.random_bool(0.5);
            if ends {
                transactions.list[number].completed = next();
            }
            !ends
        });
    }
    for number in open {
        transactions.list[number].completed = next();
    }
    transactions
}

#[test]
fn random_histories_agree_with_every_order_of_their_transactions() {
    let histories =
        std::env::var("CHECKER_HISTORIES").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let (mut held, mut violated) = (0, 0);
    for seed in 0..histories {
        let transactions = random(&mut ChaCha8Rng::seed_from_u64(seed));
        for (level, time) in [(Consistency::Serializable, false), (Consistency::StrictSerializable, true)] {
            let expected = explained(&transactions, time);
            let verdict = judge(&transactions, level);
            match &verdict {
                Verdict::Holds(_) => held += 1,
                Verdict::Violated(_) => violated += 1,
                Verdict::Inconclusive(_) => {}
            }
            assert_eq!(
                matches!(verdict, Verdict::Holds(_)),
                expected,
                "seed {seed}, {}: {verdict:?}\n{transactions:?}",
                level.name()
            );
        }
    }
    println!("{held} held, {violated} violated");
    assert!(held > histories / 10 && violated > histories / 10, "{held} held, {violated} violated");
}

#[test]
fn generated_histories_get_their_known_verdict() {
    use crate::generate::{self, Settings, Values, Violation};
    use crate::history::formats::Specification;
    let violations = [None, Some(Violation::Stale), Some(Violation::Lost), Some(Violation::Reordered)];
    for (seed, violation) in (0..60).flat_map(|seed| violations.map(|violation| (seed, violation))) {
        let settings = Settings {
            model: Specification::Append,
            operations: 20 + seed * 10,
            clients: 1 + seed as u32 % 12,
            unknown: seed as f64 % 5.0 / 20.0,
            keys: 1 + seed as u32 % 4,
            values: Values::Unique,
            violation,
            seed,
        };
        let mut text = String::new();
        let truth = generate::transactions(&settings, &mut |line| text += line).unwrap();
        let recorded = read(text.as_bytes()).unwrap();
        let verdict = judge(&recorded.transactions, Consistency::StrictSerializable);
        let violated = matches!(verdict, Verdict::Violated(_));
        assert_eq!(violated, truth.violation.is_some(), "{settings:?}: {verdict:?}");
        let weaker = judge(&recorded.transactions, Consistency::Serializable);
        assert!(
            matches!(weaker, Verdict::Holds(_)),
            "only the order of time is broken, {settings:?}: {weaker:?}"
        );
    }
}
