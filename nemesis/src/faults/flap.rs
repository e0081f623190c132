//! Lets links die and live by turns.
//!
//! ```yaml
//! - flap: { target: leader, down: 150ms, up: 250ms, links: nodes, for: 3s..6s }
//! ```
//!
//! It is a loose cable, or a route that is announced and withdrawn. While a link is dead its frames vanish, as on a cut. Turns
//! that are about as long as an election timeout are the worst: each life is long enough to begin an election and too short to end
//! it. All links of the fault begin with a life, at their first frame.
//!
//! The reader sees how many frames were dropped, on how many links.

use checker::params::{Kind, Params, Setting};
use cluster::levers::{Levers, LinkRule, Shaping};
use cluster::system::BoxFuture;
use rand::Rng;

use crate::fault::{Choice, Fault, FaultKind, Injection, Needs};
use crate::lines::{Among, lines, shape_lines};
use crate::moves::list;
use crate::picture::Picture;
use crate::select::Selector;
use crate::settings::{self, FOR, TARGET};
use crate::target::{Cut, Target};

pub(crate) const KIND: FaultKind = FaultKind {
    name: "flap",
    summary: "Lets links die and live by turns.",
    source: include_str!("flap.rs"),
    settings: &[
        TARGET,
        Setting {
            name: "down",
            kind: Kind::Duration,
            default: Some("150ms"),
            doc: "How long the links are dead at a time, from 1ms to 1m.",
        },
        Setting {
            name: "up",
            kind: Kind::Duration,
            default: Some("250ms"),
            doc: "How long they live in between, from 1ms to 1m.",
        },
        Among::SETTING,
        FOR,
    ],
    needs,
    build,
};

struct Flap {
    selector: Selector,
    among: Among,
    shape: Shaping,
}

fn needs(params: &Params) -> Needs {
    Needs { bad_lines: true, ..Selector::needs(params) }
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let ms = |name: &str| {
        let ms = settings::duration(params, name)?.as_millis();
        let ms = u32::try_from(ms).ok().filter(|ms| (1..=60_000).contains(ms));
        ms.ok_or_else(|| format!("`{name}` is from 1ms to 1m"))
    };
    let shape = Shaping { down_ms: ms("down")?, up_ms: ms("up")?, ..Shaping::default() };
    let among = Among::read(params, nodes)?;
    Ok(Box::new(Flap { selector: Selector::read(params, nodes)?, among, shape }))
}

impl Fault for Flap {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        let chosen = match self.selector.select(picture, rng) {
            Ok(chosen) => chosen,
            Err(why) => return Choice::Skipped(why),
        };
        let rules = lines(&chosen, &picture.ids(), self.among).into_iter();
        let rules = rules.map(|link| (link, LinkRule::Shape(self.shape))).collect();
        let Shaping { down_ms, up_ms, .. } = self.shape;
        let what =
            format!("links of {} dead for {down_ms} ms of every {} ms", list(&chosen), up_ms + down_ms);
        Choice::Target(Target::Links(Cut { what, rules }))
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(shape_lines(target, levers))
    }
}
