//! Decides registers whose values repeat: instant by instant, with all the ways in which things may stand.
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
//! * Of open calls that are alike the one that returns first takes effect first, unless it can be hidden and the other
//!   cannot. (Of writes nobody has found a history that needs the exception; with appends there are some.)
//! * A value that nobody will look for is like any other such; a value that is looked for, is gone, and cannot be made
//!   again ends a configuration.
//!
//! A narrow beam proves "holds" only; without a limit on unknown calls it proves "violated" only; with neither it is
//! exact. A beam that never had to drop anything is as good as the exact search. Deliberately lacking: more than
//! 128 calls open at once, and values that are built from values (lists).
//!
//! References: Lowe, Testing for Linearizability, 2017 (just-in-time linearization).

mod configuration;
mod plan;
mod sweep;

#[cfg(test)]
mod tests;

use super::search::{Found, Unknowns};
use super::{Call, witness};
use crate::model::Register;
use crate::verdict::{Budget, Cause};
use plan::Plan;

/// What makes a pruning rule sound. Tests leave one out to see that it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// No write is absorbed while a refused CAS is still to find the state different from something.
    AbsorbOnlyWithoutRefusals,
    /// A write of the value that is there already takes effect all the same: it hides others.
    RewriteHides,
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
    /// Too many calls are open at once.
    TooWide,
}

const BEAMS: [(usize, Taste); 3] =
    [(16, Taste::FewUnknowns), (64, Taste::FewWrites), (256, Taste::FewUnknowns)];

/// Decides the calls of one register; `None` where that is beyond this procedure.
pub(super) fn judge(calls: &[Call<'_>], budget: &Budget<'_>) -> Option<Found> {
    let plan = Plan::new(calls)?;
    let exact = Manner { width: Width::Whole, unknowns: Unknowns::Counted, lacking: None };
    let beams = BEAMS.map(|(width, taste)| Manner { width: Width::Beam(width, taste), ..exact });
    let relaxed = (!plan.kins.is_empty()).then_some(Manner { unknowns: Unknowns::Unlimited, ..exact });
    let mut last = None;
    for manner in beams.into_iter().chain(relaxed).chain([exact]) {
        last = stage(calls, &plan, manner, budget);
        match last {
            Some(Found::Undecided(Cause::Memory { .. })) | None => {}
            _ => break,
        }
    }
    last
}

/// One sweep; `None` if it says nothing.
fn stage(calls: &[Call<'_>], plan: &Plan, manner: Manner, budget: &Budget<'_>) -> Option<Found> {
    match sweep::sweep(plan, manner, budget) {
        // What does not replay would be a mistake of ours: others shall decide then.
        Ended::Arrived(order) => witness::replay(calls, &Register, &order).then_some(Found::Holds(order)),
        Ended::NoWay => Some(Found::Violated),
        Ended::Spent(cause) => Some(Found::Undecided(cause)),
        Ended::Overdrawn | Ended::Lost | Ended::TooWide => None,
    }
}
