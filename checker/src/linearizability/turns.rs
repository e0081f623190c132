//! A mutex that anybody may release: exact, in O(n log n), with any number of unknown operations.
//!
//! Acquires and releases alternate, and of calls that want the same it does not matter which one it was. So everything
//! happens as late as possible: when a call returns that has not happened, it does; if it is not its turn, one of
//! the other kind happens before it, the open one that returns first, unknown ones last. Doing anything earlier leaves
//! no more choice later. Where no call can help, the history is violated.
//!
//! The evidence is a window of time in which more acquires must have happened than releases can have (or the other way
//! round); where there is none that is small, everything up to the return at which it fails.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Call, Contradiction, OPEN, Ruling};
use crate::model::Turn;

/// Judges the calls of one mutex.
pub(super) fn judge(calls: &[Call<'_>]) -> Ruling {
    let Some(turns) = calls.iter().map(|call| Turn::of(call.op)).collect::<Option<Vec<Turn>>>() else {
        return Ruling::NotCovered;
    };
    // Calls stand before returns of the same instant: intervals that touch are concurrent.
    let mut events: Vec<(u32, bool, usize)> = Vec::with_capacity(calls.len() * 2);
    for (at, call) in calls.iter().enumerate() {
        events.push((call.call, false, at));
        if call.ret != OPEN {
            events.push((call.ret, true, at));
        }
    }
    events.sort_unstable();
    let mut mutex = Lazy { open: [BinaryHeap::new(), BinaryHeap::new()], held: false, order: Vec::new() };
    let mut done = vec![false; calls.len()];
    for (_, returns, at) in events {
        let own = turns[at] as usize;
        if !returns {
            mutex.open[own].push(Reverse((calls[at].ret, at)));
            continue;
        }
        if done[at] {
            continue;
        }
        if mutex.held == (turns[at] == Turn::Acquire) {
            match mutex.take(1 - own, &done) {
                Some(helper) => done[helper] = true,
                None => return Ruling::Violated(contradiction(calls, &turns, at)),
            }
        }
        done[at] = true;
        mutex.happens(at);
    }
    Ruling::Holds(mutex.order)
}

/// What has happened so far, and what may.
struct Lazy {
    /// By turn: open calls, the one that returns first on top. Some have happened already.
    open: [BinaryHeap<Reverse<(u32, usize)>>; 2],
    held: bool,
    order: Vec<usize>,
}

impl Lazy {
    fn happens(&mut self, at: usize) {
        self.held = !self.held;
        self.order.push(at);
    }

    /// Lets the open call of this turn happen that returns first.
    fn take(&mut self, turn: usize, done: &[bool]) -> Option<usize> {
        while let Some(Reverse((_, at))) = self.open[turn].pop() {
            if !done[at] {
                self.happens(at);
                return Some(at);
            }
        }
        None
    }
}

/// It is not the turn of `failing`, which has to happen by now.
fn contradiction(calls: &[Call<'_>], turns: &[Turn], failing: usize) -> Contradiction {
    let now = calls[failing].ret;
    let wanted = turns[failing];
    // All that can have happened by now, the youngest first: what must have by its call, what may have by its return.
    let mut steps: Vec<(u32, bool, usize)> = (0..calls.len())
        .filter(|&at| calls[at].call <= now)
        .filter(|&at| turns[at] != wanted || calls[at].ret <= now)
        .map(|at| match turns[at] == wanted {
            true => (calls[at].call, false, at),
            false => (calls[at].ret, true, at),
        })
        .collect();
    steps.sort_unstable_by(|a, b| b.cmp(a));
    let (mut must, mut may) = (Vec::new(), Vec::new());
    for (_, other, at) in steps {
        match other {
            true => may.push(at),
            false => must.push(at),
        }
        if must.len() >= may.len() + 2 {
            break;
        }
    }
    let small = must.len() >= may.len() + 2;
    let (act, others) = match wanted {
        Turn::Acquire => ("acquires", "releases"),
        Turn::Release => ("releases", "acquires"),
    };
    let why = match (small, may.len()) {
        (true, 0) => format!(
            "{} and {} both happened, and there was no {} between them",
            calls[must[1]],
            calls[must[0]],
            others.trim_end_matches('s')
        ),
        (true, count) => format!(
            "{} {act} happened within some time, and at most {count} {others} between them",
            must.len()
        ),
        (false, _) => format!("{} was not possible: more {act} than there were {others} for", calls[failing]),
    };
    let picked = match small {
        true => must.into_iter().chain(may).collect(),
        false => (0..calls.len()).filter(|&at| calls[at].call <= now).collect(),
    };
    Contradiction { calls: picked, why }
}
