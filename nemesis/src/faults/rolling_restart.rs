//! Takes every chosen node out and back in, one after another.
//!
//! ```yaml
//! - rolling-restart: { target: all, how: stop, out: 300ms, between: 500ms }
//! ```
//!
//! It is how a cluster is upgraded or its machines are rebooted. Never is more than one node out because of it, so a cluster
//! that is otherwise healthy serves throughout, but for the elections. The order is drawn. It is over when the last node is
//! back, so it takes no `for`; `out` is how long each is out, `between` how long until the next one goes.
//!
//! The reader sees the order in which they went.

use checker::params::{Kind, Params, Setting};
use cluster::levers::Levers;
use cluster::system::BoxFuture;
use rand::Rng;
use rand::seq::SliceRandom;

use crate::fault::{Choice, Fault, FaultKind, Injection};
use crate::picture::Picture;
use crate::restarts::{Rolled, Way, roll};
use crate::select::Selector;
use crate::settings::{self, TARGET};
use crate::target::Target;

pub(crate) const KIND: FaultKind = FaultKind {
    name: "rolling-restart",
    summary: "Takes nodes out and back in, one after another.",
    source: include_str!("rolling_restart.rs"),
    settings: &[
        Setting { default: Some("all"), ..TARGET },
        Setting {
            name: "how",
            kind: Kind::Word(&["kill", "stop", "pause"]),
            default: Some("stop"),
            doc: "Whether nodes are killed, asked to end, or paused.",
        },
        Setting {
            name: "out",
            kind: Kind::Duration,
            default: Some("300ms"),
            doc: "How long each node is out, at most 10s.",
        },
        Setting {
            name: "between",
            kind: Kind::Duration,
            default: Some("500ms"),
            doc: "How long after one node is back the next one goes, at most 10s.",
        },
    ],
    needs: Selector::needs,
    build,
};

struct RollingRestart {
    selector: Selector,
    way: Way,
    out_ms: u64,
    between_ms: u64,
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let way = match settings::text(params, "how")? {
        "kill" => Way::Kill,
        "stop" => Way::Stop,
        "pause" => Way::Pause,
        other => return Err(format!("`how` is `kill`, `stop` or `pause`, not `{other}`")),
    };
    let ms = |name: &str| {
        let ms = settings::duration(params, name)?.as_millis();
        u64::try_from(ms)
            .ok()
            .filter(|ms| *ms <= 10_000)
            .ok_or_else(|| format!("`{name}` is longer than 10s"))
    };
    let selector = Selector::read(params, nodes)?;
    Ok(Box::new(RollingRestart { selector, way, out_ms: ms("out")?, between_ms: ms("between")? }))
}

impl Fault for RollingRestart {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match self.selector.select(picture, rng) {
            Ok(mut nodes) => {
                nodes.shuffle(rng);
                let Self { way, out_ms, between_ms, .. } = *self;
                Choice::Target(Target::Rolled(Rolled { nodes, way, out_ms, between_ms }))
            }
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(async move {
            match target {
                Target::Rolled(rolled) => roll(rolled, levers).await,
                other => Injection::Skipped(format!("{} is no order of nodes", other.describe())),
            }
        })
    }
}
