//! What is certain about the age of a value: which value of a key replaced which, by the order in real time alone.
//!
//! Invariant: a value is called older than another only if the one call that can have put it there had returned before the
//! one call that can have put the other there was made; a value that two calls can have put there is of no age. So
//! nothing is concluded from an unknown outcome, and the properties that build on this accuse nobody falsely where
//! updates take effect between their call and their return.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::history::{History, Key, Malformed, Op, Operation, Reply, Value};
use crate::linearizability;
use crate::verdict::{Cause, Counterexample, Evidence, Verdict};

/// The operations of a history, and the updates of each key.
pub(super) struct Sessions<'h> {
    pub(super) operations: Vec<Operation<'h>>,
    keys: FxHashMap<&'h Key, Updates<'h>>,
}

/// The updates of one key, as positions in the operations.
#[derive(Default)]
struct Updates<'h> {
    /// The only call that can have put this value there; `None` if there are several.
    writers: FxHashMap<&'h Value, Option<usize>>,
    /// Whether its value can become absent again.
    deletes: bool,
    /// Whether it is a list or a set, which only grows.
    grows: bool,
    /// Acknowledged updates, by their invocation, with the earliest return from there on.
    acknowledged: Vec<(usize, usize)>,
}

impl<'h> Sessions<'h> {
    pub(super) fn of(history: &'h History) -> Result<Self, Malformed> {
        let operations = history.operations()?;
        let mut keys: FxHashMap<&'h Key, Updates<'h>> = FxHashMap::default();
        for (at, operation) in operations.iter().enumerate().filter(|(_, operation)| !operation.failed()) {
            let updates = keys.entry(operation.op.key()).or_default();
            match operation.op {
                Op::Delete { .. } => updates.deletes = true,
                Op::Append { .. } | Op::Add { .. } => updates.grows = true,
                _ => {}
            }
            let Some(value) = puts(operation) else { continue };
            updates.writers.entry(value).and_modify(|writer| *writer = None).or_insert(Some(at));
            if operation.acknowledged().is_some() {
                updates.acknowledged.push((at, at));
            }
        }
        for updates in keys.values_mut() {
            let mut earliest: Option<usize> = None;
            for (at, replaced) in updates.acknowledged.iter_mut().rev() {
                let sooner = |best: usize| returned(&operations, best) < returned(&operations, *at);
                let best = earliest.filter(|best| sooner(*best)).unwrap_or(*at);
                earliest = Some(best);
                *replaced = best;
            }
        }
        Ok(Self { operations, keys })
    }

    /// The operation at this position.
    pub(super) fn operation(&self, at: usize) -> &Operation<'h> {
        &self.operations[at]
    }

    /// Reads that were answered, with what they saw, as positions in the order of their invocations.
    pub(super) fn reads(&self) -> impl Iterator<Item = (usize, &'h Value)> {
        self.operations.iter().enumerate().filter_map(|(at, operation)| Some((at, saw(operation)?)))
    }

    /// The acknowledged update with the earliest return that certainly replaced what this read saw, before the read was
    /// invoked.
    pub(super) fn replaced(&self, read: usize) -> Option<usize> {
        let operation = &self.operations[read];
        let seen = saw(operation)?;
        let updates = self.keys.get(operation.op.key())?;
        if updates.grows {
            let shown = elements(seen)?;
            let lacks = |at: &usize| puts(&self.operations[*at]).is_some_and(|value| !shown.contains(value));
            let before = updates.acknowledged.iter().map(|(at, _)| *at);
            let before = before.filter(|at| returned(&self.operations, *at) < operation.invoked.index);
            return before.filter(lacks).min_by_key(|at| returned(&self.operations, *at));
        }
        let begin =
            |from| updates.acknowledged.partition_point(|(at, _)| self.operations[*at].invoked.index <= from);
        let later = match updates.writers.get(seen) {
            Some(writer) => begin(returned(&self.operations, (*writer)?)),
            None if *seen == Value::Nil && !updates.deletes => 0,
            None => return None,
        };
        let (_, replaced) = *updates.acknowledged.get(later)?;
        (returned(&self.operations, replaced) < operation.invoked.index).then_some(replaced)
    }

    /// Whether what this read saw is certainly older than that update.
    pub(super) fn precedes(&self, read: usize, update: usize) -> bool {
        let operation = &self.operations[read];
        let Some(seen) = saw(operation) else { return false };
        let Some(updates) = self.keys.get(operation.op.key()) else { return false };
        if updates.grows {
            let put = puts(&self.operations[update]);
            return elements(seen).is_some_and(|shown| put.is_some_and(|value| !shown.contains(value)));
        }
        let invoked = self.operations[update].invoked.index;
        match updates.writers.get(seen) {
            Some(Some(writer)) => returned(&self.operations, *writer) < invoked,
            Some(None) => false,
            None => *seen == Value::Nil && !updates.deletes,
        }
    }

    /// The one update that put there what this read saw.
    pub(super) fn writer(&self, read: usize) -> Option<usize> {
        let operation = &self.operations[read];
        *self.keys.get(operation.op.key())?.writers.get(saw(operation)?)?
    }

    /// Whether the key holds a list or a set.
    pub(super) fn grows(&self, key: &Key) -> bool {
        self.keys.get(key).is_some_and(|updates| updates.grows)
    }

    /// A violation that these operations prove.
    pub(super) fn violated(&self, summary: String, operations: &[usize]) -> Verdict {
        let mut shown: Vec<usize> = operations.to_vec();
        shown.sort_unstable();
        shown.dedup();
        let mut evidence: Vec<Evidence> =
            shown.into_iter().map(|at| linearizability::evidence(&self.operations[at])).collect();
        evidence.sort_by_key(|item| item.start);
        Verdict::Violated(Counterexample { summary, evidence })
    }
}

/// A history that cannot be judged.
pub(super) fn undecided(malformed: &Malformed) -> Verdict {
    Verdict::Inconclusive(Cause::Evidence { reason: malformed.to_string() })
}

/// The position of the event at which an operation returned; past the end if that is not certain.
fn returned(operations: &[Operation<'_>], at: usize) -> usize {
    operations[at].acknowledged().map_or(usize::MAX, |point| point.index)
}

/// What an answered read saw.
pub(super) fn saw<'h>(operation: &Operation<'h>) -> Option<&'h Value> {
    match (operation.op.is_read(), operation.reply()) {
        (true, Some(Reply::Value(value))) => Some(value),
        _ => None,
    }
}

/// What an update puts there, if it takes effect.
pub(super) fn puts<'h>(operation: &Operation<'h>) -> Option<&'h Value> {
    match operation.op {
        Op::Write { value, .. } | Op::Append { value, .. } | Op::Add { value, .. } => Some(value),
        Op::Cas { new, .. } if !matches!(operation.reply(), Some(Reply::Mismatch(_))) => Some(new),
        _ => None,
    }
}

/// The elements of a list or set.
fn elements(value: &Value) -> Option<FxHashSet<&Value>> {
    match value {
        Value::List(items) => Some(items.iter().collect()),
        Value::Nil => Some(FxHashSet::default()),
        _ => None,
    }
}
