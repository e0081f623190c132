//! Lists whose elements are appended once each, and read whole: exact, in time linear in what the reads returned.
//!
//! Every read shows the whole past of the list, so the reads must be prefixes of the longest one, and that one gives
//! the order of the appends. All operations then form one sequence of layers: the reads of length 0, the first append,
//! the reads of length 1, ..., and at last the acknowledged appends that no read saw. An unknown append counts only if
//! it was seen. Not covered: an element that was appended twice, writes and deletes beside the appends.

use rustc_hash::FxHashMap;

use super::{Call, Contradiction, OPEN, Ruling};
use crate::history::{Op, Reply, Value};

/// Judges the calls of one key.
pub(super) fn judge(calls: &[Call<'_>]) -> Ruling {
    let mut appends: FxHashMap<&Value, usize> = FxHashMap::default();
    let mut reads: Vec<(usize, &[Value])> = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        match (call.op, call.reply) {
            (Op::Append { value, .. }, None | Some(Reply::Done)) => {
                if appends.insert(value, at).is_some() {
                    return Ruling::NotCovered;
                }
            }
            (Op::Read { .. }, Some(Reply::Value(Value::List(items)))) => reads.push((at, items)),
            (Op::Read { .. }, Some(Reply::Value(Value::Nil))) => reads.push((at, &[])),
            _ => return Ruling::NotCovered,
        }
    }
    reads.sort_by_key(|&(at, items)| (items.len(), calls[at].call));
    match contradiction(calls, &appends, &reads) {
        Some(found) => Ruling::Violated(found),
        None => layered(calls, &appends, &reads),
    }
}

/// Reads that no list can show: of elements from nowhere, of one element twice, or of two different orders.
fn contradiction(
    calls: &[Call<'_>],
    appends: &FxHashMap<&Value, usize>,
    reads: &[(usize, &[Value])],
) -> Option<Contradiction> {
    for pair in reads.windows(2) {
        let ((a, shorter), (b, longer)) = (pair[0], pair[1]);
        if let Some(place) = shorter.iter().zip(longer).position(|(x, y)| x != y) {
            let why = format!(
                "{} and {} disagree on element {}: {} or {}",
                calls[a],
                calls[b],
                place + 1,
                shorter[place],
                longer[place]
            );
            return Some(Contradiction { calls: vec![a, b], why });
        }
    }
    let &(at, longest) = reads.last()?;
    let mut places: FxHashMap<&Value, usize> = FxHashMap::default();
    for (place, item) in longest.iter().enumerate() {
        let Some(&append) = appends.get(item) else {
            let why = format!("{} shows {item}, which nobody ever tried to append", calls[at]);
            return Some(Contradiction { calls: vec![at], why });
        };
        if let Some(before) = places.insert(item, place) {
            let why = format!(
                "{} shows {item} twice, as elements {} and {}, and it was appended once",
                calls[at],
                before + 1,
                place + 1
            );
            return Some(Contradiction { calls: vec![append, at], why });
        }
    }
    None
}

fn layered(calls: &[Call<'_>], appends: &FxHashMap<&Value, usize>, reads: &[(usize, &[Value])]) -> Ruling {
    let longest: &[Value] = reads.last().map_or(&[], |read| read.1);
    let mut order: Vec<usize> = Vec::with_capacity(calls.len());
    let mut layers = Layers { calls, latest: (0, 0), order: &mut order };
    let mut next = reads.iter().peekable();
    for length in 0..=longest.len() {
        let mut layer = Vec::new();
        while let Some(read) = next.next_if(|read| read.1.len() == length) {
            layer.push(read.0);
        }
        if let Err((early, late)) = layers.push(layer) {
            return Ruling::Violated(inverted(calls, appends, longest, early, late));
        }
        let Some(item) = longest.get(length) else { break };
        if let Err((early, late)) = layers.push(vec![appends[item]]) {
            return Ruling::Violated(inverted(calls, appends, longest, early, late));
        }
    }
    let seen: rustc_hash::FxHashSet<&Value> = longest.iter().collect();
    let mut unseen: Vec<usize> = appends
        .iter()
        .filter(|(item, at)| !seen.contains(*item) && calls[**at].ret != OPEN)
        .map(|(_, &at)| at)
        .collect();
    unseen.sort_by_key(|&at| calls[at].call);
    match layers.push(unseen) {
        Ok(()) => Ruling::Holds(order),
        Err((early, late)) => Ruling::Violated(inverted(calls, appends, longest, early, late)),
    }
}

/// `early` belongs to a later layer than `late`, yet returned before `late` began.
fn inverted(
    calls: &[Call<'_>],
    appends: &FxHashMap<&Value, usize>,
    longest: &[Value],
    early: usize,
    late: usize,
) -> Contradiction {
    let (e, l) = (&calls[early], &calls[late]);
    let mut picked = vec![early, late];
    // The last element that a call's place in the order rests on, and the read that shows it.
    let witness = |item: &Value| {
        calls.iter().position(|c| matches!(c.observes(), Some(Value::List(items)) if items.contains(item)))
    };
    let why = match (e.puts(), l.puts()) {
        (Some(lost), None) => format!("{l} was invoked after {e} completed, and does not contain {lost}"),
        (None, Some(_)) => format!("{e} completed before {l} was invoked, and already contains it"),
        (None, None) => {
            let newer = e.observes().and_then(list).unwrap_or(&[]);
            let older = l.observes().and_then(list).unwrap_or(&[]);
            let item = newer.get(older.len());
            picked.extend(item.and_then(|item| appends.get(item)));
            let shown = item.map(Value::to_string).unwrap_or_default();
            format!("{l} was invoked after {e} completed, and lacks {shown}, which that had seen")
        }
        (Some(second), Some(first)) => {
            let shown = witness(first);
            picked.extend(shown);
            let by = shown.map_or_else(String::new, |at| format!("{} shows ", calls[at]));
            match longest.contains(second) {
                true => format!("{e} completed before {l} was invoked, yet {by}{first} before {second}"),
                false => format!("{e} completed before {l} was invoked, yet {by}{first} and not {second}"),
            }
        }
    };
    Contradiction { calls: picked, why }
}

fn list(value: &Value) -> Option<&[Value]> {
    match value {
        Value::List(items) => Some(items),
        _ => None,
    }
}

/// An order that grows layer by layer; the calls within a layer may stand in any order.
pub(super) struct Layers<'a, 'h> {
    pub(super) calls: &'a [Call<'h>],
    /// The largest call instant so far, and whose it is.
    pub(super) latest: (u32, usize),
    pub(super) order: &'a mut Vec<usize>,
}

impl Layers<'_, '_> {
    /// Adds a layer, sorted by call; or says which of its calls returned before which earlier one began.
    pub(super) fn push(&mut self, layer: Vec<usize>) -> Result<(), (usize, usize)> {
        for &at in &layer {
            if self.calls[at].ret < self.latest.0 {
                return Err((at, self.latest.1));
            }
        }
        for &at in &layer {
            if self.calls[at].call > self.latest.0 {
                self.latest = (self.calls[at].call, at);
            }
        }
        self.order.extend(layer);
        Ok(())
    }
}
