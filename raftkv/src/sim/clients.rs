//! Clients with sessions, and the real state machine of each node with a clock of its own.
//!
//! Each client counts with a counter that nobody else touches: its command number `k` must be answered with `k`, however
//! often it was sent, to whichever node. Other writes set keys, some of which end by themselves, so that the states of the
//! nodes depend on everything that could make them differ.
//! Invariant: what a node applies is judged by `invariants`; here only the answers are.

use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::invariants::Invariant;
use crate::machine::Machine;
use crate::raft::io::{Micros, NodeId, RequestId};
use crate::raft::log::{Entry, Payload};
use crate::raft::rules::Rules;
use crate::sessions::{LeaderMemory, SessionCall};
use crate::store::{Command, Local, Proposal, Reply};

/// How many clients count.
const CLIENTS: usize = 6;
/// A client sends its command again after so long.
const PATIENCE_MS: u64 = 120;
/// How far the nodes' clocks are apart at most.
const CLOCKS_APART_MS: u64 = 3_000;

/// The state machine of a node and what else its driver keeps.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) machine: Machine,
    pub(super) memory: LeaderMemory,
    local: Local,
    ahead_ms: u64,
}

impl Host {
    pub(super) fn new(node: NodeId, rules: &Rules, random: &mut ChaCha8Rng) -> Self {
        Self {
            machine: Machine::new(rules),
            memory: LeaderMemory::default(),
            local: Local { clock_ms: 0, seed: random.random_range(0..u64::MAX), node: node.0 },
            ahead_ms: random.random_range(0..CLOCKS_APART_MS),
        }
    }

    /// The process starts again with nothing.
    pub(super) fn restart(&mut self, rules: &Rules, seed: u64) {
        self.machine = Machine::new(rules);
        self.memory = LeaderMemory::default();
        self.local.seed = seed;
    }

    /// The clock of this host.
    pub(super) fn clock_ms(&self, now: Micros) -> u64 {
        1_000_000 + now.0 / 1_000 + self.ahead_ms
    }

    pub(super) fn apply(&mut self, now: Micros, entries: &[Entry], commit: u64) -> Result<(), String> {
        self.local.clock_ms = self.clock_ms(now);
        self.machine.observe(self.local);
        self.machine.apply(entries, commit)
    }
}

/// A command that was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) command: Vec<u8>,
    pub(super) session: Option<SessionCall>,
    /// Answered before it was committed.
    pub(super) early: bool,
    blind: bool,
}

#[derive(Clone, Debug, Default)]
struct Client {
    session: u64,
    sequence: u64,
    answered: bool,
    sent: Micros,
}

/// All clients.
#[derive(Debug)]
pub(super) struct Clients {
    all: Vec<Client>,
    sessions: u64,
}

impl Clients {
    pub(super) fn new() -> Self {
        let client = |session| Client { session, answered: true, ..Client::default() };
        Self { all: (1..=CLIENTS as u64).map(client).collect(), sessions: CLIENTS as u64 }
    }

    /// What a client sends to a node whose clock shows `clock_ms`.
    pub(super) fn next(
        &mut self,
        random: &mut ChaCha8Rng,
        now: Micros,
        clock_ms: u64,
        request: RequestId,
    ) -> Sent {
        let turn = random.random_range(0..3 * CLIENTS);
        let client = self
            .all
            .get_mut(turn)
            .filter(|client| client.answered || now.millis_since(client.sent) >= PATIENCE_MS);
        let (session, command) = match client {
            Some(client) => {
                client.sequence += u64::from(client.answered);
                (client.answered, client.sent) = (false, now);
                let call = SessionCall { client: client.session, sequence: client.sequence };
                (Some(call), Command::Increment(format!("c{}", client.session), 1))
            }
            None => {
                let (key, value) = (format!("k{}", turn % 4), Arc::from(request.0.to_string()));
                let ends = random.random_range(0..4) == 0;
                (None, if ends { Command::PutFor(key, value, 40) } else { Command::Put(key, value) })
            }
        };
        let blind = command.is_blind();
        let command = Proposal { stamp_ms: clock_ms, session, command }.encode();
        Sent { command, session, early: false, blind }
    }

    /// Takes the answer to a command.
    pub(super) fn answered(&mut self, sent: &Sent, reply: &Reply) -> Result<(), (Invariant, String)> {
        let Some(call) = sent.session else { return Ok(()) };
        match reply {
            Reply::Number(number) if *number == call.sequence as i64 => {}
            Reply::StaleSequence { .. } | Reply::SessionExpired => {}
            other => {
                let detail = format!(
                    "command {} of session {} has the result {other:?}: it did not take effect exactly once",
                    call.sequence, call.client
                );
                return Err((Invariant::ExactlyOnce, detail));
            }
        }
        self.sessions += 1;
        let fresh = self.sessions;
        let open = |client: &&mut Client| (client.session, client.sequence) == (call.client, call.sequence);
        if let Some(client) = self.all.iter_mut().find(open) {
            client.answered = true;
            if *reply == Reply::SessionExpired {
                *client = Client { session: fresh, answered: true, ..Client::default() };
            }
        }
        Ok(())
    }
}

impl Sent {
    /// Whether this is what an entry carries.
    pub(super) fn is_in(&self, entry: &Entry) -> bool {
        matches!(&entry.payload, Payload::Command(command) if command.as_bytes() == self.command)
    }

    /// Whether it can be answered before it is applied.
    pub(super) fn is_blind(&self) -> bool {
        self.blind
    }
}
