//! Makes a violation small: the fewest calls that still contradict each other.
//!
//! Invariant: every step keeps the proof. A call may be left out only if a history with it being linearizable implies
//! that one without it is. That is so for calls that only look, always. It is so for an update if no remaining call can
//! have seen what it put there: none that saw this value is left, or each that is was over before it began, or is
//! divided from it by another completed update. And it is so for no update while a refused CAS wants the state to be
//! different from something. So "read 17, which nobody wrote" is never made up by leaving out the write; where a value
//! was overwritten before it was seen, one call that put it stays, to show that. When the budget ends, the smallest
//! set so far is the answer.
//!
//! What is left is minimal: nothing more can be left out this way without the contradiction going with it.

use rustc_hash::{FxHashMap, FxHashSet};

use super::ration::with_ration;
use super::search::Found;
use super::{Call, Contradiction, OPEN, Ruling};
use crate::history::{Op, Value};
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

/// Shrinks calls that this search found violated.
pub(super) fn shrink<'h>(
    calls: &[Call<'h>],
    search: &dyn Fn(&[Call<'h>], &Budget<'_>) -> Found,
    budget: &Budget<'_>,
) -> Vec<Kept<'h>> {
    let violated = |kept: &[Kept<'h>]| {
        let calls: Vec<Call<'h>> = kept.iter().map(|k| k.call).collect();
        with_ration(budget, LOOKS_PER_ATTEMPT, |budget| search(&calls, budget) == Found::Violated)
    };
    let kept = shortest_prefix(keep_all(calls), &violated, budget);
    reduce(kept, &violated, &budget.expired)
}

/// Shrinks these calls, which this judge found violated.
pub(super) fn shrink_from<'h>(
    kept: Vec<Kept<'h>>,
    violated: &dyn Fn(&[Kept<'h>], &Budget<'_>) -> bool,
    budget: &Budget<'_>,
) -> Vec<Kept<'h>> {
    let violated =
        |kept: &[Kept<'h>]| with_ration(budget, LOOKS_PER_ATTEMPT, |budget| violated(kept, budget));
    reduce(kept, &violated, &budget.expired)
}

/// Shrinks a contradiction that an exact rule found, and words it for what is left.
pub(super) fn sharpen<'h>(
    calls: &[Call<'h>],
    found: Contradiction,
    rule: &dyn Fn(&[Call<'h>]) -> Ruling,
    budget: &Budget<'_>,
) -> Contradiction {
    let judge = |kept: &[Kept<'h>]| {
        let calls: Vec<Call<'h>> = kept.iter().map(|k| k.call).collect();
        rule(&calls)
    };
    let violated = |kept: &[Kept<'h>]| matches!(judge(kept), Ruling::Violated(_));
    let near: Vec<Kept<'h>> = closure(calls, &found.calls);
    let kept = match violated(&near) {
        true => near,
        false => keep_all(calls),
    };
    // Where the time is up the rule's own few calls are the better answer than what happens to be left by then.
    let core = reduce(kept, &violated, &budget.expired);
    if (budget.expired)() {
        return found;
    }
    match judge(&core) {
        Ruling::Violated(Contradiction { why, .. }) => {
            Contradiction { calls: core.iter().map(|k| k.position).collect(), why }
        }
        _ => found,
    }
}

fn keep_all<'h>(calls: &[Call<'h>]) -> Vec<Kept<'h>> {
    calls.iter().enumerate().map(|(position, &call)| Kept { call, position }).collect()
}

/// The chosen calls, and what they rest on: whoever made what they saw, and whoever saw what an unknown one made.
fn closure<'h>(calls: &[Call<'h>], chosen: &[usize]) -> Vec<Kept<'h>> {
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
    let mut open: Vec<usize> = chosen.to_vec();
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
    let mut picked: Vec<usize> = picked.into_iter().collect();
    picked.sort_unstable();
    picked.into_iter().map(|position| Kept { call: calls[position], position }).collect()
}

/// Leaves out as much as it can: halves first, single calls at last, until no single one can go.
fn reduce<'h>(
    mut kept: Vec<Kept<'h>>,
    violated: &impl Fn(&[Kept<'h>]) -> bool,
    expired: &dyn Fn() -> bool,
) -> Vec<Kept<'h>> {
    let mut chunk = (kept.len() / 2).max(1);
    loop {
        let before = kept.len();
        kept = without_chunks(kept, chunk, violated, expired);
        if expired() || (chunk == 1 && kept.len() == before) {
            return kept;
        }
        chunk = (chunk / 2).max(1);
    }
}

/// Forgets everything from the first instant on at which the violation is complete.
fn shortest_prefix<'h>(
    all: Vec<Kept<'h>>,
    violated: &impl Fn(&[Kept<'h>]) -> bool,
    budget: &Budget<'_>,
) -> Vec<Kept<'h>> {
    let mut returns: Vec<u32> = all.iter().map(|k| k.call.ret).filter(|&ret| ret != OPEN).collect();
    returns.sort_unstable();
    let (mut low, mut high) = (0, returns.len().saturating_sub(1));
    while low < high && !(budget.expired)() {
        let middle = (low + high) / 2;
        match violated(&cut_off(&all, returns[middle])) {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    match returns.get(high) {
        // Only the last, whole prefix needs no proof of its own.
        Some(&ret) if high + 1 < returns.len() => cut_off(&all, ret),
        _ => all,
    }
}

/// What is known of the calls at this instant: those that begin later do not exist, those that return later are open.
pub(super) fn prefix<'h>(calls: &[Call<'h>], until: u32) -> Vec<Kept<'h>> {
    cut_off(&keep_all(calls), until)
}

fn cut_off<'h>(all: &[Kept<'h>], until: u32) -> Vec<Kept<'h>> {
    all.iter()
        .filter(|k| k.call.call <= until)
        .filter(|k| k.call.ret <= until || !k.call.is_read_only())
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
    violated: &impl Fn(&[Kept<'h>]) -> bool,
    expired: &dyn Fn() -> bool,
) -> Vec<Kept<'h>> {
    let mut end = kept.len();
    while end > 0 && !expired() {
        let start = end.saturating_sub(chunk);
        let rest = without(&kept, start..end);
        if rest.len() < kept.len() && violated(&rest) {
            kept = rest;
        }
        end = start.min(kept.len());
    }
    kept
}

/// Leaves out what may be left out of this range.
pub(super) fn without<'h>(kept: &[Kept<'h>], range: std::ops::Range<usize>) -> Vec<Kept<'h>> {
    let stays = |at: usize, k: &Kept<'h>| !range.contains(&at) || !k.call.is_read_only();
    let mut rest: Vec<Kept<'h>> =
        kept.iter().enumerate().filter(|(at, k)| stays(*at, k)).map(|(_, k)| *k).collect();
    if rest.iter().any(|k| k.call.differs_from().is_some()) {
        return rest;
    }
    let chosen: FxHashSet<usize> = kept[range].iter().map(|k| k.position).collect();
    loop {
        let before = rest.len();
        drop_unseen(&mut rest, &chosen);
        if rest.len() <= SMALL {
            drop_divided(&mut rest, &chosen);
        }
        // A CAS that was left out saw something, too.
        if rest.len() == before {
            return rest;
        }
    }
}

/// Up to how many calls every pair of them may be looked at.
const SMALL: usize = 512;

/// Leaves out the chosen updates of values that nobody saw.
fn drop_unseen(rest: &mut Vec<Kept<'_>>, chosen: &FxHashSet<usize>) {
    let seen: FxHashSet<&Value> = rest.iter().flat_map(|k| observed(&k.call)).collect();
    rest.retain(|k| !chosen.contains(&k.position) || k.call.puts().is_none_or(|value| seen.contains(value)));
}

/// Leaves out, one by one, the chosen updates of a register that nobody who saw their value can have seen. One that put
/// the value stays.
fn drop_divided(rest: &mut Vec<Kept<'_>>, chosen: &FxHashSet<usize>) {
    if rest.iter().any(|k| !is_of_a_register(&k.call)) {
        return;
    }
    let mut at = 0;
    while at < rest.len() {
        let this = rest[at].call;
        let goes = chosen.contains(&rest[at].position)
            && this.puts().is_some_and(|value| {
                let others =
                    || rest.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, k)| &k.call);
                others().any(|other| other.puts() == Some(value))
                    && others()
                        .filter(|call| call.observes() == Some(value))
                        .all(|reader| cannot_see(reader, &this, value, others()))
            });
        match goes {
            true => drop(rest.remove(at)),
            false => at += 1,
        }
    }
}

fn is_of_a_register(call: &Call<'_>) -> bool {
    matches!(call.op, Op::Read { .. } | Op::Write { .. } | Op::Cas { .. } | Op::Delete { .. })
        && !matches!(call.observes(), Some(Value::List(_)))
}

/// Whether this reader was over before the call that put the value began, or another update came between them.
fn cannot_see<'c, 'h: 'c>(
    reader: &Call<'_>,
    maker: &Call<'_>,
    value: &Value,
    mut others: impl Iterator<Item = &'c Call<'h>>,
) -> bool {
    // A call of unknown outcome may look at any later time.
    let between = |call: &Call<'_>| {
        call.ret != OPEN
            && call.puts().is_some_and(|other| other != value)
            && maker.ret < call.call
            && call.ret < reader.call
    };
    reader.ret < maker.call || others.any(between)
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
