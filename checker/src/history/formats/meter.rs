//! What the reading of a text may cost, looked at between its blocks.
//!
//! Invariant: no more than one block of a text is taken in once the budget is over, and the reason says how much of the
//! text was read by then. Waiting for a source that has nothing to say is not interrupted.

use super::ReadError;
use crate::verdict::{Budget, Cause};

/// Looks at a budget, and counts what was read.
pub(crate) struct Meter<'b> {
    budget: &'b Budget<'b>,
    read: usize,
}

impl<'b> Meter<'b> {
    /// Nothing was read so far.
    pub(crate) fn new(budget: &'b Budget<'b>) -> Self {
        Meter { budget, read: 0 }
    }

    /// So many bytes of text are about to be taken; so many bytes are held of those before. Fails where the budget is
    /// over.
    pub(crate) fn take(&mut self, text: usize, held: usize) -> Result<(), ReadError> {
        let reached = |what: &str| format!("{} of the text were read{what}", megabytes(self.read));
        if (self.budget.expired)() {
            return Err(ReadError::Spent(Cause::Time { reached: reached("") }));
        }
        if held > self.budget.memory_bytes {
            let what = format!(", of which {} are held", megabytes(held));
            return Err(ReadError::Spent(Cause::Memory { reached: reached(&what) }));
        }
        self.read += text;
        Ok(())
    }
}

fn megabytes(bytes: usize) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}
