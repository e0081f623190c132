//! Jepsen's `history.edn` (one map a line, Maelstrom's too) and Knossos' files (one vector of maps).
//!
//! Operations of processes that are no number (`:nemesis`) are left out. Where there is no `:time`, the number of the line
//! is the time. A completion of a call that failed or is unknown carries no value that counts.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::edn::{Edn, Reader};
use super::{CasFailure, Clock, FormatError, Function, Keys, NilReads, Reading, Recorded};
use crate::history::{Event, EventBody, History, Key, Op, Outcome, ProcessId, Reply, Value};

/// What becomes of a read of nil that is not to count.
pub(super) const SAYS_NOTHING: &str = "a read of nil, which says nothing";
/// The key of a history that has one only.
const ONLY: &str = "x";

pub(super) fn read(text: &[u8], reading: &Reading) -> Result<Recorded, FormatError> {
    let mut reader = Reader::new(text);
    let mut builder: Option<Builder<'_>> = None;
    let mut place = Place { offset: 0, line: 1, start: 0 };
    let close = reader.enter()?;
    loop {
        if let Some(close) = close
            && reader.leave(close)?
        {
            break;
        }
        reader.blank()?;
        place.advance(text, reader.offset());
        let (line, column) = (place.line, place.offset - place.start + 1);
        match reader.next()? {
            Some(entry) => {
                let clock = || match entry.get("time") {
                    Some(Edn::Int(_)) => Clock::Nanoseconds,
                    _ => Clock::Lines,
                };
                let builder = builder.get_or_insert_with(|| Builder::new(reading, clock()));
                builder.push(&entry, (line, column)).map_err(|problem| FormatError {
                    line,
                    column,
                    problem,
                })?;
            }
            None if close.is_some() => {
                return Err(FormatError::at(text, text.len(), "the list of operations has no end"));
            }
            None => break,
        }
    }
    if let Some(_more) = close.and(reader.next()?) {
        return Err(FormatError::at(text, reader.offset(), "something follows the list of operations"));
    }
    Ok(builder.map(Builder::finish).unwrap_or_default())
}

/// Where the reader is, kept up as it goes on.
struct Place {
    offset: usize,
    line: usize,
    /// Where the line begins.
    start: usize,
}

impl Place {
    fn advance(&mut self, text: &[u8], to: usize) {
        for (at, byte) in text[self.offset..to].iter().enumerate() {
            if *byte == b'\n' {
                self.line += 1;
                self.start = self.offset + at + 1;
            }
        }
        self.offset = to;
    }
}

/// A call that has not ended.
struct Open {
    op: Op,
    line: usize,
}

/// Turns entries into events.
pub(super) struct Builder<'r> {
    reading: &'r Reading,
    clock: Clock,
    history: History,
    functions: Vec<Function>,
    open: FxHashMap<ProcessId, Open>,
    keys: FxHashMap<Box<str>, Key>,
    /// The names of functions that only some models know.
    names: Vec<Arc<str>>,
    latest: u64,
}

impl<'r> Builder<'r> {
    pub(super) fn new(reading: &'r Reading, clock: Clock) -> Self {
        let (history, functions, latest) = (History::default(), Vec::new(), 0);
        let (open, keys, names) = (FxHashMap::default(), FxHashMap::default(), Vec::new());
        Builder { reading, clock, history, functions, open, keys, names, latest }
    }

    pub(super) fn finish(self) -> Recorded {
        Recorded { history: self.history, functions: self.functions, clock: self.clock, cut_off: None }
    }

    /// Takes the entry at this line and column.
    pub(super) fn push(&mut self, entry: &Edn<'_>, (line, column): (usize, usize)) -> Result<(), String> {
        let Edn::Map(_) = entry else { return Err("an operation is a map".to_owned()) };
        let process = match entry.get("process") {
            Some(Edn::Int(process)) => ProcessId(u64::try_from(*process).map_err(|_| "a negative :process")?),
            Some(_) => return Ok(()),
            None => return Err("an operation without :process".to_owned()),
        };
        let Some(Edn::Keyword(kind)) = entry.get("type") else {
            return Err("an operation without :type".to_owned());
        };
        let body = match *kind {
            "invoke" => {
                let op = self.op(entry)?;
                self.note_function(entry, line, column);
                if let Some(open) = self.open.insert(process, Open { op: op.clone(), line }) {
                    let why = format!("while its call of line {} is still open", open.line);
                    return Err(format!("process {} invokes a call {why}", process.0));
                }
                EventBody::Invoke(op)
            }
            "ok" | "fail" | "info" => {
                let open = self.open.remove(&process);
                let op = open.ok_or("a completion of a call that was never invoked")?.op;
                EventBody::Complete(self.outcome(kind, &op, entry)?)
            }
            other => return Err(format!("there is no :type :{other}")),
        };
        self.latest = match (self.clock, entry.get("time")) {
            (Clock::Nanoseconds, Some(Edn::Int(time))) => self.latest.max(u64::try_from(*time).unwrap_or(0)),
            (Clock::Nanoseconds, _) => self.latest,
            (Clock::Lines, _) => line as u64,
        };
        let node = match entry.get("node") {
            Some(Edn::Text(node)) => Some(node.clone()),
            _ => None,
        };
        self.history.events.push(Event { time: self.latest, process, node, body });
        Ok(())
    }

    fn note_function(&mut self, entry: &Edn<'_>, line: usize, column: usize) {
        if let Some(Edn::Keyword(name)) = entry.get("f")
            && self.functions.iter().all(|known| known.name != *name)
        {
            self.functions.push(Function { name: (*name).to_owned(), line, column });
        }
    }

    fn op(&mut self, entry: &Edn<'_>) -> Result<Op, String> {
        let Some(Edn::Keyword(f)) = entry.get("f") else { return Err("an operation without :f".to_owned()) };
        if self.reading.keys == Keys::Unsaid && entry.get("key").is_none() {
            refuse_pairs(f, entry.get("value").unwrap_or(&Edn::Nil))?;
        }
        let (key, argument) = self.key_and_value(entry)?;
        let value = || value(argument);
        Ok(match *f {
            "read" | "get" => Op::Read { key },
            "write" | "put" => Op::Write { key, value: value()? },
            "cas" => match argument {
                Edn::List(pair) if pair.len() == 2 => {
                    Op::Cas { key, expected: self::value(&pair[0])?, new: self::value(&pair[1])? }
                }
                _ => return Err("the :value of a :cas is [expected new]".to_owned()),
            },
            "delete" => Op::Delete { key },
            "append" => Op::Append { key, value: value()? },
            "add" => Op::Add { key, value: value()? },
            "members" => Op::Members { key },
            other => Op::Other { key, function: self.function(other), argument: value()? },
        })
    }

    fn outcome(&mut self, kind: &str, op: &Op, entry: &Edn<'_>) -> Result<Outcome, String> {
        let why = || match entry.get("error") {
            None => String::new(),
            Some(Edn::Keyword(word) | Edn::Word(word)) => (*word).to_owned(),
            Some(Edn::Text(text)) => text.clone(),
            Some(other) => format!("{other:?}"),
        };
        Ok(match kind {
            "ok" if op.is_read() => {
                let (key, seen) = self.key_and_value(entry)?;
                // A completion may leave out the key, and then means that of its call.
                let named = self.reading.keys == Keys::Independent || entry.get("key").is_some();
                if named && key != *op.key() {
                    return Err(format!("this reads {key}, and the open call reads {}", op.key()));
                }
                match value(seen)? {
                    Value::Nil if self.reading.nil_reads == NilReads::Ignored => {
                        Outcome::Unknown(SAYS_NOTHING.to_owned())
                    }
                    seen => Outcome::Ok(Reply::Value(seen)),
                }
            }
            "ok" if matches!(op, Op::Other { .. }) => {
                let (_, told) = self.key_and_value(entry)?;
                Outcome::Ok(Reply::Value(value(told)?))
            }
            "ok" => Outcome::Ok(Reply::Done),
            "fail" => match (op, self.reading.cas_failure) {
                // One that failed for a reason of its own (`:timed-out`) did not compare anything.
                (Op::Cas { .. }, CasFailure::Mismatch) if entry.get("error").is_none() => {
                    Outcome::Ok(Reply::Mismatch(None))
                }
                _ => Outcome::Failed(why()),
            },
            _ => Outcome::Unknown(why()),
        })
    }

    fn key_and_value<'e, 'a>(&mut self, entry: &'e Edn<'a>) -> Result<(Key, &'e Edn<'a>), String> {
        let argument = entry.get("value").unwrap_or(&Edn::Nil);
        match (self.reading.keys, argument, entry.get("key")) {
            (Keys::Independent, Edn::List(pair), _) if pair.len() == 2 => Ok((self.key(&pair[0])?, &pair[1])),
            (Keys::Independent, _, _) => Err("with independent keys a :value is [key value]".to_owned()),
            (_, value, Some(name)) => Ok((self.key(name)?, value)),
            (_, value, None) => Ok((self.named(ONLY), value)),
        }
    }

    fn key(&mut self, edn: &Edn<'_>) -> Result<Key, String> {
        match value(edn)? {
            Value::Text(text) => Ok(self.named(&text)),
            Value::Int(n) => Ok(self.named(&n.to_string())),
            other => Err(format!("{other} is no key")),
        }
    }

    /// The name of a function, one allocation for all its operations.
    fn function(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.iter().find(|known| &***known == name) {
            return known.clone();
        }
        self.names.push(name.into());
        self.names[self.names.len() - 1].clone()
    }

    /// The key of this name, one allocation for all its operations.
    fn named(&mut self, name: &str) -> Key {
        if let Some(key) = self.keys.get(name) {
            return key.clone();
        }
        let key = Key::new(name);
        self.keys.insert(Box::from(name), key.clone());
        key
    }
}

/// A value that looks like `[key value]` where nobody said what it is. To take it for one register would accuse a store
/// of what several registers did.
fn refuse_pairs(f: &str, argument: &Edn<'_>) -> Result<(), String> {
    let Edn::List(pair) = argument else { return Ok(()) };
    let suspicious = match (f, pair.as_slice()) {
        ("cas", [_, Edn::List(inner)]) => inner.len() == 2,
        ("cas", _) => false,
        // The steps of a transaction: no key is a list.
        (_, [Edn::List(_), _]) => false,
        (_, [_, _]) => true,
        _ => false,
    };
    match suspicious {
        true => Err("this value looks like the [key value] of jepsen.independent: say whether it is, with \
                     --independent or --independent=no"
            .to_owned()),
        false => Ok(()),
    }
}

/// A value of EDN as one of ours.
pub(super) fn value(edn: &Edn<'_>) -> Result<Value, String> {
    Ok(match edn {
        Edn::Nil => Value::Nil,
        Edn::Int(n) => Value::Int(*n),
        Edn::Bool(flag) => Value::Text(flag.to_string().into()),
        Edn::Text(text) => Value::Text(text.as_str().into()),
        Edn::Keyword(word) | Edn::Word(word) => Value::Text((*word).into()),
        Edn::List(items) => Value::List(items.iter().map(value).collect::<Result<_, _>>()?),
        // Its entries in an order that does not depend on how it was printed.
        Edn::Map(entries) => {
            let entry = |(key, held): &(Edn<'_>, Edn<'_>)| Ok(Value::List(vec![value(key)?, value(held)?]));
            let mut entries = entries.iter().map(entry).collect::<Result<Vec<_>, String>>()?;
            entries.sort();
            Value::List(entries)
        }
    })
}
