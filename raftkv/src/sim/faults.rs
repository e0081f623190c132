//! What goes wrong in a run: the next fault, drawn, and its doing.

use rand::RngExt;

use super::disk::Crash;
use super::drawn;
use super::nemesis::{self, Fault, Rest};
use super::world::{Event, Waiting, World};
use crate::raft::control::Order;
use crate::raft::io::{Input, NodeId, RequestId};

/// For so long after it lost everybody, a deserted leader is asked for reads only: about an election.
const LULL_MS: u64 = 700;

impl World {
    pub(super) fn begin_fault(&mut self) {
        let mean = self.report.shape.fault_every_ms * 1_000;
        let pause = self.random.random_range(0..=2 * mean);
        if let Some(calm) = self.lull.and_then(|(_, until)| until.0.checked_sub(self.now.0)) {
            self.schedule(calm + pause, Event::Fault);
            return;
        }
        self.schedule(pause, Event::Fault);
        match nemesis::draw(&mut self.random) {
            Fault::Crash(crash, outage) => {
                let ids = self.ids();
                self.crash_one(&ids, crash, outage);
            }
            Fault::CrashLeader(crash, outage) => {
                let leaders = self.leaders();
                self.crash_one(&leaders, crash, outage);
            }
            Fault::PowerFailure => {
                for id in self.ids() {
                    self.crash_one(&[id], Crash::Power, 1);
                }
            }
            Fault::DiskFull(millis) => {
                let ids = self.ids();
                if let Some(id) = self.any(&ids) {
                    self.fill_disk(id, millis);
                }
            }
            Fault::SyncError => {
                let ids = self.ids();
                if let Some(id) = self.any(&ids) {
                    self.node(id).disk.fails_next_sync = true;
                }
            }
            Fault::Split => self.split(),
            Fault::IsolateLeader => {
                let leaders = self.leaders();
                if let Some(leader) = self.any(&leaders) {
                    self.separate(&[leader]);
                }
            }
            Fault::CutOneWay => {
                let ids = self.ids();
                if let (Some(from), Some(to)) = (self.any(&ids), self.any(&ids)) {
                    self.network.cut(from, to);
                    self.report.cuts += 1;
                }
            }
            Fault::Pause(millis) => {
                let ids = self.ids();
                if let Some(id) = self.any(&ids) {
                    self.node(id).paused_until = self.now.plus_millis(millis);
                }
            }
            Fault::Suspend(millis) => {
                let leaders = self.leaders();
                if let Some(id) = self.any(&leaders) {
                    let now = self.now;
                    let node = self.node(id);
                    node.paused_until = node.paused_until.max(now.plus_millis(millis));
                    node.clocks.suspend(now, millis * 1000);
                }
            }
            Fault::Desert(millis, rest) => {
                let (leaders, ids) = (self.leaders(), self.ids());
                if let (Some(leader), Some(other)) = (self.any(&leaders), self.any(&ids)) {
                    self.network.cut(leader, other);
                    self.network.cut(other, leader);
                    self.report.cuts += 1;
                    self.schedule(millis * 1000, Event::Desert { leader, other, rest });
                    if self.lull.is_none() && self.random.random_range(0..2) == 0 {
                        self.lull = Some((leader, self.now.plus_millis(millis + LULL_MS)));
                    }
                }
            }
            Fault::SetClock(millis) => {
                let ids = self.ids();
                if let Some(id) = self.any(&ids) {
                    self.node(id).clocks.set_by(millis * 1000);
                }
            }
            Fault::Transfer => {
                let leaders = self.leaders();
                if let Some(leader) = self.any(&leaders) {
                    self.transfer(leader);
                    if self.random.random_range(0..2) == 0 {
                        // The target hears of it and the old leader of nothing more, if the moment is right.
                        let soon = self.random.random_range(0..=2_000 + 2 * self.report.shape.latency_us_max);
                        self.schedule(soon, Event::Desert { leader, other: leader, rest: Rest::Stays });
                    }
                }
            }
            Fault::Heal => self.network.heal(),
        }
    }

    pub(super) fn transfer(&mut self, leader: NodeId) {
        let ids = self.ids();
        let target = drawn::target(&mut self.random, &ids);
        self.requests += 1;
        let request = RequestId(self.requests);
        self.waiting.insert(request, (leader, Waiting::Order));
        self.step(leader, Input::Order { request, order: Order::Transfer(target) });
    }

    /// A leader loses everybody.
    pub(super) fn desert(&mut self, leader: NodeId, other: NodeId, rest: Rest) {
        self.separate(&[leader]);
        if let Rest::Restarts(outage) = rest {
            for id in self.ids().into_iter().filter(|&id| id != leader && id != other) {
                self.crash(id, Crash::Process);
                self.schedule(outage * 1_000, Event::Restart(id));
            }
        }
    }

    pub(super) fn crash_one(&mut self, candidates: &[NodeId], crash: Crash, outage_ms: u64) {
        if let Some(id) = self.any(candidates) {
            self.crash(id, crash);
            self.schedule(outage_ms * 1_000, Event::Restart(id));
        }
    }

    pub(super) fn split(&mut self) {
        let side: Vec<NodeId> =
            self.ids().into_iter().filter(|_| self.random.random_range(0..2) == 0).collect();
        self.network.heal();
        self.separate(&side);
    }

    /// Cuts every link between `side` and the rest.
    pub(super) fn separate(&mut self, side: &[NodeId]) {
        for from in self.ids() {
            for to in self.ids() {
                if side.contains(&from) != side.contains(&to) {
                    self.network.cut(from, to);
                }
            }
        }
        self.report.cuts += 1;
    }
}
