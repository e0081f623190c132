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

use super::placement::Blocks;
use super::zones::{self, Zone};
use super::{Call, Contradiction, OPEN, Ruling, placement};
use crate::history::{Op, Reply, Value};
use crate::verdict::Budget;

/// The value that nobody writes.
const INITIAL: usize = 0;
const NONE: usize = usize::MAX;

/// What is known of one value.
#[derive(Clone, Copy)]
struct Known {
    producer: usize,
    consumer: usize,
    /// A call that proves the value to have been there.
    observer: usize,
    /// Its part of the reads of all values.
    reads: (usize, usize),
}

/// The calls by the values that they make, see and replace.
struct Values<'c, 'h> {
    calls: &'c [Call<'h>],
    known: Vec<Known>,
    ids: FxHashMap<&'h Value, usize>,
    /// By value, and for each by the instant of the call.
    reads: Vec<usize>,
    differs: Vec<usize>,
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
    let zones = chains.zones();
    if let Some((a, b)) = zones::conflict(&zones) {
        return Ruling::Violated(values.crossed(&zones[a], &zones[b]));
    }
    match values.differs.is_empty() {
        true => Ruling::Holds(chains.arrange()),
        false => {
            let spare = values.unused();
            placement::place(calls, chains, &spare, &values.differs, budget)
                .map_or(Ruling::NotCovered, Ruling::Holds)
        }
    }
}

impl<'c, 'h> Values<'c, 'h> {
    /// Sorts the calls; refuses what the rule does not cover.
    fn collect(calls: &'c [Call<'h>]) -> Result<Self, Ruling> {
        let mut values = Values {
            calls,
            known: Vec::with_capacity(calls.len()),
            ids: FxHashMap::with_capacity_and_hasher(calls.len(), Default::default()),
            reads: Vec::new(),
            differs: Vec::new(),
        };
        let mut reads: Vec<(usize, usize)> = Vec::with_capacity(calls.len());
        values.id(&Value::Nil);
        for (at, call) in calls.iter().enumerate() {
            match (call.op, call.reply) {
                (Op::Read { .. }, Some(Reply::Value(seen))) => reads.push((values.observed(seen, at), at)),
                (Op::Cas { expected, .. }, Some(Reply::Mismatch(Some(told)))) => {
                    if told == expected {
                        let why =
                            format!("{call}: it found the value that it expected, and says that it did not");
                        return Err(Ruling::Violated(Contradiction { calls: vec![at], why }));
                    }
                    reads.push((values.observed(told, at), at));
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
        values.sort_reads(&reads);
        Ok(values)
    }

    /// Puts the reads, each with the number of its value, where they belong.
    fn sort_reads(&mut self, reads: &[(usize, usize)]) {
        reads.iter().for_each(|&(id, _)| self.known[id].reads.1 += 1);
        let mut from = 0;
        for known in &mut self.known {
            let count = known.reads.1;
            known.reads = (from, from);
            from += count;
        }
        self.reads = vec![0; reads.len()];
        for &(id, at) in reads {
            let end = &mut self.known[id].reads.1;
            self.reads[*end] = at;
            *end += 1;
        }
        for known in &self.known {
            self.reads[known.reads.0..known.reads.1].sort_by_key(|&at| self.calls[at].call);
        }
    }

    fn id(&mut self, value: &'h Value) -> usize {
        let fresh = self.known.len();
        let id = *self.ids.entry(value).or_insert(fresh);
        if id == fresh {
            self.known.push(Known { producer: NONE, consumer: NONE, observer: NONE, reads: (0, 0) });
        }
        id
    }

    /// The number of a value that this call saw.
    fn observed(&mut self, seen: &'h Value, at: usize) -> usize {
        let id = self.id(seen);
        self.known[id].observer = at;
        id
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

    fn chains(&self) -> Result<Blocks, Contradiction> {
        let mut chained = vec![false; self.calls.len()];
        let mut chains = Blocks::with_capacity(self.calls.len());
        self.walk(INITIAL, NONE, &mut chained, &mut chains)?;
        for (at, call) in self.calls.iter().enumerate() {
            let Op::Write { value, .. } = call.op else { continue };
            if call.ret != OPEN || self.was_seen(at) {
                self.walk(self.ids[value], at, &mut chained, &mut chains)?;
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

    /// Adds the chain that starts with the value `id`, made by `head` (or there from the start). It consists of layers, and
    /// the calls of a layer may stand in any order.
    fn walk(
        &self,
        mut id: usize,
        head: usize,
        chained: &mut [bool],
        chains: &mut Blocks,
    ) -> Result<(), Contradiction> {
        let mut zone = match head {
            NONE => Zone { last_call: (0, NONE), first_return: (0, NONE) },
            head => Zone { last_call: (0, NONE), first_return: (OPEN, head) },
        };
        if head != NONE {
            self.layer(&mut zone, &[head], chains)?;
        }
        loop {
            let Known { reads, consumer, .. } = self.known[id];
            self.layer(&mut zone, &self.reads[reads.0..reads.1], chains)?;
            if consumer == NONE {
                break;
            }
            chained[consumer] = true;
            self.layer(&mut zone, &[consumer], chains)?;
            let Op::Cas { new, .. } = self.calls[consumer].op else { break };
            id = self.ids[new];
        }
        chains.close(zone);
        Ok(())
    }

    /// Adds a layer: none of its calls may return before a call of an earlier layer begins.
    fn layer(&self, zone: &mut Zone, layer: &[usize], chains: &mut Blocks) -> Result<(), Contradiction> {
        let (bound, late) = zone.last_call;
        if let Some(&early) = layer.iter().find(|&&at| self.calls[at].ret < bound) {
            return Err(self.inverted(early, late));
        }
        for &at in layer {
            let call = &self.calls[at];
            if zone.last_call.1 == NONE || call.call > zone.last_call.0 {
                zone.last_call = (call.call, at);
            }
            if call.ret < zone.first_return.0 {
                zone.first_return = (call.ret, at);
            }
        }
        chains.extend(layer);
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
    fn crossed(&self, a: &Zone, b: &Zone) -> Contradiction {
        // The chain of the initial value returned before everything; let it be `a`.
        let (a, b) = if b.first_return.1 == NONE { (b, a) } else { (a, b) };
        let (a_end, b_start) = (a.first_return.1, b.last_call.1);
        let (b_end, a_start) = (b.first_return.1, a.last_call.1);
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
