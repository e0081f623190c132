//! `mutual-exclusion`: whoever had a lock before changes nothing any more once a later holder has been at work.
//!
//! ```yaml
//! checks: [mutual-exclusion]
//! ```
//!
//! Every acknowledged `acquire` answers a fencing token, an integer larger than those of all holders before. From then on,
//! until it invokes a `release` or is refused the lock, a process does what it does as the holder. Two things break the
//! exclusion: a token that does not grow, and an acknowledged update of a key that was invoked after an operation of a
//! holder with a larger token on the same key had returned. The latter is what a holder does that stood still while its lock
//! ended, if nobody looks at its token. An update before the later holder's first operation on that key harms nobody and is not
//! one. An acquire of unknown outcome makes no holder, and what it may have taken is not guessed. The reader of a violation
//! sees both acquires, the operation of the later holder, and the update. Reference: Kleppmann, *How to do distributed locking*,
//! 2016; the lock tests of Jepsen's analysis of etcd 3.4.3.

use rustc_hash::FxHashMap;

use super::sessions::{Sessions, undecided};
use super::{Needs, PropertyKind, Run};
use crate::history::{Key, Operation, ProcessId, Reply};
use crate::linearizability::describe;
use crate::model::{Turn, token};
use crate::params::Params;
use crate::verdict::{Budget, Cause, Coverage, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "mutual-exclusion",
    summary: "Tokens of locks grow, and no update of an earlier holder takes effect after an operation of a later one.",
    example: "checks: [mutual-exclusion]",
    settings: &[],
    needs: Needs::History,
    judge,
};

/// A lock that was given to somebody.
#[derive(Clone, Copy)]
struct Grant {
    token: i64,
    /// The acquire.
    at: usize,
}

/// What somebody did as the holder of a lock.
#[derive(Clone, Copy)]
struct Deed {
    grant: Grant,
    /// The operation.
    at: usize,
}

fn judge(run: &Run<'_>, _: &Params, _: &Budget<'_>) -> Verdict {
    let sessions = match Sessions::of(run.history) {
        Ok(sessions) => sessions,
        Err(malformed) => return undecided(&malformed),
    };
    let untold = sessions.operations.iter().find(|operation| acquired(operation) == Some(None));
    if let Some(untold) = untold {
        let shown = describe(untold.op, untold.reply());
        let reason =
            format!("{shown} was answered without a token, so that nobody knows who is the later holder");
        return Verdict::Inconclusive(Cause::Evidence { reason });
    }
    if let Some(violated) = tokens(&sessions) {
        return violated;
    }
    let deeds = deeds(&sessions);
    for deeds in deeds.values() {
        if let Some(violated) = late(&sessions, deeds) {
            return violated;
        }
    }
    let updates =
        |deeds: &Vec<Deed>| deeds.iter().filter(|deed| updates(sessions.operation(deed.at))).count();
    let examined = deeds.values().map(updates).sum::<usize>() as u64;
    Verdict::Holds(Coverage { examined, unit: "updates by holders of locks".to_owned(), power: None })
}

/// The token of an acknowledged acquire, the inner `None` if it told none; `None` if it is no such operation.
fn acquired(operation: &Operation<'_>) -> Option<Option<i64>> {
    operation.acknowledged().filter(|_| Turn::of(operation.op) == Some(Turn::Acquire))?;
    Some(token(operation.reply()))
}

/// Whether an acknowledged operation changed something.
fn updates(operation: &Operation<'_>) -> bool {
    !operation.op.is_read() && !matches!(operation.reply(), Some(Reply::Mismatch(_)))
}

/// A token that is not larger than those before.
fn tokens(sessions: &Sessions<'_>) -> Option<Verdict> {
    let mut locks: FxHashMap<&Key, Vec<Grant>> = FxHashMap::default();
    for (at, operation) in sessions.operations.iter().enumerate() {
        if let Some(token) = acquired(operation).flatten() {
            locks.entry(operation.op.key()).or_default().push(Grant { token, at });
        }
    }
    locks.values().find_map(|grants| {
        let mut owners: FxHashMap<i64, Grant> = FxHashMap::default();
        for grant in grants {
            let first = *owners.entry(grant.token).or_insert(*grant);
            if sessions.operation(first.at).process != sessions.operation(grant.at).process {
                return Some(not_grown(sessions, first, *grant));
            }
        }
        let returned: Vec<Deed> = grants.iter().map(|grant| Deed { grant: *grant, at: grant.at }).collect();
        let mut before = Before::new(sessions, &returned);
        grants.iter().find_map(|grant| {
            let largest = before.largest(grant.at)?;
            (largest.grant.token > grant.token).then(|| not_grown(sessions, largest.grant, *grant))
        })
    })
}

fn not_grown(sessions: &Sessions<'_>, before: Grant, grant: Grant) -> Verdict {
    let (first, second) = (sessions.operation(before.at), sessions.operation(grant.at));
    let summary = format!(
        "process {} got {} and process {} got {}, and the token has not grown",
        first.process.0,
        describe(first.op, first.reply()),
        second.process.0,
        describe(second.op, second.reply())
    );
    sessions.violated(summary, &[before.at, grant.at])
}

/// What holders did, by lock and key, in the order of the invocations.
fn deeds<'h>(sessions: &Sessions<'h>) -> FxHashMap<(&'h Key, &'h Key), Vec<Deed>> {
    let mut held: FxHashMap<ProcessId, Vec<(&'h Key, Grant)>> = FxHashMap::default();
    let mut deeds: FxHashMap<(&'h Key, &'h Key), Vec<Deed>> = FxHashMap::default();
    for (at, operation) in sessions.operations.iter().enumerate() {
        let held = held.entry(operation.process).or_default();
        let key = operation.op.key();
        if Turn::of(operation.op).is_some() {
            // Whoever gives a lock back, or hears that another one has it, does not rely on it any more.
            held.retain(|(lock, _)| *lock != key);
            held.extend(acquired(operation).flatten().map(|token| (key, Grant { token, at })));
        } else if operation.acknowledged().is_some() {
            for (lock, grant) in held.iter().filter(|(lock, _)| *lock != key) {
                deeds.entry((lock, key)).or_default().push(Deed { grant: *grant, at });
            }
        }
    }
    deeds
}

/// An update that came after the deed of a later holder.
fn late(sessions: &Sessions<'_>, deeds: &[Deed]) -> Option<Verdict> {
    let mut before = Before::new(sessions, deeds);
    for deed in deeds {
        let Some(later) = before.largest(deed.at).filter(|later| later.grant.token > deed.grant.token) else {
            continue;
        };
        let (update, seen) = (sessions.operation(deed.at), sessions.operation(later.at));
        if !updates(update) {
            continue;
        }
        let summary = format!(
            "process {} did {} under token {} of {} after process {} had done {} under token {}",
            update.process.0,
            describe(update.op, update.reply()),
            deed.grant.token,
            sessions.operation(deed.grant.at).op.key(),
            seen.process.0,
            describe(seen.op, seen.reply()),
            later.grant.token
        );
        return Some(sessions.violated(summary, &[deed.grant.at, later.grant.at, later.at, deed.at]));
    }
    None
}

/// The deed with the largest token of those that had returned before some operation was invoked. Asked in the order of the
/// invocations.
struct Before<'s, 'h> {
    sessions: &'s Sessions<'h>,
    /// By their return, the last first.
    left: Vec<(usize, Deed)>,
    largest: Option<Deed>,
}

impl<'s, 'h> Before<'s, 'h> {
    fn new(sessions: &'s Sessions<'h>, deeds: &[Deed]) -> Self {
        let returned = |deed: &Deed| Some((sessions.operation(deed.at).acknowledged()?.index, *deed));
        let mut left: Vec<(usize, Deed)> = deeds.iter().filter_map(returned).collect();
        left.sort_by_key(|(returned, _)| std::cmp::Reverse(*returned));
        Self { sessions, left, largest: None }
    }

    fn largest(&mut self, operation: usize) -> Option<Deed> {
        let invoked = self.sessions.operation(operation).invoked.index;
        while let Some((_, deed)) = self.left.pop_if(|(returned, _)| *returned < invoked) {
            if self.largest.is_none_or(|largest| largest.grant.token < deed.grant.token) {
                self.largest = Some(deed);
            }
        }
        self.largest
    }
}
