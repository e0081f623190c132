//! Asks nodes to end with SIGTERM, waits until they have, and starts them again when the fault ends.
//!
//! ```yaml
//! - stop: { target: any, for: 2s..5s, grace: 5s }
//! ```
//!
//! This is the shutdown that an operator or a service manager does. A node that does not end within `grace` is never
//! killed for it: the fault is reported as indeterminate. Should the node end later, its exit still counts as caused by
//! this fault, and healing starts it again.
//!
//! The reader sees which nodes were asked, and that they ended by themselves.

use std::time::Duration;

use checker::params::{Kind, Params, Setting};
use cluster::levers::{Levers, NodeSignal, ProcessState};
use cluster::system::{BoxFuture, NodeId};
use rand::Rng;

use crate::fault::{Choice, Fault, FaultKind, Injection};
use crate::moves::{all_in, list, signal_all, together};
use crate::picture::Picture;
use crate::select::{Limit, Selector, take_out};
use crate::settings::{self, FOR, LIMIT, TARGET};
use crate::target::Target;

pub(crate) const KIND: FaultKind = FaultKind {
    name: "stop",
    summary: "Ends nodes with SIGTERM and starts them again at the end.",
    source: include_str!("stop.rs"),
    settings: &[
        TARGET,
        FOR,
        LIMIT,
        Setting {
            name: "grace",
            kind: Kind::Duration,
            default: Some("5s"),
            doc: "How long a node may take to end after SIGTERM.",
        },
    ],
    needs: Selector::needs,
    build,
};

struct Stop {
    selector: Selector,
    limit: Limit,
    grace: Duration,
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let selector = Selector::read(params, nodes)?;
    Ok(Box::new(Stop { selector, limit: Limit::read(params)?, grace: settings::duration(params, "grace")? }))
}

impl Fault for Stop {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match take_out(self.selector, self.limit, picture, rng) {
            Ok(nodes) => Choice::Target(Target::Down(nodes)),
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(stop(target.processes(), self.grace, levers))
    }
}

async fn stop(nodes: &[NodeId], grace: Duration, levers: &dyn Levers) -> Injection {
    if let Err(injection) = signal_all(nodes, NodeSignal::Terminate, levers).await {
        return injection;
    }
    let ended = together(nodes.iter().map(|node| levers.wait_down(*node, grace)).collect()).await;
    let stubborn: Vec<NodeId> =
        nodes.iter().zip(ended).filter(|(_, ended)| !ended).map(|(node, _)| *node).collect();
    if !stubborn.is_empty() {
        return Injection::Indeterminate(format!(
            "{} did not end within {grace:?} after SIGTERM",
            list(&stubborn)
        ));
    }
    if let Err(injection) = all_in(nodes, ProcessState::Down, levers) {
        return injection;
    }
    Injection::installed(format!("{} ended after SIGTERM", list(nodes)))
}
