//! Resets or stalls the TCP connections that are there, and lets new ones through.
//!
//! ```yaml
//! - connections: { target: leader, how: [reset, stall], links: all, for: 1s..3s }
//! ```
//!
//! * `reset`: the next segment of each old connection is answered with a reset to both ends, as by a firewall that was
//!   restarted and has lost its table. Who is silent is not told.
//! * `stall`: nothing of an old connection gets through, and neither end is told: the half-open connection, which a program
//!   notices only by its own timeouts. When the fault ends, TCP sends what was lost again.
//!
//! A connection is new if its first segment comes while the fault lasts. Programs that cannot replace a connection, or that wait
//! for an answer on a dead one, are found by this and not by a partition. If `how` is a list, each injection draws one.
//!
//! Where another fault changes the rule of a link meanwhile, connections that began before that count as old ones.
//!
//! The reader sees how many frames were dropped and how many were answered with resets.

use checker::params::{Kind, Params, Setting};
use cluster::levers::{Connections as Old, Levers, LinkRule, Shaping};
use cluster::system::BoxFuture;
use rand::Rng;
use rand::seq::IndexedRandom;

use crate::fault::{Choice, Fault, FaultKind, Injection, Needs};
use crate::lines::{Among, lines, shape_lines};
use crate::moves::list;
use crate::picture::Picture;
use crate::select::Selector;
use crate::settings::{self, FOR, TARGET};
use crate::target::{Cut, Target};

pub(crate) const KIND: FaultKind = FaultKind {
    name: "connections",
    summary: "Resets or stalls the TCP connections that are there; new ones pass.",
    source: include_str!("connections.rs"),
    settings: &[
        TARGET,
        Setting {
            name: "how",
            kind: Kind::List(&Kind::Word(&["reset", "stall"])),
            default: Some("reset"),
            doc: "What happens to old connections; each injection draws one of the list.",
        },
        Among::SETTING,
        FOR,
    ],
    needs,
    build,
};

struct Connections {
    selector: Selector,
    among: Among,
    how: Vec<Old>,
}

fn needs(params: &Params) -> Needs {
    Needs { bad_lines: true, ..Selector::needs(params) }
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let how = settings::words(params, "how")?.into_iter().map(|word| match word {
        "reset" => Ok(Old::Reset),
        "stall" => Ok(Old::Stall),
        other => Err(format!("`how` is `reset` or `stall`, not `{other}`")),
    });
    let how = how.collect::<Result<Vec<Old>, String>>()?;
    if how.is_empty() {
        return Err("`how` is an empty list".to_owned());
    }
    let among = Among::read(params, nodes)?;
    Ok(Box::new(Connections { selector: Selector::read(params, nodes)?, among, how }))
}

impl Fault for Connections {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        let chosen = match self.selector.select(picture, rng) {
            Ok(chosen) => chosen,
            Err(why) => return Choice::Skipped(why),
        };
        let connections = self.how.choose(rng).copied().unwrap_or_default();
        let word = if connections == Old::Reset { "reset" } else { "stalled" };
        let rule = LinkRule::Shape(Shaping { connections, ..Shaping::default() });
        let links = lines(&chosen, &picture.ids(), self.among);
        let what = format!("old connections of {} {word}", list(&chosen));
        Choice::Target(Target::Links(Cut {
            what,
            rules: links.into_iter().map(|link| (link, rule)).collect(),
        }))
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(shape_lines(target, levers))
    }
}
