//! The part of EDN that histories are printed in.
//!
//! Invariant: any input gives a value or an error with its place, and a text that ends too early is told from one that is
//! wrong ([`Reader::starved`]). Tags are read and forgotten; ratios, characters and symbols other than `nil`, `true` and
//! `false` are kept as their text. Reference: github.com/edn-format/edn.

use std::borrow::Cow;

use super::FormatError;
use super::entry::{Entry, Field};

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Edn<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    /// A string, unescaped.
    Text(Cow<'a, str>),
    /// `:name`, without the colon.
    Keyword(&'a str),
    /// Anything else that is one word: a symbol, a float, a big number.
    Word(&'a str),
    /// A vector, list or set.
    List(Vec<Edn<'a>>),
    Map(Vec<(Edn<'a>, Edn<'a>)>),
}

/// Nested deeper than this nothing is a history, and the stack is not ours to exhaust.
const DEPTH: usize = 64;

/// Whether a byte ends a word.
const ENDS: [bool; 256] = {
    let mut ends = [false; 256];
    let bytes = b" \t\n\r\x0c,;\"()[]{}";
    let mut at = 0;
    while at < bytes.len() {
        ends[bytes[at] as usize] = true;
        at += 1;
    }
    ends
};

/// Reads value after value.
pub(crate) struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// How many values are open within each other, discarded ones too.
    depth: usize,
    /// Whether it looked for a byte behind the last one.
    starved: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Reader { text, at: 0, depth: 0, starved: false }
    }

    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    /// Whether more text could have changed what was read so far.
    pub(crate) fn starved(&self) -> bool {
        self.starved
    }

    /// The next byte.
    fn peek(&mut self) -> Option<u8> {
        self.peek_at(0)
    }

    fn peek_at(&mut self, ahead: usize) -> Option<u8> {
        let byte = self.text.get(self.at + ahead).copied();
        self.starved |= byte.is_none();
        byte
    }

    /// The next value; `None` at the end of the text.
    pub(crate) fn next(&mut self) -> Result<Option<Edn<'a>>, FormatError> {
        self.blank()?;
        match self.at == self.text.len() {
            true => Ok(None),
            false => self.value().map(Some),
        }
    }

    /// Skips white space, and nothing else; whether anything is left. It never starves.
    pub(crate) fn space(&mut self) -> bool {
        let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | 0x0c);
        self.at += self.text[self.at..].iter().take_while(|byte| space(byte)).count();
        self.at < self.text.len()
    }

    /// Enters a vector or list, so that its items can be read one by one.
    pub(crate) fn enter(&mut self) -> Option<u8> {
        let close = match self.peek()? {
            b'[' => b']',
            b'(' => b')',
            _ => return None,
        };
        self.at += 1;
        Some(close)
    }

    /// Leaves it, if it ends here.
    pub(crate) fn leave(&mut self, close: u8) -> bool {
        let ends = self.peek() == Some(close);
        self.at += usize::from(ends);
        ends
    }

    fn error<T>(&self, problem: &str) -> Result<T, FormatError> {
        Err(FormatError::at(self.text, self.at, problem))
    }

    /// Skips white space, commas, comments and discarded values.
    #[inline]
    pub(crate) fn blank(&mut self) -> Result<(), FormatError> {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b',' | 0x0c => self.at += 1,
                b';' => self.at += self.text[self.at..].iter().take_while(|&&b| b != b'\n').count(),
                b'#' if self.peek_at(1) == Some(b'_') => self.discard()?,
                _ => break,
            }
        }
        Ok(())
    }

    #[cold]
    fn discard(&mut self) -> Result<(), FormatError> {
        self.at += 2;
        self.deeper(|reader| {
            reader.blank()?;
            reader.value()
        })?;
        Ok(())
    }

    /// Reads something that lies within something else. After an error nothing more is read, so the depth need not be right.
    #[inline]
    fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, FormatError>,
    ) -> Result<T, FormatError> {
        if self.depth == DEPTH {
            return self.error("nested too deeply");
        }
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// The next value, as an entry of a history if it is a map, tagged or not. There has to be one, and it lies in no other.
    pub(crate) fn entry(&mut self) -> Result<Entry<'a>, FormatError> {
        loop {
            self.blank()?;
            match self.peek() {
                Some(b'{') => break,
                Some(b'#') if self.peek_at(1) != Some(b'{') && self.depth < DEPTH => {
                    self.at += 1;
                    self.word()?;
                    self.depth += 1;
                }
                _ => {
                    self.value()?;
                    self.depth = 0;
                    return Ok(Entry::default());
                }
            }
        }
        let fields = self.fields()?;
        self.depth = 0;
        Ok(fields)
    }

    /// The fields of a map that an entry has; all others are read and forgotten.
    fn fields(&mut self) -> Result<Entry<'a>, FormatError> {
        let start = self.at;
        self.at += 1;
        let mut entry = Entry::map();
        loop {
            self.blank()?;
            if self.leave(b'}') {
                return Ok(entry);
            }
            let field = self.field()?;
            self.blank()?;
            if self.leave(b'}') {
                return Err(FormatError::at(self.text, start, "a map with a key that has no value"));
            }
            let value = self.value()?;
            if let Some(field) = field {
                entry.put(field, value);
            }
        }
    }

    /// The field that a key names; nothing for any other key.
    fn field(&mut self) -> Result<Option<Field>, FormatError> {
        let rest = &self.text[self.at..];
        if rest.first() == Some(&b':')
            && let Some(length) = rest[1..].iter().position(|&byte| ENDS[byte as usize])
            && let Some(field) = Field::of(&rest[1..][..length])
        {
            self.at += 1 + length;
            return Ok(Some(field));
        }
        match self.value()? {
            Edn::Keyword(name) => Ok(Field::of(name.as_bytes())),
            _ => Ok(None),
        }
    }

    /// The value that begins here; there is nothing to be skipped before it.
    fn value(&mut self) -> Result<Edn<'a>, FormatError> {
        self.deeper(Self::value_here)
    }

    fn value_here(&mut self) -> Result<Edn<'a>, FormatError> {
        match self.peek() {
            None => self.error("the text ends in the middle of a value"),
            Some(b'[') => self.items(b']').map(Edn::List),
            Some(b'(') => self.items(b')').map(Edn::List),
            Some(b'{') => self.map(),
            Some(b'"') => self.string(),
            Some(b'#') => match self.peek_at(1) {
                Some(b'{') => {
                    self.at += 1;
                    self.items(b'}').map(Edn::List)
                }
                _ => {
                    // A tag: `#jepsen.history.Op{...}`.
                    self.at += 1;
                    self.word()?;
                    self.blank()?;
                    self.value()
                }
            },
            Some(b']' | b')' | b'}') => self.error("this closes nothing"),
            Some(b':') => {
                self.at += 1;
                self.word().map(Edn::Keyword)
            }
            Some(b'\\') => {
                self.at += 1;
                self.word().map(Edn::Word)
            }
            Some(b'0'..=b'9') => match self.digits() {
                Some(number) => Ok(Edn::Int(number)),
                None => self.named(),
            },
            Some(_) => self.named(),
        }
    }

    /// A number of a few digits and nothing else, which most words of a history are.
    fn digits(&mut self) -> Option<i64> {
        let (mut at, mut number) = (self.at, 0);
        while let Some(&byte) = self.text.get(at) {
            match byte {
                b'0'..=b'9' if at - self.at < 18 => number = number * 10 + i64::from(byte - b'0'),
                byte if ENDS[byte as usize] => {
                    self.at = at;
                    return Some(number);
                }
                _ => return None,
            }
            at += 1;
        }
        None
    }

    fn named(&mut self) -> Result<Edn<'a>, FormatError> {
        self.word().map(|word| match word {
            "nil" => Edn::Nil,
            "true" => Edn::Bool(true),
            "false" => Edn::Bool(false),
            _ => word.strip_suffix('N').unwrap_or(word).parse().map_or(Edn::Word(word), Edn::Int),
        })
    }

    fn items(&mut self, close: u8) -> Result<Vec<Edn<'a>>, FormatError> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.blank()?;
            if self.leave(close) {
                return Ok(items);
            }
            items.push(self.value()?);
        }
    }

    fn map(&mut self) -> Result<Edn<'a>, FormatError> {
        let start = self.at;
        let mut items = self.items(b'}')?.into_iter();
        let mut pairs = Vec::new();
        while let Some(key) = items.next() {
            match items.next() {
                Some(value) => pairs.push((key, value)),
                None => return Err(FormatError::at(self.text, start, "a map with a key that has no value")),
            }
        }
        Ok(Edn::Map(pairs))
    }

    fn word(&mut self) -> Result<&'a str, FormatError> {
        let rest = &self.text[self.at..];
        let length = match rest.iter().position(|&byte| ENDS[byte as usize]) {
            Some(length) => length,
            None => {
                self.starved = true;
                rest.len()
            }
        };
        if length == 0 {
            return self.error("a name was expected here");
        }
        let Ok(word) = std::str::from_utf8(&rest[..length]) else {
            return self.error("this is not UTF-8");
        };
        self.at += length;
        Ok(word)
    }

    fn string(&mut self) -> Result<Edn<'a>, FormatError> {
        let start = self.at;
        let plain = self.text[start + 1..].iter().take_while(|&&byte| byte != b'"' && byte != b'\\').count();
        if self.text.get(start + 1 + plain) == Some(&b'"') {
            self.at += plain + 2;
            return match std::str::from_utf8(&self.text[start + 1..][..plain]) {
                Ok(text) => Ok(Edn::Text(Cow::Borrowed(text))),
                Err(_) => Err(FormatError::at(self.text, start, "this string is not UTF-8")),
            };
        }
        self.escaped()
    }

    fn escaped(&mut self) -> Result<Edn<'a>, FormatError> {
        let start = self.at;
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            match self.peek() {
                None => return Err(FormatError::at(self.text, start, "this string has no end")),
                Some(b'"') => break,
                Some(b'\\') => {
                    self.at += 1;
                    bytes.push(match self.peek() {
                        Some(b'n') => b'\n',
                        Some(b't') => b'\t',
                        Some(b'r') => b'\r',
                        Some(b @ (b'"' | b'\\')) => b,
                        _ => return self.error("an unknown escape in a string"),
                    });
                }
                Some(byte) => bytes.push(byte),
            }
            self.at += 1;
        }
        self.at += 1;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Edn::Text(Cow::Owned(text))),
            Err(_) => Err(FormatError::at(self.text, start, "this string is not UTF-8")),
        }
    }
}
