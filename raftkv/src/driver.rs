//! The only loop around the core: takes what happens, steps the core, carries its effects out in their order.
//!
//! Invariant: the fields of [`Effects`] are carried out in the order in which they are declared, and nothing here decides
//! anything about the protocol. The loop never waits for the disk or the network: writes go to the writer's thread,
//! messages to the peers' queues.
//! What it lacks on purpose: retries. A request whose entry the core gave up on is answered as unknown.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use crate::peers::{Backlog, Outbox};
use crate::raft::Raft;
use crate::raft::io::{Effects, Input, Micros, NodeId, PersistId, Refusal, RequestId};
use crate::raft::log::{Entry, Payload};
use crate::raft::message::Message;
use crate::raft::status::Status;
use crate::raft::trace::{Event, EventKind};
use crate::store::{Reply, Store};
use crate::tracefile::TraceFile;
use crate::writer::{Job, Report};

/// Requests that may be open at once; more are refused as busy.
const PENDING_MAX: usize = 16_384;
/// At most so many inputs share one step, so that messages and answers are not held back.
const BATCH_MAX: usize = 1024;
/// How often requests that nobody waits for any more are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What can happen to a node.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A peer's message arrived.
    Peer(NodeId, Message),
    /// A client asks for something.
    Call(Call),
    /// Somebody wants to know the state.
    Status(oneshot::Sender<NodeStatus>),
    /// The writer has something to say.
    Writer(Report),
    /// The node is to stop.
    Stop,
}

/// A client's request.
#[derive(Debug)]
pub(crate) struct Call {
    /// What it asks.
    pub(crate) ask: Ask,
    /// Where the answer goes.
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// What a client asks.
#[derive(Debug)]
pub(crate) enum Ask {
    /// A command through the log.
    Propose(Vec<u8>),
    /// A read of a key through the log, whatever the rules say.
    ReadLog(Vec<u8>),
    /// A read of a key, as the rules say.
    Read(String),
    /// A read of a key from what this node has, whatever the rules say.
    ReadLocal(String),
}

/// How a request ended.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The state machine's reply, at this index of the log.
    Done { index: u64, reply: Reply },
    /// Refused without effect.
    Refused(Refusal),
    /// Nobody knows.
    Unknown(&'static str),
}

/// The state of the node around the core.
#[derive(Debug)]
pub(crate) struct NodeStatus {
    /// The core's state.
    pub(crate) raft: Status,
    /// The rules in force.
    pub(crate) rules: Vec<(&'static str, String)>,
    /// Keys in the store.
    pub(crate) keys: usize,
    /// Sessions in the store.
    pub(crate) sessions: usize,
    /// Open requests.
    pub(crate) pending: usize,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Pending {
    answer: oneshot::Sender<Answer>,
    kind: PendingKind,
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
    store: Store,
    applied: u64,
    epoch: Instant,
    deadline: Option<Micros>,
    pending: FxHashMap<RequestId, Pending>,
    next_request: u64,
    next_sweep: Instant,
    inputs: VecDeque<Input>,
    issued: Option<PersistId>,
    persisted: Option<PersistId>,
    ways: Ways,
}

/// Where effects go.
pub(crate) struct Ways {
    /// To the writer.
    pub(crate) jobs: Sender<Job>,
    /// To the peers.
    pub(crate) outbox: Outbox,
    /// The count of messages from the peers.
    pub(crate) backlog: Backlog,
    /// To the trace.
    pub(crate) trace: Option<Arc<TraceFile>>,
}

/// Whether the loop goes on.
#[derive(Debug, PartialEq, Eq)]
enum Flow {
    On,
    Stop,
}

/// The driver's clock.
pub(crate) fn micros_since(epoch: Instant) -> Micros {
    Micros(epoch.elapsed().as_micros() as u64)
}

impl Driver {
    /// A loop around a core that was made with the clock that began at `epoch`.
    pub(crate) fn new(raft: Raft, epoch: Instant, ways: Ways) -> Self {
        Self {
            deadline: raft.deadline(),
            raft,
            store: Store::default(),
            applied: 0,
            epoch,
            pending: FxHashMap::default(),
            next_request: 0,
            next_sweep: epoch + SWEEP_INTERVAL,
            inputs: VecDeque::new(),
            issued: None,
            persisted: None,
            ways,
        }
    }

    /// Runs until told to stop, or until the node cannot keep its promises any more.
    pub(crate) fn run(mut self, happenings: &Receiver<Happening>) -> Result<(), String> {
        loop {
            if self.collect(happenings)? == Flow::Stop {
                return Ok(());
            }
            let now = micros_since(self.epoch);
            loop {
                let effects = self.raft.steps(now, &mut self.inputs);
                self.carry_out(effects)?;
                if self.inputs.is_empty() {
                    break;
                }
            }
            self.sweep();
        }
    }

    /// Waits for something to happen, or for the deadline, and takes all that is there.
    fn collect(&mut self, happenings: &Receiver<Happening>) -> Result<Flow, String> {
        let mut next = self.wait(happenings)?;
        while let Some(happening) = next {
            if self.take(happening)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
            next = if self.inputs.len() < BATCH_MAX { happenings.try_recv().ok() } else { None };
        }
        if self.inputs.is_empty() {
            self.inputs.push_back(Input::Tick);
        }
        Ok(Flow::On)
    }

    fn wait(&self, happenings: &Receiver<Happening>) -> Result<Option<Happening>, String> {
        let received = match self.deadline {
            None => happenings.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(deadline) => {
                let due = self.epoch + Duration::from_micros(deadline.0);
                happenings.recv_timeout(due.saturating_duration_since(Instant::now()))
            }
        };
        match received {
            Ok(happening) => Ok(Some(happening)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err("every other part of the node has ended".into()),
        }
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
            Happening::Writer(Report::Persisted(id)) => {
                self.persisted = Some(id);
                self.inputs.push_back(Input::Persisted(id));
            }
            Happening::Writer(Report::Failed(error)) => return Err(error),
            Happening::Stop => return Ok(Flow::Stop),
        }
        Ok(Flow::On)
    }

    fn call(&mut self, call: Call) -> Result<(), String> {
        if self.pending.len() >= PENDING_MAX {
            respond(call.answer, Answer::Refused(Refusal::Busy("too many requests are open")));
            return Ok(());
        }
        let request = RequestId(self.next_request);
        let kind = match call.ask {
            Ask::ReadLocal(key) => {
                self.trace(&[self.read_event("local", self.applied)])?;
                respond(call.answer, self.read_now(&key));
                return Ok(());
            }
            Ask::Propose(command) => {
                self.inputs.push_back(Input::Propose { request, command });
                PendingKind::Write
            }
            Ask::ReadLog(command) => {
                self.inputs.push_back(Input::Propose { request, command });
                PendingKind::LogRead
            }
            Ask::Read(key) => {
                self.inputs.push_back(Input::Read { request });
                PendingKind::Read(key)
            }
        };
        self.next_request += 1;
        self.pending.insert(request, Pending { answer: call.answer, kind });
        Ok(())
    }

    /// Does what the core asks for, in its order.
    fn carry_out(&mut self, effects: Effects) -> Result<(), String> {
        self.trace(&effects.trace)?;
        for (to, message) in effects.send {
            self.ways.outbox.send(to, message);
        }
        let job = Job { persist: effects.persist, trace: effects.trace_durable, send: effects.send_durable };
        self.write(job)?;
        self.apply(effects.apply, &effects.applied)?;
        for (request, _) in effects.reads {
            if let Some(Pending { answer, kind: PendingKind::Read(key) }) = self.pending.remove(&request) {
                respond(answer, self.read_now(&key));
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

    /// Hands a job to the writer; what depends on no open write is said at once.
    fn write(&mut self, job: Job) -> Result<(), String> {
        if let Some(persist) = &job.persist {
            self.issued = Some(persist.id);
        } else if job.trace.is_empty() && job.send.is_empty() {
            return Ok(());
        } else if self.issued == self.persisted {
            self.trace(&job.trace)?;
            for (to, message) in job.send {
                self.ways.outbox.send(to, message);
            }
            return Ok(());
        }
        // A writer that has ended has reported why, and the report is on its way.
        let _ = self.ways.jobs.send(job);
        Ok(())
    }

    /// Applies committed entries and answers the requests that they carry out.
    fn apply(&mut self, entries: Vec<Entry>, answers: &[(RequestId, u64)]) -> Result<(), String> {
        let Some(first) = entries.first().map(|entry| entry.index) else { return Ok(()) };
        let mut replies = Vec::with_capacity(entries.len());
        for entry in entries {
            self.applied = entry.index;
            replies.push(match &entry.payload {
                Payload::Noop | Payload::Configuration(_) => Reply::Done,
                Payload::Command(command) => self.store.apply(entry.index, command.as_bytes()),
            });
        }
        for &(request, index) in answers {
            let Some(pending) = self.pending.remove(&request) else { continue };
            if matches!(pending.kind, PendingKind::LogRead) {
                self.trace(&[self.read_event("log", index)])?;
            }
            let reply = index.checked_sub(first).and_then(|at| replies.get_mut(at as usize));
            let answer = match reply {
                Some(reply) => Answer::Done { index, reply: std::mem::replace(reply, Reply::Done) },
                None => Answer::Unknown("the entry was not among those applied"),
            };
            respond(pending.answer, answer);
        }
        Ok(())
    }

    fn read_now(&self, key: &str) -> Answer {
        Answer::Done { index: self.applied, reply: Reply::Value(self.store.get(key).cloned()) }
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

    /// Forgets requests whose clients have gone away or have been told that the outcome is unknown.
    fn sweep(&mut self) {
        if self.pending.is_empty() || Instant::now() < self.next_sweep {
            return;
        }
        self.pending.retain(|_, pending| !pending.answer.is_closed());
        self.next_sweep = Instant::now() + SWEEP_INTERVAL;
    }

    fn status(&self) -> NodeStatus {
        NodeStatus {
            raft: self.raft.status(),
            rules: self.raft.rules().list(),
            keys: self.store.keys(),
            sessions: self.store.sessions(),
            pending: self.pending.len(),
        }
    }
}

/// Answers a request. That its client has gone away is no failure.
fn respond(to: oneshot::Sender<Answer>, answer: Answer) {
    let _ = to.send(answer);
}
