//! `stale-read`: no read returns a value that had been replaced for longer than a bound when the read was made.
//!
//! ```yaml
//! checks: [stale-read]
//! checks: [{ stale-read: { max-age: 500ms } }]
//! ```
//!
//! The age of an answer is the time from the return of the first update that certainly replaced it until the read was
//! made. With the bound 0 every such answer is a violation, and so also one of linearizability; a higher bound is what a
//! store with leases or with reads from followers may promise. The reader of a violation sees the oldest answer: the
//! read, the update that it missed, and the one whose value it shows. Reference: Bailis et al., Probabilistically Bounded Staleness,
//! VLDB 2012.

use super::sessions::{Sessions, undecided};
use super::{Needs, PropertyKind, Run};
use crate::linearizability::describe;
use crate::params::{Kind, Param, Params, Setting};
use crate::verdict::{Budget, Cause, Coverage, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "stale-read",
    summary: "No read returns a value that had been replaced for longer than a bound.",
    example: "checks: [stale-read]",
    settings: &[Setting {
        name: "max-age",
        kind: Kind::Duration,
        default: Some("0s"),
        doc: "How long a value may have been replaced when it is still read.",
    }],
    needs: Needs::History,
    judge,
};

fn judge(run: &Run<'_>, params: &Params, budget: &Budget<'_>) -> Verdict {
    let max_age = match params.0.get("max-age") {
        Some(Param::Duration(ns)) => *ns,
        _ => 0,
    };
    let sessions = match Sessions::of(run.history) {
        Ok(sessions) => sessions,
        Err(malformed) => return undecided(&malformed),
    };
    let mut oldest: Option<(u64, usize, usize)> = None;
    let mut examined = 0;
    for (read, _) in sessions.reads() {
        examined += 1;
        if examined % 1024 == 0 && (budget.expired)() {
            let reached = format!("after {examined} reads");
            return Verdict::Inconclusive(Cause::Time { reached });
        }
        let Some(update) = sessions.replaced(read) else { continue };
        let Some(returned) = sessions.operation(update).acknowledged() else { continue };
        let age = sessions.operation(read).invoked.time - returned.time;
        if oldest.is_none_or(|(most, ..)| age > most) {
            oldest = Some((age, read, update));
        }
    }
    match oldest {
        Some((age, read, update)) if age > max_age || max_age == 0 => {
            let (stale, missed) = (sessions.operation(read), sessions.operation(update));
            let summary = format!(
                "{} was made {} after {} had returned, and does not show it",
                describe(stale.op, stale.reply()),
                milliseconds(age),
                describe(missed.op, missed.reply())
            );
            let shown: Vec<usize> =
                [Some(read), Some(update), sessions.writer(read)].into_iter().flatten().collect();
            sessions.violated(summary, &shown)
        }
        _ => Verdict::Holds(Coverage { examined, unit: "reads".to_owned(), power: None }),
    }
}

fn milliseconds(ns: u64) -> String {
    format!("{}.{:03} ms", ns / 1_000_000, ns / 1_000 % 1000)
}
