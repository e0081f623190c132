//! Makes a violation small where values alone do not say what may be left out.
//!
//! Invariant: every step keeps the proof. What completed after some instant may be taken as unknown; what can only observe
//! may be left out; and so may a whole [part](crate::model::Model::part), because leaving it out keeps a legal sequence
//! legal. When the budget ends, what is left so far is the answer.

use std::collections::BTreeSet;

use super::kinds::Judge;
use super::search::Found;
use super::shrink::Kept;
use super::{Call, OPEN, Ruling, with_ration};
use crate::history::Value;
use crate::verdict::Budget;

/// How often one attempt to leave something out may look at the budget.
const LOOKS_PER_ATTEMPT: u64 = 128;

/// What can be left out alone, or only together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    /// A call that only observes, by its position.
    Observer(usize),
    /// All calls of a part.
    Part(Value),
}

/// Shrinks calls that were found violated.
pub(super) fn shrink<'h>(calls: &[Call<'h>], judge: &dyn Judge, budget: &Budget<'_>) -> Vec<Kept<'h>> {
    let kept: Vec<Kept<'h>> =
        calls.iter().enumerate().map(|(position, &call)| Kept { call, position }).collect();
    let kept = shortest_prefix(kept, judge, budget);
    reduce(kept, judge, budget)
}

/// Forgets everything from the first instant on at which the violation is complete.
fn shortest_prefix<'h>(all: Vec<Kept<'h>>, judge: &dyn Judge, budget: &Budget<'_>) -> Vec<Kept<'h>> {
    let mut returns: Vec<u32> = all.iter().map(|k| k.call.ret).filter(|&ret| ret != OPEN).collect();
    returns.sort_unstable();
    let (mut low, mut high) = (0, returns.len().saturating_sub(1));
    while low < high && !(budget.expired)() {
        let middle = (low + high) / 2;
        match violated(&prefix(&all, returns[middle], judge), judge, budget) {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    match returns.get(high) {
        // Only the last, whole prefix needs no proof of its own.
        Some(&ret) if high + 1 < returns.len() => prefix(&all, ret, judge),
        _ => all,
    }
}

fn prefix<'h>(all: &[Kept<'h>], until: u32, judge: &dyn Judge) -> Vec<Kept<'h>> {
    all.iter()
        .filter(|k| k.call.call <= until)
        .filter(|k| k.call.ret <= until || !judge.is_read_only(&k.call))
        .map(|k| match k.call.ret <= until {
            true => *k,
            false => Kept { call: Call { ret: OPEN, reply: None, ..k.call }, position: k.position },
        })
        .collect()
}

/// Leaves out as long as the rest is a violation: many pieces at a time first, one at a time at last.
fn reduce<'h>(mut kept: Vec<Kept<'h>>, judge: &dyn Judge, budget: &Budget<'_>) -> Vec<Kept<'h>> {
    let piece = |k: &Kept<'h>| match judge.is_read_only(&k.call) {
        true => Some(Piece::Observer(k.position)),
        false => judge.part(&k.call).map(Piece::Part),
    };
    let pieces: BTreeSet<Piece> = kept.iter().filter_map(piece).collect();
    let mut pieces: Vec<Piece> = pieces.into_iter().collect();
    let mut chunk = (pieces.len() / 2).max(1);
    while !pieces.is_empty() && !(budget.expired)() {
        let before = pieces.len();
        let mut at = 0;
        while at < pieces.len() && !(budget.expired)() {
            let end = (at + chunk).min(pieces.len());
            let dropped: BTreeSet<&Piece> = pieces[at..end].iter().collect();
            let stays = |k: &&Kept<'h>| piece(k).is_none_or(|piece| !dropped.contains(&piece));
            let rest: Vec<Kept<'h>> = kept.iter().filter(stays).copied().collect();
            match violated(&rest, judge, budget) {
                true => {
                    kept = rest;
                    pieces.drain(at..end);
                }
                false => at = end,
            }
        }
        if chunk == 1 && pieces.len() == before {
            break;
        }
        chunk = (chunk / 2).max(1);
    }
    kept
}

/// By the rule, or else by the search.
fn violated(kept: &[Kept<'_>], judge: &dyn Judge, budget: &Budget<'_>) -> bool {
    let calls: Vec<Call<'_>> = kept.iter().map(|k| k.call).collect();
    with_ration(budget, LOOKS_PER_ATTEMPT, |budget| match judge.rule(&calls, budget) {
        Ruling::Violated(_) => true,
        Ruling::Holds(_) => false,
        _ => judge.search(&calls, budget) == Found::Violated,
    })
}
