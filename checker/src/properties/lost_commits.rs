//! `lost-commits`: what was acknowledged, or seen by a reader, is still there at the end, unless something replaced it.
//!
//! ```yaml
//! checks: [lost-commits]
//! ```
//!
//! Per key, the updates and one final read are judged as a history of their own: if no order explains that read, then
//! something certain was lost. An update of unknown outcome counts as certain from the moment on at which a reader saw
//! what it wrote; otherwise it may land late, and excuses what it can. What readers saw *between* plays no further part,
//! so a stale read is not a lost commit. A lock is not judged: it is nobody's to keep, and may end by itself. Where a key has several final reads, all of them must prove a loss: one lagging
//! node loses nothing.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Needs, PropertyKind, Run};
use crate::history::{Key, Op, Operation, Value};
use crate::linearizability::{self, Call, Contradiction, FailedCas, OPEN, Ruling};
use crate::model::Turn;
use crate::params::Params;
use crate::verdict::{Budget, Cause, Coverage, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "lost-commits",
    summary: "What was acknowledged or read is in the final reads, unless a later or concurrent update replaced it.",
    example: "checks: [lost-commits]",
    settings: &[],
    needs: Needs::HistoryAndFinalReads,
    judge,
};

fn judge(run: &Run<'_>, _: &Params, budget: &Budget<'_>) -> Verdict {
    let evidence = |reason: String| Verdict::Inconclusive(Cause::Evidence { reason });
    let Some(from) = run.final_reads_from else {
        return evidence("the run ended before its final reads".to_owned());
    };
    let operations = match run.history.operations() {
        Ok(operations) => operations,
        Err(malformed) => return evidence(format!("the history is damaged: {malformed}")),
    };
    let mut undecided = None;
    let mut unread: Vec<&Key> = Vec::new();
    let mut examined = 0;
    for (key, calls) in linearizability::split(&operations, FailedCas::Drop) {
        if calls.iter().any(|call| Turn::of(call.op).is_some()) {
            continue;
        }
        let acknowledged = calls.iter().filter(|call| !call.is_read_only() && call.ret != OPEN).count();
        match judge_key(&operations, &calls, from, budget) {
            KeyVerdict::Kept => examined += acknowledged as u64,
            KeyVerdict::NotRead if acknowledged > 0 => unread.push(key),
            KeyVerdict::NotRead => {}
            KeyVerdict::Lost(verdict) => return verdict,
            KeyVerdict::Undecided(cause) => undecided = Some(cause),
        }
    }
    if let Some(cause) = undecided {
        return Verdict::Inconclusive(cause);
    }
    match unread.as_slice() {
        [] => Verdict::Holds(Coverage { examined, unit: "acknowledged updates".to_owned(), power: None }),
        [only] => evidence(format!("key {only} was never read at the end")),
        [first, ..] => {
            evidence(format!("{} keys were never read at the end, {first} among them", unread.len()))
        }
    }
}

enum KeyVerdict {
    Kept,
    Lost(Verdict),
    NotRead,
    Undecided(Cause),
}

fn judge_key(
    operations: &[Operation<'_>],
    calls: &[Call<'_>],
    from: usize,
    budget: &Budget<'_>,
) -> KeyVerdict {
    let is_final =
        |call: &Call<'_>| call.op.is_read() && operations[call.origin as usize].invoked.index >= from;
    let updates = certain_updates(calls);
    let collected = updates.iter().all(|call| matches!(call.op, Op::Append { .. } | Op::Add { .. }));
    let reads: Vec<Call<'_>> = calls.iter().filter(|call| is_final(call)).copied().collect();
    if reads.is_empty() {
        return KeyVerdict::NotRead;
    }
    let mut lost = None;
    for &read in &reads {
        let found = match collected {
            true => missing_element(&updates, read),
            false => replaced_by_nothing(&updates, read, budget),
        };
        match found {
            // One read that shows everything is enough: another may come from a node that lags.
            Ok(None) => return KeyVerdict::Kept,
            Ok(Some((judged, found))) => {
                lost.get_or_insert_with(|| linearizability::counterexample(operations, &judged, &found));
            }
            Err(cause) => return KeyVerdict::Undecided(cause),
        }
    }
    lost.map_or(KeyVerdict::Kept, |shown| KeyVerdict::Lost(Verdict::Violated(shown)))
}

/// The calls that were judged, and what is wrong with them.
type Loss<'h> = Option<(Vec<Call<'h>>, Contradiction)>;

/// Lists and sets only grow: what was certain before the read began must be in it.
fn missing_element<'h>(updates: &[Call<'h>], read: Call<'h>) -> Result<Loss<'h>, Cause> {
    let shown: FxHashSet<&Value> = match read.observes() {
        Some(Value::List(items)) => items.iter().collect(),
        Some(Value::Nil) => FxHashSet::default(),
        _ => return Err(Cause::Model { reason: format!("{read} is neither a list nor a set") }),
    };
    let gone = updates
        .iter()
        .find(|call| call.ret < read.call && call.puts().is_some_and(|item| !shown.contains(item)));
    Ok(gone.map(|gone| {
        let item = gone.puts().map(Value::to_string).unwrap_or_default();
        let why = format!("{item} of {gone} is gone: the final read {read} does not show it");
        (vec![*gone, read], Contradiction { calls: vec![0, 1], why })
    }))
}

/// Registers: some order of the updates must end in what the read saw.
fn replaced_by_nothing<'h>(
    updates: &[Call<'h>],
    read: Call<'h>,
    budget: &Budget<'_>,
) -> Result<Loss<'h>, Cause> {
    let evidence = |reason: String| Err(Cause::Evidence { reason });
    let seen = read.observes();
    if seen != Some(&Value::Nil) && !updates.iter().any(|call| call.puts() == seen) && !is_list(seen) {
        return evidence(format!("the final {read} saw a value that nobody wrote"));
    }
    let mut judged = updates.to_vec();
    judged.push(read);
    judged.sort_by_key(|call| call.call);
    match linearizability::judge_key(&judged, budget) {
        Ruling::Holds(_) => Ok(None),
        Ruling::Undecided(cause) => Err(cause),
        Ruling::NotCovered => evidence("no model covers its operations".to_owned()),
        Ruling::Violated(mut found) => match linearizability::judge_key(updates, budget) {
            // The updates are possible, and the read is not: something that it should show is gone.
            Ruling::Holds(_) => {
                found.why = format!("an update of {} is gone: {}", read.op.key(), found.why);
                Ok(Some((judged, found)))
            }
            Ruling::Violated(found) => {
                evidence(format!("the updates contradict each other without any read: {}", found.why))
            }
            Ruling::Undecided(cause) => Err(cause),
            Ruling::NotCovered => evidence("no model covers its operations".to_owned()),
        },
    }
}

fn is_list(value: Option<&Value>) -> bool {
    matches!(value, Some(Value::List(_)))
}

/// The updates; one whose outcome nobody told ends when the first reader that saw its value did.
fn certain_updates<'h>(calls: &[Call<'h>]) -> Vec<Call<'h>> {
    let mut seen: FxHashMap<&Value, u32> = FxHashMap::default();
    for call in calls.iter().filter(|call| call.op.is_read()) {
        let value = call.observes();
        let items = match value {
            Some(Value::List(items)) => items.as_slice(),
            _ => &[],
        };
        for value in value.into_iter().chain(items) {
            let first = seen.entry(value).or_insert(OPEN);
            *first = (*first).min(call.ret);
        }
    }
    let producers = calls.iter().filter_map(Call::puts);
    let (mut once, mut twice) = (FxHashSet::default(), FxHashSet::default());
    producers.for_each(|value| {
        if !once.insert(value) {
            twice.insert(value);
        }
    });
    let updates = calls.iter().filter(|call| !call.is_read_only());
    updates
        .map(|call| {
            // Only a value with one producer tells which update it was.
            let at = call
                .puts()
                .filter(|value| call.ret == OPEN && !twice.contains(value))
                .and_then(|v| seen.get(v));
            match at {
                Some(&at) if at >= call.call && !matches!(call.op, Op::Delete { .. }) => {
                    Call { ret: at, reply: Some(DONE), ..*call }
                }
                _ => *call,
            }
        })
        .collect()
}

const DONE: &crate::history::Reply = &crate::history::Reply::Done;
