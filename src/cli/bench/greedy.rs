//! The textbook search for an order, to compare with: depth first over a list of calls and returns, the earliest call
//! first, with a memo of which calls took effect and what the register then held.
//!
//! It is here as a yardstick only and judges nothing: no verdict of raftcheck rests on it. It knows one register with
//! reads, writes and CAS, takes unknown outcomes for calls that return at the end, and drops reads without an answer. A
//! refused CAS is an observation.
//! References: Wing & Gong 1993; Lowe, Testing for Linearizability, 2017, section 2, which Porcupine follows.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use checker::history::{Key, Op, Operation, Reply, Value};

/// How a comparison ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// It decided.
    Decided,
    /// It took more than it was given.
    GaveUp,
}

/// One call or return in the list of those that have not taken effect.
#[derive(Clone, Copy)]
struct Node {
    call: usize,
    returns: bool,
    before: usize,
    after: usize,
}

struct List {
    /// The first one is a head without a call.
    nodes: Vec<Node>,
    /// By call: the nodes of its call and its return.
    of: Vec<(usize, usize)>,
}

impl List {
    fn new(calls: &[(u64, u64)]) -> List {
        let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(calls.len() * 2);
        for (at, &(call, ret)) in calls.iter().enumerate() {
            events.extend([(call, false, at), (ret, true, at)]);
        }
        events.sort_unstable();
        let end = events.len();
        let mut nodes = vec![Node { call: usize::MAX, returns: false, before: 0, after: 1 }];
        let mut of = vec![(0, 0); calls.len()];
        for (position, &(_, returns, call)) in events.iter().enumerate() {
            let this = position + 1;
            let after = if this == end { 0 } else { this + 1 };
            nodes.push(Node { call, returns, before: position, after });
            if returns {
                of[call].1 = this;
            } else {
                of[call].0 = this;
            }
        }
        if end == 0 {
            nodes[0].after = 0;
        }
        List { nodes, of }
    }

    fn unlink(&mut self, at: usize) {
        let Node { before, after, .. } = self.nodes[at];
        self.nodes[before].after = after;
        if after != 0 {
            self.nodes[after].before = before;
        }
    }

    fn link(&mut self, at: usize) {
        let Node { before, after, .. } = self.nodes[at];
        self.nodes[before].after = at;
        if after != 0 {
            self.nodes[after].before = at;
        }
    }

    fn take(&mut self, call: usize) {
        let (begins, returns) = self.of[call];
        self.unlink(begins);
        self.unlink(returns);
    }

    fn give_back(&mut self, call: usize) {
        let (begins, returns) = self.of[call];
        self.link(returns);
        self.link(begins);
    }
}

/// The time in milliseconds that the search takes, key by key; `None` if it gave up.
pub(super) fn of_keys<'h>(
    operations: impl Iterator<Item = Operation<'h>>,
    time: Duration,
    memory_bytes: usize,
) -> Option<f64> {
    let mut keys: BTreeMap<&Key, Vec<_>> = BTreeMap::new();
    for operation in operations {
        keys.entry(operation.op.key()).or_default().push(operation);
    }
    let begun = Instant::now();
    for operations in keys.values() {
        let left = time.checked_sub(begun.elapsed())?;
        if search(operations, left, memory_bytes) == Ended::GaveUp {
            return None;
        }
    }
    Some(begun.elapsed().as_secs_f64() * 1e3)
}

/// Searches until it has an answer or the time or the memory is up.
fn search(operations: &[Operation<'_>], time: Duration, memory_bytes: usize) -> Ended {
    let begun = Instant::now();
    let known: Vec<&Operation<'_>> = operations
        .iter()
        .filter(|operation| !operation.failed() && (!operation.op.is_read() || operation.reply().is_some()))
        .collect();
    let end = operations.len() as u64 * 2;
    let times: Vec<(u64, u64)> = known
        .iter()
        .map(|operation| {
            let ret = operation.acknowledged().map_or(end, |point| point.index as u64);
            (operation.invoked.index as u64, ret)
        })
        .collect();
    let mut list = List::new(&times);
    let words = known.len().div_ceil(64);
    let mut placed = vec![0u64; words];
    let mut seen: HashSet<(Vec<u64>, Value)> = HashSet::new();
    let mut stack: Vec<(usize, Value)> = Vec::new();
    let mut state = Value::Nil;
    let mut at = list.nodes[0].after;
    let per_entry = words * 8 + 64;
    let mut steps = 0u64;
    while list.nodes[0].after != 0 {
        steps += 1;
        if steps.is_multiple_of(256) && (begun.elapsed() > time || seen.len() * per_entry > memory_bytes) {
            return Ended::GaveUp;
        }
        let node = list.nodes[at];
        if !node.returns {
            let call = node.call;
            if let Some(next) = step(&state, known[call]) {
                placed[call / 64] |= 1 << (call % 64);
                if seen.insert((placed.clone(), next.clone())) {
                    stack.push((call, std::mem::replace(&mut state, next)));
                    list.take(call);
                    at = list.nodes[0].after;
                    continue;
                }
                placed[call / 64] &= !(1 << (call % 64));
            }
            at = list.nodes[at].after;
            continue;
        }
        // A call that has not taken effect returns: the last choice was wrong.
        let Some((call, before)) = stack.pop() else { return Ended::Decided };
        state = before;
        placed[call / 64] &= !(1 << (call % 64));
        list.give_back(call);
        at = list.nodes[list.of[call].0].after;
    }
    Ended::Decided
}

fn step(state: &Value, operation: &Operation<'_>) -> Option<Value> {
    match (operation.op, operation.reply()) {
        (Op::Read { .. }, Some(Reply::Value(seen))) => (seen == state).then(|| state.clone()),
        (Op::Write { value, .. }, _) => Some(value.clone()),
        (Op::Delete { .. }, _) => Some(Value::Nil),
        (Op::Cas { expected, .. }, Some(Reply::Mismatch(_))) => (state != expected).then(|| state.clone()),
        (Op::Cas { expected, new, .. }, Some(_)) => (state == expected).then(|| new.clone()),
        // An unknown CAS may have been refused as well.
        (Op::Cas { expected, new, .. }, None) => {
            Some(if state == expected { new.clone() } else { state.clone() })
        }
        _ => None,
    }
}
