//! Whether there is one order of all operations that respects real time and that a sequential store could have
//! answered (Herlihy & Wing 1990), decided key by key.
//!
//! The order of attack per key: the exact rule of its model, where it covers the calls ([`unique`], [`lists`], [`sets`],
//! [`queues`], [`locks`], [`turns`], [`counters`], [`projections`]); then the search of Wing & Gong with Lowe's memo
//! ([`search`]), which the classes of any model prune; for registers a cheap contradiction ([`sources`]), a little of that
//! search, the pruned frontier ([`frontier`]), and the rest of the search where that is beyond the frontier ([`register`]).
//! [`kinds`] says which rule and which search belong to which model. Invariant: "holds" rests on a witness order that
//! [`witness::replay`] accepted, "violated" on a complete argument; whatever ran out of budget is inconclusive.
//! A violation of one key outweighs an inconclusive other, because locality makes each key's verdict final; so every key
//! gets a small part of the budget before any gets a large one.
//!
//! Deliberately lacking: models that span keys (make them one key with a larger state).

mod calls;
mod counters;
mod frontier;
mod instants;
mod kinds;
mod lists;
mod locks;
mod orders;
mod placement;
mod power;
mod projections;
mod queues;
mod ration;
mod register;
mod search;
mod sets;
mod shrink;
mod sources;
mod turns;
#[doc(hidden)]
pub mod twin;
mod unique;
mod witness;
mod zones;

mod brute;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustc_hash::FxHashMap;

use kinds::{Against, OfModel};
use ration::with_ration;

pub use calls::describe;
pub(crate) use calls::{Call, OPEN};
pub use orders::{Break, Order, order};

use crate::history::formats::Specification;
use crate::history::{History, Key, Operation, Recording, Reply};
use crate::model::Model;
use crate::verdict::{Budget, Cause, Counterexample, Coverage, Evidence, Power, Verdict};

/// What a CAS that found another value says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailedCas {
    /// At one point during the call the key did not hold the expected value, and held the told one if one was told.
    #[default]
    Observe,
    /// Nothing, as in Knossos.
    Drop,
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

/// Judges a whole history of a key-value store: what each key is (a register, a list, a set) is told by its operations.
pub fn check(history: &History, failed_cas: FailedCas, budget: &Budget<'_>) -> Verdict {
    judge_history(history, Against::Store, failed_cas, budget)
}

/// Judges a history against a specification that was named, or found in it.
pub fn check_specification(
    history: &History,
    specification: Specification,
    failed_cas: FailedCas,
    budget: &Budget<'_>,
) -> Verdict {
    judge_history(history, Against::of(specification), failed_cas, budget)
}

/// Judges a history against a model, also one of your own, key by key. See the [crate](crate) for an example.
///
/// The classes that the model gives to its operations choose what the search may leave out; the exact rules apply to the
/// models of this crate. A CAS that found another value is an observation. The verdict is inconclusive where the budget ends
/// first, or where the model does not know an operation.
pub fn check_against<M: Model>(history: &History, model: &M, budget: &Budget<'_>) -> Verdict {
    judge_history(history, Against::Model(&OfModel(model)), FailedCas::Observe, budget)
}

fn judge_history(
    history: &History,
    against: Against<'_>,
    failed_cas: FailedCas,
    budget: &Budget<'_>,
) -> Verdict {
    match history.operations() {
        Ok(operations) => judge_operations(&operations, against, failed_cas, budget).0,
        Err(malformed) => {
            Verdict::Inconclusive(Cause::Evidence { reason: format!("the history is damaged: {malformed}") })
        }
    }
}

/// Judges operations, which stand in the order of their invocations.
pub fn check_operations(operations: &[Operation<'_>], failed_cas: FailedCas, budget: &Budget<'_>) -> Verdict {
    check_with_witness(operations, failed_cas, budget).0
}

/// Judges a recording against a specification that was named, or found in it.
pub fn check_recording(
    recording: &Recording,
    specification: Specification,
    failed_cas: FailedCas,
    budget: &Budget<'_>,
) -> Verdict {
    let against = Against::of(specification);
    let keys = split_all(recording.operations(), failed_cas);
    check_keys(keys, &|at| recording.operation(at), (recording.len(), against), budget).0
}

/// An order that explains a history: for every key the positions of its operations, in the order in which they took
/// effect. Left out are those that had no effect, and reads without an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witness<'h> {
    /// One order for each key, the key with the most operations first.
    pub keys: Vec<(&'h Key, Vec<usize>)>,
}

/// Judges operations, and hands out the order that "holds" rests on. It has been replayed by code that shares nothing
/// with the search. Without a "holds" it is `None`.
pub fn check_with_witness<'h>(
    operations: &[Operation<'h>],
    failed_cas: FailedCas,
    budget: &Budget<'_>,
) -> (Verdict, Option<Witness<'h>>) {
    judge_operations(operations, Against::Store, failed_cas, budget)
}

fn judge_operations<'h>(
    operations: &[Operation<'h>],
    against: Against<'_>,
    failed_cas: FailedCas,
    budget: &Budget<'_>,
) -> (Verdict, Option<Witness<'h>>) {
    let keys = split(operations, failed_cas);
    check_keys(keys, &|at| operations[at], (operations.len(), against), budget)
}

/// Judges the calls on each key, which come from the operations at their origins. `operations` is how many there are.
fn check_keys<'h>(
    mut keys: Vec<(&'h Key, Vec<Call<'h>>)>,
    operation: &dyn Fn(usize) -> Operation<'h>,
    (operations, against): (usize, Against<'_>),
    budget: &Budget<'_>,
) -> (Verdict, Option<Witness<'h>>) {
    // The largest first: it is the one that a budget would hit.
    keys.sort_by_key(|(key, calls)| (std::cmp::Reverse(calls.len()), (*key).clone()));
    let (mut undecided, mut witness) = (None, Witness::default());
    for ((key, calls), ruling) in keys.iter().zip(judge_keys(&keys, against, budget)) {
        match ruling {
            Ruling::Holds(order) => {
                let origins = order.into_iter().map(|at| calls[at].origin as usize).collect();
                witness.keys.push((*key, origins));
            }
            Ruling::Violated(contradiction) => {
                return (Verdict::Violated(counterexample_of(operation, calls, &contradiction)), None);
            }
            Ruling::NotCovered => {
                let reason = format!("no model covers the operations on {key}");
                undecided = undecided.or(Some(Cause::Model { reason }));
            }
            Ruling::Undecided(cause) => undecided = undecided.or(Some(at_key(key, cause))),
        }
    }
    match undecided {
        Some(cause) => (Verdict::Inconclusive(cause), None),
        None => {
            let examined = operations as u64;
            let power = match against {
                Against::Store => power_of(&keys),
                _ => None,
            };
            (Verdict::Holds(Coverage { examined, unit: "operations".to_owned(), power }), Some(witness))
        }
    }
}

/// The power of all keys that are registers.
fn power_of(keys: &[(&Key, Vec<Call<'_>>)]) -> Option<Power> {
    let sum = |sum: Power, power: Power| Power {
        tried: sum.tried + power.tried,
        refuted: sum.refuted + power.refuted,
    };
    let power = keys.iter().map(|(_, calls)| power::of(calls)).fold(Power::default(), sum);
    (power.tried > 0).then_some(power)
}

/// Fewer calls than this are judged before a second thread would have started.
const WORTH_A_THREAD: usize = 20_000;

/// How often the judgement of one key may look at the budget, round after round; after these, as often as it wants.
const ROUNDS: [u64; 3] = [64, 64 * 16, 64 * 256];

/// The rulings on the keys, in their order; only those up to the first violation, if there is one.
///
/// No key can hide the violation of another by its difficulty: all are judged with a small ration first, then those
/// that are left with larger and larger ones.
fn judge_keys(keys: &[(&Key, Vec<Call<'_>>)], against: Against<'_>, budget: &Budget<'_>) -> Vec<Ruling> {
    let mut rulings: Vec<Ruling> = keys.iter().map(|_| Ruling::NotCovered).collect();
    let mut left: Vec<usize> = (0..keys.len()).collect();
    for round in 0..=ROUNDS.len() {
        let ration = match ROUNDS.get(round) {
            // A single key waits for no other.
            Some(&looks) if left.len() > 1 => Some(looks),
            _ => None,
        };
        for (at, decision) in decide_all(keys, against, &left, ration, budget) {
            rulings[at] = match decision {
                Decision::Undecided(cause) => Ruling::Undecided(cause),
                Decision::Holds(order) => Ruling::Holds(order),
                violated => {
                    rulings[at] = explained(&keys[at].1, violated, against, budget);
                    rulings.truncate(at + 1);
                    return rulings;
                }
            };
        }
        let open =
            |at: &usize| matches!(rulings[*at], Ruling::Undecided(Cause::Time { .. } | Cause::Memory { .. }));
        left.retain(open);
        if left.is_empty() || ration.is_none() || (budget.expired)() {
            break;
        }
    }
    rulings
}

/// Decides these keys, each within this ration, up to the first violation; they are shared out between two threads.
///
/// Keys are taken in order and each one that was taken is judged to its end, so the first violation does not depend on
/// which thread is faster.
fn decide_all(
    keys: &[(&Key, Vec<Call<'_>>)],
    against: Against<'_>,
    which: &[usize],
    ration: Option<u64>,
    budget: &Budget<'_>,
) -> Vec<(usize, Decision)> {
    let threads = match which.iter().map(|&at| keys[at].1.len()).sum::<usize>() >= WORTH_A_THREAD {
        true => 2,
        false => 1,
    };
    let budget = Budget { memory_bytes: budget.memory_bytes / threads, ..*budget };
    let (next, found) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let mut decisions = Vec::new();
        while !found.load(Ordering::Relaxed) {
            let Some(&at) = which.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            let calls = &keys[at].1;
            let decision = match ration {
                Some(looks) => with_ration(&budget, looks, |budget| decide(calls, against, budget)),
                None => decide(calls, against, &budget),
            };
            if matches!(decision, Decision::Contradicted(_) | Decision::Unexplained) {
                found.store(true, Ordering::Relaxed);
            }
            decisions.push((at, decision));
        }
        decisions
    };
    let mut decisions = match threads {
        1 => work(),
        _ => std::thread::scope(|scope| {
            let other = scope.spawn(work);
            let mut own = work();
            own.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            own
        }),
    };
    decisions.sort_by_key(|(at, _)| *at);
    decisions
}

/// What one key turned out to be, before a violation is made small.
enum Decision {
    Holds(Vec<usize>),
    /// Violated, as the exact rule says.
    Contradicted(Contradiction),
    /// Violated, as a search says.
    Unexplained,
    Undecided(Cause),
}

/// Decides one key: the exact rule first, the search where it does not apply.
pub(crate) fn judge_key(calls: &[Call<'_>], budget: &Budget<'_>) -> Ruling {
    explained(calls, decide(calls, Against::Store, budget), Against::Store, budget)
}

fn decide(calls: &[Call<'_>], against: Against<'_>, budget: &Budget<'_>) -> Decision {
    let judge = match against.judge(calls) {
        Ok(judge) => judge,
        Err(reason) => return Decision::Undecided(Cause::Model { reason }),
    };
    match judge.rule(calls, budget) {
        Ruling::Holds(order) if judge.replays(calls, &order) => Decision::Holds(order),
        Ruling::Violated(found) => Decision::Contradicted(found),
        _ => match judge.search(calls, budget) {
            search::Found::Holds(order) if judge.replays(calls, &order) => Decision::Holds(order),
            search::Found::Holds(_) => {
                let reason = "the order that a search found does not replay; please report this".to_owned();
                Decision::Undecided(Cause::Evidence { reason })
            }
            search::Found::Violated => Decision::Unexplained,
            search::Found::Undecided(cause) => Decision::Undecided(cause),
        },
    }
}

/// Makes a violation small and says what it is.
fn explained(calls: &[Call<'_>], decision: Decision, against: Against<'_>, budget: &Budget<'_>) -> Ruling {
    let judge = match against.judge(calls) {
        Ok(judge) => judge,
        Err(reason) => return Ruling::Undecided(Cause::Model { reason }),
    };
    match decision {
        Decision::Holds(order) => Ruling::Holds(order),
        Decision::Undecided(cause) => Ruling::Undecided(cause),
        Decision::Contradicted(found) => Ruling::Violated(shrink::sharpen(calls, found, judge, budget)),
        Decision::Unexplained => {
            if let Some(found) = judge.explain(calls, budget) {
                return Ruling::Violated(found);
            }
            let core = shrink::shrink(calls, judge, budget);
            let small = shrink::calls_of(&core);
            // The few that are left often have unique values, and then the exact rule knows why.
            let why = match explain(&small, against, budget) {
                Some(why) => why,
                None => shrink::unordered(small.len()),
            };
            Ruling::Violated(Contradiction { calls: core.iter().map(|s| s.position).collect(), why })
        }
    }
}

fn explain(calls: &[Call<'_>], against: Against<'_>, budget: &Budget<'_>) -> Option<String> {
    match against.judge(calls).ok()?.rule(calls, budget) {
        Ruling::Violated(contradiction) => Some(contradiction.why),
        _ => None,
    }
}

/// Splits operations by key into the calls that count: a failed one did nothing, and a read without an answer says
/// nothing.
pub(crate) fn split<'h>(
    operations: &[Operation<'h>],
    failed_cas: FailedCas,
) -> Vec<(&'h Key, Vec<Call<'h>>)> {
    split_all(operations.iter().copied(), failed_cas)
}

fn split_all<'h>(
    operations: impl Iterator<Item = Operation<'h>>,
    failed_cas: FailedCas,
) -> Vec<(&'h Key, Vec<Call<'h>>)> {
    let mut at: FxHashMap<&'h Key, usize> = FxHashMap::default();
    let mut keys: Vec<(&'h Key, Vec<Call<'h>>)> = Vec::new();
    for (origin, operation) in operations.enumerate() {
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
    counterexample_of(&|at| operations[at], calls, found)
}

fn counterexample_of<'h>(
    operation: &dyn Fn(usize) -> Operation<'h>,
    calls: &[Call<'_>],
    found: &Contradiction,
) -> Counterexample {
    let mut picked: Vec<&Call<'_>> = found.calls.iter().map(|&at| &calls[at]).collect();
    picked.sort_by_key(|call| (call.call, call.ret));
    picked.dedup_by_key(|call| call.origin);
    let evidence = picked.iter().map(|call| evidence(&operation(call.origin as usize))).collect();
    Counterexample { summary: found.why.clone(), evidence }
}

pub(crate) fn evidence(operation: &Operation<'_>) -> Evidence {
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
