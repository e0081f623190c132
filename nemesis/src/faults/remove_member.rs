//! Has the leader remove a member, and has it added again when the fault ends.
//!
//! ```yaml
//! - remove-member: { target: follower, for: 1s..3s }
//! ```
//!
//! It is what an operator does who replaces a machine. The member keeps running with all that it knows and does not learn of its
//! removal unless somebody tells it: without PreVote or leader stickiness its elections disturb the others (thesis, section
//! 4.2.3). Removing and adding again are changes of one server each, which overlap safely only under the rules of chapter 4. It
//! comes back with what it promised, so that it may vote at once. With `target: leader` the leader removes itself.
//!
//! The reader sees the index of the entry that removed it, and who added it again.

use checker::params::Params;
use cluster::levers::Levers;
use cluster::order::OrderKind;
use cluster::system::BoxFuture;
use rand::Rng;

use crate::fault::{Choice, Fault, FaultKind, Injection, Needs};
use crate::members::{Removed, remove};
use crate::picture::Picture;
use crate::select::Selector;
use crate::settings::{FOR, TARGET};
use crate::target::Target;

pub(crate) const KIND: FaultKind = FaultKind {
    name: "remove-member",
    summary: "Has a member removed, and added again at the end.",
    source: include_str!("remove_member.rs"),
    settings: &[TARGET, FOR],
    needs,
    build,
};

struct RemoveMember {
    selector: Selector,
}

fn needs(params: &Params) -> Needs {
    let _ = params;
    Needs { order: Some(OrderKind::Members), roles: true, returns: true, ..Needs::default() }
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    if nodes < 3 {
        return Err(format!("`remove-member` needs 3 nodes; {nodes} cannot spare one"));
    }
    let selector = Selector::read(params, nodes)?;
    match selector {
        Selector::Majority | Selector::Minority | Selector::All => {
            Err("`target` is one member: `leader`, `follower`, `any`, or a name such as `n2`".to_owned())
        }
        _ => Ok(Box::new(RemoveMember { selector })),
    }
}

impl RemoveMember {
    fn parties(&self, picture: &Picture, rng: &mut dyn Rng) -> Result<Removed, String> {
        let leader = picture.leader().ok_or("no leader is known")?;
        let others = picture.active.0.iter();
        if let Some((id, _)) = others.clone().find(|(_, target)| matches!(target, Target::Removed(_))) {
            return Err(format!("{id} has a member removed already"));
        }
        let chosen = self.selector.select(picture, rng)?;
        let node = *chosen.first().ok_or("no node was chosen")?;
        Ok(Removed { node, leader })
    }
}

impl Fault for RemoveMember {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match self.parties(picture, rng) {
            Ok(removed) => Choice::Target(Target::Removed(removed)),
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(async move {
            match target {
                Target::Removed(removed) => remove(removed, levers).await,
                other => Injection::Skipped(format!("{} is no member", other.describe())),
            }
        })
    }
}
