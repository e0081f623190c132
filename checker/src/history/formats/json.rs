//! Entries that are JSON objects, one after the other or all in one array, with strings where EDN has keywords.

use std::borrow::Cow;

use super::FormatError;
use super::edn::Edn;
use super::entry::{Entry, Field};
use super::stream::{More, Out, State, Stop};

/// Whether a text is JSON rather than EDN, by its first bytes; `None` if there are too few.
pub(super) fn looks_like(text: &[u8]) -> Option<bool> {
    let mut bytes = text.iter().filter(|byte| !byte.is_ascii_whitespace());
    match bytes.next()? {
        b'{' => Some(bytes.next()? == &b'"'),
        b'[' => Some(bytes.next()? == &b'{' && bytes.next()? == &b'"'),
        _ => Some(false),
    }
}

/// Hands out the objects of a text, and says how much of the text they took.
pub(super) fn scan<'a>(
    state: &mut State,
    text: &'a [u8],
    more: More,
    out: Out<'_, 'a>,
) -> Result<usize, Stop> {
    let mut at = 0;
    loop {
        at += text[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let Some(&byte) = text.get(at) else { return Ok(at) };
        match (*state, byte) {
            (State::Before, b'[') => (*state, at) = (State::Listed(b']'), at + 1),
            (State::Before, _) => *state = State::Plain,
            (State::Listed(close), _) if byte == close => (*state, at) = (State::After, at + 1),
            (State::Listed(_), b',') => at += 1,
            (State::After, _) => {
                let error = FormatError::at(text, at, "something follows the list of operations");
                return Err(Stop::Here(error));
            }
            (State::Plain | State::Listed(_), _) => match object(text, at, more) {
                Ok(Some((value, end))) => {
                    out(entry(value), at)?;
                    at = end;
                }
                Ok(None) => return Ok(at),
                Err(error) => return Err(Stop::Here(error)),
            },
        }
    }
}

/// The value that begins here and where it ends; `None` if more text could change it.
fn object(text: &[u8], start: usize, more: More) -> Result<Option<(serde_json::Value, usize)>, FormatError> {
    let rest = &text[start..];
    let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<serde_json::Value>();
    let value = values.next();
    let end = values.byte_offset();
    match value {
        None => Ok(None),
        // What is no object, such as a number, might go on.
        Some(Ok(value)) if value.is_object() || end < rest.len() || more == More::Never => {
            Ok(Some((value, start + end)))
        }
        Some(Ok(_)) => Ok(None),
        Some(Err(error)) if error.is_eof() && more == More::Comes => Ok(None),
        Some(Err(error)) => {
            let message = error.to_string();
            let message = message.rfind(" at line ").map_or(message.as_str(), |at| &message[..at]);
            let at = start + offset_of(rest, &error);
            // A number that is already too large may have more digits, and the error is behind the last of them.
            if more == More::Comes && at + 1 >= text.len() {
                return Ok(None);
            }
            Err(FormatError::at(text, at, format!("no JSON: {message}")))
        }
    }
}

/// Where in `text` an error of the JSON reader is.
fn offset_of(text: &[u8], error: &serde_json::Error) -> usize {
    let before: usize = text
        .split_inclusive(|&byte| byte == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    (before + error.column().saturating_sub(1)).min(text.len())
}

fn entry<'a>(value: serde_json::Value) -> Entry<'a> {
    let serde_json::Value::Object(fields) = value else { return Entry::default() };
    let mut entry = Entry::map();
    for (name, value) in fields {
        if let Some(field) = Field::of(name.as_bytes()) {
            entry.put(field, edn(value));
        }
    }
    entry
}

fn edn<'a>(value: serde_json::Value) -> Edn<'a> {
    match value {
        serde_json::Value::Null => Edn::Nil,
        serde_json::Value::Bool(value) => Edn::Bool(value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => Edn::Int(number),
            None => Edn::Text(Cow::Owned(number.to_string())),
        },
        serde_json::Value::String(text) => Edn::Text(Cow::Owned(text)),
        serde_json::Value::Array(items) => Edn::List(items.into_iter().map(edn).collect()),
        serde_json::Value::Object(fields) => {
            let text = |name| Edn::Text(Cow::Owned(name));
            Edn::Map(fields.into_iter().map(|(name, value)| (text(name), edn(value))).collect())
        }
    }
}
