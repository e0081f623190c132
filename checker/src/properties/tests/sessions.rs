//! What single clients may rely on, and updates that count twice, on histories that just break each and just do not.

use super::*;
use crate::params::Param;

/// A history from short lines: "1 w k 5 10-20 +" is process, function, key, value, time of call and return in
/// milliseconds, and the outcome: `+` for ok, `-` for failed, `?` for unknown. A read shows its value; `nil` for none.
pub(super) fn history(lines: &str) -> History {
    let mut events = Vec::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [process, function, key, value, times, outcome] = words[..] else { panic!("{line}") };
        let process = ProcessId(process.parse().unwrap());
        let (begin, end) = times.split_once('-').unwrap();
        let (key, value) = (Key::new(key), self::value(value));
        let (op, reply) = match function {
            "w" => (Op::Write { key, value }, Reply::Done),
            "r" => (Op::Read { key }, Reply::Value(value)),
            "append" => (Op::Append { key, value }, Reply::Done),
            "delete" => (Op::Delete { key }, Reply::Done),
            "lock" => {
                (Op::Other { key, function: "acquire".into(), argument: Value::Nil }, Reply::Value(value))
            }
            "unlock" => (Op::Other { key, function: "release".into(), argument: Value::Nil }, Reply::Done),
            "inc" => (Op::Other { key, function: "add".into(), argument: value }, Reply::Done),
            other => panic!("{other}"),
        };
        let outcome = match outcome {
            "+" => Outcome::Ok(reply),
            "-" => Outcome::Failed("refused".to_owned()),
            _ => Outcome::Unknown("timeout".to_owned()),
        };
        let event = |ms: &str, body| Event {
            time: ms.parse::<u64>().unwrap() * 1_000_000,
            process,
            node: None,
            body,
        };
        events.push(event(begin, EventBody::Invoke(op)));
        events.push(event(end, EventBody::Complete(outcome)));
    }
    events.sort_by_key(|event| event.time);
    History { events }
}

/// `5`, `nil`, `[1,2]`.
fn value(text: &str) -> Value {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some("") => Value::List(Vec::new()),
        Some(items) => Value::List(items.split(',').map(value).collect()),
        None => text.parse().map_or(Value::Nil, Value::Int),
    }
}

pub(super) fn on(name: &str, lines: &str) -> Verdict {
    judge_run(name, &history(lines), None, &Trace::default())
}

const STALE: &str = "1 w k 5 10-20 +
                     1 w k 6 30-40 +
                     2 r k 5 90-95 +";

#[test]
fn a_stale_read_has_an_age() {
    assert_violated(
        &on("stale-read", STALE),
        "read k -> 5 was made 50.000 ms after write k = 6 had returned",
    );
    let bounded = |ms: u64| {
        let params =
            Params(std::iter::once(("max-age".to_owned(), Param::Duration(ms * 1_000_000))).collect());
        let budget = Budget { expired: &never, memory_bytes: 1 << 30 };
        let run = Run { history: &history(STALE), final_reads_from: None, trace: &Trace::default() };
        (find("stale-read").unwrap().judge)(&run, &params, &budget)
    };
    assert_holds(&bounded(50));
    assert_violated(&bounded(49), "50.000 ms");
}

#[test]
fn the_age_begins_with_the_first_update_that_replaced_the_value() {
    let twice = "1 w k 5 10-20 +
                 1 w k 6 30-40 +
                 1 w k 7 50-60 +
                 2 r k 5 90-95 +";
    assert_violated(&on("stale-read", twice), "50.000 ms after write k = 6");
    assert_violated(
        &on("stale-read", "1 w k 5 10-20 +\n2 r k nil 30-40 +"),
        "read k -> nil was made 10.000 ms",
    );
    assert_violated(&on("stale-read", "1 append k 5 10-20 +\n2 r k [] 30-40 +"), "append k += 5");
}

#[test]
fn what_may_be_current_is_not_stale() {
    for fine in [
        // Concurrent with the update that replaces it.
        "1 w k 5 10-20 +\n1 w k 6 30-90 +\n2 r k 5 40-50 +",
        // Nobody knows whether the second write took effect, or when.
        "1 w k 5 10-20 +\n1 w k 6 30-40 ?\n2 r k 5 90-95 +",
        "1 w k 5 10-20 +\n1 w k 6 30-40 -\n2 r k 5 90-95 +",
        // Two writes of the same value: nobody knows which one is seen.
        "1 w k 5 10-20 +\n1 w k 6 30-40 +\n3 w k 5 50-60 ?\n2 r k 5 90-95 +",
        // The key was removed, and reads as absent.
        "1 w k 5 10-20 +\n1 delete k nil 30-40 +\n2 r k nil 50-60 +",
        "1 append k 5 10-80 +\n2 r k [] 30-40 +",
    ] {
        for name in ["stale-read", "monotonic-reads", "read-your-writes", "exactly-once"] {
            println!("{name}: {fine}");
            assert_holds(&on(name, fine));
        }
    }
}

#[test]
fn a_client_never_goes_back() {
    let back = "1 w k 5 10-20 +
                1 w k 6 30-40 +
                2 r k 6 50-60 +
                2 r k 5 70-80 +";
    assert_violated(
        &on("monotonic-reads", back),
        "process 2 saw read k -> 6 and later read k -> 5, which is older",
    );
    // Two clients may see different things, and concurrent writes have no order.
    assert_holds(&on("monotonic-reads", &back.replace("2 r k 5", "3 r k 5")));
    let concurrent = "1 w k 5 10-40 +
                      4 w k 6 30-40 +
                      2 r k 6 50-60 +
                      2 r k 5 70-80 +";
    assert_holds(&on("monotonic-reads", concurrent));
    // What was concurrent in between does not hide the step back.
    let around = "1 w k 5 10-20 +
                  1 w k 6 30-40 +
                  4 w k 7 15-40 +
                  2 r k 6 50-60 +
                  2 r k 7 61-69 +
                  2 r k 5 70-80 +";
    assert_violated(&on("monotonic-reads", around), "which is older");
    let list = "1 append k 5 10-20 +
                2 r k [5] 50-60 +
                2 r k [] 70-80 +";
    assert_violated(&on("monotonic-reads", list), "which is older");
    let absent = "1 w k 5 10-20 +\n2 r k 5 30-40 +\n2 r k nil 50-60 +";
    assert_violated(&on("monotonic-reads", absent), "read k -> nil, which is older");
}

#[test]
fn a_client_sees_what_it_wrote() {
    let lost = "1 w k 5 10-20 +
                2 w k 6 30-40 +
                2 r k 5 70-80 +";
    assert_violated(
        &on("read-your-writes", lost),
        "process 2 did write k = 6 and later read k -> 5, which is older",
    );
    assert_holds(&on("read-your-writes", &lost.replace("2 r k 5", "3 r k 5")));
    assert_holds(&on("read-your-writes", &lost.replace("10-20", "10-35")));
    assert_violated(&on("read-your-writes", "2 append k 6 30-40 +\n2 r k [5] 70-80 +"), "which is older");
}

#[test]
fn an_update_counts_once() {
    let twice = "1 append k 5 10-20 ?
                 2 r k [5,5] 30-40 +";
    assert_violated(&on("exactly-once", twice), "5 stands 2 times in k, and was appended 1 times");
    assert_holds(&on("exactly-once", "1 append k 5 10-20 ?\n3 append k 5 10-20 +\n2 r k [5,5] 30-40 +"));
    assert_violated(
        &on("exactly-once", "1 append k 5 10-20 +\n3 append k 5 11-12 -\n2 r k [5,5] 30-40 +"),
        "2 times",
    );
    let counter = "1 inc c 1 10-20 +
                   2 inc c 1 10-20 ?
                   3 r c 2 30-40 +";
    assert_holds(&on("exactly-once", counter));
    assert_violated(
        &on("exactly-once", &counter.replace("r c 2", "r c 3")),
        "can have been added by then is 2",
    );
    // A decrement of unknown outcome, or one that is not over, may not have counted yet.
    assert_holds(&on("exactly-once", "1 inc c 2 10-20 +\n2 inc c -1 10-20 ?\n3 r c 2 30-40 +"));
    assert_violated(&on("exactly-once", "1 inc c 2 10-20 +\n2 inc c -1 10-20 +\n3 r c 2 30-40 +"), "is 1");
}
