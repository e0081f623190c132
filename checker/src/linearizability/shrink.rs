//! Makes a violation small: the fewest calls that still contradict each other.
//!
//! Invariant: every step keeps the proof. A call may be left out only if a history with it being linearizable implies
//! that one without it is. What that allows depends on the model: see [`values`] where values tell what a call can have
//! seen, and [`parts`] elsewhere; calls that only look may always go. What completed after some instant may be taken as
//! unknown. When the budget ends, the smallest set so far is the answer.
//!
//! What is left is minimal: nothing more can be left out this way without the contradiction going with it. That is meant of
//! the calls as they were: what was forgotten of them on the way is remembered at the end, which may make others needless.

pub(super) mod parts;
pub(super) mod values;

use rustc_hash::{FxHashMap, FxHashSet};

use super::kinds::Judge;
use super::ration::with_ration;
use super::search::Found;
use super::{Call, Contradiction, OPEN, Ruling};
use crate::history::Value;
use crate::verdict::Budget;

/// A call that is kept, with its place among the calls of its key. Its return may have been forgotten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept<'h> {
    pub(super) call: Call<'h>,
    pub(super) position: usize,
}

/// How often one attempt to leave something out may look at the budget: a single hard one must not use up the time
/// of all others.
const LOOKS_PER_ATTEMPT: u64 = 128;

/// Shrinks calls that this judge found violated.
pub(super) fn shrink<'h>(calls: &[Call<'h>], judge: &dyn Judge, budget: &Budget<'_>) -> Vec<Kept<'h>> {
    let violated = |kept: &[Kept<'h>], budget: &Budget<'_>| is_violated(kept, judge, budget);
    let in_time = |kept: &[Kept<'h>]| with_ration(budget, LOOKS_PER_ATTEMPT, |budget| violated(kept, budget));
    let kept = shortest_prefix(keep_all(calls), judge, &in_time, budget);
    shrink_from(kept, calls, judge, &violated, budget)
}

/// By the rule, or else by the search.
fn is_violated(kept: &[Kept<'_>], judge: &dyn Judge, budget: &Budget<'_>) -> bool {
    let calls = calls_of(kept);
    match judge.rule(&calls, budget) {
        Ruling::Violated(_) => true,
        Ruling::Holds(_) => false,
        _ => judge.search(&calls, budget) == Found::Violated,
    }
}

/// Shrinks these of the calls, which `violated` says are a contradiction.
pub(super) fn shrink_from<'h>(
    kept: Vec<Kept<'h>>,
    calls: &[Call<'h>],
    judge: &dyn Judge,
    violated: &dyn Fn(&[Kept<'h>], &Budget<'_>) -> bool,
    budget: &Budget<'_>,
) -> Vec<Kept<'h>> {
    let violated =
        |kept: &[Kept<'h>]| with_ration(budget, LOOKS_PER_ATTEMPT, |budget| violated(kept, budget));
    let core = reduce(kept, judge, &violated, &budget.expired);
    // A call that has returned allows less than one that is open, so this is a contradiction as well.
    let whole: Vec<Kept<'h>> = core.iter().map(|kept| Kept { call: calls[kept.position], ..*kept }).collect();
    match whole.iter().zip(&core).any(|(whole, kept)| whole.call != kept.call) {
        true => reduce(whole, judge, &violated, &budget.expired),
        false => core,
    }
}

/// Shrinks a contradiction that the exact rule of this judge found, and words it for what is left.
pub(super) fn sharpen<'h>(
    calls: &[Call<'h>],
    found: Contradiction,
    judge: &dyn Judge,
    budget: &Budget<'_>,
) -> Contradiction {
    let violated =
        |kept: &[Kept<'h>]| with_ration(budget, LOOKS_PER_ATTEMPT, |budget| is_violated(kept, judge, budget));
    let near: Vec<Kept<'h>> = match judge.shows_values() {
        true => closure(calls, &found.calls),
        false => chosen(calls, found.calls.iter().copied().collect()),
    };
    let kept = match violated(&near) {
        true => near,
        false => keep_all(calls),
    };
    // Where the time is up the rule's own few calls are the better answer than what happens to be left by then.
    let core = reduce(kept, judge, &violated, &budget.expired);
    if (budget.expired)() {
        return found;
    }
    let why = match judge.rule(&calls_of(&core), budget) {
        Ruling::Violated(Contradiction { why, .. }) => why,
        // What is left is beyond the rule, and a contradiction all the same.
        _ => unordered(core.len()),
    };
    Contradiction { calls: core.iter().map(|k| k.position).collect(), why }
}

/// What there is to say of a contradiction that no rule knows.
pub(super) fn unordered(operations: usize) -> String {
    format!("no order of these {operations} operations that respects their times explains what they saw")
}

/// The calls that are kept.
pub(super) fn calls_of<'h>(kept: &[Kept<'h>]) -> Vec<Call<'h>> {
    kept.iter().map(|kept| kept.call).collect()
}

/// What may be left out of this range, and what goes with it, left out.
pub(super) fn without<'h>(
    kept: &[Kept<'h>],
    judge: &dyn Judge,
    range: std::ops::Range<usize>,
) -> Vec<Kept<'h>> {
    match judge.shows_values() {
        true => values::without(kept, range),
        false => parts::without(kept, judge, range),
    }
}

fn keep_all<'h>(calls: &[Call<'h>]) -> Vec<Kept<'h>> {
    calls.iter().enumerate().map(|(position, &call)| Kept { call, position }).collect()
}

/// The chosen calls, and what they rest on: whoever made what they saw, and whoever saw what an unknown one made.
fn closure<'h>(calls: &[Call<'h>], named: &[usize]) -> Vec<Kept<'h>> {
    let mut makers: FxHashMap<&Value, Vec<usize>> = FxHashMap::default();
    let mut seers: FxHashMap<&Value, usize> = FxHashMap::default();
    for (at, call) in calls.iter().enumerate() {
        call.puts().into_iter().for_each(|value| makers.entry(value).or_default().push(at));
        if call.ret != OPEN {
            for value in observed(call) {
                seers.entry(value).or_insert(at);
            }
        }
    }
    let mut open: Vec<usize> = named.to_vec();
    let mut picked: FxHashSet<usize> = FxHashSet::default();
    while let Some(at) = open.pop() {
        if !picked.insert(at) {
            continue;
        }
        let call = &calls[at];
        open.extend(observed(call).filter_map(|value| makers.get(value)).flatten());
        if call.ret == OPEN {
            open.extend(call.puts().and_then(|value| seers.get(value)));
        }
    }
    chosen(calls, picked)
}

/// These calls, in their order.
pub(super) fn chosen<'h>(calls: &[Call<'h>], picked: FxHashSet<usize>) -> Vec<Kept<'h>> {
    let mut picked: Vec<usize> = picked.into_iter().collect();
    picked.sort_unstable();
    picked.into_iter().map(|position| Kept { call: calls[position], position }).collect()
}

/// Leaves out as much as it can: halves first, single calls at last, until no single one can go.
fn reduce<'h>(
    mut kept: Vec<Kept<'h>>,
    judge: &dyn Judge,
    violated: &impl Fn(&[Kept<'h>]) -> bool,
    expired: &dyn Fn() -> bool,
) -> Vec<Kept<'h>> {
    let mut chunk = (kept.len() / 2).max(1);
    loop {
        let before = kept.len();
        kept = without_chunks(kept, chunk, judge, violated, expired);
        if expired() || (chunk == 1 && kept.len() == before) {
            return kept;
        }
        chunk = (chunk / 2).max(1);
    }
}

/// Forgets everything from the first instant on at which the violation is complete.
fn shortest_prefix<'h>(
    all: Vec<Kept<'h>>,
    judge: &dyn Judge,
    violated: &impl Fn(&[Kept<'h>]) -> bool,
    budget: &Budget<'_>,
) -> Vec<Kept<'h>> {
    let mut returns: Vec<u32> = all.iter().map(|k| k.call.ret).filter(|&ret| ret != OPEN).collect();
    returns.sort_unstable();
    let (mut low, mut high) = (0, returns.len().saturating_sub(1));
    while low < high && !(budget.expired)() {
        let middle = (low + high) / 2;
        match violated(&cut_off(&all, judge, returns[middle])) {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    match returns.get(high) {
        // Only the last, whole prefix needs no proof of its own.
        Some(&ret) if high + 1 < returns.len() => cut_off(&all, judge, ret),
        _ => all,
    }
}

/// What is known of the calls at this instant: those that begin later do not exist, those that return later are open.
pub(super) fn prefix<'h>(calls: &[Call<'h>], judge: &dyn Judge, until: u32) -> Vec<Kept<'h>> {
    cut_off(&keep_all(calls), judge, until)
}

fn cut_off<'h>(all: &[Kept<'h>], judge: &dyn Judge, until: u32) -> Vec<Kept<'h>> {
    all.iter()
        .filter(|k| k.call.call <= until)
        .filter(|k| k.call.ret <= until || !judge.is_read_only(&k.call))
        .map(|k| match k.call.ret <= until {
            true => *k,
            false => Kept { call: Call { ret: OPEN, reply: None, ..k.call }, position: k.position },
        })
        .collect()
}

/// Leaves out chunk after chunk, where the rest still is a violation.
fn without_chunks<'h>(
    mut kept: Vec<Kept<'h>>,
    chunk: usize,
    judge: &dyn Judge,
    violated: &impl Fn(&[Kept<'h>]) -> bool,
    expired: &dyn Fn() -> bool,
) -> Vec<Kept<'h>> {
    let mut end = kept.len();
    while end > 0 && !expired() {
        let start = end.saturating_sub(chunk);
        let rest = without(&kept, judge, start..end);
        if rest.len() < kept.len() && violated(&rest) {
            kept = rest;
        }
        end = start.min(kept.len());
    }
    kept
}

/// The value that a call saw, and the elements of it.
fn observed<'h>(call: &Call<'h>) -> impl Iterator<Item = &'h Value> {
    let seen = call.observes();
    let items = match seen {
        Some(Value::List(items)) => items.as_slice(),
        _ => &[],
    };
    seen.into_iter().chain(items)
}
