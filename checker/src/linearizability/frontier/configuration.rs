//! One way in which things may stand, which of two is at least as good, and how it came about.
//!
//! Invariant: whatever can follow a configuration can also follow one that dominates it, so that only the best are kept.

use rustc_hash::FxHashMap;

/// The calls that are open, one bit for each slot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Open {
    /// Calls that only look.
    pub(super) reads: u128,
    /// Blind writes.
    pub(super) writes: u128,
    /// CAS that swapped.
    pub(super) swaps: u128,
}

/// One way in which things may stand at an instant.
#[derive(Clone, Debug)]
pub(super) struct Configuration {
    /// The number of the value, or [`UNSEEN`](super::plan::UNSEEN).
    pub(super) state: u32,
    /// Open calls that took effect.
    pub(super) placed: u128,
    /// Open writes that did not, and that may have, unseen, just before the last write.
    pub(super) hideable: u128,
    /// How many unknown calls of each kind took effect, by kind, without zeros.
    pub(super) used: Vec<(u32, u32)>,
    /// The end of its [`Trail`].
    pub(super) trail: u32,
}

impl Configuration {
    /// How many unknown calls of this kind took effect.
    pub(super) fn uses(&self, kin: u32) -> u32 {
        self.used.binary_search_by_key(&kin, |entry| entry.0).map_or(0, |at| self.used[at].1)
    }

    pub(super) fn count_use(&mut self, kin: u32) {
        match self.used.binary_search_by_key(&kin, |entry| entry.0) {
            Ok(at) => self.used[at].1 += 1,
            Err(at) => self.used.insert(at, (kin, 1)),
        }
    }

    pub(super) fn total_uses(&self) -> u32 {
        self.used.iter().map(|entry| entry.1).sum()
    }

    /// Whether all that can follow `other` can follow this one as well: it did the same swaps and at least the same
    /// reads, has all the writes left that the other has, can hide what it has beyond that, and used no more unknown
    /// calls of any kind.
    fn dominates(&self, other: &Self, open: Open) -> bool {
        if self.state != other.state || (self.placed ^ other.placed) & open.swaps != 0 {
            return false;
        }
        let (left, left_there) = (open.writes & !self.placed, open.writes & !other.placed);
        let must_hide = (other.hideable & left_there) | (left & !left_there);
        other.placed & open.reads & !self.placed == 0
            && left_there & !left == 0
            && must_hide & !self.hideable == 0
            && self.used.len() <= other.used.len()
            && self.used.iter().all(|&(kin, count)| other.uses(kin) >= count)
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.used.capacity() * size_of::<(u32, u32)>()
    }
}

/// Configurations none of which dominates another.
#[derive(Default)]
pub(super) struct Best {
    /// Only those of equal state and swaps can dominate each other.
    groups: FxHashMap<(u32, u128), Vec<Configuration>>,
    len: usize,
    pub(super) bytes: usize,
}

impl Best {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds it if none dominates it, and drops those that it dominates. Returns whether it was added.
    pub(super) fn insert(&mut self, new: Configuration, open: Open) -> bool {
        let group = self.groups.entry((new.state, new.placed & open.swaps)).or_default();
        if group.iter().any(|old| old.dominates(&new, open)) {
            return false;
        }
        let (before, mut freed) = (group.len(), 0);
        group.retain(|old| {
            let keep = !new.dominates(old, open);
            freed += if keep { 0 } else { old.bytes() };
            keep
        });
        self.len = self.len + 1 + group.len() - before;
        self.bytes = self.bytes + new.bytes() - freed;
        group.push(new);
        true
    }

    pub(super) fn into_vec(self) -> Vec<Configuration> {
        self.groups.into_values().flatten().collect()
    }
}

/// A call that took effect.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry {
    /// A call that is not a blind write, by position.
    Call(u32),
    /// A blind write, by position.
    Write(u32),
    /// An unknown call of this kind.
    Unknown(u32),
    /// A write, by position, that took effect just before the last blind one.
    Hidden(u32),
}

/// The histories of all configurations: a forest whose leaves they are.
#[derive(Default)]
pub(super) struct Trail {
    nodes: Vec<(Entry, u32)>,
    /// At which size it is next worth it to look for branches that nobody stands on any more.
    next_sweep: usize,
}

/// The end of an empty trail.
pub(super) const START: u32 = u32::MAX;
const FIRST_SWEEP: usize = 1 << 16;

impl Trail {
    /// The end of a trail with one more entry.
    pub(super) fn extend(&mut self, from: u32, entry: Entry) -> u32 {
        self.nodes.push((entry, from));
        (self.nodes.len() - 1) as u32
    }

    /// The entries up to this end, the first one first.
    pub(super) fn entries(&self, mut end: u32) -> Vec<Entry> {
        let mut entries = Vec::new();
        while end != START {
            let (entry, before) = self.nodes[end as usize];
            entries.push(entry);
            end = before;
        }
        entries.reverse();
        entries
    }

    pub(super) fn bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<(Entry, u32)>()
    }

    /// Forgets what leads to none of these, if the trail has doubled since the last time.
    pub(super) fn sweep(&mut self, live: &mut [Configuration]) {
        if self.nodes.len() < self.next_sweep.max(FIRST_SWEEP) {
            return;
        }
        let mut kept = vec![false; self.nodes.len()];
        for configuration in live.iter() {
            let mut end = configuration.trail;
            while end != START && !std::mem::replace(&mut kept[end as usize], true) {
                end = self.nodes[end as usize].1;
            }
        }
        let mut moved = vec![START; self.nodes.len()];
        let mut len = 0;
        for at in (0..self.nodes.len()).filter(|&at| kept[at]) {
            let (entry, before) = self.nodes[at];
            // A node stands behind the one before it, which has moved already.
            let before = if before == START { START } else { moved[before as usize] };
            self.nodes[len] = (entry, before);
            moved[at] = len as u32;
            len += 1;
        }
        self.nodes.truncate(len);
        self.next_sweep = len * 2;
        for configuration in live.iter_mut().filter(|c| c.trail != START) {
            configuration.trail = moved[configuration.trail as usize];
        }
    }
}
