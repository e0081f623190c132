//! Decides registers whose values repeat: the stages, from the cheap to the costly.
//!
//! 1. A value that was seen and that nobody can have put there ([`sources`]): violated.
//! 2. Some steps of Wing & Gong's search ([`search`]) for each call: an easy history is decided by them, faster than by
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
use super::ration::with_ration;
use super::search::{self, Found};
use super::shrink::{self, Kept};
use super::{Call, Contradiction, sources};
use crate::history::{Op, Reply, Value};
use crate::model::Register;
use crate::verdict::{Budget, Cause};

/// How often the second opinion may look at the budget.
const SECOND_OPINION: u64 = 32;
/// ... and from how many values it starts.
const SECOND_STARTS: usize = 8;

/// Decides the calls of one register.
pub(super) fn decide(calls: &[Call<'_>], budget: &Budget<'_>) -> Found {
    if sources::contradiction(calls).is_some() {
        return Found::Violated;
    }
    let first = with_ration(budget, first_looks(calls), |budget| search::search(calls, &Register, budget));
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

/// The search looks once in a thousand steps, and needs as many steps as there are calls where no choice is wrong.
fn first_looks(calls: &[Call<'_>]) -> u64 {
    1 + calls.len() as u64 / 1024
}

/// Whether the plain search finds an order after all.
fn refuted(kept: &[Kept<'_>], start: Start, budget: &Budget<'_>) -> bool {
    let calls: Vec<Call<'_>> = kept.iter().map(|kept| kept.call).collect();
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
    if let Some(found) = sources::contradiction(calls) {
        return Some(found);
    }
    let Some(Decided::Violated(kept, start)) = frontier::decide(calls, budget) else { return None };
    let violated = |kept: &[Kept<'_>], budget: &Budget<'_>| match start {
        Start::Whatever => frontier::is_contradiction(kept, budget),
        Start::Initially => {
            let calls: Vec<Call<'_>> = kept.iter().map(|kept| kept.call).collect();
            decide(&calls, budget) == Found::Violated
        }
    };
    let core = shrink::shrink_from(kept, &violated, budget);
    let whatever = match start {
        Start::Whatever => ", whatever was there before",
        Start::Initially => "",
    };
    let why = format!(
        "no order of these {} operations that respects their times explains what they saw{whatever}",
        core.len()
    );
    Some(Contradiction { calls: core.iter().map(|kept| kept.position).collect(), why })
}
