//! Kills nodes, makes them forget their current term and the vote in it, and starts them again when the fault ends. The log stays.
//!
//! ```yaml
//! - lose-term: { target: follower, for: 100ms..500ms }
//! ```
//!
//! The node comes back in the term of the last entry of its log. It takes messages of leaders that it has already helped to depose,
//! and votes again in terms in which it has voted: **no Raft is safe against it**, and a suite that uses it usually expects a
//! violation. Where the term is that of the last entry already, only the vote is lost.
//!
//! The reader sees the term and the vote that were forgotten, as the node's own library printed them.

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
    name: "lose-term",
    summary: "Kills nodes and makes them forget their term and their vote.",
    source: include_str!("lose_term.rs"),
    settings: &[TARGET, FOR, LIMIT],
    needs,
    build,
};

struct LoseTerm {
    selector: Selector,
    limit: Limit,
}

fn needs(params: &Params) -> Needs {
    Needs { edits: true, ..Selector::needs(params) }
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    Ok(Box::new(LoseTerm { selector: Selector::read(params, nodes)?, limit: Limit::read(params)? }))
}

impl Fault for LoseTerm {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match take_out(self.selector, self.limit, picture, rng) {
            Ok(nodes) => Choice::Target(Target::Edited(Edited { nodes, edit: FileEdit::LoseTerm })),
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(async move { kill_and_edit(target.processes(), &FileEdit::LoseTerm, levers).await })
    }
}
