//! An anomaly in words.

use std::fmt::Write;

use super::anomaly::Found;
use super::graph::{Graph, Kind};
use super::{Element, Fate, Step, Transaction, Transactions};
use crate::history::Value;
use crate::verdict::Evidence;

/// Longer lists are shown by their ends.
const SHOWN: usize = 12;

/// An element as the history spells it.
pub(super) fn element(transactions: &Transactions, element: Element) -> String {
    transactions.elements[element.0 as usize].1.to_string()
}

/// The name of a list, without quotes.
pub(super) fn name(transactions: &Transactions, key: u32) -> String {
    match &transactions.keys[key as usize] {
        Value::Text(text) => text.to_string(),
        other => other.to_string(),
    }
}

/// A list as the history spells it, the middle left out if it is long.
pub(super) fn list(transactions: &Transactions, elements: &[Element]) -> String {
    let all = |elements: &[Element]| {
        elements.iter().map(|one| element(transactions, *one)).collect::<Vec<_>>().join(" ")
    };
    match elements.len() > SHOWN {
        false => format!("[{}]", all(elements)),
        true => {
            let (head, tail) = (&elements[..SHOWN / 2], &elements[elements.len() - SHOWN / 2..]);
            format!("[{} ... {}]", all(head), all(tail))
        }
    }
}

/// A transaction as the history spells it.
pub fn describe(transactions: &Transactions, transaction: &Transaction) -> String {
    let mut text = String::new();
    for step in &transaction.steps {
        if !text.is_empty() {
            text.push_str(", ");
        }
        // Writing to a String cannot fail.
        let _ = match step {
            Step::Append(one) => {
                let (key, value) = &transactions.elements[one.0 as usize];
                write!(text, "append {} {value}", name(transactions, *key))
            }
            Step::Read { key, seen } => {
                let name = name(transactions, *key);
                match seen {
                    Some(seen) => write!(text, "read {name} -> {}", list(transactions, seen)),
                    None => write!(text, "read {name}"),
                }
            }
        };
    }
    text.push_str(match transaction.fate {
        Fate::Committed => "",
        Fate::Aborted => " (aborted)",
        Fate::Unknown => " (outcome unknown)",
    });
    text
}

/// The transactions of an anomaly, called T1, T2... in the order in which the sentence names them.
pub(super) fn evidence(transactions: &Transactions, found: &Found) -> Vec<Evidence> {
    let named = found.transactions.iter().enumerate().map(|(position, &number)| {
        let transaction = &transactions.list[number as usize];
        Evidence {
            start: transaction.times.0,
            end: transaction.times.1,
            who: format!("T{} process {}", position + 1, transaction.process.0),
            what: describe(transactions, transaction),
        }
    });
    named.collect()
}

/// Why there is no order of the transactions `named`: a cycle of nodes, each of which depends on the one before, and the
/// first on the last.
pub(super) fn cycle(transactions: &Transactions, graph: &Graph, named: &[u32], cycle: &[u32]) -> String {
    let called = |node: u32| {
        let position = named.iter().position(|&number| number == node);
        format!("T{}", position.map_or(0, |position| position + 1))
    };
    let mut reasons = Vec::new();
    let mut at = 0;
    while at < cycle.len() {
        let from = cycle[at];
        let (mut to, why) = dependency(graph, from, cycle[(at + 1) % cycle.len()]);
        if graph.is_end(to) {
            // The end of a list stands between the two that it orders.
            to = cycle[(at + 2) % cycle.len()];
            at += 1;
        }
        at += 1;
        reasons.push(reason(transactions, (&called(from), &called(to)), why));
    }
    format!("{}, which closes a circle", reasons.join("; "))
}

/// The plainest dependency of one node on the other.
fn dependency(graph: &Graph, from: u32, to: u32) -> (u32, (Kind, u32)) {
    let edges = graph.from(from).iter().filter(|edge| edge.to == to);
    let plainest =
        edges.min_by_key(|edge| edge.kind).map_or((Kind::Realtime, 0), |edge| (edge.kind, edge.key));
    (to, plainest)
}

fn reason(transactions: &Transactions, (from, to): (&str, &str), (kind, key): (Kind, u32)) -> String {
    let key = || name(transactions, key);
    match kind {
        Kind::Ww => format!("{to} appended to {} behind {from}", key()),
        Kind::Wr => format!("{to} read what {from} appended to {}", key()),
        Kind::Rw => format!("{from} read {} before {to} appended to it", key()),
        Kind::Process => format!("one process ran {from} before {to}"),
        Kind::Realtime => format!("{from} completed before {to} was invoked"),
    }
}
