//! Our own `history.jsonl`, seen as one of the formats: the reader is [`jsonl`], and here are places and options.

use super::{Clock, FormatError, Function, Keys, NilReads, Reading, Recorded};
use crate::history::jsonl::{self, Ending, ReadError};
use crate::history::{Event, EventBody, Outcome, Recorder, Reply, Value};

/// Reads line after line.
pub(super) struct Own {
    nil_reads: NilReads,
    reader: jsonl::Reader,
    recorder: Recorder,
    functions: Vec<Function>,
}

impl Own {
    /// Fails if the reading does not go with this format.
    pub(super) fn new(reading: &Reading) -> Result<Own, FormatError> {
        if reading.keys == Keys::Independent {
            let problem =
                "a raftcheck history names its keys, so its values are not independent pairs".to_owned();
            return Err(FormatError { line: 1, column: 1, problem });
        }
        Ok(Own {
            nil_reads: reading.nil_reads,
            reader: jsonl::Reader::default(),
            recorder: Recorder::default(),
            functions: Vec::new(),
        })
    }

    /// Takes the line of this number.
    pub(super) fn line(&mut self, number: usize, line: &[u8]) -> Result<(), FormatError> {
        match self.reader.line(number, line).map_err(place)? {
            Some(event) => self.event(number, event),
            None => Ok(()),
        }
    }

    fn event(&mut self, line: usize, event: Event) -> Result<(), FormatError> {
        let node = event.node.as_deref();
        let taken = match event.body {
            EventBody::Invoke(op) => {
                if self.functions.iter().all(|known| known.name != op.name()) {
                    self.functions.push(Function { name: op.name().to_owned(), line, column: 1 });
                }
                self.recorder.invoke(event.time, event.process, node, op)
            }
            EventBody::Complete(mut outcome) => {
                if self.nil_reads == NilReads::Ignored && outcome == Outcome::Ok(Reply::Value(Value::Nil)) {
                    outcome = Outcome::Unknown(super::jepsen::SAYS_NOTHING.to_owned());
                }
                self.recorder.complete(event.time, event.process, node, outcome)
            }
        };
        taken.map_err(|malformed| FormatError { line, column: 1, problem: malformed.problem.to_string() })
    }

    /// About how many bytes are held of what was read.
    pub(super) fn held(&self) -> usize {
        self.recorder.held()
    }

    /// What was read.
    pub(super) fn finish(self) -> Result<Recorded, FormatError> {
        let cut_off = match self.reader.finish().map_err(place)? {
            Ending::Complete => None,
            Ending::Truncated(line) => Some(line),
        };
        let recording = self.recorder.finish();
        Ok(Recorded { recording, functions: self.functions, clock: Clock::Nanoseconds, cut_off })
    }
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
