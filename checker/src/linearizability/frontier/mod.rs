//! Decides registers whose values repeat: instant by instant, with the ways in which things may stand.
//!
//! Calls take effect as late as possible: when one returns, or when an open call needs what another one makes. What
//! keeps the set of configurations small (each rule is compared with the dumb twin, and the twin notices when one of
//! the [`Condition`]s is left out):
//!
//! * A read that is legal takes effect at once.
//! * Unknown calls are counted per kind; a configuration that used fewer of each is better ([`configuration`]).
//! * Hiding: an open write may sit unseen just before any blind write that takes effect while it is open.
//! * A write takes effect early only if an open call needs its value, directly or through unknown CAS.
//! * Absorbing: an open write whose remaining readers are all open sits with them just before the next blind write.
//! * Of open calls that are alike the one that returns first takes effect first. (A write that could be hidden is no
//!   exception here, since it can hide behind its like; with appends it would be one.)
//! * A value that nobody will look for is like any other such; a value that is looked for, is gone, and cannot be made
//!   again ends a configuration.
//!
//! A narrow beam that widens where it has to ([`course`]) proves "holds"; a stretch of the history with everything
//! before it forgotten ([`window`]), or no limit on unknown calls, proves "violated"; a sweep with nothing left out is
//! exact. Deliberately lacking: more than 4,096 calls open at once, and values that are built from values (lists).
//!
//! References: Lowe, Testing for Linearizability, 2017 (just-in-time linearization).

mod board;
mod configuration;
mod course;
mod plan;
mod slots;
mod sweep;
mod trail;
mod window;

#[cfg(test)]
mod tests;

use rustc_hash::{FxHashMap, FxHashSet};

use super::kinds::Kind;
use super::search::Unknowns;
use super::shrink::{self, Kept};
use super::{Call, OPEN, witness};
use crate::history::Value;
use crate::model::Register;
use crate::verdict::{Budget, Cause};
use course::Course;
use plan::Plan;
use sweep::Sweep;
#[cfg(test)]
pub(super) use window::cut;
pub(super) use window::is_contradiction;

/// What makes a pruning rule sound. Tests leave one out to see that it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// No write is absorbed while a refused CAS is still to find the state different from something.
    AbsorbOnlyWithoutRefusals,
    /// A write of the value that is there already takes effect all the same: it hides others.
    RewriteHides,
    /// Of open calls that are alike it is the one that returns first that goes first.
    EarliestLikeFirst,
}

/// How much of the frontier is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    /// All of it.
    Whole,
    /// The most promising ones, as this taste has it.
    Beam(usize, Taste),
}

/// What makes a configuration promising.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taste {
    /// Few unknown calls used.
    FewUnknowns,
    /// Few unknown calls used and few open writes gone, taken together.
    FewWrites,
}

/// What the register holds before everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Its initial value.
    Initially,
    /// Anything.
    Whatever,
}

/// How a sweep is done.
#[derive(Clone, Copy)]
struct Manner {
    width: Width,
    unknowns: Unknowns,
    /// The condition that a test leaves out.
    lacking: Option<Condition>,
}

/// How a sweep over all events ended.
#[derive(Debug)]
enum Ended {
    /// A configuration arrived: its order.
    Arrived(Vec<usize>),
    /// A configuration arrived that used more unknown calls than there are.
    Overdrawn,
    /// There is no way.
    NoWay,
    /// The beam lost its way.
    Lost,
    /// The budget ran out.
    Spent(Cause),
}

/// What came out.
pub(super) enum Decided<'h> {
    /// An order.
    Holds(Vec<usize>),
    /// These calls have no order, if the register starts like this.
    Violated(Vec<Kept<'h>>, Start),
    /// The budget ran out.
    Undecided(Cause),
}

/// Calls a function with the smallest width that has a slot for every open call of a plan; `$otherwise` where there are
/// too many.
macro_rules! by_width {
    ($plan:expr, $function:ident($($argument:expr),*), $otherwise:expr) => {
        match $plan.width {
            0..=64 => $function::<1>($($argument),*),
            65..=128 => $function::<2>($($argument),*),
            129..=256 => $function::<4>($($argument),*),
            257..=1024 => $function::<16>($($argument),*),
            1025..=4096 => $function::<64>($($argument),*),
            _ => $otherwise,
        }
    };
}

/// Decides the calls of one register; `None` where that is beyond this procedure.
pub(super) fn decide<'h>(calls: &[Call<'h>], budget: &Budget<'_>) -> Option<Decided<'h>> {
    let plan = Plan::new(calls)?;
    match by_width!(plan, beam(calls, &plan, budget), None) {
        None | Some(Decided::Undecided(Cause::Memory { .. })) => {}
        decided => return decided,
    }
    let exact = Manner { width: Width::Whole, unknowns: Unknowns::Counted, lacking: None };
    let relaxed = (!plan.kins.is_empty()).then_some(Manner { unknowns: Unknowns::Unlimited, ..exact });
    let mut last = None;
    for manner in relaxed.into_iter().chain([exact]) {
        last = match sweep_all(&plan, manner, Start::Initially, budget) {
            // What does not replay would be a mistake of ours: others shall decide then.
            (Ended::Arrived(order), _) if witness::replay(calls, &Register, &order) => {
                Some(Decided::Holds(order))
            }
            (Ended::NoWay, at) => Some(located(calls, &plan, at, budget)),
            (Ended::Spent(cause), _) => Some(Decided::Undecided(cause)),
            (Ended::Arrived(_) | Ended::Overdrawn | Ended::Lost, _) => None,
        };
        if !matches!(last, Some(Decided::Undecided(Cause::Memory { .. })) | None) {
            break;
        }
    }
    last
}

/// The beam; wherever it is lost for the second and the last time, the stretch before is asked whether it is a
/// contradiction. `None` if neither knows.
fn beam<'h, const W: usize>(calls: &[Call<'h>], plan: &Plan, budget: &Budget<'_>) -> Option<Decided<'h>> {
    let mut course = Course::<W>::new(plan, budget);
    loop {
        match course.go() {
            Ended::Arrived(order) if witness::replay(calls, &Register, &order) => {
                return Some(Decided::Holds(order));
            }
            Ended::Arrived(_) | Ended::Overdrawn => return None,
            Ended::NoWay => return Some(located(calls, plan, course.happened(), budget)),
            Ended::Spent(cause) => return Some(Decided::Undecided(cause)),
            Ended::Lost => {}
        }
        if matches!(course.attempts, 1 | 3)
            && let Some(stretch) = window::find(calls, plan, course.happened(), budget)
        {
            return Some(Decided::Violated(stretch, Start::Whatever));
        }
        if (budget.expired)() || !course.retry() {
            return None;
        }
    }
}

/// The calls up to the event at which there was no way any more; fewer, where a stretch is enough.
fn located<'h>(calls: &[Call<'h>], plan: &Plan, at: usize, budget: &Budget<'_>) -> Decided<'h> {
    match (window::find(calls, plan, at, budget), window::last_return(plan, at)) {
        (Some(stretch), _) => Decided::Violated(stretch, Start::Whatever),
        (None, Some(until)) => Decided::Violated(up_to(calls, until), Start::Initially),
        (None, None) => {
            Decided::Violated(shrink::prefix(calls, &Kind::Register, u32::MAX - 1), Start::Initially)
        }
    }
}

/// The calls that were made up to an instant, and of those that come later one for each value that they look for and that no
/// call makes any more: a configuration ends also where such a value is gone.
fn up_to<'h>(calls: &[Call<'h>], until: u32) -> Vec<Kept<'h>> {
    let later = || calls.iter().enumerate().filter(|(_, call)| call.call > until);
    // A CAS from a value to itself makes nothing.
    let makes = |call: &Call<'h>| call.puts().filter(|value| call.observes() != Some(*value));
    let to_come: FxHashSet<&Value> = later().filter_map(|(_, call)| makes(call)).collect();
    let mut wanted: FxHashMap<&Value, usize> = FxHashMap::default();
    for (at, call) in later().filter(|(_, call)| call.ret != OPEN) {
        let Some(seen) = call.observes().filter(|seen| !to_come.contains(seen)) else { continue };
        let rank = |at: usize| (!calls[at].is_read_only(), calls[at].ret);
        let known = wanted.entry(seen).or_insert(at);
        if rank(at) < rank(*known) {
            *known = at;
        }
    }
    let begun = (0..calls.len()).filter(|&at| calls[at].call <= until);
    shrink::chosen(calls, begun.chain(wanted.into_values()).collect())
}

/// One sweep over everything, and the event at which it ended.
fn sweep_all(plan: &Plan, manner: Manner, start: Start, budget: &Budget<'_>) -> (Ended, usize) {
    by_width!(plan, sweep_with(plan, manner, start, budget), (Ended::Lost, 0))
}

fn sweep_with<const W: usize>(
    plan: &Plan,
    manner: Manner,
    start: Start,
    budget: &Budget<'_>,
) -> (Ended, usize) {
    let mut sweep = Sweep::<W>::new(plan, manner, start, budget);
    while !sweep.is_over() {
        if let Err(cause) = sweep.step() {
            return (Ended::Spent(cause), sweep.board.happened);
        }
        if sweep.live.is_empty() {
            let ended = if sweep.dropped { Ended::Lost } else { Ended::NoWay };
            return (ended, sweep.board.happened);
        }
        if sweep.trail.is_due() {
            let mut ends: Vec<&mut u32> = sweep.live.iter_mut().map(|c| &mut c.trail).collect();
            sweep.trail.sweep(&mut ends);
        }
    }
    (sweep.arrived(), sweep.board.happened)
}
