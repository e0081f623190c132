//! What is wrong without a cycle: one or two transactions show it.

use rustc_hash::FxHashMap;

use super::anomaly::{Anomaly, Found};
use super::explain::{element, list, name};
use super::versions::{Place, Versions, Writers, reads};
use super::watch::Watch;
use super::{Element, Fate, Step, Transactions};
use crate::verdict::Cause;

/// The first occurrence of each kind of anomaly, as far as the budget reaches.
pub(super) fn anomalies(
    transactions: &Transactions,
    (writers, versions): (&Writers, &Versions),
    watch: &mut Watch<'_>,
    found: &mut Vec<Found>,
) -> Result<(), Cause> {
    // There are so few kinds that looking through them costs less than a table.
    let mut note = |one: Option<Found>| {
        if let Some(one) = one
            && found.iter().all(|known| known.anomaly != one.anomaly)
        {
            found.push(one);
        }
    };
    watch.begin("the look at what was read")?;
    let mut marks = Marks::new(transactions);
    for (reader, key, seen) in reads(transactions) {
        watch.visit(1 + seen.len())?;
        note(duplicate(transactions, (reader, key, seen), &mut marks));
        note(incompatible(transactions, versions, (reader, key, seen)));
        for &one in seen {
            // Whoever wrote it is the same for every later read of it.
            if marks.is_new(one) {
                note(wrong_writer(transactions, writers, (reader, key), one));
            }
        }
        if let Some(&last) = seen.last() {
            note(intermediate(transactions, writers, (reader, key), last));
        }
    }
    watch.begin("the look at single transactions")?;
    let mut known = FxHashMap::default();
    for number in 0..transactions.list.len() as u32 {
        watch.visit(1 + transactions.list[number as usize].steps.len())?;
        note(internal(transactions, number, &mut known));
        note(disordered(transactions, versions, number));
    }
    watch.begin("the look for lost updates")?;
    note(lost_update(transactions, watch)?);
    Ok(())
}

/// What was noticed of each element on the way through the reads: a table, because there may be hundreds of millions of looks.
struct Marks {
    /// The last read that showed it, counted from 1.
    latest: Vec<u32>,
    /// Whether its writer was looked at.
    looked: Vec<bool>,
    read: u32,
}

impl Marks {
    fn new(transactions: &Transactions) -> Self {
        let elements = transactions.elements.len();
        Marks { latest: vec![0; elements], looked: vec![false; elements], read: 0 }
    }

    /// The first element that a read shows twice.
    fn twice(&mut self, seen: &[Element]) -> Option<Element> {
        self.read += 1;
        let read = self.read;
        seen.iter()
            .find(|element| std::mem::replace(&mut self.latest[element.0 as usize], read) == read)
            .copied()
    }

    fn is_new(&mut self, element: Element) -> bool {
        !std::mem::replace(&mut self.looked[element.0 as usize], true)
    }
}

fn words(anomaly: Anomaly, transactions: Vec<u32>, text: String) -> Option<Found> {
    Some(Found { anomaly, transactions, why: text })
}

fn duplicate(
    transactions: &Transactions,
    (reader, key, seen): (u32, u32, &[Element]),
    marks: &mut Marks,
) -> Option<Found> {
    let twice = marks.twice(seen)?;
    let text = format!("a read of {} shows {} twice", name(transactions, key), element(transactions, twice));
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
    let shows = || format!("a read of {} shows {}", name(transactions, key), element(transactions, seen));
    match writers.of_element(seen) {
        None => words(Anomaly::GarbageRead, vec![reader], format!("{}, which nobody appended", shows())),
        Some(writer) if transactions.list[writer.transaction as usize].fate == Fate::Aborted => {
            let text = format!("{}, whose transaction was aborted", shows());
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
#[derive(Default)]
struct Known<'t> {
    /// What it last read.
    read: Option<&'t [Element]>,
    /// What it appended since.
    appended: Vec<Element>,
}

impl Known<'_> {
    fn allows(&self, seen: &[Element]) -> bool {
        match (self.read, seen.strip_suffix(&self.appended[..])) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(read), Some(before)) => read == before,
        }
    }
}

/// `known` is scratch memory.
fn internal<'t>(
    transactions: &'t Transactions,
    number: u32,
    known: &mut FxHashMap<u32, Known<'t>>,
) -> Option<Found> {
    let transaction = &transactions.list[number as usize];
    if transaction.fate != Fate::Committed {
        return None;
    }
    known.clear();
    for step in &transaction.steps {
        match step {
            Step::Append(element) => {
                known.entry(transactions.key_of(*element)).or_default().appended.push(*element);
            }
            Step::Read { key, seen: Some(seen) } => {
                let of_key = known.entry(*key).or_default();
                if !of_key.allows(seen) {
                    let expected = [of_key.read.unwrap_or_default(), &of_key.appended].concat();
                    let text = format!(
                        "it read {} as {} although its own steps before say {}",
                        name(transactions, *key),
                        list(transactions, seen),
                        list(transactions, &expected)
                    );
                    return words(Anomaly::Internal, vec![number], text);
                }
                *of_key = Known { read: Some(seen), appended: Vec::new() };
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
fn lost_update(transactions: &Transactions, watch: &mut Watch<'_>) -> Result<Option<Found>, Cause> {
    let mut updates: FxHashMap<(u32, usize, Option<Element>), u32> = FxHashMap::default();
    for (number, transaction) in transactions.list.iter().enumerate() {
        watch.visit(1 + transaction.steps.len())?;
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
                        return Ok(words(Anomaly::LostUpdate, vec![other, number as u32], text));
                    }
                }
            }
        }
    }
    Ok(None)
}
