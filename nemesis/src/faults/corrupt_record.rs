//! Kills nodes, flips a bit in the record of one entry of their logs, and starts them again when the fault ends.
//!
//! ```yaml
//! - corrupt-record: { target: follower, back: 10, for: 200ms..1s }
//! ```
//!
//! The entry is the one `back` places before the last one that the node knew to be committed. It is a disk that returns something
//! else than what was written. **A store that checks what it reads refuses to start**, which is right and is reported; one that does
//! not, or that drops the entry and what follows, has broken a promise.
//!
//! The reader sees which record was damaged, as the node's own library printed it.

use checker::params::{Kind, Params, Setting};
use cluster::levers::Levers;
use cluster::system::{BoxFuture, FileEdit, NodeId};
use rand::Rng;

use crate::fault::{Choice, Fault, FaultKind, Injection, Needs};
use crate::moves::kill_and_edit;
use crate::picture::Picture;
use crate::select::{Limit, Selector, take_out};
use crate::settings::{self, FOR, LIMIT, TARGET};
use crate::target::{Edited, Target};

pub(crate) const KIND: FaultKind = FaultKind {
    name: "corrupt-record",
    summary: "Kills nodes and flips a bit in an entry of their logs.",
    source: include_str!("corrupt_record.rs"),
    settings: &[
        TARGET,
        FOR,
        LIMIT,
        Setting {
            name: "back",
            kind: Kind::Count { min: 0, max: 1_000_000 },
            default: Some("0"),
            doc: "How many entries before the last committed one.",
        },
    ],
    needs,
    build,
};

struct CorruptRecord {
    selector: Selector,
    limit: Limit,
    back: u64,
}

fn needs(params: &Params) -> Needs {
    Needs { edits: true, ..Selector::needs(params) }
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let (selector, limit) = (Selector::read(params, nodes)?, Limit::read(params)?);
    Ok(Box::new(CorruptRecord { selector, limit, back: settings::count(params, "back")? }))
}

impl CorruptRecord {
    fn victims(&self, picture: &Picture, rng: &mut dyn Rng) -> Result<Edited, String> {
        let nodes = take_out(self.selector, self.limit, picture, rng)?;
        let committed = |id: &NodeId| {
            let node = picture.nodes.iter().find(|node| node.id == *id)?;
            node.view.as_ref()?.0.commit_index
        };
        let committed: Option<Vec<u64>> = nodes.iter().map(committed).collect();
        let lowest =
            committed.and_then(|all| all.into_iter().min()).ok_or("a node has not told what is committed")?;
        let index = lowest.checked_sub(self.back).filter(|index| *index > 0);
        let index = index.ok_or_else(|| format!("only {lowest} entries are committed"))?;
        Ok(Edited { nodes, edit: FileEdit::CorruptRecord { index } })
    }
}

impl Fault for CorruptRecord {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match self.victims(picture, rng) {
            Ok(edited) => Choice::Target(Target::Edited(edited)),
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(async move {
            match target {
                Target::Edited(edited) => kill_and_edit(&edited.nodes, &edited.edit, levers).await,
                other => Injection::Skipped(format!("{} has no files to be edited", other.describe())),
            }
        })
    }
}
