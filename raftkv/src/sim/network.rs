//! Links between nodes, and what happens to a message on them.
//!
//! Invariant: a message that is delivered was sent, unchanged. Everything else may happen to it.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::Shape;
use crate::raft::io::{Micros, NodeId};

/// The shortest way of a message, in microseconds.
pub(super) const LATENCY_US_MIN: u64 = 50;

/// The directed links.
#[derive(Debug)]
pub(super) struct Network {
    nodes: usize,
    cut: Vec<bool>,
}

impl Network {
    pub(super) fn new(nodes: usize) -> Self {
        Self { nodes, cut: vec![false; nodes * nodes] }
    }

    fn link(&mut self, from: NodeId, to: NodeId) -> &mut bool {
        &mut self.cut[(from.0 as usize - 1) * self.nodes + to.0 as usize - 1]
    }

    /// Cuts one direction.
    pub(super) fn cut(&mut self, from: NodeId, to: NodeId) {
        *self.link(from, to) = true;
    }

    /// Mends everything.
    pub(super) fn heal(&mut self) {
        self.cut.fill(false);
    }

    /// Whether messages from `from` reach `to`.
    pub(super) fn passes(&mut self, from: NodeId, to: NodeId) -> bool {
        !*self.link(from, to)
    }
}

/// When the copies of a message arrive: none, one or two times.
pub(super) fn arrivals(random: &mut ChaCha8Rng, shape: &Shape, now: Micros) -> Vec<Micros> {
    let mut copies = Vec::with_capacity(2);
    if random.random_range(0..1000) >= shape.loss_permille {
        copies.push(());
    }
    if random.random_range(0..1000) < shape.duplicate_permille {
        copies.push(());
    }
    let mut delay = || {
        let straggles = random.random_range(0..1000) < shape.straggler_permille;
        random.random_range(LATENCY_US_MIN..=if straggles { 500_000 } else { shape.latency_us_max })
    };
    copies.into_iter().map(|()| Micros(now.0 + delay())).collect()
}
