//! What may be left out where values alone do not tell: queues, locks, counters, a model of your own.
//!
//! Invariant: leaving this out of a history that is linearizable leaves one that is. That is so for what can only observe;
//! and for a whole [part](crate::model::Model::part), because leaving it out keeps a legal sequence legal.

use std::collections::BTreeSet;

use super::Kept;
use crate::history::Value;
use crate::linearizability::kinds::Judge;

/// Leaves out the observers of this range, and all parts of which a call is in it.
pub(super) fn without<'h>(
    kept: &[Kept<'h>],
    judge: &dyn Judge,
    range: std::ops::Range<usize>,
) -> Vec<Kept<'h>> {
    let part = |kept: &Kept<'h>| match judge.is_read_only(&kept.call) {
        true => None,
        false => judge.part(&kept.call),
    };
    let dropped: BTreeSet<Value> = kept[range.clone()].iter().filter_map(part).collect();
    let stays = |(at, kept): &(usize, &Kept<'h>)| match judge.is_read_only(&kept.call) {
        true => !range.contains(at),
        false => part(kept).is_none_or(|part| !dropped.contains(&part)),
    };
    kept.iter().enumerate().filter(stays).map(|(_, kept)| *kept).collect()
}
