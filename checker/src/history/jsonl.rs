//! `history.jsonl`: a history as text, one flat JSON object per event.
//!
//! ```text
//! {"format":"raftcheck-history","version":1}
//! {"t":81250,"p":3,"type":"invoke","f":"cas","key":"r3","value":[16,17],"node":"n2"}
//! {"t":913500,"p":3,"type":"ok","f":"cas","key":"r3","value":[16,17],"mismatch":18,"node":"n2"}
//! ```
//!
//! `t` is in nanoseconds, `type` is `invoke`, `ok`, `fail` or `info` (unknown), `value` is what is written, the
//! `[expected, new]` of a CAS, or what an ok read saw. `mismatch` marks a CAS that found another value: that value
//! (`null` for an absent key), or `true` where the system does not tell. Of any other function (`enqueue`, `acquire`) the
//! `value` is its argument in the invocation and its answer in the ok. Unknown fields are ignored.
//!
//! Invariant: what [`Writer`] writes, [`read`] gives back, event by event. A file that stops in the middle of its last
//! line (the recorder was killed) is read up to there; any other damage is an error with line and column. There are no
//! files here: the writer fills a buffer, the reader takes lines.

use std::borrow::Cow;
use std::fmt::Write as _;

use rustc_hash::FxHashMap;
use serde::Deserialize;
use serde::de::{self, SeqAccess, Visitor};

use super::operations::Problem;
use super::{Event, EventBody, History, Key, Op, Outcome, ProcessId, Reply, Value};

/// The name in the header line.
pub const FORMAT: &str = "raftcheck-history";
/// The version in the header line.
pub const VERSION: u64 = 1;

/// Turns events into lines. It remembers the open call of each process, so that a completion can name its call.
#[derive(Debug, Default)]
pub struct Writer {
    open: FxHashMap<ProcessId, Op>,
}

impl Writer {
    /// A writer at the start of a history.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the header line, which must come first.
    pub fn header(&self, line: &mut String) {
        let _ = writeln!(line, "{{\"format\":\"{FORMAT}\",\"version\":{VERSION}}}");
    }

    /// Appends the line of one event, its newline included.
    pub fn event(&mut self, event: &Event, line: &mut String) {
        let _ = write!(line, "{{\"t\":{},\"p\":{}", event.time, event.process.0);
        match &event.body {
            EventBody::Invoke(op) => {
                line.push_str(",\"type\":\"invoke\"");
                put_call(line, op);
                put_argument(line, op);
                self.open.insert(event.process, op.clone());
            }
            EventBody::Complete(outcome) => {
                let op = self.open.remove(&event.process);
                put_outcome(line, op.as_ref(), outcome);
            }
        }
        if let Some(node) = &event.node {
            line.push_str(",\"node\":");
            put_text(line, node);
        }
        line.push_str("}\n");
    }
}

fn put_call(line: &mut String, op: &Op) {
    line.push_str(",\"f\":\"");
    line.push_str(op.name());
    line.push_str("\",\"key\":");
    put_text(line, &op.key().0);
}

fn put_argument(line: &mut String, op: &Op) {
    match op {
        Op::Read { .. } | Op::Members { .. } | Op::Delete { .. } => {}
        Op::Write { value, .. } | Op::Append { value, .. } | Op::Add { value, .. } => {
            line.push_str(",\"value\":");
            put_value(line, value);
        }
        Op::Other { argument: Value::Nil, .. } => {}
        Op::Other { argument, .. } => {
            line.push_str(",\"value\":");
            put_value(line, argument);
        }
        Op::Cas { expected, new, .. } => {
            line.push_str(",\"value\":[");
            put_value(line, expected);
            line.push(',');
            put_value(line, new);
            line.push(']');
        }
    }
}

fn put_outcome(line: &mut String, op: Option<&Op>, outcome: &Outcome) {
    line.push_str(match outcome {
        Outcome::Ok(_) => ",\"type\":\"ok\"",
        Outcome::Failed(_) => ",\"type\":\"fail\"",
        Outcome::Unknown(_) => ",\"type\":\"info\"",
    });
    if let Some(op) = op {
        put_call(line, op);
    }
    match outcome {
        Outcome::Ok(Reply::Value(value)) => {
            line.push_str(",\"value\":");
            put_value(line, value);
        }
        Outcome::Ok(reply) => {
            // Of other functions a value in an answer is one that was told.
            let known = op.into_iter().filter(|op| !matches!(op, Op::Other { .. }));
            known.for_each(|op| put_argument(line, op));
            if let Reply::Mismatch(seen) = reply {
                line.push_str(",\"mismatch\":");
                match seen {
                    Some(value) => put_value(line, value),
                    None => line.push_str("true"),
                }
            }
        }
        Outcome::Failed(why) | Outcome::Unknown(why) => {
            op.into_iter().for_each(|op| put_argument(line, op));
            line.push_str(",\"error\":");
            put_text(line, why);
        }
    }
}

fn put_value(line: &mut String, value: &Value) {
    match value {
        Value::Nil => line.push_str("null"),
        Value::Int(n) => {
            let _ = write!(line, "{n}");
        }
        Value::Text(text) => put_text(line, text),
        Value::List(items) => {
            line.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    line.push(',');
                }
                put_value(line, item);
            }
            line.push(']');
        }
    }
}

fn put_text(line: &mut String, text: &str) {
    line.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        line.push_str(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => line.push_str("\\\""),
            b'\\' => line.push_str("\\\\"),
            b'\n' => line.push_str("\\n"),
            _ => {
                let _ = write!(line, "\\u{byte:04x}");
            }
        }
    }
    line.push_str(&text[plain..]);
    line.push('"');
}

/// Whether a history ended as its recorder meant it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The last line is whole.
    Complete,
    /// The last line, this one, is cut off and was left out: the recorder was killed while it wrote it.
    Truncated(usize),
}

/// Why a history file could not be read. Lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is no header line, or one of another format.
    #[error(
        "line {0}: this is not a raftcheck history: it must start with {{\"format\":\"raftcheck-history\",\"version\":1}}"
    )]
    NotAHistory(usize),
    /// The header names a version that this reader does not know.
    #[error(
        "line {0}: this history has format version {1}, and this raftcheck reads version {VERSION}: use a newer one"
    )]
    Version(usize, u64),
    /// A line is damaged.
    #[error("line {0}, column {1}: {2}")]
    Line(usize, usize, String),
    /// The events contradict each other.
    #[error("line {0}: {1}")]
    Order(usize, String),
}

/// Reads a whole history from its lines (with or without their newlines). Empty lines are skipped.
pub fn read<L: AsRef<[u8]>>(lines: impl IntoIterator<Item = L>) -> Result<(History, Ending), ReadError> {
    let mut reader = Reader::default();
    let mut held: Option<ReadError> = None;
    let mut number = 0;
    for line in lines {
        number += 1;
        let line = line.as_ref();
        if line.trim_ascii().is_empty() {
            continue;
        }
        if let Some(error) = held.take() {
            return Err(error);
        }
        match reader.line(number, line) {
            Ok(()) => {}
            // Only the last line may be cut off, and only now is it known which line is the last.
            Err(LineError::Damaged(column, why)) => held = Some(ReadError::Line(number, column, why)),
            Err(LineError::Fatal(error)) => return Err(error),
        }
    }
    let ending = match held {
        None => Ending::Complete,
        // A cut header is no history at all.
        Some(ReadError::Line(number, ..)) if reader.headed => Ending::Truncated(number),
        Some(_) => return Err(ReadError::NotAHistory(number)),
    };
    match reader.headed {
        true => Ok((History { events: reader.events }, ending)),
        false => Err(ReadError::NotAHistory(number.max(1))),
    }
}

enum LineError {
    Damaged(usize, String),
    Fatal(ReadError),
}

#[derive(Default)]
struct Reader {
    headed: bool,
    events: Vec<Event>,
    latest: u64,
    open: FxHashMap<ProcessId, (usize, Op)>,
    keys: FxHashMap<Box<str>, Key>,
}

impl Reader {
    fn line(&mut self, number: usize, line: &[u8]) -> Result<(), LineError> {
        let damaged = |e: serde_json::Error| LineError::Damaged(e.column(), plain_message(&e));
        if !self.headed {
            let header: Header<'_> = serde_json::from_slice(line).map_err(damaged)?;
            if header.format != FORMAT {
                return Err(LineError::Fatal(ReadError::NotAHistory(number)));
            }
            if header.version != VERSION {
                return Err(LineError::Fatal(ReadError::Version(number, header.version)));
            }
            self.headed = true;
            return Ok(());
        }
        let line: Line<'_> = serde_json::from_slice(line).map_err(damaged)?;
        if line.t < self.latest {
            return Err(order(number, Problem::TimeBackward(line.t, self.latest)));
        }
        self.latest = line.t;
        let process = ProcessId(line.p);
        let body = match line.kind {
            Type::Invoke => {
                let op = self.op(number, &line)?;
                if let Some((since, _)) = self.open.insert(process, (number, op.clone())) {
                    let why = format!(
                        "process {} invokes a call while its call of line {since} is still open",
                        line.p
                    );
                    return Err(LineError::Fatal(ReadError::Order(number, why)));
                }
                EventBody::Invoke(op)
            }
            kind => {
                let Some((_, op)) = self.open.remove(&process) else {
                    return Err(order(number, Problem::CompletionWithoutInvocation(process)));
                };
                EventBody::Complete(outcome(number, kind, &op, &line)?)
            }
        };
        let node = line.node.map(Cow::into_owned);
        self.events.push(Event { time: line.t, process, node, body });
        Ok(())
    }

    fn op(&mut self, number: usize, line: &Line<'_>) -> Result<Op, LineError> {
        let (Some(f), Some(key)) = (&line.f, &line.key) else {
            return Err(missing(number, "an invocation needs \"f\" and \"key\""));
        };
        let key = match self.keys.get(key.as_ref()) {
            Some(key) => key.clone(),
            None => {
                let fresh = Key::new(key);
                self.keys.insert(Box::from(key.as_ref()), fresh.clone());
                fresh
            }
        };
        let value =
            || line.value.clone().map(|v| v.0).ok_or_else(|| missing(number, "this call needs a \"value\""));
        Ok(match f.as_ref() {
            "read" => Op::Read { key },
            "write" => Op::Write { key, value: value()? },
            "cas" => match value()? {
                Value::List(mut pair) if pair.len() == 2 => {
                    let new = pair.pop().unwrap_or_default();
                    Op::Cas { key, expected: pair.pop().unwrap_or_default(), new }
                }
                _ => return Err(missing(number, "the \"value\" of a cas is [expected, new]")),
            },
            "delete" => Op::Delete { key },
            "append" => Op::Append { key, value: value()? },
            "add" => Op::Add { key, value: value()? },
            "members" => Op::Members { key },
            other => {
                let argument = line.value.clone().map_or(Value::Nil, |v| v.0);
                Op::Other { key, function: other.into(), argument }
            }
        })
    }
}

fn outcome(number: usize, kind: Type, op: &Op, line: &Line<'_>) -> Result<Outcome, LineError> {
    let same_f = line.f.as_ref().is_none_or(|f| f.as_ref() == op.name());
    let same_key = line.key.as_ref().is_none_or(|key| key.as_ref() == &*op.key().0);
    if !same_f || !same_key {
        let why = format!("this completes another call than the open one, {} {}", op.name(), op.key());
        return Err(missing(number, &why));
    }
    let why = || line.error.as_ref().map_or_else(String::new, |e| e.to_string());
    Ok(match kind {
        Type::Fail => Outcome::Failed(why()),
        Type::Info => Outcome::Unknown(why()),
        Type::Ok | Type::Invoke if matches!(op, Op::Other { .. }) => {
            Outcome::Ok(line.value.as_ref().map_or(Reply::Done, |value| Reply::Value(value.0.clone())))
        }
        Type::Ok | Type::Invoke => Outcome::Ok(match (&line.mismatch, op.is_read()) {
            (Some(Seen::Told(value)), false) => Reply::Mismatch(Some(value.0.clone())),
            (Some(Seen::Untold), false) => Reply::Mismatch(None),
            (_, true) => match &line.value {
                Some(value) => Reply::Value(value.0.clone()),
                None => return Err(missing(number, "an ok read needs the \"value\" that it saw")),
            },
            (None, false) => Reply::Done,
        }),
    })
}

fn order(number: usize, problem: Problem) -> LineError {
    LineError::Fatal(ReadError::Order(number, problem.to_string()))
}

fn missing(number: usize, why: &str) -> LineError {
    LineError::Fatal(ReadError::Line(number, 1, why.to_owned()))
}

/// The message without serde_json's own position, which counts lines within our line.
fn plain_message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow, default)]
    format: Cow<'a, str>,
    #[serde(default)]
    version: u64,
}

#[derive(Deserialize)]
struct Line<'a> {
    t: u64,
    p: u64,
    #[serde(rename = "type")]
    kind: Type,
    #[serde(borrow)]
    f: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "present")]
    value: Option<Scalar>,
    #[serde(default, deserialize_with = "present")]
    mismatch: Option<Seen>,
    #[serde(borrow)]
    node: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error: Option<Cow<'a, str>>,
}

/// Tells `"value":null` (nil) from no `value` at all, which `Option` alone does not.
fn present<'de, D: de::Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    Invoke,
    Ok,
    Fail,
    Info,
}

/// A value; `true` is told apart by [`Seen`].
#[derive(Clone)]
struct Scalar(Value);

enum Seen {
    Told(Scalar),
    Untold,
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ValueVisitor).map(Scalar)
    }
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SeenVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("null, a 64-bit integer, a string, or a list of these")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Value, E> {
        Ok(Value::Int(n))
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Value, E> {
        i64::try_from(n).map(Value::Int).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(n), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Scalar>()? {
            list.push(item.0);
        }
        Ok(Value::List(list))
    }
}

struct SeenVisitor;

impl<'de> Visitor<'de> for SeenVisitor {
    type Value = Seen;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("true, or the value that was found")
    }

    fn visit_bool<E: de::Error>(self, told: bool) -> Result<Seen, E> {
        match told {
            true => Ok(Seen::Untold),
            false => Err(E::invalid_value(de::Unexpected::Bool(false), &self)),
        }
    }

    fn visit_unit<E: de::Error>(self) -> Result<Seen, E> {
        ValueVisitor.visit_unit().map(Scalar).map(Seen::Told)
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Seen, E> {
        ValueVisitor.visit_i64(n).map(Scalar).map(Seen::Told)
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Seen, E> {
        ValueVisitor.visit_u64(n).map(Scalar).map(Seen::Told)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Seen, E> {
        ValueVisitor.visit_str(text).map(Scalar).map(Seen::Told)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Seen, A::Error> {
        ValueVisitor.visit_seq(items).map(Scalar).map(Seen::Told)
    }
}

#[cfg(test)]
mod tests;
