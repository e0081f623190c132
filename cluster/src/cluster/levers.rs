//! The levers of a running cluster.

use std::time::{Duration, Instant};

use crate::clock::{ClockFamily, ClockSetting, ClockState};
use crate::disk::{Disk, DiskEdit, DiskState, DiskTrouble};
use crate::edit::{DataEdit, FileEdit};
use crate::levers::{LeverError, Levers, Link, LinkRule, LinkStats, NodeSignal, ProcessState, no_disk};
use crate::limits::{LimitState, Limits};
use crate::order::{FailpointAction, Order};
use crate::start::{StartAs, StartOutcome};
use crate::system::{BoxFuture, NodeId, View};

use super::node::Node;
use super::{Cluster, ORDER_LIMIT, SETTLE_LIMIT};

impl Levers for Cluster {
    fn nodes(&self) -> Vec<NodeId> {
        self.members.iter().map(|(id, _)| *id).collect()
    }

    fn spares(&self) -> Vec<NodeId> {
        self.nodes[self.members.len()..].iter().map(Node::host).collect()
    }

    fn set_links(&self, rules: &[(Link, LinkRule)]) -> Result<Instant, LeverError> {
        self.network.set_links(rules)
    }

    fn link(&self, link: Link) -> (LinkRule, LinkStats) {
        self.network.link(link)
    }

    fn process(&self, node: NodeId) -> ProcessState {
        let process = self.node(node).ok().and_then(Node::running);
        process.map_or(ProcessState::Down, |process| process.state())
    }

    fn signal(&self, node: NodeId, signal: NodeSignal) -> BoxFuture<'_, Result<(), LeverError>> {
        Box::pin(self.signal_and_settle(node, signal))
    }

    fn wait_down(&self, node: NodeId, timeout: Duration) -> BoxFuture<'_, bool> {
        let process = self.node(node).ok().and_then(Node::running);
        Box::pin(async move {
            let Some(process) = process else { return true };
            tokio::time::timeout(timeout, process.exited()).await.is_ok()
        })
    }

    fn start(&self, node: NodeId) -> BoxFuture<'_, Result<(), LeverError>> {
        Box::pin(self.start_again(node))
    }

    fn look(&self, node: NodeId, timeout: Duration) -> BoxFuture<'_, Option<View>> {
        Box::pin(self.observe(node, timeout))
    }

    fn start_as(
        &self,
        node: NodeId,
        how: StartAs,
        patience: Duration,
    ) -> BoxFuture<'_, Result<StartOutcome, LeverError>> {
        Box::pin(self.start_otherwise(node, how, patience))
    }

    fn edit_data(&self, node: NodeId, edit: DataEdit) -> BoxFuture<'_, Result<String, LeverError>> {
        Box::pin(self.edit_the_data(node, edit))
    }

    fn edit(&self, node: NodeId, edit: FileEdit) -> BoxFuture<'_, Result<String, LeverError>> {
        Box::pin(self.edit_files(node, edit))
    }

    fn set_disk(&self, node: NodeId, trouble: DiskTrouble) -> Result<Instant, LeverError> {
        let disk = self.node(node)?.disk.as_ref().ok_or_else(|| no_disk(node))?;
        Ok(disk.set_trouble(trouble))
    }

    fn disk(&self, node: NodeId) -> Option<DiskState> {
        self.node(node).ok()?.disk.as_ref().map(Disk::state)
    }

    fn edit_disk(
        &self,
        node: NodeId,
        edit: DiskEdit,
        seed: u64,
    ) -> BoxFuture<'_, Result<String, LeverError>> {
        Box::pin(async move { self.edit_the_disk(node, &edit, seed).await })
    }

    fn order(&self, node: NodeId, order: Order) -> BoxFuture<'_, Result<String, LeverError>> {
        Box::pin(self.order_and_note(node, order))
    }

    fn set_clock(
        &self,
        node: NodeId,
        family: ClockFamily,
        setting: &ClockSetting,
    ) -> Result<Instant, LeverError> {
        let clock = self.node(node)?.clock.as_ref();
        let host = || LeverError::Unsupported(format!("{node} goes by the clocks of the host"));
        clock.ok_or_else(host)?.set(family, setting)
    }

    fn set_limits(&self, node: NodeId, limits: Limits) -> Result<Instant, LeverError> {
        let host = self.node(node)?;
        let down = || LeverError::WrongState(format!("{node} is down"));
        let process = host.running().ok_or_else(down)?;
        match host.limited.set(&process, limits) {
            Ok(()) if process.state() == ProcessState::Down => Err(down()),
            Ok(()) => Ok(Instant::now()),
            Err(error) => Err(LeverError::Failed(format!("cannot limit {node}: {error}"))),
        }
    }

    fn limits(&self, node: NodeId) -> LimitState {
        self.node(node).map(|node| node.limited.state()).unwrap_or_default()
    }

    fn clock(&self, node: NodeId, family: ClockFamily) -> Option<ClockState> {
        self.node(node).ok()?.clock.as_ref().map(|clock| clock.state(family))
    }
}

impl Cluster {
    /// Tells a node an order. One that is to crash does so because it was told to.
    async fn order_and_note(&self, id: NodeId, order: Order) -> Result<String, LeverError> {
        let node = self.node(id)?;
        let down = || LeverError::WrongState(format!("{id} is down"));
        let process = node.running().ok_or_else(down)?;
        let crash =
            matches!(&order, Order::Failpoint(failpoint) if failpoint.action == FailpointAction::Crash);
        if crash {
            // Before it is told: it may be dead before it has answered.
            process.may_crash();
        }
        let told = self.system.order(&node.spec(&self.nodes), order, ORDER_LIMIT).await;
        if crash && matches!(told, Err(LeverError::WrongState(_) | LeverError::Unsupported(_))) {
            process.may_not_crash();
        }
        told
    }

    async fn signal_and_settle(&self, id: NodeId, signal: NodeSignal) -> Result<(), LeverError> {
        let down = || LeverError::WrongState(format!("{id} is down"));
        let process = self.node(id)?.running().ok_or_else(down)?;
        match process.signal(signal) {
            Ok(true) => {}
            Ok(false) => return Err(down()),
            Err(error) => return Err(LeverError::Failed(format!("cannot signal {id}: {error}"))),
        }
        if signal == NodeSignal::Kill
            && let Some(disk) = &self.node(id)?.disk
        {
            // A thread that waits for its disk could not die. It never sees the error: it has been killed.
            disk.fail_waiting();
        }
        let settled = match signal {
            NodeSignal::Pause => process.settled(ProcessState::Paused, SETTLE_LIMIT).await,
            NodeSignal::Resume => process.settled(ProcessState::Running, SETTLE_LIMIT).await,
            NodeSignal::Kill => tokio::time::timeout(SETTLE_LIMIT, process.exited()).await.is_ok(),
            NodeSignal::Terminate => true,
        };
        match (settled, process.exit_status()) {
            (true, _) => Ok(()),
            (false, Some(status)) => Err(LeverError::WrongState(format!("{id} has ended ({status})"))),
            (false, None) => {
                let message = format!("{id} did not obey {signal:?} within {SETTLE_LIMIT:?}");
                Err(LeverError::Failed(message))
            }
        }
    }
}
