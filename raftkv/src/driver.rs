//! The only loop around the core: takes what happens, steps the core, carries its effects out in their order.
//!
//! It is a task of the node's one thread, beside the tasks of HTTP and of the peers. Tokio runs every task that is ready
//! before it comes back to this one, so each round takes whatever all ready sockets brought; the answers and messages of a
//! step wake the tasks that write them. No request changes threads on its way. Only the disk has a thread of its own, the
//! writer's.
//!
//! Invariant: the fields of [`Effects`] are carried out in the order in which they are declared, in [`Driver::carry_out`]
//! and nowhere else, and nothing here decides anything about the protocol. The loop never waits for the disk or the
//! network: writes go to the writer's thread, messages to the peers' queues.
//! What it lacks on purpose: retries. A request whose entry the core gave up on is answered as unknown.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep_until};

use crate::clock::LeaseTime;
use crate::failpoints::steps;
use crate::failpoints::{self, At, Point};
use crate::http::AddressBook;
use crate::inbox::{Answer, Arrivals, Ask, Call, Happening, NodeStatus};
use crate::machine::Machine;
use crate::node::drawn_seed;
use crate::peers::{Backlog, Outbox};
use crate::raft::Raft;
use crate::raft::control::{Order, OrderOutcome};
use crate::raft::io::{Effects, Input, Micros, NodeId, Now, PersistId, Refusal, RequestId};
use crate::raft::log::{Entry, Log, Payload};
use crate::raft::message::Message;
use crate::raft::rules::SnapshotMode;
use crate::raft::snapshot::{SnapshotId, SnapshotReport, SnapshotWork, Take};
use crate::raft::trace::{Event, EventKind, Role};
use crate::sessions::LeaderMemory;
use crate::snapshot::{self, Done};
use crate::store::{Applied, Command, Frozen, Local, Proposal, Reply, Store, wall_clock_ms};
use crate::tracefile::TraceFile;
use crate::writer::{Job, Report};

/// Requests that may be open at once; more are refused as busy.
const PENDING_MAX: usize = 16_384;
/// At most so many happenings share one step, so that messages and answers are not held back.
const BATCH_MAX: usize = 1024;
/// Entries that only end keys are at least so far apart.
const TICK_PAUSE_MS: u64 = 20;
/// While requests are open, how often those that wait for too long are answered, and those that nobody waits for are
/// forgotten. One look at all of them costs less than a timer for each.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);

/// A request that waits for its answer.
#[derive(Debug)]
struct Pending {
    answer: oneshot::Sender<Answer>,
    kind: PendingKind,
    expires: Instant,
}

#[derive(Debug)]
enum PendingKind {
    Write,
    LogRead,
    Read(String),
}

/// What the loop works with.
pub(crate) struct Driver {
    raft: Raft,
    machine: Machine,
    memory: LeaderMemory,
    local: Local,
    /// Before this no further entry is proposed only to end keys.
    next_tick_ms: u64,
    epoch: Instant,
    lease_time: LeaseTime,
    deadline: Option<Micros>,
    pending: FxHashMap<RequestId, Pending>,
    /// Orders that are not done yet.
    orders: FxHashMap<RequestId, OpenOrder>,
    next_request: u64,
    request_timeout: Duration,
    next_sweep: Option<Instant>,
    inputs: VecDeque<Input>,
    issued: Option<PersistId>,
    persisted: Option<PersistId>,
    /// The handover that has to end before the node stops.
    last_order: Option<RequestId>,
    flow: Flow,
    /// Commands whose clients were answered in this step, while the point behind that is armed.
    replied: Vec<At>,
    /// Messages of this step that wait for that point.
    unsent: Vec<(NodeId, Message)>,
    /// A received snapshot that the core has been told of, and the state in it.
    received: Option<(SnapshotId, Box<Store>)>,
    ways: Ways,
}

/// An order that is not done yet.
#[derive(Debug)]
struct OpenOrder {
    answer: oneshot::Sender<OrderOutcome>,
    expires: Instant,
}

/// Where effects go.
pub(crate) struct Ways {
    /// To the writer.
    pub(crate) jobs: Sender<Job>,
    /// To the thread of snapshots.
    pub(crate) snapshots: Sender<snapshot::Job>,
    /// To the peers.
    pub(crate) outbox: Outbox,
    /// The port of the peers, the same on all members.
    pub(crate) peer_port: u16,
    /// Where clients are sent to.
    pub(crate) addresses: AddressBook,
    /// The count of messages from the peers.
    pub(crate) backlog: Backlog,
    /// To the trace.
    pub(crate) trace: Option<Arc<TraceFile>>,
}

/// Whether the loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    Stop,
}

/// The driver's clock.
pub(crate) fn micros_since(epoch: Instant) -> Micros {
    Micros(epoch.elapsed().as_micros() as u64)
}

/// Wakes the loop at the core's deadline.
struct Alarm {
    sleep: Pin<Box<Sleep>>,
    due: Option<Instant>,
}

impl Alarm {
    fn new() -> Self {
        Self { sleep: Box::pin(sleep_until(Instant::now().into())), due: None }
    }

    /// Rings at `due`, or never.
    fn set(&mut self, due: Option<Instant>) {
        if let Some(at) = due
            && self.due != due
        {
            self.sleep.as_mut().reset(at.into());
        }
        self.due = due;
    }

    async fn rings(&mut self) {
        match self.due {
            Some(_) => self.sleep.as_mut().await,
            None => std::future::pending().await,
        }
    }
}

impl Driver {
    /// A loop around a core that was made with the clock that began at `epoch`. `machine` holds what the core's snapshot
    /// does. A request that is open for `request_timeout` is answered as unknown.
    pub(crate) fn new(
        raft: Raft,
        machine: Machine,
        epoch: Instant,
        request_timeout: Duration,
        ways: Ways,
    ) -> Self {
        Self {
            deadline: raft.deadline(),
            machine,
            memory: LeaderMemory::default(),
            next_tick_ms: 0,
            local: Local { clock_ms: 0, seed: drawn_seed(), node: raft.status().id.0 },
            lease_time: LeaseTime::of(raft.rules()),
            raft,
            epoch,
            pending: FxHashMap::default(),
            orders: FxHashMap::default(),
            next_request: 0,
            request_timeout,
            next_sweep: None,
            inputs: VecDeque::new(),
            issued: None,
            persisted: None,
            last_order: None,
            flow: Flow::On,
            replied: Vec::new(),
            unsent: Vec::new(),
            received: None,
            ways,
        }
    }

    /// Runs until told to stop, or until the node cannot keep its promises any more.
    pub(crate) async fn run(mut self, mut arrivals: Arrivals) -> Result<(), String> {
        let mut taken = Vec::new();
        let mut alarm = Alarm::new();
        self.meet_members();
        loop {
            alarm.set(self.wake_up_time());
            tokio::select! {
                biased;
                count = arrivals.take(&mut taken, BATCH_MAX) => {
                    if count == 0 {
                        return Err("every other part of the node has ended".into());
                    }
                }
                () = alarm.rings() => {}
            }
            self.local.clock_ms = wall_clock_ms();
            self.machine.observe(self.local);
            for happening in taken.drain(..) {
                if self.take(happening)? == Flow::Stop {
                    return Ok(());
                }
            }
            self.end_what_is_due();
            self.step().await?;
            if self.flow == Flow::Stop {
                return Ok(());
            }
            self.sweep();
        }
    }

    /// When something has to be done although nothing happens.
    fn wake_up_time(&self) -> Option<Instant> {
        let core = self.deadline.map(|deadline| self.epoch + Duration::from_micros(deadline.0));
        [core, self.next_sweep].into_iter().flatten().min()
    }

    /// On a leader: proposes its clock when a key is due to end, so that it does although nobody writes. Whether the key has
    /// ended is decided by the entry alone.
    fn end_what_is_due(&mut self) {
        let clock_ms = self.local.clock_ms;
        let is_due = self.machine.store().next_end_ms().is_some_and(|end| end <= clock_ms);
        if !is_due || self.raft.role() != Role::Leader || clock_ms < self.next_tick_ms {
            return;
        }
        self.next_tick_ms = clock_ms + TICK_PAUSE_MS;
        let proposal = Proposal { stamp_ms: clock_ms, session: None, command: Command::Tick };
        let request = self.draw_request();
        self.inputs.push_back(Input::Propose { request, command: proposal.encode() });
    }

    /// Lets the core take all inputs, or see the time if there are none.
    async fn step(&mut self) -> Result<(), String> {
        if self.inputs.is_empty() {
            self.inputs.push_back(Input::Tick);
        }
        let now = Now { monotonic: micros_since(self.epoch), lease: self.lease_time.now() };
        while !self.inputs.is_empty() {
            let effects = self.raft.steps(now, &mut self.inputs);
            self.carry_out(effects)?;
            if !self.replied.is_empty() {
                self.pass_replies().await;
            }
        }
        // A received state that the core had no use for.
        self.received = None;
        Ok(())
    }

    /// The point between the answer to a client and the next word to a peer.
    async fn pass_replies(&mut self) {
        // The runtime runs whoever was woken before it comes back here: the tasks that write the answers.
        for _ in 0..steps::TASKS_BETWEEN {
            tokio::task::yield_now().await;
        }
        for at in self.replied.drain(..) {
            failpoints::hit_at(Point::AfterReplyBeforeCommitBroadcast, || at);
        }
        let unsent = std::mem::take(&mut self.unsent);
        self.send(unsent);
    }

    fn take(&mut self, happening: Happening) -> Result<Flow, String> {
        match happening {
            Happening::Peer(from, message) => {
                self.ways.backlog.taken();
                self.inputs.push_back(Input::Message { from, message });
            }
            Happening::Call(call) => self.call(call)?,
            Happening::Status(answer) => {
                // Whoever asked may have gone away.
                let _ = answer.send(self.status());
            }
            Happening::Order(order, answer) => {
                let request = self.draw_request();
                let expires = self.expiry();
                self.orders.insert(request, OpenOrder { answer, expires });
                self.inputs.push_back(Input::Order { request, order });
            }
            Happening::Writer(Report::Finished { persisted, send }) => {
                self.send(send);
                if let Some(id) = persisted {
                    self.persisted = Some(id);
                    self.inputs.push_back(Input::Persisted(id));
                }
            }
            Happening::Writer(Report::Disk(space)) => self.inputs.push_back(Input::Disk(space)),
            Happening::Writer(Report::Failed(error)) => return Err(error),
            Happening::Snapshots(Done::Send(to, message)) => self.ways.outbox.send(to, message),
            Happening::Snapshots(Done::Report(report, state)) => {
                if let (SnapshotReport::Received(meta), Some(state)) = (&report, state) {
                    self.received = Some((meta.id, state));
                }
                self.inputs.push_back(Input::Snapshot(report));
            }
            Happening::Stop => return Ok(self.stop()),
        }
        Ok(Flow::On)
    }

    /// Stops at once, or after the handover that the core wants first. That ends within an election timeout.
    fn stop(&mut self) -> Flow {
        if self.last_order.is_some() || !self.raft.hands_over_on_stop() {
            return Flow::Stop;
        }
        let request = self.draw_request();
        self.inputs.push_back(Input::Order { request, order: Order::Transfer(None) });
        self.last_order = Some(request);
        Flow::On
    }

    fn call(&mut self, call: Call) -> Result<(), String> {
        if self.pending.len() >= PENDING_MAX {
            respond(call.answer, Answer::Refused(Refusal::Busy("too many requests are open")));
            return Ok(());
        }
        let request = self.draw_request();
        let kind = match call.ask {
            Ask::Propose(command) => {
                if let Some(reply) = self.remembered(&command) {
                    respond(call.answer, Answer::Done { index: self.machine.applied(), reply });
                    return Ok(());
                }
                self.inputs.push_back(Input::Propose { request, command });
                PendingKind::Write
            }
            Ask::ReadLog(command) => {
                self.inputs.push_back(Input::Propose { request, command });
                PendingKind::LogRead
            }
            Ask::Read(key, ask) => {
                self.inputs.push_back(Input::Read { request, ask });
                PendingKind::Read(key)
            }
        };
        let expires = self.expiry();
        self.pending.insert(request, Pending { answer: call.answer, kind, expires });
        Ok(())
    }

    fn draw_request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    /// When what begins now is open for too long.
    fn expiry(&mut self) -> Instant {
        let now = Instant::now();
        self.next_sweep.get_or_insert(now + self.sweep_interval());
        now + self.request_timeout
    }

    /// Talks to whoever the latest configuration names with an address.
    fn meet_members(&self) {
        for (&node, address) in self.raft.latest().addresses() {
            match address.parse() {
                Ok(ip) => {
                    self.ways.outbox.know(node, SocketAddr::new(ip, self.ways.peer_port));
                    self.ways.addresses.know(node, ip);
                }
                Err(_) => tracing::warn!(
                    "the configuration says that {node} is at `{address}`, which is no IP address"
                ),
            }
        }
    }

    /// Does what the core asks for, in its order.
    fn carry_out(&mut self, effects: Effects) -> Result<(), String> {
        steps::before_step(self.raft.role(), &effects);
        self.trace(&effects.trace)?;
        if effects.trace.iter().any(|event| matches!(event.kind, EventKind::Config(_))) {
            self.meet_members();
        }
        if let Some(reason) = effects.halt {
            return Err(reason);
        }
        if effects.snapshots.iter().any(|work| matches!(work, SnapshotWork::Store(_))) {
            failpoints::hit(Point::InstallChunk);
        }
        let mut job =
            Job { persist: effects.persist, trace: effects.trace_durable, send: effects.send_durable };
        if steps::sends_wait_for_the_disk() {
            job.send.splice(..0, effects.send);
        } else if failpoints::armed(Point::AfterReplyBeforeCommitBroadcast) && !effects.applied.is_empty() {
            self.unsent = effects.send;
        } else {
            self.send(effects.send);
        }
        self.write(job)?;
        steps::commands(Point::AfterCommitBeforeApply, &effects.apply);
        self.acknowledge(&effects.acknowledged);
        if let Some(id) = effects.restore {
            self.restore(id)?;
        }
        self.apply(&effects.apply, effects.commit, &effects.applied)?;
        for (request, _) in effects.reads {
            if let Some(Pending { answer, kind: PendingKind::Read(key), .. }) = self.pending.remove(&request)
            {
                respond(answer, self.read_now(&key));
            }
        }
        for work in effects.snapshots {
            self.work_on_snapshots(work);
        }
        for (request, outcome) in effects.ordered {
            if self.last_order == Some(request) {
                tracing::info!("handing over before the end: {outcome:?}");
                self.flow = Flow::Stop;
            } else if let Some(OpenOrder { answer, .. }) = self.orders.remove(&request) {
                // Whoever ordered may have gone away.
                let _ = answer.send(outcome);
            }
        }
        for (request, refusal) in effects.refused {
            self.finish(request, Answer::Refused(refusal));
        }
        for request in effects.dropped {
            self.finish(request, Answer::Unknown("this node was deposed before the outcome was known"));
        }
        self.deadline = effects.deadline;
        Ok(())
    }

    fn send(&self, messages: Vec<(NodeId, Message)>) {
        for (to, message) in messages {
            self.ways.outbox.send(to, message);
        }
    }

    /// Hands a job to the writer; what depends on no open write is said at once.
    fn write(&mut self, job: Job) -> Result<(), String> {
        if let Some(persist) = &job.persist {
            self.issued = Some(persist.id);
        } else if job.trace.is_empty() && job.send.is_empty() {
            return Ok(());
        } else if self.issued == self.persisted {
            self.trace(&job.trace)?;
            self.send(job.send);
            return Ok(());
        }
        // A writer that has ended has reported why, and the report is on its way.
        let _ = self.ways.jobs.send(job);
        Ok(())
    }

    /// What this node, as the leader that it still is, has answered to the same command before.
    fn remembered(&self, command: &[u8]) -> Option<Reply> {
        if self.memory.is_empty() {
            return None;
        }
        let call = Proposal::decode(command)?.session?;
        self.memory.answer(self.raft.term(), call)
    }

    /// Answers writes before they are applied, where the result is known without the state.
    fn acknowledge(&mut self, early: &[(RequestId, u64)]) {
        for &(request, index) in early {
            let Some(Payload::Command(command)) = self.raft.log().get(index).map(|entry| &entry.payload)
            else {
                continue;
            };
            if Proposal::decode(command.as_bytes()).is_some_and(|proposal| proposal.command.is_blind()) {
                self.finish(request, Answer::Done { index, reply: Reply::Done });
            }
        }
    }

    /// Applies entries and answers the requests that they carry out.
    fn apply(&mut self, entries: &[Entry], commit: u64, answers: &[(RequestId, u64)]) -> Result<(), String> {
        self.machine.apply(entries, commit)?;
        self.raft.note_states(self.machine.states());
        for &(request, index) in answers {
            let Some(pending) = self.pending.remove(&request) else { continue };
            if matches!(pending.kind, PendingKind::LogRead) {
                self.trace(&[self.read_event("log", index)])?;
            }
            self.replied.extend(steps::answering(entries, index));
            let answer = match self.machine.take_result(index) {
                Some(Applied { reply, remember }) => {
                    if let Some(call) = remember {
                        self.memory.record(self.raft.term(), call, &reply);
                    }
                    Answer::Done { index, reply }
                }
                None => Answer::Unknown("the entry was not among those applied"),
            };
            respond(pending.answer, answer);
        }
        Ok(())
    }

    /// Replaces the state machine by the state of a received snapshot.
    fn restore(&mut self, id: SnapshotId) -> Result<(), String> {
        match self.received.take() {
            Some((received, state)) if received == id => {
                let before = self.machine.restore(id.last.index, *state)?;
                // A thread that has ended has done so because the node ends.
                let _ = self.ways.snapshots.send(snapshot::Job::Free(Box::new(before)));
                Ok(())
            }
            _ => Err(format!("the state of the snapshot up to {} is not at hand; this is a bug", id.last)),
        }
    }

    /// Hands work to the thread of snapshots.
    fn work_on_snapshots(&mut self, work: SnapshotWork) {
        // A thread that has ended has done so because the node ends.
        match work {
            SnapshotWork::Take(take) if self.machine.is_ahead_of(self.machine.applied()) => {
                let reason = format!("the state that was kept is newer than {}", take.last);
                self.inputs.push_back(Input::Snapshot(SnapshotReport::NotTaken(reason)));
            }
            SnapshotWork::Take(take) => self.take_snapshot(take),
            work => drop(self.ways.snapshots.send(snapshot::Job::Work(work))),
        }
    }

    fn take_snapshot(&self, take: Take) {
        let rules = self.raft.rules();
        // The law: "writing a snapshot can take a significant amount of time, and we do not want this to delay normal
        // operations. The solution is to use copy-on-write" (section 7 of the paper).
        let (end, wait) = match rules.snapshot.snapshot_mode {
            SnapshotMode::BackgroundCopy => (None, None),
            SnapshotMode::Blocking => {
                let (end, wait) = std::sync::mpsc::channel();
                (Some(end), Some(wait))
            }
        };
        let state = Box::new(state_in(&take, self.machine.store()));
        let _ = self.ways.snapshots.send(snapshot::Job::Take(Box::new(take), state, end));
        if let Some(wait) = wait {
            // The sender is dropped when the snapshot is on disk, or cannot be.
            let _ = wait.recv();
        }
    }

    fn read_now(&self, key: &str) -> Answer {
        Answer::Done {
            index: self.machine.applied(),
            reply: Reply::Value(self.machine.store().get(key).cloned()),
        }
    }

    fn read_event(&self, mode: &'static str, index: u64) -> Event {
        Event { term: self.raft.term(), kind: EventKind::Read(mode, index) }
    }

    fn finish(&mut self, request: RequestId, answer: Answer) {
        if let Some(pending) = self.pending.remove(&request) {
            respond(pending.answer, answer);
        }
    }

    fn trace(&self, events: &[Event]) -> Result<(), String> {
        match &self.ways.trace {
            Some(trace) => trace.write(events).map_err(|error| format!("cannot write the trace: {error}")),
            None => Ok(()),
        }
    }

    /// Answers requests that are open for too long, and forgets those whose clients have gone away.
    fn sweep(&mut self) {
        let now = Instant::now();
        if self.next_sweep.is_none_or(|due| now < due) {
            return;
        }
        for (_, late) in self.pending.extract_if(|_, pending| pending.expires <= now) {
            respond(late.answer, Answer::Unknown("no answer within the request timeout"));
        }
        self.pending.retain(|_, pending| !pending.answer.is_closed());
        for (_, late) in self.orders.extract_if(|_, order| order.expires <= now) {
            let reason = "the order is not done within the request timeout".to_owned();
            let _ = late.answer.send(OrderOutcome::Unknown(reason));
        }
        self.orders.retain(|_, order| !order.answer.is_closed());
        let open = !self.pending.is_empty() || !self.orders.is_empty();
        self.next_sweep = open.then(|| now + self.sweep_interval());
    }

    /// Often enough to be punctual.
    fn sweep_interval(&self) -> Duration {
        SWEEP_INTERVAL.min(self.request_timeout / 4)
    }

    fn status(&self) -> NodeStatus {
        let raft = self.raft.status();
        let left = |end: Micros| end.0.checked_sub(self.lease_time.now().0).map(Duration::from_micros);
        NodeStatus {
            lease_left: raft.lease_until.and_then(left),
            log: log_tail(self.raft.log()),
            raft,
            rules: self.raft.rules().list(),
            keys: self.machine.store().keys(),
            sessions: self.machine.store().sessions(),
            pending: self.pending.len(),
        }
    }
}

/// The end of a log, as far as a status shows it.
fn log_tail(log: &Log) -> Vec<(u64, u64, &'static str)> {
    /// More than any experiment by hand looks at, and little to write.
    const ENTRIES_MAX: u64 = 64;
    let from = log.first_index().max((log.last_index() + 1).saturating_sub(ENTRIES_MAX));
    let kind = |payload: &Payload| match payload {
        Payload::Noop => "noop",
        Payload::Command(_) => "command",
        Payload::Configuration(_) => "config",
        Payload::Digest(_) => "digest",
    };
    let entries = log.range(from, log.last_index()).iter();
    entries.map(|entry| (entry.index, entry.term, kind(&entry.payload))).collect()
}

/// The state that a snapshot holds: that of the state machine, and under weakened rules what entries behind that would make of
/// it.
fn state_in(take: &Take, store: &Store) -> Frozen {
    if take.beyond.is_empty() {
        return store.frozen();
    }
    let mut beyond = store.clone();
    for entry in &take.beyond {
        if let Payload::Command(command) = &entry.payload {
            beyond.apply(entry.index, command.as_bytes());
        }
    }
    beyond.frozen()
}

/// Answers a request. That its client has gone away is no failure.
fn respond(to: oneshot::Sender<Answer>, answer: Answer) {
    let _ = to.send(answer);
}
