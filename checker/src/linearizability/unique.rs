//! Registers whose values are written once each: exact, in O(n log n), with any number of unknown operations.
//!
//! Each value has one producer, so the operations fall into chains: a blind write (or the initial nil), its reads, the
//! CAS that replaces it, the reads of that one's value, and so on. A chain is contiguous in every valid order, and the
//! zone theorem arranges the chains. An unknown operation counts only if its value was observed. Refused CAS that do
//! not say what they found are left out at first (what is violated without them stays violated), then placed into the
//! witness; where they do not fit into it, the search decides.
//!
//! Not covered: a value with two producers, a delete (it recreates nil), lists.
//! References: Gibbons & Korach 1997 for reads and writes; Lee & Mathur, arXiv 2410.04581.

use rustc_hash::FxHashMap;

use super::placement::Block;
use super::zones::{self, Zone};
use super::{Call, Contradiction, OPEN, Ruling, placement};
use crate::history::{Op, Reply, Value};
use crate::verdict::Budget;

/// The value that nobody writes.
const INITIAL: usize = 0;
const NONE: usize = usize::MAX;

/// What is known of one value.
#[derive(Clone)]
struct Known {
    producer: usize,
    consumer: usize,
    /// A call that proves the value to have been there.
    observer: usize,
    reads: Vec<usize>,
}

/// The calls by the values that they make, see and replace.
struct Values<'c, 'h> {
    calls: &'c [Call<'h>],
    known: Vec<Known>,
    ids: FxHashMap<&'h Value, usize>,
    differs: Vec<usize>,
}

/// A chain: its calls in layers. The calls of a layer may stand in any order.
struct Chain {
    layers: Vec<Vec<usize>>,
    zone: Zone,
}

/// Judges the calls of one key. Only the placing of refused CAS can be cut short by the budget.
pub(super) fn judge(calls: &[Call<'_>], budget: &Budget<'_>) -> Ruling {
    let mut values = match Values::collect(calls) {
        Ok(values) => values,
        Err(ruling) => return ruling,
    };
    if let Err(found) = values.observe() {
        return Ruling::Violated(found);
    }
    let chains = match values.chains() {
        Ok(chains) => chains,
        Err(found) => return Ruling::Violated(found),
    };
    let zones: Vec<Zone> = chains.iter().map(|chain| chain.zone).collect();
    if let Some((a, b)) = zones::conflict(&zones) {
        return Ruling::Violated(values.crossed(&chains[a], &chains[b]));
    }
    let blocks: Vec<Block> = chains.into_iter().map(Chain::into_block).collect();
    match values.differs.is_empty() {
        true => Ruling::Holds(placement::arrange(&blocks)),
        false => {
            let spare = values.unused();
            placement::place(calls, blocks, &spare, &values.differs, budget)
                .map_or(Ruling::NotCovered, Ruling::Holds)
        }
    }
}

impl Chain {
    fn into_block(self) -> Block {
        Block::new(self.zone, self.layers.into_iter().flatten().collect())
    }
}

impl<'c, 'h> Values<'c, 'h> {
    /// Sorts the calls; refuses what the rule does not cover.
    fn collect(calls: &'c [Call<'h>]) -> Result<Self, Ruling> {
        let mut values = Values { calls, known: Vec::new(), ids: FxHashMap::default(), differs: Vec::new() };
        values.id(&Value::Nil);
        for (at, call) in calls.iter().enumerate() {
            match (call.op, call.reply) {
                (Op::Read { .. }, Some(Reply::Value(seen))) => values.read(seen, at),
                (Op::Cas { expected, .. }, Some(Reply::Mismatch(Some(told)))) => {
                    if told == expected {
                        let why =
                            format!("{call}: it found the value that it expected, and says that it did not");
                        return Err(Ruling::Violated(Contradiction { calls: vec![at], why }));
                    }
                    values.read(told, at);
                }
                (Op::Cas { .. }, Some(Reply::Mismatch(None))) => values.differs.push(at),
                (Op::Write { value, .. } | Op::Cas { new: value, .. }, None | Some(Reply::Done)) => {
                    let id = values.id(value);
                    if id == INITIAL || values.known[id].producer != NONE {
                        return Err(Ruling::NotCovered);
                    }
                    values.known[id].producer = at;
                }
                _ => return Err(Ruling::NotCovered),
            }
        }
        Ok(values)
    }

    fn id(&mut self, value: &'h Value) -> usize {
        let fresh = self.known.len();
        let id = *self.ids.entry(value).or_insert(fresh);
        if id == fresh {
            self.known.push(Known { producer: NONE, consumer: NONE, observer: NONE, reads: Vec::new() });
        }
        id
    }

    fn read(&mut self, seen: &'h Value, at: usize) {
        let id = self.id(seen);
        self.known[id].reads.push(at);
        self.known[id].observer = at;
    }

    /// Follows the observed values back to their producers: an unknown CAS whose value was seen did happen, and
    /// replaced the value that it expected.
    fn observe(&mut self) -> Result<(), Contradiction> {
        let mut open: Vec<usize> =
            (0..self.known.len()).filter(|&id| self.known[id].observer != NONE).collect();
        for at in 0..self.calls.len() {
            if matches!((self.calls[at].op, self.calls[at].reply), (Op::Cas { .. }, Some(Reply::Done))) {
                open.extend(self.consume(at)?);
            }
        }
        while let Some(id) = open.pop() {
            if id == INITIAL {
                continue;
            }
            let producer = self.known[id].producer;
            if producer == NONE {
                let observer = self.known[id].observer;
                let why = format!("{} saw a value that nobody ever tried to write", self.calls[observer]);
                return Err(Contradiction { calls: vec![observer], why });
            }
            if self.calls[producer].ret == OPEN && matches!(self.calls[producer].op, Op::Cas { .. }) {
                open.extend(self.consume(producer)?);
            }
        }
        Ok(())
    }

    /// Notes that the CAS at `at` happened. Returns the value that it replaced if that was not observed so far.
    fn consume(&mut self, at: usize) -> Result<Option<usize>, Contradiction> {
        let Op::Cas { expected, .. } = self.calls[at].op else { return Ok(None) };
        let id = self.id(expected);
        let known = &mut self.known[id];
        if known.consumer != NONE && known.consumer != at {
            let (a, b) = (known.consumer, at);
            let why = format!(
                "{} and {} both replaced {expected}, which was there only once",
                self.calls[a], self.calls[b]
            );
            return Err(Contradiction { calls: vec![a, b], why });
        }
        known.consumer = at;
        let fresh = known.observer == NONE;
        if fresh {
            known.observer = at;
        }
        Ok(fresh.then_some(id))
    }

    fn was_seen(&self, at: usize) -> bool {
        let id = self.calls[at].puts().and_then(|value| self.ids.get(value));
        id.is_some_and(|&id| self.known[id].observer != NONE)
    }

    /// Unknown writes that nobody saw: they may have happened wherever that helps.
    fn unused(&self) -> Vec<usize> {
        let unused = |&at: &usize| {
            let call = &self.calls[at];
            call.ret == OPEN && matches!(call.op, Op::Write { .. }) && !self.was_seen(at)
        };
        (0..self.calls.len()).filter(unused).collect()
    }

    fn chains(&self) -> Result<Vec<Chain>, Contradiction> {
        let mut chained = vec![false; self.calls.len()];
        let mut chains = vec![self.walk(INITIAL, NONE, &mut chained)?];
        for (at, call) in self.calls.iter().enumerate() {
            let Op::Write { value, .. } = call.op else { continue };
            if call.ret != OPEN || self.was_seen(at) {
                chains.push(self.walk(self.ids[value], at, &mut chained)?);
            }
        }
        // What a CAS replaced was made by a CAS, and so on round: none of them can be the first.
        let happened = |at: &usize| {
            let call = &self.calls[*at];
            matches!(call.op, Op::Cas { .. })
                && !call.is_read_only()
                && (call.ret != OPEN || self.was_seen(*at))
        };
        match (0..self.calls.len()).filter(happened).find(|&at| !chained[at]) {
            None => Ok(chains),
            Some(start) => Err(self.circle(start)),
        }
    }

    fn circle(&self, start: usize) -> Contradiction {
        let mut calls = vec![start];
        let mut at = start;
        while let Op::Cas { expected, .. } = self.calls[at].op {
            at = self.known[self.ids[expected]].producer;
            if calls.contains(&at) {
                calls.drain(..calls.iter().position(|&c| c == at).unwrap_or(0));
                break;
            }
            calls.push(at);
        }
        let why = match calls[..] {
            [only] => format!("{} replaced the value that it alone writes", self.calls[only]),
            _ => format!(
                "these {} calls each replaced what another one of them wrote: none can be first",
                calls.len()
            ),
        };
        Contradiction { calls, why }
    }

    /// The chain that starts with the value `id`, made by `head` (or there from the start).
    fn walk(&self, mut id: usize, head: usize, chained: &mut [bool]) -> Result<Chain, Contradiction> {
        let mut walk = match head {
            NONE => Walk { layers: Vec::new(), last_call: (0, NONE), first_return: (0, NONE) },
            head => Walk { layers: Vec::new(), last_call: (0, NONE), first_return: (OPEN, head) },
        };
        if head != NONE {
            self.layer(&mut walk, vec![head])?;
        }
        loop {
            let mut reads = self.known[id].reads.clone();
            reads.sort_by_key(|&at| self.calls[at].call);
            self.layer(&mut walk, reads)?;
            let consumer = self.known[id].consumer;
            if consumer == NONE {
                break;
            }
            chained[consumer] = true;
            self.layer(&mut walk, vec![consumer])?;
            let Op::Cas { new, .. } = self.calls[consumer].op else { break };
            id = self.ids[new];
        }
        let zone = Zone { first_return: walk.first_return, last_call: walk.last_call };
        Ok(Chain { layers: walk.layers, zone })
    }

    /// Adds a layer: none of its calls may return before a call of an earlier layer begins.
    fn layer(&self, walk: &mut Walk, layer: Vec<usize>) -> Result<(), Contradiction> {
        let (bound, late) = walk.last_call;
        for &at in &layer {
            if self.calls[at].ret < bound {
                return Err(self.inverted(at, late));
            }
        }
        for &at in &layer {
            let call = &self.calls[at];
            if walk.last_call.1 == NONE || call.call > walk.last_call.0 {
                walk.last_call = (call.call, at);
            }
            if call.ret < walk.first_return.0 {
                walk.first_return = (call.ret, at);
            }
        }
        if !layer.is_empty() {
            walk.layers.push(layer);
        }
        Ok(())
    }

    /// `early` depends on `late` having happened, yet returned before it began.
    fn inverted(&self, early: usize, late: usize) -> Contradiction {
        let (e, l) = (&self.calls[early], &self.calls[late]);
        let why = if l.puts().is_some() && e.observes() == l.puts() {
            format!("{e} completed before {l} was invoked")
        } else if l.puts().is_some() {
            format!("{e} completed before {l} was invoked, yet it depends on what that wrote")
        } else {
            let seen = l.observes().map(Value::to_string).unwrap_or_default();
            format!("{l} was invoked after {e} completed, yet by then {seen} had been replaced")
        };
        Contradiction { calls: vec![early, late], why }
    }

    /// Two chains that must each come before the other.
    fn crossed(&self, a: &Chain, b: &Chain) -> Contradiction {
        // The chain of the initial value returned before everything; let it be `a`.
        let (a, b) = if b.zone.first_return.1 == NONE { (b, a) } else { (a, b) };
        let (a_end, b_start) = (a.zone.first_return.1, b.zone.last_call.1);
        let (b_end, a_start) = (b.zone.first_return.1, a.zone.last_call.1);
        let mut calls = vec![b_start, b_end, a_start];
        let late = &self.calls[a_start];
        let shown = &self.calls[b_end];
        let why = if a_end == NONE {
            match late.observes() {
                Some(Value::Nil) | None => {
                    format!(
                        "{late} was invoked after {shown} completed, and nothing ever removes what is there"
                    )
                }
                Some(_) => {
                    format!("{late} was invoked after {shown} completed, yet goes on from an older value")
                }
            }
        } else {
            calls.push(a_end);
            let (first, second) = (&self.calls[a_end], &self.calls[b_start]);
            match b_start == b_end {
                true => format!(
                    "{late} was invoked after {shown} completed, yet {first} had completed before {second} was \
                     invoked: the older value came back"
                ),
                false => format!(
                    "{late} was invoked after {shown} completed, and {second} was invoked after {first} completed: \
                     each value must have come before the other"
                ),
            }
        };
        Contradiction { calls, why }
    }
}

/// A chain on its way.
struct Walk {
    layers: Vec<Vec<usize>>,
    last_call: (u32, usize),
    first_return: (u32, usize),
}
