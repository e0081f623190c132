//! Chains in an order, and refused CAS that do not say what they found placed into it.
//!
//! Every chain gets a point in time: any point between its last call and its first return will do, if the two are in
//! that order. For a given order each refused CAS is put at the earliest place that its interval, the others and the state
//! allow. Where one finds no place, the points of the chains around it are drawn anew, and unknown writes that
//! nobody saw are put beside it, as long as that helps. This is a local search: success is an order, which is replayed
//! elsewhere; failure decides nothing. The drawing starts from a fixed seed, so that the same calls get the same answer.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::zones::Zone;
use super::{Call, OPEN, instants};
use crate::history::Value;
use crate::verdict::Budget;

/// Groups of calls, each of which stands together, in its order, at a point in time.
#[derive(Default)]
pub(super) struct Blocks {
    /// The calls of all blocks, one block after the other.
    calls: Vec<usize>,
    items: Vec<Block>,
}

#[derive(Clone, Copy)]
struct Block {
    zone: Zone,
    /// Where its calls begin, and where they end.
    range: (usize, usize),
    point: (u32, bool),
}

impl Blocks {
    /// None so far, with room for so many calls.
    pub(super) fn with_capacity(calls: usize) -> Self {
        Blocks { calls: Vec::with_capacity(calls), items: Vec::new() }
    }

    /// Adds calls to the block that is not closed yet.
    pub(super) fn extend(&mut self, calls: &[usize]) {
        self.calls.extend_from_slice(calls);
    }

    /// Makes a block of the calls since the last one.
    pub(super) fn close(&mut self, zone: Zone) {
        let from = self.items.last().map_or(0, |block| block.range.1);
        self.items.push(Block { zone, range: (from, self.calls.len()), point: zone.rank() });
    }

    /// The zones of the blocks.
    pub(super) fn zones(&self) -> Vec<Zone> {
        self.items.iter().map(|block| block.zone).collect()
    }

    /// The calls of all blocks, in the order of their points.
    pub(super) fn arrange(&self) -> Vec<usize> {
        let mut sorted: Vec<((u32, bool), (usize, usize))> =
            self.items.iter().map(|block| (block.point, block.range)).collect();
        // Blocks stand in the order of their ranges, so equal points keep it.
        instants::sort(&mut sorted, |&((instant, forward), _)| u64::from(instant) * 2 + u64::from(forward));
        let mut order = Vec::with_capacity(self.calls.len());
        sorted.iter().for_each(|&(_, (from, to))| order.extend_from_slice(&self.calls[from..to]));
        order
    }

    /// Forgets all but so many blocks.
    fn truncate(&mut self, len: usize) {
        self.items.truncate(len);
        self.calls.truncate(self.items.last().map_or(0, |block| block.range.1));
    }
}

/// How much work the local search may be, in calls looked at, before the search proper is the better way.
const EFFORT: usize = 600_000;

/// How often the points may be drawn anew. Few calls are searched sooner than that.
fn rounds(calls: usize) -> usize {
    (EFFORT / calls.max(1)).clamp(20, 5_000).min(calls * calls)
}

/// ... and between two looks at the budget.
const STRIDE: usize = 50_000;

/// An order of the blocks with the `differs` put in, and some of the `spare` writes where they help. None is found
/// where the budget ends first.
pub(super) fn place(
    calls: &[Call<'_>],
    mut blocks: Blocks,
    spare: &[usize],
    differs: &[usize],
    budget: &Budget<'_>,
) -> Option<Vec<usize>> {
    let mut sorted = differs.to_vec();
    sorted.sort_by_key(|&at| calls[at].call);
    let mut forward: Vec<Zone> = blocks.zones().into_iter().filter(Zone::is_forward).collect();
    forward.sort_by_key(Zone::f);
    let mut draw = Draw(0x9E37_79B9_7F4A_7C15);
    let mut unused: Vec<usize> = spare.to_vec();
    let mut best = fill(calls, blocks.arrange(), &sorted);
    let stride = (STRIDE / calls.len().max(1)).max(1);
    for round in 0..rounds(calls.len()) {
        let Some(&stuck) = draw.of(&best.homeless) else { return Some(best.order) };
        if round.is_multiple_of(stride) && (budget.expired)() {
            return None;
        }
        let kept: Vec<(u32, bool)> = blocks.items.iter().map(|block| block.point).collect();
        let (from, until) = (calls[stuck].call, calls[stuck].ret);
        let near: Vec<usize> = (0..blocks.items.len())
            .filter(|&at| {
                let zone = &blocks.items[at].zone;
                !zone.is_forward() && zone.s() <= until && zone.f() >= from
            })
            .collect();
        for _ in 0..1 + draw.below(2) {
            let Some(&at) = draw.of(&near) else { break };
            // Half of the time into the interval itself.
            let zone = blocks.items[at].zone;
            let (low, high) = match draw.below(2) {
                0 => (zone.s().max(from), zone.f().min(until)),
                _ => (zone.s(), zone.f().min(until.saturating_add(until - from))),
            };
            blocks.items[at].point = (clear(&forward, &zone, draw.between(low, high.max(low))), false);
        }
        let begun: Vec<usize> = unused.iter().copied().filter(|&at| calls[at].call <= until).collect();
        let helper = draw.of(&begun).copied().filter(|_| draw.below(2) == 0);
        if let Some(at) = helper {
            let zone = Zone { first_return: (OPEN, at), last_call: (calls[at].call, at) };
            let point = clear(&forward, &zone, draw.between(from.max(zone.s()), until));
            blocks.extend(&[at]);
            blocks.close(zone);
            blocks.items[kept.len()].point = (point, false);
        }
        let next = fill(calls, blocks.arrange(), &sorted);
        if next.homeless.len() <= best.homeless.len() {
            best = next;
            unused.retain(|&at| Some(at) != helper);
        } else {
            blocks.truncate(kept.len());
            blocks.items.iter_mut().zip(kept).for_each(|(block, point)| block.point = point);
        }
    }
    best.homeless.is_empty().then_some(best.order)
}

/// A point for a backward zone near this one that is not within a forward zone.
fn clear(forward: &[Zone], zone: &Zone, point: u32) -> u32 {
    let before = forward.partition_point(|other| other.f() < point);
    match before.checked_sub(1).map(|at| forward[at]) {
        Some(other) if point < other.s() && other.f() >= zone.s() => other.f(),
        Some(other) if point < other.s() => other.s(),
        _ => point,
    }
}

/// Random numbers for the local search (xorshift; nothing depends on their quality).
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % n.max(1)
    }

    fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(u64::from(high.saturating_sub(low)) + 1) as u32
    }

    fn of<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }
}

/// An order, and the calls that found no place in it.
struct Filled {
    order: Vec<usize>,
    homeless: Vec<usize>,
}

/// Puts the `differs`, sorted by call, into an order.
fn fill(calls: &[Call<'_>], order: Vec<usize>, differs: &[usize]) -> Filled {
    let gaps = Gaps::new(calls, &order);
    let mut placed: Vec<(u32, usize, usize)> = Vec::with_capacity(differs.len());
    let mut homeless = Vec::new();
    // Those that later ones may have to follow, by return; and the gap that those which have returned need.
    let mut running: BinaryHeap<Reverse<(u32, usize)>> = BinaryHeap::new();
    let mut after = 0;
    for &at in differs {
        let call = &calls[at];
        while let Some(&Reverse((ret, gap))) = running.peek()
            && ret < call.call
        {
            running.pop();
            after = after.max(gap);
        }
        let (low, high) = gaps.range(call);
        let gap = call.differs_from().and_then(|value| gaps.first_other(low.max(after), high, value));
        match gap {
            Some(gap) => {
                placed.push((call.call, gap, at));
                running.push(Reverse((call.ret, gap)));
            }
            None => homeless.push(at),
        }
    }
    placed.sort_by_key(|&(call, gap, _)| (gap, call));
    Filled { order: merge(order, &placed), homeless }
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
