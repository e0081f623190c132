//! The operations of steps, as they were read: what is called, of whom, and what has to come of it.
//!
//! Invariant: values are still expressions, because a binding may stand there; the name that an operation goes by is one that
//! steps behind it may use.

use serde::{Deserialize, Serialize};

use super::expr::Text;
use super::model::Ground;

/// An operation of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Operation {
    /// What it calls.
    pub call: Call,
    /// This node alone is asked; any if absent.
    pub at: Option<Text>,
    /// Its name in conditions.
    pub name: Option<String>,
    /// What has to come of it; anything if empty.
    pub expect: Vec<OpExpect>,
    /// What a read has to return.
    pub sees: Option<Text>,
    /// How long it may take until its outcome is unknown, in nanoseconds, where it says so.
    pub timeout_ns: Option<u64>,
    /// How a read is answered, where it says so.
    pub mode: Option<cluster::system::ReadMode>,
    /// What a write is beside what it writes.
    pub write_mode: WriteUse,
    /// Whose session it belongs to; one of its own if absent.
    pub client: Option<String>,
    /// What happens to it when an attempt gets no definite answer.
    pub retries: Retries,
    /// Whether the step ends when it does.
    pub ground: Ground,
    /// How long `pending` has to last, in nanoseconds.
    pub pending_ns: u64,
}

/// What a write is beside what it writes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteUse {
    /// Nothing.
    #[default]
    Plain,
    /// It ends by itself after so many milliseconds, and so does a lock.
    Expiring(u64),
    /// It takes effect only while a lock is held under the token that an operation was given.
    Fenced {
        /// The key of the lock.
        lock: String,
        /// The operation.
        by: String,
    },
    /// To apply it panics, on this node or on all.
    Poison(Option<Text>),
}

/// What is called. Values are expressions, because a binding may stand there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Call {
    /// Which function.
    pub function: OpFunction,
    /// On which key.
    pub key: String,
    /// What is written, appended, added; what a compare-and-set writes.
    pub value: Option<Text>,
    /// What a compare-and-set expects.
    pub expected: Option<Text>,
    /// How many bytes the value is made to have, where it says so.
    pub bytes: Option<usize>,
}

/// A function of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpFunction {
    /// Write a register.
    Put,
    /// Read a register or a list.
    Get,
    /// Remove a key.
    Delete,
    /// Compare and set.
    Cas,
    /// Append to a list.
    Append,
    /// Add to a set.
    Add,
    /// Read a set.
    Members,
    /// Take a lock.
    Lock,
    /// Give it back.
    Unlock,
}

/// What has to come of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpExpect {
    /// It takes effect.
    Ok,
    /// It provably has none.
    Failed,
    /// Its outcome is unknown.
    Unknown,
    /// It is not answered for a while, and stays open.
    Pending,
}

/// Who repeats an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retries {
    /// Nobody: an attempt without a definite answer ends it, with an unknown outcome.
    #[default]
    None,
    /// A step.
    ByHand,
}

impl OpFunction {
    /// The name that the history has for it.
    pub fn name(self) -> &'static str {
        match self {
            OpFunction::Put => "write",
            OpFunction::Get => "read",
            OpFunction::Delete => "delete",
            OpFunction::Cas => "cas",
            OpFunction::Append => "append",
            OpFunction::Add => "add",
            OpFunction::Members => "members",
            OpFunction::Lock => "acquire",
            OpFunction::Unlock => "release",
        }
    }
}
