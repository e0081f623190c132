//! Histories of which the verdict is known, because of how they are made.
//!
//! A store is simulated: clients invoke, every call takes effect at one instant between its invocation and its
//! completion (or, if its outcome is unknown, at a later one or never), and so the history is linearizable by
//! construction. A violation is then woven in with calls of its own, around one *marked* value of one key:
//!
//! * no call of unknown outcome ever puts the marked value, and
//! * when the violation begins, no call that puts it is open, and until its end none is made but the violation's own.
//!
//! So every other put of the marked value ended before the violation began, or began after it ended, and:
//!
//! * register: `write marked; write other; read -> marked`, one after the other. Every write of the marked value that
//!   may explain the read was over before `write other` began, which was over before the read began.
//! * append: each appended element stays, so a read has to show the marked one at least as often as its appends had
//!   ended before; it shows one less. Or: of two marked values the last appends are ordered by real time, and the read
//!   shows the last places of the two in the opposite order.
//! * set: an element is added, once in the whole history, and a later read does not show it.
//!
//! For the other models a *key* is marked instead: no outcome on it is unknown, and when the violation begins none of its
//! calls is open. So it is known what is in it:
//!
//! * counter: a read that shows less than the sum.
//! * queues: an element that is taken twice (stale), or is there and not found (lost); first in, first out also one that
//!   is taken before one that was put before it (reordered).
//! * locks: acquired by two, with no release between (stale); a token that is smaller than one before it (reordered).
//! * registers together: like a register, and `reordered` is a read of which one half is old.
//!
//! Each is impossible whatever the other calls did. Invariant: the same settings give the same events. There is no random
//! number crate here, so that a seed means the same history in every version.

mod bars;
mod client;
mod edn;
mod random;
mod store;
#[cfg(test)]
mod tests;
mod transactions;
mod violation;

use crate::history::formats::Specification;
use crate::history::{Event, EventBody, Key, Op, Outcome, ProcessId, Reply, Value};
pub use bars::{BARS, Bar};
use client::Client;
pub use edn::EdnWriter;
pub(crate) use random::Random;
use store::Store;
pub use transactions::transactions;

/// Whether it is a lock.
fn is_lock(model: Specification) -> bool {
    matches!(model, Specification::Mutex | Specification::OwnerMutex | Specification::FencedLock)
}

/// Whether a violation marks a key, on which no outcome is unknown, and not a value.
fn marks_keys(model: Specification) -> bool {
    use Specification as S;
    !matches!(model, S::Register | S::CasRegister | S::Kv | S::Append | S::Set)
}

/// The calls that a violation adds, at most.
fn woven(model: Specification) -> u64 {
    if is_lock(model) { 6 } else { 4 }
}

impl Violation {
    /// Whether it means something for this model.
    fn is_known_to(self, model: Specification) -> bool {
        use Specification as S;
        match self {
            Violation::Stale => true,
            Violation::Lost => !is_lock(model),
            Violation::Reordered => {
                !matches!(model, S::Counter | S::UnorderedQueue | S::Mutex | S::OwnerMutex)
            }
        }
    }
}

/// Which values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Each one once.
    Unique,
    /// These many, again and again.
    Few(u32),
}

/// What is wrong with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// One read shows what the key held before an acknowledged change.
    Stale,
    /// An acknowledged change never takes effect.
    Lost,
    /// Two changes that were made one after the other take effect in the opposite order.
    Reordered,
}

/// What to generate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The kind of store.
    pub model: Specification,
    /// How many calls.
    pub operations: u64,
    /// How many clients call at once.
    pub clients: u32,
    /// The share of calls whose outcome is unknown, from 0 to 1.
    pub unknown: f64,
    /// How many keys.
    pub keys: u32,
    /// Which values.
    pub values: Values,
    /// What is wrong.
    pub violation: Option<Violation>,
    /// Where the choices come from.
    pub seed: u64,
}

/// Why nothing can be generated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Impossible(pub String);

/// What was generated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Why it is not linearizable, if it is not: the calls that prove it.
    pub violation: Option<String>,
    /// How many calls there are.
    pub operations: u64,
    /// Of these, how many have an unknown outcome.
    pub unknown: u64,
}

impl Settings {
    /// Whether such a history exists.
    pub fn check(&self) -> Result<(), Impossible> {
        let refuse = |why: &str| Err(Impossible(why.to_owned()));
        if self.clients == 0 || self.keys == 0 || self.operations == 0 {
            return refuse("there must be at least one operation, one client and one key");
        }
        if !(0.0..=1.0).contains(&self.unknown) {
            return refuse("the share of unknown outcomes is from 0% to 100%");
        }
        match self.violation {
            Some(violation) if !violation.is_known_to(self.model) => {
                return refuse("this violation means nothing for this model; try stale");
            }
            _ => {}
        }
        match (self.values, self.violation) {
            (Values::Few(0), _) => refuse("there must be at least one value"),
            (Values::Few(1), Some(_)) => {
                refuse("a violation needs two values: with one, every read is explained")
            }
            (_, Some(_)) if self.operations < woven(self.model) => {
                refuse("a violation needs at least 4 operations, and of a lock 6")
            }
            _ => Ok(()),
        }
    }
}

/// Generates a history and hands out its events one by one, oldest first.
pub fn generate(settings: &Settings, sink: &mut dyn FnMut(&Event)) -> Result<Truth, Impossible> {
    settings.check()?;
    let mut simulation = Simulation::new(settings, sink);
    let plain = settings.operations - if settings.violation.is_some() { woven(settings.model) } else { 0 };
    let at = simulation.random.below(plain + 1);
    let mut told = None;
    while simulation.invoked < at {
        simulation.step(settings.operations);
    }
    if let Some(violation) = settings.violation {
        told = Some(simulation.weave(violation));
    }
    while simulation.invoked < settings.operations {
        simulation.step(settings.operations);
    }
    for client in 0..simulation.clients.len() {
        simulation.finish(client);
    }
    Ok(Truth { violation: told, operations: simulation.invoked, unknown: simulation.unknown })
}

/// The store, its clients, and what they have done so far.
struct Simulation<'s> {
    settings: &'s Settings,
    sink: &'s mut dyn FnMut(&Event),
    random: Random,
    keys: Vec<Key>,
    store: Store,
    clients: Vec<Client>,
    /// Calls of unknown outcome that may yet take effect.
    late: Vec<Op>,
    /// The values that no call of unknown outcome puts.
    marked: Vec<Value>,
    /// The key on which no outcome is unknown.
    marked_key: Option<Key>,
    /// The values that the calls of a violation put.
    pair: [Value; 2],
    time: u64,
    fresh: i64,
    next_process: u64,
    invoked: u64,
    unknown: u64,
}

/// How many calls may wait to take effect after their client gave up; the oldest are forgotten first.
const LATE: usize = 16;

impl<'s> Simulation<'s> {
    fn new(settings: &'s Settings, sink: &'s mut dyn FnMut(&Event)) -> Self {
        let clients = u64::from(settings.clients);
        let mut random = Random::new(settings.seed);
        let keys: Vec<Key> = (0..settings.keys).map(|key| Key::new(key.to_string())).collect();
        let marks_key = settings.violation.is_some() && marks_keys(settings.model);
        let marked_key = marks_key.then(|| keys[random.below(keys.len() as u64) as usize].clone());
        let (marked, other) = match settings.values {
            // A set shows an element that was added twice once, so its marked ones are of their own; and so are those of
            // models where a key is marked.
            Values::Few(n) if settings.model == Specification::Set || marks_keys(settings.model) => {
                (i64::from(n), i64::from(n) + 1)
            }
            Values::Few(n) => (i64::from(n) - 1, i64::from(n) - 2),
            Values::Unique => (-1, -2),
        };
        let count = match (settings.violation, settings.model) {
            (None, _) => 0,
            (Some(Violation::Reordered), Specification::Append) => 2,
            (Some(_), _) => 1,
        };
        Simulation {
            settings,
            sink,
            random,
            keys,
            store: Store::new(settings.model, settings.keys),
            clients: (0..clients).map(|process| Client::new(ProcessId(process))).collect(),
            late: Vec::new(),
            marked: [marked, other].map(Value::Int).into_iter().take(count).collect(),
            pair: [marked, other].map(Value::Int),
            marked_key,
            time: 0,
            fresh: 0,
            next_process: clients,
            invoked: 0,
            unknown: 0,
        }
    }

    fn emit(&mut self, process: ProcessId, body: EventBody) {
        self.time += 1 + self.random.below(100_000);
        (self.sink)(&Event { time: self.time, process, node: None, body });
    }

    /// Lets one client go on; none invokes once `until` calls were made.
    fn step(&mut self, until: u64) {
        if !self.late.is_empty() && self.random.chance(0.05) {
            let at = self.random.below(self.late.len() as u64) as usize;
            let op = self.late.swap_remove(at);
            self.store.apply(&op);
        }
        let client = self.random.below(self.clients.len() as u64) as usize;
        match (&self.clients[client].open, self.invoked < until) {
            (None, true) => {
                let op = self.op(client);
                self.invoke(client, op);
            }
            (None, false) => {}
            (Some(_), _) => self.advance(client),
        }
    }

    fn invoke(&mut self, client: usize, op: Op) {
        self.invoked += 1;
        let process = self.clients[client].process;
        self.emit(process, EventBody::Invoke(op.clone()));
        self.clients[client].invoke(op);
    }

    /// Takes the open call of a client one step further: to its effect, or to its end.
    fn advance(&mut self, client: usize) {
        let Some(open) = &mut self.clients[client].open else { return };
        if open.reply.is_none() && !open.doomed {
            // A client that is about to give up may do so before its call takes effect.
            let doomed = self.random.chance(self.settings.unknown);
            let may_be = store::puts(&open.op).is_none_or(|value| !self.marked.contains(value))
                && self.marked_key.as_ref() != Some(open.op.key());
            if doomed && may_be {
                open.doomed = true;
                // A lock that nobody ever gives back would be the end of the history.
                let (never, at_once) = (open.op.name() == "acquire", open.op.name() == "release");
                if never {
                    return;
                }
                if at_once || self.random.chance(0.5) {
                    self.store.apply(&open.op);
                } else if !open.op.is_read() {
                    self.late.push(open.op.clone());
                    if self.late.len() > LATE {
                        self.late.remove(0);
                    }
                }
            } else {
                open.reply = Some(self.store.apply(&open.op));
            }
            return;
        }
        let reply = open.reply.take();
        self.complete(client, reply);
    }

    fn complete(&mut self, client: usize, reply: Option<Reply>) {
        let process = self.clients[client].process;
        if let Some(open) = &self.clients[client].open {
            self.clients[client].holds = match (open.op.name(), &reply) {
                ("acquire", Some(Reply::Done | Reply::Value(_))) => Some(open.op.key().clone()),
                _ => None,
            };
        }
        let outcome = match reply {
            // The lock was not free.
            Some(Reply::Mismatch(_)) if is_lock(self.settings.model) => Outcome::Failed("not now".to_owned()),
            Some(reply) => {
                self.clients[client].saw(&reply);
                Outcome::Ok(reply)
            }
            None => {
                self.unknown += 1;
                // A client goes on under a new name, since the old one's call may still be on its way.
                self.clients[client].process = ProcessId(self.next_process);
                self.next_process += 1;
                Outcome::Unknown("timeout".to_owned())
            }
        };
        self.clients[client].open = None;
        self.emit(process, EventBody::Complete(outcome));
    }

    /// Takes a client to the end of its call.
    fn finish(&mut self, client: usize) {
        while self.clients[client].open.is_some() {
            self.advance(client);
        }
    }

    /// The next call of a client.
    fn op(&mut self, client: usize) -> Op {
        let key = self.keys[self.random.below(self.keys.len() as u64) as usize].clone();
        if marks_keys(self.settings.model) {
            return self.other(client, key);
        }
        let kinds = match self.settings.model {
            Specification::CasRegister => 3,
            Specification::Kv => 8,
            _ => 2,
        };
        let kind = self.random.below(kinds);
        match (self.settings.model, kind) {
            (Specification::Set, 0) => Op::Members { key },
            (_, 0) => Op::Read { key },
            (Specification::Append, _) => Op::Append { key, value: self.value() },
            (Specification::Set, _) => Op::Add { key, value: self.value() },
            (Specification::Kv, 1..=3) => Op::Read { key },
            (Specification::Kv, 4) => Op::Delete { key },
            (Specification::CasRegister | Specification::Kv, 2 | 5) => {
                let expected = match &self.clients[client].seen {
                    // What a client saw last is a guess that often is right.
                    Some((seen_key, seen)) if *seen_key == key => seen.clone(),
                    _ => self.store.peek(&key),
                };
                Op::Cas { key, expected, new: self.value() }
            }
            _ => Op::Write { key, value: self.value() },
        }
    }

    /// The next call of a client, in a model with words of its own.
    fn other(&mut self, client: usize, key: Key) -> Op {
        let call = |function: &str, key, argument| Op::Other { key, function: function.into(), argument };
        let kind = self.random.below(2);
        match self.settings.model {
            Specification::Counter if kind == 0 => Op::Read { key },
            Specification::Counter => {
                let by = match self.settings.values {
                    Values::Unique => 1,
                    Values::Few(n) => 1 + self.random.below(u64::from(n)) as i64,
                };
                call("add", key, Value::Int(by))
            }
            Specification::MultiRegister => {
                let value = self.value();
                call("txn", key, store::pair_of(kind == 0, &value, &value))
            }
            Specification::Mutex if self.store.is_held(&key) && kind == 0 => call("release", key, Value::Nil),
            Specification::Mutex => call("acquire", key, Value::Nil),
            Specification::OwnerMutex | Specification::FencedLock => {
                let owner = Value::Int(self.clients[client].process.0 as i64);
                match self.clients[client].holds.clone() {
                    Some(held) => call("release", held, owner),
                    None => call("acquire", key, owner),
                }
            }
            _ if kind == 0 => call("dequeue", key, Value::Nil),
            _ => {
                let value = self.value();
                call("enqueue", key, value)
            }
        }
    }

    /// A value for a call of the simulation's own.
    fn value(&mut self) -> Value {
        match self.settings.values {
            Values::Unique => {
                self.fresh += 1;
                Value::Int(self.fresh)
            }
            Values::Few(n) => Value::Int(self.random.below(u64::from(n)) as i64),
        }
    }
}
