//! Which names lead to which files: now, and after a power failure.
//!
//! Invariant: what `now` has more or less than `durable` is exactly what the pending transactions say, applied in their
//! order. A transaction (a rename moves and replaces) survives whole or not at all, and never without the earlier ones
//! that touched the same name. Pure.
//! Reference: fsync(2) ("Calling fsync() does not necessarily ensure that the entry in the directory containing the file
//! has also reached disk"); Rajimwale et al. on ordered journals.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::content::{Lost, Survival, chance};

/// When names become durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metadata {
    /// As on ext4 and XFS: changes of names get to the disk in their order, and any sync takes all earlier ones along.
    #[default]
    Journal,
    /// As little as POSIX promises: an entry is durable once its directory was synced.
    Strict,
}

/// One entry of a directory that changed: it leads to `to` now, or nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) directory: u64,
    pub(crate) name: OsString,
    pub(crate) to: Option<u64>,
}

type Directory = BTreeMap<OsString, u64>;

/// The names of a disk. Numbers of files are given by the caller.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    now: BTreeMap<u64, Directory>,
    durable: BTreeMap<u64, Directory>,
    pending: Vec<Vec<Change>>,
}

impl Names {
    /// Names with one directory, which always exists.
    pub(crate) fn with_root(root: u64) -> Self {
        let one = || BTreeMap::from([(root, Directory::new())]);
        Self { now: one(), durable: one(), pending: Vec::new() }
    }

    pub(crate) fn find(&self, directory: u64, name: &OsStr) -> Option<u64> {
        self.now.get(&directory)?.get(name).copied()
    }

    /// The entries of a directory in the order of their names.
    pub(crate) fn entries(&self, directory: u64) -> impl Iterator<Item = (&OsString, u64)> {
        self.now.get(&directory).into_iter().flatten().map(|(name, to)| (name, *to))
    }

    /// Carries a transaction out. It is not durable yet.
    pub(crate) fn change(&mut self, transaction: Vec<Change>) {
        for change in &transaction {
            apply(change, &mut self.now);
        }
        self.pending.push(transaction);
    }

    /// Makes all pending transactions durable.
    pub(crate) fn sync(&mut self) {
        for change in self.pending.drain(..).flatten() {
            apply(&change, &mut self.durable);
        }
    }

    /// Makes the entries of one directory durable.
    pub(crate) fn sync_directory(&mut self, directory: u64) {
        let touches = |transaction: &Vec<Change>| transaction.iter().any(|one| one.directory == directory);
        let chosen = self.pending.iter().map(touches).collect();
        self.settle(chosen);
    }

    /// Goes back to what is durable, and to what survives beside it.
    pub(crate) fn power_failure(
        &mut self,
        model: Metadata,
        survival: Survival,
        rng: &mut dyn Rng,
        lost: &mut Lost,
    ) {
        let all = self.pending.len();
        if let Survival::Some { keep_ppm, .. } = survival {
            match model {
                Metadata::Journal => {
                    let kept = rng.random_range(0..=all);
                    self.settle((0..all).map(|position| position < kept).collect());
                }
                Metadata::Strict => {
                    let chosen = (0..all).map(|_| chance(keep_ppm, rng)).collect();
                    self.settle(chosen);
                }
            }
        }
        lost.names += self.pending.len() as u64;
        lost.names_kept += (all - self.pending.len()) as u64;
        self.pending.clear();
        self.now = self.durable.clone();
    }

    /// The directories and files that can be reached from `root`, each with the number of its names.
    pub(crate) fn reachable(&self, root: u64) -> BTreeMap<u64, u32> {
        let mut found = BTreeMap::from([(root, 1)]);
        let mut left = vec![root];
        while let Some(directory) = left.pop() {
            for (_, to) in self.entries(directory) {
                let names = found.entry(to).or_insert(0);
                *names += 1;
                if *names == 1 {
                    left.push(to);
                }
            }
        }
        found
    }

    /// Forgets directories that are not among these.
    pub(crate) fn retain(&mut self, keep: &BTreeMap<u64, u32>) {
        self.now.retain(|directory, _| keep.contains_key(directory));
        self.durable.retain(|directory, _| keep.contains_key(directory));
    }

    /// The files that a power failure could bring back.
    pub(crate) fn recoverable(&self) -> BTreeSet<u64> {
        let pending = self.pending.iter().flatten().filter_map(|change| change.to);
        self.durable.values().flat_map(Directory::values).copied().chain(pending).collect()
    }

    /// Makes these of the pending transactions durable, and the earlier ones that they build on.
    fn settle(&mut self, mut chosen: Vec<bool>) {
        let mut names: BTreeSet<(u64, OsString)> = BTreeSet::new();
        for (transaction, chosen) in self.pending.iter().zip(&mut chosen).rev() {
            let touched = || transaction.iter().map(|change| (change.directory, change.name.clone()));
            *chosen |= touched().any(|name| names.contains(&name));
            if *chosen {
                names.extend(touched());
            }
        }
        for (transaction, chosen) in std::mem::take(&mut self.pending).into_iter().zip(chosen) {
            if chosen {
                transaction.iter().for_each(|change| apply(change, &mut self.durable));
            } else {
                self.pending.push(transaction);
            }
        }
    }
}

fn apply(change: &Change, names: &mut BTreeMap<u64, Directory>) {
    let directory = names.entry(change.directory).or_default();
    match change.to {
        Some(to) => directory.insert(change.name.clone(), to),
        None => directory.remove(&change.name),
    };
}
