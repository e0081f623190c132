//! What is in one file: the bytes that a reader sees, and the bytes that a power failure leaves.
//!
//! Invariant: right after [`File::sync`] both are equal; until then they differ at most in the pages of `dirty`, behind
//! `cut`, and in length. Pages that no write changed are shared, so a snapshot costs no copy of the data. Pure: no clock,
//! no IO, and random numbers are handed in.
//! Reference: the failure model of "All File Systems Are Not Created Equal" (Pillai et al., OSDI 2014), section 3.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::{Rng, RngExt};

/// The unit in which unsynced data survives or is lost.
pub(crate) const PAGE: u64 = 4096;
/// The unit that a disk writes whole.
pub(crate) const SECTOR: usize = 512;

type Page = Arc<[u8; PAGE as usize]>;

/// What becomes of data that was written and not made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Survival {
    /// All of it is lost.
    Nothing,
    /// Each page survives or not, on its own.
    Some {
        /// The share of pages that survive, in parts of a million.
        keep_ppm: u32,
        /// The share of the surviving pages of which only some sectors do, in parts of a million.
        torn_ppm: u32,
    },
}

/// What a power failure did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Pages that held unsynced data, and their number that was lost whole.
    pub pages: u64,
    /// Pages of which some sectors were lost.
    pub torn: u64,
    /// Unsynced pages that survived whole.
    pub kept: u64,
    /// Changes of names (new, removed and renamed entries) that were lost.
    pub names: u64,
    /// Changes of names that survived although nothing had made them durable.
    pub names_kept: u64,
}

/// A length and pages; a page that is missing reads as zeros, and bytes behind the length are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    size: u64,
    pages: BTreeMap<u64, Page>,
}

impl Content {
    fn truncate(&mut self, size: u64) {
        if size < self.size {
            drop(self.pages.split_off(&size.div_ceil(PAGE)));
            if let Some(page) = self.pages.get_mut(&(size / PAGE)) {
                Arc::make_mut(page)[(size % PAGE) as usize..].fill(0);
            }
        }
        self.size = size;
    }

    fn page(&self, number: u64) -> [u8; PAGE as usize] {
        self.pages.get(&number).map_or([0; PAGE as usize], |page| **page)
    }

    pub(crate) fn read(&self, offset: u64, length: u64) -> Vec<u8> {
        let end = offset.saturating_add(length).min(self.size);
        let mut bytes = vec![0; end.saturating_sub(offset) as usize];
        for (at, page, inside) in pieces(offset, bytes.len()) {
            if let Some(data) = self.pages.get(&page) {
                bytes[at..at + inside.len()].copy_from_slice(&data[inside]);
            }
        }
        bytes
    }

    /// The runs of pages that exist, as (offset, bytes), cut at the length.
    pub(crate) fn extents(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.pages.iter().map(|(number, page)| {
            let offset = number * PAGE;
            (offset, &page[..self.size.saturating_sub(offset).min(PAGE) as usize])
        })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }
}

/// The pages that `length` bytes at `offset` lie in: (where in the bytes, which page, where in the page).
fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (usize, u64, std::ops::Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        (at < length).then(|| {
            let position = offset + at as u64;
            let inside = (position % PAGE) as usize;
            let count = (PAGE as usize - inside).min(length - at);
            let piece = (at, position / PAGE, inside..inside + count);
            at += count;
            piece
        })
    })
}

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct File {
    now: Content,
    durable: Content,
    dirty: BTreeSet<u64>,
    /// The shortest that the file has been since the last sync, where that is shorter than its durable part.
    cut: Option<u64>,
    /// How many pages from the beginning are promised to exist (fallocate), whether written or not.
    reserved: u64,
}

impl File {
    /// The bytes that a reader sees.
    pub(crate) fn now(&self) -> &Content {
        &self.now
    }

    /// How many pages it occupies.
    pub(crate) fn pages(&self) -> u64 {
        self.reserved + self.now.pages.range(self.reserved..).count() as u64
    }

    /// How many more pages it would occupy after a write.
    pub(crate) fn growth(&self, offset: u64, length: u64) -> u64 {
        let new = |page: &u64| *page >= self.reserved && !self.now.pages.contains_key(page);
        (offset / PAGE..offset.saturating_add(length).div_ceil(PAGE)).filter(new).count() as u64
    }

    /// How many more pages it would occupy if it had room up to `end`.
    pub(crate) fn growth_reserving(&self, end: u64) -> u64 {
        let reserved = self.reserved.max(end.div_ceil(PAGE));
        reserved + self.now.pages.range(reserved..).count() as u64 - self.pages()
    }

    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) {
        for (at, page, inside) in pieces(offset, data.len()) {
            let slot = self.now.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE as usize]));
            let count = inside.len();
            Arc::make_mut(slot)[inside].copy_from_slice(&data[at..at + count]);
            self.dirty.insert(page);
        }
        self.now.size = self.now.size.max(offset + data.len() as u64);
    }

    pub(crate) fn truncate(&mut self, size: u64) {
        if size < self.now.size {
            self.dirty.retain(|page| *page < size.div_ceil(PAGE));
            self.reserved = self.reserved.min(size.div_ceil(PAGE));
            if size < self.durable.size {
                self.cut = Some(self.cut.map_or(size, |cut| cut.min(size)));
            }
        }
        self.now.truncate(size);
    }

    /// Makes room without writing (fallocate); the file is at least `size` long afterwards.
    pub(crate) fn reserve(&mut self, end: u64, size: u64) {
        self.reserved = self.reserved.max(end.div_ceil(PAGE));
        self.now.size = self.now.size.max(size);
    }

    /// Makes a range read as zeros; the length stays.
    pub(crate) fn clear(&mut self, offset: u64, length: u64) {
        let length = length.min(self.now.size.saturating_sub(offset));
        for (_, page, inside) in pieces(offset, length as usize) {
            if inside.len() == PAGE as usize {
                if self.now.pages.remove(&page).is_some() {
                    self.dirty.insert(page);
                }
            } else if let Some(data) = self.now.pages.get_mut(&page) {
                Arc::make_mut(data)[inside].fill(0);
                self.dirty.insert(page);
            }
        }
    }

    /// Whether the length differs from the durable one.
    pub(crate) fn length_is_new(&self) -> bool {
        self.now.size != self.durable.size || self.cut.is_some()
    }

    /// Makes everything durable.
    pub(crate) fn sync(&mut self) {
        if let Some(cut) = self.cut.take() {
            self.durable.truncate(cut.min(self.durable.size));
        }
        for page in std::mem::take(&mut self.dirty) {
            match self.now.pages.get(&page) {
                Some(data) => self.durable.pages.insert(page, Arc::clone(data)),
                None => self.durable.pages.remove(&page),
            };
        }
        self.durable.size = self.now.size;
    }

    /// A sync that failed: the pages count as written, and are not. Those of ext4 and XFS do the same, so that the next
    /// sync succeeds without them ("fsyncgate", 2018).
    pub(crate) fn sync_failed(&mut self) {
        self.dirty.clear();
    }

    /// Changes one bit, durable or not. The offset lies in the file.
    pub(crate) fn flip(&mut self, offset: u64, bit: u32) {
        for content in [&mut self.now, &mut self.durable] {
            if offset < content.size {
                let slot = content.pages.entry(offset / PAGE).or_insert_with(|| Arc::new([0; PAGE as usize]));
                Arc::make_mut(slot)[(offset % PAGE) as usize] ^= 1 << (bit % 8);
            }
        }
    }

    /// Goes back to what is durable, and to what survives beside it.
    pub(crate) fn power_failure(&mut self, survival: Survival, rng: &mut dyn Rng, lost: &mut Lost) {
        let dirty = std::mem::take(&mut self.dirty);
        let cut = self.cut.take();
        let mut left = std::mem::take(&mut self.durable);
        match survival {
            Survival::Nothing => lost.pages += dirty.len() as u64,
            Survival::Some { keep_ppm, torn_ppm } => {
                // What was written after the file was cut can only be there if the cut is.
                let cut_is_kept = chance(keep_ppm, rng);
                if let Some(cut) = cut.filter(|_| cut_is_kept) {
                    left.truncate(cut.min(left.size));
                }
                let behind = cut.filter(|_| !cut_is_kept).map_or(u64::MAX, |cut| cut / PAGE);
                for page in &dirty {
                    if *page >= behind || !chance(keep_ppm, rng) {
                        lost.pages += 1;
                        continue;
                    }
                    let mut data = self.now.page(*page);
                    if chance(torn_ppm, rng) {
                        tear(&mut data, &left.page(*page), rng);
                        lost.torn += 1;
                    } else {
                        lost.kept += 1;
                    }
                    left.pages.insert(*page, Arc::new(data));
                    left.size = left.size.max(self.now.size.min((page + 1) * PAGE));
                }
                if dirty.is_empty() && cut.is_none() && self.now.size > left.size && cut_is_kept {
                    left.size = self.now.size;
                }
            }
        }
        self.reserved = self.reserved.min(left.size.div_ceil(PAGE));
        self.now = left.clone();
        self.durable = left;
    }
}

/// True in this share of the draws.
pub(crate) fn chance(ppm: u32, rng: &mut dyn Rng) -> bool {
    rng.random_range(0..1_000_000) < ppm
}

/// Puts some of the old sectors back, at least one and not all.
fn tear(data: &mut [u8; PAGE as usize], old: &[u8; PAGE as usize], rng: &mut dyn Rng) {
    let sectors = PAGE as usize / SECTOR;
    let mask = rng.random_range(1..(1_u32 << sectors) - 1);
    for sector in (0..sectors).filter(|sector| mask >> sector & 1 == 1) {
        let range = sector * SECTOR..(sector + 1) * SECTOR;
        data[range.clone()].copy_from_slice(&old[range]);
    }
}
