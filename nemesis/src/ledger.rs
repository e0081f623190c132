//! The ledger: what was done to the cluster and is not undone yet, on disk before it is done.
//!
//! JSON lines, appended and flushed: a `begin` line with the whole target before an injection, an `end` line after its
//! undoing. A reader needs no other file. A line that was cut off by the death of the writer is skipped: a cut `begin` was
//! never followed by an injection, and a cut `end` only means that something is undone twice, which is harmless.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::claims::FaultId;
use crate::target::Target;

/// The version of the file format, in its first line.
pub const FORMAT: u32 = 1;

/// One fault that is not undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub id: FaultId,
    /// The name of its kind.
    pub fault: String,
    /// What it was done to.
    pub target: Target,
}

/// One line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Record {
    Ledger { format: u32 },
    Begin(Entry),
    End(FaultId),
}

/// The ledger of a run.
pub struct Ledger {
    out: Box<dyn Write + Send>,
    active: Vec<Entry>,
    /// Whether the last write may have left half a line, which the next one must not continue.
    torn: bool,
}

/// What was read from a ledger file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The faults that were begun and not ended, oldest first.
    pub active: Vec<Entry>,
    /// The numbers of the lines that could not be read, from 1. The last line of a file may be among them after a crash.
    pub damaged: Vec<usize>,
}

impl Ledger {
    /// An empty ledger that writes to `out`.
    pub fn new(out: Box<dyn Write + Send>) -> io::Result<Self> {
        let mut ledger = Self { out, active: Vec::new(), torn: false };
        ledger.write(&Record::Ledger { format: FORMAT })?;
        Ok(ledger)
    }

    /// A ledger that goes on after a crash, with the entries that were left: they are written again to `out`.
    pub fn resume(out: Box<dyn Write + Send>, left: Vec<Entry>) -> io::Result<Self> {
        let mut ledger = Self::new(out)?;
        left.into_iter().try_for_each(|entry| ledger.begin(entry))?;
        Ok(ledger)
    }

    /// Records what is about to be done. After an error it must not be done.
    pub fn begin(&mut self, entry: Entry) -> io::Result<()> {
        let record = Record::Begin(entry);
        self.write(&record)?;
        if let Record::Begin(entry) = record {
            self.active.push(entry);
        }
        Ok(())
    }

    /// Records that a fault is undone. After an error it is undone all the same, and a reader of the file would undo it
    /// once more.
    pub fn end(&mut self, id: FaultId) -> io::Result<()> {
        self.active.retain(|entry| entry.id != id);
        self.write(&Record::End(id))
    }

    /// The faults that were begun and not ended, oldest first.
    pub fn active(&self) -> &[Entry] {
        &self.active
    }

    /// Reads a ledger file, also one that was cut off.
    pub fn read(input: impl BufRead) -> io::Result<Recovered> {
        let mut recovered = Recovered::default();
        for (index, line) in input.split(b'\n').enumerate() {
            let line = line?;
            match serde_json::from_slice(&line) {
                _ if line.is_empty() => {}
                Ok(Record::Begin(entry)) => recovered.active.push(entry),
                Ok(Record::End(id)) => recovered.active.retain(|entry| entry.id != id),
                Ok(Record::Ledger { format: FORMAT }) => {}
                Ok(Record::Ledger { format }) => return Err(unknown_format(format)),
                Err(_) => recovered.damaged.push(index + 1),
            }
        }
        Ok(recovered)
    }

    fn write(&mut self, record: &Record) -> io::Result<()> {
        let mut line = if std::mem::replace(&mut self.torn, true) { b"\n".to_vec() } else { Vec::new() };
        serde_json::to_writer(&mut line, record)?;
        line.push(b'\n');
        self.out.write_all(&line)?;
        self.out.flush()?;
        self.torn = false;
        Ok(())
    }
}

fn unknown_format(format: u32) -> io::Error {
    let message = format!(
        "the ledger has the format {format}, and this raftcheck reads {FORMAT}: use the one that wrote it"
    );
    io::Error::new(io::ErrorKind::InvalidData, message)
}
