//! Whether there is one order of all operations that respects real time and that a sequential store could have
//! answered (Herlihy & Wing 1990), decided key by key.
//!
//! The order of attack per key: an exact polynomial rule where the values are unique ([`unique`], [`lists`],
//! [`sets`]), then the search of Wing & Gong with Lowe's memo ([`search`]). Invariant: "holds" rests on a witness order
//! that [`witness::replay`] accepted, "violated" on a complete argument; whatever ran out of budget is inconclusive.
//! A violation of one key outweighs an inconclusive other, because locality makes each key's verdict final.
//!
//! Deliberately lacking: models that span keys.

mod calls;
mod lists;
mod placement;
mod search;
mod sets;
mod shrink;
mod unique;
mod witness;
mod zones;

#[cfg(test)]
mod brute;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustc_hash::FxHashMap;

pub(crate) use calls::{Call, OPEN};

use crate::history::{History, Key, Op, Operation, Reply, Value};
use crate::model::{GrowSet, List, Model, Register};
use crate::verdict::{Budget, Cause, Counterexample, Coverage, Evidence, Verdict};

/// What a CAS that found another value says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailedCas {
    /// At one point during the call the key did not hold the expected value, and held the told one if one was told.
    #[default]
    Observe,
    /// Nothing, as in Knossos.
    Drop,
}

/// The specification that the operations on one key call for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Register,
    List,
    Set,
}

impl Kind {
    /// Its exact rule.
    fn rule(self) -> fn(&[Call<'_>]) -> Ruling {
        match self {
            Kind::Register => unique::judge,
            Kind::List => lists::judge,
            Kind::Set => sets::judge,
        }
    }
}

/// What one key turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// Linearizable, in this order (positions in the slice of calls; unknown calls that are left out had no effect).
    Holds(Vec<usize>),
    /// Not linearizable.
    Violated(Contradiction),
    /// The rule does not cover these calls.
    NotCovered,
    /// Undecided.
    Undecided(Cause),
}

/// Calls that cannot all be true, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contradiction {
    /// Positions in the slice of calls.
    pub(crate) calls: Vec<usize>,
    /// One sentence.
    pub(crate) why: String,
}

/// Judges a whole history.
pub fn check(history: &History, failed_cas: FailedCas, budget: &Budget<'_>) -> Verdict {
    match history.operations() {
        Ok(operations) => check_operations(&operations, failed_cas, budget),
        Err(malformed) => {
            Verdict::Inconclusive(Cause::Evidence { reason: format!("the history is damaged: {malformed}") })
        }
    }
}

/// Judges operations, which stand in the order of their invocations.
pub fn check_operations(operations: &[Operation<'_>], failed_cas: FailedCas, budget: &Budget<'_>) -> Verdict {
    let mut keys = split(operations, failed_cas);
    // The largest first: it is the one that a budget would hit.
    keys.sort_by_key(|(key, calls)| (std::cmp::Reverse(calls.len()), (*key).clone()));
    let mut undecided = None;
    for ((key, calls), ruling) in keys.iter().zip(judge_keys(&keys, budget)) {
        match ruling {
            Ruling::Holds(_) => {}
            Ruling::Violated(contradiction) => {
                return Verdict::Violated(counterexample(operations, calls, &contradiction));
            }
            Ruling::NotCovered => {
                let reason = format!("no model covers the operations on {key}");
                undecided = undecided.or(Some(Cause::Model { reason }));
            }
            Ruling::Undecided(cause) => undecided = undecided.or(Some(at_key(key, cause))),
        }
    }
    match undecided {
        Some(cause) => Verdict::Inconclusive(cause),
        None => Verdict::Holds(Coverage { examined: operations.len() as u64, unit: "operations".to_owned() }),
    }
}

/// Fewer calls than this are judged before a second thread would have started.
const WORTH_A_THREAD: usize = 20_000;

/// The rulings on the keys, in their order, up to the first violation; the keys are shared out between two threads.
///
/// Keys are taken in order and each one that was taken is judged to its end, so the first violation does not depend on
/// which thread is faster.
fn judge_keys(keys: &[(&Key, Vec<Call<'_>>)], budget: &Budget<'_>) -> Vec<Ruling> {
    let threads = match keys.iter().map(|(_, calls)| calls.len()).sum::<usize>() >= WORTH_A_THREAD {
        true => 2,
        false => 1,
    };
    let budget = Budget { memory_bytes: budget.memory_bytes / threads, ..*budget };
    let (next, found) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let mut rulings = Vec::new();
        while !found.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((_, calls)) = keys.get(at) else { break };
            // Of what holds only that it does is needed from here on.
            let ruling = match judge_key(calls, &budget) {
                Ruling::Holds(_) => Ruling::Holds(Vec::new()),
                other => other,
            };
            if matches!(ruling, Ruling::Violated(_)) {
                found.store(true, Ordering::Relaxed);
            }
            rulings.push((at, ruling));
        }
        rulings
    };
    let mut rulings = match threads {
        1 => work(),
        _ => std::thread::scope(|scope| {
            let other = scope.spawn(work);
            let mut own = work();
            own.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            own
        }),
    };
    rulings.sort_by_key(|(at, _)| *at);
    rulings.into_iter().map(|(_, ruling)| ruling).collect()
}

/// Decides one key: the exact rule first, the search where it does not apply.
pub(crate) fn judge_key(calls: &[Call<'_>], budget: &Budget<'_>) -> Ruling {
    let kind = match kind_of(calls) {
        Ok(kind) => kind,
        Err(reason) => return Ruling::Undecided(Cause::Model { reason }),
    };
    match kind.rule()(calls) {
        Ruling::Holds(order) if replays(kind, calls, &order) => Ruling::Holds(order),
        Ruling::Violated(found) => Ruling::Violated(shrink::sharpen(calls, found, kind.rule())),
        _ => match kind {
            Kind::Register => search_key(calls, &Register, budget),
            Kind::List => search_key(calls, &List, budget),
            Kind::Set => search_key(calls, &GrowSet, budget),
        },
    }
}

fn search_key<M: Model>(calls: &[Call<'_>], model: &M, budget: &Budget<'_>) -> Ruling {
    match search::search(calls, model, budget) {
        search::Found::Holds(order) => Ruling::Holds(order),
        search::Found::Violated => {
            let core = shrink::shrink(calls, model, budget);
            let small: Vec<Call<'_>> = core.iter().map(|s| s.call).collect();
            // The few that are left often have unique values, and then the exact rule knows why.
            let why = match explain(&small) {
                Some(why) => why,
                None => format!(
                    "no order of these {} operations that respects their times explains what they saw",
                    small.len()
                ),
            };
            Ruling::Violated(Contradiction { calls: core.iter().map(|s| s.position).collect(), why })
        }
        search::Found::Undecided(cause) => Ruling::Undecided(cause),
    }
}

fn explain(calls: &[Call<'_>]) -> Option<String> {
    match kind_of(calls).ok()?.rule()(calls) {
        Ruling::Violated(contradiction) => Some(contradiction.why),
        _ => None,
    }
}

fn replays(kind: Kind, calls: &[Call<'_>], order: &[usize]) -> bool {
    match kind {
        Kind::Register => witness::replay(calls, &Register, order),
        Kind::List => witness::replay(calls, &List, order),
        Kind::Set => witness::replay(calls, &GrowSet, order),
    }
}

fn kind_of(calls: &[Call<'_>]) -> Result<Kind, String> {
    let (mut list, mut set, mut scalar) = (None, None, None);
    for call in calls {
        match call.op {
            Op::Append { .. } => list = list.or(Some(call)),
            Op::Add { .. } | Op::Members { .. } => set = set.or(Some(call)),
            Op::Write { value: Value::Int(_) | Value::Text(_), .. } | Op::Cas { .. } => {
                scalar = scalar.or(Some(call))
            }
            Op::Write { .. } | Op::Delete { .. } | Op::Read { .. } => {}
        }
    }
    let mixed =
        |a: &Call<'_>, b: &Call<'_>| Err(format!("{} and {} share a key, and no model knows both", a, b));
    match (list, set, scalar) {
        (Some(a), Some(b), _) | (Some(a), None, Some(b)) | (None, Some(b), Some(a)) => mixed(a, b),
        (Some(_), None, None) => Ok(Kind::List),
        (None, Some(set), None) => {
            match calls.iter().find(|c| !matches!(c.op, Op::Add { .. } | Op::Members { .. })) {
                Some(other) => mixed(set, other),
                None => Ok(Kind::Set),
            }
        }
        (None, None, _) => Ok(Kind::Register),
    }
}

/// Splits operations by key into the calls that count: a failed one did nothing, and a read without an answer says
/// nothing.
pub(crate) fn split<'h>(
    operations: &[Operation<'h>],
    failed_cas: FailedCas,
) -> Vec<(&'h Key, Vec<Call<'h>>)> {
    let mut at: FxHashMap<&'h Key, usize> = FxHashMap::default();
    let mut keys: Vec<(&'h Key, Vec<Call<'h>>)> = Vec::new();
    for (origin, operation) in operations.iter().enumerate() {
        let reply = operation.reply();
        let silent = operation.op.is_read() && reply.is_none();
        let dropped = failed_cas == FailedCas::Drop && matches!(reply, Some(Reply::Mismatch(_)));
        if operation.failed() || silent || dropped {
            continue;
        }
        let slot = *at.entry(operation.op.key()).or_insert_with(|| {
            keys.push((operation.op.key(), Vec::new()));
            keys.len() - 1
        });
        keys[slot].1.push(Call {
            op: operation.op,
            reply,
            // Instant 0 is before everything; positions are distinct, so no two instants are equal.
            call: operation.invoked.index as u32 + 1,
            ret: operation.acknowledged().map_or(OPEN, |point| point.index as u32 + 1),
            origin: origin as u32,
        });
    }
    keys
}

/// The evidence of a contradiction, in the order of time.
pub(crate) fn counterexample(
    operations: &[Operation<'_>],
    calls: &[Call<'_>],
    found: &Contradiction,
) -> Counterexample {
    let mut picked: Vec<&Call<'_>> = found.calls.iter().map(|&at| &calls[at]).collect();
    picked.sort_by_key(|call| (call.call, call.ret));
    picked.dedup_by_key(|call| call.origin);
    let evidence = picked.iter().map(|call| evidence(&operations[call.origin as usize])).collect();
    Counterexample { summary: found.why.clone(), evidence }
}

fn evidence(operation: &Operation<'_>) -> Evidence {
    let who = match operation.node {
        Some(node) => format!("process {} via {node}", operation.process.0),
        None => format!("process {}", operation.process.0),
    };
    let mut what = calls::describe(operation.op, operation.reply());
    if operation.acknowledged().is_none() {
        what.push_str(" (outcome unknown)");
    }
    let end = operation.acknowledged().map(|point| point.time);
    Evidence { start: operation.invoked.time, end, who, what }
}

fn at_key(key: &Key, cause: Cause) -> Cause {
    match cause {
        Cause::Time { reached } => Cause::Time { reached: format!("key {key}: {reached}") },
        Cause::Memory { reached } => Cause::Memory { reached: format!("key {key}: {reached}") },
        Cause::Evidence { reason } => Cause::Evidence { reason: format!("key {key}: {reason}") },
        Cause::Model { reason } => Cause::Model { reason: format!("key {key}: {reason}") },
    }
}
