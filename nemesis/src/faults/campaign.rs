//! Tells a node to stand for election although nobody has been silent.
//!
//! ```yaml
//! - campaign: { target: follower }
//! ```
//!
//! It is what a node does whose clock ran ahead or whose network was gone for a moment. With PreVote or leader stickiness the
//! others refuse while they hear a leader; without them the cluster changes its leader each time. Neither is unsafe. A node that
//! has promised its leader not to elect another one yet (a lease) refuses, and the fault is skipped. It is over as soon as the
//! node has begun, so it takes no `for`.
//!
//! The reader sees that the node began; who led afterwards stands in the traces.

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
    name: "campaign",
    summary: "Tells a node to stand for election at once.",
    source: include_str!("campaign.rs"),
    settings: &[TARGET],
    needs,
    build,
};

struct Campaign {
    selector: Selector,
}

fn needs(params: &Params) -> Needs {
    Needs { order: Some(OrderKind::Campaign), ..Selector::needs(params) }
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    Ok(Box::new(Campaign { selector: Selector::read(params, nodes)? }))
}

impl Fault for Campaign {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match self.selector.select(picture, rng) {
            Ok(nodes) => Choice::Target(Target::Ordered(Ordered { nodes, order: Order::Campaign })),
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(order(target, levers))
    }
}
