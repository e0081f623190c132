//! A cheap contradiction: a value was seen that no call can have put there for this one to see.
//!
//! Take a call R that saw v, and a call W that left something else, because it put it there or saw it, and that returned
//! before R was called. A call that put v and returned before W was called is older than W in every order, so that R does
//! not see what it put. If that leaves nobody who put v and was called before R returned, there is no order. Of all W
//! the one that was called last rules out the most, so one look at each R is enough: O(n log n). It finds stale reads and
//! lost writes also where values repeat and the search would be long; it never says that a history holds.
//!
//! References: the dangling and stale reads of Gibbons & Korach, Testing Shared Memories, 1997, section 4.

use rustc_hash::FxHashMap;

use super::{Call, OPEN, instants};
use crate::history::Value;

/// Who put a value, by the instant of the call.
#[derive(Default)]
pub(super) struct Makers {
    /// Instant of the call; position of the one that returns last among those up to here. Most values of a history of unique
    /// ones have one maker, which needs no allocation.
    first: Option<(u32, usize)>,
    more: Vec<(u32, usize)>,
}

/// The latest instant at which a call was made that left a value, and the latest among those that left another one. Values
/// are told from each other by `V`.
#[derive(Clone, Copy)]
pub(super) struct Latest<V> {
    first: Option<(u32, usize, V)>,
    other: Option<(u32, usize, V)>,
}

impl<V> Default for Latest<V> {
    fn default() -> Self {
        Latest { first: None, other: None }
    }
}

impl<V: Copy + PartialEq> Latest<V> {
    pub(super) fn add(&mut self, call: u32, at: usize, value: V) {
        let new = Some((call, at, value));
        match self.first {
            Some((before, _, known)) if known == value => {
                if call > before {
                    self.first = new;
                }
            }
            Some((before, ..)) if call > before => (self.first, self.other) = (new, self.first),
            Some(_) => {
                if self.other.is_none_or(|(before, ..)| call > before) {
                    self.other = new;
                }
            }
            None => self.first = new,
        }
    }

    /// The latest one that did not leave this value.
    pub(super) fn besides(&self, value: V) -> Option<(u32, usize)> {
        let fits = |found: &(u32, usize, V)| found.2 != value;
        self.first.filter(fits).or(self.other.filter(fits)).map(|(call, at, _)| (call, at))
    }
}

/// What was seen and cannot have been there, by the positions of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stale {
    /// It saw a value.
    reader: usize,
    /// The last that can have put it there, if anything can.
    maker: Option<usize>,
    /// What left another value in between; nothing, if there was no value to be overwritten.
    change: Option<usize>,
}

/// The first contradiction of this kind in the calls of one register, if there is one.
pub(super) fn find(calls: &[Call<'_>]) -> Option<Stale> {
    let makers = makers(calls);
    let changes = by_return(calls);
    let mut observers: Vec<usize> =
        (0..calls.len()).filter(|&at| calls[at].ret != OPEN && calls[at].observes().is_some()).collect();
    observers.sort_by_key(|&at| calls[at].call);
    let (mut latest, mut next) = (Latest::default(), 0);
    for reader in observers {
        while let Some(&at) = changes.get(next).filter(|&&at| calls[at].ret < calls[reader].call) {
            if let Some(value) = leaves(&calls[at]) {
                latest.add(calls[at].call, at, value);
            }
            next += 1;
        }
        let Some(value) = calls[reader].observes() else { continue };
        let over = latest.besides(value);
        let maker = makers.get(value).and_then(|makers| makers.until(calls[reader].ret));
        // The initial value was there before everything.
        let returned = match maker {
            Some(at) => calls[at].ret,
            None if *value == Value::Nil => 0,
            None => return Some(Stale { reader, maker, change: None }),
        };
        if let Some((called, change)) = over
            && returned < called
        {
            return Some(Stale { reader, maker, change: Some(change) });
        }
    }
    None
}

impl Stale {
    /// The same of other positions.
    pub(super) fn moved(self, to: impl Fn(usize) -> usize) -> Stale {
        Stale { reader: to(self.reader), maker: self.maker.map(&to), change: self.change.map(&to) }
    }

    /// The calls that contradict each other, each with one that can have put there what it saw.
    pub(super) fn calls(self, calls: &[Call<'_>]) -> Vec<usize> {
        let makers = makers(calls);
        let mut picked: Vec<usize> =
            [self.maker, self.change, Some(self.reader)].into_iter().flatten().collect();
        if self.maker.is_none() && self.change.is_none() {
            // One that came too late, to show that.
            let late = |at: &usize| calls[*at].puts() == calls[self.reader].observes();
            picked.extend((0..calls.len()).find(late));
        }
        let mut next = 0;
        while let Some(&at) = picked.get(next) {
            next += 1;
            let Some(seen) = calls[at].observes() else { continue };
            if picked.iter().all(|&other| calls[other].puts() != Some(seen)) {
                picked.extend(makers.get(seen).and_then(|makers| makers.until(calls[at].ret)));
            }
        }
        picked
    }

    /// One sentence.
    pub(super) fn why(self, calls: &[Call<'_>]) -> String {
        match self.change {
            Some(change) => overwritten(calls, self.reader, change, self.maker),
            None => nobody(calls, self.reader),
        }
    }
}

impl Makers {
    /// Of those that were called by this instant, the one that returns last.
    pub(super) fn until(&self, instant: u32) -> Option<usize> {
        let count = self.more.partition_point(|&(call, _)| call <= instant);
        match count.checked_sub(1) {
            Some(last) => Some(self.more[last].1),
            None => self.first.filter(|&(call, _)| call <= instant).map(|(_, at)| at),
        }
    }

    /// Adds one that is called after all others.
    pub(super) fn add(&mut self, calls: &[Call<'_>], at: usize) {
        let new = |longest| (calls[at].call, longest);
        match self.more.last().copied().or(self.first) {
            None => self.first = Some(new(at)),
            Some((_, last)) if calls[last].ret >= calls[at].ret => self.more.push(new(last)),
            Some(_) => self.more.push(new(at)),
        }
    }
}

/// What the register held just after a completed call of a known answer, where that is known.
pub(super) fn leaves<'h>(call: &Call<'h>) -> Option<&'h Value> {
    call.puts().or_else(|| call.observes())
}

/// The completed calls that left a known value, by the instant of the return.
pub(super) fn by_return(calls: &[Call<'_>]) -> Vec<usize> {
    let mut known: Vec<usize> =
        (0..calls.len()).filter(|&at| calls[at].ret != OPEN && leaves(&calls[at]).is_some()).collect();
    instants::sort(&mut known, |&at| u64::from(calls[at].ret));
    known
}

/// Who put each value.
fn makers<'h>(calls: &[Call<'h>]) -> FxHashMap<&'h Value, Makers> {
    let mut by_call: Vec<usize> = (0..calls.len()).collect();
    by_call.sort_by_key(|&at| calls[at].call);
    let mut makers: FxHashMap<&Value, Makers> = FxHashMap::default();
    for at in by_call {
        let Some(value) = calls[at].puts() else { continue };
        makers.entry(value).or_default().add(calls, at);
    }
    makers
}

fn nobody(calls: &[Call<'_>], reader: usize) -> String {
    let reader = &calls[reader];
    let value = reader.observes().unwrap_or(&Value::Nil);
    match calls.iter().any(|call| call.puts() == Some(value)) {
        true => format!("{reader} returned before any operation that put {value} there was invoked"),
        false => format!("{reader} saw a value that no operation put there"),
    }
}

fn overwritten(calls: &[Call<'_>], reader: usize, change: usize, maker: Option<usize>) -> String {
    let (reader, change) = (&calls[reader], &calls[change]);
    let value = reader.observes().unwrap_or(&Value::Nil);
    let count = calls.iter().filter(|call| call.puts() == Some(value) && call.ret < change.call).count();
    let older = match (maker, count) {
        (None, _) => format!("nothing had put {value} there"),
        (Some(maker), 1) => format!("{} had completed before {change} was invoked", calls[maker]),
        (Some(maker), count) => format!(
            "the last of the {count} operations that put {value} there, {}, had completed before {change} was invoked",
            calls[maker]
        ),
    };
    format!("{reader} was invoked after {change} completed, yet {older}: the older value came back")
}
