//! What was put and taken of each value, and which of it contradicts the rest.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;

use crate::history::Value;
use crate::linearizability::{Call, Contradiction, OPEN, Ruling};
use crate::model::Passing;

/// After every return, also after those of unknown calls: when an element is taken that never is.
const NEVER: u64 = OPEN as u64 + 1;

/// When an element is put, or taken, and by which call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side {
    pub(super) call: u64,
    pub(super) ret: u64,
    /// `None` for a take that never comes.
    pub(super) by: Option<usize>,
}

impl Side {
    fn of(calls: &[Call<'_>], at: usize) -> Side {
        Side { call: calls[at].call.into(), ret: calls[at].ret.into(), by: Some(at) }
    }
}

/// One element; or a dequeue that found nothing, whose two sides are the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    pub(super) put: Side,
    pub(super) take: Side,
}

impl Element {
    fn is_left(&self) -> bool {
        self.take.by.is_none()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.put.by == self.take.by
    }
}

/// The calls of a queue.
pub(super) struct Elements<'c, 'h> {
    calls: &'c [Call<'h>],
    /// Those that were put for certain, or taken.
    known: Vec<Element>,
    /// Dequeues that found nothing.
    empty: Vec<usize>,
    /// Dequeues of unknown outcome, by call.
    pub(super) unseen: Vec<usize>,
}

impl<'c, 'h> Elements<'c, 'h> {
    /// Sorts the calls; refuses what the rule does not cover.
    pub(super) fn collect(calls: &'c [Call<'h>]) -> Result<Self, Ruling> {
        let mut sides: FxHashMap<&Value, (Vec<usize>, Vec<usize>)> = FxHashMap::default();
        let (mut empty, mut unseen) = (Vec::new(), Vec::new());
        for (at, call) in calls.iter().enumerate() {
            match Passing::of(call.op, call.reply) {
                Some(Passing::Enqueue(value)) => sides.entry(value).or_default().0.push(at),
                Some(Passing::Dequeue(value)) => sides.entry(value).or_default().1.push(at),
                Some(Passing::Empty) => empty.push(at),
                Some(Passing::Unseen) => unseen.push(at),
                None => return Err(Ruling::NotCovered),
            }
        }
        unseen.sort_by_key(|&at| calls[at].call);
        let mut elements = Elements { calls, known: Vec::new(), empty, unseen };
        if sides.values().any(|(puts, _)| puts.len() > 1) {
            return Err(Ruling::NotCovered);
        }
        for (puts, takes) in sides.values() {
            elements.add(puts.first().copied(), takes).map_err(Ruling::Violated)?;
        }
        // The order of a hash map is nobody's business.
        elements.known.sort_by_key(|element| (element.put.call, element.put.by));
        Ok(elements)
    }

    fn add(&mut self, put: Option<usize>, takes: &[usize]) -> Result<(), Contradiction> {
        let calls = self.calls;
        let refuse = |picked: Vec<usize>, why: String| Err(Contradiction { calls: picked, why });
        match (put, takes) {
            (None, []) => Ok(()),
            (None, &[take, ..]) => {
                refuse(vec![take], format!("{} took what nobody ever tried to put", calls[take]))
            }
            (Some(put), &[a, b, ..]) => {
                let why = format!("{} and {} both took what was put once", calls[a], calls[b]);
                refuse(vec![put, a, b], why)
            }
            (Some(put), &[take]) if calls[take].ret < calls[put].call => {
                let why = format!("{} completed before {} was invoked", calls[take], calls[put]);
                refuse(vec![put, take], why)
            }
            (Some(put), &[take]) => {
                self.known.push(Element { put: Side::of(calls, put), take: Side::of(calls, take) });
                Ok(())
            }
            // Of what nobody saw, only what was put for certain counts.
            (Some(put), []) if calls[put].ret == OPEN => Ok(()),
            (Some(put), []) => {
                let take = Side { call: NEVER, ret: NEVER, by: None };
                self.known.push(Element { put: Side::of(calls, put), take });
                Ok(())
            }
        }
    }

    pub(super) fn has_leftovers(&self) -> bool {
        self.known.iter().any(Element::is_left)
    }

    /// Two elements that were put in one order and taken in the other.
    pub(super) fn overtaken(&self) -> Option<Contradiction> {
        let mut by_put: Vec<&Element> = self.known.iter().filter(|e| !e.is_left()).collect();
        by_put.sort_by_key(|e| e.put.ret);
        let mut by_call = by_put.clone();
        by_call.sort_by_key(|e| e.put.call);
        let mut earlier = by_put.into_iter().peekable();
        let mut latest: Option<&Element> = None;
        for b in by_call {
            while let Some(a) = earlier.next_if(|a| a.put.ret < b.put.call) {
                if latest.is_none_or(|latest| latest.take.call < a.take.call) {
                    latest = Some(a);
                }
            }
            if let Some(a) = latest.filter(|a| b.take.ret < a.take.call) {
                return Some(self.wrong_way(a, b));
            }
        }
        None
    }

    fn wrong_way(&self, a: &Element, b: &Element) -> Contradiction {
        let sides = [a.put.by, b.put.by, b.take.by, a.take.by];
        let picked: Vec<usize> = sides.into_iter().flatten().collect();
        let of = |at: Option<usize>| at.map(|at| self.calls[at].to_string()).unwrap_or_default();
        let why = match a.take.by {
            Some(_) => format!(
                "{} completed before {} was invoked, yet {} completed before {} was invoked",
                of(a.put.by),
                of(b.put.by),
                of(b.take.by),
                of(a.take.by)
            ),
            None => format!(
                "{} completed before {} was invoked, and was never taken, yet {} took what came later",
                of(a.put.by),
                of(b.put.by),
                of(b.take.by)
            ),
        };
        Contradiction { calls: picked, why }
    }

    /// Gives every element that must have been taken unseen an unknown dequeue that may have done it; or says which ones
    /// find none.
    pub(super) fn assign(&mut self) -> Option<Contradiction> {
        let mut behind: Vec<Element> = self.known.iter().filter(|e| !e.is_left()).copied().collect();
        behind.sort_by_key(|e| Reverse(e.put.call));
        let mut left: Vec<usize> = (0..self.known.len()).filter(|&at| self.known[at].is_left()).collect();
        left.sort_by_key(|&at| Reverse(self.known[at].put.ret));
        // By element: the first take of something that was put after it.
        let mut needed: Vec<(usize, Element)> = Vec::new();
        let mut first: Option<Element> = None;
        let mut behind = behind.into_iter().peekable();
        for at in left {
            while let Some(b) = behind.next_if(|b| b.put.call > self.known[at].put.ret) {
                if first.is_none_or(|first| b.take.ret < first.take.ret) {
                    first = Some(b);
                }
            }
            needed.extend(first.map(|b| (at, b)));
        }
        needed.sort_by_key(|&(at, b)| (b.take.ret, self.known[at].put.call));
        for (position, &(at, b)) in needed.iter().enumerate() {
            match self.unseen.get(position).map(|&unseen| Side::of(self.calls, unseen)) {
                Some(side) if side.call <= b.take.ret => self.known[at].take = side,
                _ => return Some(self.unexplained(&needed[..=position])),
            }
        }
        None
    }

    fn unexplained(&self, needed: &[(usize, Element)]) -> Contradiction {
        let last = needed[needed.len() - 1];
        let mut lonely = self.known[last.0];
        lonely.take.by = None;
        if needed.len() == 1 {
            return self.wrong_way(&lonely, &last.1);
        }
        let helpers = self.unseen[..needed.len() - 1].iter().copied();
        let sides = |(at, b): &(usize, Element)| [self.known[*at].put.by, b.put.by, b.take.by];
        let mut picked: Vec<usize> = needed.iter().flat_map(sides).flatten().chain(helpers).collect();
        picked.sort_unstable();
        picked.dedup();
        let why = format!(
            "{} elements were put before others that were taken, and were not seen to leave, and only {} dequeues of \
             unknown outcome may have taken them",
            needed.len(),
            needed.len() - 1
        );
        Contradiction { calls: picked, why }
    }

    /// The times at which an element was there for certain: after its put returned and before its take began.
    fn present(&self) -> Vec<(u64, u64, usize)> {
        let spans = self.known.iter().enumerate().map(|(at, e)| (e.put.ret, e.take.call, at));
        let mut spans: Vec<(u64, u64, usize)> = spans.filter(|span| span.0 < span.1).collect();
        spans.sort_unstable();
        spans
    }

    /// The first instant from this one on at which nothing is there for certain, and what is there until then.
    fn gap(spans: &[(u64, u64, usize)], furthest: &[usize], from: u64) -> (u64, Vec<usize>) {
        let (mut at, mut cover) = (from, Vec::new());
        loop {
            let before = spans.partition_point(|span| span.0 < at);
            let longest = before.checked_sub(1).map(|last| spans[furthest[last]]);
            match longest {
                Some((_, end, element)) if end > at => {
                    cover.push(element);
                    at = end;
                }
                _ => return (at, cover),
            }
        }
    }

    /// By position: which span up to there ends last.
    fn furthest(spans: &[(u64, u64, usize)]) -> Vec<usize> {
        let mut furthest: Vec<usize> = Vec::with_capacity(spans.len());
        for (at, span) in spans.iter().enumerate() {
            let best = match furthest.last() {
                Some(&best) if spans[best].1 >= span.1 => best,
                _ => at,
            };
            furthest.push(best);
        }
        furthest
    }

    /// A dequeue that found nothing although something was there all the time.
    pub(super) fn never_empty(&self) -> Option<Contradiction> {
        let spans = self.present();
        let furthest = Self::furthest(&spans);
        // Unknown dequeues that had begun may have taken elements that are left, and nobody knows which. They are
        // sorted by call.
        let first = self.unseen.first().map_or(OPEN, |&unseen| self.calls[unseen].call);
        let doubtful = |at: usize, ret: u32| self.known[at].is_left() && first <= ret;
        self.empty.iter().find_map(|&at| {
            let call = &self.calls[at];
            let (free, cover) = Self::gap(&spans, &furthest, call.call.into());
            if free <= u64::from(call.ret) || cover.iter().any(|&element| doubtful(element, call.ret)) {
                return None;
            }
            let sides = cover.iter().flat_map(|&e| [self.known[e].put.by, self.known[e].take.by]);
            let picked: Vec<usize> = std::iter::once(at).chain(sides.flatten()).collect();
            let there = match &cover[..] {
                &[one] => match self.known[one].put.by {
                    Some(put) => format!("what {} had put was there all the time", self.calls[put]),
                    None => "something was there all the time".to_owned(),
                },
                _ => format!("at every instant of it one of {} elements was there", cover.len()),
            };
            Some(Contradiction { calls: picked, why: format!("{call} found nothing, though {there}") })
        })
    }

    /// All elements, and the dequeues that found nothing.
    pub(super) fn settled(&self) -> Vec<Element> {
        let nothing = |&at: &usize| {
            let side = Side::of(self.calls, at);
            Element { put: side, take: side }
        };
        self.known.iter().copied().chain(self.empty.iter().map(nothing)).collect()
    }

    /// An order for a queue without one: what need not be there at any time is taken as soon as it is put, the rest is put
    /// late and taken early, and the dequeues that found nothing come when nothing is there for certain.
    pub(super) fn around_the_empty(&self) -> Vec<usize> {
        let spans = self.present();
        let furthest = Self::furthest(&spans);
        // At one instant: takes, then who finds nothing, then what comes and goes, then puts.
        let mut moves: Vec<(u64, u8, usize, usize)> = Vec::new();
        for (at, element) in self.known.iter().enumerate() {
            let (put, take) = (element.put.by.unwrap_or(at), element.take.by);
            match (element.put.ret < element.take.call, take) {
                (true, take) => {
                    moves.push((element.put.ret, 3, at, put));
                    moves.extend(take.map(|take| (element.take.call, 0, at, take)));
                }
                (false, Some(take)) => {
                    let instant = element.put.call.max(element.take.call);
                    moves.push((instant, 2, at * 2, put));
                    moves.push((instant, 2, at * 2 + 1, take));
                }
                (false, None) => moves.push((element.put.ret, 3, at, put)),
            }
        }
        for &at in &self.empty {
            let (free, _) = Self::gap(&spans, &furthest, self.calls[at].call.into());
            moves.push((free, 1, at, at));
        }
        moves.sort_unstable();
        moves.into_iter().map(|one| one.3).collect()
    }
}
