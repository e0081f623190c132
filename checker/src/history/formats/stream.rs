//! Entries of a text that comes in pieces.
//!
//! Invariant: where the pieces are cut changes nothing, neither entries nor their places nor the error. An entry is taken
//! once no byte that follows can change it. What is held of the text is the entry that is not complete yet, which is
//! refused above [`LONGEST`] bytes.

use super::FormatError;
use super::edn::Reader;
use super::entry::{Entry, Place, Sink};
use super::json;

/// The most bytes of one entry or one line.
pub(super) const LONGEST: usize = 64 << 20;

/// As much of a text is looked at in one go.
const PIECE: usize = 256 << 10;

/// How entries are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notation {
    Edn,
    Json,
    /// One of the two; the first bytes will tell.
    Either,
}

/// Where in the text the next entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing was read yet.
    Before,
    /// One follows the other.
    Plain,
    /// In a list that this byte closes.
    Listed(u8),
    /// The list is over.
    After,
}

/// Splits a text into entries.
pub(crate) struct Stream {
    notation: Notation,
    state: State,
    /// What was not taken yet, and where it begins.
    pending: Vec<u8>,
    place: Place,
    /// Fewer bytes than this hold no whole entry.
    wanted: usize,
}

/// The entries of a piece of text that begins and ends between lines.
pub(super) struct Parsed<'a> {
    /// Each with its place in this text.
    entries: Vec<(Entry<'a>, Place)>,
    /// What follows them is the beginning of an entry.
    consumed: usize,
    /// Where that begins.
    end: Place,
    /// What is wrong behind them.
    error: Option<FormatError>,
}

impl Stream {
    /// A text in EDN.
    pub(crate) fn edn() -> Stream {
        Stream {
            notation: Notation::Edn,
            state: State::Before,
            pending: Vec::new(),
            place: Place::START,
            wanted: 0,
        }
    }

    /// A text in EDN or in JSON.
    pub(crate) fn either() -> Stream {
        Stream { notation: Notation::Either, ..Stream::edn() }
    }

    /// Takes more of the text.
    pub(crate) fn push(&mut self, text: &[u8], sink: &mut dyn Sink) -> Result<(), FormatError> {
        for piece in text.chunks(PIECE) {
            self.pending.extend_from_slice(piece);
            if self.pending.len() >= self.wanted.min(LONGEST + 1) {
                self.take(sink, More::Comes)?;
            }
        }
        Ok(())
    }

    /// The text is over.
    pub(crate) fn finish(&mut self, sink: &mut dyn Sink) -> Result<(), FormatError> {
        self.take(sink, More::Never)?;
        match self.state {
            State::Listed(_) => {
                Err(FormatError::of(self.place, "the list of operations has no end".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn take(&mut self, sink: &mut dyn Sink, more: More) -> Result<(), FormatError> {
        let mut text = std::mem::take(&mut self.pending);
        if self.notation == Notation::Either {
            match json::looks_like(&text) {
                None if more == More::Comes => {
                    self.wanted = text.len() * 2;
                    self.pending = text;
                    return self.bounded();
                }
                Some(true) => self.notation = Notation::Json,
                _ => self.notation = Notation::Edn,
            }
        }
        let (base, mut place, mut seen) = (self.place, self.place, 0);
        let consumed = scan(self.notation, &mut self.state, &text, more, &mut |entry, offset| {
            place = place.behind(&text[seen..offset]);
            seen = offset;
            sink.take(&entry, place).map_err(|problem| Stop::At(FormatError::of(place, problem)))
        });
        let consumed = consumed.map_err(|stop| stop.error(base))?;
        self.place = place.behind(&text[seen..consumed]);
        text.drain(..consumed);
        self.wanted = match consumed {
            0 => text.len() * 2,
            _ => 0,
        };
        self.pending = text;
        self.bounded()
    }

    fn bounded(&self) -> Result<(), FormatError> {
        match self.pending.len() > LONGEST {
            true => Err(too_long(self.place)),
            false => Ok(()),
        }
    }

    /// Whether a text that follows can be read by [`Stream::parse`] before it is known what stands before it.
    pub(super) fn is_plain(&self) -> bool {
        self.state == State::Plain
    }

    /// How to read such a text.
    pub(super) fn parser(&self) -> impl Fn(&[u8]) -> Parsed<'_> + Copy + use<> {
        let notation = self.notation;
        move |text| parse(notation, text)
    }

    /// Takes more of the text, which was read in advance.
    pub(super) fn merge(
        &mut self,
        text: &[u8],
        parsed: Parsed<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), FormatError> {
        if !self.pending.is_empty() {
            return self.push(text, sink);
        }
        for (entry, place) in &parsed.entries {
            let place = self.place.then(*place);
            sink.take(entry, place).map_err(|problem| FormatError::of(place, problem))?;
        }
        if let Some(error) = parsed.error {
            return Err(error.within(self.place));
        }
        self.place = self.place.then(parsed.end);
        self.pending.extend_from_slice(&text[parsed.consumed..]);
        self.wanted = self.pending.len() * 2;
        Ok(())
    }
}

fn parse(notation: Notation, text: &[u8]) -> Parsed<'_> {
    let mut entries = Vec::with_capacity(text.len() / 64);
    let (mut place, mut seen) = (Place::START, 0);
    let consumed = scan(notation, &mut State::Plain, text, More::Comes, &mut |entry, offset| {
        place = place.behind(&text[seen..offset]);
        seen = offset;
        entries.push((entry, place));
        Ok(())
    });
    match consumed {
        Ok(consumed) => Parsed { entries, consumed, end: place.behind(&text[seen..consumed]), error: None },
        Err(stop) => Parsed { entries, consumed: 0, end: place, error: Some(stop.error(Place::START)) },
    }
}

/// Whether more text will follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    Comes,
    Never,
}

/// Why it goes no further.
pub(super) enum Stop {
    /// The text is wrong, at a place in the piece.
    Here(FormatError),
    /// The entry is, at a place in the whole.
    At(FormatError),
}

impl Stop {
    fn error(self, base: Place) -> FormatError {
        match self {
            Stop::Here(error) => error.within(base),
            Stop::At(error) => error,
        }
    }
}

/// Takes an entry and the offset at which it begins.
pub(super) type Out<'o, 'a> = &'o mut dyn FnMut(Entry<'a>, usize) -> Result<(), Stop>;

/// Hands out the entries of a text, and says how much of the text they took.
fn scan<'a>(
    notation: Notation,
    state: &mut State,
    text: &'a [u8],
    more: More,
    out: Out<'_, 'a>,
) -> Result<usize, Stop> {
    match notation {
        Notation::Json => json::scan(state, text, more, out),
        Notation::Edn | Notation::Either => edn(state, text, more, out),
    }
}

fn edn<'a>(state: &mut State, text: &'a [u8], more: More, out: Out<'_, 'a>) -> Result<usize, Stop> {
    let mut reader = Reader::new(text);
    while reader.space() {
        let mark = reader.offset();
        let step = step(&mut reader, text, *state);
        if reader.starved() && more == More::Comes {
            return Ok(mark);
        }
        match step.map_err(Stop::Here)? {
            Step::To(next) => *state = next,
            Step::Entry(entry, offset) => out(entry, offset)?,
            Step::End => break,
        }
    }
    Ok(text.len())
}

/// What came next.
#[expect(clippy::large_enum_variant, reason = "nearly all of them are entries")]
enum Step<'a> {
    To(State),
    Entry(Entry<'a>, usize),
    End,
}

fn step<'a>(reader: &mut Reader<'a>, text: &[u8], state: State) -> Result<Step<'a>, FormatError> {
    reader.blank()?;
    let offset = reader.offset();
    if offset == text.len() {
        return Ok(Step::End);
    }
    Ok(match state {
        State::Before => Step::To(reader.enter().map_or(State::Plain, State::Listed)),
        State::Listed(close) if reader.leave(close) => Step::To(State::After),
        State::Plain | State::Listed(_) => Step::Entry(reader.entry()?, offset),
        State::After => {
            return Err(FormatError::at(text, offset, "something follows the list of operations"));
        }
    })
}

pub(super) fn too_long(place: Place) -> FormatError {
    FormatError::of(place, format!("this goes on for more than {} MiB without an end", LONGEST >> 20))
}
