//! The test data of Porcupine: etcd logs of Jepsen, and key-value histories of strings.
//!
//! In a key-value history `append` appends text to text. It is read as a list of the appended pieces, which is the same
//! thing as long as no piece is a prefix of another, so that a text can be taken apart in one way only.

use rustc_hash::FxHashMap;

use super::{CasFailure, FormatError, Reading, jepsen};
use crate::history::{EventBody, History, Key, Op, Outcome, Reply, Value};

/// Lines that are no operations (other messages of the log) are skipped, as Porcupine does.
pub(super) fn read_etcd(text: &[u8], reading: &Reading) -> Result<History, FormatError> {
    let mut maps = Vec::with_capacity(text.len());
    let mut lines = Vec::new();
    for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = String::from_utf8_lossy(line);
        let Some((_, rest)) = line.split_once("jepsen.util - ") else { continue };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let [process, kind, f, argument @ ..] = fields.as_slice() else { continue };
        if process.parse::<u64>().is_err() || !kind.starts_with(':') {
            continue;
        }
        // A completion without an answer carries the reason in the place of the value.
        let argument = argument.join(" ");
        let value = if argument.starts_with(':') {
            format!(":error {argument}")
        } else {
            format!(":value {argument}")
        };
        maps.extend(format!("{{:process {process}, :type {kind}, :f {f}, {value}}}\n").into_bytes());
        lines.push(number + 1);
    }
    let reading = Reading { cas_failure: CasFailure::Mismatch, ..*reading };
    jepsen::read(&maps, &reading).map_err(|error| FormatError {
        line: lines.get(error.line.saturating_sub(1)).copied().unwrap_or(error.line),
        column: 1,
        ..error
    })
}

pub(super) fn read_kv(text: &[u8], reading: &Reading) -> Result<History, FormatError> {
    let mut history = jepsen::read(text, reading)?;
    let mut pieces: FxHashMap<Key, Vec<Value>> = FxHashMap::default();
    for event in &mut history.events {
        if let EventBody::Invoke(Op::Append { key, value } | Op::Write { key, value }) = &mut event.body {
            pieces.entry(key.clone()).or_default().push(value.clone());
        }
        if let EventBody::Invoke(Op::Write { value, .. }) = &mut event.body {
            *value = Value::List(vec![value.clone()]);
        }
    }
    for (key, pieces) in &mut pieces {
        pieces.sort();
        pieces.dedup();
        for pair in pieces.windows(2) {
            if let (Value::Text(a), Value::Text(b)) = (&pair[0], &pair[1])
                && b.starts_with(&**a)
            {
                let problem =
                    format!("key {key}: {a:?} is the beginning of {b:?}, so a text can be read in two ways");
                return Err(FormatError { line: 1, column: 1, problem });
            }
        }
    }
    let mut open = FxHashMap::default();
    for event in &mut history.events {
        match &mut event.body {
            EventBody::Invoke(op) => drop(open.insert(event.process, op.key().clone())),
            EventBody::Complete(Outcome::Ok(Reply::Value(seen))) => {
                let known = open.get(&event.process).and_then(|key| pieces.get(key));
                *seen = Value::List(take_apart(seen, known.map_or(&[], Vec::as_slice)));
            }
            EventBody::Complete(_) => {}
        }
    }
    Ok(history)
}

/// The pieces of a text, in order. What is none of them stays whole at the end, as a piece that nobody appended.
fn take_apart(seen: &Value, pieces: &[Value]) -> Vec<Value> {
    let Value::Text(text) = seen else { return Vec::new() };
    let (mut rest, mut list) = (&**text, Vec::new());
    while !rest.is_empty() {
        // The last piece that does not sort after the rest is the only one that can begin it.
        let at = pieces.partition_point(|piece| matches!(piece, Value::Text(piece) if **piece <= *rest));
        let piece = at.checked_sub(1).and_then(|at| match &pieces[at] {
            Value::Text(piece) if !piece.is_empty() => {
                rest.strip_prefix(&**piece).map(|left| (left, &pieces[at]))
            }
            _ => None,
        });
        match piece {
            Some((left, piece)) => {
                list.push(piece.clone());
                rest = left;
            }
            None => {
                list.push(Value::Text(rest.into()));
                break;
            }
        }
    }
    list
}
