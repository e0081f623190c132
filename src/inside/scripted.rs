//! The timeline's part in a choreography: deeds and calls go out to tasks, and what they come to is recorded and told.
//!
//! Invariant: an operation has one invocation in the history, however often it is sent, and one completion at most; the call
//! is stamped before it is sent, its end after it was received, like any other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use checker::history::{Event, EventBody, Outcome, ProcessId};
use cluster::client::{Client, Completion};
use cluster::cluster::Cluster;
use cluster::levers::Levers;
use cluster::system::{Direct, NodeId, ReadMode, WriteMode};
use tokio::sync::mpsc::UnboundedSender;

use super::faults::{FaultEvent, Report};
use super::output;
use super::stage::{Event as StageEvent, Stage};
use super::tail::Tail;
use super::timeline::{Incoming, Timeline};
use crate::director::script::{Attempt, Deed, Invocation, News, StoryLine, Taken, Todo};
use crate::director::{End, Nanos, Signal};
use crate::events::RunEvent;
use crate::recorder::LineFile;

/// Where a client that may turn to any node begins.
const HOME: NodeId = NodeId(1);

/// What a choreography needs of the recording process.
pub(super) struct Scripted {
    pub(super) stage: Stage,
    pub(super) tail: Tail,
    pub(super) story: LineFile,
    /// Connections of clients with a name.
    pub(super) clients: BTreeMap<Connection, Arc<dyn Client>>,
    /// Nodes that may end by themselves, because a step wants so.
    pub(super) excused: BTreeSet<NodeId>,
}

/// Who is connected, to whom, how it reads, and what its writes are.
type Connection = (String, Option<NodeId>, &'static str, WriteMode);

/// An operation of a step on its way.
pub(super) struct StepCall {
    number: u64,
    process: ProcessId,
    attempt: Attempt,
}

impl Scripted {
    /// Undoes everything; a report follows.
    pub(super) fn finish(&self, sender: UnboundedSender<Incoming>) {
        let stage = self.stage.clone();
        tokio::spawn(async move {
            let healed = stage.finish().await;
            let _ = sender.send(Incoming::Fault(Report::Healed { healed, returned: Instant::now() }));
        });
    }

    /// Whether a node may end by itself.
    pub(super) fn excuses(&self, node: NodeId) -> bool {
        self.excused.contains(&node)
    }

    /// Hands the story to the kernel.
    pub(super) fn flush(&mut self) -> Result<(), String> {
        self.story.flush().map_err(|error| error.to_string())
    }

    fn tell(&mut self, line: &StoryLine) -> Result<(), String> {
        let text = serde_json::to_string(line).map_err(|error| error.to_string())?;
        let written = self.story.line(|buffer| {
            buffer.push_str(&text);
            buffer.push('\n');
        });
        written.and_then(|()| self.story.flush()).map_err(|error| error.to_string())
    }

    /// The connection of a call: one of its own, unless its client has a name.
    fn connection(&mut self, cluster: &Cluster, call: &Invocation) -> Result<Arc<dyn Client>, String> {
        let op_timeout = Duration::from_nanos(call.timeout_ns);
        let connect = || match call.at {
            None => Ok(cluster.connect(HOME, op_timeout)),
            Some(node) => {
                let (read_mode, write_mode) = (call.mode, call.write_mode.clone());
                cluster.connect_to(node, Direct { op_timeout, read_mode, write_mode })
            }
        };
        let Some(name) = &call.client else { return connect().map_err(|error| error.to_string()) };
        let key = (name.clone(), call.at, mode(call.mode), call.write_mode.clone());
        let connection = match self.clients.get(&key) {
            Some(known) => known.clone(),
            None => {
                let made = connect().map_err(|error| error.to_string())?;
                self.clients.insert(key, made.clone());
                made
            }
        };
        // A client is one to itself, wherever it turns: what one node has shown it, it tells the next.
        let own = self.clients.iter().filter(|((whose, ..), _)| whose == name);
        connection.has_seen(own.map(|(_, client)| client.seen()).max().unwrap_or(0));
        Ok(connection)
    }
}

fn mode(mode: ReadMode) -> &'static str {
    match mode {
        ReadMode::ByRules => "by-rules",
        ReadMode::Log => "log",
        ReadMode::ReadIndex => "read-index",
        ReadMode::Lease => "lease",
        ReadMode::Local => "local",
    }
}

impl Timeline {
    /// Does what a step wants.
    pub(super) fn todo(&mut self, now: Nanos, todo: Todo) -> Result<(), String> {
        match todo {
            Todo::Take { ticket, deed } => {
                let picture = self.picture_with_spares();
                let Some(scripted) = &mut self.scripted else { return Ok(()) };
                scripted.excused.extend(excused(&deed, &self.cluster.spares()));
                let (stage, sender) = (scripted.stage.clone(), self.sender.clone());
                tokio::spawn(async move {
                    let (taken, events) = stage.take(ticket, deed, picture).await;
                    let _ = sender.send(Incoming::Taken { ticket, taken, events });
                });
                Ok(())
            }
            Todo::Invoke(call) => self.invoke(now, call),
            Todo::Tell(line) => {
                output::event(&RunEvent::Step { at: line.t, text: line.text() });
                self.scripted.as_mut().map_or(Ok(()), |scripted| scripted.tell(&line))
            }
        }
    }

    fn invoke(&mut self, _: Nanos, call: Invocation) -> Result<(), String> {
        let Some(scripted) = &mut self.scripted else { return Ok(()) };
        let client = scripted.connection(&self.cluster, &call)?;
        if call.attempt != Attempt::Later {
            let node = call.at.map(|node| node.to_string());
            let body = EventBody::Invoke(call.op.clone());
            self.record(&Event { time: self.clock.now(), process: call.process, node, body })?;
        }
        let sender = self.sender.clone();
        tokio::spawn(async move {
            let Invocation { number, process, op, place, attempt, .. } = call;
            let completion = match place {
                None => client.call(process, &op).await,
                Some(place) => client.call_as(process, &op, place).await,
            };
            let call = StepCall { number, process, attempt };
            let _ = sender.send(Incoming::Answered { call, completion });
        });
        Ok(())
    }

    /// An attempt has ended, and with it the operation, unless it can be sent again and this says nothing definite.
    pub(super) fn answered(
        &mut self,
        now: Nanos,
        call: StepCall,
        completion: Completion,
    ) -> Result<Option<End>, String> {
        let outcome = completion.outcome;
        let ends = match call.attempt {
            Attempt::Only => true,
            Attempt::First => !matches!(outcome, Outcome::Unknown(_)),
            Attempt::Later => matches!(outcome, Outcome::Ok(_)),
        };
        if ends {
            let node = completion.node.map(|node| node.to_string());
            let body = EventBody::Complete(outcome.clone());
            self.record(&Event { time: now, process: call.process, node, body })?;
        }
        self.handle_at(now, Signal::Script(News::Ended { number: call.number, outcome }))
    }

    /// A deed is done: what it changed about faults is recorded.
    pub(super) fn taken(
        &mut self,
        now: Nanos,
        ticket: u64,
        taken: Taken,
        events: Vec<StageEvent>,
    ) -> Result<Option<End>, String> {
        for event in events {
            let StageEvent { id, fault, what, at, event } = event;
            let at = self.clock.at(at);
            let event = match event {
                FaultEvent::Installed { proof, .. } => {
                    FaultEvent::Installed { requested: at, effective: at, proof }
                }
                other => other,
            };
            let line = self.faults.of_step(id, &fault, &what, at, event)?;
            output::fault(&line);
        }
        self.handle_at(now, Signal::Script(News::Taken { ticket, taken }))
    }

    /// Reads the traces, if a step waits for what is in them.
    pub(super) fn read_traces(&mut self) -> Result<Option<End>, String> {
        if !self.director.wants().trace {
            return Ok(None);
        }
        let Some(scripted) = &mut self.scripted else { return Ok(None) };
        let lines = scripted.tail.read();
        let now = self.clock.now();
        self.handle_at(now, Signal::Script(News::Traced { lines }))
    }
}

/// Nodes that may end by themselves behind this.
fn excused(deed: &Deed, spares: &[NodeId]) -> Vec<NodeId> {
    match deed {
        // A twin that ends when it finds itself does right.
        Deed::Fault { used, .. } if used.fault == "twin" => spares.to_vec(),
        Deed::Start { nodes, .. } | Deed::Edit { nodes, .. } | Deed::PowerLoss { nodes } => nodes.clone(),
        other => other.dooms(),
    }
}
