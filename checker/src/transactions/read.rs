//! Histories of transactions as Jepsen and elle-cli write them.
//!
//! EDN: `{:type :ok, :f :txn, :value [[:append 253 1] [:r 255 [3 4]]], :process 0, :time 17}`, one map after the other or
//! all in one vector. JSON: the same with strings for keywords, one object a line or all in one array.
//! Entries of a process that is no number (`:nemesis`) are left out.

use rustc_hash::FxHashMap;

use super::{Element, Fate, Step, Transaction, Transactions};
use crate::history::formats::edn::{Edn, Reader};
use crate::history::formats::{Clock, FormatError};
use crate::history::{ProcessId, Value};

/// A history that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The transactions.
    pub transactions: Transactions,
    /// What the times are.
    pub clock: Clock,
}

/// Whether the first entry of a process is a list of steps.
pub fn looks_like(text: &[u8]) -> bool {
    let mut entries = Entries::new(text);
    // A nemesis or a setup may come first.
    (0..1000).map_while(|_| entries.next().ok().flatten()).find_map(|(_, entry)| {
        let is_step = |step: &Edn<'_>| match step {
            Edn::List(parts) => {
                parts.first().and_then(word).is_some_and(|word| matches!(word, "append" | "r"))
            }
            _ => false,
        };
        match (entry.get("process")?, entry.get("value")) {
            (Edn::Int(_), Some(Edn::List(steps))) => Some(steps.iter().all(is_step) && !steps.is_empty()),
            (Edn::Int(_), _) => Some(entry.get("f").and_then(word) == Some("txn")),
            _ => None,
        }
    }) == Some(true)
}

/// Reads a history.
pub fn read(text: &[u8]) -> Result<Recorded, FormatError> {
    let mut entries = Entries::new(text);
    let mut builder = Builder::default();
    while let Some((offset, entry)) = entries.next()? {
        builder.push(&entry).map_err(|problem| FormatError::at(text, offset, problem))?;
    }
    Ok(builder.finish())
}

/// The entries of a text in either notation.
struct Entries<'a> {
    text: &'a [u8],
    notation: Notation<'a>,
}

enum Notation<'a> {
    Edn { reader: Reader<'a>, close: Option<Option<u8>> },
    Json(Json),
}

impl<'a> Entries<'a> {
    fn new(text: &'a [u8]) -> Self {
        let start = text.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(text.len());
        let quoted = |rest: &[u8]| rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'"');
        let is_json = match &text[start..] {
            [b'{', rest @ ..] => quoted(rest),
            [b'[', rest @ ..] => rest.trim_ascii_start().strip_prefix(b"{").is_some_and(quoted),
            _ => false,
        };
        let notation = match is_json {
            true => Notation::Json(Json { at: start, in_array: text[start] == b'[' }),
            false => Notation::Edn { reader: Reader::new(text), close: None },
        };
        Entries { text, notation }
    }

    /// The next entry and where it begins.
    fn next(&mut self) -> Result<Option<(usize, Edn<'a>)>, FormatError> {
        match &mut self.notation {
            Notation::Json(json) => json.next(self.text),
            Notation::Edn { reader, close } => {
                if close.is_none() {
                    *close = Some(reader.enter()?);
                }
                if let Some(Some(close)) = *close
                    && reader.leave(close)?
                {
                    return Ok(None);
                }
                reader.blank()?;
                let offset = reader.offset();
                Ok(reader.next()?.map(|entry| (offset, entry)))
            }
        }
    }
}

/// Reads object after object.
struct Json {
    at: usize,
    in_array: bool,
}

impl Json {
    fn next<'a>(&mut self, text: &[u8]) -> Result<Option<(usize, Edn<'a>)>, FormatError> {
        let separates = |byte: &u8| byte.is_ascii_whitespace() || (self.in_array && b"[],".contains(byte));
        self.at += text[self.at..].iter().take_while(|byte| separates(byte)).count();
        if self.at == text.len() {
            return Ok(None);
        }
        let start = self.at;
        let mut values =
            serde_json::Deserializer::from_slice(&text[start..]).into_iter::<serde_json::Value>();
        match values.next() {
            None => Ok(None),
            Some(Ok(value)) => {
                self.at = start + values.byte_offset();
                Ok(Some((start, from_json(value))))
            }
            Some(Err(error)) => {
                let at = start + offset_of(&text[start..], &error);
                Err(FormatError::at(text, at, format!("no JSON: {error}")))
            }
        }
    }
}

/// Where in `text` an error of the JSON reader is.
fn offset_of(text: &[u8], error: &serde_json::Error) -> usize {
    let before: usize = text
        .split_inclusive(|&byte| byte == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    (before + error.column().saturating_sub(1)).min(text.len())
}

/// A JSON value as EDN; names of fields become keywords.
fn from_json<'a>(value: serde_json::Value) -> Edn<'a> {
    match value {
        serde_json::Value::Null => Edn::Nil,
        serde_json::Value::Bool(value) => Edn::Bool(value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => Edn::Int(number),
            None => Edn::Text(number.to_string()),
        },
        serde_json::Value::String(text) => Edn::Text(text),
        serde_json::Value::Array(items) => Edn::List(items.into_iter().map(from_json).collect()),
        serde_json::Value::Object(fields) => {
            // The fields that are asked for by name; nothing else of an entry counts.
            let known = ["process", "type", "f", "value", "time"];
            let pairs = fields.into_iter().filter_map(|(name, value)| {
                let name = known.into_iter().find(|known| *known == name)?;
                Some((Edn::Keyword(name), from_json(value)))
            });
            Edn::Map(pairs.collect())
        }
    }
}

/// A keyword or, as JSON has none, a string.
fn word<'e>(edn: &'e Edn<'_>) -> Option<&'e str> {
    match edn {
        Edn::Keyword(word) => Some(word),
        Edn::Text(text) => Some(text),
        _ => None,
    }
}

/// Turns entries into transactions.
#[derive(Default)]
struct Builder {
    transactions: Transactions,
    keys: FxHashMap<Value, u32>,
    elements: FxHashMap<(u32, Value), Element>,
    open: FxHashMap<ProcessId, usize>,
    entries: usize,
    latest: u64,
    clock: Option<Clock>,
}

impl Builder {
    fn push(&mut self, entry: &Edn<'_>) -> Result<(), String> {
        let Edn::Map(_) = entry else { return Err("an entry is a map".to_owned()) };
        let process = match entry.get("process") {
            Some(Edn::Int(process)) => ProcessId(u64::try_from(*process).map_err(|_| "a negative :process")?),
            Some(_) => return Ok(()),
            None => return Err("an entry without :process".to_owned()),
        };
        let kind = entry.get("type").and_then(word).ok_or("an entry without :type")?;
        let f = entry.get("f").and_then(word);
        if f.is_some_and(|f| f != "txn") {
            return Err(format!("the function :{} is no transaction (:txn)", f.unwrap_or_default()));
        }
        let clock = *self.clock.get_or_insert(match entry.get("time") {
            Some(Edn::Int(_)) => Clock::Nanoseconds,
            _ => Clock::Lines,
        });
        self.entries += 1;
        self.latest = match (clock, entry.get("time")) {
            (Clock::Nanoseconds, Some(Edn::Int(time))) => self.latest.max(u64::try_from(*time).unwrap_or(0)),
            (Clock::Nanoseconds, _) => self.latest,
            (Clock::Lines, _) => self.entries as u64,
        };
        match kind {
            "invoke" => self.invoke(process, entry),
            "ok" => self.complete(process, Fate::Committed, entry),
            "fail" => self.complete(process, Fate::Aborted, entry),
            "info" => self.complete(process, Fate::Unknown, entry),
            other => Err(format!("there is no :type :{other}")),
        }
    }

    fn invoke(&mut self, process: ProcessId, entry: &Edn<'_>) -> Result<(), String> {
        if self.open.insert(process, self.transactions.list.len()).is_some() {
            return Err(format!(
                "process {} invokes a transaction while its last one is still open",
                process.0
            ));
        }
        let steps = self.steps(entry, Fate::Unknown)?;
        self.transactions.list.push(Transaction {
            process,
            invoked: self.entries,
            completed: usize::MAX,
            times: (self.latest, None),
            fate: Fate::Unknown,
            steps,
        });
        Ok(())
    }

    fn complete(&mut self, process: ProcessId, fate: Fate, entry: &Edn<'_>) -> Result<(), String> {
        let at = self.open.remove(&process).ok_or("a completion of a transaction that was never invoked")?;
        if fate == Fate::Committed {
            let steps = self.steps(entry, fate)?;
            if !same_shape(&self.transactions.list[at].steps, &steps) {
                return Err("this completes other steps than were invoked".to_owned());
            }
            self.transactions.list[at].steps = steps;
        }
        let transaction = &mut self.transactions.list[at];
        (transaction.fate, transaction.completed) = (fate, self.entries);
        transaction.times.1 = (fate != Fate::Unknown).then_some(self.latest);
        Ok(())
    }

    fn steps(&mut self, entry: &Edn<'_>, fate: Fate) -> Result<Vec<Step>, String> {
        let Some(Edn::List(list)) = entry.get("value") else {
            return Err("the :value of a transaction is a list of steps".to_owned());
        };
        list.iter().map(|step| self.step(step, fate)).collect()
    }

    fn step(&mut self, step: &Edn<'_>, fate: Fate) -> Result<Step, String> {
        let Edn::List(parts) = step else {
            return Err("a step is [:append key value] or [:r key list]".to_owned());
        };
        let [f, key, value] = parts.as_slice() else {
            return Err("a step is [:append key value] or [:r key list]".to_owned());
        };
        let key = self.key(key)?;
        match (word(f), value) {
            (Some("append"), value) => Ok(Step::Append(self.element(key, value)?)),
            (Some("r"), Edn::Nil) => {
                // A committed read of nil saw a list that does not exist yet, which is empty.
                Ok(Step::Read { key, seen: (fate == Fate::Committed).then(Box::default) })
            }
            (Some("r"), Edn::List(items)) => {
                let seen: Result<Box<[Element]>, String> =
                    items.iter().map(|item| self.element(key, item)).collect();
                Ok(Step::Read { key, seen: Some(seen?).filter(|_| fate == Fate::Committed) })
            }
            (Some("r"), _) => Err("what a read saw is a list".to_owned()),
            (Some("w"), _) => {
                Err("writes of registers (:w) tell no order of versions; only :append and :r do".to_owned())
            }
            _ => Err("a step is [:append key value] or [:r key list]".to_owned()),
        }
    }

    fn key(&mut self, key: &Edn<'_>) -> Result<u32, String> {
        let value = scalar(key).ok_or("a key is a number or a word")?;
        let next = self.transactions.keys.len() as u32;
        let number = *self.keys.entry(value.clone()).or_insert(next);
        if number == next {
            self.transactions.keys.push(value);
        }
        Ok(number)
    }

    fn element(&mut self, key: u32, value: &Edn<'_>) -> Result<Element, String> {
        let value = scalar(value).ok_or("an element is a number or a word")?;
        let next = Element(self.transactions.elements.len() as u32);
        let element = *self.elements.entry((key, value.clone())).or_insert(next);
        if element == next {
            self.transactions.elements.push((key, value));
        }
        Ok(element)
    }

    fn finish(self) -> Recorded {
        Recorded { transactions: self.transactions, clock: self.clock.unwrap_or_default() }
    }
}

fn scalar(edn: &Edn<'_>) -> Option<Value> {
    match edn {
        Edn::Int(number) => Some(Value::Int(*number)),
        Edn::Text(text) => Some(Value::Text(text.as_str().into())),
        Edn::Keyword(word) | Edn::Word(word) => Some(Value::Text((*word).into())),
        _ => None,
    }
}

/// Whether both are the same appends and reads of the same lists.
fn same_shape(invoked: &[Step], completed: &[Step]) -> bool {
    let same = |(one, other): (&Step, &Step)| match (one, other) {
        (Step::Append(one), Step::Append(other)) => one == other,
        (Step::Read { key: one, .. }, Step::Read { key: other, .. }) => one == other,
        _ => false,
    };
    invoked.len() == completed.len() && invoked.iter().zip(completed).all(same)
}
