//! The end of a run: everything is mended, and the cluster has to work again.
//!
//! Invariant: what is demanded holds for every cluster that keeps the honest rules: it takes a write, and all its members
//! end with the same log.

use std::cmp::Reverse;

use super::disk::Crash;
use super::invariants::Invariant;
use super::network;
use super::world::{Event, World};
use crate::raft::Raft;
use crate::raft::io::{DiskSpace, Input, Micros};

/// After the faults the cluster gets so long to converge.
const RECOVERY_MS: u64 = 8_000;

impl World {
    /// Mends everything and waits until a write was acknowledged and all nodes have applied the same.
    pub(super) fn demand_progress(&mut self) {
        self.network.heal();
        self.weather.calm_down();
        self.report.shape.slow_disk = None;
        self.report.shape.echo_us_max = 0;
        self.report.shape.overtaken_us_max = 0;
        self.report.shape.votes_us_max = 0;
        self.report.shape.loss_permille = 0;
        self.report.shape.straggler_permille = 0;
        // A mended network keeps messages in order, as the connections of real nodes do.
        self.report.shape.latency_us_max = network::LATENCY_US_MIN;
        self.report.shape.fsync_us_max = self.report.shape.fsync_us_max.min(2_000);
        self.queue.retain(|Reverse(scheduled)| {
            !matches!(
                scheduled.event,
                Event::Fault
                    | Event::Desert { .. }
                    | Event::Strike(_)
                    | Event::Change
                    | Event::Restart(_)
                    | Event::Room(_)
            )
        });
        for id in self.ids() {
            let now = self.now;
            self.node(id).clocks.wake(now);
            self.node(id).disk.heal();
            self.start(id);
            self.node(id).paused_until = Micros(0);
            self.step(id, Input::Disk(DiskSpace::Free));
        }
        let writes = self.report.writes;
        if self.members.coming().is_some() {
            // Changes that were begun come to their end first.
            self.queue.retain(|Reverse(scheduled)| !matches!(scheduled.event, Event::Operation));
            self.run_until(self.now.plus_millis(1_500), |_| false);
            self.schedule(0, Event::Operation);
        }
        self.tidy = true;
        self.switch_off_the_gone();
        let end = self.now.plus_millis(RECOVERY_MS);
        self.run_until(end, |world| world.report.writes > writes);
        // Clients stop, so that all nodes can reach the same index.
        self.queue.retain(|Reverse(scheduled)| !matches!(scheduled.event, Event::Operation));
        self.run_until(end, |world| world.has_converged());
        if self.report.finding.is_none() && !(self.report.writes > writes && self.has_converged()) {
            let statuses = self.nodes.iter().filter_map(|node| node.raft.as_ref()).map(Raft::status);
            let states: Vec<String> = statuses
                .map(|s| format!("{} {} term {} commit {}/{}", s.id, s.role, s.term, s.commit, s.last_index))
                .collect();
            let detail = format!(
                "{RECOVERY_MS} ms after healing: {}; {}",
                states.join("; "),
                self.members.agreed_upon()
            );
            self.found(Invariant::Progress, detail);
        }
    }

    pub(super) fn has_converged(&self) -> bool {
        let needed = self.ids().into_iter().filter(|&id| self.members.needs(id));
        let mut states = needed.map(|id| {
            let node = &self.nodes[id.0 as usize - 1];
            let raft = node.raft.as_ref()?;
            let last = raft.log().last_index();
            let applied = if self.members.applies(id, &self.rules) { node.applied } else { last };
            Some((last, raft.log().last_term(), applied))
        });
        let Some(Some(first)) = states.next() else { return false };
        first.0 == first.2 && states.all(|state| state == Some(first))
    }

    /// Switches off who is no member any more.
    pub(super) fn switch_off_the_gone(&mut self) {
        let running = self.nodes.iter().filter_map(|node| node.raft.as_ref());
        for id in self.members.gone(&self.ids(), running) {
            self.crash(id, Crash::Process);
        }
    }
}
