//! Kills nodes, removes the last entries of their logs, and starts them again when the fault ends.
//!
//! ```yaml
//! - truncate-log: { target: follower, entries: 3, for: 1s..3s }
//! ```
//!
//! It is a disk that forgot what it had acknowledged. **No Raft is safe against it in general**: an entry that this node
//! helped to commit may be left on fewer than a majority. A suite that uses it usually expects a violation, and one that
//! does not should aim it at a single node that could not have been counted.
//!
//! The reader sees which entries were removed, as the node's own library printed them.

use checker::params::{Kind, Params, Setting};
use cluster::levers::Levers;
use cluster::system::{BoxFuture, FileEdit};
use rand::Rng;

use crate::fault::{Choice, Fault, FaultKind, Injection, Needs};
use crate::moves::kill_and_edit;
use crate::picture::Picture;
use crate::select::{Limit, Selector, take_out};
use crate::settings::{self, FOR, LIMIT, TARGET};
use crate::target::{Edited, Target};

pub(crate) const KIND: FaultKind = FaultKind {
    name: "truncate-log",
    summary: "Kills nodes and removes the last entries of their logs.",
    source: include_str!("truncate_log.rs"),
    settings: &[
        TARGET,
        Setting {
            name: "entries",
            kind: Kind::Count { min: 1, max: 1_000_000 },
            default: Some("1"),
            doc: "How many entries are removed from the end of the log.",
        },
        FOR,
        LIMIT,
    ],
    needs,
    build,
};

struct TruncateLog {
    selector: Selector,
    limit: Limit,
    entries: u64,
}

fn needs(params: &Params) -> Needs {
    Needs { edits: true, ..Selector::needs(params) }
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let entries = settings::count(params, "entries")?;
    if entries == 0 {
        return Err("`entries` is 0, so nothing would be removed".to_owned());
    }
    Ok(Box::new(TruncateLog {
        selector: Selector::read(params, nodes)?,
        limit: Limit::read(params)?,
        entries,
    }))
}

impl Fault for TruncateLog {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match take_out(self.selector, self.limit, picture, rng) {
            Ok(nodes) => Choice::Target(Target::Edited(Edited {
                nodes,
                edit: FileEdit::TruncateLog { entries: self.entries },
            })),
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        let edit = FileEdit::TruncateLog { entries: self.entries };
        Box::pin(async move { kill_and_edit(target.processes(), &edit, levers).await })
    }
}
