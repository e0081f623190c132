//! The state machine: an ordered map of keys to texts, lists and sets, driven by the log alone.
//!
//! Invariant: `apply` is a function of the state, the index and the bytes of the command: no clock, no randomness, no
//! node identity, and no panic for any bytes. A command that does not fit changes nothing and says so, on every replica.
//! What it lacks on purpose: knowledge of terms, leaders and durability.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::sessions::{Admission, SESSIONS_MAX, SessionCall, Sessions};

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
}

impl Command {
    /// The key that it is about.
    pub fn key(&self) -> &str {
        match self {
            Command::Get(key) | Command::Delete(key) => key,
            Command::Put(key, _) | Command::Append(key, _) | Command::Add(key, _) => key,
            Command::Cas(cas) => &cas.key,
        }
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

/// An entry's payload: a command and, for an exactly-once write, its place in a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
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
}

impl Value {
    /// The name of its type.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "text",
            Value::List(_) => "list",
            Value::Set(_) => "set",
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
}

/// The replicated state.
#[derive(Clone, Debug)]
pub struct Store {
    map: BTreeMap<String, Value>,
    sessions: Sessions,
}

impl Default for Store {
    fn default() -> Self {
        Self { map: BTreeMap::new(), sessions: Sessions::new(SESSIONS_MAX) }
    }
}

impl Store {
    /// Applies the command of the entry at `index`.
    pub fn apply(&mut self, index: u64, bytes: &[u8]) -> Reply {
        let Ok(proposal) = postcard::from_bytes::<Proposal>(bytes) else { return Reply::Malformed };
        let Some(call) = proposal.session else { return self.execute(proposal.command) };
        match self.sessions.admit(index, call) {
            Admission::Answered(reply) => reply,
            Admission::Fresh => {
                let reply = self.execute(proposal.command);
                self.sessions.record(index, call, &reply);
                reply
            }
        }
    }

    /// What a key is bound to.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key)
    }

    /// How many keys are bound.
    pub fn keys(&self) -> usize {
        self.map.len()
    }

    /// How many sessions are remembered.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    fn execute(&mut self, command: Command) -> Reply {
        match command {
            Command::Get(key) => Reply::Value(self.map.get(&key).cloned()),
            Command::Put(key, value) => {
                self.map.insert(key, Value::Text(value));
                Reply::Done
            }
            Command::Delete(key) => {
                self.map.remove(&key);
                Reply::Done
            }
            Command::Cas(cas) => self.compare_and_set(cas),
            Command::Append(key, element) => {
                match self.map.entry(key).or_insert_with(|| Value::List(Vec::new())) {
                    Value::List(list) => {
                        list.push(element);
                        Reply::Done
                    }
                    other => Reply::WrongType(other.kind().to_owned()),
                }
            }
            Command::Add(key, element) => {
                match self.map.entry(key).or_insert_with(|| Value::Set(BTreeSet::new())) {
                    Value::Set(set) => {
                        set.insert(element);
                        Reply::Done
                    }
                    other => Reply::WrongType(other.kind().to_owned()),
                }
            }
        }
    }

    fn compare_and_set(&mut self, cas: Cas) -> Reply {
        let actual = self.map.get(&cas.key);
        let matches = match (actual, &cas.expected) {
            (None, None) => true,
            (Some(Value::Text(actual)), Some(expected)) => actual == expected,
            _ => false,
        };
        if !matches {
            return Reply::NotSwapped(actual.cloned());
        }
        self.map.insert(cas.key, Value::Text(cas.new));
        Reply::Swapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(store: &mut Store, command: Command) -> Reply {
        store.apply(1, &Proposal { session: None, command }.encode())
    }

    fn text(value: &str) -> Option<Value> {
        Some(Value::Text(value.into()))
    }

    #[test]
    fn put_get_delete() {
        let mut store = Store::default();
        assert_eq!(run(&mut store, Command::Get("a".into())), Reply::Value(None));
        assert_eq!(run(&mut store, Command::Put("a".into(), "1".into())), Reply::Done);
        assert_eq!(run(&mut store, Command::Get("a".into())), Reply::Value(text("1")));
        assert_eq!(run(&mut store, Command::Delete("a".into())), Reply::Done);
        assert_eq!(store.get("a"), None);
    }

    #[test]
    fn compare_and_set_compares() {
        let mut store = Store::default();
        let cas = |expected: Option<&str>, new: &str| {
            Command::Cas(Cas { key: "k".into(), expected: expected.map(Into::into), new: new.into() })
        };
        assert_eq!(run(&mut store, cas(Some("x"), "y")), Reply::NotSwapped(None));
        assert_eq!(run(&mut store, cas(None, "a")), Reply::Swapped);
        assert_eq!(run(&mut store, cas(None, "b")), Reply::NotSwapped(text("a")));
        assert_eq!(run(&mut store, cas(Some("a"), "b")), Reply::Swapped);
        assert_eq!(store.get("k"), text("b").as_ref());
    }

    #[test]
    fn lists_keep_order_and_sets_keep_one() {
        let mut store = Store::default();
        for element in ["b", "a", "b"] {
            run(&mut store, Command::Append("l".into(), element.into()));
            run(&mut store, Command::Add("s".into(), element.into()));
        }
        let list = ["b", "a", "b"].map(Arc::from).to_vec();
        assert_eq!(store.get("l"), Some(&Value::List(list)));
        assert_eq!(store.get("s"), Some(&Value::Set(["a", "b"].map(Arc::from).into())));
        assert_eq!(run(&mut store, Command::Append("s".into(), "x".into())), Reply::WrongType("set".into()));
        assert_eq!(run(&mut store, Command::Add("l".into(), "x".into())), Reply::WrongType("list".into()));
    }

    #[test]
    fn a_repeated_append_in_a_session_appends_once_and_gets_the_stored_result() {
        let mut store = Store::default();
        let cas = Command::Cas(Cas { key: "k".into(), expected: None, new: "v".into() });
        let session = Some(SessionCall { client: 9, sequence: 1 });
        let bytes = Proposal { session, command: cas }.encode();
        assert_eq!(store.apply(1, &bytes), Reply::Swapped);
        assert_eq!(store.apply(2, &bytes), Reply::Swapped, "the stored result, not a second comparison");
        let session = Some(SessionCall { client: 9, sequence: 2 });
        let bytes = Proposal { session, command: Command::Append("l".into(), "e".into()) }.encode();
        assert_eq!(store.apply(3, &bytes), Reply::Done);
        assert_eq!(store.apply(4, &bytes), Reply::Done);
        assert_eq!(store.get("l"), Some(&Value::List(vec!["e".into()])));
        assert_eq!(store.sessions(), 1);
    }

    #[test]
    fn without_a_session_every_append_counts() {
        let mut store = Store::default();
        let bytes = Proposal { session: None, command: Command::Append("l".into(), "e".into()) }.encode();
        store.apply(1, &bytes);
        store.apply(2, &bytes);
        assert_eq!(store.get("l"), Some(&Value::List(vec!["e".into(), "e".into()])));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64)) {
            let mut store = Store::default();
            store.apply(1, &bytes);
        }
    }
}
