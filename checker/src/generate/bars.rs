//! The histories that the checker is measured by, from easy to hard, each with the time that it should take at most.
//!
//! Invariant: a case is made from a fixed seed, so that a figure means the same on every host. What they are measured with is
//! elsewhere: `raftcheck bench checker`, and the benchmark `bars` of this crate. Lacks histories of transactions and those
//! that are worth a file, which are measured from their files.

use super::{Random, Settings, Values, Violation, generate};
use crate::history::formats::Specification;
use crate::history::{Event, EventBody, History, Key, Op, Outcome, ProcessId, Reply, Value};

/// One case.
pub struct Bar {
    /// What it is.
    pub name: &'static str,
    /// The most milliseconds that its judgement should take on a machine of 2020 or so; infinite where nothing is asked.
    pub most_ms: f64,
    make: fn() -> History,
}

impl Bar {
    /// The history.
    pub fn history(&self) -> History {
        (self.make)()
    }
}

const SEED: u64 = 7;

/// The cases.
pub const BARS: [Bar; 13] = [
    Bar {
        name: "register, 300 ops, 20 unknown, one stale read",
        most_ms: 1.0,
        make: || unique(300, 10, 20.0 / 300.0, Some(Violation::Stale)),
    },
    Bar { name: "register, 1,000 ops, 25 clients", most_ms: 0.2, make: || unique(1_000, 25, 0.0, None) },
    Bar {
        name: "CAS, 5 values, 1,000 ops, 25 clients",
        most_ms: 15.0,
        make: || few(Specification::CasRegister, 1_000, 25, 0.0),
    },
    Bar {
        name: "CAS, 5 values, 10,000 ops, 10 clients, 5 % unknown",
        most_ms: 200.0,
        make: || few(Specification::CasRegister, 10_000, 10, 0.05),
    },
    Bar {
        name: "CAS, 5 values, 10,000 ops, 5 clients",
        most_ms: f64::INFINITY,
        make: || few(Specification::CasRegister, 10_000, 5, 0.0),
    },
    Bar {
        name: "register, 5 values, 10,000 ops, 5 clients",
        most_ms: f64::INFINITY,
        make: || few(Specification::Register, 10_000, 5, 0.0),
    },
    Bar { name: "KV, 10 keys, deletes, 10,000 ops, 50 clients, 5 % unknown", most_ms: 50.0, make: key_value },
    Bar { name: "CAS, 5 values, 100,000 ops, 50 clients", most_ms: 60e3, make: || hard(0.0, None) },
    Bar { name: "  and 1 % unknown", most_ms: 60e3, make: || hard(0.01, None) },
    Bar { name: "  and 5 % unknown", most_ms: 60e3, make: || hard(0.05, None) },
    Bar { name: "  and one stale read", most_ms: 60e3, make: || hard(0.0, Some(Violation::Stale)) },
    Bar {
        name: "  and 5 % unknown, one stale read",
        most_ms: 60e3,
        make: || hard(0.05, Some(Violation::Stale)),
    },
    Bar {
        name: "  and 5 % unknown, one lost write",
        most_ms: 60e3,
        make: || hard(0.05, Some(Violation::Lost)),
    },
];

fn made(settings: &Settings) -> History {
    let mut events = Vec::new();
    // The settings are those of this file, and possible.
    let _ = generate(settings, &mut |event| events.push(event.clone()));
    History { events }
}

fn unique(operations: u64, clients: u32, unknown: f64, violation: Option<Violation>) -> History {
    let model = Specification::Register;
    let values = Values::Unique;
    made(&Settings { model, operations, clients, unknown, keys: 1, values, violation, seed: SEED })
}

fn few(model: Specification, operations: u64, clients: u32, unknown: f64) -> History {
    let values = Values::Few(5);
    made(&Settings { model, operations, clients, unknown, keys: 1, values, violation: None, seed: SEED })
}

fn hard(unknown: f64, violation: Option<Violation>) -> History {
    let (model, operations, clients) = (Specification::CasRegister, 100_000, 50);
    let values = Values::Few(5);
    made(&Settings { model, operations, clients, unknown, keys: 1, values, violation, seed: SEED })
}

/// An open call: the number of its key, what was asked, and the answer once it took effect.
type Asked = (usize, Op, Option<Reply>);

/// Fifty clients on ten keys: gets, puts of few values, deletes and CAS, each of which takes effect halfway.
fn key_value() -> History {
    const OPERATIONS: usize = 10_000;
    let mut random = Random::new(SEED);
    let mut below = |n: usize| random.below(n as u64) as usize;
    let (mut events, mut invoked, mut next_process) = (Vec::new(), 0, 50);
    let mut state = vec![Value::Nil; 10];
    let mut clients: Vec<(u64, Option<Asked>)> = (0..50).map(|id| (id, None)).collect();
    while invoked < OPERATIONS || clients.iter().any(|client| client.1.is_some()) {
        let (process, open) = &mut clients[below(50)];
        let mut event = |process: u64, body| {
            let time = events.len() as u64;
            events.push(Event { time, process: ProcessId(process), node: None, body });
        };
        match open.take() {
            None if invoked == OPERATIONS => {}
            None => {
                invoked += 1;
                let at = below(10);
                let key = Key::new(at.to_string());
                let value = Value::Int(below(1_000) as i64);
                let op = match below(10) {
                    0..4 => Op::Read { key },
                    4..7 => Op::Write { key, value },
                    7 => Op::Delete { key },
                    8 => Op::Cas { key, expected: state[at].clone(), new: value },
                    _ => Op::Cas { key, expected: Value::Int(below(1_000) as i64), new: value },
                };
                event(*process, EventBody::Invoke(op.clone()));
                *open = Some((at, op, None));
            }
            Some((at, op, None)) => {
                let reply = applied(&op, &mut state[at]);
                *open = Some((at, op, Some(reply)));
            }
            Some((_, op, Some(reply))) => {
                let lost = !op.is_read() && below(20) == 0;
                let outcome = if lost { Outcome::Unknown("timeout".to_owned()) } else { Outcome::Ok(reply) };
                event(*process, EventBody::Complete(outcome));
                if lost {
                    *process = next_process;
                    next_process += 1;
                }
            }
        }
    }
    History { events }
}

fn applied(op: &Op, state: &mut Value) -> Reply {
    match op {
        Op::Write { value, .. } => *state = value.clone(),
        Op::Delete { .. } => *state = Value::Nil,
        Op::Cas { expected, .. } if expected != state => return Reply::Mismatch(None),
        Op::Cas { new, .. } => *state = new.clone(),
        _ => return Reply::Value(state.clone()),
    }
    Reply::Done
}
