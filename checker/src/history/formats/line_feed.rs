//! Lines of a text that comes in pieces.

use super::FormatError;
use super::entry::Place;
use super::stream::{LONGEST, too_long};

/// Takes the number of a line, and the line.
pub(super) type Out<'o> = &'o mut dyn FnMut(usize, &[u8]) -> Result<(), FormatError>;

/// Splits a text into lines. What follows the last newline is a line, too, even if it is empty.
#[derive(Default)]
pub(super) struct LineFeed {
    pending: Vec<u8>,
    number: usize,
}

impl LineFeed {
    /// Takes more of the text and hands out its lines, without their newlines and numbered from 1.
    pub(super) fn push(&mut self, mut text: &[u8], out: Out<'_>) -> Result<(), FormatError> {
        while let Some(end) = text.iter().position(|&byte| byte == b'\n') {
            self.number += 1;
            match self.pending.is_empty() {
                true => out(self.number, &text[..end])?,
                false => {
                    self.pending.extend_from_slice(&text[..end]);
                    out(self.number, &self.pending)?;
                    self.pending.clear();
                }
            }
            text = &text[end + 1..];
        }
        self.pending.extend_from_slice(text);
        match self.pending.len() > LONGEST {
            true => Err(too_long(Place { line: self.number + 1, column: 1 })),
            false => Ok(()),
        }
    }

    /// The text is over.
    pub(super) fn finish(self, out: Out<'_>) -> Result<(), FormatError> {
        out(self.number + 1, &self.pending)
    }
}
