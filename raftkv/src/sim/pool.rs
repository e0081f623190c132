//! A small cluster of which somebody else decides every step, and whose messages are never forgotten.
//!
//! The simulation draws what happens; here a fuzzer chooses. Whatever was sent can be delivered at any later time, any number
//! of times and in any order, across restarts and terms, and every kind of message comes up because the nodes send it
//! themselves. Writes end when the fuzzer says so, and a crash keeps as much of them as it says.
//! Invariant: every message is one that an honest node sent to its addressee, so with honest rules all of
//! [`super::invariants`] has to hold; that is judged after every step, and a finding is a panic.
//! What it lacks: the state machine, clients and their reads' answers, and clocks that differ. The simulation has those.

use super::disk::{Crash, Disk, Done, votes};
use super::invariants::{Invariant, Witness};
use super::snapshot::{Outcome, State};
use crate::raft::control::Order;
use crate::raft::io::{Effects, Input, Micros, NodeId, ReadAsk, RequestId};
use crate::raft::message::Message;
use crate::raft::quorum::Configuration;
use crate::raft::recovery::Standing;
use crate::raft::rules::Rules;
use crate::raft::trace::EntryMark;
use crate::raft::{Config, Raft};

/// So many messages are kept; the oldest go first.
const MESSAGES_MAX: usize = 2_000;

/// What happens next.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// The message so far back, counted from the latest, arrives; it stays in the pool.
    Deliver(usize),
    /// So many milliseconds pass, and a node looks at its timers.
    Pass(NodeId, u64),
    /// A client writes this byte.
    Write(NodeId, u8),
    /// A client reads.
    Read(NodeId),
    /// An operator orders something.
    Order(NodeId, Order),
    /// The next write of a node's log ends.
    Sync(NodeId),
    /// The next work on a node's snapshots ends.
    Snapshot(NodeId),
    /// A node ends and starts again; so many of the writes at stake are kept.
    Restart(NodeId, Crash, usize),
}

struct Member {
    raft: Raft,
    disk: Disk,
    state: State,
}

/// The cluster.
pub(crate) struct Pool {
    rules: Rules,
    first: Configuration,
    now: Micros,
    nodes: Vec<Member>,
    sent: Vec<(NodeId, NodeId, Message)>,
    witness: Witness,
    requests: u64,
}

impl Pool {
    /// A cluster of so many members and one node more, which knows of none.
    pub(crate) fn new(rules: &Rules, members: u16) -> Option<Self> {
        let first = Configuration::new((1..=members).map(NodeId).collect());
        let mut pool = Self {
            rules: rules.clone(),
            first,
            now: Micros(1_000),
            nodes: Vec::new(),
            sent: Vec::new(),
            witness: Witness::default(),
            requests: 0,
        };
        for id in (1..=members + 1).map(NodeId) {
            let disk = Disk::default();
            let (raft, state) = pool.boot(id, &disk)?;
            judge(pool.witness.saw_start(id, &state, &raft));
            pool.nodes.push(Member { raft, disk, state });
        }
        Some(pool)
    }

    /// How many nodes there are.
    pub(crate) fn nodes(&self) -> u16 {
        self.nodes.len() as u16
    }

    fn boot(&self, id: NodeId, disk: &Disk) -> Option<(Raft, State)> {
        let (found, snapshot) =
            disk.recover().unwrap_or_else(|reason| panic!("{id} refuses to start: {reason}"));
        let (snapshot, state) = snapshot.map(|snapshot| (snapshot.meta, snapshot.state)).unzip();
        let members = if self.first.contains(id) { self.first.clone() } else { Configuration::default() };
        let config = Config {
            id,
            members,
            rules: self.rules.clone(),
            hard_state: found.hard_state,
            snapshot,
            log: found.log,
            chunk_bytes: 96,
            commit: found.commit,
            standing: Standing::Voter,
            seed: self.now.0 + u64::from(id.0),
        };
        Raft::new(config, self.now).ok().map(|raft| (raft, state.unwrap_or_default()))
    }

    fn node(&mut self, id: NodeId) -> &mut Member {
        let place = usize::from(id.0).saturating_sub(1) % self.nodes.len();
        &mut self.nodes[place]
    }

    /// Does what was chosen.
    pub(crate) fn act(&mut self, act: Act) {
        self.requests += 1;
        let request = RequestId(self.requests);
        match act {
            Act::Deliver(back) => {
                if let Some(place) = self.sent.len().checked_sub(1 + back) {
                    let (from, to, message) = self.sent[place].clone();
                    self.step(to, Input::Message { from, message });
                }
            }
            Act::Pass(id, millis) => {
                self.now = self.now.plus_millis(millis);
                self.step(id, Input::Tick);
            }
            Act::Write(id, byte) => self.step(id, Input::Propose { request, command: vec![byte; 3] }),
            Act::Read(id) => self.step(id, Input::Read { request, ask: ReadAsk::default() }),
            Act::Order(id, order) => self.step(id, Input::Order { request, order }),
            Act::Sync(id) => self.sync(id),
            Act::Snapshot(id) => {
                let write = self.rules.snapshot.snapshot_write;
                match self.node(id).disk.snapshots.complete(write) {
                    Some(Outcome::Report(report)) => self.step(id, Input::Snapshot(report)),
                    Some(Outcome::Send(to, message)) => self.post(id, vec![(to, message)]),
                    None => {}
                }
            }
            Act::Restart(id, crash, kept) => self.restart(id, crash, kept),
        }
    }

    fn sync(&mut self, id: NodeId) {
        let now = self.now;
        if let Some(Done::Written(write, persisted)) = self.node(id).disk.complete(now) {
            for (term, candidate) in votes(&write.events) {
                judge(self.witness.saw_vote(id, term, candidate));
            }
            self.post(id, write.messages);
            if let Some(persisted) = persisted {
                self.step(id, Input::Persisted(persisted));
            }
        }
    }

    fn restart(&mut self, id: NodeId, crash: Crash, kept: usize) {
        let now = self.now;
        let node = self.node(id);
        let at_stake = node.disk.at_stake(crash);
        node.disk.crash(now, crash, kept % (at_stake + 1));
        node.disk.snapshots.lose_work();
        let disk = std::mem::take(&mut node.disk);
        let (raft, state) = self.boot(id, &disk).expect("what an honest node wrote starts again");
        judge(self.witness.saw_start(id, &state, &raft));
        *self.node(id) = Member { raft, disk, state };
    }

    fn step(&mut self, id: NodeId, input: Input) {
        let now = self.now;
        let effects = self.node(id).raft.step(now, input);
        self.carry_out(id, effects);
    }

    fn carry_out(&mut self, id: NodeId, mut effects: Effects) {
        if let Some(restored) = effects.restore {
            let node = self.node(id);
            let snapshot = node.disk.snapshots.take_loaded(restored);
            node.state = snapshot.expect("a node installs only what it has received").state;
        }
        assert_eq!(effects.halt, None, "{id} stops");
        let place = usize::from(id.0) - 1;
        let Member { raft, state, .. } = &self.nodes[place];
        judge(self.witness.saw_step(id, raft, &effects.trace, &effects.apply, state));
        let now = self.now;
        let node = self.node(id);
        let mut states = Vec::new();
        for entry in &effects.apply {
            assert_eq!(entry.index, node.state.len() as u64 + 1, "{id} applies in order");
            node.state.push(EntryMark::from(entry));
            let hash =
                node.state.iter().fold(7, |hash: u64, mark| hash.wrapping_mul(31).wrapping_add(mark.2));
            states.push((entry.index, hash));
        }
        node.raft.note_states(&states);
        for work in std::mem::take(&mut effects.snapshots) {
            let Member { disk, state, .. } = &mut *node;
            disk.snapshots.submit(work, state, now);
        }
        node.disk.submit(&mut effects, now);
        self.post(id, effects.send);
    }

    fn post(&mut self, from: NodeId, messages: Vec<(NodeId, Message)>) {
        let known = self.nodes.len() as u16;
        let real = messages.into_iter().filter(|(to, _)| (1..=known).contains(&to.0));
        self.sent.extend(real.map(|(to, message)| (from, to, message)));
        let surplus = self.sent.len().saturating_sub(MESSAGES_MAX);
        self.sent.drain(..surplus);
    }
}

fn judge(judged: Result<(), (Invariant, String)>) {
    if let Err((invariant, detail)) = judged {
        panic!("{invariant:?}: {detail}");
    }
}
