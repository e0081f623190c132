//! What the faults of running disks have in common: which nodes, and putting their disks in trouble.
//!
//! A disk in trouble may end its node, so these count as process faults: no other one touches the node meanwhile, and the
//! limit of how many nodes may be out holds.

use checker::params::Params;
use cluster::cluster::FailingDisk;
use cluster::disk::DiskTrouble;
use cluster::levers::Levers;
use cluster::system::BoxFuture;
use rand::Rng;
use rand::seq::IndexedRandom;

use crate::fault::{Choice, Fault, Injection, Needs};
use crate::moves::trouble_disks;
use crate::picture::Picture;
use crate::select::{Limit, Selector, take_out};
use crate::target::{DiskTroubled, Target};

/// A fault that puts disks in one of these troubles.
pub(crate) struct Troubling {
    selector: Selector,
    limit: Limit,
    troubles: Vec<DiskTrouble>,
}

/// What such a fault needs.
pub(crate) fn needs(params: &Params) -> Needs {
    Needs { disk: Some(FailingDisk::default()), ..Selector::needs(params) }
}

impl Troubling {
    /// The fault with one trouble.
    pub(crate) fn build(
        params: &Params,
        nodes: usize,
        trouble: DiskTrouble,
    ) -> Result<Box<dyn Fault>, String> {
        Self::build_any(params, nodes, vec![trouble])
    }

    /// The fault that draws one of these for each injection.
    pub(crate) fn build_any(
        params: &Params,
        nodes: usize,
        troubles: Vec<DiskTrouble>,
    ) -> Result<Box<dyn Fault>, String> {
        if troubles.is_empty() {
            return Err("the list of what is wrong with the disk is empty".to_owned());
        }
        let selector = Selector::read(params, nodes)?;
        Ok(Box::new(Self { selector, limit: Limit::read(params)?, troubles }))
    }
}

impl Fault for Troubling {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        let trouble = self.troubles.choose(rng).copied().unwrap_or_default();
        match take_out(self.selector, self.limit, picture, rng) {
            Ok(nodes) => Choice::Target(Target::DiskTroubled(DiskTroubled { nodes, trouble })),
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(async move {
            match target {
                Target::DiskTroubled(troubled) => trouble_disks(troubled, levers),
                _ => Injection::Skipped("the target is not a disk in trouble".to_owned()),
            }
        })
    }
}
