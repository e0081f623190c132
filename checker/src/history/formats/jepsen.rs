//! Jepsen's `history.edn` (one map a line, Maelstrom's too) and Knossos' files (one vector of maps).
//!
//! Operations of processes that are no number (`:nemesis`) are left out. Where there is no `:time`, the number of the line
//! is the time. A completion of a call that failed or is unknown carries no value that counts.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::edn::Edn;
use super::entry::{Entry, Field, Place, Sink};
use super::{CasFailure, Clock, Function, Keys, NilReads, Reading, Recorded};
use crate::history::{Key, Op, Outcome, ProcessId, Recorder, Reply, Value};

/// What becomes of a read of nil that is not to count.
pub(super) const SAYS_NOTHING: &str = "a read of nil, which says nothing";
/// The key of a history that has one only.
const ONLY: &str = "x";

/// What the open call asks, as far as its end depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Read,
    Cas,
    /// Its answer may carry a value.
    Told,
    Other,
}

/// Turns entries into operations.
pub(super) struct Builder<'r> {
    reading: &'r Reading,
    /// Unknown until the first entry.
    clock: Option<Clock>,
    recorder: Recorder,
    functions: Vec<Function>,
    /// The line at which each process last made a call.
    lines: FxHashMap<ProcessId, usize>,
    keys: FxHashMap<Box<str>, Key>,
    /// The names of functions that only some models know.
    names: Vec<Arc<str>>,
    numbered: FxHashMap<i64, Key>,
    latest: u64,
}

impl<'r> Builder<'r> {
    /// `clock` is what the times are, if that does not depend on the first entry.
    pub(super) fn new(reading: &'r Reading, clock: Option<Clock>) -> Self {
        Builder {
            reading,
            clock,
            recorder: Recorder::default(),
            functions: Vec::new(),
            lines: FxHashMap::default(),
            keys: FxHashMap::default(),
            names: Vec::new(),
            numbered: FxHashMap::default(),
            latest: 0,
        }
    }

    pub(super) fn finish(self) -> Recorded {
        let clock = self.clock.unwrap_or_default();
        Recorded { recording: self.recorder.finish(), functions: self.functions, clock, cut_off: None }
    }
}

impl Sink for Builder<'_> {
    fn take(&mut self, entry: &Entry<'_>, place: Place) -> Result<(), String> {
        let clock = *self.clock.get_or_insert(match entry.get(Field::Time) {
            Some(Edn::Int(_)) => Clock::Nanoseconds,
            _ => Clock::Lines,
        });
        if !entry.is_map {
            return Err("an operation is a map".to_owned());
        }
        let process = match entry.get(Field::Process) {
            Some(Edn::Int(process)) => ProcessId(u64::try_from(*process).map_err(|_| "a negative :process")?),
            Some(_) => return Ok(()),
            None => return Err("an operation without :process".to_owned()),
        };
        let Some(Edn::Keyword(kind)) = entry.get(Field::Type) else {
            return Err("an operation without :type".to_owned());
        };
        self.latest = match (clock, entry.get(Field::Time)) {
            (Clock::Nanoseconds, Some(Edn::Int(time))) => self.latest.max(u64::try_from(*time).unwrap_or(0)),
            (Clock::Nanoseconds, _) => self.latest,
            (Clock::Lines, _) => place.line as u64,
        };
        let node = match entry.get(Field::Node) {
            Some(Edn::Text(node)) => Some(&**node),
            _ => None,
        };
        match *kind {
            "invoke" => self.invoke(process, node, entry, place),
            "ok" | "fail" | "info" => {
                let op =
                    self.recorder.open(process).ok_or("a completion of a call that was never invoked")?;
                let asked = match op {
                    Op::Cas { .. } => Asked::Cas,
                    Op::Other { .. } => Asked::Told,
                    op if op.is_read() => Asked::Read,
                    _ => Asked::Other,
                };
                let outcome = self.outcome(kind, (process, asked), entry)?;
                let done = self.recorder.complete(self.latest, process, node, outcome);
                done.map_err(|malformed| malformed.problem.to_string())
            }
            other => Err(format!("there is no :type :{other}")),
        }
    }

    fn held(&self) -> usize {
        self.recorder.held()
    }
}

impl Builder<'_> {
    fn invoke(
        &mut self,
        process: ProcessId,
        node: Option<&str>,
        entry: &Entry<'_>,
        place: Place,
    ) -> Result<(), String> {
        let op = self.op(entry)?;
        self.note_function(entry, place);
        if self.recorder.open(process).is_some() {
            let line = self.lines.get(&process).copied().unwrap_or_default();
            let why = format!("while its call of line {line} is still open");
            return Err(format!("process {} invokes a call {why}", process.0));
        }
        self.lines.insert(process, place.line);
        let made = self.recorder.invoke(self.latest, process, node, op);
        made.map_err(|malformed| malformed.problem.to_string())
    }

    fn note_function(&mut self, entry: &Entry<'_>, Place { line, column }: Place) {
        if let Some(Edn::Keyword(name)) = entry.get(Field::Function)
            && self.functions.iter().all(|known| known.name != *name)
        {
            self.functions.push(Function { name: (*name).to_owned(), line, column });
        }
    }

    fn op(&mut self, entry: &Entry<'_>) -> Result<Op, String> {
        let Some(Edn::Keyword(f)) = entry.get(Field::Function) else {
            return Err("an operation without :f".to_owned());
        };
        if self.reading.keys == Keys::Unsaid && entry.get(Field::Key).is_none() {
            refuse_pairs(f, entry.get(Field::Value).unwrap_or(&Edn::Nil))?;
        }
        let (key, argument) = self.key_and_value(entry)?;
        let value = || value(argument);
        Ok(match *f {
            "read" | "get" => Op::Read { key },
            "write" | "put" => Op::Write { key, value: value() },
            "cas" => match argument {
                Edn::List(pair) if pair.len() == 2 => {
                    Op::Cas { key, expected: self::value(&pair[0]), new: self::value(&pair[1]) }
                }
                _ => return Err("the :value of a :cas is [expected new]".to_owned()),
            },
            "delete" => Op::Delete { key },
            "append" => Op::Append { key, value: value() },
            "add" => Op::Add { key, value: value() },
            "members" => Op::Members { key },
            other => Op::Other { key, function: self.function(other), argument: value() },
        })
    }

    fn outcome(
        &mut self,
        kind: &str,
        (process, asked): (ProcessId, Asked),
        entry: &Entry<'_>,
    ) -> Result<Outcome, String> {
        let why = || match entry.get(Field::Error) {
            None => String::new(),
            Some(Edn::Keyword(word) | Edn::Word(word)) => (*word).to_owned(),
            Some(Edn::Text(text)) => text.clone().into_owned(),
            Some(other) => value(other).to_string(),
        };
        Ok(match kind {
            "ok" if asked == Asked::Read => {
                let (key, seen) = self.key_and_value(entry)?;
                // A completion may leave out the key, and then means that of its call.
                let named = self.reading.keys == Keys::Independent || entry.get(Field::Key).is_some();
                if let Some(op) = self.recorder.open(process).filter(|op| named && key != *op.key()) {
                    return Err(format!("this reads {key}, and the open call reads {}", op.key()));
                }
                match value(seen) {
                    Value::Nil if self.reading.nil_reads == NilReads::Ignored => {
                        Outcome::Unknown(SAYS_NOTHING.to_owned())
                    }
                    seen => Outcome::Ok(Reply::Value(seen)),
                }
            }
            "ok" if asked == Asked::Told => {
                let (_, told) = self.key_and_value(entry)?;
                Outcome::Ok(Reply::Value(value(told)))
            }
            "ok" => Outcome::Ok(Reply::Done),
            "fail" => match (asked, self.reading.cas_failure) {
                // One that failed for a reason of its own (`:timed-out`) did not compare anything.
                (Asked::Cas, CasFailure::Mismatch) if entry.get(Field::Error).is_none() => {
                    Outcome::Ok(Reply::Mismatch(None))
                }
                _ => Outcome::Failed(why()),
            },
            _ => Outcome::Unknown(why()),
        })
    }

    fn key_and_value<'e, 'a>(&mut self, entry: &'e Entry<'a>) -> Result<(Key, &'e Edn<'a>), String> {
        let argument = entry.get(Field::Value).unwrap_or(&Edn::Nil);
        match (self.reading.keys, argument, entry.get(Field::Key)) {
            (Keys::Independent, Edn::List(pair), _) if pair.len() == 2 => Ok((self.key(&pair[0])?, &pair[1])),
            (Keys::Independent, _, _) => Err("with independent keys a :value is [key value]".to_owned()),
            (_, value, Some(name)) => Ok((self.key(name)?, value)),
            (_, value, None) => Ok((self.named(ONLY), value)),
        }
    }

    fn key(&mut self, edn: &Edn<'_>) -> Result<Key, String> {
        match edn {
            Edn::Int(number) => {
                if let Some(key) = self.numbered.get(number) {
                    return Ok(key.clone());
                }
                let key = self.named(&number.to_string());
                self.numbered.insert(*number, key.clone());
                Ok(key)
            }
            edn => match value(edn) {
                Value::Text(text) => Ok(self.named(&text)),
                other => Err(format!("{other} is no key")),
            },
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
pub(super) fn value(edn: &Edn<'_>) -> Value {
    match edn {
        Edn::Nil => Value::Nil,
        Edn::Int(n) => Value::Int(*n),
        Edn::Bool(flag) => Value::Text(flag.to_string().into()),
        Edn::Text(text) => Value::Text((**text).into()),
        Edn::Keyword(word) | Edn::Word(word) => Value::Text((*word).into()),
        Edn::List(items) => Value::List(items.iter().map(value).collect()),
        // Its entries in an order that does not depend on how it was printed.
        Edn::Map(entries) => {
            let entry = |(key, held): &(Edn<'_>, Edn<'_>)| Value::List(vec![value(key), value(held)]);
            let mut entries: Vec<Value> = entries.iter().map(entry).collect();
            entries.sort();
            Value::List(entries)
        }
    }
}
