//! A set of slots, of which each call that is open has one: a bit set of fixed width that is copied, not allocated.
//!
//! The width is a constant of the type, so that fifty open calls pay for one word and four thousand get theirs.

use std::ops::{BitAnd, BitOr, BitOrAssign, BitXor, BitXorAssign, Not};

/// A set of numbers below `64 * W`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Slots<const W: usize>([u64; W]);

impl<const W: usize> Default for Slots<W> {
    fn default() -> Self {
        Slots([0; W])
    }
}

impl<const W: usize> Slots<W> {
    /// The set of this slot alone.
    pub(super) fn one(slot: usize) -> Self {
        let mut set = Self::default();
        set.0[slot / 64] = 1 << (slot % 64);
        set
    }

    pub(super) fn has(&self, slot: usize) -> bool {
        self.0[slot / 64] >> (slot % 64) & 1 == 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    pub(super) fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// The slots, the lowest one first.
    pub(super) fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(at, mut word)| {
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(at * 64 + bit)
            })
        })
    }
}

impl<const W: usize> BitAnd for Slots<W> {
    type Output = Self;

    fn bitand(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word &= other);
        self
    }
}

impl<const W: usize> BitOr for Slots<W> {
    type Output = Self;

    fn bitor(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
        self
    }
}

impl<const W: usize> BitXor for Slots<W> {
    type Output = Self;

    fn bitxor(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word ^= other);
        self
    }
}

impl<const W: usize> Not for Slots<W> {
    type Output = Self;

    fn not(mut self) -> Self {
        self.0.iter_mut().for_each(|word| *word = !*word);
        self
    }
}

impl<const W: usize> BitOrAssign for Slots<W> {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

impl<const W: usize> BitXorAssign for Slots<W> {
    fn bitxor_assign(&mut self, other: Self) {
        *self = *self ^ other;
    }
}
