//! Events as lines of a Jepsen `history.edn`.
//!
//! With several keys the values are `[key value]`, as `jepsen.independent` writes them. A CAS that found another value is a
//! `:fail`, and a read of a set shows a set.

use std::fmt::Write as _;

use rustc_hash::FxHashMap;

use crate::history::{Event, EventBody, Op, Outcome, ProcessId, Reply, Value};

/// Whether values name their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pairs {
    /// There is one key.
    No,
    /// `[key value]`.
    Yes,
}

/// Turns events into lines; it remembers the open calls, because a completion repeats its call.
#[derive(Debug)]
pub struct EdnWriter {
    pairs: Pairs,
    open: FxHashMap<ProcessId, Op>,
    index: u64,
}

impl EdnWriter {
    /// A writer for a history of so many keys.
    pub fn new(keys: u32) -> Self {
        let pairs = if keys > 1 { Pairs::Yes } else { Pairs::No };
        EdnWriter { pairs, open: FxHashMap::default(), index: 0 }
    }

    /// Appends the line of one event, its newline included.
    pub fn event(&mut self, event: &Event, line: &mut String) {
        let (kind, op, seen) = match &event.body {
            EventBody::Invoke(op) => {
                self.open.insert(event.process, op.clone());
                ("invoke", op.clone(), None)
            }
            EventBody::Complete(outcome) => {
                let Some(op) = self.open.remove(&event.process) else { return };
                match outcome {
                    Outcome::Ok(Reply::Value(seen)) => ("ok", op, Some(seen)),
                    Outcome::Ok(Reply::Done) => ("ok", op, None),
                    Outcome::Ok(Reply::Mismatch(_)) | Outcome::Failed(_) => ("fail", op, None),
                    Outcome::Unknown(_) => ("info", op, None),
                }
            }
        };
        let f = match op {
            Op::Members { .. } => "read",
            ref other => other.name(),
        };
        // Writing to a String cannot fail.
        let _ = write!(line, "{{:type :{kind}, :f :{f}, :value ");
        if self.pairs == Pairs::Yes {
            let _ = write!(line, "[{} ", op.key());
        }
        put_argument(line, &op, seen);
        if self.pairs == Pairs::Yes {
            line.push(']');
        }
        let _ =
            writeln!(line, ", :time {}, :process {}, :index {}}}", event.time, event.process.0, self.index);
        self.index += 1;
    }
}

fn put_argument(line: &mut String, op: &Op, seen: Option<&Value>) {
    match op {
        Op::Write { value, .. } | Op::Append { value, .. } | Op::Add { value, .. } => put(line, value),
        Op::Cas { expected, new, .. } => {
            line.push('[');
            put(line, expected);
            line.push(' ');
            put(line, new);
            line.push(']');
        }
        Op::Other { argument, .. } => put(line, seen.unwrap_or(argument)),
        Op::Members { .. } => {
            if let Some(Value::List(_)) = seen {
                line.push('#');
            }
            let start = line.len();
            put(line, seen.unwrap_or(&Value::Nil));
            if let Some(Value::List(_)) = seen {
                line.replace_range(start..=start, "{");
                line.pop();
                line.push('}');
            }
        }
        Op::Read { .. } | Op::Delete { .. } => put(line, seen.unwrap_or(&Value::Nil)),
    }
}

fn put(line: &mut String, value: &Value) {
    match value {
        Value::Nil => line.push_str("nil"),
        Value::Int(n) => {
            let _ = write!(line, "{n}");
        }
        Value::Text(text) => {
            line.push('"');
            for character in text.chars() {
                match character {
                    '"' | '\\' => line.extend(['\\', character]),
                    '\n' => line.push_str("\\n"),
                    '\r' => line.push_str("\\r"),
                    other => line.push(other),
                }
            }
            line.push('"');
        }
        Value::List(items) => {
            line.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    line.push(' ');
                }
                put(line, item);
            }
            line.push(']');
        }
    }
}
