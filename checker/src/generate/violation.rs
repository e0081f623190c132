//! The calls of a violation. Why each is impossible stands with the [module](super) above.

use super::{Model, Simulation, Violation, Violation::*};
use crate::generate::store;
use crate::history::{Key, Op, Reply, Value};

impl Simulation<'_> {
    /// Makes the calls of the violation, with others going on around them, and says what proves it.
    pub(super) fn weave(&mut self, violation: Violation) -> String {
        self.drain_marked();
        let writer = self.random.below(self.clients.len() as u64) as usize;
        let reader = self.random.below(self.clients.len() as u64) as usize;
        let key = self.keys[self.random.below(self.keys.len() as u64) as usize].clone();
        match self.settings.model {
            Model::Register | Model::CasRegister => self.register(violation, key, writer, reader),
            Model::Append => self.list(violation, key, writer, reader),
            Model::Set => self.set(violation, key, writer, reader),
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
