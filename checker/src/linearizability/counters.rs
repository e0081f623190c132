//! Counters. Where all changes are equal: exact, in O(n log n), with any number of unknown operations. Otherwise two
//! contradictions that need no search.
//!
//! Equal changes: a read says how many there were before it. Everything happens as late as possible: an add when
//! it returns, or when a read returns that wants more; then the open adds that return first go first, unknown ones last.
//! So the counter is never higher than it has to be, and a read takes effect as soon as it shows the right number.
//! In general: a read shows at least what had been added before it was invoked and at most what had been begun when it
//! completed; and where nothing is ever subtracted, a later read shows no less.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;

use super::{Call, Contradiction, OPEN, Ruling};
use crate::history::{Op, Reply, Value};
use crate::model::change;

/// The calls of one counter.
struct Counter<'c, 'h> {
    calls: &'c [Call<'h>],
    /// Adds and their changes.
    adds: Vec<(usize, i128)>,
    /// Reads and what they saw.
    reads: Vec<(usize, i128)>,
}

/// Judges the calls of one counter.
pub(super) fn judge(calls: &[Call<'_>]) -> Ruling {
    let Some(counter) = Counter::new(calls) else { return Ruling::NotCovered };
    if let Some(found) = counter.out_of_bounds().or_else(|| counter.going_back()) {
        return Ruling::Violated(found);
    }
    match counter.adds.first() {
        Some(&(_, by)) if by != 0 && counter.adds.iter().all(|add| add.1 == by) => counter.equal(by),
        None => Ruling::Holds(counter.reads.iter().map(|read| read.0).collect()),
        _ => Ruling::NotCovered,
    }
}

impl<'c, 'h> Counter<'c, 'h> {
    fn new(calls: &'c [Call<'h>]) -> Option<Self> {
        let mut counter = Counter { calls, adds: Vec::new(), reads: Vec::new() };
        for (at, call) in calls.iter().enumerate() {
            match (call.op, call.reply) {
                (Op::Read { .. }, Some(Reply::Value(Value::Int(seen)))) => {
                    counter.reads.push((at, i128::from(*seen)))
                }
                (Op::Read { .. }, Some(Reply::Value(Value::Nil))) => counter.reads.push((at, 0)),
                (op, _) => counter.adds.push((at, i128::from(change(op)?))),
            }
        }
        counter.reads.sort_by_key(|read| calls[read.0].call);
        Some(counter)
    }

    /// A read of less than there must have been, or of more than there can have been.
    fn out_of_bounds(&self) -> Option<Contradiction> {
        let changes = |instant: &dyn Fn(&Call<'_>) -> u32| {
            self.adds.iter().map(|&(at, by)| (instant(&self.calls[at]), by)).collect()
        };
        let (ended, begun) = (Sums::new(changes(&|call| call.ret)), Sums::new(changes(&|call| call.call)));
        self.reads.iter().find_map(|&(at, seen)| {
            let call = &self.calls[at];
            let (up, down) = ended.before(call.call);
            let (most_up, most_down) = begun.before(call.ret.saturating_add(1));
            let (least, most) = (up + most_down, most_up + down);
            match seen {
                seen if seen < least => Some(self.too_little(at, seen, least)),
                seen if seen > most => Some(self.too_much(at, most)),
                _ => None,
            }
        })
    }

    fn too_little(&self, at: usize, seen: i128, least: i128) -> Contradiction {
        let read = &self.calls[at];
        let mut picked = vec![at];
        let mut sum = 0;
        // Whatever may have been subtracted belongs to the proof; of what was added as much as it takes.
        for &(add, by) in self.adds.iter().filter(|&&(add, by)| by < 0 && self.calls[add].call <= read.ret) {
            picked.push(add);
            sum += by;
        }
        for &(add, by) in self.adds.iter().filter(|&&(add, by)| by > 0 && self.calls[add].ret < read.call) {
            if sum > seen {
                break;
            }
            picked.push(add);
            sum += by;
        }
        let why = format!("{read}, and what had completed before it was invoked makes at least {least}");
        Contradiction { calls: picked, why }
    }

    fn too_much(&self, at: usize, most: i128) -> Contradiction {
        let read = &self.calls[at];
        let begun = |&&(add, _): &&(usize, i128)| self.calls[add].call <= read.ret;
        let picked = std::iter::once(at).chain(self.adds.iter().filter(begun).map(|add| add.0)).collect();
        let why = format!("{read}, and all that had been begun when it completed makes at most {most}");
        Contradiction { calls: picked, why }
    }

    /// A read that shows less than one that completed before it began, though nothing is ever subtracted; or the
    /// reverse.
    fn going_back(&self) -> Option<Contradiction> {
        let sign = match (self.adds.iter().any(|add| add.1 < 0), self.adds.iter().any(|add| add.1 > 0)) {
            (true, true) => return None,
            (true, false) => -1,
            _ => 1,
        };
        let mut ended: Vec<(u32, i128, usize)> =
            self.reads.iter().map(|&(at, seen)| (self.calls[at].ret, seen * sign, at)).collect();
        ended.sort_unstable();
        let mut ended = ended.into_iter().peekable();
        let mut largest: Option<(i128, usize)> = None;
        for &(at, seen) in &self.reads {
            while let Some((_, earlier, by)) = ended.next_if(|read| read.0 < self.calls[at].call) {
                largest = largest.max(Some((earlier, by)));
            }
            if let Some((_, by)) = largest.filter(|&(earlier, _)| earlier > seen * sign) {
                let (less, what) = if sign > 0 { ("less", "subtracted") } else { ("more", "added") };
                let why = format!(
                    "{} was invoked after {} completed, and shows {less}, though nothing is ever {what}",
                    self.calls[at], self.calls[by]
                );
                return Some(Contradiction { calls: vec![by, at], why });
            }
        }
        None
    }

    /// All adds change the counter by the same.
    fn equal(&self, by: i128) -> Ruling {
        if let Some(&(at, seen)) = self.reads.iter().find(|read| read.1 % by != 0) {
            let why = format!("{}, and no number of changes by {by} makes {seen}", self.calls[at]);
            return Ruling::Violated(Contradiction { calls: vec![at], why });
        }
        // At equal instants calls stand before returns: intervals that touch are concurrent.
        let mut events: Vec<(u32, bool, usize)> = Vec::with_capacity(self.calls.len() * 2);
        for (at, call) in self.calls.iter().enumerate() {
            events.push((call.call, false, at));
            if call.ret != OPEN {
                events.push((call.ret, true, at));
            }
        }
        events.sort_unstable();
        let wants: FxHashMap<usize, i128> = self.reads.iter().map(|&(at, seen)| (at, seen / by)).collect();
        let mut lazy = Lazy {
            open: BinaryHeap::new(),
            waiting: FxHashMap::default(),
            count: 0,
            done: vec![false; self.calls.len()],
            order: Vec::with_capacity(self.calls.len()),
        };
        for (instant, returns, at) in events {
            let possible = match (returns, wants.get(&at)) {
                (false, None) => {
                    lazy.open.push(Reverse((self.calls[at].ret, at)));
                    true
                }
                (false, Some(&wanted)) => {
                    lazy.waiting.entry(wanted).or_default().push(at);
                    lazy.serve();
                    true
                }
                (true, None) => {
                    if !lazy.done[at] {
                        lazy.add(at);
                    }
                    true
                }
                (true, Some(&wanted)) => lazy.done[at] || lazy.raise_to(wanted, at),
            };
            if !possible {
                return Ruling::Violated(self.impossible(at, instant));
            }
        }
        Ruling::Holds(lazy.order)
    }

    /// Everything that can have happened when a read completed that nothing explains.
    fn impossible(&self, at: usize, now: u32) -> Contradiction {
        let picked: Vec<usize> =
            (0..self.calls.len()).filter(|&other| self.calls[other].call <= now).collect();
        let why = format!(
            "{} fits to none of the numbers of changes that the other reads leave for its time",
            self.calls[at]
        );
        Contradiction { calls: picked, why }
    }
}

/// Changes that happened before an instant, upward and downward ones.
struct Sums {
    instants: Vec<u32>,
    sums: Vec<(i128, i128)>,
}

impl Sums {
    fn new(mut changes: Vec<(u32, i128)>) -> Sums {
        changes.sort_unstable();
        let mut sums = vec![(0, 0)];
        for &(_, by) in &changes {
            let (up, down) = sums[sums.len() - 1];
            sums.push((up + by.max(0), down + by.min(0)));
        }
        Sums { instants: changes.into_iter().map(|change| change.0).collect(), sums }
    }

    fn before(&self, instant: u32) -> (i128, i128) {
        self.sums[self.instants.partition_point(|&at| at < instant)]
    }
}

/// What has happened so far, and what may.
struct Lazy {
    /// Open adds, the one that returns first on top. Some have happened already.
    open: BinaryHeap<Reverse<(u32, usize)>>,
    /// Open reads by the count that they want.
    waiting: FxHashMap<i128, Vec<usize>>,
    count: i128,
    done: Vec<bool>,
    order: Vec<usize>,
}

impl Lazy {
    fn serve(&mut self) {
        for at in self.waiting.remove(&self.count).unwrap_or_default() {
            // One that returned without having been served ended it all.
            self.done[at] = true;
            self.order.push(at);
        }
    }

    fn add(&mut self, at: usize) {
        self.done[at] = true;
        self.order.push(at);
        self.count += 1;
        self.serve();
    }

    /// Lets open adds happen until a read is served that wants this many.
    fn raise_to(&mut self, wanted: i128, read: usize) -> bool {
        while self.count < wanted {
            match self.open.pop() {
                None => return false,
                Some(Reverse((_, at))) if self.done[at] => {}
                Some(Reverse((_, at))) => self.add(at),
            }
        }
        self.done[read]
    }
}
