//! A cheap contradiction: a value was seen that no call can have put there for this one to see.
//!
//! Take a call R that saw v, and a completed change W to something else that returned before R was called. A call that put
//! v and returned before W was called is older than W in every order, so that it is not the last change before R. If
//! that leaves nobody who put v and was called before R returned, there is no order. Of all W the one that was called
//! last rules out the most, so one look at each R is enough: O(n log n). It finds stale reads and lost writes
//! also where values repeat and the search would be long; it never says that a history holds.
//!
//! References: the dangling and stale reads of Gibbons & Korach, Testing Shared Memories, 1997, section 4.

use rustc_hash::FxHashMap;

use super::{Call, Contradiction, OPEN};
use crate::history::Value;

/// Who put a value, by the instant of the call.
#[derive(Default)]
pub(super) struct Makers {
    /// Instant of the call; position of the one that returns last among those up to here.
    by_call: Vec<(u32, usize)>,
}

/// The latest instant at which a completed change was called, and the latest among those to another value.
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

    /// The latest one that did not put this value.
    pub(super) fn besides(&self, value: &Value) -> Option<(u32, usize)> {
        let fits = |found: &(u32, usize, &Value)| found.2 != value;
        self.first.filter(fits).or(self.other.filter(fits)).map(|(call, at, _)| (call, at))
    }
}

/// The first contradiction of this kind in the calls of one register, if there is one.
pub(super) fn contradiction(calls: &[Call<'_>]) -> Option<Contradiction> {
    let makers = makers(calls);
    let mut changes: Vec<usize> =
        (0..calls.len()).filter(|&at| calls[at].ret != OPEN && calls[at].puts().is_some()).collect();
    changes.sort_by_key(|&at| calls[at].ret);
    let mut observers: Vec<usize> =
        (0..calls.len()).filter(|&at| calls[at].ret != OPEN && calls[at].observes().is_some()).collect();
    observers.sort_by_key(|&at| calls[at].call);
    let (mut latest, mut next) = (Latest::default(), 0);
    for reader in observers {
        while let Some(&at) = changes.get(next).filter(|&&at| calls[at].ret < calls[reader].call) {
            if let Some(value) = calls[at].puts() {
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
            return Some(overwritten(calls, reader, change, best));
        }
    }
    None
}

impl Makers {
    /// Of those that were called by this instant, the one that returns last.
    pub(super) fn until(&self, instant: u32) -> Option<usize> {
        let count = self.by_call.partition_point(|&(call, _)| call <= instant);
        count.checked_sub(1).map(|last| self.by_call[last].1)
    }
}

/// Who put each value.
pub(super) fn makers<'h>(calls: &[Call<'h>]) -> FxHashMap<&'h Value, Makers> {
    let mut by_call: Vec<usize> = (0..calls.len()).collect();
    by_call.sort_by_key(|&at| calls[at].call);
    let mut makers: FxHashMap<&Value, Makers> = FxHashMap::default();
    for at in by_call {
        let Some(value) = calls[at].puts() else { continue };
        let known = &mut makers.entry(value).or_default().by_call;
        let longest = known.last().map_or(at, |&(_, last)| match calls[last].ret >= calls[at].ret {
            true => last,
            false => at,
        });
        known.push((calls[at].call, longest));
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
