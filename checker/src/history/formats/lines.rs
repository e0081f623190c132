//! Histories of one operation a line, between tabs: Jepsen's `history.txt`, and logs that hold such lines.
//!
//! ```text
//! 2       :invoke :write  4
//! 2       :fail   :cas    [1 2]   :timed-out
//! INFO  jepsen.util - 2   :info   :write  :timed-out
//! ```

use super::edn::{Edn, Reader};
use super::jepsen::Builder;
use super::{Clock, FormatError, Reading, Recorded};

/// What becomes of lines that are no operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// They are an error: the file should hold nothing else.
    Refused,
    /// They are the other messages of a log.
    Skipped,
}

pub(super) fn read(text: &[u8], reading: &Reading, others: Others) -> Result<Recorded, FormatError> {
    let mut builder = Builder::new(reading, Clock::Lines);
    for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let at = |column, problem| FormatError { line: number + 1, column, problem };
        let Ok(line) = std::str::from_utf8(line) else {
            match others {
                Others::Refused => return Err(at(1, "this line is not UTF-8".to_owned())),
                Others::Skipped => continue,
            }
        };
        let rest = match (others, line.split_once("jepsen.util - ")) {
            (_, Some((_, rest))) => rest,
            (Others::Refused, None) => line,
            (Others::Skipped, None) => continue,
        };
        let column = line.len() - rest.len() + 1;
        match fields(rest) {
            Some(fields) => {
                let entry = entry(fields).map_err(|problem| at(column, problem))?;
                builder.push(&entry, (number + 1, column)).map_err(|problem| at(column, problem))?;
            }
            None if others == Others::Skipped || line.trim().is_empty() => {}
            None => {
                let problem = "this is no operation: process, :type, :function and value between tabs";
                return Err(at(column, problem.to_owned()));
            }
        }
    }
    Ok(builder.finish())
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

fn entry<'a>([process, kind, f, rest]: [&'a str; 4]) -> Result<Edn<'a>, String> {
    let (value, error) = rest.split_once('\t').unwrap_or((rest, ""));
    let process = match process.parse() {
        Ok(number) => Edn::Int(number),
        Err(_) => Edn::Keyword(process.trim_start_matches(':')),
    };
    let mut map = vec![
        (Edn::Keyword("process"), process),
        (Edn::Keyword("type"), Edn::Keyword(&kind[1..])),
        (Edn::Keyword("f"), Edn::Keyword(&f[1..])),
    ];
    // A call without an answer can carry the reason in the place of the value.
    let reason = matches!(kind, ":fail" | ":info") && value.starts_with(':');
    if reason {
        map.push((Edn::Keyword("error"), Edn::Word(value)));
    } else if matches!(map[0].1, Edn::Int(_)) && matches!(kind, ":invoke" | ":ok") {
        let mut reader = Reader::new(value.as_bytes());
        let parsed = reader.next().map_err(|error| error.problem)?.unwrap_or(Edn::Nil);
        match reader.next() {
            Ok(None) => map.push((Edn::Keyword("value"), parsed)),
            _ => return Err(format!("{value:?} is not one value")),
        }
    }
    if !error.is_empty() {
        map.push((Edn::Keyword("error"), Edn::Word(error)));
    }
    Ok(Edn::Map(map))
}
