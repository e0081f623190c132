//! The part of EDN that histories are printed in.
//!
//! Invariant: any input gives a value or an error with its place. Tags are read and forgotten; ratios, characters and
//! symbols other than `nil`, `true` and `false` are kept as their text. Reference: github.com/edn-format/edn.

use super::FormatError;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Edn<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    /// A string, unescaped.
    Text(String),
    /// `:name`, without the colon.
    Keyword(&'a str),
    /// Anything else that is one word: a symbol, a float, a big number.
    Word(&'a str),
    /// A vector, list or set.
    List(Vec<Edn<'a>>),
    Map(Vec<(Edn<'a>, Edn<'a>)>),
}

impl<'a> Edn<'a> {
    /// The value of a keyword key.
    pub(crate) fn get(&self, key: &str) -> Option<&Edn<'a>> {
        match self {
            Edn::Map(pairs) => pairs.iter().find(|(k, _)| *k == Edn::Keyword(key)).map(|(_, value)| value),
            _ => None,
        }
    }
}

/// Nested deeper than this nothing is a history, and the stack is not ours to exhaust.
const DEPTH: usize = 64;

/// Reads value after value.
pub(crate) struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// How many discarded values are open within each other.
    discards: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Reader { text, at: 0, discards: 0 }
    }

    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    /// The next value; `None` at the end of the text.
    pub(crate) fn next(&mut self) -> Result<Option<Edn<'a>>, FormatError> {
        self.blank()?;
        match self.at == self.text.len() {
            true => Ok(None),
            false => self.value(0).map(Some),
        }
    }

    /// Enters a vector or list, so that its items can be read one by one.
    pub(crate) fn enter(&mut self) -> Result<Option<u8>, FormatError> {
        self.blank()?;
        let close = match self.text.get(self.at) {
            Some(b'[') => b']',
            Some(b'(') => b')',
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(close))
    }

    /// Leaves it, if it ends here.
    pub(crate) fn leave(&mut self, close: u8) -> Result<bool, FormatError> {
        self.blank()?;
        let ends = self.text.get(self.at) == Some(&close);
        self.at += usize::from(ends);
        Ok(ends)
    }

    fn error<T>(&self, problem: &str) -> Result<T, FormatError> {
        Err(FormatError::at(self.text, self.at, problem))
    }

    /// Skips white space, commas, comments and discarded values.
    pub(crate) fn blank(&mut self) -> Result<(), FormatError> {
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b',' | 0x0c => self.at += 1,
                b';' => self.at += self.text[self.at..].iter().take_while(|&&b| b != b'\n').count(),
                b'#' if self.text.get(self.at + 1) == Some(&b'_') => {
                    if self.discards > DEPTH {
                        return self.error("nested too deeply");
                    }
                    self.at += 2;
                    self.discards += 1;
                    self.value(1)?;
                    self.discards -= 1;
                }
                _ => break,
            }
        }
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Edn<'a>, FormatError> {
        if depth > DEPTH {
            return self.error("nested too deeply");
        }
        self.blank()?;
        match self.text.get(self.at) {
            None => self.error("the text ends in the middle of a value"),
            Some(b'[') => self.items(b']', depth).map(Edn::List),
            Some(b'(') => self.items(b')', depth).map(Edn::List),
            Some(b'{') => self.map(depth),
            Some(b'"') => self.string(),
            Some(b'#') => match self.text.get(self.at + 1) {
                Some(b'{') => {
                    self.at += 1;
                    self.items(b'}', depth).map(Edn::List)
                }
                _ => {
                    // A tag: `#jepsen.history.Op{...}`.
                    self.at += 1;
                    self.word()?;
                    self.value(depth + 1)
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
            Some(_) => self.word().map(|word| match word {
                "nil" => Edn::Nil,
                "true" => Edn::Bool(true),
                "false" => Edn::Bool(false),
                _ => word.strip_suffix('N').unwrap_or(word).parse().map_or(Edn::Word(word), Edn::Int),
            }),
        }
    }

    fn items(&mut self, close: u8, depth: usize) -> Result<Vec<Edn<'a>>, FormatError> {
        self.at += 1;
        let mut items = Vec::new();
        while !self.leave(close)? {
            items.push(self.value(depth + 1)?);
        }
        Ok(items)
    }

    fn map(&mut self, depth: usize) -> Result<Edn<'a>, FormatError> {
        let start = self.at;
        let mut items = self.items(b'}', depth)?.into_iter();
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
        let ends = |b: &u8| b.is_ascii_whitespace() || b",;\"()[]{}".contains(b);
        let length = rest.iter().position(ends).unwrap_or(rest.len());
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
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            match self.text.get(self.at) {
                None => return Err(FormatError::at(self.text, start, "this string has no end")),
                Some(b'"') => break,
                Some(b'\\') => {
                    self.at += 1;
                    bytes.push(match self.text.get(self.at) {
                        Some(b'n') => b'\n',
                        Some(b't') => b'\t',
                        Some(b'r') => b'\r',
                        Some(b @ (b'"' | b'\\')) => *b,
                        _ => return self.error("an unknown escape in a string"),
                    });
                }
                Some(&byte) => bytes.push(byte),
            }
            self.at += 1;
        }
        self.at += 1;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Edn::Text(text)),
            Err(_) => Err(FormatError::at(self.text, start, "this string is not UTF-8")),
        }
    }
}
