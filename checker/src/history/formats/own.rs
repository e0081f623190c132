//! Our own `history.jsonl`, seen as one of the formats: the reader is [`jsonl`], and here are places and options.

use super::{Clock, FormatError, Function, Keys, NilReads, Reading, Recorded};
use crate::history::jsonl::{self, Ending, ReadError};
use crate::history::{EventBody, Outcome, Reply};

pub(super) fn read(text: &[u8], reading: &Reading) -> Result<Recorded, FormatError> {
    if reading.keys == Keys::Independent {
        let problem =
            "a raftcheck history names its keys, so its values are not independent pairs".to_owned();
        return Err(FormatError { line: 1, column: 1, problem });
    }
    let (mut history, ending) = jsonl::read(text.split(|&byte| byte == b'\n')).map_err(place)?;
    if reading.nil_reads == NilReads::Ignored {
        for event in &mut history.events {
            if matches!(
                event.body,
                EventBody::Complete(Outcome::Ok(Reply::Value(crate::history::Value::Nil)))
            ) {
                event.body = EventBody::Complete(Outcome::Unknown(super::jepsen::SAYS_NOTHING.to_owned()));
            }
        }
    }
    let mut functions: Vec<Function> = Vec::new();
    // An event a line, after the header; empty lines do not count.
    let filled =
        text.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    for ((line, _), event) in filled.skip(1).zip(&history.events) {
        if let EventBody::Invoke(op) = &event.body
            && functions.iter().all(|known| known.name != op.name())
        {
            functions.push(Function { name: op.name().to_owned(), line: line + 1, column: 1 });
        }
    }
    let cut_off = match ending {
        Ending::Complete => None,
        Ending::Truncated(line) => Some(line),
    };
    Ok(Recorded { history, functions, clock: Clock::Nanoseconds, cut_off })
}

fn place(error: ReadError) -> FormatError {
    let whole = error.to_string();
    let (line, column, problem) = match error {
        ReadError::NotAHistory(line) | ReadError::Version(line, _) => {
            (line, 1, whole.split_once(": ").map_or(whole.clone(), |(_, problem)| problem.to_owned()))
        }
        ReadError::Line(line, column, problem) => (line, column, problem),
        ReadError::Order(line, problem) => (line, 1, problem),
    };
    FormatError { line, column: column.max(1), problem }
}
