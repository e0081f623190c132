//! Links between nodes, and what happens to a message on them.
//!
//! Invariant: a message that is delivered was sent, unchanged. Everything else may happen to it.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::Shape;
use super::storms::{is_bulk, is_vote};
use crate::raft::io::{Micros, NodeId};
use crate::raft::message::Message;

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
pub(super) fn arrivals(
    random: &mut ChaCha8Rng,
    shape: &Shape,
    now: Micros,
    message: &Message,
) -> Vec<Micros> {
    let mut copies = Vec::with_capacity(2);
    if random.random_range(0..1000) >= shape.loss_permille {
        copies.push(0);
    }
    if random.random_range(0..1000) < shape.duplicate_permille {
        copies.push(shape.echo_us_max);
    }
    let overtaken = match message {
        _ if is_bulk(message) => shape.overtaken_us_max,
        _ if is_vote(message) => shape.votes_us_max,
        _ => 0,
    };
    let mut delay = |late: u64| {
        let straggles = random.random_range(0..1000) < shape.straggler_permille;
        let way =
            random.random_range(LATENCY_US_MIN..=if straggles { 500_000 } else { shape.latency_us_max });
        // Not drawn where there is nothing to draw, so that the run stays what it was.
        way + if late > 0 { random.random_range(0..=late) } else { 0 }
    };
    copies.into_iter().map(|late| Micros(now.0 + delay(late.max(overtaken)))).collect()
}
