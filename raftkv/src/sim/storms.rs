//! Storms: faults that answer what the cluster does, so that rare orders of events become frequent.
//!
//! A random fault seldom hits the moment between the election of a leader and its first entry, or the last milliseconds of a
//! lease. Each seed draws one storm or none; a storm watches for a kind of moment and strikes there, and nothing in it knows
//! of a rule. It is drawn and directed by a generator of its own, so that a seed without one is as it would be without this
//! file.
//! Invariant: everything that a storm does to a cluster could also happen by chance: messages are cut, late or repeated,
//! nodes restart, members change, clocks differ by less than the honest rules allow.
//! What it lacks: learning from what earlier seeds have reached; a seed has to give the same run on its own.
//! Reference: Ganesan et al., "Redundancy does not imply fault tolerance", FAST 2017, for faults at chosen moments; Ozkan et
//! al., "Randomized testing of distributed systems with probabilistic guarantees", OOPSLA 2018.

use std::fmt;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Shape;
use super::disk::Crash;
use super::nemesis::Rest;
use super::world::{Event as Happening, World};
use crate::raft::io::{Effects, Micros, NodeId};
use crate::raft::message::{Ballot, Message};
use crate::raft::snapshot::SnapshotWork;
use crate::raft::trace::{ConfigState, Event, EventKind, Role};

/// What a seed is about, beside the faults that come at random.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storm {
    /// Nothing special.
    #[default]
    None,
    /// Members change when leaders do, and the network divides anew at both.
    Members,
    /// A leader that one node no longer hears loses the others too, which restart within an election timeout.
    Restarts,
    /// A leader is cut off behind a round of heartbeats; the clocks differ by as much as is promised.
    Leases,
    /// One disk is much slower than the others; power fails behind elections and appends.
    Disks,
    /// Repeated messages arrive seconds later.
    Echoes,
    /// Entries and snapshots are late, heartbeats and votes are not.
    Overtaking,
    /// Votes and requests for them are late and come twice; power fails behind votes and elections.
    Votes,
    /// Whoever becomes leader is cut off with some of the others, at once.
    Leaders,
    /// A leader is cut off while its last entries are under way, and they arrive when it is back.
    Ghosts,
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Storm::None => "no storm",
            Storm::Members => "a storm of members",
            Storm::Restarts => "a storm of restarts",
            Storm::Leases => "a storm of leases",
            Storm::Disks => "a storm of disks",
            Storm::Echoes => "a storm of echoes",
            Storm::Overtaking => "a storm of overtaking",
            Storm::Votes => "a storm of votes",
            Storm::Leaders => "a storm of leaders",
            Storm::Ghosts => "a storm of ghosts",
        })
    }
}

/// Oftener named, oftener drawn.
const STORMS: [Storm; 10] = [
    Storm::Members,
    Storm::Members,
    Storm::Restarts,
    Storm::Leases,
    Storm::Disks,
    Storm::Echoes,
    Storm::Overtaking,
    Storm::Votes,
    Storm::Leaders,
    Storm::Ghosts,
];

/// Faults at random come so much seldomer, so that what a storm begins can end.
const SELDOMER: u64 = 8;
/// How late a repeated message is at most in a storm of echoes, in microseconds.
const ECHO_US_MAX: u64 = 3_000_000;
/// How late entries are at most in a storm of overtaking, in microseconds.
const OVERTAKEN_US_MAX: u64 = 120_000;
/// How late votes and requests for them are at most in a storm of votes, in microseconds.
const VOTES_US_MAX: u64 = 200_000;
/// How much slower a slow disk is.
const SLOW_DISK: u64 = 20;

/// What a storm does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strike {
    /// This node is asked to change the members.
    Change(NodeId),
    /// The network falls into two parts; this node is in the smaller one more often than not.
    Divide(NodeId),
    /// The node loses power for a while.
    Crash(NodeId),
    /// The node loses power and is back before an election timeout is over.
    Blink(NodeId),
    /// This node is asked to hand leadership over.
    HandOver(NodeId),
    /// Somebody sets the node's time of day back.
    SetBack(NodeId),
    /// All links work again, and the next strike may begin.
    Mend,
}

/// The storm of a run.
#[derive(Debug)]
pub(super) struct Weather {
    pub(super) storm: Storm,
    random: ChaCha8Rng,
    /// Something has been begun that is not over.
    busy: bool,
    /// Whose entries of this step arrive at which time, whatever becomes of its links.
    ghosts: Option<(NodeId, Micros)>,
}

impl Weather {
    /// Draws the storm of a seed and what else it changes in the shape of the run.
    pub(super) fn draw(seed: u64, shape: &mut Shape) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x7374_6f72_6d73_2121);
        let storm = if random.random_range(0..4) == 0 {
            Storm::None
        } else {
            STORMS[random.random_range(0..STORMS.len())]
        };
        shape.storm = storm;
        if storm != Storm::None {
            shape.fault_every_ms *= SELDOMER;
            if random.random_range(0..4) > 0 {
                be_quick(shape);
            }
        }
        match storm {
            Storm::Leases => at_the_edge(&mut random, shape),
            Storm::Disks => shape.slow_disk = Some(random.random_range(1..=shape.nodes)),
            Storm::Echoes => {
                shape.echo_us_max = ECHO_US_MAX;
                shape.duplicate_permille = shape.duplicate_permille.max(100);
            }
            Storm::Overtaking => shape.overtaken_us_max = OVERTAKEN_US_MAX,
            Storm::Votes => {
                shape.votes_us_max = VOTES_US_MAX;
                shape.duplicate_permille = shape.duplicate_permille.max(200);
            }
            Storm::None | Storm::Members | Storm::Restarts | Storm::Leaders | Storm::Ghosts => {}
        }
        Self { storm, random, busy: false, ghosts: None }
    }

    /// When a message of `from` arrives that is a ghost.
    pub(super) fn haunts(&mut self, from: NodeId, message: &Message) -> Option<Micros> {
        let (_, until) = self.ghosts.filter(|&(ghost, _)| ghost == from && is_bulk(message))?;
        Some(Micros(until.0 + self.random.random_range(50..3_000)))
    }

    /// A node has sent what it had to send in this step.
    pub(super) fn has_sent(&mut self) {
        self.ghosts = None;
    }

    /// Nothing more is begun.
    pub(super) fn calm_down(&mut self) {
        self.storm = Storm::None;
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.random.random_range(0..count) == 0
    }
}

/// Where everything else takes its time, no race is close.
fn be_quick(shape: &mut Shape) {
    shape.latency_us_max = shape.latency_us_max.min(200);
    shape.fsync_us_max = shape.fsync_us_max.min(100);
    shape.batch_us_max = 0;
    (shape.loss_permille, shape.straggler_permille) = (0, 0);
}

/// One clock is slower than all others, by nearly the factor that is promised.
fn at_the_edge(random: &mut ChaCha8Rng, shape: &mut Shape) {
    let slow = random.random_range(0..shape.nodes) as usize;
    for (node, rate) in shape.clocks_permille.iter_mut().enumerate() {
        *rate = if node == slow { 954 } else { 1049 };
    }
}

/// Whether a message is about votes that bind.
pub(super) fn is_vote(message: &Message) -> bool {
    match message {
        Message::RequestVote(_) => true,
        Message::VoteReply(reply) => reply.ballot == Ballot::Vote,
        _ => false,
    }
}

/// Whether a message may be late while others are not.
pub(super) fn is_bulk(message: &Message) -> bool {
    match message {
        Message::AppendEntries(append) => !append.entries.is_empty(),
        Message::InstallSnapshot(_) => true,
        _ => false,
    }
}

impl World {
    /// What a step of a node showed may be a moment to strike at.
    pub(super) fn watch(&mut self, id: NodeId, effects: &Effects) {
        match self.weather.storm {
            Storm::None | Storm::Echoes | Storm::Overtaking => {}
            Storm::Members => self.strike_at_changes(id, effects),
            Storm::Restarts | Storm::Leases => self.strike_at_heartbeats(id, effects),
            Storm::Disks => self.strike_at_writes(id, effects),
            Storm::Votes => self.strike_at_votes(id, effects),
            Storm::Leaders => self.strike_at_leaders(id, effects),
            Storm::Ghosts => self.strike_at_entries(id, effects),
        }
    }

    fn strike_at_changes(&mut self, id: NodeId, effects: &Effects) {
        let became_leader = effects.trace.iter().any(|event| leads(&event.kind));
        let is_leader = self.leaders().contains(&id);
        let appended = is_leader && effects.trace.iter().any(|event| configures(&event.kind));
        let soon = self.report.shape.latency_us_max;
        if became_leader {
            if !self.weather.one_in(3) {
                self.strike(0, Strike::Divide(id));
            }
            if !self.weather.one_in(3) {
                let delay = self.weather.random.random_range(0..=soon);
                self.strike(delay, Strike::Change(id));
            }
        }
        if appended && self.weather.one_in(3) {
            let delay = if self.weather.one_in(2) { 0 } else { self.weather.random.random_range(0..=soon) };
            self.strike(delay, Strike::Divide(id));
        }
    }

    fn strike_at_heartbeats(&mut self, id: NodeId, effects: &Effects) {
        let beats = effects.send.iter().any(|(_, message)| matches!(message, Message::Heartbeat(_)));
        if !beats || self.weather.busy || !self.weather.one_in(6) {
            return;
        }
        self.weather.busy = true;
        let others: Vec<NodeId> = self.ids().into_iter().filter(|&other| other != id).collect();
        let Some(&other) = others.get(self.weather.random.random_range(0..others.len().max(1))) else {
            return;
        };
        let way = 2 * self.report.shape.latency_us_max;
        let outage = self.weather.random.random_range(400_000..900_000);
        let (delay, rest) = if self.weather.storm == Storm::Restarts {
            self.network.cut(id, other);
            self.network.cut(other, id);
            (
                self.weather.random.random_range(100_000..400_000),
                Rest::Restarts(self.weather.random.random_range(1..10)),
            )
        } else {
            match self.weather.random.random_range(0..4) {
                0 => self.strike(0, Strike::HandOver(id)),
                1 => self.strike(outage / 8, Strike::SetBack(id)),
                _ => {}
            }
            (self.weather.random.random_range(0..=way + 2_000), Rest::Stays)
        };
        self.schedule(delay, Happening::Desert { leader: id, other, rest });
        self.lull = Some((id, Micros(self.now.0 + delay + outage)));
        self.strike(delay + outage, Strike::Mend);
    }

    fn strike_at_writes(&mut self, id: NodeId, effects: &Effects) {
        let is_written = |work: &SnapshotWork| matches!(work, SnapshotWork::Take(_));
        let moment = effects.trace.iter().any(|event| leads(&event.kind) || configures(&event.kind))
            || effects.snapshots.iter().any(is_written);
        if (moment && self.weather.one_in(3)) || (effects.persist.is_some() && self.weather.one_in(400)) {
            let delay = self.weather.random.random_range(0..=2 * self.report.shape.fsync_us_max);
            self.strike(delay, Strike::Crash(id));
        }
    }

    fn strike_at_votes(&mut self, id: NodeId, effects: &Effects) {
        let votes = |event: &Event| matches!(&event.kind, EventKind::Vote(vote) if vote.to != id);
        let soon = 2 * self.report.shape.fsync_us_max;
        if effects.trace_durable.iter().any(votes) && self.weather.one_in(3) {
            let delay = self.weather.random.random_range(0..=soon + 1_000);
            self.strike(delay, Strike::Blink(id));
        }
        if effects.trace.iter().any(|event| leads(&event.kind)) && self.weather.one_in(2) {
            let delay = self.weather.random.random_range(0..=soon + 50_000);
            self.strike(delay, Strike::Crash(id));
        }
    }

    fn strike_at_leaders(&mut self, id: NodeId, effects: &Effects) {
        if effects.trace.iter().any(|event| leads(&event.kind)) && !self.weather.one_in(4) {
            let way = self.report.shape.latency_us_max;
            // What it appends first reaches nobody, or some of the others.
            let delay =
                if self.weather.one_in(2) { 0 } else { self.weather.random.random_range(0..=4 * way) };
            self.strike(delay, Strike::Divide(id));
        }
    }

    fn strike_at_entries(&mut self, id: NodeId, effects: &Effects) {
        let sends = effects.send.iter().any(|(_, message)| is_bulk(message));
        if !sends || self.weather.busy || !self.weather.one_in(10) {
            return;
        }
        self.weather.busy = true;
        let outage = self.weather.random.random_range(300_000..900_000);
        self.weather.ghosts = Some((id, Micros(self.now.0 + outage)));
        self.separate(&[id]);
        self.strike(outage, Strike::Mend);
    }

    fn strike(&mut self, delay_us: u64, strike: Strike) {
        // Links may be cut in the middle of a step: what it sends is lost. Nodes are left alone until the step is over.
        if delay_us == 0 && matches!(strike, Strike::Divide(_)) {
            self.carry_out_strike(strike);
        } else {
            self.schedule(delay_us, Happening::Strike(strike));
        }
    }

    pub(super) fn carry_out_strike(&mut self, strike: Strike) {
        match strike {
            Strike::Change(id) => self.order_change(id),
            Strike::Divide(id) => self.divide_around(id),
            Strike::Crash(id) => {
                let outage = self.weather.random.random_range(5..400);
                self.crash_one(&[id], Crash::Power, outage);
            }
            Strike::Blink(id) => {
                let outage = self.weather.random.random_range(5..60);
                self.crash_one(&[id], Crash::Power, outage);
            }
            Strike::HandOver(id) => self.transfer(id),
            Strike::SetBack(id) => {
                let millis = self.weather.random.random_range(200..3_000);
                self.node(id).clocks.set_by(-millis * 1_000);
            }
            Strike::Mend => {
                self.network.heal();
                self.weather.busy = false;
            }
        }
    }

    /// Mends the network and divides it again: this node, usually with one or two companions, and the rest.
    fn divide_around(&mut self, id: NodeId) {
        let mut others: Vec<NodeId> = self.ids().into_iter().filter(|&other| other != id).collect();
        self.network.heal();
        let companions = [0, 1, 1, 1, 2, 2, others.len()][self.weather.random.random_range(0..7)];
        let mut side = vec![id];
        for _ in 0..companions.min(others.len()) {
            side.push(others.swap_remove(self.weather.random.random_range(0..others.len())));
        }
        self.separate(&side);
    }
}

fn leads(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Role(Role::Leader, _))
}

fn configures(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Config(config) if config.state == ConfigState::Append)
}

/// How long a write takes at most on the disk of a node, in microseconds.
pub(super) fn longest_write(shape: &Shape, node: NodeId) -> u64 {
    if shape.slow_disk == Some(node.0) { shape.fsync_us_max * SLOW_DISK } else { shape.fsync_us_max }
}
