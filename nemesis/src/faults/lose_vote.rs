//! Kills nodes, makes them forget whom they voted for in their current term, and starts them again when the fault ends.
//!
//! ```yaml
//! - lose-vote: { target: follower, for: 500ms..1s }
//! ```
//!
//! The term stays. A node that votes a second time in one term can give two candidates a majority each: **no Raft is safe
//! against it**, and a suite that uses it usually expects a violation. For a violation the node must be back before the
//! election that it voted in is over, so keep `for` short.
//!
//! The reader sees the vote that was forgotten, as the node's own library printed it.

use checker::params::Params;
use cluster::levers::Levers;
use cluster::system::{BoxFuture, FileEdit};
use rand::Rng;

use crate::fault::{Choice, Fault, FaultKind, Injection, Needs};
use crate::moves::kill_and_edit;
use crate::picture::Picture;
use crate::select::{Limit, Selector, take_out};
use crate::settings::{FOR, LIMIT, TARGET};
use crate::target::{Edited, Target};

pub(crate) const KIND: FaultKind = FaultKind {
    name: "lose-vote",
    summary: "Kills nodes and makes them forget whom they voted for.",
    source: include_str!("lose_vote.rs"),
    settings: &[TARGET, FOR, LIMIT],
    needs,
    build,
};

struct LoseVote {
    selector: Selector,
    limit: Limit,
}

fn needs(params: &Params) -> Needs {
    Needs { edits: true, ..Selector::needs(params) }
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    Ok(Box::new(LoseVote { selector: Selector::read(params, nodes)?, limit: Limit::read(params)? }))
}

impl Fault for LoseVote {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match take_out(self.selector, self.limit, picture, rng) {
            Ok(nodes) => Choice::Target(Target::Edited(Edited { nodes, edit: FileEdit::LoseVote })),
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(async move { kill_and_edit(target.processes(), &FileEdit::LoseVote, levers).await })
    }
}
