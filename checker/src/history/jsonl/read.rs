//! From lines to events.

use std::borrow::Cow;

use rustc_hash::FxHashMap;
use serde::Deserialize;

use super::scalar::{Scalar, Seen, present};
use super::{FORMAT, VERSION};
use crate::history::operations::Problem;
use crate::history::{Event, EventBody, History, Key, Op, Outcome, ProcessId, Reply, Value};

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
    let mut events = Vec::new();
    for (at, line) in lines.into_iter().enumerate() {
        events.extend(reader.line(at + 1, line.as_ref())?);
    }
    Ok((History { events }, reader.finish()?))
}

enum LineError {
    Damaged(usize, String),
    Fatal(ReadError),
}

/// Reads a history line by line.
#[derive(Default)]
pub struct Reader {
    headed: bool,
    /// The damage of the last line, which is none if no line follows.
    held: Option<ReadError>,
    number: usize,
    latest: u64,
    open: FxHashMap<ProcessId, (usize, Op)>,
    keys: FxHashMap<Box<str>, Key>,
}

impl Reader {
    /// Takes the line of this number, with or without its newline. Empty lines are skipped.
    pub fn line(&mut self, number: usize, line: &[u8]) -> Result<Option<Event>, ReadError> {
        self.number = number;
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        if let Some(error) = self.held.take() {
            return Err(error);
        }
        match self.event(number, line) {
            Ok(event) => Ok(event),
            // Only the last line may be cut off, and only then is it known which line is the last.
            Err(LineError::Damaged(column, why)) => {
                self.held = Some(ReadError::Line(number, column, why));
                Ok(None)
            }
            Err(LineError::Fatal(error)) => Err(error),
        }
    }

    /// There are no more lines.
    pub fn finish(self) -> Result<Ending, ReadError> {
        match self.held {
            None if self.headed => Ok(Ending::Complete),
            None => Err(ReadError::NotAHistory(self.number.max(1))),
            // A cut header is no history at all.
            Some(ReadError::Line(number, ..)) if self.headed => Ok(Ending::Truncated(number)),
            Some(ReadError::Line(number, ..)) => Err(ReadError::NotAHistory(number)),
            Some(error) => Err(error),
        }
    }

    fn event(&mut self, number: usize, line: &[u8]) -> Result<Option<Event>, LineError> {
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
            return Ok(None);
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
        Ok(Some(Event { time: line.t, process, node, body }))
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

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    Invoke,
    Ok,
    Fail,
    Info,
}
