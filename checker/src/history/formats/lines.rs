//! Histories of one operation a line, between tabs: Jepsen's `history.txt`, and logs that hold such lines.
//!
//! ```text
//! 2       :invoke :write  4
//! 2       :fail   :cas    [1 2]   :timed-out
//! INFO  jepsen.util - 2   :info   :write  :timed-out
//! ```

use super::edn::{Edn, Reader};
use super::entry::{Entry, Field, Place, Sink};
use super::jepsen::Builder;
use super::{FormatError, Recorded};

/// What becomes of lines that are no operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// They are an error: the file should hold nothing else.
    Refused,
    /// They are the other messages of a log.
    Skipped,
}

/// Reads line after line.
pub(super) struct Log<'r> {
    builder: Builder<'r>,
    others: Others,
}

impl<'r> Log<'r> {
    /// What the lines are turned into.
    pub(super) fn new(builder: Builder<'r>, others: Others) -> Self {
        Log { builder, others }
    }

    /// Takes the line of this number.
    pub(super) fn line(&mut self, number: usize, line: &[u8]) -> Result<(), FormatError> {
        let at = |column, problem| FormatError { line: number, column, problem };
        let Ok(line) = std::str::from_utf8(line) else {
            return match self.others {
                Others::Refused => Err(at(1, "this line is not UTF-8".to_owned())),
                Others::Skipped => Ok(()),
            };
        };
        let rest = match (self.others, line.split_once("jepsen.util - ")) {
            (_, Some((_, rest))) => rest,
            (Others::Refused, None) => line,
            (Others::Skipped, None) => return Ok(()),
        };
        let column = line.len() - rest.len() + 1;
        match fields(rest) {
            Some(fields) => {
                let entry = entry(fields).map_err(|problem| at(column, problem))?;
                let place = Place { line: number, column };
                self.builder.take(&entry, place).map_err(|problem| at(column, problem))
            }
            None if self.others == Others::Skipped || line.trim().is_empty() => Ok(()),
            None => {
                let problem = "this is no operation: process, :type, :function and value between tabs";
                Err(at(column, problem.to_owned()))
            }
        }
    }

    /// See [`Sink::held`].
    pub(super) fn held(&self) -> usize {
        self.builder.held()
    }

    /// What was read.
    pub(super) fn finish(self) -> Recorded {
        self.builder.finish()
    }
}

/// Process, type, function, and whatever follows.
fn fields(line: &str) -> Option<[&str; 4]> {
    let mut rest = line.trim_end();
    let mut word = || {
        let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        rest = after.trim_start();
        word
    };
    let words = [word(), word(), word()];
    let named = |word: &str| word.len() > 1 && word.starts_with(':');
    let process = words[0].parse::<u64>().is_ok() || named(words[0]);
    (process && named(words[1]) && named(words[2])).then_some([words[0], words[1], words[2], rest])
}

fn entry<'a>([process, kind, f, rest]: [&'a str; 4]) -> Result<Entry<'a>, String> {
    let (value, error) = rest.split_once('\t').unwrap_or((rest, ""));
    let number = process.parse().ok();
    let process = number.map_or_else(|| Edn::Keyword(process.trim_start_matches(':')), Edn::Int);
    let mut entry = Entry::map();
    entry.put(Field::Process, process);
    entry.put(Field::Type, Edn::Keyword(&kind[1..]));
    entry.put(Field::Function, Edn::Keyword(&f[1..]));
    // A call without an answer can carry the reason in the place of the value.
    let reason = matches!(kind, ":fail" | ":info") && value.starts_with(':');
    if reason {
        entry.put(Field::Error, Edn::Word(value));
    } else if number.is_some() && matches!(kind, ":invoke" | ":ok") {
        let mut reader = Reader::new(value.as_bytes());
        let parsed = reader.next().map_err(|error| error.problem)?.unwrap_or(Edn::Nil);
        match reader.next() {
            Ok(None) => entry.put(Field::Value, parsed),
            _ => return Err(format!("{value:?} is not one value")),
        }
    }
    if !error.is_empty() {
        entry.put(Field::Error, Edn::Word(error));
    }
    Ok(entry)
}
