//! What is wrong without a cycle: one or two transactions show it.

use rustc_hash::{FxHashMap, FxHashSet};

use super::anomaly::{Anomaly, Found, Proof};
use super::explain::{element, list, name};
use super::versions::{Place, Versions, Writers, reads};
use super::{Element, Fate, Step, Transactions};

/// The first occurrence of each kind of anomaly.
pub(super) fn anomalies(transactions: &Transactions, writers: &Writers, versions: &Versions) -> Vec<Found> {
    let mut found: FxHashMap<Anomaly, Found> = FxHashMap::default();
    let mut note = |one: Option<Found>| {
        if let Some(one) = one {
            found.entry(one.anomaly).or_insert(one);
        }
    };
    for (reader, key, seen) in reads(transactions) {
        note(duplicate(transactions, reader, key, seen));
        note(incompatible(transactions, versions, (reader, key, seen)));
        for &one in seen {
            note(wrong_writer(transactions, writers, (reader, key), one));
        }
        if let Some(&last) = seen.last() {
            note(intermediate(transactions, writers, (reader, key), last));
        }
    }
    for number in 0..transactions.list.len() as u32 {
        note(internal(transactions, number));
        note(disordered(transactions, versions, number));
    }
    note(lost_update(transactions));
    found.into_values().collect()
}

fn words(anomaly: Anomaly, transactions: Vec<u32>, text: String) -> Option<Found> {
    Some(Found { anomaly, transactions, proof: Proof::Words(text) })
}

fn duplicate(transactions: &Transactions, reader: u32, key: u32, seen: &[Element]) -> Option<Found> {
    let mut known = FxHashSet::default();
    let twice = seen.iter().find(|element| !known.insert(**element))?;
    let text = format!("a read of {} shows {} twice", name(transactions, key), element(transactions, *twice));
    words(Anomaly::DuplicateElements, vec![reader], text)
}

fn incompatible(
    transactions: &Transactions,
    versions: &Versions,
    (reader, key, seen): (u32, u32, &[Element]),
) -> Option<Found> {
    if versions.agrees(key, seen) {
        return None;
    }
    let (longest, other) = &versions.longest[key as usize];
    let text = format!(
        "{} was read as {} and as {}: neither begins with the other, and appends only add at the end",
        name(transactions, key),
        list(transactions, seen),
        list(transactions, longest)
    );
    words(Anomaly::IncompatibleOrder, vec![reader, *other], text)
}

/// An element that nobody appended, or whose transaction aborted.
fn wrong_writer(
    transactions: &Transactions,
    writers: &Writers,
    (reader, key): (u32, u32),
    seen: Element,
) -> Option<Found> {
    let (name, value) = (name(transactions, key), element(transactions, seen));
    match writers.of_element(seen) {
        None => {
            let text = format!("a read of {name} shows {value}, which nobody appended");
            words(Anomaly::GarbageRead, vec![reader], text)
        }
        Some(writer) if transactions.list[writer.transaction as usize].fate == Fate::Aborted => {
            let text = format!("a read of {name} shows {value}, whose transaction was aborted");
            words(Anomaly::G1a, vec![writer.transaction, reader], text)
        }
        Some(_) => None,
    }
}

/// A list that ends in the middle of somebody else's appends.
fn intermediate(
    transactions: &Transactions,
    writers: &Writers,
    (reader, key): (u32, u32),
    last: Element,
) -> Option<Found> {
    let writer = writers.of_element(last)?;
    if writer.transaction == reader || writer.place == Place::Last {
        return None;
    }
    let text = format!(
        "a read of {} ends with {}, after which the same transaction appended more",
        name(transactions, key),
        element(transactions, last)
    );
    words(Anomaly::G1b, vec![writer.transaction, reader], text)
}

/// What a transaction knows of a list from its own earlier steps.
enum Known {
    /// It read or built the whole list.
    Whole(Vec<Element>),
    /// It appended these and has not read it.
    Tail(Vec<Element>),
}

fn internal(transactions: &Transactions, number: u32) -> Option<Found> {
    let transaction = &transactions.list[number as usize];
    if transaction.fate != Fate::Committed {
        return None;
    }
    let mut known: FxHashMap<u32, Known> = FxHashMap::default();
    for step in &transaction.steps {
        match step {
            Step::Append(element) => {
                match known.entry(transactions.key_of(*element)).or_insert(Known::Tail(Vec::new())) {
                    Known::Whole(elements) | Known::Tail(elements) => elements.push(*element),
                }
            }
            Step::Read { key, seen: Some(seen) } => {
                let (fits, expected) = match known.get(key) {
                    None => (true, &[][..]),
                    Some(Known::Whole(elements)) => (elements[..] == seen[..], &elements[..]),
                    Some(Known::Tail(elements)) => (seen.ends_with(elements), &elements[..]),
                };
                if !fits {
                    let text = format!(
                        "it read {} as {} although its own steps before say {}",
                        name(transactions, *key),
                        list(transactions, seen),
                        list(transactions, expected)
                    );
                    return words(Anomaly::Internal, vec![number], text);
                }
                known.insert(*key, Known::Whole(seen.to_vec()));
            }
            Step::Read { seen: None, .. } => {}
        }
    }
    None
}

/// A list that shows the appends of a transaction in another order than it made them, or the later without the earlier.
fn disordered(transactions: &Transactions, versions: &Versions, number: u32) -> Option<Found> {
    let mut last: FxHashMap<u32, (Element, Option<u32>)> = FxHashMap::default();
    for step in &transactions.list[number as usize].steps {
        let Step::Append(appended) = step else { continue };
        let key = transactions.key_of(*appended);
        let place = versions.place(*appended);
        if let Some((before, its_place)) = last.insert(key, (*appended, place))
            && place.is_some()
            && (its_place.is_none() || place < its_place)
        {
            let text = format!(
                "{} shows {} {} {}, although the transaction appended that first",
                name(transactions, key),
                element(transactions, *appended),
                if its_place.is_none() { "without" } else { "before" },
                element(transactions, before),
            );
            return words(Anomaly::IncompatibleOrder, vec![number], text);
        }
    }
    None
}

/// Two transactions that read a list in the same version and then appended to it.
fn lost_update(transactions: &Transactions) -> Option<Found> {
    let mut updates: FxHashMap<(u32, usize, Option<Element>), u32> = FxHashMap::default();
    for (number, transaction) in transactions.list.iter().enumerate() {
        if transaction.fate != Fate::Committed {
            continue;
        }
        let mut first: FxHashMap<u32, Option<&[Element]>> = FxHashMap::default();
        for step in &transaction.steps {
            match step {
                Step::Read { key, seen: Some(seen) } => {
                    first.entry(*key).or_insert(Some(seen));
                }
                Step::Read { seen: None, .. } => {}
                Step::Append(element) => {
                    let key = transactions.key_of(*element);
                    // What it read after its own append says nothing of the version before.
                    let Some(read) = first.entry(key).or_insert(None).take() else { continue };
                    let version = (key, read.len(), read.last().copied());
                    if let Some(other) = updates.insert(version, number as u32) {
                        let text = format!(
                            "both read {} as {} and appended to it",
                            name(transactions, key),
                            list(transactions, read)
                        );
                        return words(Anomaly::LostUpdate, vec![other, number as u32], text);
                    }
                }
            }
        }
    }
    None
}
