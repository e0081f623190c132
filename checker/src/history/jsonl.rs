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

use std::fmt::Write as _;

use rustc_hash::FxHashMap;

use super::{Event, EventBody, Op, Outcome, ProcessId, Reply, Value};

mod read;
mod scalar;

pub use read::{Ending, ReadError, Reader, read};

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

#[cfg(test)]
mod tests;
