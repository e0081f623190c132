//! Tells the leader to hand its leadership to a follower.
//!
//! ```yaml
//! - transfer-leader: { target: follower }
//! ```
//!
//! It is what an operator does before maintenance. A leader brings the follower up to date, takes no new commands meanwhile,
//! and tells it to stand for election at once, without PreVote (thesis, section 3.10). A lease of the old leader must not
//! outlive it. It is over as soon as the leader has answered, so it takes no `for`.
//!
//! The reader sees what the leader answered. Skipped while no leader is known, or if `target` is the leader itself.

use checker::params::{Params, Setting};
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
    name: "transfer-leader",
    summary: "Tells the leader to hand its leadership to a follower.",
    source: include_str!("transfer_leader.rs"),
    settings: &[Setting {
        default: Some("follower"),
        doc: "The node that is to lead: `follower`, `any`, or a name such as `n2`.",
        ..TARGET
    }],
    needs,
    build,
};

struct TransferLeader {
    selector: Selector,
}

fn needs(params: &Params) -> Needs {
    let _ = params;
    Needs { order: Some(OrderKind::Transfer), roles: true, ..Needs::default() }
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let selector = Selector::read(params, nodes)?;
    match selector {
        Selector::Follower | Selector::Any | Selector::Healed | Selector::Named(_) => {
            Ok(Box::new(TransferLeader { selector }))
        }
        Selector::Leader | Selector::Majority | Selector::Minority | Selector::All => {
            Err("`target` is the one node that is to lead next: `follower`, `any`, or a name such as `n2`"
                .to_owned())
        }
    }
}

impl TransferLeader {
    fn parties(&self, picture: &Picture, rng: &mut dyn Rng) -> Result<Ordered, String> {
        let leader = picture.leader().ok_or("no leader is known")?;
        let chosen = match self.selector {
            Selector::Any => Selector::Follower.select(picture, rng)?,
            selector => selector.select(picture, rng)?,
        };
        let to = *chosen.first().ok_or("no node was chosen")?;
        if to == leader {
            return Err(format!("{to} leads already"));
        }
        Ok(Ordered { nodes: vec![leader], order: Order::Transfer { to: Some(to) } })
    }
}

impl Fault for TransferLeader {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match self.parties(picture, rng) {
            Ok(ordered) => Choice::Target(Target::Ordered(ordered)),
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(order(target, levers))
    }
}
