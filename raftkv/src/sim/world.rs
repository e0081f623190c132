//! The loop of a run: what happens next in virtual time, and what every step led to.
//!
//! Invariant: everything random comes from one generator in a fixed order, so a seed fixes the run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::clients::{Clients, Host, Sent};
use super::clock::Clocks;
use super::disk::{Crash, Disk, Done, votes};
use super::drawn;
use super::invariants::{Finding, Invariant, Witness};
use super::membership::Members;
use super::nemesis::{self, Fault, Rest};
use super::network::{Network, arrivals};
use super::snapshot::{Outcome, State, store_of};
use super::{Demand, Report, Shape};
use crate::raft::control::{Order, OrderOutcome};
use crate::raft::io::{DiskSpace, Effects, Input, Micros, NodeId, Now, ReadAsk, RequestId};
use crate::raft::log::Entry;
use crate::raft::message::Message;
use crate::raft::recovery::Standing;
use crate::raft::rules::{Count, OnDiskFull, OnFsyncError, Rules};
use crate::raft::snapshot::{SnapshotId, SnapshotReport, SnapshotWork};
use crate::raft::trace::{EntryMark, Role};
use crate::raft::{Config, Raft};
use crate::store::Applied;
use crate::store::Store;

#[derive(Debug)]
pub(super) enum Event {
    Deliver { from: NodeId, to: NodeId, message: Message },
    Restart(NodeId),
    Room(NodeId),
    Operation,
    Fault,
    Change,
    Desert { leader: NodeId, other: NodeId, rest: Rest },
}

#[derive(Debug)]
pub(super) struct Scheduled {
    pub(super) at: Micros,
    number: u64,
    pub(super) event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

pub(super) struct Node {
    pub(super) raft: Option<Raft>,
    pub(super) disk: Disk,
    /// What it has been told and not taken in yet.
    pub(super) inbox: VecDeque<Input>,
    /// When it takes that in.
    pub(super) wakes: Option<Micros>,
    pub(super) applied: u64,
    pub(super) host: Host,
    pub(super) state: State,
    /// When its core wants to be called, by its own clock.
    pub(super) deadline: Option<Micros>,
    pub(super) paused_until: Micros,
    pub(super) clocks: Clocks,
}

/// What a client waits for.
#[derive(Clone, Debug)]
pub(super) enum Waiting {
    Write(Sent),
    /// The highest index that clients knew when the read began.
    Read(u64),
    Order,
}

/// A cluster and everything around it.
pub(super) struct World {
    pub(super) now: Micros,
    pub(super) random: ChaCha8Rng,
    pub(super) rules: Rules,
    pub(super) nodes: Vec<Node>,
    pub(super) network: Network,
    /// What the snapshots of all nodes hold; one that is not here was put together of several.
    pub(super) stores: HashMap<SnapshotId, Store>,
    pub(super) queue: BinaryHeap<Reverse<Scheduled>>,
    pub(super) scheduled: u64,
    pub(super) waiting: BTreeMap<RequestId, (NodeId, Waiting)>,
    pub(super) requests: u64,
    pub(super) witness: Witness,
    pub(super) clients: Clients,
    pub(super) members: Members,
    /// Once in a run: until then nobody writes at this leader that some node no longer hears, and nothing else goes wrong. Else
    /// that node's log is soon too old for it to be elected, and the leader is safe by accident.
    lull: Option<(NodeId, Micros)>,
    /// Nodes that are no members any more are switched off.
    pub(super) tidy: bool,
    pub(super) report: Report,
}

/// For so long after it lost everybody, a deserted leader is asked for reads only: about an election.
const LULL_MS: u64 = 700;

fn draw_shape(random: &mut ChaCha8Rng, rules: &Rules) -> Shape {
    let mut pick = |choices: &[u64]| choices[random.random_range(0..choices.len())];
    let mut shape = Shape {
        nodes: pick(&[1, 3, 3, 3, 3, 5, 5, 5]) as u16,
        loss_permille: pick(&[0, 0, 10, 50, 200]) as u32,
        duplicate_permille: pick(&[0, 10, 100]) as u32,
        straggler_permille: pick(&[0, 5, 50, 300]) as u32,
        latency_us_max: pick(&[200, 2_000, 20_000, 60_000]),
        fsync_us_max: pick(&[100, 2_000, 20_000, 100_000]),
        fault_every_ms: pick(&[30, 100, 300]),
        operation_every_us: pick(&[2_000, 10_000, 40_000]),
        faults_ms: pick(&[2_000, 4_000]),
        entries_per_append: pick(&[1, 2, 1024]) as usize,
        chunk_bytes: pick(&[256, 4_096, 65_536]) as usize,
        batch_us_max: pick(&[0, 0, 500, 10_000]),
        coming: None,
        clocks_permille: Vec::new(),
        rules: Vec::new(),
    };
    shape.rules = drawn::rules(random, rules, shape.entries_per_append);
    shape.clocks_permille = drawn::clocks(random, shape.nodes);
    shape
}

impl World {
    pub(super) fn new(seed: u64, rules: &Rules) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut shape = draw_shape(&mut random, rules);
        let mut rules = rules.clone();
        let members = Members::draw(seed, shape.nodes, &mut rules);
        (shape.nodes, shape.coming) = (members.first(), members.coming().cloned());
        let everybody = shape.nodes + shape.coming.as_ref().map_or(0, |coming| coming.spares);
        shape.clocks_permille.resize(everybody as usize, 1000);
        for (name, value) in &shape.rules {
            rules.set(name, value).unwrap_or_else(|error| panic!("the simulation draws a rule: {error}"));
        }
        rules.log.max_entries_per_append = Count(shape.entries_per_append);
        let mut node = |(id, &rate): (NodeId, &u64)| Node {
            host: Host::new(id, &rules, &mut random),
            raft: None,
            disk: Disk::default(),
            inbox: VecDeque::new(),
            wakes: None,
            applied: 0,
            state: State::new(),
            deadline: None,
            paused_until: Micros(0),
            clocks: Clocks::at_rate(rate),
        };
        let nodes = (1..=everybody).map(NodeId).zip(&shape.clocks_permille).map(&mut node).collect();
        let report = Report {
            shape: shape.clone(),
            steps: 0,
            elections: 0,
            writes: 0,
            reads: 0,
            crashes: 0,
            snapshots: 0,
            installs: 0,
            cuts: 0,
            transfers: 0,
            changes: 0,
            finding: None,
        };
        Self {
            now: Micros(1_000),
            random,
            rules,
            nodes,
            network: Network::new(everybody as usize),
            stores: HashMap::new(),
            queue: BinaryHeap::new(),
            scheduled: 0,
            waiting: BTreeMap::new(),
            requests: 0,
            witness: Witness::default(),
            clients: Clients::new(),
            members,
            lull: None,
            tidy: false,
            report,
        }
    }

    pub(super) fn run(mut self, demand: Demand) -> Report {
        for id in self.ids() {
            self.start(id);
        }
        self.schedule(0, Event::Operation);
        self.schedule(0, Event::Fault);
        self.schedule_change();
        let end_of_faults = self.now.plus_millis(self.report.shape.faults_ms);
        self.run_until(end_of_faults, |_| false);
        if demand == Demand::Progress && self.report.finding.is_none() {
            self.demand_progress();
        }
        self.report
    }

    /// Plays on until `end`, a finding, or `done`.
    pub(super) fn run_until(&mut self, end: Micros, done: impl Fn(&Self) -> bool) {
        while self.report.finding.is_none() && !done(self) {
            let (at, what) = self.next();
            if at > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(at);
            match what {
                Next::Queue => {
                    let Some(Reverse(scheduled)) = self.queue.pop() else { return };
                    self.happen(scheduled.event);
                }
                Next::Timer(id) => {
                    self.node(id).inbox.push_back(Input::Tick);
                    self.work(id);
                }
                Next::Inbox(id) => self.work(id),
                Next::Disk(id) => self.complete_write(id),
                Next::Snapshots(id) => self.complete_snapshot_work(id),
            }
        }
    }

    fn next(&self) -> (Micros, Next) {
        let mut next = (self.queue.peek().map_or(Micros(u64::MAX), |Reverse(first)| first.at), Next::Queue);
        for (position, node) in self.nodes.iter().enumerate() {
            let id = NodeId(position as u16 + 1);
            if node.raft.is_none() {
                continue;
            }
            let happenings = [
                (node.deadline.map(|deadline| node.clocks.when(deadline)), Next::Timer(id)),
                (node.wakes, Next::Inbox(id)),
                (node.disk.due(), Next::Disk(id)),
                (node.disk.snapshots.due(), Next::Snapshots(id)),
            ];
            for (at, what) in happenings {
                if let Some(at) = at.map(|at| at.max(node.paused_until)).filter(|&at| at < next.0) {
                    next = (at, what);
                }
            }
        }
        next
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, message } => {
                if !self.network.passes(from, to) {
                    return;
                }
                let awake = self.node(to).paused_until;
                if awake > self.now {
                    // Its socket keeps the message.
                    self.schedule_at(awake, Event::Deliver { from, to, message });
                } else {
                    self.step(to, Input::Message { from, message });
                }
            }
            Event::Restart(id) => self.start(id),
            Event::Room(id) => {
                let full_until = self.node(id).disk.full_until;
                if full_until <= self.now {
                    self.step(id, Input::Disk(DiskSpace::Free));
                }
            }
            Event::Operation => self.begin_operation(),
            Event::Fault => self.begin_fault(),
            Event::Change => self.begin_change(),
            Event::Desert { leader, other, rest } => self.desert(leader, other, rest),
        }
    }

    pub(super) fn ids(&self) -> Vec<NodeId> {
        (1..=self.nodes.len() as u16).map(NodeId).collect()
    }

    pub(super) fn node(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize - 1]
    }

    /// What a node's clocks show now.
    fn clocks_of(&self, id: NodeId) -> Now {
        self.nodes[id.0 as usize - 1].clocks.now(self.now, self.rules.read.lease_clock)
    }

    pub(super) fn schedule(&mut self, delay_us: u64, event: Event) {
        self.schedule_at(Micros(self.now.0 + delay_us), event);
    }

    fn schedule_at(&mut self, at: Micros, event: Event) {
        self.scheduled += 1;
        self.queue.push(Reverse(Scheduled { at, number: self.scheduled, event }));
    }

    pub(super) fn start(&mut self, id: NodeId) {
        if self.node(id).raft.is_some() {
            return;
        }
        let room = self.node(id).disk.full_until;
        if room > self.now {
            // A start is counted on disk.
            return self.schedule_at(room, Event::Restart(id));
        }
        let (found, snapshot) = match self.node(id).disk.recover() {
            Ok(found) => found,
            Err(reason) => {
                return self.found(Invariant::Recovery, format!("{id} refuses to start: {reason}"));
            }
        };
        if has_a_hole(&found.log) {
            // A real node refuses to start on it.
            return;
        }
        let (snapshot, state) = snapshot.map(|snapshot| (snapshot.meta, snapshot.state)).unzip();
        let store =
            snapshot.as_ref().and_then(|snapshot| Some((snapshot.id, self.stores.get(&snapshot.id)?)));
        let store = store.map(|(id, store)| (id.last.index, store.clone()));
        let state = state.unwrap_or_default();
        let config = Config {
            id,
            members: self.members.initial(id),
            rules: self.rules.clone(),
            hard_state: found.hard_state,
            snapshot,
            log: found.log,
            chunk_bytes: self.report.shape.chunk_bytes,
            commit: found.commit,
            standing: Standing::Voter,
            seed: self.random.random_range(0..u64::MAX),
        };
        let seed = config.seed;
        let now = self.clocks_of(id).monotonic;
        match Raft::new(config, now) {
            Ok(raft) => {
                let rules = self.rules.clone();
                let judged = self.witness.saw_start(id, &state, &raft);
                let node = self.node(id);
                node.host.restart(&rules, seed);
                if let Some((index, store)) = store {
                    node.host.machine.restore(index, store).expect("it has no files");
                }
                node.deadline = raft.deadline();
                node.applied = raft.status().applied;
                node.raft = Some(raft);
                node.state = state;
                self.judge(judged);
            }
            Err(error) => self.found(Invariant::Recovery, format!("{id} does not start: {error}")),
        }
    }

    pub(super) fn crash(&mut self, id: NodeId, crash: Crash) {
        let at_stake = self.node(id).disk.at_stake(crash);
        let kept = self.random.random_range(0..=at_stake);
        let now = self.now;
        let Self { nodes, random, rules, .. } = self;
        let node = &mut nodes[id.0 as usize - 1];
        if node.raft.take().is_none() {
            return;
        }
        node.disk.crash(now, crash, kept);
        node.disk.snapshots.crash(random, rules.snapshot.snapshot_write, crash);
        node.inbox.clear();
        node.wakes = None;
        node.paused_until = Micros(0);
        self.report.crashes += 1;
        self.waiting.retain(|_, (at, _)| *at != id);
    }

    /// Tells a node something. It takes it in at once, or together with what else arrives within a while.
    pub(super) fn step(&mut self, id: NodeId, input: Input) {
        let patience = self.report.shape.batch_us_max;
        let wakes =
            Micros(self.now.0 + if patience == 0 { 0 } else { self.random.random_range(0..=patience) });
        let node = self.node(id);
        if node.raft.is_none() {
            return;
        }
        node.inbox.push_back(input);
        node.wakes.get_or_insert(wakes);
        if patience == 0 {
            self.work(id);
        }
    }

    /// Lets a node take in what it was told, and carries out what follows.
    fn work(&mut self, id: NodeId) {
        let now = self.clocks_of(id);
        let mut inputs = std::mem::take(&mut self.node(id).inbox);
        self.node(id).wakes = None;
        while !inputs.is_empty() && self.report.finding.is_none() {
            let Some(raft) = &mut self.node(id).raft else { return };
            let effects = raft.steps(now, &mut inputs);
            self.report.steps += 1;
            self.carry_out(id, effects);
        }
        if self.tidy {
            self.switch_off_the_gone();
        }
    }

    fn carry_out(&mut self, id: NodeId, mut effects: Effects) {
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
        self.members.saw(&effects.trace);
        if let Some(reason) = effects.halt {
            self.crash(id, Crash::Process);
            return self.found(Invariant::Progress, format!("{id} stops: {reason}"));
        }
        self.apply(id, &effects);
        self.work_on_snapshots(id, std::mem::take(&mut effects.snapshots));
        self.node(id).deadline = effects.deadline;
        let fsync = self.random.random_range(20..=self.report.shape.fsync_us_max);
        let done = Micros(self.now.0 + fsync);
        self.node(id).disk.submit(&mut effects, done);
        self.post(id, effects.send);
    }

    /// Replaces the state of a node by that of a snapshot that it received.
    fn restore(&mut self, id: NodeId, effects: &Effects) {
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

    fn work_on_snapshots(&mut self, id: NodeId, work: Vec<SnapshotWork>) {
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

    fn complete_snapshot_work(&mut self, id: NodeId) {
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

    fn apply(&mut self, id: NodeId, effects: &Effects) {
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
    fn acknowledge_early(&mut self, id: NodeId, early: &[(RequestId, u64)]) {
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

    fn acknowledge(&mut self, id: NodeId, request: RequestId, index: u64, effects: &Effects) {
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

    fn answer_read(&mut self, id: NodeId, request: RequestId, index: u64) {
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

    fn complete_write(&mut self, id: NodeId) {
        let now = self.now;
        match self.node(id).disk.complete(now) {
            None => {}
            Some(Done::Failed) => self.sync_failed(id),
            Some(Done::Written(write, persisted)) => {
                for (term, candidate) in votes(&write.events) {
                    let judged = self.witness.saw_vote(id, term, candidate);
                    self.judge(judged);
                }
                self.post(id, write.messages);
                if let Some(persisted) = persisted {
                    self.step(id, Input::Persisted(persisted));
                }
            }
        }
    }

    fn sync_failed(&mut self, id: NodeId) {
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

    fn fill_disk(&mut self, id: NodeId, millis: u64) {
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

    fn post(&mut self, from: NodeId, messages: Vec<(NodeId, Message)>) {
        for (to, message) in messages {
            if !self.network.passes(from, to) {
                continue;
            }
            for at in arrivals(&mut self.random, &self.report.shape, self.now) {
                self.schedule_at(at, Event::Deliver { from, to, message: message.clone() });
            }
        }
    }

    fn judge(&mut self, judged: Result<(), (Invariant, String)>) {
        if let Err((invariant, detail)) = judged {
            self.found(invariant, detail);
        }
    }

    pub(super) fn found(&mut self, invariant: Invariant, detail: String) {
        let finding = Finding { at: self.now, invariant, detail };
        self.report.finding.get_or_insert(finding);
    }

    /// Nodes that think they lead, deposed ones among them.
    pub(super) fn leaders(&self) -> Vec<NodeId> {
        let leads = |id: &NodeId| {
            self.nodes[id.0 as usize - 1].raft.as_ref().is_some_and(|raft| raft.role() == Role::Leader)
        };
        self.ids().into_iter().filter(leads).collect()
    }

    pub(super) fn any(&mut self, ids: &[NodeId]) -> Option<NodeId> {
        if ids.is_empty() { None } else { Some(ids[self.random.random_range(0..ids.len())]) }
    }

    fn begin_operation(&mut self) {
        let mean = self.report.shape.operation_every_us;
        let pause = self.random.random_range(0..=2 * mean);
        self.schedule(pause, Event::Operation);
        let candidates = if self.random.random_range(0..10) < 9 { self.leaders() } else { self.ids() };
        let Some(id) = self.any(&candidates) else { return };
        let now = self.now;
        if self.node(id).raft.is_none() || self.node(id).paused_until > now {
            return;
        }
        let is_lull = self.lull.is_some_and(|(leader, until)| leader == id && now < until);
        if self.random.random_range(0..2) == 0 && !is_lull { self.write(id) } else { self.read(id) }
    }

    fn write(&mut self, id: NodeId) {
        self.requests += 1;
        let request = RequestId(self.requests);
        let node = &self.nodes[id.0 as usize - 1];
        let (now, clock_ms) = (self.now, node.host.clock_ms(self.now));
        let sent = self.clients.next(&mut self.random, now, clock_ms, request);
        let term = node.raft.as_ref().map_or(0, Raft::term);
        if let Some(known) = sent.session.and_then(|call| node.host.memory.answer(term, call)) {
            let judged = self.clients.answered(&sent, &known);
            return self.judge(judged);
        }
        let command = sent.command.clone();
        self.waiting.insert(request, (id, Waiting::Write(sent)));
        self.step(id, Input::Propose { request, command });
    }

    fn read(&mut self, id: NodeId) {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.waiting.insert(request, (id, Waiting::Read(self.witness.known_to_clients)));
        self.step(id, Input::Read { request, ask: ReadAsk::default() });
    }

    fn begin_fault(&mut self) {
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

    fn transfer(&mut self, leader: NodeId) {
        let ids = self.ids();
        let target = drawn::target(&mut self.random, &ids);
        self.requests += 1;
        let request = RequestId(self.requests);
        self.waiting.insert(request, (leader, Waiting::Order));
        self.step(leader, Input::Order { request, order: Order::Transfer(target) });
    }

    /// A leader loses everybody.
    fn desert(&mut self, leader: NodeId, other: NodeId, rest: Rest) {
        self.separate(&[leader]);
        if let Rest::Restarts(outage) = rest {
            for id in self.ids().into_iter().filter(|&id| id != leader && id != other) {
                self.crash(id, Crash::Process);
                self.schedule(outage * 1_000, Event::Restart(id));
            }
        }
    }

    fn crash_one(&mut self, candidates: &[NodeId], crash: Crash, outage_ms: u64) {
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
    fn separate(&mut self, side: &[NodeId]) {
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

/// Whether writes are missing in the middle.
fn has_a_hole(log: &[Entry]) -> bool {
    log.windows(2).any(|pair| pair[0].index + 1 != pair[1].index)
}

#[derive(Clone, Copy, Debug)]
enum Next {
    Queue,
    Timer(NodeId),
    Inbox(NodeId),
    Disk(NodeId),
    Snapshots(NodeId),
}
