//! The picture of single operations: a tab for each key, the violated ones first, then the largest.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use checker::history::formats::Clock;
use checker::history::{Key, Op, Operation, Outcome, Reply, Value};
use checker::linearizability::{self, describe};
use checker::verdict::Budget;

use super::escape::{clip, cost};
use super::items;
use super::page::{Item, Picture, Shape, Tab};
use crate::report::explain::{Actor, Material, time};

/// Bars on the tab of a violated key.
const BARS_VIOLATED: usize = 3_000;
/// Bars on every other tab.
const BARS: usize = 800;
/// Keys with a tab of their own.
const TABS: usize = 24;
/// Further keys that are named.
const NAMED: usize = 1_000;
/// Rows that are seen at a time.
const ROWS: usize = 20;
/// Bytes of text that all bars together may bring.
const TEXT: usize = 1_000_000;
/// Characters of a text on a bar and behind it.
const SHORT: usize = 24;
const LONG: usize = 240;
/// The longest time for finding orders, over all keys.
const ORDERS: Duration = Duration::from_secs(2);
/// The most memory for that.
const ORDERS_MEMORY: usize = 256 << 20;

/// The letter of the operation whose answer no order explains any more.
const BREAK: &str = "!";

/// One key and its operations.
struct KeyOf<'m> {
    key: &'m Key,
    total: u64,
    /// The letters of counterexamples on it, by position of the operation.
    core: Vec<(usize, String)>,
    /// Positions of its operations; only of keys that are drawn.
    own: Vec<usize>,
}

/// The picture of a history, and for each list of actors the tab that shows them.
pub fn picture(material: &Material<'_, '_>, cores: &[&[Actor]]) -> (Picture, Vec<Option<usize>>) {
    let mut keys = keys(material, cores);
    let rest = keys.split_off(keys.len().min(TABS));
    own_operations(&mut keys, material);
    let begun = Instant::now();
    let expired = || begun.elapsed() > ORDERS;
    let budget = Budget { expired: &expired, memory_bytes: ORDERS_MEMORY };
    let mut left = TEXT;
    let tabs: Vec<Tab> = keys.iter().map(|key| tab(key, material, &budget, &mut left)).collect();
    let shown = |core: &&[Actor]| {
        let first = core.iter().find_map(|actor| actor.operation)?;
        keys.iter().position(|key| key.core.iter().any(|(at, _)| *at == first))
    };
    let shown = cores.iter().map(shown).collect();
    let named = rest.iter().take(NAMED).map(|key| (clip(&key.key.0, SHORT), key.total)).collect();
    let picture = Picture {
        tabs,
        others: named,
        more: rest.len().saturating_sub(NAMED) as u64,
        lines: material.clock == Clock::Lines,
        ..Picture::default()
    };
    (picture, shown)
}

/// The keys, the violated ones first, then the largest.
fn keys<'m>(material: &Material<'m, '_>, cores: &[&[Actor]]) -> Vec<KeyOf<'m>> {
    let mut at: HashMap<&Key, usize> = HashMap::new();
    let mut keys: Vec<KeyOf<'m>> = Vec::new();
    for operation in material.operations.iter().filter(|o| !material.origin.is_added(o)) {
        let key = operation.op.key();
        let slot = *at.entry(key).or_insert_with(|| {
            keys.push(KeyOf { key, total: 0, core: Vec::new(), own: Vec::new() });
            keys.len() - 1
        });
        keys[slot].total += 1;
    }
    for actor in cores.iter().copied().flatten() {
        let Some(operation) = actor.operation else { continue };
        if let Some(&slot) = at.get(material.operations[operation].op.key())
            && keys[slot].core.iter().all(|(known, _)| *known != operation)
        {
            keys[slot].core.push((operation, actor.letter.clone()));
        }
    }
    keys.sort_by(|a, b| {
        let rank = |key: &KeyOf<'_>| (key.core.is_empty(), std::cmp::Reverse(key.total));
        rank(a).cmp(&rank(b)).then_with(|| a.key.cmp(b.key))
    });
    keys
}

fn own_operations(keys: &mut [KeyOf<'_>], material: &Material<'_, '_>) {
    let at: HashMap<&Key, usize> = keys.iter().enumerate().map(|(at, key)| (key.key, at)).collect();
    for (position, operation) in material.operations.iter().enumerate() {
        if let Some(&slot) = at.get(operation.op.key())
            && !material.origin.is_added(operation)
        {
            keys[slot].own.push(position);
        }
    }
}

fn tab(key: &KeyOf<'_>, material: &Material<'_, '_>, budget: &Budget<'_>, left: &mut usize) -> Tab {
    let operations = material.operations;
    let at = |own: usize| &operations[key.own[own]];
    let span = |own: usize| (at(own).invoked.time, at(own).completed.map(|point| point.time));
    let core: Vec<usize> =
        key.core.iter().filter_map(|(position, _)| key.own.binary_search(position).ok()).collect();
    let limit = if core.is_empty() { BARS } else { BARS_VIOLATED };
    let mut picked = items::pick(key.own.len(), span, &core, limit);
    let order =
        linearizability::order(operations, key.key, (material.specification, material.failed_cas), budget);
    let places = order.as_ref().map(|order| places(&order.operations, operations)).unwrap_or_default();
    let broken = order.as_ref().and_then(|order| order.breaks_at).map(|breaks| breaks.operation);
    let letter = |position: usize| {
        let found = key.core.iter().find(|(at, _)| *at == position).map(|(_, letter)| letter.clone());
        found.or((broken == Some(position)).then(|| BREAK.to_owned())).unwrap_or_default()
    };
    let mut items: Vec<Item> = picked
        .iter()
        .map(|&own| {
            let position = key.own[own];
            let order = places.get(&position).copied();
            Item { letter: letter(position), order, ..item(&operations[position], material) }
        })
        .collect();
    // Long values cost what others could have had; those of the counterexample are drawn in any case.
    let mut spent = 0;
    let mut fits = items.iter().map(|item| {
        let texts = [&item.label, &item.words, &item.who, &item.place];
        let bytes = 80 + texts.into_iter().map(|text| cost(text)).sum::<usize>();
        let core = !item.letter.is_empty();
        let fits = core || spent + bytes <= *left / 2;
        spent += if fits { bytes } else { 0 };
        fits
    });
    let fits: Vec<bool> = fits.by_ref().collect();
    *left = left.saturating_sub(spent);
    let mut keep = fits.iter();
    items.retain(|_| keep.next() == Some(&true));
    let mut keep = fits.iter();
    picked.retain(|_| keep.next() == Some(&true));
    let lanes = into_lanes(&mut items, |at| operations[key.own[picked[at]]].process.0);
    let span = whole(key.own.iter().map(|&at| &operations[at]));
    Tab {
        label: clip(&key.key.0, LONG),
        unit: "operations",
        note: note(order.as_ref(), material, letter),
        reason: String::new(),
        violated: !core.is_empty() || order.is_some_and(|order| order.breaks_at.is_some()),
        drawn: whole(picked.iter().map(|&own| at(own))),
        lanes,
        items,
        total: key.total,
        density: items::density(key.own.iter().map(|&at| operations[at].invoked.time), span),
        span,
    }
}

/// From the first invocation to the last that is known.
fn whole<'o, 'h: 'o>(operations: impl Iterator<Item = &'o Operation<'h>>) -> (u64, u64) {
    let (mut from, mut to) = (u64::MAX, 0);
    for operation in operations {
        from = from.min(operation.invoked.time);
        to = to.max(operation.completed.map_or(operation.invoked.time, |point| point.time));
    }
    (from.min(to), to)
}

/// The place of each operation in an order, and the earliest moment at which its effect keeps that order.
fn places(order: &[usize], operations: &[Operation<'_>]) -> HashMap<usize, (usize, u64)> {
    let mut moment = 0;
    let place = |(number, &at): (usize, &usize)| {
        moment = moment.max(operations[at].invoked.time);
        (at, (number + 1, moment))
    };
    order.iter().enumerate().map(place).collect()
}

fn note(
    order: Option<&linearizability::Order>,
    material: &Material<'_, '_>,
    letter: impl Fn(usize) -> String,
) -> String {
    let Some(order) = order else {
        return "Numbers are missing: no order of this key was found in the time for drawing.".to_owned();
    };
    let Some(breaks) = order.breaks_at else {
        return "The numbers are one order that explains every answer; a dot is the moment of the effect."
            .to_owned();
    };
    let operation = &material.operations[breaks.operation];
    format!(
        "The numbers are an order of the longest beginning of this key that has one: {} operations. It breaks at {} ({}, {}): no \
         order explains this answer and everything before it.",
        order.operations.len(),
        clip(&describe(operation.op, operation.reply()), LONG),
        letter(breaks.operation),
        time(operation.completed.map_or(operation.invoked.time, |point| point.time), material.clock),
    )
}

/// One operation as a bar, without its place in an order.
fn item(operation: &Operation<'_>, material: &Material<'_, '_>) -> Item {
    let (shape, why) = match operation.outcome {
        Some(Outcome::Ok(_)) => (Shape::Ok, None),
        Some(Outcome::Failed(why)) => (Shape::Failed, Some(format!("failed, no effect: {why}"))),
        Some(Outcome::Unknown(why)) => (Shape::Unknown, Some(format!("outcome unknown: {why}"))),
        None => (Shape::Unknown, Some("outcome unknown: it never ended".to_owned())),
    };
    let mut words = describe(operation.op, operation.reply());
    if let Some(why) = why {
        words.push_str(&format!(" ({})", why.trim_end_matches(": ")));
    }
    let who = match operation.node {
        Some(node) => format!("process {} via {node}", operation.process.0),
        None => format!("process {}", operation.process.0),
    };
    let lines = material.origin.lines(operation);
    Item {
        start: operation.invoked.time,
        end: operation.completed.map(|point| point.time),
        shape,
        label: clip(&label(operation.op, operation.reply()), SHORT),
        words: clip(&words, LONG),
        who: clip(&who, LONG),
        place: lines.map_or_else(String::new, |(begun, ended)| match ended {
            Some(ended) => format!("lines {begun}, {ended}"),
            None => format!("line {begun}"),
        }),
        ..Item::default()
    }
}

/// A few characters for a bar.
fn label(op: &Op, reply: Option<&Reply>) -> String {
    match (op, reply) {
        (Op::Read { .. } | Op::Members { .. }, Some(Reply::Value(Value::List(items)))) => {
            match items.last() {
                Some(last) => format!("r […{last}]"),
                None => "r []".to_owned(),
            }
        }
        (Op::Read { .. } | Op::Members { .. }, Some(Reply::Value(seen))) => format!("r {seen}"),
        (Op::Read { .. } | Op::Members { .. }, _) => "r ?".to_owned(),
        (Op::Write { value, .. }, _) => format!("w {value}"),
        (Op::Append { value, .. } | Op::Add { value, .. }, _) => format!("+ {value}"),
        (Op::Delete { .. }, _) => "delete".to_owned(),
        (Op::Cas { expected, new, .. }, Some(Reply::Mismatch(_))) => format!("cas {expected}→{new} ✗"),
        (Op::Cas { expected, new, .. }, _) => format!("cas {expected}→{new}"),
        (Op::Other { function, .. }, Some(Reply::Value(told))) => format!("{function} → {told}"),
        (Op::Other { function, argument, .. }, _) => format!("{function} {argument}"),
    }
}

/// Puts the bars into rows, one for each process and more than one process in a row where they follow each other.
pub(super) fn into_lanes(items: &mut [Item], process: impl Fn(usize) -> u64) -> Vec<String> {
    let mut processes: Vec<u64> = (0..items.len()).map(&process).collect();
    let of: Vec<u64> = processes.clone();
    processes.sort_unstable();
    processes.dedup();
    let mut lives = vec![(u64::MAX, 0); processes.len()];
    let index = |process: u64| processes.binary_search(&process).unwrap_or(0);
    for (item, &process) in items.iter().zip(&of) {
        let life = &mut lives[index(process)];
        life.0 = life.0.min(item.start);
        life.1 = life.1.max(item.end.unwrap_or(u64::MAX));
    }
    let (mut row, count) = items::rows(&lives);
    // The rows in the order of their first processes: those are the clients in theirs. Where there are more than one sees at
    // a time, those of the counterexample come first.
    let mut rank = vec![(true, usize::MAX); count];
    for (at, &row) in row.iter().enumerate() {
        rank[row].1 = rank[row].1.min(at);
    }
    if count > ROWS {
        items.iter().zip(&of).filter(|(item, _)| !item.letter.is_empty()).for_each(|(_, &process)| {
            rank[row[index(process)]].0 = false;
        });
    }
    let mut sorted: Vec<usize> = (0..count).collect();
    sorted.sort_by_key(|&row| rank[row]);
    let mut new = vec![0; count];
    sorted.iter().enumerate().for_each(|(place, &row)| new[row] = place);
    row.iter_mut().for_each(|row| *row = new[*row]);
    for (item, &process) in items.iter_mut().zip(&of) {
        item.lane = row[index(process)];
    }
    let mut names = vec![Vec::new(); count];
    for (at, process) in processes.iter().enumerate() {
        names[row[at]].push(*process);
    }
    names
        .into_iter()
        .map(|processes| match processes.as_slice() {
            [first, _, ..] => format!("process {first}, …"),
            [only] => format!("process {only}"),
            [] => String::new(),
        })
        .collect()
}
