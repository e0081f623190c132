//! The loop of a run: what happens next in virtual time, and what every step led to.
//!
//! Invariant: everything random comes from one generator in a fixed order, so a seed fixes the run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::clients::{Clients, Host, Sent};
use super::clock::Clocks;
use super::disk::{Crash, Disk};
use super::drawn;
use super::invariants::{Finding, Invariant, Witness};
use super::membership::Members;
use super::nemesis::Rest;
use super::network::Network;
use super::overlap::Latest;
use super::snapshot::State;
use super::storms::{Storm, Strike, Weather};
use super::{Demand, Report, Shape};
use crate::raft::io::{DiskSpace, Input, Micros, NodeId, Now, ReadAsk, RequestId};
use crate::raft::log::Entry;
use crate::raft::message::Message;
use crate::raft::recovery::Standing;
use crate::raft::rules::{Count, Rules};
use crate::raft::snapshot::SnapshotId;
use crate::raft::trace::Role;
use crate::raft::{Config, Raft};
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
    Strike(Strike),
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
    pub(super) weather: Weather,
    pub(super) latest: Latest,
    /// Once in a run: until then nobody writes at this leader that some node no longer hears, and nothing else goes wrong. Else
    /// that node's log is soon too old for it to be elected, and the leader is safe by accident.
    pub(super) lull: Option<(NodeId, Micros)>,
    /// Nodes that are no members any more are switched off.
    pub(super) tidy: bool,
    pub(super) report: Report,
}

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
        storm: Storm::None,
        slow_disk: None,
        echo_us_max: 0,
        overtaken_us_max: 0,
        votes_us_max: 0,
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
        let weather = Weather::draw(seed, &mut shape);
        drawn::prefer_leases(weather.storm, &rules, &mut shape.rules);
        drawn::prefer_one_at_a_time(weather.storm, &mut shape);
        let members = Members::draw(seed, shape.nodes, weather.storm, &mut rules);
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
            weather,
            latest: Latest::default(),
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

    pub(super) fn happen(&mut self, event: Event) {
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
            Event::Strike(strike) => self.carry_out_strike(strike),
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
    pub(super) fn clocks_of(&self, id: NodeId) -> Now {
        self.nodes[id.0 as usize - 1].clocks.now(self.now, self.rules.read.lease_clock)
    }

    pub(super) fn schedule(&mut self, delay_us: u64, event: Event) {
        self.schedule_at(Micros(self.now.0 + delay_us), event);
    }

    pub(super) fn schedule_at(&mut self, at: Micros, event: Event) {
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
                self.latest.saw(id, &raft);
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
        node.clocks.wake(now);
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
    pub(super) fn work(&mut self, id: NodeId) {
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

    pub(super) fn judge(&mut self, judged: Result<(), (Invariant, String)>) {
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

    pub(super) fn begin_operation(&mut self) {
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

    pub(super) fn write(&mut self, id: NodeId) {
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

    pub(super) fn read(&mut self, id: NodeId) {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.waiting.insert(request, (id, Waiting::Read(self.witness.known_to_clients)));
        self.step(id, Input::Read { request, ask: ReadAsk::default() });
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
