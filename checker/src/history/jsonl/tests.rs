//! What is written is read back; what is damaged is named.

use proptest::prelude::*;

use super::*;
use crate::history::{History, Key};

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<i64>().prop_map(Value::Int),
        any::<String>().prop_map(|text| Value::Text(text.into())),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Value::List))
}

fn ops() -> impl Strategy<Value = Op> {
    (any::<String>().prop_map(Key::new), values(), values(), 0..7).prop_map(|(key, value, new, kind)| {
        match kind {
            0 => Op::Read { key },
            1 => Op::Write { key, value },
            2 => Op::Cas { key, expected: value, new },
            3 => Op::Delete { key },
            4 => Op::Append { key, value },
            5 => Op::Add { key, value },
            _ => Op::Members { key },
        }
    })
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Ok(Reply::Done)),
        values().prop_map(|v| Outcome::Ok(Reply::Value(v))),
        proptest::option::of(values()).prop_map(|v| Outcome::Ok(Reply::Mismatch(v))),
        any::<String>().prop_map(Outcome::Failed),
        any::<String>().prop_map(Outcome::Unknown),
    ]
}

/// A reply that fits the call: the format does not tell others apart.
fn fitting(op: &Op, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Ok(reply) => Outcome::Ok(match (op.is_read(), reply) {
            (true, Reply::Value(value)) => Reply::Value(value),
            (true, _) => Reply::Value(Value::Nil),
            (false, Reply::Value(_)) => Reply::Done,
            (false, other) => other,
        }),
        other => other,
    }
}

fn histories() -> impl Strategy<Value = History> {
    prop::collection::vec(
        (ops(), outcomes(), any::<u16>(), proptest::option::of("n[1-9]"), any::<bool>()),
        0..20,
    )
    .prop_map(|steps| {
        let mut events = Vec::new();
        let mut time = 0;
        for (process, (op, outcome, gap, node, ends)) in steps.into_iter().enumerate() {
            let process = ProcessId(process as u64);
            let outcome = fitting(&op, outcome);
            time += u64::from(gap);
            events.push(Event { time, process, node: node.clone(), body: EventBody::Invoke(op) });
            if ends {
                events.push(Event { time, process, node, body: EventBody::Complete(outcome) });
            }
        }
        History { events }
    })
}

fn written(history: &History) -> String {
    let (mut writer, mut text) = (Writer::new(), String::new());
    writer.header(&mut text);
    history.events.iter().for_each(|event| writer.event(event, &mut text));
    text
}

fn parse(text: &str) -> Result<(History, Ending), ReadError> {
    read(text.split_inclusive('\n'))
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(history in histories()) {
        let (back, ending) = parse(&written(&history)).unwrap();
        prop_assert_eq!(ending, Ending::Complete);
        prop_assert_eq!(back, history);
    }

    #[test]
    fn a_history_that_is_cut_anywhere_is_read_up_to_there(history in histories(), at in any::<prop::sample::Index>()) {
        let text = written(&history);
        let bytes = &text.as_bytes()[..at.index(text.len())];
        let whole = bytes.iter().filter(|&&b| b == b'\n').count();
        match read(bytes.split_inclusive(|&b| b == b'\n')) {
            // A line may be whole but for its newline.
            Ok((back, _)) => prop_assert!(back.events.len() + 1 == whole || back.events.len() == whole),
            Err(error) => prop_assert!(matches!(error, ReadError::NotAHistory(_)) && whole == 0, "{}", error),
        }
    }

    #[test]
    fn no_input_panics(lines in prop::collection::vec(any::<Vec<u8>>(), 0..5)) {
        let header = format!("{{\"format\":\"{FORMAT}\",\"version\":{VERSION}}}").into_bytes();
        let _ = read(lines.iter());
        let _ = read(std::iter::once(&header).chain(lines.iter()));
    }
}

fn error(lines: &str) -> String {
    let text = format!("{{\"format\":\"raftcheck-history\",\"version\":1}}\n{lines}");
    parse(&text).unwrap_err().to_string()
}

const INVOKE: &str = "{\"t\":5,\"p\":1,\"type\":\"invoke\",\"f\":\"read\",\"key\":\"r\"}\n";

#[test]
fn the_lines_look_like_this() {
    let key = Key::new("r3");
    let cas = Op::Cas { key, expected: Value::Nil, new: Value::Int(17) };
    let event = |time, body| Event { time, process: ProcessId(3), node: Some("n2".to_owned()), body };
    let history = History {
        events: vec![
            event(5, EventBody::Invoke(cas.clone())),
            event(9, EventBody::Complete(Outcome::Ok(Reply::Mismatch(Some(Value::Int(16)))))),
            event(10, EventBody::Invoke(cas)),
            event(12, EventBody::Complete(Outcome::Unknown("timed \"out\"".to_owned()))),
        ],
    };
    insta::assert_snapshot!(written(&history), @r#"
    {"format":"raftcheck-history","version":1}
    {"t":5,"p":3,"type":"invoke","f":"cas","key":"r3","value":[null,17],"node":"n2"}
    {"t":9,"p":3,"type":"ok","f":"cas","key":"r3","value":[null,17],"mismatch":16,"node":"n2"}
    {"t":10,"p":3,"type":"invoke","f":"cas","key":"r3","value":[null,17],"node":"n2"}
    {"t":12,"p":3,"type":"info","f":"cas","key":"r3","value":[null,17],"error":"timed \"out\"","node":"n2"}
    "#);
}

#[test]
fn damage_is_named_with_line_and_column() {
    assert_eq!(error(&format!("{{\"t\":x}}\n{INVOKE}")), "line 2, column 6: expected value");
    assert_eq!(
        error(&format!("{INVOKE}{INVOKE}")),
        "line 3: process 1 invokes a call while its call of line 2 is still open"
    );
    assert_eq!(
        error("{\"t\":5,\"p\":1,\"type\":\"ok\",\"value\":1}\n"),
        "line 2: process 1 completes a call that it never invoked"
    );
    let back = "{\"t\":4,\"p\":2,\"type\":\"invoke\",\"f\":\"read\",\"key\":\"r\"}\n";
    assert_eq!(error(&format!("{INVOKE}{back}")), "line 3: time goes backward, from 5 to 4 ns");
    let other = "{\"t\":6,\"p\":1,\"type\":\"ok\",\"f\":\"write\",\"key\":\"r\"}\n";
    assert!(error(&format!("{INVOKE}{other}")).contains("completes another call"));
    assert!(matches!(parse("[]\n[]\n"), Err(ReadError::NotAHistory(1)) | Err(ReadError::Line(1, ..))));
    assert!(matches!(parse(""), Err(ReadError::NotAHistory(1))));
    let newer = "{\"format\":\"raftcheck-history\",\"version\":2}\n";
    assert!(matches!(parse(newer), Err(ReadError::Version(1, 2))));
}

#[test]
fn a_torn_last_line_is_reported() {
    let text = format!("{{\"format\":\"raftcheck-history\",\"version\":1}}\n{INVOKE}{{\"t\":9,\"p");
    let (history, ending) = parse(&text).unwrap();
    assert_eq!((history.events.len(), ending), (1, Ending::Truncated(3)));
}
