//! One way in which things may stand, and which of two is at least as good.
//!
//! Invariant: whatever can follow a configuration can also follow one that dominates it, so that only the best are kept.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::slots::Slots;

/// The calls that are open, one slot for each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Open<const W: usize> {
    /// Calls that only look.
    pub(super) reads: Slots<W>,
    /// Blind writes.
    pub(super) writes: Slots<W>,
    /// CAS that swapped.
    pub(super) swaps: Slots<W>,
}

/// How many unknown calls of each kind took effect: by kind, without zeros. Most configurations share theirs with the
/// one that they came from.
#[derive(Clone, Debug, Default)]
pub(super) struct Used(Option<Rc<[(u32, u32)]>>);

impl Used {
    fn counts(&self) -> &[(u32, u32)] {
        self.0.as_deref().unwrap_or_default()
    }

    /// How many of this kind.
    pub(super) fn of(&self, kin: u32) -> u32 {
        let counts = self.counts();
        counts.binary_search_by_key(&kin, |entry| entry.0).map_or(0, |at| counts[at].1)
    }

    /// With one more of this kind.
    pub(super) fn plus(&self, kin: u32) -> Used {
        let mut counts = self.counts().to_vec();
        match counts.binary_search_by_key(&kin, |entry| entry.0) {
            Ok(at) => counts[at].1 += 1,
            Err(at) => counts.insert(at, (kin, 1)),
        }
        Used(Some(counts.into()))
    }

    /// How many altogether.
    pub(super) fn total(&self) -> u32 {
        self.counts().iter().map(|entry| entry.1).sum()
    }

    /// Whether it is no more of any kind.
    fn within(&self, other: &Used) -> bool {
        match (&self.0, &other.0) {
            (None, _) => true,
            (Some(own), Some(others)) if Rc::ptr_eq(own, others) => true,
            _ => {
                let mut others = other.counts().iter();
                let enough = |&(kin, count): &(u32, u32)| {
                    others.find(|o| o.0 >= kin).is_some_and(|o| o.0 == kin && o.1 >= count)
                };
                self.counts().len() <= other.counts().len() && self.counts().iter().all(enough)
            }
        }
    }
}

/// One way in which things may stand at an instant.
#[derive(Clone, Debug)]
pub(super) struct Configuration<const W: usize> {
    /// The number of the value, or [`UNSEEN`](super::plan::UNSEEN).
    pub(super) state: u32,
    /// The end of its [`Trail`](super::trail::Trail).
    pub(super) trail: u32,
    /// Open calls that took effect.
    pub(super) placed: Slots<W>,
    /// Open writes that did not, and that may have, unseen, just before the last write.
    pub(super) hideable: Slots<W>,
    pub(super) used: Used,
}

impl<const W: usize> Configuration<W> {
    /// Whether all that can follow `other` can follow this one as well: it did the same swaps and at least the same
    /// reads, has all the writes left that the other has, can hide what it has beyond that, and used no more unknown
    /// calls of any kind.
    fn dominates(&self, other: &Self, open: &Open<W>) -> bool {
        let (left, left_there) = (open.writes & !self.placed, open.writes & !other.placed);
        let must_hide = (other.hideable & left_there) | (left & !left_there);
        (other.placed & open.reads & !self.placed).is_empty()
            && (left_there & !left).is_empty()
            && (must_hide & !self.hideable).is_empty()
            && self.used.within(&other.used)
    }

    /// The memory that it may hold alone.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(self.used.counts())
    }
}

/// Configurations none of which dominates another.
pub(super) struct Best<const W: usize> {
    items: Vec<Option<Configuration<W>>>,
    /// The next one in the same group.
    next: Vec<u32>,
    /// Only those of equal state and swaps can dominate each other: the first one of each such group.
    groups: FxHashMap<(u32, Slots<W>), u32>,
    len: usize,
    bytes: usize,
    /// How many pairs were compared.
    compared: u64,
}

/// The end of a group.
const NONE: u32 = u32::MAX;

impl<const W: usize> Default for Best<W> {
    fn default() -> Self {
        Best {
            items: Vec::new(),
            next: Vec::new(),
            groups: FxHashMap::default(),
            len: 0,
            bytes: 0,
            compared: 0,
        }
    }
}

impl<const W: usize> Best<W> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The memory that is held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.items.capacity() * 4
    }

    /// How many pairs were compared since the last question.
    pub(super) fn take_compared(&mut self) -> u64 {
        std::mem::take(&mut self.compared)
    }

    /// Adds it if none dominates it, and drops those that it dominates. Returns whether it was added.
    pub(super) fn insert(&mut self, new: Configuration<W>, open: &Open<W>) -> bool {
        let group = self.groups.entry((new.state, new.placed & open.swaps)).or_insert(NONE);
        let mut at = *group;
        while at != NONE {
            self.compared += 1;
            if self.items[at as usize].as_ref().is_some_and(|old| old.dominates(&new, open)) {
                return false;
            }
            at = self.next[at as usize];
        }
        let mut before = NONE;
        let mut at = *group;
        while at != NONE {
            let after = self.next[at as usize];
            let old = &mut self.items[at as usize];
            match old.as_ref().filter(|old| new.dominates(old, open)).map(Configuration::bytes) {
                Some(bytes) => {
                    *old = None;
                    self.len -= 1;
                    self.bytes -= bytes;
                    match before {
                        NONE => *group = after,
                        before => self.next[before as usize] = after,
                    }
                }
                None => before = at,
            }
            at = after;
        }
        self.len += 1;
        self.bytes += new.bytes();
        self.next.push(*group);
        *group = self.items.len() as u32;
        self.items.push(Some(new));
        true
    }

    /// Empties it, and hands out what it held.
    pub(super) fn drain(&mut self, into: &mut Vec<Configuration<W>>) {
        into.extend(self.items.drain(..).flatten());
        self.next.clear();
        self.groups.clear();
        (self.len, self.bytes) = (0, 0);
    }

    /// Empties it.
    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.next.clear();
        self.groups.clear();
        (self.len, self.bytes) = (0, 0);
    }
}
