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

use super::{Call, Contradiction, OPEN};
use crate::history::Value;

/// Who put a value, by the instant of the call.
#[derive(Default)]
pub(super) struct Makers {
    /// Instant of the call; position of the one that returns last among those up to here. Most values of a history of unique
    /// ones have one maker, which needs no allocation.
    first: Option<(u32, usize)>,
    more: Vec<(u32, usize)>,
}

/// The latest instant at which a call was made that left a value, and the latest among those that left another one.
#[derive(Clone, Copy, Default)]
pub(super) struct Latest<'h> {
    first: Option<(u32, usize, &'h Value)>,
    other: Option<(u32, usize, &'h Value)>,
}

impl<'h> Latest<'h> {
    pub(super) fn add(&mut self, call: u32, at: usize, value: &'h Value) {
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
    pub(super) fn besides(&self, value: &Value) -> Option<(u32, usize)> {
        let fits = |found: &(u32, usize, &Value)| found.2 != value;
        self.first.filter(fits).or(self.other.filter(fits)).map(|(call, at, _)| (call, at))
    }
}

/// The first contradiction of this kind in the calls of one register, if there is one.
pub(super) fn contradiction(calls: &[Call<'_>]) -> Option<Contradiction> {
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
        let best = makers.get(value).and_then(|makers| makers.until(calls[reader].ret));
        // The initial value was there before everything.
        let returned = match best {
            Some(at) => calls[at].ret,
            None if *value == Value::Nil => 0,
            None => return Some(nobody(calls, reader)),
        };
        if let Some((called, change)) = over
            && returned < called
        {
            let made = calls[change].observes().and_then(|seen| makers.get(seen)?.until(calls[change].ret));
            let mut found = overwritten(calls, reader, change, best);
            found.calls.extend(made.filter(|made| Some(*made) != best && *made != change));
            return Some(found);
        }
    }
    None
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
    fn add(&mut self, calls: &[Call<'_>], at: usize) {
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
    known.sort_unstable_by_key(|&at| calls[at].ret);
    known
}

/// Who put each value.
pub(super) fn makers<'h>(calls: &[Call<'h>]) -> FxHashMap<&'h Value, Makers> {
    let mut by_call: Vec<usize> = (0..calls.len()).collect();
    by_call.sort_by_key(|&at| calls[at].call);
    let mut makers: FxHashMap<&Value, Makers> = FxHashMap::default();
    for at in by_call {
        let Some(value) = calls[at].puts() else { continue };
        makers.entry(value).or_default().add(calls, at);
    }
    makers
}

fn nobody(calls: &[Call<'_>], reader: usize) -> Contradiction {
    let reader_call = &calls[reader];
    let value = reader_call.observes().unwrap_or(&Value::Nil);
    let why = match calls.iter().any(|call| call.puts() == Some(value)) {
        true => format!("{reader_call} returned before any operation that put {value} there was invoked"),
        false => format!("{reader_call} saw a value that no operation put there"),
    };
    let mut named: Vec<usize> =
        (0..calls.len()).filter(|&at| calls[at].puts() == Some(value)).take(1).collect();
    named.push(reader);
    Contradiction { calls: named, why }
}

fn overwritten(calls: &[Call<'_>], reader: usize, change: usize, maker: Option<usize>) -> Contradiction {
    let (reader_call, change_call) = (&calls[reader], &calls[change]);
    let value = reader_call.observes().unwrap_or(&Value::Nil);
    let count = calls.iter().filter(|call| call.puts() == Some(value) && call.ret < change_call.call).count();
    let older = match (maker, count) {
        (None, _) => format!("nothing had put {value} there"),
        (Some(maker), 1) => {
            format!("{} had completed before {change_call} was invoked", calls[maker])
        }
        (Some(maker), count) => format!(
            "the last of the {count} operations that put {value} there, {}, had completed before {change_call} was invoked",
            calls[maker]
        ),
    };
    let why = format!(
        "{reader_call} was invoked after {change_call} completed, yet {older}: the older value came back"
    );
    let calls = maker.into_iter().chain([change, reader]).collect();
    Contradiction { calls, why }
}
