//! Jepsen's `history.edn` (one map a line, Maelstrom's too) and Knossos' files (one vector of maps).
//!
//! Operations of processes that are no number (`:nemesis`) are left out. Where there is no `:time`, the place in the
//! file is the time. A completion of a call that failed or is unknown carries no value that counts.

use rustc_hash::FxHashMap;

use super::edn::{Edn, Reader};
use super::{CasFailure, FormatError, Keys, NilReads, Reading};
use crate::history::{Event, EventBody, History, Key, Op, Outcome, ProcessId, Reply, Value};

const LOCKED: &str = "locked";

pub(super) fn read(text: &[u8], reading: &Reading) -> Result<History, FormatError> {
    let mut reader = Reader::new(text);
    let mut builder = Builder { reading, history: History::default(), open: FxHashMap::default(), latest: 0 };
    let close = reader.enter()?;
    loop {
        if let Some(close) = close
            && reader.leave(close)?
        {
            return Ok(builder.history);
        }
        let start = reader.offset();
        match reader.next()? {
            Some(entry) => builder.push(&entry).map_err(|problem| {
                let blank = text[start..].iter().take_while(|b| b.is_ascii_whitespace()).count();
                FormatError::at(text, start + blank, problem)
            })?,
            None if close.is_some() => {
                return Err(FormatError::at(text, text.len(), "the list of operations has no end"));
            }
            None => return Ok(builder.history),
        }
    }
}

struct Builder<'r> {
    reading: &'r Reading,
    history: History,
    open: FxHashMap<ProcessId, Op>,
    latest: u64,
}

impl Builder<'_> {
    fn push(&mut self, entry: &Edn<'_>) -> Result<(), String> {
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
                self.open.insert(process, op.clone());
                EventBody::Invoke(op)
            }
            "ok" | "fail" | "info" => {
                let op = self.open.remove(&process).ok_or("a completion of a call that was never invoked")?;
                EventBody::Complete(self.outcome(kind, &op, entry)?)
            }
            other => return Err(format!("there is no :type :{other}")),
        };
        self.latest = match entry.get("time") {
            Some(Edn::Int(time)) => self.latest.max(u64::try_from(*time).unwrap_or(0)),
            _ => self.latest + 1,
        };
        let node = match entry.get("node") {
            Some(Edn::Text(node)) => Some(node.clone()),
            _ => None,
        };
        self.history.events.push(Event { time: self.latest, process, node, body });
        Ok(())
    }

    fn op(&self, entry: &Edn<'_>) -> Result<Op, String> {
        let Some(Edn::Keyword(f)) = entry.get("f") else { return Err("an operation without :f".to_owned()) };
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
            "acquire" => Op::Cas { key, expected: Value::Nil, new: Value::Text(LOCKED.into()) },
            "release" => Op::Cas { key, expected: Value::Text(LOCKED.into()), new: Value::Nil },
            other => return Err(format!("no model knows the function :{other}")),
        })
    }

    fn outcome(&self, kind: &str, op: &Op, entry: &Edn<'_>) -> Result<Outcome, String> {
        let why = || match entry.get("error") {
            None => String::new(),
            Some(Edn::Keyword(word) | Edn::Word(word)) => (*word).to_owned(),
            Some(Edn::Text(text)) => text.clone(),
            Some(other) => format!("{other:?}"),
        };
        Ok(match kind {
            "ok" if op.is_read() => match value(self.key_and_value(entry)?.1)? {
                Value::Nil if self.reading.nil_reads == NilReads::Ignored => {
                    Outcome::Unknown("a read of nil, which says nothing".to_owned())
                }
                seen => Outcome::Ok(Reply::Value(seen)),
            },
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

    fn key_and_value<'e, 'a>(&self, entry: &'e Edn<'a>) -> Result<(Key, &'e Edn<'a>), String> {
        let argument = entry.get("value").unwrap_or(&Edn::Nil);
        match (self.reading.keys, argument, entry.get("key")) {
            (Keys::Independent, Edn::List(pair), _) if pair.len() == 2 => Ok((key(&pair[0])?, &pair[1])),
            (Keys::Independent, _, _) => Err("with independent keys a :value is [key value]".to_owned()),
            (Keys::One, value, Some(name)) => Ok((key(name)?, value)),
            (Keys::One, value, None) => Ok((Key::new("x"), value)),
        }
    }
}

fn key(edn: &Edn<'_>) -> Result<Key, String> {
    match value(edn)? {
        Value::Text(text) => Ok(Key(text)),
        Value::Int(n) => Ok(Key::new(n.to_string())),
        other => Err(format!("{other} is no key")),
    }
}

fn value(edn: &Edn<'_>) -> Result<Value, String> {
    Ok(match edn {
        Edn::Nil => Value::Nil,
        Edn::Int(n) => Value::Int(*n),
        Edn::Bool(flag) => Value::Text(flag.to_string().into()),
        Edn::Text(text) => Value::Text(text.as_str().into()),
        Edn::Keyword(word) | Edn::Word(word) => Value::Text((*word).into()),
        Edn::List(items) => Value::List(items.iter().map(value).collect::<Result<_, _>>()?),
        Edn::Map(_) => return Err("a map is no value of any model".to_owned()),
    })
}
