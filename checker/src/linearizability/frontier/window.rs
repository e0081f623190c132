//! A stretch of a history that is a contradiction by itself, whatever came before it.
//!
//! What happened before the stretch is forgotten: the register may hold anything at first, a call that was open at the
//! edge may have taken effect outside, or not at all, and so may every unknown one, as often as is of use. Each of these
//! only allows more. So if even then there is no way, there is none in the whole history; and the stretch is all that
//! a reader has to look at.

use super::plan::{Happening, Plan};
use super::{Ended, Manner, Start, Width, sweep_all};
use crate::linearizability::ration::with_ration;
use crate::linearizability::search::Unknowns;
use crate::linearizability::shrink::Kept;
use crate::linearizability::{Call, OPEN};
use crate::verdict::Budget;

/// How many events the stretches have, the smallest first.
const LENGTHS: [usize; 4] = [32, 128, 512, 2048];
/// How often the judgement of one stretch may look at the budget.
const LOOKS: u64 = 24;

/// The shortest stretch up to the event of this number that is a contradiction.
pub(super) fn find<'h>(
    calls: &[Call<'h>],
    plan: &Plan,
    last: usize,
    budget: &Budget<'_>,
) -> Option<Vec<Kept<'h>>> {
    let until = plan.events[last].0;
    LENGTHS.iter().take_while(|&&length| length < last).find_map(|length| {
        let stretch = cut(calls, plan.events[last - length].0, until);
        is_contradiction(&stretch, budget).then_some(stretch)
    })
}

/// Whether these calls have no order, whatever the register held at first.
pub(in crate::linearizability) fn is_contradiction(stretch: &[Kept<'_>], budget: &Budget<'_>) -> bool {
    let calls: Vec<Call<'_>> = stretch.iter().map(|kept| kept.call).collect();
    let Some(plan) = Plan::new(&calls) else { return false };
    let free = Manner { width: Width::Whole, unknowns: Unknowns::Unlimited, lacking: None };
    let manners = [free, Manner { unknowns: Unknowns::Counted, ..free }];
    let needed = if plan.kins.is_empty() { 1 } else { 2 };
    manners.into_iter().take(needed).any(|manner| {
        with_ration(budget, LOOKS, |budget| {
            matches!(sweep_all(&plan, manner, Start::Whatever, budget), (Ended::NoWay, _))
        })
    })
}

/// The calls of the events in these instants, both included. What reaches out of them is unknown, or says nothing.
pub(in crate::linearizability) fn cut<'h>(calls: &[Call<'h>], from: u32, until: u32) -> Vec<Kept<'h>> {
    let inside = |call: &Call<'_>| call.call >= from && call.ret <= until;
    calls
        .iter()
        .enumerate()
        .filter(|(_, call)| call.call <= until && call.ret >= from)
        .filter(|(_, call)| inside(call) || !call.is_read_only())
        .map(|(position, call)| match inside(call) {
            true => Kept { call: *call, position },
            false => Kept { call: Call { ret: OPEN, reply: None, ..*call }, position },
        })
        .collect()
}

/// The instant of the last return among so many events.
pub(super) fn last_return(plan: &Plan, happened: usize) -> Option<u32> {
    let until = plan.events.get(..=happened).unwrap_or(&plan.events);
    until.iter().rev().find(|event| event.1 == Happening::Returns).map(|event| event.0)
}
