//! Who appended an element, and in which order the elements of a list stand.

use super::watch::Watch;
use super::{Element, Fate, Step, Transactions};
use crate::verdict::Cause;

/// Nobody.
const NONE: u32 = u32::MAX;

/// The place of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Writer {
    /// The transaction.
    pub(super) transaction: u32,
    /// Whether its transaction appends to the same list again.
    pub(super) place: Place,
}

/// Whether an append is the last one of its transaction to its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is.
    Last,
    /// Another follows.
    Earlier,
}

/// The writer of each element.
pub(super) struct Writers(Vec<Writer>);

impl Writers {
    /// Fails where an element was appended twice, because then a list does not tell who wrote it, and where the budget ends.
    pub(super) fn of(transactions: &Transactions, watch: &mut Watch<'_>) -> Result<Self, Cause> {
        let nobody = Writer { transaction: NONE, place: Place::Last };
        let mut writers = vec![nobody; transactions.elements.len()];
        for (number, transaction) in transactions.list.iter().enumerate() {
            watch.visit(1 + transaction.steps.len())?;
            let mut later: Vec<u32> = Vec::new();
            for step in transaction.steps.iter().rev() {
                let Step::Append(element) = step else { continue };
                let key = transactions.key_of(*element);
                let place = if later.contains(&key) { Place::Earlier } else { Place::Last };
                later.push(key);
                let writer = &mut writers[element.0 as usize];
                if writer.transaction != NONE {
                    let (_, value) = &transactions.elements[element.0 as usize];
                    let key = super::explain::name(transactions, key);
                    let reason =
                        format!("{value} is appended to {key} twice, so a list does not tell by whom");
                    return Err(Cause::Evidence { reason });
                }
                *writer = Writer { transaction: number as u32, place };
            }
        }
        Ok(Self(writers))
    }

    /// Who appended it, if anybody did.
    pub(super) fn of_element(&self, element: Element) -> Option<Writer> {
        Some(self.0[element.0 as usize]).filter(|writer| writer.transaction != NONE)
    }
}

/// The order of the elements of each list.
pub(super) struct Versions {
    /// For each list the longest one that was read, and by whom.
    pub(super) longest: Vec<(Vec<Element>, u32)>,
    /// Whether somebody read the element.
    pub(super) observed: Vec<bool>,
    /// Where it stands in the longest list.
    places: Vec<u32>,
}

impl Versions {
    /// Fails where the budget ends.
    pub(super) fn of(transactions: &Transactions, watch: &mut Watch<'_>) -> Result<Self, Cause> {
        let mut longest = vec![(Vec::new(), NONE); transactions.keys.len()];
        let mut observed = vec![false; transactions.elements.len()];
        for (number, key, seen) in reads(transactions) {
            watch.visit(1 + seen.len())?;
            for element in seen {
                observed[element.0 as usize] = true;
            }
            let known = &mut longest[key as usize];
            if known.1 == NONE || seen.len() > known.0.len() {
                *known = (seen.to_vec(), number);
            }
        }
        let mut places = vec![NONE; transactions.elements.len()];
        for (order, _) in &longest {
            for (place, element) in order.iter().enumerate() {
                places[element.0 as usize] = place as u32;
            }
        }
        Ok(Self { longest, observed, places })
    }

    /// Where the element stands in the longest list that was read.
    pub(super) fn place(&self, element: Element) -> Option<u32> {
        Some(self.places[element.0 as usize]).filter(|&place| place != NONE)
    }

    /// Whether a list that was read begins the longest one.
    pub(super) fn agrees(&self, key: u32, seen: &[Element]) -> bool {
        self.longest[key as usize].0.starts_with(seen)
    }
}

/// Every list that a committed transaction read.
pub(super) fn reads(transactions: &Transactions) -> impl Iterator<Item = (u32, u32, &[Element])> {
    let committed =
        transactions.list.iter().enumerate().filter(|(_, transaction)| transaction.fate == Fate::Committed);
    committed.flat_map(|(number, transaction)| {
        transaction.steps.iter().filter_map(move |step| match step {
            Step::Read { key, seen: Some(seen) } => Some((number as u32, *key, seen.as_ref())),
            Step::Read { seen: None, .. } | Step::Append(_) => None,
        })
    })
}
