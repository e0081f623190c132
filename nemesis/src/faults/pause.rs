//! Stops nodes with SIGSTOP and lets them go on with SIGCONT when the fault ends.
//!
//! ```yaml
//! - pause: { target: leader, for: 1s..4s }
//! ```
//!
//! A paused process keeps its connections and its belief in its role. It is what a long garbage collection, a suspended
//! virtual machine or a saturated disk looks like from outside, and the way to find a leader that answers from a lease that
//! ran out while it slept.
//!
//! The reader sees which nodes the kernel showed as stopped, at the beginning and still at the end.

use checker::params::Params;
use cluster::levers::{Levers, NodeSignal, ProcessState};
use cluster::system::{BoxFuture, NodeId};
use rand::Rng;

use crate::fault::{Choice, Fault, FaultKind, Injection};
use crate::moves::{all_in, list, signal_all};
use crate::picture::Picture;
use crate::select::{Limit, Selector, take_out};
use crate::settings::{FOR, LIMIT, TARGET};
use crate::target::Target;

pub(crate) const KIND: FaultKind = FaultKind {
    name: "pause",
    summary: "Stops nodes with SIGSTOP and lets them go on with SIGCONT at the end.",
    source: include_str!("pause.rs"),
    settings: &[TARGET, FOR, LIMIT],
    needs: Selector::needs,
    build,
};

struct Pause {
    selector: Selector,
    limit: Limit,
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    Ok(Box::new(Pause { selector: Selector::read(params, nodes)?, limit: Limit::read(params)? }))
}

impl Fault for Pause {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match take_out(self.selector, self.limit, picture, rng) {
            Ok(nodes) => Choice::Target(Target::Paused(nodes)),
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(pause(target.processes(), levers))
    }
}

async fn pause(nodes: &[NodeId], levers: &dyn Levers) -> Injection {
    if let Err(injection) = signal_all(nodes, NodeSignal::Pause, levers).await {
        return injection;
    }
    if let Err(injection) = all_in(nodes, ProcessState::Paused, levers) {
        return injection;
    }
    Injection::installed(format!("the kernel shows {} as stopped", list(nodes)))
}
