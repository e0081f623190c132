//! The key-value histories in Porcupine's test data.
//!
//! There `append` appends text to text. It is read as a list of the appended pieces, which is the same thing as long as no
//! piece is a prefix of another, so that a text can be taken apart in one way only.

use rustc_hash::FxHashMap;

use super::{FormatError, Recorded};
use crate::history::{Key, Op, Outcome, Reply, Value};

/// Reads the texts as lists.
pub(super) fn as_lists(recorded: &mut Recorded) -> Result<(), FormatError> {
    let mut pieces: FxHashMap<Key, Vec<Value>> = FxHashMap::default();
    for op in recorded.recording.ops_mut() {
        let appends = matches!(op, Op::Append { .. });
        let (Op::Append { key, value } | Op::Write { key, value }) = op else { continue };
        let Value::Text(piece) = &*value else {
            return Err(unclear(format!("key {key}: {value} is written, and a value here is a text")));
        };
        if piece.is_empty() && appends {
            return Err(unclear(format!("key {key}: an empty text is appended, which no read can show")));
        }
        match (piece.is_empty(), appends) {
            (true, _) => *value = Value::List(Vec::new()),
            (false, appends) => {
                pieces.entry(key.clone()).or_default().push(value.clone());
                if !appends {
                    *value = Value::List(vec![value.clone()]);
                }
            }
        }
    }
    for (key, pieces) in &mut pieces {
        pieces.sort();
        pieces.dedup();
        for pair in pieces.windows(2) {
            if let (Value::Text(a), Value::Text(b)) = (&pair[0], &pair[1])
                && b.starts_with(&**a)
            {
                let problem = format!("{a:?} is the beginning of {b:?}, so a text can be read in two ways");
                return Err(unclear(format!("key {key}: {problem}")));
            }
        }
    }
    for (op, outcome) in recorded.recording.ends_mut() {
        if let Outcome::Ok(Reply::Value(seen)) = outcome {
            let known = pieces.get(op.key()).map_or(&[][..], Vec::as_slice);
            *seen = Value::List(take_apart(seen, known));
        }
    }
    Ok(())
}

/// Of the whole text, so it has no better place than its beginning.
fn unclear(problem: String) -> FormatError {
    FormatError { line: 1, column: 1, problem }
}

/// The pieces of a text, in order. What is none of them stays whole at the end, as a piece that nobody appended.
fn take_apart(seen: &Value, pieces: &[Value]) -> Vec<Value> {
    let text = match seen {
        Value::Nil => return Vec::new(),
        Value::Text(text) => text,
        // Nobody wrote it.
        other => return vec![other.clone()],
    };
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
