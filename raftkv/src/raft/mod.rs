//! A Raft node without IO, clock or randomness of its own.
//!
//! To learn Raft from it, read `io` (what goes in and comes out) and `message` first, then down to `finish` in this file: one
//! step is a batch of inputs, and what follows from them. Then follow a term: `election`, `replication` with `progress`,
//! `follower`, `commit`, `durability`, `recovery`; that is figure 2 of the paper, and `log` is what all of them speak
//! about. After that each file stands for itself, in the order of this table. Where a law can be switched off, a comment says
//! "the honest law" beside the one place that consults its rule.
//!
//! | law | file |
//! |---|---|
//! | terms, votes, timeouts, who becomes a leader and who is taken for one | `election` |
//! | the role after a start, who leads if it can, handing over | `start`, `priority`, `transfer` |
//! | the entries, and where two logs agree | `log` |
//! | what a leader sends and what its followers keep | `replication`, `progress`, `follower` |
//! | what is committed and applied | `commit` |
//! | linearizable reads, at other nodes, and by leases | `reads`, `follower_reads`, `lease` |
//! | whether replicas still have the same state | `agreement` |
//! | snapshots, and what of the log may go | `snapshot`, `install` |
//! | who counts, and which configuration is in force | `quorum`, `membership` |
//! | how the members change | `change` |
//! | voters without a state machine | `witness` |
//! | what an operator may order | `control` |
//! | what must be on disk before something may be said | `durability` |
//! | what a restarted node makes of what it found | `recovery` |
//! | what a node does while its disk is full or slow | `disk` |
//! | what is told of it all, for the checks and for people | `trace`, `status` |
//! | which laws can be switched off, and how that is written | `rules`, `switch` |
//!
//! Invariant: [`Raft::steps`] is a function of the node's state, the time and the inputs. A node never panics
//! over what others say, nor over what weakened rules let happen: an impossible state is a finding of the
//! experiment, not a crash.
//! Deliberately without knowledge of clients, keys, sessions and files.
//! References: Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm (Extended
//! Version)", 2014 ("the paper"); Ongaro, "Consensus: Bridging Theory and Practice", 2014 ("the thesis").

use std::collections::VecDeque;

pub mod control;
pub mod io;
pub mod log;
pub mod message;
pub mod quorum;
pub mod recovery;
pub mod rules;
pub mod snapshot;
pub mod status;
pub mod switch;
pub mod trace;

mod agreement;
mod change;
mod commit;
mod disk;
mod durability;
mod election;
mod follower;
mod follower_reads;
mod install;
mod lease;
mod membership;
mod priority;
mod progress;
mod reads;
mod replication;
mod start;
mod transfer;
mod witness;

use agreement::Agreement;
use control::Order;
use durability::Durability;
use election::{OwnVote, Patience, Tally, Timer};
use follower_reads::FollowerReads;
use io::{DiskSpace, Effects, HardState, Input, Micros, NodeId, Now};
use lease::Leases;
use log::{Entry, Fit, Log, Position};
use membership::Configurations;
use message::{Message, Occasion};
use priority::Courtesy;
use quorum::Configuration;
use recovery::Standing;
use replication::Leading;
use rules::{Rules, StartRole};
use snapshot::{SnapshotMeta, Snapshots};
use trace::{Boot, Detail, EntryMark, Event, EventKind, Role};
use transfer::Transfers;

/// What a node starts with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who it is; must be one of `members`, unless they are unknown.
    pub id: NodeId,
    /// The configuration that the cluster began with; later ones are in the log. Empty for a node that learns
    /// everything from a leader: it never starts an election before.
    pub members: Configuration,
    /// The rules that it follows.
    pub rules: Rules,
    /// The recovered term and vote.
    pub hard_state: HardState,
    /// The snapshot that the state machine was recovered from.
    pub snapshot: Option<SnapshotMeta>,
    /// The recovered log. No entry may be missing between the snapshot and it.
    pub log: Vec<Entry>,
    /// The recovered commit index, 0 if none was kept.
    pub commit: u64,
    /// Whether it remembers what it promised.
    pub standing: Standing,
    /// How many bytes of a snapshot go into one message.
    pub chunk_bytes: usize,
    /// Where its random timeouts start. Nodes of one cluster need different ones.
    pub seed: u64,
}

/// One node.
#[derive(Clone, Debug)]
pub struct Raft {
    id: NodeId,
    configurations: Configurations,
    rules: Rules,

    term: u64,
    voted_for: Option<NodeId>,
    log: Log,
    durability: Durability,
    disk_space: DiskSpace,
    /// The term that it started with, and whether it may vote at all.
    recovered_term: u64,
    standing: Standing,

    role: Role,
    leader: Option<NodeId>,
    /// Who led when one was last known, in whatever term.
    last_leader: Option<NodeId>,
    agreement: Agreement,
    commit: u64,
    applied: u64,
    /// The last entry that the state machine was handed. A witness hands it none, and so falls behind `applied`.
    handed_out: u64,
    snapshots: Snapshots,
    chunk_bytes: usize,

    patience: Patience,
    random: Random,
    election_due: Micros,
    leader_heard: Option<Micros>,
    leases: Leases,
    follower_reads: FollowerReads,
    tally: Tally,
    own_vote: OwnVote,
    /// The role to take up with the first input.
    starts_as: Option<StartRole>,
    courtesy: Courtesy,
    transfers: Transfers,
    leading: Option<Leading>,
    /// The last entry that a witness has acknowledged and forgotten.
    promised: u64,

    detail: Detail,
    out: Effects,
}

impl Raft {
    /// A node that starts at `now` with what it recovered. Its commit index is learned again:
    /// figure 2 of the paper counts it among the volatile state. What a snapshot holds is committed.
    pub fn new(config: Config, now: Micros) -> Result<Self, String> {
        let configuration = config.members;
        if !configuration.contains(config.id) && !configuration.is_empty() {
            return Err(format!("{} is not one of the members {:?}", config.id, configuration.voters()));
        }
        config.rules.validate().map_err(|error| error.to_string())?;
        let last = config.snapshot.as_ref().map_or(Position::default(), |snapshot| snapshot.id.last);
        let (log, fit) = Log::recovered(last, config.log)?;
        let recorded = config.snapshot.as_ref().and_then(|snapshot| snapshot.configuration.clone());
        let (since, configuration) = recorded.unwrap_or((0, configuration));
        let hard_state = recovery::recovered_hard_state(&config.rules, config.hard_state, &log);
        let commit = recovery::recovered_commit(&config.rules, config.commit, &log)?;
        let mut durability = Durability::recovered(config.hard_state, log.last_index());
        if fit == Fit::Voided {
            durability.reset(log.base());
        }
        let mut patience = Patience::of(&config.rules);
        let mut random = Random(config.seed);
        let election_due = now.plus_millis(patience.draw(&mut random));
        let mut this = Self {
            id: config.id,
            configurations: Configurations::recovered(
                since,
                configuration,
                log.range(last.index + 1, u64::MAX),
            ),
            rules: config.rules,
            term: hard_state.term,
            voted_for: hard_state.voted_for,
            durability,
            disk_space: DiskSpace::Free,
            recovered_term: hard_state.term,
            standing: config.standing,
            log,
            role: Role::Follower,
            leader: None,
            last_leader: None,
            agreement: Agreement::default(),
            commit: last.index,
            applied: last.index,
            handed_out: last.index,
            snapshots: Snapshots::recovered(config.snapshot),
            chunk_bytes: config.chunk_bytes.max(1),
            patience,
            random,
            election_due,
            leader_heard: None,
            leases: Leases::default(),
            follower_reads: FollowerReads::new(config.seed),
            tally: Tally::default(),
            own_vote: OwnVote::None,
            starts_as: None,
            courtesy: Courtesy::new(now),
            transfers: Transfers::default(),
            leading: None,
            promised: 0,
            detail: Detail::default(),
            out: Effects::default(),
        };
        this.starts_as = this.unusual_start();
        this.shorten_first_wait(now);
        this.promise_at_start(now);
        this.raise_commit(commit, None);
        match this.impossible_quorum(this.configurations.at(0).1) {
            Some(reason) => Err(reason),
            None => Ok(this),
        }
    }

    /// Names entries in the trace, or not.
    pub fn trace_in(&mut self, detail: Detail) {
        self.detail = detail;
    }

    /// The trace line for this start, the `boot`th of its data directory; to be written before anything else.
    pub fn boot_event(&self, boot: u64) -> Event {
        let boot = Boot {
            boot,
            voted_for: self.voted_for,
            last_index: self.log.last_index(),
            last_term: self.log.last_term(),
            snapshot_index: self.snapshots.index(),
            members: self.configuration().voters().to_vec(),
            outgoing: self.configuration().outgoing().to_vec(),
            rules: self.rules.clone(),
        };
        Event { term: self.term, kind: EventKind::Boot(Box::new(boot)) }
    }

    /// When the next [`Input::Tick`] is due at the latest.
    pub fn deadline(&self) -> Option<Micros> {
        if self.starts_as.is_some() {
            return Some(Micros(0));
        }
        let reads = [self.reads_due(), self.follower_reads_due(), self.question_due()];
        [self.role_deadline(), self.transfers.due()].into_iter().chain(reads).flatten().min()
    }

    /// When a leader's next heartbeat is due, or another's patience ends.
    fn role_deadline(&self) -> Option<Micros> {
        match (&self.leading, self.patience.timer) {
            (Some(leading), _) => Some(leading.heartbeat_due),
            (None, Timer::Armed) => Some(self.election_due),
            (None, Timer::Manual) => None,
        }
    }

    /// Takes one input.
    pub fn step(&mut self, now: impl Into<Now>, input: Input) -> Effects {
        self.steps(now, &mut VecDeque::from([input]))
    }

    /// Takes inputs from the front for as long as they may share one write to the disk, at least one; to be
    /// called again until none are left. Many proposals in one call cost one message per peer.
    pub fn steps(&mut self, now: impl Into<Now>, inputs: &mut VecDeque<Input>) -> Effects {
        let Now { monotonic: now, lease } = now.into();
        self.leases.clock = lease;
        self.take_up_role(now);
        while let Some(input) = inputs.pop_front() {
            self.take(now, input);
            if inputs.front().is_some_and(|next| self.must_not_join(next)) {
                break;
            }
        }
        self.run_timers(now);
        self.answer_about_state();
        self.finish(now)
    }

    /// An acknowledgement promises that its entries reach the disk. The leader of a new term may remove them again, so
    /// whatever may begin one does not share their write.
    fn must_not_join(&self, next: &Input) -> bool {
        let may_begin_a_term = match next {
            Input::Message { message: Message::TimeoutNow(_), .. } => true,
            Input::Message { message, .. } => message.term() > self.term,
            Input::Order { order, .. } => *order == Order::Campaign,
            _ => false,
        };
        may_begin_a_term && !self.out.send_durable.is_empty()
    }

    fn take(&mut self, now: Micros, input: Input) {
        match input {
            Input::Tick => {}
            Input::Message { from, message } => self.receive(now, from, message),
            Input::Propose { request, command } => self.propose(request, command),
            Input::Read { request, ask } => self.read(now, request, ask),
            Input::Snapshot(report) => self.snapshot_report(now, report),
            Input::Persisted(id) => {
                self.durability.persisted(id);
                self.count_own_vote(now);
            }
            Input::Disk(space) => self.disk_space(now, space),
            Input::Order { request, order } => self.order(now, request, order),
        }
    }

    fn receive(&mut self, now: Micros, from: NodeId, message: Message) {
        if from == self.id {
            return;
        }
        match message {
            Message::RequestPreVote(request) => self.on_pre_vote_request(now, from, &request),
            Message::RequestVote(request) => self.on_vote_request(now, from, &request),
            Message::VoteReply(reply) => self.on_vote_reply(now, from, &reply),
            Message::AppendEntries(append) => self.on_append_entries(now, from, &append),
            Message::AppendReply(reply) => self.on_append_reply(now, from, &reply),
            Message::Heartbeat(heartbeat) => self.on_heartbeat(now, from, &heartbeat),
            Message::HeartbeatReply(reply) => self.on_heartbeat_reply(now, from, &reply),
            Message::TimeoutNow(message) => self.on_timeout_now(now, &message),
            Message::StateHash(question) => self.on_state_hash(now, from, &question),
            Message::StateHashReply(reply) => self.on_state_hash_reply(now, from, &reply),
            Message::InstallSnapshot(part) => self.on_install_snapshot(now, from, part),
            Message::InstallReply(reply) => self.on_install_reply(now, from, &reply),
            Message::ReadIndex(question) => self.on_read_index(now, from, &question),
            Message::ReadIndexReply(reply) => self.on_read_index_reply(now, &reply),
        }
    }

    fn run_timers(&mut self, now: Micros) {
        self.give_up_late_transfer(now);
        self.give_up_late_reads(now);
        self.give_up_unconfirmed_reads(now);
        if self.role_deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        if self.role == Role::Leader {
            self.keep_leading(now);
        } else if self.gives_way() {
            self.wait_again(now);
        } else {
            self.campaign(now, Occasion::Timeout);
        }
    }

    /// Draws the conclusions from what was taken in, and hands out what has to be done.
    fn finish(&mut self, now: Micros) -> Effects {
        self.commit_what_a_quorum_has();
        self.hand_out_committed();
        self.continue_changes(now);
        self.feed_members(now);
        self.send_appends(now);
        self.hand_over_as_witness(now);
        self.advance_transfer();
        self.step_down_if_removed(now);
        self.advance_follower_reads(now);
        self.answer_reads();
        if self.out.halt.is_some() {
            let Effects { halt, trace, .. } = std::mem::take(&mut self.out);
            return Effects { halt, trace, ..Effects::default() };
        }
        self.take_snapshot_if_due();
        let persist = self.durability.take(now, self.wanted_on_disk(), &self.log);
        if let Some(persist) = &persist {
            self.announce(persist);
        }
        self.compact_early();
        let deadline = self.deadline();
        Effects { persist, deadline, ..std::mem::take(&mut self.out) }
    }

    fn trace(&mut self, kind: EventKind) {
        self.out.trace.push(Event { term: self.term, kind });
    }

    /// One event that names entries.
    fn trace_entries(&mut self, kind: fn(Vec<EntryMark>) -> EventKind, entries: &[Entry]) {
        if self.detail == Detail::Everything {
            self.trace(kind(entries.iter().map(EntryMark::from).collect()));
        }
    }

    fn trace_durable(&mut self, kind: EventKind) {
        self.out.trace_durable.push(Event { term: self.term, kind });
    }

    fn send(&mut self, to: NodeId, message: Message) {
        self.out.send.push((to, message));
    }
}

/// The generator splitmix64 (Steele, Lea and Flood, 2014): enough to spread timeouts, and the same
/// everywhere.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    /// A number in `min..=max`, with a bias that does not matter for ranges of milliseconds.
    fn between(&mut self, min: u64, max: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        min + z % (max - min + 1)
    }
}

#[cfg(test)]
mod tests;
