//! Nodes that kill themselves at a failpoint.
//!
//! Invariant: undoing ends with nodes that run and have the point disarmed, whether they came to it or not.

use cluster::levers::{LeverError, Levers, ProcessState};
use cluster::order::{Failpoint, Order};
use cluster::system::NodeId;
use serde::{Deserialize, Serialize};

use crate::fault::Injection;
use crate::moves::{list, together};
use crate::target::Effect;

/// Nodes with an armed failpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Armed {
    /// Which.
    pub nodes: Vec<NodeId>,
    /// The point, and what happens there.
    pub failpoint: Failpoint,
}

impl Armed {
    /// One line for the status and the report.
    pub(crate) fn describe(&self) -> String {
        let Failpoint { point, skip, .. } = &self.failpoint;
        let times = if *skip == 0 { String::new() } else { format!(", {skip} times past it") };
        format!("{} to crash at {point}{times}", list(&self.nodes))
    }
}

/// Arms the point.
pub(crate) async fn arm(armed: &Armed, levers: &dyn Levers) -> Injection {
    let order = || Order::Failpoint(armed.failpoint.clone());
    let results = together(armed.nodes.iter().map(|node| levers.order(*node, order())).collect()).await;
    let untouched = |result: &Result<String, LeverError>| {
        matches!(result, Err(LeverError::WrongState(_) | LeverError::Unsupported(_)))
    };
    let nothing = results.iter().all(untouched);
    let mut said = Vec::new();
    let mut failed = false;
    for (node, result) in armed.nodes.iter().zip(results) {
        match result {
            Ok(_) => said.push(format!("{node} is armed")),
            // It may have come to the point before it had answered.
            Err(_) if levers.process(*node) == ProcessState::Down => said.push(format!("{node} is down")),
            Err(error) => {
                failed = true;
                said.push(format!("{node}: {error}"));
            }
        }
    }
    let said = said.join(", ");
    match (nothing, failed) {
        (true, _) => Injection::Skipped(said),
        (false, true) => Injection::Indeterminate(said),
        (false, false) => Injection::installed(said),
    }
}

/// Which of them came to the point.
pub(crate) fn effect(armed: &Armed, levers: &dyn Levers) -> Effect {
    let point = &armed.failpoint.point;
    let (down, up): (Vec<NodeId>, Vec<NodeId>) =
        armed.nodes.iter().partition(|node| levers.process(**node) == ProcessState::Down);
    match (down.is_empty(), up.is_empty()) {
        (true, _) => Effect::None(format!("{} did not come to {point}", list(&up))),
        (false, true) => Effect::Seen(format!("{} crashed at {point}", list(&down))),
        (false, false) => {
            Effect::Seen(format!("{} crashed at {point}, {} did not come to it", list(&down), list(&up)))
        }
    }
}

/// Disarms the point at those that run.
pub(crate) async fn disarm(armed: &Armed, levers: &dyn Levers) -> Result<(), String> {
    let release = || Order::ReleaseFailpoint { point: Some(armed.failpoint.point.clone()) };
    for node in &armed.nodes {
        if levers.process(*node) == ProcessState::Down {
            continue;
        }
        match levers.order(*node, release()).await {
            // It is down by now, or was started again since, and then nothing is armed.
            Ok(_) | Err(LeverError::WrongState(_)) => {}
            Err(_) if levers.process(*node) == ProcessState::Down => {}
            Err(error) => return Err(format!("{node}: {error}")),
        }
    }
    Ok(())
}
