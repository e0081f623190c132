//! A large text, read by two threads.
//!
//! Each takes the next block of whole lines and reads its entries, and hands them over when its turn comes, so that the
//! order is that of the text. A block that turns out to begin in the middle of an entry is read again behind the rest of
//! that entry. Invariant: the result is that of reading the text in one piece. What it lacks: a gain for entries of many
//! lines, and for lists; both are read by one thread.

use std::io::{self, Read};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::ReadError;
use super::entry::Sink;
use super::meter::Meter;
use super::stream::{LONGEST, Stream};

/// The bytes of a block. Its entries should stay in a cache.
const BLOCK: usize = 256 << 10;

/// Where the text comes from.
struct Source<'s> {
    read: &'s mut (dyn Read + Send),
    /// What follows the last whole line.
    rest: Vec<u8>,
    /// The number of the next block.
    number: usize,
    ended: bool,
}

/// Where the entries go.
struct Merger<'s> {
    stream: &'s mut Stream,
    sink: &'s mut (dyn Sink + Send),
    meter: Meter<'s>,
    /// The number of the block whose turn it is.
    turn: usize,
    /// Whether to stop, and why.
    stopped: Option<Result<(), ReadError>>,
}

/// What the two threads share.
struct Shared<'s> {
    source: Mutex<Source<'s>>,
    merger: Mutex<Merger<'s>>,
    turned: Condvar,
}

/// Reads everything that there is, up to but without the end, as far as the budget reaches.
pub(crate) fn pump(
    read: &mut (dyn Read + Send),
    stream: &mut Stream,
    sink: &mut (dyn Sink + Send),
    mut meter: Meter<'_>,
) -> Result<(), ReadError> {
    let mut source = Source { read, rest: Vec::new(), number: 0, ended: false };
    let mut block = Vec::new();
    while !stream.is_plain() && source.fill(&mut block)? {
        meter.take(block.len(), sink.held())?;
        stream.push(&block, sink)?;
    }
    if !source.ended {
        let merger = Merger { stream: &mut *stream, sink: &mut *sink, meter, turn: 0, stopped: None };
        source.number = 0;
        return together(source, merger);
    }
    Ok(())
}

/// Reads the rest by two threads.
fn together<'s>(source: Source<'s>, merger: Merger<'s>) -> Result<(), ReadError> {
    let shared = Shared { source: Mutex::new(source), merger: Mutex::new(merger), turned: Condvar::new() };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| shared.work());
        shared.work();
        if let Err(panic) = other.join() {
            std::panic::resume_unwind(panic);
        }
    });
    lock(&shared.merger).stopped.take().unwrap_or(Ok(()))
}

impl Shared<'_> {
    fn work(&self) {
        let alarm = Alarm(self);
        let parse = lock(&self.merger).stream.parser();
        let mut block = Vec::new();
        loop {
            let number = match lock(&self.source).next(&mut block) {
                Ok(Some(number)) => number,
                Ok(None) => break,
                Err(error) => {
                    self.stop(Err(error));
                    break;
                }
            };
            let parsed = parse(&block);
            let mut merger = lock(&self.merger);
            while merger.turn != number && merger.stopped.is_none() {
                merger = self.turned.wait(merger).unwrap_or_else(PoisonError::into_inner);
            }
            if merger.stopped.is_some() {
                break;
            }
            let Merger { stream, sink, meter, turn, stopped } = &mut *merger;
            let taken =
                meter.take(block.len(), sink.held()).and_then(|()| Ok(stream.merge(&block, parsed, *sink)?));
            match taken {
                Ok(()) => *turn += 1,
                Err(error) => *stopped = Some(Err(error)),
            }
            drop(merger);
            self.turned.notify_all();
        }
        drop(alarm);
    }

    fn stop(&self, why: Result<(), ReadError>) {
        lock(&self.merger).stopped.get_or_insert(why);
        self.turned.notify_all();
    }
}

/// Ends the wait of the other thread if this one panics.
struct Alarm<'a, 's>(&'a Shared<'s>);

impl Drop for Alarm<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop(Ok(()));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Source<'_> {
    /// The next block and its number.
    fn next(&mut self, block: &mut Vec<u8>) -> Result<Option<usize>, ReadError> {
        let number = self.number;
        self.number += 1;
        Ok(self.fill(block)?.then_some(number))
    }

    /// Fills a block with whole lines, or with what is left at the end; whether there was anything.
    fn fill(&mut self, block: &mut Vec<u8>) -> Result<bool, ReadError> {
        block.clear();
        block.append(&mut self.rest);
        let mut looked_at = 0;
        while !self.ended {
            if block.len() >= BLOCK {
                if let Some(last) = block[looked_at..].iter().rposition(|&byte| byte == b'\n') {
                    self.rest.extend_from_slice(&block[looked_at + last + 1..]);
                    block.truncate(looked_at + last + 1);
                    break;
                }
                looked_at = block.len();
                if looked_at > LONGEST {
                    // It has no lines; whoever reads it says where it is too long.
                    break;
                }
            }
            self.ended = !more(self.read, block)?;
        }
        Ok(!block.is_empty())
    }
}

/// Appends some bytes, if any are left.
fn more(read: &mut (dyn Read + Send), block: &mut Vec<u8>) -> io::Result<bool> {
    let length = block.len();
    block.resize(length + BLOCK, 0);
    let got = loop {
        match read.read(&mut block[length..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            got => break got,
        }
    };
    block.truncate(length + *got.as_ref().unwrap_or(&0));
    Ok(got? > 0)
}

/// Hands over everything that there is, piece by piece.
pub(crate) fn pour<E: Into<ReadError>>(
    read: &mut (dyn Read + Send),
    mut to: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), ReadError> {
    let mut block = Vec::new();
    while more(read, &mut block)? {
        to(&block).map_err(Into::into)?;
        block.clear();
    }
    Ok(())
}
