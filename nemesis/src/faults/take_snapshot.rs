//! Tells nodes to take a snapshot of their state machines now, whatever the size of their logs.
//!
//! ```yaml
//! - take-snapshot: { target: leader }
//! ```
//!
//! Afterwards the front of the log is gone, and a follower that lacks it has to be sent the snapshot: the way to make a
//! short suite pass through the code that a long one reaches. It is over as soon as the node has begun, so it takes no `for`.
//!
//! The reader sees that the node began. One that has nothing new to write refuses, and the fault is skipped.

use checker::params::Params;
use cluster::levers::Levers;
use cluster::order::{Order, OrderKind};
use cluster::system::BoxFuture;
use rand::Rng;

use crate::fault::{Choice, Fault, FaultKind, Injection, Needs};
use crate::moves::order;
use crate::picture::Picture;
use crate::select::Selector;
use crate::settings::TARGET;
use crate::target::{Ordered, Target};

pub(crate) const KIND: FaultKind = FaultKind {
    name: "take-snapshot",
    summary: "Tells nodes to take a snapshot at once.",
    source: include_str!("take_snapshot.rs"),
    settings: &[TARGET],
    needs,
    build,
};

struct TakeSnapshot {
    selector: Selector,
}

fn needs(params: &Params) -> Needs {
    Needs { order: Some(OrderKind::Snapshot), ..Selector::needs(params) }
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    Ok(Box::new(TakeSnapshot { selector: Selector::read(params, nodes)? }))
}

impl Fault for TakeSnapshot {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match self.selector.select(picture, rng) {
            Ok(nodes) => Choice::Target(Target::Ordered(Ordered { nodes, order: Order::Snapshot })),
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(order(target, levers))
    }
}
