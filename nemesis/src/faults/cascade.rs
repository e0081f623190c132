//! Takes nodes out one after another, until all of them are out, and brings them back when the fault ends.
//!
//! ```yaml
//! - cascade: { target: majority, how: kill, every: 300ms, for: 2s..4s }
//! ```
//!
//! It is a failure that spreads: each node that goes leaves its load and its leadership to the next. Between two of them the
//! others have `every` to elect a leader, which the next step may take away again. The order is drawn.
//!
//! The reader sees which nodes went, in which order, and that they were still out at the end.

use std::time::Duration;

use checker::params::{Kind, Params, Setting};
use cluster::levers::Levers;
use cluster::system::{BoxFuture, NodeId};
use rand::Rng;
use rand::seq::SliceRandom;

use crate::fault::{Choice, Fault, FaultKind, Injection};
use crate::moves::list;
use crate::picture::Picture;
use crate::restarts::{self, Way, begun};
use crate::select::{Limit, Selector, take_out};
use crate::settings::{self, FOR, LIMIT, TARGET};
use crate::target::Target;

pub(crate) const KIND: FaultKind = FaultKind {
    name: "cascade",
    summary: "Takes nodes out one after another and brings all of them back at the end.",
    source: include_str!("cascade.rs"),
    settings: &[
        Setting { default: Some("majority"), ..TARGET },
        Setting {
            name: "how",
            kind: Kind::Word(&["kill", "pause"]),
            default: Some("kill"),
            doc: "Whether nodes are killed or paused.",
        },
        Setting {
            name: "every",
            kind: Kind::Duration,
            default: Some("300ms"),
            doc: "How long after one node the next one goes, at most 10s.",
        },
        FOR,
        LIMIT,
    ],
    needs: Selector::needs,
    build,
};

struct Cascade {
    selector: Selector,
    limit: Limit,
    way: Way,
    every: Duration,
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let way = match settings::text(params, "how")? {
        "kill" => Way::Kill,
        "pause" => Way::Pause,
        other => return Err(format!("`how` is `kill` or `pause`, not `{other}`")),
    };
    let every = settings::duration(params, "every")?;
    if every > Duration::from_secs(10) {
        return Err("`every` is longer than 10s".to_owned());
    }
    Ok(Box::new(Cascade {
        selector: Selector::read(params, nodes)?,
        limit: Limit::read(params)?,
        way,
        every,
    }))
}

impl Fault for Cascade {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match take_out(self.selector, self.limit, picture, rng) {
            Ok(mut nodes) => {
                nodes.shuffle(rng);
                Choice::Target(if self.way == Way::Pause {
                    Target::Paused(nodes)
                } else {
                    Target::Down(nodes)
                })
            }
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(self.spread(target.processes(), levers))
    }
}

impl Cascade {
    async fn spread(&self, nodes: &[NodeId], levers: &dyn Levers) -> Injection {
        for (position, node) in nodes.iter().enumerate() {
            if position > 0 {
                tokio::time::sleep(self.every).await;
            }
            if let Err(injection) = restarts::take_out(*node, self.way, levers).await {
                return if position == 0 { injection } else { begun(injection) };
            }
        }
        Injection::installed(format!("{} {}, in this order", list(nodes), self.way.word()))
    }
}
