//! Lets nodes kill themselves at a certain place of their work, and starts them again when the fault ends.
//!
//! ```yaml
//! - crash-at: { target: leader, point: [after_local_append, before_fsync, mid_apply], for: 500ms..2s }
//! ```
//!
//! `kill` comes at any moment, and the moments at which a crash is hard to survive are short: between a write and its sync, between
//! applying and answering, in the middle of a record. Here the node itself does it there, with SIGKILL, the next time that it comes
//! by, after it has passed `skip` times. Each injection draws one of `point`. The places are described in [raftkv.md](raftkv.md#control);
//! some are passed by a leader only, or only while a snapshot or a new configuration is under way.
//!
//! A node that never comes to the point is disarmed when the fault ends, and the fault is reported as without effect.
//!
//! The reader sees which nodes were armed, and which of them had crashed there by the end.

use checker::params::{Kind, Params, Setting};
use cluster::levers::Levers;
use cluster::order::{Failpoint, FailpointAction, OrderKind};
use cluster::system::BoxFuture;
use rand::Rng;
use rand::seq::IndexedRandom;

use crate::armed::{Armed, arm};
use crate::fault::{Choice, Fault, FaultKind, Injection, Needs};
use crate::picture::Picture;
use crate::select::{Limit, Selector, take_out};
use crate::settings::{self, FOR, LIMIT, TARGET};
use crate::target::Target;

/// The places that the bundled node knows. A test of the program compares them with its own list.
pub const POINTS: &[&str] = &[
    "before_append",
    "after_local_append",
    "after_send_to_k",
    "after_majority_ack_before_commit",
    "after_commit_before_apply",
    "mid_apply",
    "after_apply_before_reply",
    "after_reply_before_commit_broadcast",
    "hard_state_mid_write",
    "wal_mid_record",
    "before_fsync",
    "segment_roll",
    "snapshot_write",
    "snapshot_fsync",
    "snapshot_rename",
    "snapshot_compact",
    "snapshot_load",
    "install_chunk_n",
    "config_append",
    "config_commit",
    "config_apply",
];

pub(crate) const KIND: FaultKind = FaultKind {
    name: "crash-at",
    summary: "Lets nodes kill themselves at a certain place of their work.",
    source: include_str!("crash_at.rs"),
    settings: &[
        TARGET,
        Setting {
            name: "point",
            kind: Kind::List(&Kind::Word(POINTS)),
            default: Some("before_fsync"),
            doc: "Where; each injection draws one of the list.",
        },
        Setting {
            name: "skip",
            kind: Kind::Count { min: 0, max: 1_000_000 },
            default: Some("0"),
            doc: "How often the node passes the point first.",
        },
        FOR,
        LIMIT,
    ],
    needs,
    build,
};

struct CrashAt {
    selector: Selector,
    limit: Limit,
    points: Vec<String>,
    skip: u64,
}

fn needs(params: &Params) -> Needs {
    Needs { order: Some(OrderKind::Failpoint), ..Selector::needs(params) }
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let points: Vec<String> = settings::words(params, "point")?.into_iter().map(str::to_owned).collect();
    if points.is_empty() {
        return Err("`point` is an empty list".to_owned());
    }
    let (selector, limit) = (Selector::read(params, nodes)?, Limit::read(params)?);
    Ok(Box::new(CrashAt { selector, limit, points, skip: settings::count(params, "skip")? }))
}

impl Fault for CrashAt {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        let point = self.points.choose(rng).cloned().unwrap_or_default();
        let failpoint = Failpoint { skip: self.skip, ..Failpoint::new(point, FailpointAction::Crash) };
        match take_out(self.selector, self.limit, picture, rng) {
            Ok(nodes) => Choice::Target(Target::Armed(Armed { nodes, failpoint })),
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(async move {
            match target {
                Target::Armed(armed) => arm(armed, levers).await,
                other => Injection::Skipped(format!("{} has no failpoint", other.describe())),
            }
        })
    }
}
