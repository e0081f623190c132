//! The gate between the network and the node: an experiment decides which messages of the peers pass it, and when.
//!
//! It stands on the receiving side, behind the decoding and before the queue of the driver. There a message that is held
//! outlives the connection that it came on and the process that sent it, like a packet that is still on its way; on the
//! sending side it would die with its sender. What is held ends with the receiver, as the receiver's own buffers do.
//!
//! Invariants:
//! * It does only what a network may do to datagrams: lose them, delay them, repeat them and change their order. Nothing is
//!   made up and nothing is changed, and a message reaches only the node that it was sent to. The core takes all of that
//!   anyway (see [`crate::raft::message`]) and never learns of the gate.
//! * Without rules it costs one relaxed load per message.
//! * Messages that one order lets through arrive together, in the order in which they came, with none between them.
//!
//! What it lacks on purpose: links (cuts and bad lines are the network's own), and randomness that cannot be repeated.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Backlog, Deliver, size};
use crate::raft::io::NodeId;
use crate::raft::message::{Ballot, Message};

/// How many messages are held and recorded at most, and their bytes.
const KEPT_MAX: usize = 4096;
const KEPT_BYTES_MAX: usize = 64 << 20;
/// How many may be late at one time.
const LATE_MAX: u64 = 4096;

/// The type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// [`Message::RequestPreVote`].
    PreVote,
    /// A [`Message::VoteReply`] to that.
    PreVoteReply,
    /// [`Message::RequestVote`].
    RequestVote,
    /// A [`Message::VoteReply`] to that.
    VoteReply,
    /// [`Message::AppendEntries`] with entries.
    AppendEntries,
    /// [`Message::AppendEntries`] without, which asks whether the logs agree.
    Probe,
    /// [`Message::AppendReply`].
    AppendReply,
    /// [`Message::Heartbeat`].
    Heartbeat,
    /// [`Message::HeartbeatReply`].
    HeartbeatReply,
    /// [`Message::TimeoutNow`].
    TimeoutNow,
    /// [`Message::InstallSnapshot`].
    InstallSnapshot,
    /// [`Message::InstallReply`].
    InstallReply,
    /// [`Message::ReadIndex`].
    ReadIndex,
    /// [`Message::ReadIndexReply`].
    ReadIndexReply,
    /// [`Message::StateHash`].
    StateHash,
    /// [`Message::StateHashReply`].
    StateHashReply,
}

/// What a message is, as far as rules and people are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its type.
    pub kind: Kind,
    /// Who sent it.
    pub from: NodeId,
    /// The term in it.
    pub term: u64,
    /// The first and the last index of the entries in it.
    pub entries: Option<(u64, u64)>,
}

/// Which messages; what is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of one of these types; of any if empty.
    pub kinds: Vec<Kind>,
    /// From this node.
    pub from: Option<NodeId>,
    /// With this term.
    pub term: Option<u64>,
    /// With the entry of this index.
    pub index: Option<u64>,
}

/// What happens to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It waits until it is released.
    Hold,
    /// It is lost.
    Drop,
    /// It arrives twice.
    Duplicate,
    /// It arrives so much later.
    Delay(Duration),
    /// It passes, and a copy is kept.
    Record,
}

/// What happens to some messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What.
    pub action: Action,
    /// To which.
    pub filter: Filter,
    /// So many that match pass first.
    pub skip: u64,
    /// After so many the rule is over.
    pub count: Option<u64>,
    /// The share of those that it is done to, in parts of a million.
    pub share_ppm: u32,
}

/// What the gate is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// A rule from now on; the first that matches a message decides.
    Arm(Rule),
    /// Forget the rules with exactly this filter, or all.
    Disarm(Option<Filter>),
    /// Let the first so many held ones that match through, or all of them. They are recorded.
    Release(Filter, Option<u64>),
    /// Lose them instead.
    Discard(Filter, Option<u64>),
    /// Let copies of recorded ones arrive again.
    Replay(Filter, Option<u64>),
    /// Forget rules and records, and let through what is held.
    Clear,
}

/// Counts since the start of the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages that were held.
    pub held: u64,
    /// ... lost by a rule or an order.
    pub dropped: u64,
    /// ... that arrived once more.
    pub repeated: u64,
    /// ... made late.
    pub delayed: u64,
    /// ... lost because too much was held or late already, or passed without a record because too much was recorded.
    pub overflowed: u64,
}

/// What the gate has, and what it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// In the order in which they came.
    pub held: Vec<Seen>,
    /// In the order in which they came.
    pub recorded: Vec<Seen>,
    /// How many are late now.
    pub late: u64,
    /// The rules in force, and to how many messages each was done.
    pub rules: Vec<(Rule, u64)>,
    /// Counts.
    pub totals: Totals,
}

/// The gate. Cheap to clone, usable from every thread.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    deliver: Deliver,
    backlog: Backlog,
    /// Whether there is any rule.
    armed: AtomicBool,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    rules: Vec<Armed>,
    held: VecDeque<(Seen, Message)>,
    recorded: Vec<(Seen, Message)>,
    bytes: usize,
    late: u64,
    totals: Totals,
}

struct Armed {
    rule: Rule,
    /// How many messages matched it.
    hits: u64,
    /// To how many of them it was done.
    done: u64,
}

/// What becomes of one message.
enum Verdict {
    Pass,
    PassTwice,
    Gone,
    Late(Duration),
}

impl Gate {
    /// An open gate; what passes it goes to `deliver` and is counted in `backlog`.
    pub fn new(deliver: Deliver, backlog: Backlog) -> Self {
        let armed = AtomicBool::new(false);
        Self(Arc::new(Inner { deliver, backlog, armed, kept: Mutex::default() }))
    }

    /// A message arrived. Returns false once nobody takes messages any more. Called within a runtime.
    pub fn arrive(&self, from: NodeId, message: Message) -> bool {
        // Relaxed: a message that arrives while the first rule is armed may pass, as if it had come earlier.
        if !self.0.armed.load(Ordering::Relaxed) {
            return self.pass(from, message);
        }
        let seen = Seen::of(from, &message);
        // Held until the message is delivered, so that nothing comes between what an order lets through together.
        let mut kept = self.lock();
        let judged = kept.judge(seen, &message);
        self.publish(&kept);
        match judged {
            Verdict::Pass => self.pass(from, message),
            Verdict::PassTwice => self.pass(from, message.clone()) && self.pass(from, message),
            Verdict::Gone => true,
            Verdict::Late(by) => {
                drop(kept);
                self.pass_later(from, message, by);
                true
            }
        }
    }

    /// Does what it is told. Returns how many messages, or rules, it concerned; `Err` if there were none, and nothing was
    /// done. All that is held may be nothing; a number of held messages has to be there.
    pub fn order(&self, order: Order) -> Result<u64, String> {
        let mut kept = self.lock();
        let concerned = match order {
            Order::Arm(rule) => {
                tracing::info!("gate: {rule:?}");
                kept.rules.push(Armed { rule, hits: 0, done: 0 });
                1
            }
            Order::Disarm(filter) => {
                let before = kept.rules.len();
                kept.rules.retain(|armed| filter.as_ref().is_some_and(|filter| armed.rule.filter != *filter));
                some((before - kept.rules.len()) as u64, "rule has this filter")?
            }
            Order::Release(filter, count) => {
                let released = counted(kept.take(&filter, count), count)?;
                released.iter().for_each(|(seen, message)| kept.record(*seen, message));
                self.pass_all(released)
            }
            Order::Discard(filter, count) => {
                let lost = counted(kept.take(&filter, count), count)?.len() as u64;
                kept.totals.dropped += lost;
                lost
            }
            Order::Replay(filter, count) => {
                let again = some_of(kept.copies(&filter, count), "recorded message matches")?;
                kept.totals.repeated += again.len() as u64;
                self.pass_all(again)
            }
            Order::Clear => {
                kept.rules.clear();
                kept.recorded.clear();
                let released = kept.take(&Filter::default(), None);
                kept.bytes = 0;
                self.pass_all(released)
            }
        };
        self.publish(&kept);
        Ok(concerned)
    }

    /// What it has and did.
    pub fn state(&self) -> State {
        let kept = self.lock();
        State {
            held: kept.held.iter().map(|(seen, _)| *seen).collect(),
            recorded: kept.recorded.iter().map(|(seen, _)| *seen).collect(),
            late: kept.late,
            rules: kept.rules.iter().map(|armed| (armed.rule.clone(), armed.done)).collect(),
            totals: kept.totals,
        }
    }

    fn pass(&self, from: NodeId, message: Message) -> bool {
        self.0.backlog.add();
        (self.0.deliver)(from, message)
    }

    fn pass_all(&self, messages: Vec<(Seen, Message)>) -> u64 {
        let count = messages.len() as u64;
        for (seen, message) in messages {
            self.pass(seen.from, message);
        }
        count
    }

    fn pass_later(&self, from: NodeId, message: Message, by: Duration) {
        let gate = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(by).await;
            let mut kept = gate.lock();
            kept.late -= 1;
            gate.pass(from, message);
        });
    }

    fn publish(&self, kept: &Kept) {
        self.0.armed.store(!kept.rules.is_empty(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics half-way through a change.
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&self.state()).finish()
    }
}

/// An order that concerns nothing was not carried out.
fn some(count: u64, what: &str) -> Result<u64, String> {
    if count == 0 { Err(format!("no {what}")) } else { Ok(count) }
}

fn some_of<T>(found: Vec<T>, what: &str) -> Result<Vec<T>, String> {
    some(found.len() as u64, what).map(|_| found)
}

fn counted<T>(held: Vec<T>, count: Option<u64>) -> Result<Vec<T>, String> {
    if count.is_none() { Ok(held) } else { some_of(held, "held message matches") }
}

impl Kept {
    fn judge(&mut self, seen: Seen, message: &Message) -> Verdict {
        let Some(position) = self.rules.iter().position(|armed| armed.rule.filter.matches(&seen)) else {
            return Verdict::Pass;
        };
        let armed = &mut self.rules[position];
        armed.hits += 1;
        let (hit, rule) = (armed.hits, armed.rule.clone());
        if hit <= rule.skip {
            return Verdict::Pass;
        }
        // Of the same messages in the same order it is always the same ones.
        let is_meant = mixed(hit) % 1_000_000 < u64::from(rule.share_ppm);
        armed.done += u64::from(is_meant);
        if rule.count.is_some_and(|count| hit >= rule.skip.saturating_add(count)) {
            self.rules.remove(position);
        }
        if !is_meant {
            return Verdict::Pass;
        }
        match rule.action {
            Action::Hold => self.hold(seen, message),
            Action::Drop => {
                self.totals.dropped += 1;
                Verdict::Gone
            }
            Action::Duplicate => {
                self.totals.repeated += 1;
                Verdict::PassTwice
            }
            Action::Delay(by) => self.delay(by),
            Action::Record => {
                self.record(seen, message);
                Verdict::Pass
            }
        }
    }

    fn hold(&mut self, seen: Seen, message: &Message) -> Verdict {
        if self.has_room_for(message) {
            self.bytes += size(message);
            self.totals.held += 1;
            self.held.push_back((seen, message.clone()));
        } else {
            // As in a buffer of a router that is full.
            self.totals.overflowed += 1;
        }
        Verdict::Gone
    }

    fn record(&mut self, seen: Seen, message: &Message) {
        if self.has_room_for(message) {
            self.bytes += size(message);
            self.recorded.push((seen, message.clone()));
        } else {
            self.totals.overflowed += 1;
        }
    }

    fn delay(&mut self, by: Duration) -> Verdict {
        if self.late >= LATE_MAX {
            self.totals.overflowed += 1;
            return Verdict::Gone;
        }
        self.late += 1;
        self.totals.delayed += 1;
        Verdict::Late(by)
    }

    fn has_room_for(&self, message: &Message) -> bool {
        self.held.len() + self.recorded.len() < KEPT_MAX && self.bytes + size(message) <= KEPT_BYTES_MAX
    }

    /// Takes the first so many held messages that match.
    fn take(&mut self, filter: &Filter, count: Option<u64>) -> Vec<(Seen, Message)> {
        let mut left = count.unwrap_or(u64::MAX);
        let (mut taken, mut stay) = (Vec::new(), VecDeque::new());
        for (seen, message) in std::mem::take(&mut self.held) {
            if left > 0 && filter.matches(&seen) {
                left -= 1;
                self.bytes -= size(&message);
                taken.push((seen, message));
            } else {
                stay.push_back((seen, message));
            }
        }
        self.held = stay;
        taken
    }

    /// Copies the first so many recorded messages that match.
    fn copies(&self, filter: &Filter, count: Option<u64>) -> Vec<(Seen, Message)> {
        let count = count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
        self.recorded.iter().filter(|(seen, _)| filter.matches(seen)).take(count).cloned().collect()
    }
}

/// The finalizer of splitmix64.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Filter {
    fn matches(&self, seen: &Seen) -> bool {
        let holds = |index: u64| seen.entries.is_some_and(|(first, last)| (first..=last).contains(&index));
        (self.kinds.is_empty() || self.kinds.contains(&seen.kind))
            && self.from.is_none_or(|from| from == seen.from)
            && self.term.is_none_or(|term| term == seen.term)
            && self.index.is_none_or(holds)
    }
}

impl Seen {
    /// What this message is.
    pub fn of(from: NodeId, message: &Message) -> Self {
        let kind = match message {
            Message::RequestPreVote(_) => Kind::PreVote,
            Message::RequestVote(_) => Kind::RequestVote,
            Message::VoteReply(reply) => match reply.ballot {
                Ballot::PreVote => Kind::PreVoteReply,
                Ballot::Vote => Kind::VoteReply,
            },
            Message::AppendEntries(append) if append.entries.is_empty() => Kind::Probe,
            Message::AppendEntries(_) => Kind::AppendEntries,
            Message::AppendReply(_) => Kind::AppendReply,
            Message::Heartbeat(_) => Kind::Heartbeat,
            Message::HeartbeatReply(_) => Kind::HeartbeatReply,
            Message::TimeoutNow(_) => Kind::TimeoutNow,
            Message::StateHash(_) => Kind::StateHash,
            Message::StateHashReply(_) => Kind::StateHashReply,
            Message::InstallSnapshot(_) => Kind::InstallSnapshot,
            Message::InstallReply(_) => Kind::InstallReply,
            Message::ReadIndex(_) => Kind::ReadIndex,
            Message::ReadIndexReply(_) => Kind::ReadIndexReply,
        };
        let entries = match message {
            Message::AppendEntries(append) => append
                .entries
                .first()
                .zip(append.entries.last())
                .map(|(first, last)| (first.index, last.index)),
            _ => None,
        };
        Self { kind, from, term: message.term(), entries }
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
