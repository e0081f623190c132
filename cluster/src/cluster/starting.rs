//! Starting nodes: all of a new cluster, one again, one otherwise than before.

use std::collections::BTreeSet;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::levers::{LeverError, ProcessState};
use crate::order::FailpointAction;
use crate::process::NodeProcess;
use crate::start::{StartAs, StartOutcome};
use crate::system::{Entry, NodeId, NodeSpec, Start, System};

use super::node::Node;
use super::{Cluster, NodeExited, Reporter, StartError};

/// How often a starting node is asked whether it is there, and how long it may take over the answer.
const READY_INTERVAL: Duration = Duration::from_millis(5);
const READY_ANSWER_LIMIT: Duration = Duration::from_millis(250);

impl Cluster {
    /// Starts what the host is at present, with what is particular about this start.
    pub(super) fn spawn(&self, node: &Node, how: &StartAs) -> Result<(), StartError> {
        let host = node.host();
        let mut spec = node.spec(&self.nodes);
        spec.start.failpoints = how.failpoints.clone();
        spec.start.bootstrap = how.bootstrap;
        let command = self.system.command(&spec);
        let failed = |error| StartError::Spawn(host, command.program.display().to_string(), error);
        let netns = self.hosts.node(host).ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
        let process =
            NodeProcess::spawn(&command, netns, &node.place, node.clock.as_ref()).map_err(failed)?;
        tracing::debug!(node = %host, pid = process.id(), "started");
        if how.failpoints.iter().any(|failpoint| failpoint.action == FailpointAction::Crash) {
            process.may_crash();
        }
        self.exits.started.fetch_add(1, Ordering::SeqCst);
        let errors = node.disk_errors();
        let watched = (Arc::clone(&self.nodes), host);
        tokio::spawn(report_exit(watched, errors, Arc::clone(&process), self.exits.clone()));
        *node.lock() = Some(process);
        Ok(())
    }

    /// Waits until every node has answered once. A node that ends meanwhile is the error, not one that waits for it.
    pub(super) async fn all_ready(&self, deadline: Instant, timeout: Duration) -> Result<(), StartError> {
        let mut silent: BTreeSet<NodeId> = self.members.iter().map(|(id, _)| *id).collect();
        let mut answers = JoinSet::new();
        let members = &self.nodes[..self.members.len()];
        for node in members {
            answers.spawn(first_answer(Arc::clone(&self.system), node.spec(&self.nodes)));
        }
        while let Some(some_silent) = silent.first().copied() {
            match tokio::time::timeout(READY_INTERVAL, answers.join_next()).await {
                Ok(Some(Ok(id))) => {
                    silent.remove(&id);
                }
                // A task that panicked never answers; the deadline says so.
                Ok(_) => tokio::time::sleep(READY_INTERVAL).await,
                Err(_) => {}
            }
            for node in members {
                if let Some(status) = node.lock().as_ref().and_then(|process| process.exit_status()) {
                    return Err(StartError::Exited(node.host(), status, node.last_output()));
                }
            }
            if Instant::now() >= deadline && !silent.is_empty() {
                return Err(StartError::Silent(some_silent, timeout, self.last_output(some_silent)));
            }
        }
        members.iter().filter_map(Node::running).for_each(|process| process.has_answered());
        Ok(())
    }

    pub(super) async fn start_again(&self, id: NodeId) -> Result<(), LeverError> {
        let node = self.node(id)?;
        let _changing = node.changing.lock().await;
        self.start_down(node, &StartAs::default()).await
    }

    /// Starts a node with what is particular about this start, and waits until it answers or ends.
    pub(super) async fn start_otherwise(
        &self,
        id: NodeId,
        how: StartAs,
        patience: Duration,
    ) -> Result<StartOutcome, LeverError> {
        let deadline = Instant::now() + patience;
        let node = self.node(id)?;
        let printed = {
            let _changing = node.changing.lock().await;
            self.check_start(node, &how)?;
            let persona = node.persona().started(&how);
            let before = std::mem::replace(&mut *node.persona(), persona);
            let printed = node.printed();
            if let Err(error) = self.start_down(node, &how).await {
                *node.persona() = before;
                return Err(error);
            }
            printed
        };
        let Some(process) = node.lock().clone() else { return Ok(StartOutcome::Silent) };
        let spec = node.spec(&self.nodes);
        tokio::select! {
            biased;
            status = process.exited() => Ok(refused(status, node.printed_since(printed))),
            _ = first_answer(Arc::clone(&self.system), spec) => {
                process.has_answered();
                Ok(StartOutcome::Answers)
            }
            () = tokio::time::sleep_until(deadline.into()) => Ok(StartOutcome::Silent),
        }
    }

    /// What this system, or this host, cannot be started as.
    fn check_start(&self, node: &Node, how: &StartAs) -> Result<(), LeverError> {
        let start = Start {
            rules: how.rules.clone().unwrap_or_default(),
            failpoints: how.failpoints.clone(),
            bootstrap: how.bootstrap,
            entry: Entry::Initial,
            cluster: how.cluster.clone(),
        };
        let plain = start.is_plain() && how.members.is_none();
        if !plain && !self.system.capabilities().starts {
            let message = format!("{} nodes cannot be started otherwise than the others", self.system.name());
            return Err(LeverError::Unsupported(message));
        }
        let Some(twin) = how.twin else { return Ok(()) };
        self.node(twin.of)?;
        if self.members.iter().any(|(member, _)| *member == node.host()) {
            let message =
                format!("{} is a member itself, a twin of {} needs a spare host", node.host(), twin.of);
            return Err(LeverError::WrongState(message));
        }
        Ok(())
    }

    /// How many processes of nodes have ended so far. Each is reported, but maybe a moment later.
    pub fn ended(&self) -> usize {
        let lives =
            |node: &&Node| node.running().is_some_and(|process| process.state() != ProcessState::Down);
        self.exits.started.load(Ordering::SeqCst).saturating_sub(self.nodes.iter().filter(lives).count())
    }

    async fn start_down(&self, node: &Node, how: &StartAs) -> Result<(), LeverError> {
        if !node.is_down().await {
            return Err(LeverError::WrongState(format!("{} is not down", node.host())));
        }
        self.spawn(node, how).map_err(|error| LeverError::Failed(error.to_string()))
    }
}

fn refused(status: ExitStatus, said: String) -> StartOutcome {
    StartOutcome::Refused { code: status.code(), status: status.to_string(), said }
}

async fn report_exit(
    (nodes, node): (Arc<[Node]>, NodeId),
    errors_before: u64,
    process: Arc<NodeProcess>,
    exits: Reporter,
) {
    let status = process.exited().await;
    let errors = nodes.iter().find(|one| one.host() == node).map_or(0, Node::disk_errors);
    let disk_errors = errors.saturating_sub(errors_before);
    if !exits.stopping.load(Ordering::SeqCst) {
        // Nobody listens any more at the end of a run.
        let (asked, answered, limits) = (process.asked(), process.answered(), process.limits());
        let _ = exits.sender.send(NodeExited { node, status, asked, answered, disk_errors, limits });
    }
}

async fn first_answer(system: Arc<dyn System>, spec: NodeSpec) -> NodeId {
    while system.observe(&spec, READY_ANSWER_LIMIT).await.is_none() {
        tokio::time::sleep(READY_INTERVAL).await;
    }
    spec.id
}
