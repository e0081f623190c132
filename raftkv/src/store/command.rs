//! What clients ask of the state machine and what it answers: the vocabulary, without behaviour.
//!
//! Invariant: these types are on disk and on the wire, encoded by postcard, so variants are only added at the end.
//! Deliberately without knowledge of HTTP: names and shapes there are `http`'s.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::sessions::SessionCall;

/// What a client asks of the state machine, through the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Read a key at this place of the log.
    Get(String),
    /// Bind a key to a text, whatever it was before.
    Put(String, Arc<str>),
    /// Remove a key.
    Delete(String),
    /// Bind a key to a text if it is bound to another one now.
    Cas(Cas),
    /// Add an element at the end of the list under a key.
    Append(String, Arc<str>),
    /// Add an element to the set under a key.
    Add(String, Arc<str>),
    /// Bind a key to a text that ends by itself after so many milliseconds.
    PutFor(String, Arc<str>, u64),
    /// Add to the number under a key, 0 if there is none.
    Increment(String, i64),
    /// Take the lock under a key, unless somebody else has it.
    Lock(Lock),
    /// Give the lock under a key back, if this owner has it.
    Unlock(String, Arc<str>),
    /// Nothing but the proposer's clock, so that what has ended is removed although nobody writes.
    Tick,
    /// A command whose application panics: what a bug in a state machine looks like. Only an experiment sends it.
    Poison(Poison),
    /// Bind a key to a text, if a lock is held under a token: a write that whoever has lost the lock cannot make any more.
    PutFenced(Fenced),
}

impl Command {
    /// The key that it is about; empty if it is about none.
    pub fn key(&self) -> &str {
        match self {
            Command::Get(key)
            | Command::Put(key, _)
            | Command::Delete(key)
            | Command::Append(key, _)
            | Command::Add(key, _)
            | Command::PutFor(key, ..)
            | Command::Increment(key, _)
            | Command::Unlock(key, _) => key,
            Command::Cas(cas) => &cas.key,
            Command::Lock(lock) => &lock.key,
            Command::Poison(poison) => &poison.key,
            Command::PutFenced(fenced) => &fenced.key,
            Command::Tick => "",
        }
    }

    /// Whether its result is the same in every state, so that it can be answered before it is applied.
    pub fn is_blind(&self) -> bool {
        matches!(self, Command::Put(..) | Command::PutFor(..) | Command::Delete(_))
    }
}

/// A compare-and-set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cas {
    /// The key.
    pub key: String,
    /// What it must be bound to; `None`: it must not exist.
    pub expected: Option<Arc<str>>,
    /// What it is bound to then.
    pub new: Arc<str>,
}

/// A request for a lock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lock {
    /// The key.
    pub key: String,
    /// Who wants it. Who has it already gets the same token again.
    pub owner: Arc<str>,
    /// After how many milliseconds it ends by itself; `None`: never.
    pub ttl_ms: Option<u64>,
}

/// A put of whoever holds a lock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fenced {
    /// The key.
    pub key: String,
    /// What it is bound to.
    pub value: Arc<str>,
    /// The key of the lock.
    pub lock: String,
    /// The token under which it was taken.
    pub token: u64,
}

/// A put that some replicas cannot apply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Poison {
    /// The key.
    pub key: String,
    /// What the replicas that can apply it bind it to.
    pub value: Arc<str>,
    /// The number of the one node that panics; `None`: all do.
    pub only: Option<u16>,
}

/// An entry's payload: a command and, for an exactly-once write, its place in a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The proposer's clock, in milliseconds since 1970: what the state machine knows of time.
    pub stamp_ms: u64,
    /// The place in a session.
    pub session: Option<SessionCall>,
    /// The command.
    pub command: Command,
}

impl Proposal {
    /// The bytes that go into the log.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a command always encodes into memory")
    }

    /// What these bytes of the log are, if they are a command.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

/// What a key can be bound to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// A text.
    Text(Arc<str>),
    /// A list, in the order of the log.
    List(Vec<Arc<str>>),
    /// A grow-only set.
    Set(BTreeSet<Arc<str>>),
    /// A lock that this owner has; the token rises with every owner (a fencing token).
    Lock(Arc<str>, u64),
}

impl Value {
    /// The name of its type.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "text",
            Value::List(_) => "list",
            Value::Set(_) => "set",
            Value::Lock(..) => "lock",
        }
    }
}

/// What the state machine answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// The write took effect.
    Done,
    /// The key is bound to this.
    Value(Option<Value>),
    /// The compare-and-set took effect.
    Swapped,
    /// It did not: the key is bound to this.
    NotSwapped(Option<Value>),
    /// The key is bound to something that the command does not work on. No effect.
    WrongType(String),
    /// The session was forgotten; whether the command took effect earlier is not known any more. No effect now.
    SessionExpired,
    /// The session has a later command already. No effect now.
    StaleSequence {
        /// The last number that was applied.
        last: u64,
    },
    /// The bytes are not a command. No effect.
    Malformed,
    /// The number is this now.
    Number(i64),
    /// The lock is the asker's, under this fencing token.
    Locked(u64),
    /// Somebody else has the lock, or, for who wants to give it back or to write under it, this is what its key is bound to.
    /// No effect.
    NotLocked(Option<Value>),
    /// Applying the command panicked, and the rules say that the entry is left out.
    Skipped,
}
