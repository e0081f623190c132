//! Histories of a store that is right by construction: no property may accuse it, whatever outcomes stay unknown.
//!
//! The store is one value per key, changed at one instant between call and return; a call whose outcome the client never
//! learns may take effect at any later instant, also among the final reads, or never. The twin test takes an acknowledged
//! update away again, and that must be found wherever nothing else explains it.

use std::collections::BTreeMap;

use checker::history::{Event, EventBody, History, Key, Op, Outcome, ProcessId, Reply, Value};
use checker::params::Params;
use checker::properties::{self, Run};
use checker::trace::Trace;
use checker::verdict::{Budget, Verdict};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Register,
    List,
    Set,
}

struct Open {
    process: u64,
    op: Op,
    /// The answer, once it took effect.
    reply: Option<Reply>,
}

struct World {
    rng: ChaCha8Rng,
    kind: Kind,
    state: BTreeMap<Key, Value>,
    open: Vec<Option<Open>>,
    /// Calls that their clients gave up and that may still take effect.
    ghosts: Vec<Op>,
    processes: Vec<u64>,
    next_value: i64,
    events: Vec<Event>,
}

impl World {
    fn new(seed: u64, kind: Kind) -> Self {
        let clients = 4;
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            kind,
            state: BTreeMap::new(),
            open: (0..clients).map(|_| None).collect(),
            ghosts: Vec::new(),
            processes: (0..clients as u64).collect(),
            next_value: 0,
            events: Vec::new(),
        }
    }

    fn below(&mut self, n: usize) -> usize {
        (self.rng.next_u64() % n as u64) as usize
    }

    fn event(&mut self, process: u64, body: EventBody) {
        let time = self.events.len() as u64;
        self.events.push(Event { time, process: ProcessId(process), node: None, body });
    }

    fn op(&mut self) -> Op {
        let key = Key::new(["a", "b"][self.below(2)]);
        self.next_value += 1;
        let value = Value::Int(self.next_value);
        match (self.kind, self.below(10)) {
            (Kind::Set, 0..4) => Op::Members { key },
            (_, 0..4) => Op::Read { key },
            (Kind::Set, _) => Op::Add { key, value },
            (Kind::List, _) => Op::Append { key, value },
            (Kind::Register, 4..7) => Op::Write { key, value },
            (Kind::Register, 7..9) => {
                // Often what is there, sometimes what was, rarely nil.
                let expected = match self.below(4) {
                    0 => Value::Int(1 + self.below(self.next_value as usize) as i64),
                    1 if self.below(4) == 0 => Value::Nil,
                    _ => self.state.get(&key).cloned().unwrap_or(Value::Nil),
                };
                Op::Cas { key, expected, new: value }
            }
            (Kind::Register, _) => Op::Delete { key },
        }
    }

    /// Lets a call take effect.
    fn apply(&mut self, op: &Op) -> Reply {
        let now = self.state.get(op.key()).cloned().unwrap_or(Value::Nil);
        let collected = |mut items: Vec<Value>, value: &Value| {
            items.push(value.clone());
            Value::List(items)
        };
        let items = |value: Value| match value {
            Value::List(items) => items,
            _ => Vec::new(),
        };
        let (next, reply) = match op {
            Op::Read { .. } => return Reply::Value(now),
            Op::Members { .. } => return Reply::Value(Value::List(items(now))),
            Op::Write { value, .. } => (value.clone(), Reply::Done),
            Op::Delete { .. } => (Value::Nil, Reply::Done),
            Op::Cas { expected, new, .. } if *expected == now => (new.clone(), Reply::Done),
            Op::Cas { .. } => return Reply::Mismatch((self.below(2) == 0).then_some(now)),
            Op::Append { value, .. } | Op::Add { value, .. } => (collected(items(now), value), Reply::Done),
            Op::Other { function, .. } => panic!("nobody asks for a {function} here"),
        };
        self.state.insert(op.key().clone(), next);
        reply
    }

    fn ghost(&mut self) {
        if !self.ghosts.is_empty() && self.below(3) == 0 {
            let at = self.below(self.ghosts.len());
            let op = self.ghosts.swap_remove(at);
            self.apply(&op);
        }
    }

    fn step(&mut self) {
        self.ghost();
        let client = self.below(self.open.len());
        let Some(mut open) = self.open[client].take() else {
            let (process, op) = (self.processes[client], self.op());
            self.event(process, EventBody::Invoke(op.clone()));
            self.open[client] = Some(Open { process, op, reply: None });
            return;
        };
        let outcome = match (open.reply.take(), self.below(12)) {
            (None, 0) => Outcome::Failed("refused".to_owned()),
            (None, 1) if !open.op.is_read() => {
                self.ghosts.push(open.op.clone());
                Outcome::Unknown("timed out".to_owned())
            }
            (None, 2..7) => {
                let reply = self.apply(&open.op);
                self.open[client] = Some(Open { reply: Some(reply), ..open });
                return;
            }
            (None, _) => {
                self.open[client] = Some(open);
                return;
            }
            (Some(_), 0) if !open.op.is_read() => Outcome::Unknown("cut off".to_owned()),
            (Some(reply), _) => Outcome::Ok(reply),
        };
        if matches!(outcome, Outcome::Unknown(_)) {
            self.processes[client] += self.processes.len() as u64;
        }
        self.event(open.process, EventBody::Complete(outcome));
    }

    /// Plays a run with final reads; `damage` may change the state before those.
    fn play(mut self, steps: usize, damage: impl FnOnce(&mut Self)) -> (History, usize) {
        for _ in 0..steps {
            self.step();
        }
        damage(&mut self);
        let from = self.events.len();
        for key in ["a", "b"].map(Key::new) {
            let process = 1_000_000;
            let op = if self.kind == Kind::Set { Op::Members { key } } else { Op::Read { key } };
            self.event(process, EventBody::Invoke(op.clone()));
            self.ghost();
            let reply = self.apply(&op);
            self.ghost();
            self.event(process, EventBody::Complete(Outcome::Ok(reply)));
        }
        (History { events: self.events }, from)
    }
}

fn judge(name: &str, history: &History, from: usize) -> Verdict {
    let run = Run { history, final_reads_from: Some(from), trace: &Trace::default() };
    let budget = Budget { expired: &|| false, memory_bytes: 1 << 28 };
    (properties::find(name).unwrap().judge)(&run, &Params::default(), &budget)
}

const RUNS: u64 = 400;

#[test]
fn an_honest_store_is_never_accused() {
    for kind in [Kind::Register, Kind::List, Kind::Set] {
        for seed in 0..RUNS {
            let (history, from) = World::new(seed, kind).play(60 + seed as usize % 60, |_| {});
            for name in ["linearizable", "lost-commits"] {
                let verdict = judge(name, &history, from);
                assert!(
                    matches!(verdict, Verdict::Holds(_)),
                    "seed {seed}, {name}: {verdict:?}\n{history:#?}"
                );
            }
        }
    }
}

#[test]
fn what_was_taken_away_is_missed() {
    for kind in [Kind::Register, Kind::List, Kind::Set] {
        let mut found = [0; 2];
        for seed in 0..RUNS {
            // A last write that is acknowledged and then gone, and no ghost that could explain what is left.
            let (history, from) = World::new(seed, kind).play(80, |world| {
                let before = world.state.clone();
                world.ghosts.clear();
                let (key, value) = (Key::new("a"), Value::Int(-1));
                let op = match kind {
                    Kind::Register => Op::Write { key, value },
                    Kind::List => Op::Append { key, value },
                    Kind::Set => Op::Add { key, value },
                };
                world.event(2_000_000, EventBody::Invoke(op));
                world.event(2_000_000, EventBody::Complete(Outcome::Ok(Reply::Done)));
                world.state = before;
            });
            for (count, name) in found.iter_mut().zip(["linearizable", "lost-commits"]) {
                *count += u64::from(matches!(judge(name, &history, from), Verdict::Violated(_)));
            }
        }
        // In a register an open call may explain the old value; a list or a set has no such excuse.
        let least = if kind == Kind::Register { RUNS / 4 } else { RUNS };
        assert!(found.iter().all(|&count| count >= least), "{found:?} of {RUNS}");
    }
}
