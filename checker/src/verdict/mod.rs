//! What a property says of a run: three answers, and the evidence for each.

mod render;

pub use render::render;

use serde::{Deserialize, Serialize};

/// The answer of one property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// No violation was found, and the whole of the evidence was looked at.
    Holds(Coverage),
    /// The property does not hold; these few operations or events show it.
    Violated(Counterexample),
    /// The evidence does not decide it within the budget, or there is too little of it.
    Inconclusive(Cause),
}

/// How much was looked at to say "holds".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Operations or trace events judged.
    pub examined: u64,
    /// What `examined` counts: "operations", "votes", "commits"...
    pub unit: String,
    /// How much the evidence could have shown, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<Power>,
}

/// How much a history could have shown: other answers that were tried in thought, and those of them that a cheap argument
/// refutes. Few values, many calls at once and unknown outcomes make the share small, and then "holds" says little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Power {
    /// Answers that were tried: for each answer that was seen, the other values that were last put there.
    pub tried: u64,
    /// Of these, those that would certainly have been noticed. At most `tried`.
    pub refuted: u64,
}

impl Power {
    /// Whole percent, from 0 to 100, rounded down; `None` if nothing was tried.
    pub fn percent(&self) -> Option<u64> {
        (self.refuted * 100).checked_div(self.tried)
    }
}

/// The smallest evidence known for a violation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counterexample {
    /// One sentence: what is contradictory about the evidence.
    pub summary: String,
    /// The operations or events that prove it, in the order of time.
    pub evidence: Vec<Evidence>,
}

/// One operation or event of a counterexample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Nanoseconds since the start of the run at which it began.
    pub start: u64,
    /// ... and ended; `None` for an operation that is still open, equal to `start` for an instant.
    pub end: Option<u64>,
    /// Who: "process 12 via n3" or "n2".
    pub who: String,
    /// What, in words: "read r3 -> 17".
    pub what: String,
}

/// Why a property could not be decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "cause")]
pub enum Cause {
    /// The time budget ran out.
    Time {
        /// How far the judgement came.
        reached: String,
    },
    /// The memory budget ran out.
    Memory {
        /// How far the judgement came.
        reached: String,
    },
    /// The evidence is missing or cut off.
    Evidence {
        /// What exactly.
        reason: String,
    },
    /// The model does not know an operation of this history.
    Model {
        /// What exactly.
        reason: String,
    },
}

/// The most that one judgement may cost. Both limits are looked at inside the steps of a search, not between them.
#[derive(Clone, Copy)]
pub struct Budget<'a> {
    /// Asked every some thousand steps: true once the caller wants an answer now. This crate knows no clock, so the
    /// caller brings one.
    pub expired: &'a (dyn Fn() -> bool + Sync),
    /// Bytes that one search may hold at once.
    pub memory_bytes: usize,
}
