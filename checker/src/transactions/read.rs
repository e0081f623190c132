//! Histories of transactions as Jepsen and elle-cli write them.
//!
//! EDN: `{:type :ok, :f :txn, :value [[:append 253 1] [:r 255 [3 4]]], :process 0, :time 17}`, one map after the other or
//! all in one vector. JSON: the same with strings for keywords, one object a line or all in one array.
//! Entries of a process that is no number (`:nemesis`) are left out.

use std::io::Read;

use rustc_hash::FxHashMap;

use super::{Element, Fate, Step, Transaction, Transactions};
use crate::history::formats::edn::Edn;
use crate::history::formats::entry::{Entry, Field, Place, Sink};
use crate::history::formats::meter::Meter;
use crate::history::formats::stream::Stream;
use crate::history::formats::{Clock, FormatError, ReadError, pump};
use crate::history::{ProcessId, Value};
use crate::verdict::Budget;

/// A history that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The transactions.
    pub transactions: Transactions,
    /// What the times are.
    pub clock: Clock,
}

/// Whether the first entry of a process is a list of steps. The beginning of the text is enough if it holds that entry.
pub fn looks_like(text: &[u8]) -> bool {
    let mut first = First::default();
    // Whatever is wrong with the text, whoever reads the whole of it will say so.
    let mut stream = Stream::either();
    let _ = stream.push(text, &mut first).and_then(|()| stream.finish(&mut first));
    first.is_transaction == Some(true)
}

/// Looks for the first entry of a process.
#[derive(Default)]
struct First {
    entries: usize,
    is_transaction: Option<bool>,
}

impl Sink for First {
    fn take(&mut self, entry: &Entry<'_>, _: Place) -> Result<(), String> {
        let is_step = |step: &Edn<'_>| match step {
            Edn::List(parts) => {
                parts.first().and_then(word).is_some_and(|word| matches!(word, "append" | "r"))
            }
            _ => false,
        };
        self.entries += 1;
        self.is_transaction = match (entry.get(Field::Process), entry.get(Field::Value)) {
            (Some(Edn::Int(_)), Some(Edn::List(steps))) => {
                Some(steps.iter().all(is_step) && !steps.is_empty())
            }
            (Some(Edn::Int(_)), _) => Some(entry.get(Field::Function).and_then(word) == Some("txn")),
            _ => None,
        };
        // A nemesis or a setup may come first.
        match self.is_transaction.is_some() || self.entries > 1000 {
            true => Err("this is enough".to_owned()),
            false => Ok(()),
        }
    }

    fn held(&self) -> usize {
        0
    }
}

/// Reads a history that comes in pieces.
pub struct Reader {
    stream: Stream,
    builder: Builder,
}

impl Default for Reader {
    fn default() -> Self {
        Reader { stream: Stream::either(), builder: Builder::default() }
    }
}

impl Reader {
    /// Takes more of the text.
    pub fn push(&mut self, text: &[u8]) -> Result<(), FormatError> {
        self.stream.push(text, &mut self.builder)
    }

    /// The text is over.
    pub fn finish(mut self) -> Result<Recorded, FormatError> {
        self.stream.finish(&mut self.builder)?;
        Ok(self.builder.finish())
    }
}

/// Reads a history.
pub fn read(text: &[u8]) -> Result<Recorded, FormatError> {
    let mut reader = Reader::default();
    reader.push(text)?;
    reader.finish()
}

/// Reads a history from where it is, and no more of it at once than is needed. Large ones are read by two threads. Of the
/// budget's memory is taken what is held of the history.
pub fn read_from(source: &mut (dyn Read + Send), budget: &Budget<'_>) -> Result<Recorded, ReadError> {
    let mut reader = Reader::default();
    pump(source, &mut reader.stream, &mut reader.builder, Meter::new(budget))?;
    Ok(reader.finish()?)
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
    /// The numbers of elements that are numbers, by list and value.
    numbers: FxHashMap<(u32, i64), Element>,
    /// What was last read of each list: the next read begins in the same way.
    latest_reads: Vec<Vec<(i64, Element)>>,
    open: FxHashMap<ProcessId, usize>,
    entries: usize,
    latest: u64,
    clock: Option<Clock>,
    /// What the transactions hold, in bytes.
    transactions_bytes: usize,
}

impl Sink for Builder {
    fn take(&mut self, entry: &Entry<'_>, _: Place) -> Result<(), String> {
        if !entry.is_map {
            return Err("an entry is a map".to_owned());
        }
        let process = match entry.get(Field::Process) {
            Some(Edn::Int(process)) => ProcessId(u64::try_from(*process).map_err(|_| "a negative :process")?),
            Some(_) => return Ok(()),
            None => return Err("an entry without :process".to_owned()),
        };
        let kind = entry.get(Field::Type).and_then(word).ok_or("an entry without :type")?;
        let f = entry.get(Field::Function).and_then(word);
        if f.is_some_and(|f| f != "txn") {
            return Err(format!("the function :{} is no transaction (:txn)", f.unwrap_or_default()));
        }
        let clock = *self.clock.get_or_insert(match entry.get(Field::Time) {
            Some(Edn::Int(_)) => Clock::Nanoseconds,
            _ => Clock::Lines,
        });
        self.entries += 1;
        self.latest = match (clock, entry.get(Field::Time)) {
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

    fn held(&self) -> usize {
        // An element stands in its table, in the table of numbers or names, and in what was last read.
        let element =
            size_of::<(u32, Value)>() + size_of::<((u32, i64), Element)>() + size_of::<(i64, Element)>();
        self.transactions_bytes + self.transactions.elements.len() * element
    }
}

impl Builder {
    fn invoke(&mut self, process: ProcessId, entry: &Entry<'_>) -> Result<(), String> {
        if self.open.insert(process, self.transactions.list.len()).is_some() {
            return Err(format!(
                "process {} invokes a transaction while its last one is still open",
                process.0
            ));
        }
        let steps = self.steps(entry, Fate::Unknown)?;
        let transaction = Transaction {
            process,
            invoked: self.entries,
            completed: usize::MAX,
            times: (self.latest, None),
            fate: Fate::Unknown,
            steps,
        };
        self.transactions_bytes += transaction.bytes();
        self.transactions.list.push(transaction);
        Ok(())
    }

    fn complete(&mut self, process: ProcessId, fate: Fate, entry: &Entry<'_>) -> Result<(), String> {
        let at = self.open.remove(&process).ok_or("a completion of a transaction that was never invoked")?;
        if fate == Fate::Committed {
            let steps = self.steps(entry, fate)?;
            if !same_shape(&self.transactions.list[at].steps, &steps) {
                return Err("this completes other steps than were invoked".to_owned());
            }
            let transaction = &mut self.transactions.list[at];
            self.transactions_bytes -= transaction.bytes();
            transaction.steps = steps;
            self.transactions_bytes += transaction.bytes();
        }
        let transaction = &mut self.transactions.list[at];
        (transaction.fate, transaction.completed) = (fate, self.entries);
        transaction.times.1 = (fate != Fate::Unknown).then_some(self.latest);
        Ok(())
    }

    fn steps(&mut self, entry: &Entry<'_>, fate: Fate) -> Result<Vec<Step>, String> {
        let Some(Edn::List(list)) = entry.get(Field::Value) else {
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
                let seen = self.elements(key, items)?;
                Ok(Step::Read { key, seen: Some(seen).filter(|_| fate == Fate::Committed) })
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
            self.latest_reads.push(Vec::new());
        }
        Ok(number)
    }

    /// The elements of a list that was read.
    fn elements(&mut self, key: u32, items: &[Edn<'_>]) -> Result<Box<[Element]>, String> {
        let mut latest = std::mem::take(&mut self.latest_reads[key as usize]);
        let mut seen = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            let known = match (item, latest.get(at)) {
                (Edn::Int(number), Some((known, element))) if known == number => Some(*element),
                _ => None,
            };
            let element = match known {
                Some(element) => element,
                None => self.element(key, item)?,
            };
            seen.push(element);
            if let (Edn::Int(number), None) = (item, known) {
                latest.truncate(at);
                if latest.len() == at {
                    latest.push((*number, element));
                }
            }
        }
        self.latest_reads[key as usize] = latest;
        Ok(seen.into_boxed_slice())
    }

    fn element(&mut self, key: u32, value: &Edn<'_>) -> Result<Element, String> {
        let next = Element(self.transactions.elements.len() as u32);
        let (element, value) = match value {
            Edn::Int(number) => (*self.numbers.entry((key, *number)).or_insert(next), Value::Int(*number)),
            value => {
                let value = scalar(value).ok_or("an element is a number or a word")?;
                (*self.elements.entry((key, value.clone())).or_insert(next), value)
            }
        };
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
        Edn::Text(text) => Some(Value::Text((**text).into())),
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
