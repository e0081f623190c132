//! From a text in pieces to a history: which reader a format has.

use std::io::Read;

use super::entry::Sink;
use super::jepsen::Builder;
use super::line_feed::LineFeed;
use super::lines::{Log, Others};
use super::meter::Meter;
use super::own::Own;
use super::pump::{pour, pump};
use super::stream::Stream;
use super::{Clock, Format, FormatError, ReadError, Reading, Recorded, porcupine};
use crate::verdict::Budget;

/// Reads a history that comes in pieces.
pub struct Reader<'r> {
    format: Format,
    way: Way<'r>,
}

enum Way<'r> {
    Entries(Stream, Builder<'r>),
    Lines(LineFeed, Log<'r>),
    Own(LineFeed, Own),
}

impl<'r> Reader<'r> {
    /// Fails if the reading does not go with the format.
    pub fn new(format: Format, reading: &'r Reading) -> Result<Self, FormatError> {
        let log = |others| {
            let builder = Builder::new(reading, Some(Clock::Lines));
            Way::Lines(LineFeed::default(), Log::new(builder, others))
        };
        let way = match format {
            Format::Raftcheck => Way::Own(LineFeed::default(), Own::new(reading)?),
            Format::JepsenText => log(Others::Refused),
            Format::PorcupineEtcd => log(Others::Skipped),
            Format::JepsenEdn | Format::KnossosEdn | Format::PorcupineKv => {
                Way::Entries(Stream::edn(), Builder::new(reading, None))
            }
        };
        Ok(Reader { format, way })
    }

    /// Takes more of the text.
    pub fn push(&mut self, text: &[u8]) -> Result<(), FormatError> {
        match &mut self.way {
            Way::Entries(stream, builder) => stream.push(text, builder),
            Way::Lines(feed, log) => feed.push(text, &mut |number, line| log.line(number, line)),
            Way::Own(feed, own) => feed.push(text, &mut |number, line| own.line(number, line)),
        }
    }

    fn held(&self) -> usize {
        match &self.way {
            Way::Entries(_, builder) => builder.held(),
            Way::Lines(_, log) => log.held(),
            Way::Own(_, own) => own.held(),
        }
    }

    /// The text is over.
    pub fn finish(self) -> Result<Recorded, FormatError> {
        match self.way {
            Way::Entries(mut stream, mut builder) => {
                stream.finish(&mut builder)?;
                settled(self.format, builder.finish())
            }
            Way::Lines(feed, mut log) => {
                feed.finish(&mut |number, line| log.line(number, line))?;
                Ok(log.finish())
            }
            Way::Own(feed, mut own) => {
                feed.finish(&mut |number, line| own.line(number, line))?;
                own.finish()
            }
        }
    }
}

/// What can be said of the whole only.
fn settled(format: Format, mut recorded: Recorded) -> Result<Recorded, FormatError> {
    if format == Format::PorcupineKv {
        porcupine::as_lists(&mut recorded)?;
    }
    Ok(recorded)
}

/// Reads a history.
pub fn read(format: Format, text: &[u8], reading: &Reading) -> Result<Recorded, FormatError> {
    let mut reader = Reader::new(format, reading)?;
    reader.push(text)?;
    reader.finish()
}

/// Reads a history from where it is, and no more of it at once than is needed. Large ones are read by two threads. Of the
/// budget's memory is taken what is held of the history.
pub fn read_from(
    format: Format,
    source: &mut (dyn Read + Send),
    reading: &Reading,
    budget: &Budget<'_>,
) -> Result<Recorded, ReadError> {
    let mut reader = Reader::new(format, reading)?;
    let mut meter = Meter::new(budget);
    if let Way::Entries(stream, builder) = &mut reader.way {
        pump(source, stream, builder, meter)?;
    } else {
        pour(source, |text| {
            meter.take(text.len(), reader.held())?;
            Ok::<(), ReadError>(reader.push(text)?)
        })?;
    }
    Ok(reader.finish()?)
}
