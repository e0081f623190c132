//! Leases: answering reads without asking anybody.
//!
//! Invariant: while a leader holds a lease, no other leader can have been elected. The lease rests on the answers of a quorum
//! to one round of heartbeats. Each of these followers had received its heartbeat after the round was sent, and from then on
//! it elects nobody for the shortest election timeout of its own clock. So the lease ends that much later than the
//! *sending*, on the leader's clock, less the factor by which the clocks may differ in speed.
//! What a follower promised it keeps whatever happens: through a new term that it hears of and, because the promise
//! is on no disk, for a while after every restart. Only the leader itself can release it, by handing over; then it gives the lease
//! up first, for the rest of its term.
//! Deliberately without time of its own: the driver hands in what the clock of the rule `lease_clock` shows.
//! Reference: section 6.4.1 of the thesis; Gray and Cheriton, "Leases", 1989.

use std::collections::VecDeque;

use super::Raft;
use super::io::Micros;
use super::rules::{LeaseDuration, Millis, ReadMode};
use super::trace::Role;

/// So many rounds without an answer are remembered.
const ROUNDS_MAX: usize = 1024;

/// What every node keeps for leases.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Leases {
    /// What the clock of leases shows.
    pub(super) clock: Micros,
    /// Until when this node has promised not to elect another leader.
    bound_until: Option<Micros>,
}

/// When a leader's rounds of heartbeats began, by the clock of leases.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounds(VecDeque<(u64, Micros)>);

impl Rounds {
    /// A round begins.
    pub(super) fn began(&mut self, round: u64, at: Micros) {
        if self.0.len() == ROUNDS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((round, at));
    }

    /// When this round began, if it is remembered. Rounds are in order.
    fn began_at(&self, round: u64) -> Option<Micros> {
        let place = self.0.binary_search_by_key(&round, |&(number, _)| number).ok()?;
        self.0.get(place).map(|&(_, at)| at)
    }
}

impl Raft {
    /// Whether this leader may answer without asking. To be asked after the read has arrived.
    pub(super) fn holds_lease(&self) -> bool {
        // Without the rule nobody has promised anything.
        self.uses_leases() && self.lease_end().is_some_and(|end| self.leases.clock < end)
    }

    /// Until when this leader's voters have promised to elect nobody else, as far as it knows, by the clock of leases.
    fn lease_end(&self) -> Option<Micros> {
        if self.role != Role::Leader || self.lease_is_revoked() {
            return None;
        }
        let leading = self.leading.as_ref()?;
        let round = self.of_members(leading, leading.round, 0, |progress| progress.round);
        let began = leading.rounds.began_at(self.confirmed(round)?)?;
        Some(Micros(began.0.saturating_add(self.lease_micros())))
    }

    /// The same for `/status`: nothing where voters promise nothing.
    pub(super) fn lease_until(&self) -> Option<Micros> {
        self.lease_end().filter(|_| self.uses_leases())
    }

    /// How long a lease lasts.
    fn lease_micros(&self) -> u64 {
        // The honest law: once a majority has acknowledged its heartbeats, the lease extends "to start + election timeout / clock
        // drift bound, since the followers shouldn't time out before then" (thesis, figure 6.3).
        match self.rules.read.lease_duration {
            // The clocks of two nodes may differ by this factor; nothing else about them is assumed.
            LeaseDuration::Auto => {
                self.patience.range.min.saturating_mul(1_000_000) / self.rules.read.lease_clock_drift_bound.0
            }
            LeaseDuration::Fixed(Millis(millis)) => millis * 1000,
        }
    }

    fn lease_is_revoked(&self) -> bool {
        // The honest law: an election that the leader itself asks for does not wait for its lease, so a leader lets its lease end
        // before it hands over (thesis, section 6.4.1).
        self.rules.read.lease_revoke_on_transfer && self.transferring()
    }

    /// Whether nodes of this cluster rely on each other's promises.
    fn uses_leases(&self) -> bool {
        self.read_mode() == ReadMode::Lease
    }

    /// This node has heard a leader, and its answer is a promise.
    pub(super) fn promise(&mut self, now: Micros) {
        self.leases.bound_until = Some(now.plus_millis(self.patience.range.min));
    }

    /// This node starts. It cannot know what it promised before.
    pub(super) fn promise_at_start(&mut self, now: Micros) {
        // The honest law: a follower that answered a heartbeat votes for nobody else for the shortest election timeout, also if
        // it restarts in between; the lease argument of the thesis (section 6.4.1) assumes it without saying so.
        if self.rules.vote.vote_wait_after_restart && !self.has_no_past() {
            self.promise(now);
        }
    }

    /// Whether this node has promised a leader to elect nobody else at this time. Unlike what it knows of its leader, that
    /// outlives the term.
    pub(super) fn is_bound(&self, now: Micros) -> bool {
        self.uses_leases() && self.is_sticky() && self.leases.bound_until.is_some_and(|until| now < until)
    }
}
