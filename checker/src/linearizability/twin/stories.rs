//! How the histories of the [twin](super) are made up: what clients of each model call, and what they may be told.

use super::Owned;
use crate::generate::Random;
use crate::history::{Key, Op, Reply, Value};
use crate::linearizability::OPEN;
use crate::model::{
    Batch, Class, Counter, FencedLock, FifoQueue, GrowSet, List, Model, MultiRegister, Mutex, OwnerMutex,
    Register, UnorderedQueue,
};

/// What is the same for all calls of one history.
pub(super) struct Circumstances {
    /// Values are used once each.
    unique: bool,
    /// ... or there are so many.
    domain: u64,
    /// How likely an outcome gets lost, in eighths.
    lost: u64,
    /// How likely an answer is falsified, in sixteenths.
    lies: u64,
    /// One more choice of the model.
    variant: u64,
}

/// How calls of a model are made up.
pub(super) trait Told<T>: Model {
    /// A call by this process, the n-th of the history.
    fn call(&self, taste: T, process: u64, n: u64, about: &Circumstances, random: &mut Random) -> Op;

    /// What it could answer in this state.
    fn answers(&self, state: &Self::State, op: &Op) -> Vec<Reply>;

    /// What it could answer at all.
    fn falsehood(&self, op: &Op, n: u64, random: &mut Random) -> Reply;
}

/// What histories are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// So few calls that all orders can be tried, some with false answers.
    Small,
    /// Up to a hundred and more, with true answers only: these hold because of how they are made.
    LargeAndHonest,
}

/// A history, and the order in which its calls took effect, by their positions. With false answers that order may
/// explain nothing.
pub(super) fn story<M: Told<T>, T: Copy>(
    model: &M,
    taste: T,
    extent: Extent,
    random: &mut Random,
) -> (Vec<Owned>, Vec<usize>) {
    let honest = extent == Extent::LargeAndHonest;
    let mut about = Circumstances {
        unique: random.below(2) == 0,
        domain: 1 + random.below(3),
        lost: random.below(4),
        lies: [0, 2, 4, 8][random.below(4) as usize],
        variant: random.below(4),
    };
    let (mut n, mut clients) = (1 + random.below(8), 1 + random.below(4));
    if honest {
        about.lies = 0;
        (n, clients) = (10 + random.below(120), 1 + random.below(8));
        // Many unknown calls of few values are what makes the search exponential; some histories have them all the same.
        about.lost = about.lost.min(random.below(4));
    }
    let mut free = vec![1; clients as usize];
    let mut owned: Vec<(u32, Owned)> = Vec::new();
    // After an unknown outcome a process goes on under another name.
    let mut names: Vec<u64> = (0..free.len() as u64).collect();
    for fresh in 1..=n {
        let process = random.below(free.len() as u64) as usize;
        let call = free[process] + random.below(3) as u32;
        let ret = call + random.below(5) as u32;
        let op = model.call(taste, names[process], fresh, &about, random);
        let unknown = random.below(8) < about.lost && model.class(&op) != Some(Class::ReadOnly);
        let point = call + random.below(u64::from(ret - call) + 1) as u32;
        match unknown {
            true => {
                names[process] += free.len() as u64;
                free[process] = call + 1;
                // It takes effect, if it does, at any later time.
                let point = point + random.below(8) as u32;
                owned.push((point, Owned { op, reply: None, call, ret: OPEN }));
            }
            false => {
                free[process] = ret + 1 + random.below(2) as u32;
                owned.push((point, Owned { op, reply: Some(Reply::Done), call, ret }));
            }
        }
    }
    owned.sort_by_key(|(point, _)| *point);
    let mut state = model.initial();
    // With the place in the order of those that took effect.
    let mut told: Vec<(Owned, Option<usize>)> = Vec::new();
    for (_, mut call) in owned {
        if call.ret == OPEN {
            let next = model.step(&state, &call.op, None).filter(|_| random.below(2) == 0);
            told.push((call, next.is_some().then_some(told.len())));
            state = next.unwrap_or(state);
            continue;
        }
        let answers: Vec<Reply> = model
            .answers(&state, &call.op)
            .into_iter()
            .filter(|reply| model.step(&state, &call.op, Some(reply)).is_some())
            .collect();
        let lies = random.below(16) < about.lies;
        call.reply = match answers.len() as u64 {
            0 if honest || (!lies && random.below(4) > 0) => continue,
            0 => Some(model.falsehood(&call.op, n, random)),
            count => {
                let reply = answers[random.below(count) as usize].clone();
                state = model.step(&state, &call.op, Some(&reply)).unwrap_or(state);
                Some(if lies { model.falsehood(&call.op, n, random) } else { reply })
            }
        };
        told.push((call, Some(told.len())));
    }
    told.sort_by_key(|(call, _)| call.call);
    let mut order: Vec<usize> = (0..told.len()).filter(|&at| told[at].1.is_some()).collect();
    order.sort_by_key(|&at| told[at].1);
    (told.into_iter().map(|(call, _)| call).collect(), order)
}

fn key() -> Key {
    Key::new("k")
}

fn int(n: u64) -> Value {
    Value::Int(n as i64)
}

fn other(function: &str, argument: Value) -> Op {
    Op::Other { key: key(), function: function.into(), argument }
}

impl Circumstances {
    fn value(&self, n: u64, random: &mut Random) -> Value {
        if self.unique { int(n) } else { int(1 + random.below(self.domain)) }
    }
}

/// Which operations a register knows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    NoCas,
    Cas,
    Deletes,
}

impl Told<Scalar> for Register {
    fn call(&self, taste: Scalar, _: u64, n: u64, about: &Circumstances, random: &mut Random) -> Op {
        let key = key();
        match (random.below(8), taste) {
            (0..=2, _) => Op::Read { key },
            (5..=6, Scalar::Cas | Scalar::Deletes) => {
                let expected = match (random.below(4), about.unique) {
                    (0, _) => Value::Nil,
                    (_, true) => int(1 + random.below(n)),
                    (_, false) => int(1 + random.below(about.domain)),
                };
                Op::Cas { key, expected, new: about.value(n, random) }
            }
            (7, Scalar::Deletes) => Op::Delete { key },
            _ => Op::Write { key, value: about.value(n, random) },
        }
    }

    fn answers(&self, state: &Value, op: &Op) -> Vec<Reply> {
        match op {
            Op::Read { .. } => vec![Reply::Value(state.clone())],
            Op::Cas { .. } => {
                vec![Reply::Done, Reply::Mismatch(None), Reply::Mismatch(Some(state.clone()))]
            }
            _ => vec![Reply::Done],
        }
    }

    fn falsehood(&self, op: &Op, n: u64, random: &mut Random) -> Reply {
        let value = match random.below(n + 1) {
            0 => Value::Nil,
            value => int(value),
        };
        match (op, random.below(3)) {
            (Op::Read { .. }, _) => Reply::Value(value),
            (Op::Cas { .. }, 0) => Reply::Mismatch(None),
            (Op::Cas { .. }, 1) => Reply::Mismatch(Some(value)),
            _ => Reply::Done,
        }
    }
}

impl Told<()> for List {
    fn call(&self, _: (), _: u64, n: u64, about: &Circumstances, random: &mut Random) -> Op {
        match random.below(2) {
            0 => Op::Read { key: key() },
            _ => Op::Append { key: key(), value: about.value(n, random) },
        }
    }

    fn answers(&self, state: &Value, op: &Op) -> Vec<Reply> {
        match op {
            Op::Read { .. } => vec![Reply::Value(state.clone())],
            _ => vec![Reply::Done],
        }
    }

    fn falsehood(&self, op: &Op, n: u64, random: &mut Random) -> Reply {
        let items = (0..random.below(4)).map(|_| int(1 + random.below(n))).collect();
        if op.is_read() { Reply::Value(Value::List(items)) } else { Reply::Done }
    }
}

impl Told<()> for GrowSet {
    fn call(&self, _: (), _: u64, n: u64, about: &Circumstances, random: &mut Random) -> Op {
        match random.below(2) {
            0 => Op::Members { key: key() },
            _ => Op::Add { key: key(), value: about.value(n, random) },
        }
    }

    fn answers(&self, state: &Self::State, op: &Op) -> Vec<Reply> {
        match op {
            Op::Members { .. } => vec![Reply::Value(Value::List(state.iter().cloned().collect()))],
            _ => vec![Reply::Done],
        }
    }

    fn falsehood(&self, op: &Op, n: u64, random: &mut Random) -> Reply {
        List.falsehood(op, n, random)
    }
}

impl Told<()> for Counter {
    fn call(&self, _: (), _: u64, _: u64, about: &Circumstances, random: &mut Random) -> Op {
        let by = match about.variant {
            0 => 1,
            1 => 2,
            2 => 1 + random.below(3) as i64,
            _ => random.below(5) as i64 - 2,
        };
        match random.below(2) {
            0 => Op::Read { key: key() },
            _ => other("add", Value::Int(by)),
        }
    }

    fn answers(&self, state: &i128, op: &Op) -> Vec<Reply> {
        match op {
            Op::Read { .. } => vec![Reply::Value(Value::Int(*state as i64))],
            _ => vec![Reply::Done],
        }
    }

    fn falsehood(&self, op: &Op, n: u64, random: &mut Random) -> Reply {
        if op.is_read() { Reply::Value(Value::Int(random.below(n + 3) as i64 - 1)) } else { Reply::Done }
    }
}

fn passing(n: u64, about: &Circumstances, random: &mut Random) -> Op {
    match random.below(2) {
        0 => other("dequeue", Value::Nil),
        _ => other("enqueue", about.value(n, random)),
    }
}

fn taken(op: &Op, values: impl IntoIterator<Item = Value>) -> Vec<Reply> {
    match op.name() {
        "enqueue" => vec![Reply::Done],
        _ => values.into_iter().chain([Value::Nil]).map(Reply::Value).collect(),
    }
}

fn false_take(op: &Op, n: u64, random: &mut Random) -> Reply {
    match (op.name(), random.below(n + 1)) {
        ("enqueue", _) => Reply::Done,
        (_, 0) => Reply::Value(Value::Nil),
        (_, value) => Reply::Value(int(value)),
    }
}

impl Told<()> for FifoQueue {
    fn call(&self, _: (), _: u64, n: u64, about: &Circumstances, random: &mut Random) -> Op {
        passing(n, about, random)
    }

    fn answers(&self, state: &Self::State, op: &Op) -> Vec<Reply> {
        taken(op, state.front().cloned())
    }

    fn falsehood(&self, op: &Op, n: u64, random: &mut Random) -> Reply {
        false_take(op, n, random)
    }
}

impl Told<()> for UnorderedQueue {
    fn call(&self, _: (), _: u64, n: u64, about: &Circumstances, random: &mut Random) -> Op {
        passing(n, about, random)
    }

    fn answers(&self, state: &Self::State, op: &Op) -> Vec<Reply> {
        taken(op, state.iter().flat_map(Batch::values).cloned())
    }

    fn falsehood(&self, op: &Op, n: u64, random: &mut Random) -> Reply {
        false_take(op, n, random)
    }
}

fn turn(random: &mut Random) -> &'static str {
    ["acquire", "release"][random.below(2) as usize]
}

impl Told<()> for Mutex {
    fn call(&self, _: (), _: u64, _: u64, _: &Circumstances, random: &mut Random) -> Op {
        other(turn(random), Value::Nil)
    }

    fn answers(&self, _: &bool, _: &Op) -> Vec<Reply> {
        vec![Reply::Done]
    }

    fn falsehood(&self, _: &Op, _: u64, _: &mut Random) -> Reply {
        Reply::Done
    }
}

/// Mostly the process itself; at times a name that several share.
fn owner_of(process: u64, about: &Circumstances) -> Value {
    if about.variant == 0 { int(process % 2) } else { int(process) }
}

impl Told<()> for OwnerMutex {
    fn call(&self, _: (), process: u64, _: u64, about: &Circumstances, random: &mut Random) -> Op {
        other(turn(random), owner_of(process, about))
    }

    fn answers(&self, _: &Option<Value>, _: &Op) -> Vec<Reply> {
        vec![Reply::Done]
    }

    fn falsehood(&self, _: &Op, _: u64, _: &mut Random) -> Reply {
        Reply::Done
    }
}

impl Told<()> for FencedLock {
    fn call(&self, _: (), process: u64, _: u64, about: &Circumstances, random: &mut Random) -> Op {
        other(turn(random), owner_of(process, about))
    }

    fn answers(&self, state: &Self::State, op: &Op) -> Vec<Reply> {
        let last = state.last.unwrap_or(0);
        match op.name() {
            "acquire" => (1..3).map(|more| Reply::Value(Value::Int(last + more))).collect(),
            _ => vec![Reply::Done],
        }
    }

    fn falsehood(&self, op: &Op, n: u64, random: &mut Random) -> Reply {
        match (op.name(), random.below(n + 1)) {
            ("acquire", 0) | ("release", _) => Reply::Done,
            (_, token) => Reply::Value(int(token)),
        }
    }
}

impl MultiRegister {
    fn step_of(about: &Circumstances, n: u64, random: &mut Random) -> Value {
        let register = int(random.below(1 + about.variant.min(2)));
        let word = |word: &str| Value::Text(word.into());
        let parts = match random.below(8) {
            0..=3 => vec![word("r"), register, Value::Nil],
            4..=6 => vec![word("w"), register, about.value(n, random)],
            _ => vec![word("is"), register, about.value(n, random)],
        };
        Value::List(parts)
    }
}

impl Told<()> for MultiRegister {
    fn call(&self, _: (), _: u64, n: u64, about: &Circumstances, random: &mut Random) -> Op {
        let steps = (0..1 + random.below(2)).map(|_| Self::step_of(about, n, random)).collect();
        other("txn", Value::List(steps))
    }

    fn answers(&self, state: &Self::State, op: &Op) -> Vec<Reply> {
        let Op::Other { argument: Value::List(steps), .. } = op else { return Vec::new() };
        let mut state = state.clone();
        let told = steps.iter().map(|step| {
            let Value::List(parts) = step else { return step.clone() };
            let mut parts = parts.clone();
            match &parts[0] {
                Value::Text(word) if &**word == "r" => {
                    parts[2] = state.get(&parts[1]).cloned().unwrap_or_default();
                }
                Value::Text(word) if &**word == "w" => {
                    state.insert(parts[1].clone(), parts[2].clone());
                }
                _ => {}
            }
            Value::List(parts)
        });
        vec![Reply::Value(Value::List(told.collect())), Reply::Done]
    }

    fn falsehood(&self, op: &Op, n: u64, random: &mut Random) -> Reply {
        let Op::Other { argument: Value::List(steps), .. } = op else { return Reply::Done };
        let told = steps.iter().map(|step| {
            let Value::List(parts) = step else { return step.clone() };
            let mut parts = parts.clone();
            if parts[0] == Value::Text("r".into()) && random.below(3) > 0 {
                parts[2] = int(1 + random.below(n));
            }
            Value::List(parts)
        });
        Reply::Value(Value::List(told.collect()))
    }
}
