//! Refused CAS that do not say what they found, placed into an order that explains everything else.
//!
//! Exact for the given order only: each is put at the earliest place that its interval, the others and the state
//! allow. Where that fails another order may still do, so failure decides nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Call, OPEN};
use crate::history::Value;

/// The order with the `differs` put in, or `None`.
pub(super) fn place(calls: &[Call<'_>], order: Vec<usize>, differs: &[usize]) -> Option<Vec<usize>> {
    let gaps = Gaps::new(calls, &order);
    let mut sorted = differs.to_vec();
    sorted.sort_by_key(|&at| calls[at].call);
    let mut placed: Vec<(u32, usize, usize)> = Vec::with_capacity(sorted.len());
    // Those that later ones may have to follow, by return; and the gap that those which have returned need.
    let mut running: BinaryHeap<Reverse<(u32, usize)>> = BinaryHeap::new();
    let mut after = 0;
    for &at in &sorted {
        let call = &calls[at];
        while let Some(&Reverse((ret, gap))) = running.peek()
            && ret < call.call
        {
            running.pop();
            after = after.max(gap);
        }
        let (low, high) = gaps.range(call);
        let gap = gaps.first_other(low.max(after), high, call.differs_from()?)?;
        placed.push((call.call, gap, at));
        running.push(Reverse((call.ret, gap)));
    }
    placed.sort_by_key(|&(call, gap, _)| (gap, call));
    Some(merge(order, &placed))
}

fn merge(order: Vec<usize>, placed: &[(u32, usize, usize)]) -> Vec<usize> {
    let mut merged = Vec::with_capacity(order.len() + placed.len());
    let mut next = placed.iter().peekable();
    for gap in 0..=order.len() {
        while let Some(&(_, _, at)) = next.next_if(|p| p.1 == gap) {
            merged.push(at);
        }
        merged.extend(order.get(gap));
    }
    merged
}

/// The places between the calls of an order: gap `g` is before the g-th.
struct Gaps<'h> {
    /// Runs of equal state: the first gap of each, and the value.
    runs: Vec<(usize, &'h Value)>,
    /// By position: the largest call instant of the calls up to there.
    latest_call: Vec<u32>,
    /// By position: the smallest return of the calls from there on.
    earliest_return: Vec<u32>,
}

impl<'h> Gaps<'h> {
    fn new(calls: &[Call<'h>], order: &[usize]) -> Self {
        const NIL: &Value = &Value::Nil;
        let mut runs = vec![(0, NIL)];
        let mut latest_call = Vec::with_capacity(order.len());
        let mut latest = 0;
        for (position, &at) in order.iter().enumerate() {
            if let Some(value) = calls[at].puts() {
                runs.push((position + 1, value));
            }
            latest = latest.max(calls[at].call);
            latest_call.push(latest);
        }
        let mut earliest_return = vec![OPEN; order.len()];
        let mut earliest = OPEN;
        for (position, &at) in order.iter().enumerate().rev() {
            earliest = earliest.min(calls[at].ret);
            earliest_return[position] = earliest;
        }
        Gaps { runs, latest_call, earliest_return }
    }

    /// The gaps that the interval of `call` allows: after all that returned before it, before all that began after it.
    fn range(&self, call: &Call<'_>) -> (usize, usize) {
        // All positions from `low` on return at or after the call; all before `high` begin at or before the return.
        let low = self.earliest_return.partition_point(|&ret| ret < call.call);
        let high = self.latest_call.partition_point(|&begun| begun <= call.ret);
        (low, high)
    }

    /// The first gap in `low..=high` where the state is not `value`.
    fn first_other(&self, low: usize, high: usize, value: &Value) -> Option<usize> {
        let mut run = self.runs.partition_point(|r| r.0 <= low) - 1;
        let mut gap = low;
        while gap <= high {
            if self.runs[run].1 != value {
                return Some(gap);
            }
            run += 1;
            gap = self.runs.get(run)?.0;
        }
        None
    }
}
