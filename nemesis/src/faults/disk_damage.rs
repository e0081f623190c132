//! Kills nodes, damages their disks, and starts them again when the fault ends: flipped bits, a file that lost its end, a
//! file that is gone, everything gone, or everything as it was a while ago.
//!
//! ```yaml
//! - disk-damage: { target: follower, how: flip-bits, bits: 1, for: 1s..3s }
//! ```
//!
//! * `flip-bits`: `bits` bits of one file that has any content change; which, the seed decides.
//! * `truncate`: one file loses its last `bytes` bytes.
//! * `delete-file`: one file is removed.
//! * `wipe`: the disk is empty.
//! * `rollback`: the disk is as a copy of it would be that was made `age` ago, with what was durable then.
//!
//! **No Raft promises to survive a disk that forgets what it had acknowledged**: `truncate`, `delete-file`, `wipe` and
//! `rollback` break the promises of one node, and an entry or a vote that it was counted for can be lost. A node that
//! notices, and refuses to start, keeps the others safe; that it does not come back is then reported as well. `flip-bits` is
//! found by checksums, or is not. A suite that uses this usually expects a violation.
//!
//! The reader sees which file was damaged, or how far the disk went back. Where nothing could change, it says so.

use checker::params::{Kind, Params, Setting};
use cluster::cluster::{FailingDisk, Past};
use cluster::disk::DiskEdit;
use cluster::levers::Levers;
use cluster::system::BoxFuture;
use rand::Rng;
use rand::seq::IndexedRandom;

use crate::fault::{Choice, Fault, FaultKind, Injection, Needs};
use crate::moves::kill_and_edit_disks;
use crate::picture::Picture;
use crate::select::{Limit, Selector, take_out};
use crate::settings::{self, FOR, LIMIT, TARGET};
use crate::target::{DiskEdited, Target};

const WAYS: Kind = Kind::Word(&["flip-bits", "truncate", "delete-file", "wipe", "rollback"]);

pub(crate) const KIND: FaultKind = FaultKind {
    name: "disk-damage",
    summary: "Kills nodes and damages their disks: flipped bits, lost files, an earlier state.",
    source: include_str!("disk_damage.rs"),
    settings: &[
        TARGET,
        FOR,
        LIMIT,
        Setting {
            name: "how",
            kind: Kind::List(&WAYS),
            default: Some("flip-bits"),
            doc: "What is done; each injection draws one of the list.",
        },
        Setting {
            name: "bits",
            kind: Kind::Count { min: 1, max: 1_000_000 },
            default: Some("1"),
            doc: "With `flip-bits`, how many.",
        },
        Setting {
            name: "bytes",
            kind: Kind::Count { min: 1, max: 1_000_000_000 },
            default: Some("512"),
            doc: "With `truncate`, how many at most.",
        },
        Setting {
            name: "age",
            kind: Kind::Duration,
            default: Some("2s"),
            doc: "With `rollback`, how long ago, at most 25s.",
        },
    ],
    needs,
    build,
};

struct DiskDamage {
    selector: Selector,
    limit: Limit,
    edits: Vec<DiskEdit>,
}

fn needs(params: &Params) -> Needs {
    let rolls = settings::words(params, "how").is_ok_and(|ways| ways.contains(&"rollback"));
    let past = if rolls { Past::Remembered } else { Past::Forgotten };
    Needs { disk: Some(FailingDisk { past, ..FailingDisk::default() }), ..Selector::needs(params) }
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let age_ms = settings::duration(params, "age")?.as_millis() as u64;
    if age_ms > 25_000 {
        return Err("`age` is longer than 25s, and a disk remembers 30s".to_owned());
    }
    let (bits, bytes) = (settings::count(params, "bits")? as u32, settings::count(params, "bytes")?);
    let edit = |way: &&str| match *way {
        "flip-bits" => DiskEdit::FlipBits { bits },
        "truncate" => DiskEdit::Truncate { bytes },
        "delete-file" => DiskEdit::DeleteFile,
        "wipe" => DiskEdit::Wipe,
        _ => DiskEdit::Rollback { age_ms },
    };
    let edits: Vec<DiskEdit> = settings::words(params, "how")?.iter().map(edit).collect();
    if edits.is_empty() {
        return Err("`how` is empty".to_owned());
    }
    Ok(Box::new(DiskDamage { selector: Selector::read(params, nodes)?, limit: Limit::read(params)?, edits }))
}

impl Fault for DiskDamage {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        let edit = self.edits.choose(rng).cloned();
        let seed = rng.next_u64();
        match (take_out(self.selector, self.limit, picture, rng), edit) {
            (Ok(nodes), Some(edit)) => Choice::Target(Target::DiskEdited(DiskEdited { nodes, edit, seed })),
            (Ok(_), None) => Choice::Skipped("there is nothing to be done".to_owned()),
            (Err(why), _) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(async move {
            match target {
                Target::DiskEdited(edited) => kill_and_edit_disks(edited, levers).await,
                _ => Injection::Skipped("the target is not a disk to be edited".to_owned()),
            }
        })
    }
}
