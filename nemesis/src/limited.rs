//! Nodes that may use less of the machine than they have: put under limits, and freed of them.
//!
//! Invariant: freeing moves towards a node that runs without limits; one that ended of them is started again.

use std::time::Duration;

use cluster::levers::{LeverError, Levers, ProcessState};
use cluster::limits::{LimitState, Limits};
use cluster::system::{BoxFuture, NodeId};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::fault::{Choice, Fault, Injection, Installed};
use crate::moves::list;
use crate::picture::Picture;
use crate::select::Selector;
use crate::target::{Effect, Target};

/// Nodes under limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limited {
    /// Which.
    pub nodes: Vec<NodeId>,
    /// The limits of each.
    pub limits: Limits,
}

impl Limited {
    /// One line for the status and the report.
    pub(crate) fn describe(&self) -> String {
        let Limits { descriptors, duty } = self.limits;
        let descriptors = descriptors.map(|spare| format!("with {spare} more descriptors"));
        let duty = duty.map(|duty| {
            let period = Duration::from_micros(u64::from(duty.run_us) + u64::from(duty.stop_us));
            format!("running {:?} of every {period:?}", Duration::from_micros(duty.run_us.into()))
        });
        let limits: Vec<String> = descriptors.into_iter().chain(duty).collect();
        format!("{} {}", list(&self.nodes), limits.join(", "))
    }
}

/// The fault that puts the nodes that it selects under limits.
pub(crate) struct Limiting {
    /// Which nodes.
    pub(crate) selector: Selector,
    /// Which limits.
    pub(crate) limits: Limits,
}

impl Fault for Limiting {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match self.selector.select(picture, rng) {
            Ok(nodes) => Choice::Target(Target::Limited(Limited { nodes, limits: self.limits })),
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(async move {
            match target {
                Target::Limited(limited) => install(limited, levers),
                other => Injection::Skipped(format!("{} has no limits", other.describe())),
            }
        })
    }
}

/// Puts the nodes under their limits.
fn install(limited: &Limited, levers: &dyn Levers) -> Injection {
    let (mut effective, mut proofs) = (None, Vec::new());
    for (done, node) in limited.nodes.iter().enumerate() {
        match levers.set_limits(*node, limited.limits) {
            Ok(instant) => effective = Some(instant),
            Err(error @ (LeverError::WrongState(_) | LeverError::Unsupported(_))) if done == 0 => {
                return Injection::Skipped(error.to_string());
            }
            Err(error) => return Injection::Indeterminate(format!("{node}: {error}")),
        }
        let state = levers.limits(*node);
        if state.limits != limited.limits {
            return Injection::Indeterminate(format!("{node} is under {:?}", state.limits));
        }
        proofs.push(match state.left {
            Some(left) => format!("{node} has {} descriptors open and can open {left}", state.open),
            None => format!("{node} runs by turns"),
        });
    }
    Injection::Installed(Installed { proof: proofs.join(", "), effective })
}

/// Frees the nodes of their limits. One that is down has none; whoever calls this starts it.
pub(crate) fn lift(nodes: &[NodeId], levers: &dyn Levers) -> Result<(), String> {
    for node in nodes {
        match levers.set_limits(*node, Limits::default()) {
            Ok(_) | Err(LeverError::WrongState(_)) => {}
            Err(error) => return Err(format!("{node}: {error}")),
        }
    }
    Ok(())
}

/// What the limits did until now. Asked while they are still in place.
pub(crate) fn effect(limited: &Limited, levers: &dyn Levers) -> Effect {
    let seen = |node: &NodeId| match levers.process(*node) {
        ProcessState::Down => Ok(format!("{node} ended")),
        ProcessState::Running | ProcessState::Paused => met(*node, &levers.limits(*node)),
    };
    let (mut met, mut not) = (Vec::new(), Vec::new());
    for result in limited.nodes.iter().map(seen) {
        match result {
            Ok(what) => met.push(what),
            Err(why) => not.push(why),
        }
    }
    if met.is_empty() { Effect::None(not.join("; ")) } else { Effect::Seen(met.join("; ")) }
}

/// What a node has met of its limits; `Err` if that is nothing.
fn met(node: NodeId, state: &LimitState) -> Result<String, String> {
    if state.limits == Limits::default() {
        return Err(format!("{node} is another process by now, under no limit"));
    }
    match state.left {
        Some(0) => Ok(format!("{node} could open nothing more at the end, with {} descriptors", state.open)),
        Some(left) => Err(format!("{node} could have opened {left} descriptors more at the end")),
        None if state.stops == 0 => Err(format!("{node} was never stopped")),
        None => Ok(format!(
            "{node} stood still {} times, {:.1?} in all, and used {:?} of the processor in {:.1?}",
            state.stops, state.stopped, state.used, state.ran
        )),
    }
}
