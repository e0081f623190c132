//! Which format a text is in, by its first entry.
//!
//! The beginning of the text is enough if it holds that entry.

use super::Format;
use super::edn::{Edn, Reader};
use super::entry::Field;

/// The format, or `None` if the text begins like none of them.
pub fn detect(text: &[u8]) -> Option<Format> {
    let mut reader = Reader::new(text);
    let first = match reader.blank() {
        Ok(()) => text.get(reader.offset()).copied(),
        Err(_) => None,
    };
    match first {
        Some(b'{') => match text[reader.offset() + 1..].trim_ascii_start().first() {
            Some(b'"') => Some(Format::Raftcheck),
            _ if is_text_store(reader) => Some(Format::PorcupineKv),
            _ => Some(Format::JepsenEdn),
        },
        Some(b'[' | b'(') => Some(Format::KnossosEdn),
        Some(b'#') => Some(Format::JepsenEdn),
        _ => of_lines(text),
    }
}

/// Whether the first entry is a call on a store of strings, as in Porcupine's test data.
fn is_text_store(mut reader: Reader<'_>) -> bool {
    let Ok(entry) = reader.entry() else { return false };
    matches!(entry.get(Field::Key), Some(Edn::Text(_)))
        && matches!(entry.get(Field::Function), Some(Edn::Keyword("put" | "append" | "get")))
        && matches!(entry.get(Field::Value), None | Some(Edn::Nil | Edn::Text(_)))
}

fn of_lines(text: &[u8]) -> Option<Format> {
    for line in text.split(|&byte| byte == b'\n') {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        if line.contains("jepsen.util - ") {
            return Some(Format::PorcupineEtcd);
        }
        let mut words = line.split('\t');
        let types = [":invoke", ":ok", ":fail", ":info"];
        if words.next().is_some() && words.next().is_some_and(|word| types.contains(&word)) {
            return Some(Format::JepsenText);
        }
    }
    None
}
