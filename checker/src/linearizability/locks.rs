//! Locks that know their holder, fenced or not: exact, in O(n log n), with any number of unknown operations.
//!
//! One owner calls one thing after the other, so its acquires and releases alternate, and each acquire with the release
//! behind it is a block that nothing of another owner can interrupt. A lock that is never released is a block that ends
//! after everything. The zone theorem arranges the blocks; where every acquire told a token, the tokens are the order.
//! The last operation of an owner may be unknown: an acquire of which nothing more is known helps nobody and is left out; a
//! release may happen as late as it likes.
//!
//! Not covered: an owner with two calls open at once, and one that goes on after an unknown one.

use std::collections::BTreeMap;

use super::lists::Layers;
use super::placement::Blocks;
use super::zones::{self, Zone};
use super::{Call, Contradiction, OPEN, Ruling};
use crate::history::{Reply, Value};
use crate::model::{Turn, owner, token};

/// An acquire, and the release behind it.
#[derive(Clone, Copy)]
struct Hold {
    acquire: usize,
    release: Option<usize>,
}

impl Hold {
    fn calls(self) -> impl Iterator<Item = usize> {
        std::iter::once(self.acquire).chain(self.release)
    }

    fn zone(self, calls: &[Call<'_>]) -> Zone {
        let first = self.calls().map(|at| (calls[at].ret, at)).min().unwrap_or((OPEN, self.acquire));
        let last = match self.release {
            Some(_) => self.calls().map(|at| (calls[at].call, at)).max(),
            None => Some((OPEN, self.acquire)),
        };
        Zone { first_return: first, last_call: last.unwrap_or((OPEN, self.acquire)) }
    }
}

/// Judges a lock with owners.
pub(super) fn owned(calls: &[Call<'_>]) -> Ruling {
    let holds = match holds(calls) {
        Ok(holds) => holds,
        Err(ruling) => return ruling,
    };
    let zones: Vec<Zone> = holds.iter().map(|hold| hold.zone(calls)).collect();
    if let Some((a, b)) = zones::conflict(&zones) {
        return Ruling::Violated(both_hold(calls, holds[a], holds[b]));
    }
    let mut blocks = Blocks::with_capacity(calls.len());
    for (hold, zone) in holds.iter().zip(zones) {
        hold.calls().for_each(|at| blocks.extend(&[at]));
        blocks.close(zone);
    }
    Ruling::Holds(blocks.arrange())
}

/// Judges a lock with owners and tokens.
pub(super) fn fenced(calls: &[Call<'_>]) -> Ruling {
    let mut holds = match holds(calls) {
        Ok(holds) => holds,
        Err(ruling) => return ruling,
    };
    let told = |hold: &Hold| token(calls[hold.acquire].reply);
    if holds.iter().all(|hold| told(hold).is_none()) {
        return owned(calls);
    }
    if holds.iter().any(|hold| told(hold).is_none()) {
        // Without some of the tokens the blocks still exclude each other.
        return match owned(calls) {
            Ruling::Holds(_) => Ruling::NotCovered,
            other => other,
        };
    }
    holds.sort_by_key(told);
    if let Some(pair) = holds.windows(2).find(|pair| told(&pair[0]) == told(&pair[1])) {
        let (a, b) = (pair[0].acquire, pair[1].acquire);
        let why = format!("{} and {} got the same token", calls[a], calls[b]);
        return Ruling::Violated(Contradiction { calls: vec![a, b], why });
    }
    in_order(calls, &holds)
}

/// The holds in the order of their tokens.
fn in_order(calls: &[Call<'_>], holds: &[Hold]) -> Ruling {
    let mut order = Vec::with_capacity(calls.len());
    let mut layers = Layers { calls, latest: (0, 0), order: &mut order };
    for (at, hold) in holds.iter().enumerate() {
        for call in hold.calls() {
            if let Err((early, late)) = layers.push(vec![call]) {
                return Ruling::Violated(backward(calls, holds, early, late));
            }
        }
        if let (None, Some(next)) = (hold.release, holds.get(at + 1)) {
            let (kept, larger) = (&calls[hold.acquire], &calls[next.acquire]);
            let why = format!("{larger} got a larger token than {kept}, which was never released");
            return Ruling::Violated(Contradiction { calls: vec![hold.acquire, next.acquire], why });
        }
    }
    Ruling::Holds(order)
}

/// `early` belongs to a hold with a larger token than that of `late`, yet returned before `late` began.
fn backward(calls: &[Call<'_>], holds: &[Hold], early: usize, late: usize) -> Contradiction {
    let of = |call: usize| holds.iter().filter(move |hold| hold.calls().any(|at| at == call));
    let picked: Vec<usize> = of(early).chain(of(late)).flat_map(|hold| hold.calls()).collect();
    let (e, l) = (&calls[early], &calls[late]);
    let why = match Turn::of(l.op) {
        Some(Turn::Acquire) => {
            format!("{e} completed before {l} was invoked, yet the later one has the smaller token")
        }
        _ => format!("{e} completed before {l} was invoked, which gave back what has a smaller token"),
    };
    Contradiction { calls: picked, why }
}

/// What each owner held; or that its own calls contradict each other; or that they are not covered.
fn holds(calls: &[Call<'_>]) -> Result<Vec<Hold>, Ruling> {
    let mut owners: BTreeMap<&Value, Vec<usize>> = BTreeMap::new();
    for (at, call) in calls.iter().enumerate() {
        match (Turn::of(call.op), call.reply, owner(call.op)) {
            (Some(_), Some(Reply::Mismatch(_)), _) | (None, ..) | (_, _, None) => {
                return Err(Ruling::NotCovered);
            }
            (Some(_), _, Some(owner)) => owners.entry(owner).or_default().push(at),
        }
    }
    let mut holds = Vec::new();
    for (_, mut own) in owners {
        own.sort_by_key(|&at| calls[at].call);
        if own.windows(2).any(|pair| calls[pair[0]].ret >= calls[pair[1]].call) {
            return Err(Ruling::NotCovered);
        }
        of_owner(calls, &own, &mut holds).map_err(Ruling::Violated)?;
    }
    Ok(holds)
}

/// What one owner held, whose calls follow each other.
fn of_owner(calls: &[Call<'_>], own: &[usize], holds: &mut Vec<Hold>) -> Result<(), Contradiction> {
    let mut held: Option<usize> = None;
    let mut before: Option<Hold> = None;
    for &at in own {
        match (Turn::of(calls[at].op), held) {
            (Some(Turn::Acquire), Some(first)) if calls[at].ret != OPEN => {
                let why = format!("{} has the lock already, by {}", calls[at], calls[first]);
                return Err(Contradiction { calls: vec![first, at], why });
            }
            (Some(Turn::Acquire), None) if calls[at].ret != OPEN => held = Some(at),
            (Some(Turn::Release), Some(acquire)) => {
                let hold = Hold { acquire, release: Some(at) };
                holds.push(hold);
                before = Some(hold);
                held = None;
            }
            (Some(Turn::Release), None) if calls[at].ret != OPEN => {
                let mut picked: Vec<usize> = before.into_iter().flat_map(Hold::calls).collect();
                picked.push(at);
                let why = match before {
                    None => format!("{} gave back a lock that it never had", calls[at]),
                    Some(_) => format!("{} gave back a lock that it had given back before", calls[at]),
                };
                return Err(Contradiction { calls: picked, why });
            }
            // The last one, of which nothing is known, need not have happened.
            _ => {}
        }
    }
    holds.extend(held.map(|acquire| Hold { acquire, release: None }));
    Ok(())
}

/// Two holds that must each come before the other.
fn both_hold(calls: &[Call<'_>], a: Hold, b: Hold) -> Contradiction {
    let until = |hold: Hold| match hold.release {
        Some(release) => format!("{} (given back by {})", calls[hold.acquire], calls[release]),
        None => format!("{} (never given back)", calls[hold.acquire]),
    };
    let why = format!("{} and {} had the lock at the same time", until(a), until(b));
    Contradiction { calls: a.calls().chain(b.calls()).collect(), why }
}
