//! Carrying out what a step of a node asks for: its disk, its state machine, its answers, its messages.
//!
//! Invariant: the fields of the effects are carried out in their order, and every answer to a client is judged.

use rand::RngExt;

use super::disk::{Crash, Done, votes};
use super::invariants::Invariant;
use super::network::arrivals;
use super::snapshot::{Outcome, store_of};
use super::storms::longest_write;
use super::world::{Event, Node, Waiting, World};
use crate::raft::Raft;
use crate::raft::control::OrderOutcome;
use crate::raft::io::{DiskSpace, Effects, Input, Micros, NodeId, RequestId};
use crate::raft::message::Message;
use crate::raft::rules::{OnDiskFull, OnFsyncError};
use crate::raft::snapshot::{SnapshotReport, SnapshotWork};
use crate::raft::trace::{EntryMark, Role};
use crate::store::Applied;
use crate::store::Store;

impl World {
    pub(super) fn carry_out(&mut self, id: NodeId, mut effects: Effects) {
        let position = id.0 as usize - 1;
        self.restore(id, &effects);
        let Some(raft) = &self.nodes[position].raft else { return };
        let leads = |event: &crate::raft::trace::Event| {
            matches!(event.kind, crate::raft::trace::EventKind::Role(Role::Leader, _))
        };
        self.report.elections += effects.trace.iter().filter(|event| leads(event)).count() as u64;
        let restored = &self.nodes[position].state;
        let judged = self.witness.saw_step(id, raft, &effects.trace, &effects.apply, restored);
        self.judge(judged);
        let judged = self.saw_overlaps(id, &effects.trace);
        self.judge(judged);
        self.members.saw(&effects.trace);
        self.watch(id, &effects);
        if let Some(reason) = effects.halt {
            self.crash(id, Crash::Process);
            return self.found(Invariant::Progress, format!("{id} stops: {reason}"));
        }
        self.apply(id, &effects);
        self.work_on_snapshots(id, std::mem::take(&mut effects.snapshots));
        self.node(id).deadline = effects.deadline;
        let fsync = self.random.random_range(20..=longest_write(&self.report.shape, id));
        let done = Micros(self.now.0 + fsync);
        self.node(id).disk.submit(&mut effects, done);
        self.post(id, effects.send);
        self.weather.has_sent();
    }

    /// Replaces the state of a node by that of a snapshot that it received.
    pub(super) fn restore(&mut self, id: NodeId, effects: &Effects) {
        let Some(restored) = effects.restore else { return };
        let store = self.stores.get(&restored).cloned().unwrap_or_else(|| Store::new(&self.rules));
        let node = self.node(id);
        let Some(snapshot) = node.disk.snapshots.take_loaded(restored) else {
            return self.found(Invariant::Recovery, format!("{id} installs {restored:?}, which it has not"));
        };
        let before = std::mem::replace(&mut node.applied, restored.last.index);
        node.state = snapshot.state;
        node.host.machine.restore(restored.last.index, store).expect("it has no files");
        self.report.installs += 1;
        if restored.last.index < before {
            let detail = format!("{id} goes back from {before} to a snapshot up to {}", restored.last.index);
            self.found(Invariant::CommitMonotonic, detail);
        }
    }

    pub(super) fn work_on_snapshots(&mut self, id: NodeId, work: Vec<SnapshotWork>) {
        for work in work {
            let longest = 2 * self.report.shape.fsync_us_max;
            let at = Micros(self.now.0 + self.random.random_range(20..=longest));
            let Node { disk, state, host, .. } = self.node(id);
            let store = match &work {
                SnapshotWork::Take(take) => Some(store_of(take, host.machine.store())),
                _ => None,
            };
            let taken = disk.snapshots.submit(work, state, at);
            self.stores.extend(taken.zip(store));
        }
    }

    pub(super) fn complete_snapshot_work(&mut self, id: NodeId) {
        let write = self.rules.snapshot.snapshot_write;
        match self.node(id).disk.snapshots.complete(write) {
            None => {}
            Some(Outcome::Send(to, message)) => self.post(id, vec![(to, message)]),
            Some(Outcome::Report(report)) => {
                self.report.snapshots += u64::from(matches!(report, SnapshotReport::Taken(_)));
                self.step(id, Input::Snapshot(report));
            }
        }
    }

    pub(super) fn apply(&mut self, id: NodeId, effects: &Effects) {
        for entry in &effects.apply {
            let expected = self.node(id).applied + 1;
            if entry.index != expected {
                let detail = format!("{id} applies entry {} where entry {expected} is due", entry.index);
                return self.found(Invariant::CommitMonotonic, detail);
            }
            self.node(id).applied = entry.index;
            self.node(id).state.push(EntryMark::from(entry));
        }
        self.acknowledge_early(id, &effects.acknowledged);
        let (now, position) = (self.now, id.0 as usize - 1);
        if let Err(reason) = self.nodes[position].host.apply(now, &effects.apply, effects.commit) {
            return self.found(Invariant::Progress, format!("{id} stops: {reason}"));
        }
        let states = self.nodes[position].host.machine.states().to_vec();
        for &(index, hash) in &states {
            let judged = self.witness.saw_state(id, index, hash);
            self.judge(judged);
        }
        if let Some(raft) = &mut self.nodes[position].raft {
            raft.note_states(&states);
        }
        for &(request, index) in &effects.applied {
            self.acknowledge(id, request, index, effects);
        }
        for &(request, index) in &effects.reads {
            self.answer_read(id, request, index);
        }
        for (request, outcome) in &effects.ordered {
            if self.waiting.remove(request).is_none() {
                let detail = format!("{id} answers the order {request:?}, which does not wait");
                return self.found(Invariant::RightAnswer, detail);
            }
            self.report.transfers += u64::from(*outcome == OrderOutcome::Done(None));
            self.report.changes += u64::from(matches!(outcome, OrderOutcome::Done(Some(_))));
        }
        for (request, _) in &effects.refused {
            self.waiting.remove(request);
        }
        for request in &effects.dropped {
            self.waiting.remove(request);
        }
    }

    /// Writes that are answered although they are not committed.
    pub(super) fn acknowledge_early(&mut self, id: NodeId, early: &[(RequestId, u64)]) {
        for (request, index) in early {
            let entry =
                self.nodes[id.0 as usize - 1].raft.as_ref().and_then(|raft| raft.log().get(*index)).cloned();
            let (Some(entry), Some((_, Waiting::Write(sent)))) = (entry, self.waiting.get_mut(request))
            else {
                continue;
            };
            if sent.is_blind() && sent.is_in(&entry) {
                sent.early = true;
                self.report.writes += 1;
                let judged = self.witness.saw_acknowledged(&entry);
                self.judge(judged);
            }
        }
    }

    pub(super) fn acknowledge(&mut self, id: NodeId, request: RequestId, index: u64, effects: &Effects) {
        let node = &mut self.nodes[id.0 as usize - 1];
        // Applied now, or earlier if the rules have entries applied before they are committed.
        let log = node.raft.as_ref().map(Raft::log);
        let entry = effects.apply.iter().find(|entry| entry.index == index).or_else(|| log?.get(index));
        let result = node.host.machine.take_result(index);
        let (Some((_, Waiting::Write(sent))), Some(entry), Some(Applied { reply, remember })) =
            (self.waiting.remove(&request), entry.cloned(), result)
        else {
            return self.found(Invariant::RightAnswer, format!("{id} answers {request:?}, nobody knows why"));
        };
        if !sent.is_in(&entry) {
            return self
                .found(Invariant::RightAnswer, format!("{id} answers {request:?} with entry {index}"));
        }
        if let (Some(call), Some(raft)) = (remember, &node.raft) {
            node.host.memory.record(raft.term(), call, &reply);
        }
        let judged =
            self.clients.answered(&sent, &reply).and_then(|()| self.witness.saw_acknowledged(&entry));
        self.judge(judged);
        self.report.writes += u64::from(!sent.early);
    }

    pub(super) fn answer_read(&mut self, id: NodeId, request: RequestId, index: u64) {
        let Some((_, Waiting::Read(floor))) = self.waiting.remove(&request) else {
            return self
                .found(Invariant::RightAnswer, format!("{id} answers {request:?}, which does not wait"));
        };
        if index > self.node(id).applied {
            let detail =
                format!("{id} answers a read at index {index} and has applied {}", self.node(id).applied);
            return self.found(Invariant::RightAnswer, detail);
        }
        self.report.reads += 1;
        let judged = self.witness.saw_read(id, floor, index);
        self.judge(judged);
    }

    pub(super) fn complete_write(&mut self, id: NodeId) {
        let now = self.now;
        match self.node(id).disk.complete(now) {
            None => {}
            Some(Done::Failed) => self.sync_failed(id),
            Some(Done::Written(write, persisted)) => {
                for (term, candidate) in votes(&write.events) {
                    let judged = self.witness.saw_vote(id, term, candidate);
                    self.judge(judged);
                }
                let judged = self.saw_acks(id, &write.events);
                self.judge(judged);
                self.post(id, write.messages);
                if let Some(persisted) = persisted {
                    self.step(id, Input::Persisted(persisted));
                }
            }
        }
    }

    pub(super) fn sync_failed(&mut self, id: NodeId) {
        match self.rules.storage.on_fsync_error {
            OnFsyncError::Crash => {
                self.crash(id, Crash::Power);
                self.schedule(100_000, Event::Restart(id));
            }
            OnFsyncError::Retry | OnFsyncError::Ignore => {
                self.node(id).disk.pretend();
                self.complete_write(id);
            }
        }
    }

    pub(super) fn fill_disk(&mut self, id: NodeId, millis: u64) {
        if self.node(id).raft.is_none() {
            return;
        }
        match self.rules.storage.on_disk_full {
            OnDiskFull::StopAccepting => {
                self.node(id).disk.full_until = self.now.plus_millis(millis);
                self.step(id, Input::Disk(DiskSpace::Full));
                self.schedule(millis * 1_000, Event::Room(id));
            }
            OnDiskFull::Crash => {
                self.crash(id, Crash::Process);
                self.schedule(millis * 1_000, Event::Restart(id));
            }
            OnDiskFull::Ignore => self.node(id).disk.swallows_until = self.now.plus_millis(millis),
        }
    }

    pub(super) fn post(&mut self, from: NodeId, messages: Vec<(NodeId, Message)>) {
        for (to, message) in messages {
            if let Some(at) = self.weather.haunts(from, &message) {
                self.schedule_at(at, Event::Deliver { from, to, message });
                continue;
            }
            if !self.network.passes(from, to) {
                continue;
            }
            for at in arrivals(&mut self.random, &self.report.shape, self.now, &message) {
                self.schedule_at(at, Event::Deliver { from, to, message: message.clone() });
            }
        }
    }
}
