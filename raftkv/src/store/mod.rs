//! The state machine: a map of keys to texts, lists, sets and locks, driven by the log alone.
//!
//! Invariant: under the honest rules `apply` is a function of the state, the index and the bytes of the command: no clock,
//! no randomness, no node identity, and no panic for the bytes of any client. Time is what proposers wrote into their
//! commands, made to never go back. A command that does not fit changes nothing and says so, on every replica. What
//! [`Local`] tells of this process is used only where a weakened rule says so.
//! Deliberately without knowledge of terms, leaders and durability.
//! Reference: section 2 of the paper (replicated state machines), section 6.3 of the thesis (sessions, time in the log).

mod command;
mod digest;
mod image;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use command::{Cas, Command, Fenced, Lock, Poison, Proposal, Reply, Value};
pub(crate) use digest::Digest;
pub use image::ImageError;
pub(crate) use image::{Frozen, Piece, Pieces};

use crate::raft::rules::{ApplyNondeterminism, DedupSessions, Rules, SessionExpiry, TtlClock};
use crate::sessions::{Admission, Moment, SESSIONS_MAX, SessionCall, Sessions};
use crate::snapshot::Shards;

/// What differs between the processes that apply the same log. An honest state machine looks at none of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local {
    /// The clock of this host, in milliseconds since 1970.
    pub clock_ms: u64,
    /// Drawn at the start of this process.
    pub seed: u64,
    /// The number of this node.
    pub node: u16,
}

/// This host's clock, in milliseconds since 1970; 0 before that.
pub fn wall_clock_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// What applying a command led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The answer.
    pub reply: Reply,
    /// The place in a session that a leader is to keep the answer for in its own memory; see `dedup_sessions`.
    pub remember: Option<SessionCall>,
}

/// What a key is bound to, and since when.
#[derive(Clone, Debug)]
struct Cell {
    value: Value,
    /// The index of the entry that bound or changed it.
    version: u64,
    /// When it ends, if it does by itself.
    ends_ms: Option<u64>,
    /// The hash of its contents: of a list in order, of a set as a sum.
    contents: u64,
}

impl Cell {
    fn new(value: Value, version: u64, ends_ms: Option<u64>) -> Self {
        let contents = match &value {
            Value::Text(text) => Digest::new(10).bytes(text.as_bytes()).end(),
            Value::List(list) => list.iter().fold(0, |so_far, element| longer(so_far, element)),
            Value::Set(set) => set.iter().fold(0, |so_far, element| larger(so_far, element)),
            Value::Lock(owner, token) => Digest::new(13).bytes(owner.as_bytes()).word(*token).end(),
        };
        Self { value, version, ends_ms, contents }
    }

    /// The part of a binding's hash that its key makes.
    fn named(key: &str) -> Digest {
        Digest::new(1).bytes(key.as_bytes())
    }

    /// The hash of the binding of the key with this part.
    fn hash(&self, named: Digest) -> u64 {
        let digest = named.word(self.contents).word(self.version);
        digest.word(self.ends_ms.map_or(0, |ends| ends.wrapping_add(1))).end()
    }
}

/// The hash of a state with keys and sessions of these hashes.
fn hash_of(keys: u64, sessions: u64) -> u64 {
    Digest::new(3).word(keys).word(sessions).end()
}

/// The hash of a list with one more element.
fn longer(contents: u64, element: &str) -> u64 {
    Digest::new(11).word(contents).bytes(element.as_bytes()).end()
}

/// The hash of a set with one more element.
fn larger(contents: u64, element: &str) -> u64 {
    contents.wrapping_add(Digest::new(12).bytes(element.as_bytes()).end())
}

/// The replicated state. What a snapshot needs of it shares keys and sessions until they change, see [`Store::frozen`].
#[derive(Clone, Debug)]
pub struct Store {
    rules: Rules,
    local: Local,
    map: Shards<String, Cell>,
    /// The keys that end by themselves, by when they do.
    ends: BTreeSet<(u64, String)>,
    sessions: Sessions,
    /// The latest clock reading in the log.
    log_time_ms: u64,
    hash: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self::new(&Rules::default())
    }
}

impl Store {
    /// The empty state, to be driven by `rules`.
    pub fn new(rules: &Rules) -> Self {
        let sessions = Sessions::new(SESSIONS_MAX, rules.client.session_timeout.0);
        Self {
            rules: rules.clone(),
            local: Local::default(),
            map: Shards::default(),
            ends: BTreeSet::new(),
            sessions,
            log_time_ms: 0,
            hash: 0,
        }
    }

    /// Tells the store about its process, before it is asked anything.
    pub fn observe(&mut self, local: Local) {
        self.local = local;
    }

    /// Applies the command of the entry at `index`.
    pub fn apply(&mut self, index: u64, bytes: &[u8]) -> Applied {
        let Some(proposal) = Proposal::decode(bytes) else {
            return Applied { reply: Reply::Malformed, remember: None };
        };
        self.log_time_ms = self.log_time_ms.max(proposal.stamp_ms);
        self.remove_ended();
        let session_ms = self.end_sessions();
        let applied = |reply| Applied { reply, remember: None };
        let Some(call) = proposal.session else { return applied(self.execute(index, proposal.command)) };
        // The honest law: the state machine itself keeps, for each client, the number and the result of its last command,
        // and answers a repetition from there without executing it (section 8 of the paper, section 6.3 of the thesis).
        // Whoever leads next has the same table, because it is driven by the same log.
        match self.rules.client.dedup_sessions {
            DedupSessions::Replicated => {
                let at = Moment { index, time_ms: session_ms };
                applied(self.apply_once(at, call, proposal.command))
            }
            DedupSessions::LeaderMemory => {
                Applied { reply: self.execute(index, proposal.command), remember: Some(call) }
            }
            DedupSessions::Off => applied(self.execute(index, proposal.command)),
        }
    }

    fn apply_once(&mut self, at: Moment, call: SessionCall, command: Command) -> Reply {
        match self.sessions.admit(at, call) {
            Admission::Answered(reply) => reply,
            Admission::Fresh => {
                let reply = self.execute(at.index, command);
                self.sessions.record(at, call, &reply);
                reply
            }
        }
    }

    /// What a key is bound to.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let cell = self.map.get(key)?;
        match cell.ends_ms {
            Some(ends) if ends <= self.time_ms() => None,
            _ => Some(&cell.value),
        }
    }

    /// How many keys are bound.
    pub fn keys(&self) -> usize {
        self.map.len()
    }

    /// How many sessions are remembered.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// A hash of the whole state: equal states have equal hashes on all nodes.
    pub fn hash(&self) -> u64 {
        hash_of(self.hash, self.sessions.hash())
    }

    /// When the next key ends by itself. It takes an entry after that moment to remove it: see [`Command::Tick`].
    pub fn next_end_ms(&self) -> Option<u64> {
        self.ends.first().map(|(ends, _)| *ends)
    }

    /// The time by which keys end.
    fn time_ms(&self) -> u64 {
        // The honest law: replicas must do the same at the same place of the log, so time is what the leader wrote into the
        // entries, which never goes back (thesis, section 6.3: "the leader augments each command with its current time").
        match self.rules.client.ttl_clock {
            TtlClock::LogTime => self.log_time_ms,
            TtlClock::LocalClock => self.local.clock_ms,
        }
    }

    /// Ends the sessions that are not used any more; by what time the used ones are kept.
    fn end_sessions(&mut self) -> u64 {
        // The honest law: "servers must agree on when to expire a client's session", so it is decided by the time in the log
        // (thesis, section 6.3). A replica that has forgotten a session applies a repetition that others do not.
        let now_ms = match self.rules.client.session_expiry {
            SessionExpiry::None => return self.log_time_ms,
            SessionExpiry::LogTime => self.log_time_ms,
            SessionExpiry::LocalClock => self.local.clock_ms,
        };
        self.sessions.expire(now_ms);
        now_ms
    }

    fn remove_ended(&mut self) {
        let now = self.time_ms();
        while let Some((_, key)) = self.ends.first().filter(|(ends, _)| *ends <= now) {
            let key = key.clone();
            self.unbind(&key);
        }
    }

    /// The version that the entry at `index` gives to the key that it writes.
    fn version(&self, index: u64, key: &str) -> u64 {
        let drawn = |key: &str| Digest::new(self.local.seed).bytes(key.as_bytes()).end();
        // The honest law: a state machine is deterministic, or replicas that applied the same commands differ (section 2 of
        // the paper: "each state machine processes the same series of commands and thus produces the same results").
        match self.rules.client.apply_nondeterminism {
            ApplyNondeterminism::None => index,
            ApplyNondeterminism::LocalTime => self.local.clock_ms,
            ApplyNondeterminism::Rand => Digest::new(self.local.seed).word(index).end(),
            // The place of the key in the iteration of a hash table that is seeded per process, as Rust's and Go's are.
            ApplyNondeterminism::MapOrder => {
                let own = drawn(key);
                self.map.iter().filter(|(other, _)| drawn(other) < own).count() as u64
            }
        }
    }

    fn bind(&mut self, key: String, cell: Cell) {
        let named = Cell::named(&key);
        self.hash = self.hash.wrapping_add(cell.hash(named));
        let ends = cell.ends_ms;
        // Few stores have keys that end; the others are spared the copy of the key.
        let ending = (ends.is_some() || !self.ends.is_empty()).then(|| key.clone());
        let before = self.map.insert(key, cell);
        if let Some(before) = &before {
            self.hash = self.hash.wrapping_sub(before.hash(named));
        }
        let Some(key) = ending else { return };
        if let Some(ended) = before.and_then(|before| before.ends_ms).filter(|ended| Some(*ended) != ends) {
            self.ends.remove(&(ended, key.clone()));
        }
        if let Some(ends) = ends {
            self.ends.insert((ends, key));
        }
    }

    fn unbind(&mut self, key: &str) {
        let Some((key, cell)) = self.map.remove_entry(key) else { return };
        self.hash = self.hash.wrapping_sub(cell.hash(Cell::named(&key)));
        if let Some(ends) = cell.ends_ms {
            self.ends.remove(&(ends, key));
        }
    }

    /// Binds a key, `ttl_ms` from now or for ever.
    fn write(&mut self, index: u64, key: String, value: Value, ttl_ms: Option<u64>) {
        let ends_ms = ttl_ms.map(|ttl| self.time_ms().saturating_add(ttl));
        let version = self.version(index, &key);
        self.bind(key, Cell::new(value, version, ends_ms));
    }

    fn execute(&mut self, index: u64, command: Command) -> Reply {
        match command {
            Command::Get(key) => Reply::Value(self.get(&key).cloned()),
            Command::Put(key, value) => {
                self.write(index, key, Value::Text(value), None);
                Reply::Done
            }
            Command::PutFor(key, value, ttl_ms) => {
                self.write(index, key, Value::Text(value), Some(ttl_ms));
                Reply::Done
            }
            Command::Delete(key) => {
                self.unbind(&key);
                Reply::Done
            }
            Command::Cas(cas) => self.compare_and_set(index, cas),
            Command::Append(key, element) => self.extend(index, key, element, Collection::List),
            Command::Add(key, element) => self.extend(index, key, element, Collection::Set),
            Command::Increment(key, by) => self.increment(index, key, by),
            Command::Lock(lock) => self.lock(index, lock),
            Command::Unlock(key, owner) => self.unlock(&key, &owner),
            Command::Tick => Reply::Done,
            Command::Poison(poison) => self.poison(index, poison),
            Command::PutFenced(fenced) => self.put_fenced(index, fenced),
        }
    }

    fn compare_and_set(&mut self, index: u64, cas: Cas) -> Reply {
        let actual = self.get(&cas.key);
        let matches = match (actual, &cas.expected) {
            (None, None) => true,
            (Some(Value::Text(actual)), Some(expected)) => actual == expected,
            _ => false,
        };
        if !matches {
            return Reply::NotSwapped(actual.cloned());
        }
        self.write(index, cas.key, Value::Text(cas.new), None);
        Reply::Swapped
    }

    /// Adds an element to a list or set, in place: they grow long.
    fn extend(&mut self, index: u64, key: String, element: Arc<str>, to: Collection) -> Reply {
        let version = self.version(index, &key);
        let Some(cell) = self.map.get_mut(&key) else {
            let value = match to {
                Collection::List => Value::List(vec![element]),
                Collection::Set => Value::Set(BTreeSet::from([element])),
            };
            self.bind(key, Cell::new(value, version, None));
            return Reply::Done;
        };
        let before = cell.hash(Cell::named(&key));
        match (&mut cell.value, to) {
            (Value::List(list), Collection::List) => {
                cell.contents = longer(cell.contents, &element);
                list.push(element);
            }
            (Value::Set(set), Collection::Set) => {
                if set.contains(&element) {
                    return Reply::Done;
                }
                cell.contents = larger(cell.contents, &element);
                set.insert(element);
            }
            (other, _) => return Reply::WrongType(other.kind().to_owned()),
        }
        cell.version = version;
        self.hash = self.hash.wrapping_sub(before).wrapping_add(cell.hash(Cell::named(&key)));
        Reply::Done
    }

    fn increment(&mut self, index: u64, key: String, by: i64) -> Reply {
        let before = match self.get(&key) {
            None => Some(0),
            Some(Value::Text(text)) => text.parse::<i64>().ok(),
            Some(other) => return Reply::WrongType(other.kind().to_owned()),
        };
        let Some(number) = before.and_then(|before| before.checked_add(by)) else {
            return Reply::WrongType("text".to_owned());
        };
        let ends_ms = self.map.get(&key).and_then(|cell| cell.ends_ms);
        let version = self.version(index, &key);
        self.bind(key, Cell::new(Value::Text(number.to_string().into()), version, ends_ms));
        Reply::Number(number)
    }

    fn lock(&mut self, index: u64, lock: Lock) -> Reply {
        let token = match self.get(&lock.key) {
            None => self.version(index, &lock.key),
            Some(Value::Lock(owner, token)) if *owner == lock.owner => *token,
            held @ Some(Value::Lock(..)) => return Reply::NotLocked(held.cloned()),
            Some(other) => return Reply::WrongType(other.kind().to_owned()),
        };
        self.write(index, lock.key, Value::Lock(lock.owner, token), lock.ttl_ms);
        Reply::Locked(token)
    }

    fn unlock(&mut self, key: &str, owner: &str) -> Reply {
        match self.get(key) {
            Some(Value::Lock(holder, _)) if **holder == *owner => {
                self.unbind(key);
                Reply::Done
            }
            held @ (None | Some(Value::Lock(..))) => Reply::NotLocked(held.cloned()),
            Some(other) => Reply::WrongType(other.kind().to_owned()),
        }
    }

    /// The lock and what it protects are in one log, so the token is compared at the very place where the write takes effect,
    /// and also refused when the lock has ended and nobody has it. (A storage that knows no locks remembers the largest token
    /// that it has seen: Kleppmann, How to do distributed locking, 2016.)
    fn put_fenced(&mut self, index: u64, fenced: Fenced) -> Reply {
        match self.get(&fenced.lock) {
            Some(Value::Lock(_, token)) if *token == fenced.token => {
                self.write(index, fenced.key, Value::Text(fenced.value), None);
                Reply::Done
            }
            held => Reply::NotLocked(held.cloned()),
        }
    }

    /// What a bug in a state machine does. The entry comes from an experiment.
    fn poison(&mut self, index: u64, poison: Poison) -> Reply {
        if poison.only.is_none_or(|node| node == self.local.node) {
            panic!("the command at {index} was made to panic");
        }
        self.write(index, poison.key, Value::Text(poison.value), None);
        Reply::Done
    }
}

/// What an element is added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Collection {
    List,
    Set,
}

#[cfg(test)]
mod tests;
