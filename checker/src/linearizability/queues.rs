//! Queues. First-in-first-out with values that are enqueued once each: exact, in O(n log n), with any number of unknown
//! operations. Without an order: exact where no dequeue found nothing, also for values that repeat, and where the values
//! are unique.
//!
//! First in, first out: besides a value from nowhere, one that is taken twice, and one that is taken before it is put,
//! only two things can be wrong (Henzinger, Sezgin & Vafeiadis, *Aspect-oriented linearizability proofs*, 2013). *Order*:
//! `a` was put before `b`, and `b` was taken before `a`, or `a` never was. *Emptiness*: a dequeue found nothing, though at
//! every instant of it some element had been put for certain and had not been taken yet. An unknown dequeue may have taken
//! an element that nobody saw leave; each such element needs one that began in time, and the one with the earliest deadline
//! takes the earliest. The order of the elements follows from both sides, and puts and takes are merged along it.
//!
//! Without an order, elements do not bother each other: everything is put as early and taken as late as it can be.

mod elements;
mod merge;

use super::{Call, Contradiction, Ruling};
use crate::history::Value;
use crate::model::Passing;
use elements::{Element, Elements, Side};

/// Judges a queue that is first in, first out.
pub(super) fn fifo(calls: &[Call<'_>]) -> Ruling {
    let mut elements = match Elements::collect(calls) {
        Ok(elements) => elements,
        Err(ruling) => return ruling,
    };
    if let Some(found) = elements.overtaken().or_else(|| elements.assign()) {
        return Ruling::Violated(found);
    }
    if let Some(found) = elements.never_empty() {
        return Ruling::Violated(found);
    }
    let known = elements.settled();
    match merge::order(&known).and_then(|order| merge::merge(&known, &order)) {
        Some(order) => Ruling::Holds(order),
        None => Ruling::NotCovered,
    }
}

/// Judges a queue without an order.
pub(super) fn unordered(calls: &[Call<'_>]) -> Ruling {
    let Some(passing) = calls.iter().map(|call| Passing::of(call.op, call.reply)).collect::<Option<Vec<_>>>()
    else {
        return Ruling::NotCovered;
    };
    if let Some(found) = too_many_taken(calls, &passing) {
        return Ruling::Violated(found);
    }
    if !passing.contains(&Passing::Empty) {
        return Ruling::Holds(extremes(calls, &passing));
    }
    let elements = match Elements::collect(calls) {
        Ok(elements) => elements,
        Err(ruling) => return ruling,
    };
    // Which element an unknown dequeue took would have to be found out.
    if elements.has_leftovers() && !elements.unseen.is_empty() {
        return Ruling::NotCovered;
    }
    match elements.never_empty() {
        Some(found) => Ruling::Violated(found),
        None => Ruling::Holds(elements.around_the_empty()),
    }
}

/// More takes of one value than it was put for: everything is put at its call and taken at its return.
fn too_many_taken(calls: &[Call<'_>], passing: &[Passing<'_>]) -> Option<Contradiction> {
    let mut of: std::collections::BTreeMap<&Value, Vec<(u32, bool, usize)>> = Default::default();
    for (at, &pass) in passing.iter().enumerate() {
        match pass {
            Passing::Enqueue(value) => of.entry(value).or_default().push((calls[at].call, false, at)),
            Passing::Dequeue(value) => of.entry(value).or_default().push((calls[at].ret, true, at)),
            Passing::Empty | Passing::Unseen => {}
        }
    }
    for (value, mut moves) in of {
        moves.sort_unstable();
        let mut held = 0usize;
        for (position, &(_, takes, at)) in moves.iter().enumerate() {
            match (takes, held) {
                (false, _) => held += 1,
                (true, 1..) => held -= 1,
                (true, 0) => {
                    let picked: Vec<usize> = moves[..=position].iter().map(|one| one.2).collect();
                    let why = match (picked.len(), moves.iter().any(|one| !one.1)) {
                        (_, false) => format!("{} took what nobody ever tried to put", calls[at]),
                        (1, true) => {
                            let put = moves.iter().find(|one| !one.1).map_or(at, |one| one.2);
                            format!("{} completed before {} was invoked", calls[at], calls[put])
                        }
                        (count, true) => format!(
                            "{value} was taken {} times, and had been put {} times at most by then",
                            count - moves[..=position].iter().filter(|one| !one.1).count(),
                            moves[..=position].iter().filter(|one| !one.1).count(),
                        ),
                    };
                    return Some(Contradiction { calls: picked, why });
                }
            }
        }
    }
    None
}

fn extremes(calls: &[Call<'_>], passing: &[Passing<'_>]) -> Vec<usize> {
    let mut moves: Vec<(u32, bool, usize)> = Vec::new();
    for (at, pass) in passing.iter().enumerate() {
        match pass {
            Passing::Enqueue(_) => moves.push((calls[at].call, false, at)),
            Passing::Dequeue(_) => moves.push((calls[at].ret, true, at)),
            Passing::Empty | Passing::Unseen => {}
        }
    }
    moves.sort_unstable();
    moves.into_iter().map(|one| one.2).collect()
}
