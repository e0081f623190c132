//! The calls of a violation. Why each is impossible stands with the [module](super) above.

use super::{Simulation, Violation, Violation::*};
use crate::generate::store;
use crate::history::formats::Specification;
use crate::history::{Key, Op, Reply, Value};

impl Simulation<'_> {
    /// Makes the calls of the violation, with others going on around them, and says what proves it.
    pub(super) fn weave(&mut self, violation: Violation) -> String {
        self.drain_marked();
        let writer = self.random.below(self.clients.len() as u64) as usize;
        let reader = self.random.below(self.clients.len() as u64) as usize;
        if let Some(key) = self.marked_key.clone() {
            return self.marked_key(violation, key, writer, reader);
        }
        let key = self.keys[self.random.below(self.keys.len() as u64) as usize].clone();
        match self.settings.model {
            Specification::Register | Specification::CasRegister | Specification::Kv => {
                self.register(violation, key, writer, reader)
            }
            Specification::Append => self.list(violation, key, writer, reader),
            _ => self.set(violation, key, writer, reader),
        }
    }

    fn marked_key(&mut self, violation: Violation, key: Key, writer: usize, reader: usize) -> String {
        for client in 0..self.clients.len() {
            if self.clients[client].open.as_ref().is_some_and(|open| *open.op.key() == key) {
                self.finish(client);
            }
        }
        match self.settings.model {
            Specification::Counter => self.counter(violation, key, writer, reader),
            Specification::MultiRegister => self.registers(violation, key, writer, reader),
            Specification::FifoQueue | Specification::UnorderedQueue => {
                self.queue(violation, key, writer, reader)
            }
            _ => self.lock(violation, key, writer, reader),
        }
    }

    fn counter(&mut self, violation: Violation, key: Key, writer: usize, reader: usize) -> String {
        let before = self.store.peek(&key);
        let add = other("add", &key, Value::Int(1));
        let lose = violation == Lost;
        self.call(writer, add, |s, op| if lose { Reply::Done } else { s.store.apply(op) });
        let seen = before.clone();
        self.call(reader, Op::Read { key: key.clone() }, move |_, _| Reply::Value(seen));
        format!("key {key}: an add of 1 to {before}, then a read -> {before}")
    }

    fn registers(&mut self, violation: Violation, key: Key, writer: usize, reader: usize) -> String {
        let [old, new] = self.pair.clone();
        let write = |value: &Value| other("txn", &key, store::pair_of(false, value, value));
        self.call(writer, write(&old), |s, op| s.store.apply(op));
        let lose = violation == Lost;
        self.call(writer, write(&new), |s, op| if lose { Reply::Done } else { s.store.apply(op) });
        let half = if violation == Reordered { new.clone() } else { old.clone() };
        let seen = store::pair_seen(&half, &old);
        self.call(reader, other("txn", &key, store::pair_of(true, &old, &old)), move |_, _| {
            Reply::Value(seen)
        });
        format!("key {key}: both written as {old}, then both as {new}, then read as {half} and {old}")
    }

    fn queue(&mut self, violation: Violation, key: Key, writer: usize, reader: usize) -> String {
        let [first, second] = self.pair.clone();
        let put = |value: &Value| other("enqueue", &key, value.clone());
        let take = || other("dequeue", &key, Value::Nil);
        self.call(writer, put(&first), |s, op| s.store.apply(op));
        match violation {
            Stale => {
                for _ in 0..2 {
                    self.call(reader, take(), |s, op| {
                        s.store.take(op.key(), &first);
                        Reply::Value(first.clone())
                    });
                }
                format!("key {key}: {first} was enqueued once and dequeued twice")
            }
            Lost => {
                self.store.take(&key, &first);
                self.call(reader, take(), |_, _| Reply::Value(Value::Nil));
                format!("key {key}: {first} was enqueued, and then nothing was found")
            }
            Reordered => {
                self.call(writer, put(&second), |s, op| s.store.apply(op));
                self.call(reader, take(), |s, op| {
                    s.store.take(op.key(), &second);
                    Reply::Value(second.clone())
                });
                format!(
                    "key {key}: {first} was enqueued, then {second}, and {second} was dequeued before {first}"
                )
            }
        }
    }

    fn lock(&mut self, violation: Violation, key: Key, writer: usize, reader: usize) -> String {
        // Whoever holds it gives it back first, in the right way.
        let holder = (0..self.clients.len()).find(|&at| self.clients[at].holds.as_ref() == Some(&key));
        if self.store.is_held(&key) {
            let by = holder.unwrap_or(writer);
            let release = self.turn("release", &key, by);
            self.call(by, release, |s, op| s.store.apply(op));
        }
        self.finish(writer);
        self.finish(reader);
        self.set_free(writer);
        self.set_free(reader);
        let acquire = self.turn("acquire", &key, writer);
        let mut token = Value::Nil;
        self.call(writer, acquire, |s, op| {
            let reply = s.store.apply(op);
            if let Reply::Value(told) = &reply {
                token = told.clone();
            }
            reply
        });
        if violation == Stale {
            let acquire = self.turn("acquire", &key, reader);
            self.call(reader, acquire, |_, _| match token {
                Value::Int(token) => Reply::Value(Value::Int(token + 1)),
                _ => Reply::Done,
            });
            // It is the first one's alone.
            if reader != writer {
                self.clients[reader].holds = None;
            }
            return format!("key {key}: acquired, and acquired again, with no release between");
        }
        let release = self.turn("release", &key, writer);
        self.call(writer, release, |s, op| s.store.apply(op));
        let acquire = self.turn("acquire", &key, reader);
        self.call(reader, acquire, |s, op| {
            s.store.apply(op);
            Reply::Value(token)
        });
        format!("key {key}: acquired, released, and acquired again with the token of before")
    }

    /// An acquire or release by this client.
    fn turn(&mut self, function: &str, key: &Key, client: usize) -> Op {
        let owner = match self.settings.model {
            Specification::Mutex => Value::Nil,
            _ => Value::Int(self.clients[client].process.0 as i64),
        };
        other(function, key, owner)
    }

    /// Lets a client give back the lock that it has.
    fn set_free(&mut self, client: usize) {
        if let Some(held) = self.clients[client].holds.clone() {
            let release = self.turn("release", &held, client);
            self.call(client, release, |s, op| s.store.apply(op));
        }
    }

    /// Lets every open call that puts a marked value end. None of them has an unknown outcome.
    fn drain_marked(&mut self) {
        for client in 0..self.clients.len() {
            let open = self.clients[client].open.as_ref();
            let marked =
                open.and_then(|open| store::puts(&open.op)).is_some_and(|value| self.marked.contains(value));
            if marked {
                self.finish(client);
            }
        }
    }

    /// One call of the violation, from its invocation to its end, and then a few steps of the others.
    fn call(&mut self, client: usize, op: Op, effect: impl FnOnce(&mut Self, &Op) -> Reply) {
        self.finish(client);
        self.invoke(client, op.clone());
        self.around(client);
        let reply = effect(self, &op);
        self.complete(client, Some(reply));
        self.around(client);
    }

    /// Lets other clients end what they have open: it is all that they may do, since the number of calls is given.
    fn around(&mut self, busy: usize) {
        for _ in 0..self.random.below(4) {
            let other = self.random.below(self.clients.len() as u64) as usize;
            if other != busy {
                self.advance(other);
            }
        }
    }

    fn register(&mut self, violation: Violation, key: Key, writer: usize, reader: usize) -> String {
        let [marked, other] = self.pair.clone();
        let write = |value: &Value| Op::Write { key: key.clone(), value: value.clone() };
        let read = || Op::Read { key: key.clone() };
        self.call(writer, write(&marked), |s, op| s.store.apply(op));
        let lose = violation == Lost;
        self.call(writer, write(&other), |s, op| if lose { Reply::Done } else { s.store.apply(op) });
        if violation == Reordered {
            let seen = other.clone();
            self.call(reader, read(), move |_, _| Reply::Value(seen));
            // The earlier write comes after the later one, and stays.
            self.store.apply(&write(&marked));
        }
        let seen = marked.clone();
        self.call(reader, read(), move |_, _| Reply::Value(seen));
        format!("key {key}: write {marked}, then write {other}, then a read -> {marked}")
    }

    fn list(&mut self, violation: Violation, key: Key, writer: usize, reader: usize) -> String {
        let [marked, other] = self.pair.clone();
        let append = |value: &Value| Op::Append { key: key.clone(), value: value.clone() };
        let read = Op::Read { key: key.clone() };
        let before = self.store.peek(&key);
        if violation == Reordered {
            self.call(writer, append(&marked), |_, _| Reply::Done);
            let late = append(&marked);
            self.call(writer, append(&other), move |s, op| {
                s.store.apply(op);
                s.store.apply(&late)
            });
            self.call(reader, read, |s, op| s.store.apply(op));
            return format!(
                "key {key}: append {marked}, then append {other}, then a read that shows {other} first"
            );
        }
        let lose = violation == Lost;
        self.call(writer, append(&marked), |s, op| if lose { Reply::Done } else { s.store.apply(op) });
        self.call(reader, read, |s, op| if lose { s.store.apply(op) } else { Reply::Value(before) });
        format!("key {key}: append {marked}, then a read that shows it one time too few")
    }

    fn set(&mut self, violation: Violation, key: Key, writer: usize, reader: usize) -> String {
        let [marked, other] = self.pair.clone();
        let add = |value: &Value| Op::Add { key: key.clone(), value: value.clone() };
        let members = || Op::Members { key: key.clone() };
        let before = self.store.peek(&key);
        match violation {
            Stale => {
                self.call(writer, add(&marked), |s, op| s.store.apply(op));
                self.call(reader, members(), |_, _| Reply::Value(before));
            }
            Lost => {
                self.call(writer, add(&marked), |_, _| Reply::Done);
                self.call(reader, members(), |s, op| s.store.apply(op));
            }
            Reordered => {
                self.call(writer, add(&marked), |_, _| Reply::Done);
                self.call(writer, add(&other), |s, op| s.store.apply(op));
                self.call(reader, members(), |s, op| s.store.apply(op));
                self.store.apply(&add(&marked));
            }
        }
        format!("key {key}: add {marked}, then a read that does not show it")
    }
}

fn other(function: &str, key: &Key, argument: Value) -> Op {
    Op::Other { key: key.clone(), function: function.into(), argument }
}
