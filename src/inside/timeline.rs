//! The one event loop of a run.
//!
//! In come completions, faults, exits, views and the clock; out go calls and faults. Everything that comes in is stamped
//! here and recorded here, and nowhere else is a clock read or the history written. A call is stamped before it is sent
//! and its completion after it was received, so a delay anywhere only widens the interval of an operation: that may
//! blur a violation, and never makes one up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use checker::history::{Event, EventBody, Op, Outcome, ProcessId};
use cluster::client::{Client, Completion};
use cluster::cluster::{Cluster, NodeExited};
use cluster::levers::{Levers, ProcessState};
use cluster::system::{NodeId, Role, View};
use nemesis::picture::{NodePicture, Picture};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::clock::Clock;
use super::faults::{FaultEvent, Faults, Report};
use super::memory::Memory;
use super::output;
use super::scripted::{Scripted, StepCall};
use super::stage::Event as StageEvent;
use crate::director::script::{Missed, News, Taken};
use crate::director::{Action, Director, End, Nanos, Signal};
use crate::events::{Calls, Phase, RunEvent};
use crate::recorder::HistoryFile;
use crate::rundir::{ExitRecord, PhaseRecord};

/// How often every node is asked about itself.
const OBSERVE_EVERY: Duration = Duration::from_millis(100);
/// How long a node may take over the answer.
const OBSERVE_TIMEOUT: Duration = Duration::from_millis(300);
/// A view older than this counts as none. A leader answers within milliseconds; one that does not is paused or gone.
const VIEW_FRESH: Duration = Duration::from_millis(500);
/// How often progress is reported.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// How long the report of an end may take.
const LAST_EXITS: Duration = Duration::from_secs(2);

/// What can happen in a run.
pub(super) enum Incoming {
    /// A call ended.
    Completed { client: usize, process: ProcessId, op: Op, completion: Completion },
    /// A fault was installed or undone.
    Fault(Report),
    /// A node told of itself, or did not.
    Observed { node: NodeId, asked: Instant, view: Option<Box<View>>, process: ProcessState },
    /// A deed of a step is done, or not.
    Taken { ticket: u64, taken: Taken, events: Vec<StageEvent> },
    /// An attempt of an operation of a step ended.
    Answered { call: StepCall, completion: Completion },
    /// A node's process ended.
    Exited(NodeExited),
    /// The user wants it to end.
    Interrupted,
}

/// What a finished timeline leaves behind.
pub(super) struct Record {
    pub(super) end: End,
    pub(super) calls: Calls,
    pub(super) phases: Vec<PhaseRecord>,
    pub(super) unexpected_exits: Vec<ExitRecord>,
    pub(super) recovered_after: Option<Nanos>,
    pub(super) missed: Option<Missed>,
}

/// The loop and everything that it writes to.
pub(super) struct Timeline {
    pub(super) clock: Clock,
    pub(super) director: Director,
    pub(super) history: HistoryFile,
    pub(super) faults: Faults,
    pub(super) memory: Memory,
    pub(super) cluster: Arc<Cluster>,
    pub(super) clients: Vec<Arc<dyn Client>>,
    pub(super) homes: Vec<NodeId>,
    pub(super) incoming: UnboundedReceiver<Incoming>,
    pub(super) sender: UnboundedSender<Incoming>,
    pub(super) state: State,
    /// Who takes the steps of a choreography; `None` without one.
    pub(super) scripted: Option<Scripted>,
}

/// What the loop knows of the cluster and of the run.
#[derive(Default)]
pub(super) struct State {
    views: BTreeMap<NodeId, (View, Instant)>,
    asked: BTreeMap<NodeId, Instant>,
    phases: Vec<PhaseRecord>,
    unexpected_exits: Vec<ExitRecord>,
    /// How many ends of processes were reported.
    exits: usize,
    recovered_after: Option<Nanos>,
    open_calls: usize,
    last_completion: Nanos,
    next_observation: Nanos,
    next_progress: Nanos,
}

impl Timeline {
    /// Runs until the director stops it. An error is one of the harness; what was recorded until then is on the disk.
    pub(super) async fn run(mut self) -> (Record, Result<(), String>) {
        let result = self.play().await;
        self.note_last_exits().await;
        let flushed = self.history.flush().map_err(|error| error.to_string());
        let faults = self.faults.flush();
        let memory = self.memory.flush();
        let story = self.scripted.as_mut().map_or(Ok(()), Scripted::flush);
        let (end, result) = match result {
            Ok(end) => (end, flushed.and(faults).and(memory).and(story)),
            Err(error) => (End::Interrupted, Err(error)),
        };
        let record = Record {
            end,
            calls: self.director.calls(),
            phases: self.state.phases,
            unexpected_exits: self.state.unexpected_exits,
            recovered_after: self.state.recovered_after,
            missed: self.director.missed().cloned(),
        };
        (record, result)
    }

    async fn play(&mut self) -> Result<End, String> {
        // What the nodes look like as soon as they answer is what the first steps are about.
        self.look_around()?;
        if let Some(end) = self.handle(Signal::Ready)? {
            return Ok(end);
        }
        loop {
            let incoming = self.next().await;
            let mut end = match incoming {
                Some(incoming) => self.take(incoming)?,
                None => self.handle(Signal::Due)?,
            };
            // Whatever else has arrived is dealt with before the disk is touched: one write for all of it.
            while end.is_none() {
                match self.incoming.try_recv() {
                    Ok(incoming) => end = self.take(incoming)?,
                    Err(_) => break,
                }
            }
            if let Some(end) = end {
                return Ok(end);
            }
            self.history.flush().map_err(|error| error.to_string())?;
            if let Some(end) = self.read_traces()? {
                return Ok(end);
            }
            self.look_around()?;
        }
    }

    /// Waits for the next thing to happen; `None` if a time has come.
    async fn next(&mut self) -> Option<Incoming> {
        let due = self.director.next_due(self.clock.now()).unwrap_or(Nanos::MAX);
        let due = due.min(self.state.next_observation).min(self.state.next_progress).min(self.memory.next());
        if due <= self.clock.now() {
            return self.incoming.try_recv().ok();
        }
        let until = self.clock.instant(due).unwrap_or_else(Instant::now);
        tokio::select! {
            biased;
            incoming = self.incoming.recv() => incoming,
            () = tokio::time::sleep_until(until.into()) => None,
        }
    }

    fn take(&mut self, incoming: Incoming) -> Result<Option<End>, String> {
        let now = self.clock.now();
        match incoming {
            Incoming::Completed { client, process, op, completion } => {
                self.state.open_calls -= 1;
                self.state.last_completion = now;
                let outcome = completion.outcome;
                let node = completion.node.map(|node| node.to_string());
                self.note_recovery(now, &op, &outcome);
                let body = EventBody::Complete(outcome.clone());
                self.record(&Event { time: now, process, node, body })?;
                self.handle_at(now, Signal::Completed { client, process, op, outcome })
            }
            Incoming::Fault(report) => self.take_report(now, report),
            Incoming::Observed { node, asked, view, process } => {
                if self.state.asked.get(&node) == Some(&asked) {
                    self.state.asked.remove(&node);
                }
                if let Some(view) = &view {
                    self.state.views.insert(node, (View::clone(view), asked));
                }
                if self.scripted.is_some() {
                    let news = News::Seen { node, asked: self.clock.at(asked), view, process };
                    if let Some(end) = self.handle_at(now, Signal::Script(news))? {
                        return Ok(Some(end));
                    }
                }
                if self.converged() { self.handle_at(now, Signal::Converged) } else { Ok(None) }
            }
            Incoming::Exited(exited) => {
                self.note_exit(now, exited);
                let process = self.cluster.process(exited.node);
                let news = News::Process { node: exited.node, process };
                if self.scripted.is_some() { self.handle_at(now, Signal::Script(news)) } else { Ok(None) }
            }
            Incoming::Taken { ticket, taken, events } => self.taken(now, ticket, taken, events),
            Incoming::Answered { call, completion } => self.answered(now, call, completion),
            Incoming::Interrupted => self.handle_at(now, Signal::Interrupted),
        }
    }

    fn take_report(&mut self, now: Nanos, report: Report) -> Result<Option<End>, String> {
        match report {
            Report::Injected { id, result, returned } => {
                let lever = match &result {
                    Ok(nemesis::fault::Injection::Installed(installed)) => installed.effective,
                    _ => None,
                };
                let effective = self.clock.at(lever.unwrap_or(returned));
                let line = self.faults.injected(id, now, effective, result)?;
                output::fault(&line);
                let signal = match line.event {
                    FaultEvent::Skipped { .. } => Signal::Skipped { id },
                    _ => Signal::Installed { id },
                };
                self.handle_at(now, signal)
            }
            Report::Undone { id, result, returned } => {
                if let Some(line) = self.faults.undone(id, self.clock.at(returned), result)? {
                    output::fault(&line);
                }
                Ok(None)
            }
            Report::Healed { healed, returned } => {
                for line in self.faults.healed(self.clock.at(returned), healed)? {
                    output::fault(&line);
                }
                self.handle_at(now, Signal::Healed)
            }
        }
    }

    fn handle(&mut self, signal: Signal) -> Result<Option<End>, String> {
        self.handle_at(self.clock.now(), signal)
    }

    pub(super) fn handle_at(&mut self, now: Nanos, signal: Signal) -> Result<Option<End>, String> {
        let mut actions = Vec::new();
        self.director.handle(now, signal, &mut actions);
        let mut end = None;
        for action in actions {
            if let Some(stop) = self.perform(now, action)? {
                end = Some(stop);
            }
        }
        Ok(end)
    }

    fn perform(&mut self, now: Nanos, action: Action) -> Result<Option<End>, String> {
        match action {
            Action::Call { client, process, op } => self.call(client, process, op)?,
            Action::Inject { id } => {
                let picture = self.picture();
                if let Some(line) = self.faults.inject(id, now, &picture)? {
                    output::fault(&line);
                    return self.handle_at(now, Signal::Skipped { id });
                }
            }
            Action::Undo { id } => self.faults.undo(id),
            Action::Heal => match &self.scripted {
                Some(scripted) => scripted.finish(self.sender.clone()),
                None => self.faults.heal(),
            },
            Action::Script(todo) => self.todo(now, todo)?,
            Action::Enter(phase) => {
                self.state.phases.push(PhaseRecord { phase, at: now, events: self.history.events() });
                output::event(&RunEvent::Phase { at: now, phase });
            }
            Action::Stop(end) => return Ok(Some(end)),
        }
        Ok(None)
    }

    fn call(&mut self, client: usize, process: ProcessId, op: Op) -> Result<(), String> {
        let (Some(connection), Some(home)) = (self.clients.get(client), self.homes.get(client)) else {
            return Err(format!("the run has no client {client}"));
        };
        let (connection, sender) = (connection.clone(), self.sender.clone());
        let body = EventBody::Invoke(op.clone());
        let event = Event { time: self.clock.now(), process, node: Some(home.to_string()), body };
        self.record(&event)?;
        self.state.open_calls += 1;
        tokio::spawn(async move {
            let completion = connection.call(process, &op).await;
            // The loop is gone once the run is over; the call then stays open in the history.
            let _ = sender.send(Incoming::Completed { client, process, op, completion });
        });
        Ok(())
    }

    pub(super) fn record(&mut self, event: &Event) -> Result<(), String> {
        self.history.event(event).map_err(|error| error.to_string())
    }

    /// Asks every node about itself, and tells those outside how it goes, each in its own time.
    fn look_around(&mut self) -> Result<(), String> {
        let now = self.clock.now();
        self.memory.sample(now, &self.cluster)?;
        let wants = self.director.wants();
        for node in wants.nodes {
            self.observe(node);
        }
        if now >= self.state.next_observation {
            self.state.next_observation = now + OBSERVE_EVERY.as_nanos() as Nanos;
            for node in self.cluster.nodes() {
                self.observe(node);
            }
        }
        if now >= self.state.next_progress {
            self.state.next_progress = now + PROGRESS_EVERY.as_nanos() as Nanos;
            output::event(&RunEvent::Progress {
                at: now,
                calls: self.director.calls(),
                leader: self.leader(),
                active: self.faults.active(),
            });
        }
        Ok(())
    }

    fn observe(&mut self, node: NodeId) {
        if self.state.asked.contains_key(&node) {
            return;
        }
        let asked = Instant::now();
        self.state.asked.insert(node, asked);
        let (cluster, sender) = (self.cluster.clone(), self.sender.clone());
        tokio::spawn(async move {
            let process = cluster.process(node);
            let view = match process {
                ProcessState::Down => None,
                _ => cluster.observe(node, OBSERVE_TIMEOUT).await,
            };
            let view = view.map(Box::new);
            let _ = sender.send(Incoming::Observed { node, asked, view, process });
        });
    }

    /// Whether no call is open and all nodes have applied the same since the clients fell silent, as far as they tell. A
    /// system that does not tell what it has applied counts as agreed.
    fn converged(&self) -> bool {
        let Some(settling) = self.state.phases.last().filter(|last| last.phase == Phase::Settling) else {
            return false;
        };
        if self.state.open_calls > 0 {
            return false;
        }
        let silent_since = settling.at.max(self.state.last_completion);
        let mut applied = None;
        self.cluster.nodes().iter().all(|node| {
            let fresh = self.state.views.get(node).filter(|(_, asked)| self.clock.at(*asked) > silent_since);
            fresh.is_some_and(|(view, _)| {
                let all_applied = view.last_applied == view.commit_index;
                all_applied && *applied.get_or_insert(view.last_applied) == view.last_applied
            })
        })
    }

    fn picture(&self) -> Picture {
        self.picture_of(self.cluster.nodes())
    }

    /// The cluster with every spare host that runs, or has answered before: a host on which nothing ever ran is no node.
    pub(super) fn picture_with_spares(&self) -> Picture {
        let ran = |node: &NodeId| {
            self.cluster.process(*node) != ProcessState::Down || self.state.views.contains_key(node)
        };
        let spares = self.cluster.spares().into_iter().filter(ran);
        self.picture_of(self.cluster.nodes().into_iter().chain(spares).collect())
    }

    fn picture_of(&self, nodes: Vec<NodeId>) -> Picture {
        let nodes = nodes.into_iter().map(|id| NodePicture {
            id,
            process: self.cluster.process(id),
            view: self.state.views.get(&id).map(|(view, asked)| (view.clone(), asked.elapsed())),
        });
        let spares = Picture::free_spares(self.cluster.as_ref());
        let (active, healed) = (self.faults.claims(), self.faults.let_go());
        Picture { nodes: nodes.collect(), spares, healed, active, fresh: VIEW_FRESH }
    }

    fn leader(&self) -> Option<String> {
        let leads = |(node, (view, asked)): (&NodeId, &(View, Instant))| {
            let fresh = asked.elapsed() <= VIEW_FRESH && view.role == Some(Role::Leader);
            fresh.then_some((view.term, *node))
        };
        let (term, node) = self.state.views.iter().filter_map(leads).max()?;
        Some(term.map_or_else(|| format!("{node} leads"), |term| format!("{node} leads term {term}")))
    }

    fn note_recovery(&mut self, now: Nanos, op: &Op, outcome: &Outcome) {
        let Some(last) = self.state.phases.last() else { return };
        let after_healing = matches!(last.phase, Phase::Recovery | Phase::Settling | Phase::FinalReads);
        if after_healing
            && self.state.recovered_after.is_none()
            && !op.is_read()
            && matches!(outcome, Outcome::Ok(_))
        {
            let healed = self.state.phases.iter().find(|record| record.phase == Phase::Recovery);
            self.state.recovered_after = healed.map(|record| now - record.at);
        }
    }

    /// Waits for the reports of all processes that have ended: a step may have seen it a moment before its end was reported.
    async fn note_last_exits(&mut self) {
        let limit = Instant::now() + LAST_EXITS;
        while self.state.exits < self.cluster.ended() {
            match tokio::time::timeout_at(limit.into(), self.incoming.recv()).await {
                Ok(Some(Incoming::Exited(exited))) => self.note_exit(self.clock.now(), exited),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn note_exit(&mut self, now: Nanos, exited: NodeExited) {
        self.state.exits += 1;
        // A lever notes on the process what it asks of it. That a fault holds the node is no excuse: a node that cannot
        // start again at the end of one has ended by itself.
        // A node whose disk failed, because a fault wanted so, does right to stop; one that could open nothing more may.
        // A step may have wanted it so.
        let scripted = self.scripted.as_ref().is_some_and(|scripted| scripted.excuses(exited.node));
        // Without steps, only a twin runs on a spare host, and one that ends when it finds itself does right.
        let twin = self.scripted.is_none() && self.cluster.spares().contains(&exited.node);
        let excused = scripted || twin;
        let provoked = exited.disk_errors > 0 || exited.limits.descriptors.is_some();
        if exited.asked.is_none() && !provoked && !excused {
            let (node, status) = (exited.node.to_string(), exited.status.to_string());
            output::event(&RunEvent::NodeExited { at: now, node: node.clone(), status: status.clone() });
            let last = self.cluster.last_output(exited.node);
            self.state.unexpected_exits.push(ExitRecord { node, at: now, status, last });
        }
    }
}
