//! Decides registers whose values repeat: the stages, from the cheap to the costly.
//!
//! 1. A value that was seen and that nobody can have put there ([`sources`]): violated.
//! 2. Wing & Gong's search ([`search`]) until it has made some wrong choices: an easy history is decided by it, faster than by
//!    anything else, and a hard one has lost little.
//! 3. The frontier ([`frontier`]), which is itself a beam that proves "holds", stretches that prove "violated", and an exact
//!    sweep for what is left.
//! 4. The whole of that search, where more calls are open at once than the frontier has slots for, or where it
//!    needs more memory than there is.
//!
//! Invariant: "violated" of the frontier is asked again of the plain search, which prunes by almost no rule, on the calls
//! that are said to contradict each other. Where the two disagree nothing is decided.

#[cfg(test)]
mod tests;

use super::frontier::{self, Decided, Start};
use super::kinds::{Judge, Kind};
use super::ration::with_ration;
use super::search::{self, Found};
use super::shrink::{self, Kept};
use super::{Call, Contradiction, Ruling, sources};
use crate::history::{Op, Reply, Value};
use crate::model::Register;
use crate::verdict::{Budget, Cause};

/// How many wrong choices the first search may make, beside one for every two calls.
const WRONG: u64 = 64;
/// How often the second opinion may look at the budget.
const SECOND_OPINION: u64 = 32;
/// ... and from how many values it starts.
const SECOND_STARTS: usize = 8;

/// Decides the calls of one register.
pub(super) fn decide(calls: &[Call<'_>], budget: &Budget<'_>) -> Found {
    if sources::find(calls).is_some() {
        return Found::Violated;
    }
    let wrong = WRONG + calls.len() as u64 / 2;
    let first = search::search_hastily(calls, &Register, wrong, budget);
    if !matches!(first, Found::Undecided(Cause::Time { .. } | Cause::Memory { .. })) {
        return first;
    }
    match frontier::decide(calls, budget) {
        Some(Decided::Holds(order)) => Found::Holds(order),
        Some(Decided::Violated(kept, start)) if refuted(&kept, start, budget) => {
            let reason = "two stages of the checker disagree; please report this history".to_owned();
            Found::Undecided(Cause::Evidence { reason })
        }
        Some(Decided::Violated(..)) => Found::Violated,
        None | Some(Decided::Undecided(Cause::Memory { .. })) => search::search(calls, &Register, budget),
        Some(Decided::Undecided(cause)) => Found::Undecided(cause),
    }
}

/// Whether the plain search finds an order after all.
fn refuted(kept: &[Kept<'_>], start: Start, budget: &Budget<'_>) -> bool {
    let calls = shrink::calls_of(kept);
    let holds = |calls: &[Call<'_>]| {
        let again = with_ration(budget, SECOND_OPINION, |budget| search::search(calls, &Register, budget));
        matches!(again, Found::Holds(_))
    };
    if holds(&calls) {
        return true;
    }
    let mut values: Vec<&Value> = match start {
        Start::Whatever => calls.iter().filter_map(Call::observes).collect(),
        Start::Initially => Vec::new(),
    };
    values.sort_unstable();
    values.dedup();
    // A few of the values that the register may have held before the stretch: each is a write before everything.
    values.into_iter().take(SECOND_STARTS).any(|value| {
        let op = Op::Write { key: calls[0].op.key().clone(), value: value.clone() };
        let before = Call { op: &op, reply: Some(&Reply::Done), call: 0, ret: 0, origin: u32::MAX };
        let mut all = vec![before];
        all.extend(&calls);
        holds(&all)
    })
}

/// The few calls of a violated register that contradict each other, and why.
pub(super) fn explain(calls: &[Call<'_>], budget: &Budget<'_>) -> Option<Contradiction> {
    let (kept, start) = match sources::find(calls) {
        Some(found) => (shrink::chosen(calls, found.calls(calls).into_iter().collect()), Start::Initially),
        None => match frontier::decide(calls, budget)? {
            Decided::Violated(kept, start) => (kept, start),
            _ => return None,
        },
    };
    let violated = |kept: &[Kept<'_>], budget: &Budget<'_>| match start {
        Start::Whatever => frontier::is_contradiction(kept, budget),
        Start::Initially => decide(&shrink::calls_of(kept), budget) == Found::Violated,
    };
    let core = shrink::shrink_from(kept, calls, &Kind::Register, &violated, budget);
    let picked = core.iter().map(|kept| kept.position).collect();
    Some(Contradiction { calls: picked, why: reason(calls, &core, start, budget) })
}

/// Why the calls of a core are a contradiction, in one sentence.
fn reason(calls: &[Call<'_>], core: &[Kept<'_>], start: Start, budget: &Budget<'_>) -> String {
    let small = shrink::calls_of(core);
    if start == Start::Initially {
        if let Some(found) = sources::find(&small) {
            // Whoever else put the value there is counted, too.
            return found.moved(|at| core[at].position).why(calls);
        }
        if let Ruling::Violated(found) = Kind::Register.rule(&small, budget) {
            return found.why;
        }
    }
    let whatever = match start {
        Start::Whatever => ", whatever was there before",
        Start::Initially => "",
    };
    format!("{}{whatever}", shrink::unordered(core.len()))
}
