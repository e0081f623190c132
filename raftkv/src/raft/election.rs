//! Terms, votes and leaders.
//!
//! Invariant (election safety): at most one node leads in a term, because a node votes once per term, says so
//! only when the disk knows it, and a leader needs a majority. Second invariant (half of leader
//! completeness): a voter prefers its own log, so a majority elects only who has every committed entry.
//! Deliberately without the reasons to stand: a timeout, an order, a handover (`transfer`), a start (`start`).
//! References: sections 5.1, 5.2 and 5.4.1 of the paper; sections 4.2.3, 6.2 and 9.6 of the thesis for stickiness,
//! the check of the quorum and the hint at the leader, and pre-vote.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::io::{Micros, NodeId, PersistId, Refusal};
use super::log::{Payload, Position};
use super::message::{Ballot, Message, Occasion, VoteReply, VoteRequest};
use super::replication::{Leading, OpenKind};
use super::rules::{
    ElectionTimer, LeaderHint, Millis, MillisRange, PreVote, Rules, Toggle, UncommittedOnElection,
    VoteCompare, VoteSelf, Votes,
};
use super::trace::{EventKind, Role, Vote};
use super::{Raft, Random};

/// Whether elections start by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// When a follower's patience ends.
    Armed,
    /// Only by order.
    Manual,
}

/// How long a follower waits for its leader before it asks for votes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From which it is drawn.
    pub(super) range: MillisRange,
    /// What happens at its end.
    pub(super) timer: Timer,
    drawn: u64,
}

impl Patience {
    /// Timeouts are drawn at random so that split votes are rare and resolve (section 5.2 of the paper), from
    /// a range far above the time of a broadcast (section 5.6).
    pub(super) fn of(rules: &Rules) -> Self {
        let range = rules.vote.election_timeout;
        let (range, timer) = match rules.vote.election_timer {
            ElectionTimer::Random => (range, Timer::Armed),
            ElectionTimer::RandomIn(own) => (own, Timer::Armed),
            ElectionTimer::Fixed(Millis(fixed)) => (MillisRange { min: fixed, max: fixed }, Timer::Armed),
            ElectionTimer::Manual => (range, Timer::Manual),
        };
        Self { range, timer, drawn: range.max }
    }

    /// Whether it ends at a random time, as nodes do on their own.
    pub(super) fn is_random(&self) -> bool {
        self.timer == Timer::Armed && self.range.min < self.range.max
    }

    /// A new timeout, kept until the next draw.
    pub(super) fn draw(&mut self, random: &mut Random) -> u64 {
        self.drawn = random.between(self.range.min, self.range.max);
        self.drawn
    }
}

/// The votes of one election or rehearsal.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// How often each voter granted.
    voters: BTreeMap<NodeId, usize>,
}

impl Tally {
    fn add(&mut self, voter: NodeId) {
        *self.voters.entry(voter).or_default() += 1;
    }
}

/// Where a candidate's vote for itself is. It counts like any other: once it is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnVote {
    /// There is none, or it has been counted.
    None,
    /// It is part of the next write.
    Cast,
    /// It is part of this write.
    Issued(PersistId),
}

impl OwnVote {
    /// The next write was handed out.
    pub(super) fn issued(&mut self, id: PersistId) {
        if *self == OwnVote::Cast {
            *self = OwnVote::Issued(id);
        }
    }
}

/// Whether a message may still be acted upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is of the present term.
    Current,
    /// Its term is over.
    Stale,
}

/// Terms.
impl Raft {
    /// Whether a request may be served. A newer term is adopted first: "if RPC request or response contains
    /// term T > currentTerm: set currentTerm = T, convert to follower" (figure 2 of the paper, rules for all
    /// servers).
    pub(super) fn admit_request(&mut self, now: Micros, term: u64) -> Admission {
        if term > self.term {
            self.become_follower(now, term);
        }
        // The honest law: "reply false if term < currentTerm" (figure 2, receivers of both RPCs), so that a
        // deposed leader or candidate changes nothing any more.
        if term < self.term && self.rules.vote.term_check { Admission::Stale } else { Admission::Current }
    }

    /// Whether a reply counts. A newer term is adopted first, as above.
    pub(super) fn admit_reply(&mut self, now: Micros, term: u64) -> Admission {
        if term > self.term {
            self.become_follower(now, term);
        }
        // The honest law: a reply speaks about the term that it carries. "if a server receives a request with
        // a stale term number, it rejects the request" (section 5.1) holds for replies too, since networks
        // delay.
        if term < self.term && self.rules.vote.reply_term_check {
            Admission::Stale
        } else {
            Admission::Current
        }
    }
}

/// Elections.
impl Raft {
    /// The node's patience has ended, or it was told to: it tries to become leader.
    pub(super) fn campaign(&mut self, now: Micros, occasion: Occasion) {
        if self.role == Role::Leader {
            return;
        }
        // To stand is to vote for oneself; a leader that asks for it has released this node.
        if self.may_campaign().is_err() || (occasion == Occasion::Timeout && self.is_bound(now)) {
            self.wait_again(now);
            return;
        }
        self.leader = None;
        self.leader_heard = None;
        self.wait_again(now);
        if self.may_not_lead(now) {
            return;
        }
        match (occasion, self.pre_vote()) {
            // The leader asked for it, so nobody is disturbed.
            (Occasion::Transfer, _) | (Occasion::Timeout, PreVote::Off) => self.start_election(now, occasion),
            (Occasion::Timeout, PreVote::LogOnly | PreVote::Full | PreVote::StrictGt) => {
                self.start_rehearsal(now);
            }
        }
    }

    /// Gives others a whole new election timeout.
    pub(super) fn wait_again(&mut self, now: Micros) {
        self.election_due = now.plus_millis(self.patience.draw(&mut self.random));
    }

    /// The honest law: a node raises its term only after a majority has said that it could win, and a member
    /// says so only if it has not heard of a leader lately (thesis, section 9.6). Candidate and voter both
    /// ask here.
    pub(super) fn pre_vote(&self) -> PreVote {
        self.rules.vote.pre_vote
    }

    fn start_rehearsal(&mut self, now: Micros) {
        let Some(term) = self.term.checked_add(1) else { return };
        self.change_role(Role::PreCandidate);
        self.tally = Tally::default();
        let request = self.vote_request(term, Occasion::Timeout);
        for peer in self.peers() {
            self.send(peer, Message::RequestPreVote(request.clone()));
        }
        // It binds nobody, so nothing has to be recorded first.
        if self.vote_self() != VoteSelf::NoCount {
            self.count_vote(now, self.id);
        }
    }

    fn start_election(&mut self, now: Micros, occasion: Occasion) {
        // Terms end here. To wrap around would let a later leader have a smaller term.
        let Some(term) = self.term.checked_add(1) else { return };
        self.enter_term(term);
        self.change_role(Role::Candidate);
        self.tally = Tally::default();
        match self.vote_self() {
            VoteSelf::Yes => {
                self.vote_for(self.id);
                self.own_vote = OwnVote::Cast;
            }
            VoteSelf::NoCount => {}
            VoteSelf::CountNotRecorded => self.own_vote = OwnVote::Cast,
        }
        self.wait_again(now);
        let request = self.vote_request(term, occasion);
        for peer in self.peers() {
            self.send_durable(peer, Message::RequestVote(request.clone()));
        }
        // Where nothing of it is written, there is nothing to wait for.
        if self.own_vote == OwnVote::Cast && !self.durability.would_write(self.wanted_on_disk()) {
            self.own_vote = OwnVote::None;
            self.count_vote(now, self.id);
        }
    }

    /// The honest law: a candidate "votes for itself" (section 5.2 of the paper). It needs not, but a vote that it counts
    /// must be recorded like any other, or it gives the same vote to somebody else as well.
    fn vote_self(&self) -> VoteSelf {
        self.rules.vote.vote_self
    }

    fn vote_request(&self, term: u64, occasion: Occasion) -> VoteRequest {
        VoteRequest { term, last_index: self.log.last_index(), last_term: self.log.last_term(), occasion }
    }

    /// A candidate counts its own vote once the disk has it.
    pub(super) fn count_own_vote(&mut self, now: Micros) {
        if let OwnVote::Issued(id) = self.own_vote
            && self.durability.durable_id() >= id
        {
            self.own_vote = OwnVote::None;
            self.count_vote(now, self.id);
        }
    }

    pub(super) fn on_pre_vote_request(&mut self, now: Micros, from: NodeId, request: &VoteRequest) {
        let up_to_date = self.satisfies_restriction(request);
        let convincing = match self.pre_vote() {
            PreVote::Off | PreVote::LogOnly => up_to_date,
            PreVote::Full => up_to_date && !self.hears_a_leader(now),
            PreVote::StrictGt => self.compare_log(request).is_gt() && !self.hears_a_leader(now),
        };
        let granted = convincing && request.term > self.term && self.could_vote();
        // A refusal carries this node's term: the rehearsing node may be stuck in an older one (etcd issue
        // 8243).
        let term = if granted { request.term } else { self.term };
        let reply = VoteReply { term, ..self.vote_reply(Ballot::PreVote, granted) };
        self.send_in_term(from, Message::VoteReply(reply));
    }

    pub(super) fn on_vote_request(&mut self, now: Micros, from: NodeId, request: &VoteRequest) {
        // The term of the request may have come before it, with another message: stickiness then has nothing to keep the node
        // in any more, and its promise to the leader still holds.
        let is_ignored = match request.term.cmp(&self.term) {
            Ordering::Greater => self.is_loyal(now),
            Ordering::Equal => self.is_bound(now),
            Ordering::Less => false,
        };
        // A leader that hands over has released its voters.
        if is_ignored && request.occasion == Occasion::Timeout {
            return;
        }
        let admission = self.admit_request(now, request.term);
        let free = self.voted_for.is_none() || self.voted_for == Some(from);
        let free = free && self.may_vote();
        let granted = admission == Admission::Current && free && self.satisfies_restriction(request);
        let reply = self.vote_reply(Ballot::Vote, granted);
        if !granted {
            self.send_in_term(from, Message::VoteReply(reply));
            return;
        }
        if self.voted_for.is_none() {
            self.vote_for(from);
        }
        self.wait_again(now);
        self.send_durable(from, Message::VoteReply(reply));
    }

    fn vote_reply(&self, ballot: Ballot, granted: bool) -> VoteReply {
        let committed = if granted { Position::default() } else { self.told_with_a_refusal() };
        VoteReply { term: self.term, ballot, granted, committed }
    }

    /// Gives this node's vote of the present term.
    fn vote_for(&mut self, candidate: NodeId) {
        self.voted_for = Some(candidate);
        let vote = Vote { to: candidate, last_index: self.log.last_index(), last_term: self.log.last_term() };
        self.trace_durable(EventKind::Vote(vote));
    }

    /// Whether this node keeps to its leader and ignores candidates.
    fn is_loyal(&self, now: Micros) -> bool {
        self.is_sticky() && self.hears_a_leader(now) || self.is_bound(now)
    }

    /// The honest law: a request that arrives within the minimum election timeout of hearing from a
    /// current leader neither raises the term nor gets a vote (thesis, section 4.2.3).
    pub(super) fn is_sticky(&self) -> bool {
        self.rules.vote.leader_stickiness == Toggle::On
    }

    /// Whether a leader has been heard within the shortest election timeout. A leader hears itself.
    fn hears_a_leader(&self, now: Micros) -> bool {
        match self.leader_heard {
            _ if self.role == Role::Leader => true,
            Some(heard) => now.millis_since(heard) < self.patience.range.min,
            None => false,
        }
    }

    /// Whether the candidate's log may lead this node's.
    fn satisfies_restriction(&self, request: &VoteRequest) -> bool {
        // The honest law: "the voter denies its vote if its own log is more up-to-date than that of the
        // candidate" (section 5.4.1 of the paper).
        !self.rules.vote.election_restriction || self.compare_log(request).is_ge()
    }

    /// How up-to-date the candidate's log is against this node's.
    fn compare_log(&self, request: &VoteRequest) -> Ordering {
        let index = request.last_index.cmp(&self.log.last_index());
        let term = request.last_term.cmp(&self.log.last_term());
        let honest = term.then(index);
        // The honest law: "if the logs have last entries with different terms, then the log with the later
        // term is more up-to-date. If the logs end with the same term, then whichever log is longer" (section
        // 5.4.1).
        match self.rules.vote.vote_compare {
            VoteCompare::Raft => honest,
            VoteCompare::IndexOnly => index,
            VoteCompare::TermOnly => term,
            VoteCompare::BothGe if term.is_lt() || index.is_lt() => Ordering::Less,
            VoteCompare::StrictGt if honest.is_eq() => Ordering::Less,
            VoteCompare::BothGe | VoteCompare::StrictGt => honest,
        }
    }

    pub(super) fn on_vote_reply(&mut self, now: Micros, from: NodeId, reply: &VoteReply) {
        match (reply.ballot, reply.granted) {
            (Ballot::PreVote, true) => {
                if self.role == Role::PreCandidate && self.term.checked_add(1) == Some(reply.term) {
                    self.count_vote(now, from);
                }
            }
            (Ballot::Vote, true) => {
                if self.admit_reply(now, reply.term) == Admission::Current && self.role == Role::Candidate {
                    self.count_vote(now, from);
                }
            }
            (Ballot::PreVote | Ballot::Vote, false) => {
                self.admit_reply(now, reply.term);
                self.learn_from_a_refusal(reply.committed);
            }
        }
    }

    fn count_vote(&mut self, now: Micros, voter: NodeId) {
        self.tally.add(voter);
        // The honest law: "votes from a majority of the servers", each at most one vote per term (section
        // 5.2).
        let counts_at_most = match self.rules.vote.votes {
            Votes::Set => 1,
            Votes::Counter => usize::MAX,
        };
        let votes_of =
            |node: NodeId| self.tally.voters.get(&node).map_or(0, |&grants| grants.min(counts_at_most));
        if !self.is_elected_by(votes_of) {
            return;
        }
        match self.role {
            Role::PreCandidate => self.start_election(now, Occasion::Timeout),
            Role::Candidate => self.become_leader(now),
            Role::Follower | Role::Leader => {}
        }
    }

    fn become_leader(&mut self, now: Micros) {
        // The honest law: "a leader never overwrites or deletes entries in its log" (figure 3). It cannot tell entries that
        // are not committed from those whose commitment it has not heard of.
        if self.rules.commit.uncommitted_on_election == UncommittedOnElection::Discard {
            self.truncate_log(self.commit + 1);
        }
        self.lead(now);
        // The honest law: a new leader commits a blank entry, because it cannot count the replicas of older
        // entries (section 5.4.2) and does not know the commit index until then (section 8 of the paper).
        if self.rules.commit.noop_on_election {
            self.append_own(Payload::Noop);
        }
        // An AppendEntries goes to everybody at the end of this step and serves as the first heartbeat.
    }

    /// Begins to lead in the present term.
    pub(super) fn lead(&mut self, now: Micros) {
        self.own_vote = OwnVote::None;
        (self.leader, self.last_leader) = (Some(self.id), Some(self.id));
        self.begin_to_compare(now);
        self.leading = Some(Leading::new(
            now,
            self.heartbeat_due(now),
            self.log.last_index(),
            self.configuration().others(self.id),
        ));
        self.change_role(Role::Leader);
        self.end_transfer_with(self.id);
        self.postpone_offer(now);
    }

    /// Adopts a newer term, or gives up in the present one.
    pub(super) fn become_follower(&mut self, now: Micros, term: u64) {
        if term > self.term {
            self.enter_term(term);
        }
        if self.role == Role::Leader {
            self.leader = None;
            self.stop_leading();
            self.stop_transfer();
            self.wait_again(now);
        }
        self.change_role(Role::Follower);
    }

    pub(super) fn enter_term(&mut self, term: u64) {
        self.term = term;
        self.voted_for = None;
        self.leader = None;
        self.leader_heard = None;
        self.own_vote = OwnVote::None;
        self.trace(EventKind::Term);
    }

    fn change_role(&mut self, role: Role) {
        if self.role != role {
            self.role = role;
            let votes = match role {
                Role::Leader => self.tally.voters.keys().copied().collect(),
                Role::Follower | Role::PreCandidate | Role::Candidate => Vec::new(),
            };
            self.trace(EventKind::Role(role, votes));
        }
    }

    /// A deposed leader can no longer speak for what is open: proposals may still be committed by its
    /// successor, reads had no effect.
    fn stop_leading(&mut self) {
        let Some(leading) = self.leading.take() else { return };
        let reads = leading.reads.into_requests();
        self.out.ordered.extend(leading.changes.abandoned());
        for open in leading.open {
            match open.kind {
                OpenKind::Proposal => self.out.dropped.push(open.request),
                OpenKind::Read => {
                    self.out.refused.push((open.request, Refusal::NotLeader { leader: self.leader_hint() }))
                }
            }
        }
        for request in reads {
            self.out.refused.push((request, Refusal::NotLeader { leader: self.leader_hint() }));
        }
    }

    /// A leader's clock: heartbeats, and whether anybody still listens.
    pub(super) fn keep_leading(&mut self, now: Micros) {
        if self.has_lost_its_quorum(now) || self.disk_is_slow(now) {
            self.become_follower(now, self.term);
            return;
        }
        self.offer_leadership(now);
        self.give_up_silent_transfers(now);
        self.send_heartbeats();
        self.compare_states(now);
        let due = self.heartbeat_due(now);
        if let Some(leading) = &mut self.leading {
            leading.heartbeat_due = due;
        }
    }

    /// Leaders send heartbeats "during idle periods to prevent election timeouts" (figure 2), a few within
    /// the shortest.
    fn heartbeat_due(&self, now: Micros) -> Micros {
        now.plus_millis(self.rules.vote.heartbeat_interval.0)
    }

    fn has_lost_its_quorum(&self, now: Micros) -> bool {
        let Some(leading) = &self.leading else { return false };
        let heard = self.of_members(leading, now, Micros(0), |progress| progress.heard);
        let quorum_heard = self.led(heard).unwrap_or(now);
        // The honest law: "a leader steps down if an election timeout elapses without a successful round of
        // heartbeats to a majority of its cluster" (thesis, section 6.2).
        self.rules.vote.check_quorum == Toggle::On && now.millis_since(quorum_heard) > self.patience.range.max
    }

    /// A leader of this term was heard.
    pub(super) fn heard_leader(&mut self, now: Micros, leader: NodeId) {
        self.become_follower(now, self.term);
        (self.leader, self.last_leader) = (Some(leader), Some(leader));
        self.leader_heard = Some(now);
        self.promise(now);
        self.end_transfer_with(leader);
        self.forget_courtesy();
        self.election_due = now.plus_millis(self.patience.drawn);
    }

    /// Where a client is sent that asks a node which does not lead.
    pub(super) fn leader_hint(&self) -> Option<NodeId> {
        // The honest law: a hint is about the present term. Whoever led before it may have lost leadership to anybody, and two
        // nodes that remember each other send a client to and fro (thesis, section 6.2).
        match self.rules.client.leader_hint {
            LeaderHint::DropOnTermChange => self.leader,
            LeaderHint::Keep => self.leader.or(self.last_leader),
        }
    }

    /// Everybody that counts but this node.
    pub(super) fn peers(&self) -> Vec<NodeId> {
        self.configuration().others(self.id).collect()
    }
}
