//! The budget of a judgement, looked at within its steps.
//!
//! Invariant: not many more than [`STRIDE`] elements of lists, nodes or dependencies are visited between two looks at the
//! clock, however the history is made. What was found before the budget ended counts all the same.

use crate::verdict::{Budget, Cause};

/// So much is visited between two looks at the clock.
const STRIDE: usize = 1 << 14;

/// Looks at the budget, and knows what is being done.
pub(super) struct Watch<'b> {
    budget: &'b Budget<'b>,
    step: String,
    visited: usize,
}

impl<'b> Watch<'b> {
    /// Nothing was begun so far.
    pub(super) fn new(budget: &'b Budget<'b>) -> Self {
        Watch { budget, step: String::new(), visited: 0 }
    }

    /// A step begins. `step` is the subject of "... was not finished".
    pub(super) fn begin(&mut self, step: impl Into<String>) -> Result<(), Cause> {
        self.step = step.into();
        self.look()
    }

    /// So much was visited.
    pub(super) fn visit(&mut self, count: usize) -> Result<(), Cause> {
        self.visited += count;
        match self.visited < STRIDE {
            true => Ok(()),
            false => self.look(),
        }
    }

    /// So many bytes are held for so many dependencies.
    pub(super) fn hold(&self, dependencies: usize, bytes: usize) -> Result<(), Cause> {
        match bytes > self.budget.memory_bytes {
            true => Err(Cause::Memory { reached: format!("{dependencies} dependencies do not fit") }),
            false => Ok(()),
        }
    }

    fn look(&mut self) -> Result<(), Cause> {
        self.visited = 0;
        match (self.budget.expired)() {
            true => Err(Cause::Time { reached: format!("{} was not finished", self.step) }),
            false => Ok(()),
        }
    }
}
