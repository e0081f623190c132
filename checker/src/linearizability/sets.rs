//! Grow-only sets whose elements are added once each, and read whole: exact, in time linear in what the reads returned.
//!
//! The reads must be ordered by inclusion; an element that first shows in some read was added just before it. As with
//! lists, everything then forms one sequence of layers: the smallest reads, the adds of what the next ones show beside
//! that, those reads, ..., and at last the acknowledged adds that no read saw. An unknown add counts only if it was
//! seen. Not covered: an element that was added twice.

use rustc_hash::FxHashMap;

use super::lists::Layers;
use super::{Call, Contradiction, OPEN, Ruling};
use crate::history::{Op, Reply, Value};

/// An add, and the ranks of the first and the last read (by size) that show its element.
struct Added {
    at: usize,
    rank: Option<usize>,
    last: Option<usize>,
}

/// Judges the calls of one key.
pub(super) fn judge(calls: &[Call<'_>]) -> Ruling {
    let mut adds: FxHashMap<&Value, Added> = FxHashMap::default();
    let mut reads: Vec<(usize, &[Value])> = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        match (call.op, call.reply) {
            (Op::Add { value, .. }, None | Some(Reply::Done)) => {
                if adds.insert(value, Added { at, rank: None, last: None }).is_some() {
                    return Ruling::NotCovered;
                }
            }
            (Op::Members { .. }, Some(Reply::Value(Value::List(items)))) => reads.push((at, items)),
            (Op::Members { .. }, Some(Reply::Value(Value::Nil))) => reads.push((at, &[])),
            _ => return Ruling::NotCovered,
        }
    }
    reads.sort_by_key(|&(at, items)| (items.len(), calls[at].call));
    let mut order = Vec::with_capacity(calls.len());
    let mut layers = Layers { calls, latest: (0, 0), order: &mut order };
    let done = grow(calls, &mut adds, &reads, &mut layers).and_then(|()| {
        let rest = adds.values().filter(|added| added.rank.is_none() && calls[added.at].ret != OPEN);
        push(calls, &mut layers, rest.map(|added| added.at).collect())
    });
    match done {
        Ok(()) => Ruling::Holds(order),
        Err(found) => Ruling::Violated(found),
    }
}

fn grow<'h>(
    calls: &[Call<'h>],
    adds: &mut FxHashMap<&'h Value, Added>,
    reads: &[(usize, &'h [Value])],
    layers: &mut Layers<'_, 'h>,
) -> Result<(), Contradiction> {
    let mut size = 0;
    for (rank, &(at, items)) in reads.iter().enumerate() {
        let mut fresh = Vec::new();
        let mut known = 0;
        for item in items {
            let Some(added) = adds.get_mut(item) else {
                let why = format!("{} contains {item}, which nobody ever tried to add", calls[at]);
                return Err(Contradiction { calls: vec![at], why });
            };
            if added.last.replace(rank) == Some(rank) {
                let why = format!("{} contains {item} twice", calls[at]);
                return Err(Contradiction { calls: vec![added.at, at], why });
            }
            match added.rank {
                None => {
                    added.rank = Some(rank);
                    fresh.push(added.at);
                }
                Some(_) => known += 1,
            }
        }
        if known < size {
            return Err(torn(calls, reads, rank));
        }
        size = items.len();
        push(calls, layers, fresh)?;
        push(calls, layers, vec![at])?;
    }
    Ok(())
}

/// The read of this rank lacks an element of the one before.
fn torn(calls: &[Call<'_>], reads: &[(usize, &[Value])], rank: usize) -> Contradiction {
    let ((a, smaller), (b, larger)) = (reads[rank - 1], reads[rank]);
    // A member listed twice makes a list look larger than its set; counting those is the later read's own affair.
    let missing =
        |from: &[Value], of: &[Value]| of.iter().find(|item| !from.contains(item)).map(Value::to_string);
    let (lacks, has) = (missing(larger, smaller), missing(smaller, larger));
    let mut picked = vec![a, b];
    let puts = |item: &Option<String>| {
        calls.iter().position(|c| c.puts().map(Value::to_string) == *item && item.is_some())
    };
    picked.extend(puts(&lacks).into_iter().chain(puts(&has)));
    let why = format!(
        "{} contains {} and not {}, {} contains {} and not {}: neither came first",
        calls[a],
        lacks.clone().unwrap_or_default(),
        has.clone().unwrap_or_default(),
        calls[b],
        has.unwrap_or_default(),
        lacks.unwrap_or_default(),
    );
    Contradiction { calls: picked, why }
}

fn push(calls: &[Call<'_>], layers: &mut Layers<'_, '_>, mut layer: Vec<usize>) -> Result<(), Contradiction> {
    layer.sort_by_key(|&at| calls[at].call);
    layers.push(layer).map_err(|(early, late)| inverted(calls, early, late))
}

/// `early` belongs to a later layer than `late`, yet returned before `late` began.
fn inverted(calls: &[Call<'_>], early: usize, late: usize) -> Contradiction {
    let (e, l) = (&calls[early], &calls[late]);
    let mut picked = vec![early, late];
    let why = match (e.puts(), l.puts()) {
        (Some(lost), None) => format!("{l} was invoked after {e} completed, and does not contain {lost}"),
        (None, Some(_)) => format!("{e} completed before {l} was invoked, and already contains its element"),
        (None, None) => {
            let lacking = contents(e).iter().find(|item| !contents(l).contains(item));
            picked.extend(lacking.and_then(|item| calls.iter().position(|c| c.puts() == Some(item))));
            let lacking = lacking.map(Value::to_string).unwrap_or_default();
            format!("{l} was invoked after {e} completed, and lacks {lacking}, which that contained")
        }
        (Some(second), Some(first)) => {
            let shows = |c: &Call<'_>| contents(c).contains(first) && !contents(c).contains(second);
            let shown = calls.iter().position(shows);
            picked.extend(shown);
            let by = shown.map_or_else(String::new, |at| calls[at].to_string());
            format!("{e} completed before {l} was invoked, yet {by} contains {first} and not {second}")
        }
    };
    Contradiction { calls: picked, why }
}

fn contents<'h>(call: &Call<'h>) -> &'h [Value] {
    match call.observes() {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}
