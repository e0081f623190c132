//! One entry of a history, whatever it is written in: the fields that count, and no others.

use super::edn::Edn;

/// A field that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// Who.
    Process,
    /// `:invoke`, `:ok`, `:fail` or `:info`.
    Type,
    /// Which function.
    Function,
    /// Its argument or its answer.
    Value,
    /// Nanoseconds.
    Time,
    /// Which key, where the value does not say it.
    Key,
    /// Which node answered.
    Node,
    /// Why it failed.
    Error,
}

impl Field {
    /// The field of this name.
    pub(crate) fn of(name: &[u8]) -> Option<Field> {
        Some(match name {
            b"process" => Field::Process,
            b"type" => Field::Type,
            b"f" => Field::Function,
            b"value" => Field::Value,
            b"time" => Field::Time,
            b"key" => Field::Key,
            b"node" => Field::Node,
            b"error" => Field::Error,
            _ => return None,
        })
    }
}

/// An entry. A field that is named twice counts as it stands first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Entry<'a> {
    /// Whether it is a map at all.
    pub(crate) is_map: bool,
    fields: [Option<Edn<'a>>; 8],
}

impl<'a> Entry<'a> {
    /// A map without fields. The default is no map.
    pub(crate) fn map() -> Self {
        Entry { is_map: true, ..Entry::default() }
    }

    /// Sets a field that is not there yet.
    pub(crate) fn put(&mut self, field: Field, value: Edn<'a>) {
        self.fields[field as usize].get_or_insert(value);
    }

    /// What a field holds.
    pub(crate) fn get(&self, field: Field) -> Option<&Edn<'a>> {
        self.fields[field as usize].as_ref()
    }
}

/// Where an entry begins. Both count from 1, the column in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The line.
    pub(crate) line: usize,
    /// The column.
    pub(crate) column: usize,
}

impl Place {
    /// Where a text begins.
    pub(crate) const START: Place = Place { line: 1, column: 1 };

    /// The place behind this text, which begins here.
    pub(crate) fn behind(self, text: &[u8]) -> Place {
        match text.iter().rposition(|&byte| byte == b'\n') {
            None => Place { line: self.line, column: self.column + text.len() },
            Some(last) => Place {
                line: self.line + text.iter().filter(|&&byte| byte == b'\n').count(),
                column: text.len() - last,
            },
        }
    }

    /// A place in a text as one in the whole, of which that text begins here.
    pub(crate) fn then(self, inner: Place) -> Place {
        match inner.line {
            1 => Place { line: self.line, column: self.column + inner.column - 1 },
            line => Place { line: self.line + line - 1, column: inner.column },
        }
    }
}

/// Takes entries, oldest first.
pub(crate) trait Sink {
    /// Takes the entry at this place; or says what is wrong with it.
    fn take(&mut self, entry: &Entry<'_>, place: Place) -> Result<(), String>;

    /// About how many bytes it holds of what it has taken.
    fn held(&self) -> usize;
}
