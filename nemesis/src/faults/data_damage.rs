//! Kills nodes, damages what they have stored, and starts them again when the fault ends: flipped bits, a file that lost its end or
//! is gone, everything gone, an older copy, another node's data.
//!
//! ```yaml
//! - data-damage: { target: follower, how: [flip-bits, truncate], file: "wal/*", for: 1s..3s }
//! ```
//!
//! * `flip-bits`: `bits` bits of the file change, among those that were written; which, the seed decides.
//! * `truncate`: the file loses its last `bytes` bytes.
//! * `delete-file`: the file is removed.
//! * `wipe`: everything is removed.
//! * `restore`: everything is as it was `age` earlier. The node is killed for the copy and started again, and killed once more for
//!   the restoring; by then `age` has passed since.
//! * `swap`: two nodes, the target and another one, get each other's data.
//!
//! The file is the first by name that `file` matches; `*` stands for any characters. `disk-damage` does most of this to disks in
//! memory. This one works on plain directories, so it needs nothing of the host, and leaves the data for a look afterwards.
//!
//! **No Raft promises to survive a node that forgets what it had acknowledged**: all but `flip-bits` break the promises of one node,
//! and an entry or a vote that it was counted for can be lost. A node that notices, and refuses to start, keeps the others safe;
//! that it does not come back is then reported as well. `flip-bits` is found by checksums, or is not. A suite that uses this usually
//! expects a violation.
//!
//! The reader sees which file was changed, and how.

use std::time::Duration;

use checker::params::{Kind, Params, Setting};
use cluster::levers::Levers;
use cluster::system::BoxFuture;
use rand::Rng;
use rand::seq::IndexedRandom;

use crate::damage::{Damage, Damaged, damage};
use crate::fault::{Choice, Fault, FaultKind, Injection};
use crate::picture::Picture;
use crate::select::{Limit, Selector, take_out};
use crate::settings::{self, FOR, LIMIT, TARGET};
use crate::target::Target;

/// As long as a suite may want to wait for it.
const AGE_MAX: Duration = Duration::from_secs(60);

pub(crate) const KIND: FaultKind = FaultKind {
    name: "data-damage",
    summary: "Kills nodes and damages their files: flipped bits, lost files, an older copy, another's data.",
    source: include_str!("data_damage.rs"),
    settings: &[
        TARGET,
        Setting {
            name: "how",
            kind: Kind::List(&Kind::Word(&[
                "flip-bits",
                "truncate",
                "delete-file",
                "wipe",
                "restore",
                "swap",
            ])),
            default: Some("flip-bits"),
            doc: "What is done; each injection draws one of the list.",
        },
        Setting {
            name: "file",
            kind: Kind::Text,
            default: Some("\"*\""),
            doc: "Which file `flip-bits`, `truncate` and `delete-file` mean, relative to the data directory.",
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
            default: Some("100"),
            doc: "With `truncate`, how many.",
        },
        Setting {
            name: "age",
            kind: Kind::Duration,
            default: Some("1s"),
            doc: "With `restore`, how old the copy is, at most 1m.",
        },
        FOR,
        LIMIT,
    ],
    needs: Selector::needs,
    build,
};

struct DataDamage {
    selector: Selector,
    limit: Limit,
    ways: Vec<Damage>,
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let file = settings::text(params, "file")?.to_owned();
    if file.is_empty() {
        return Err("`file` is empty".to_owned());
    }
    let bits = settings::count(params, "bits")?;
    let bits = u32::try_from(bits).map_err(|_| "`bits` is too large")?;
    let bytes = settings::count(params, "bytes")?;
    let age = settings::duration(params, "age")?;
    if age > AGE_MAX {
        return Err("`age` is at most 1m".to_owned());
    }
    let way = |word: &str| match word {
        "flip-bits" => Ok(Damage::FlipBits { file: file.clone(), bits }),
        "truncate" => Ok(Damage::Truncate { file: file.clone(), bytes }),
        "delete-file" => Ok(Damage::DeleteFile { file: file.clone() }),
        "wipe" => Ok(Damage::Wipe),
        "restore" => Ok(Damage::Restore { age_ms: age.as_millis() as u64 }),
        "swap" if nodes < 2 => Err("`how: swap` needs 2 nodes".to_owned()),
        "swap" => Ok(Damage::Swap),
        other => Err(format!("`how` knows no `{other}`")),
    };
    let ways: Vec<Damage> = settings::words(params, "how")?.into_iter().map(way).collect::<Result<_, _>>()?;
    if ways.is_empty() {
        return Err("`how` is an empty list".to_owned());
    }
    Ok(Box::new(DataDamage { selector: Selector::read(params, nodes)?, limit: Limit::read(params)?, ways }))
}

impl DataDamage {
    fn victims(&self, picture: &Picture, rng: &mut dyn Rng) -> Result<Damaged, String> {
        let damage = self.ways.choose(rng).cloned().ok_or("there is nothing to do")?;
        let mut nodes = take_out(self.selector, self.limit, picture, rng)?;
        if damage == Damage::Swap {
            // With one node of the target, another one; with several, the first two of them.
            let mut others = picture.eligible();
            others.retain(|node| *node != nodes[0]);
            let second = nodes.get(1).or_else(|| others.choose(rng)).copied();
            nodes = vec![nodes[0], second.ok_or("no other node is free to swap with")?];
            if let Some(objection) = self.limit.objection(self.selector, &nodes, picture) {
                return Err(objection);
            }
        }
        Ok(Damaged { nodes, damage, seed: rng.next_u64() })
    }
}

impl Fault for DataDamage {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match self.victims(picture, rng) {
            Ok(damaged) => Choice::Target(Target::Damaged(damaged)),
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(async move {
            match target {
                Target::Damaged(damaged) => damage(damaged, levers).await,
                other => Injection::Skipped(format!("{} has no data", other.describe())),
            }
        })
    }
}
