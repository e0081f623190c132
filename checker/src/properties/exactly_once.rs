//! `exactly-once`: no update takes effect twice, however often its client had to send it.
//!
//! ```yaml
//! checks: [exactly-once]
//! ```
//!
//! Seen in what accumulates: a list that shows an element more often than it was appended, and a counter above all that
//! can have been added. An update of a register that is done twice leaves no certain trace in a history; `linearizable` sees it
//! where another update came in between. An update of unknown outcome may count once. The reader of a violation sees the
//! read and, for a list, the calls that appended. Reference: Lee et al., Implementing Linearizability at Large Scale and Low Latency,
//! SOSP 2015.

use rustc_hash::FxHashMap;

use super::sessions::{Sessions, saw, undecided};
use super::{Needs, PropertyKind, Run};
use crate::history::{Key, Op, Operation, Value};
use crate::linearizability::describe;
use crate::model::change;
use crate::params::Params;
use crate::verdict::{Budget, Coverage, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "exactly-once",
    summary: "No update takes effect twice.",
    example: "checks: [exactly-once]",
    settings: &[],
    needs: Needs::History,
    judge,
};

fn judge(run: &Run<'_>, _: &Params, _: &Budget<'_>) -> Verdict {
    let sessions = match Sessions::of(run.history) {
        Ok(sessions) => sessions,
        Err(malformed) => return undecided(&malformed),
    };
    let appends = appends(&sessions);
    let changes = changes(&sessions);
    let mut examined = 0;
    for (read, value) in sessions.reads() {
        let operation = sessions.operation(read);
        let found = match value {
            Value::List(items) => repeated(&sessions, &appends, read, items),
            Value::Int(sum) => {
                changes.get(operation.op.key()).and_then(|changes| exceeded(&sessions, changes, read, *sum))
            }
            _ => None,
        };
        examined += 1;
        if let Some(verdict) = found {
            return verdict;
        }
    }
    Verdict::Holds(Coverage { examined, unit: "reads".to_owned(), power: None })
}

type Appends<'h> = FxHashMap<(&'h Key, &'h Value), Vec<usize>>;

/// The calls that can have appended an element.
fn appends<'h>(sessions: &Sessions<'h>) -> Appends<'h> {
    let mut appends = Appends::default();
    for (at, operation) in sessions.operations.iter().enumerate().filter(|(_, operation)| !operation.failed())
    {
        if let Op::Append { key, value } = operation.op {
            appends.entry((key, value)).or_default().push(at);
        }
    }
    appends
}

fn repeated(sessions: &Sessions<'_>, appends: &Appends<'_>, read: usize, items: &[Value]) -> Option<Verdict> {
    let key = sessions.operation(read).op.key();
    let mut times: FxHashMap<&Value, usize> = FxHashMap::default();
    for item in items {
        let count = times.entry(item).or_default();
        *count += 1;
        let Some(calls) = appends.get(&(key, item)) else { continue };
        if *count > calls.len() {
            let summary =
                format!("{item} stands {count} times in {key}, and was appended {} times", calls.len());
            let mut shown = vec![read];
            shown.extend(calls.iter().take(3));
            return Some(sessions.violated(summary, &shown));
        }
    }
    None
}

type Changes<'h> = FxHashMap<&'h Key, Vec<(usize, i64)>>;

/// The calls that can have changed a counter, in the order of their invocations.
fn changes<'h>(sessions: &Sessions<'h>) -> Changes<'h> {
    let mut changes = Changes::default();
    for (at, operation) in sessions.operations.iter().enumerate().filter(|(_, operation)| !operation.failed())
    {
        if let Some(amount) = change(operation.op) {
            changes.entry(operation.op.key()).or_default().push((at, amount));
        }
    }
    changes
}

/// Whether the counter is above everything that can have been added, once each.
fn exceeded(sessions: &Sessions<'_>, changes: &[(usize, i64)], read: usize, sum: i64) -> Option<Verdict> {
    let operation = sessions.operation(read);
    let end = operation.completed.map_or(usize::MAX, |point| point.index);
    let begin = operation.invoked.index;
    let counts = |change: &Operation<'_>, amount: i64| match amount > 0 {
        true => change.invoked.index < end,
        false => change.acknowledged().is_some_and(|point| point.index < begin),
    };
    let counted = changes.iter().filter(|(at, amount)| counts(sessions.operation(*at), *amount));
    let most: i128 = counted.map(|(_, amount)| i128::from(*amount)).sum();
    (i128::from(sum) > most).then(|| {
        let shown = describe(operation.op, operation.reply());
        let summary = format!("{shown}, and all that can have been added by then is {most}");
        debug_assert!(saw(operation).is_some());
        sessions.violated(summary, &[read])
    })
}
