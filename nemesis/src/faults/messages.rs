//! Makes messages of the Raft protocol late, or loses, repeats or holds them, by their type.
//!
//! ```yaml
//! - messages: { target: leader, kinds: [append-reply], how: drop, share: 30%, for: 2s..5s }
//! ```
//!
//! With `direction: incoming` it concerns what arrives at the nodes of `target`, with `outgoing` what one node sends to all others.
//! `delay` makes messages late by `by`, and others overtake them; `drop` loses them; `duplicate` lets them arrive twice; `hold` lets
//! none through until the fault ends, and then all of them, in order; `replay` lets them pass, and when the fault ends, they and
//! those that were held or recorded before arrive once more. `share` takes a part of them, the same ones every time; after `count`
//! of them at a node it is over. A network does all of this to datagrams and would hit every
//! type alike; to hit one is how a rare order of events is made likely. Raft needs no more of its messages than that none is
//! forged, so that nothing of this is unsafe.
//!
//! A type of message is under at most one fault at each node: another one that wants it there is skipped and says who has it.
//!
//! The reader sees to how many messages it was done. A node that ends meanwhile takes the count with it, and so does a rule that has
//! come to its `count`.

use checker::params::{Kind, Params, Setting};
use cluster::levers::{Levers, ProcessState};
use cluster::messages::{MessageAction, MessageFilter, MessageRule};
use cluster::order::OrderKind;
use cluster::system::{BoxFuture, NodeId};
use rand::Rng;

use crate::fault::{Choice, Fault, FaultKind, Injection, Needs};
use crate::gated::{Gated, install};
use crate::picture::Picture;
use crate::select::Selector;
use crate::settings::{self, FOR, TARGET};
use crate::target::Target;

const KINDS: &[&str] = &[
    "pre-vote",
    "pre-vote-reply",
    "request-vote",
    "vote-reply",
    "append-entries",
    "probe",
    "append-reply",
    "heartbeat",
    "heartbeat-reply",
    "timeout-now",
    "install-snapshot",
    "install-reply",
    "read-index",
    "read-index-reply",
    "state-hash",
    "state-hash-reply",
];

pub(crate) const KIND: FaultKind = FaultKind {
    name: "messages",
    summary: "Makes messages of the Raft protocol late, or loses, repeats or holds them, by their type.",
    source: include_str!("messages.rs"),
    settings: &[
        TARGET,
        Setting {
            name: "kinds",
            kind: Kind::List(&Kind::Word(KINDS)),
            default: Some("append-entries"),
            doc: "The types of messages.",
        },
        Setting {
            name: "how",
            kind: Kind::Word(&["delay", "drop", "duplicate", "hold", "replay"]),
            default: Some("delay"),
            doc: "What happens to them.",
        },
        Setting {
            name: "by",
            kind: Kind::Duration,
            default: Some("50ms"),
            doc: "How late `delay` makes them, at most 1m.",
        },
        Setting {
            name: "share",
            kind: Kind::Ratio,
            default: Some("100%"),
            doc: "The share of them that it happens to.",
        },
        Setting {
            name: "direction",
            kind: Kind::Word(&["incoming", "outgoing"]),
            default: Some("incoming"),
            doc: "Whether it concerns what the target receives or what it sends.",
        },
        Setting {
            name: "count",
            kind: Kind::Count { min: 0, max: 1_000_000_000 },
            default: Some("0"),
            doc: "After so many messages at a node there are no more; 0: any number.",
        },
        FOR,
    ],
    needs,
    build,
};

struct Messages {
    selector: Selector,
    direction: Direction,
    rule: MessageRule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Incoming,
    Outgoing,
}

fn needs(params: &Params) -> Needs {
    Needs { order: Some(OrderKind::Messages), ..Selector::needs(params) }
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let kinds = settings::words(params, "kinds")?;
    let kinds = kinds.iter().map(|kind| kind.replace('-', "_").parse()).collect::<Result<Vec<_>, _>>();
    let kinds = kinds.map_err(|why| format!("`kinds`: {why}"))?;
    let ms = settings::duration(params, "by")?.as_millis();
    let ms = u32::try_from(ms).ok().filter(|ms| (1..=60_000).contains(ms));
    let ms = ms.ok_or("`by` is from 1ms to 1m")?;
    let action = match settings::text(params, "how")? {
        "delay" => MessageAction::Delay { ms },
        "drop" => MessageAction::Drop,
        "duplicate" => MessageAction::Duplicate,
        "hold" => MessageAction::Hold,
        "replay" => MessageAction::Record,
        other => {
            return Err(format!("`how` is `delay`, `drop`, `duplicate`, `hold` or `replay`, not `{other}`"));
        }
    };
    let share_ppm = settings::ppm(params, "share")?;
    if share_ppm == 0 {
        return Err("`share` is 0%, so nothing would happen".to_owned());
    }
    let filter = MessageFilter { kinds, ..MessageFilter::default() };
    let count = Some(settings::count(params, "count")?).filter(|count| *count > 0);
    let rule = MessageRule { share_ppm, count, ..MessageRule::new(action, filter) };
    let selector = Selector::read(params, nodes)?;
    let direction = match settings::text(params, "direction")? {
        "incoming" => Direction::Incoming,
        "outgoing" => Direction::Outgoing,
        other => return Err(format!("`direction` is `incoming` or `outgoing`, not `{other}`")),
    };
    let several = matches!(selector, Selector::Majority | Selector::Minority | Selector::All);
    if direction == Direction::Outgoing && several {
        return Err(
            "`direction: outgoing` is of one node: `target` is `leader`, `any`, or a name such as `n2`"
                .to_owned(),
        );
    }
    Ok(Box::new(Messages { selector, direction, rule }))
}

impl Messages {
    fn gates(&self, picture: &Picture, rng: &mut dyn Rng) -> Result<Gated, String> {
        let (nodes, mut rule) = (self.selector.select(picture, rng)?, self.rule.clone());
        if self.direction == Direction::Incoming {
            return Ok(Gated { nodes, rule });
        }
        // What a node sends is caught where it arrives.
        rule.filter.from = nodes.first().copied();
        let running = picture.nodes.iter().filter(|node| node.process == ProcessState::Running);
        let others: Vec<NodeId> = running.map(|node| node.id).filter(|id| !nodes.contains(id)).collect();
        if others.is_empty() {
            return Err("no other node runs".to_owned());
        }
        Ok(Gated { nodes: others, rule })
    }
}

impl Fault for Messages {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match self.gates(picture, rng) {
            Ok(gated) => match gated.conflict(&picture.active) {
                None => Choice::Target(Target::Gated(gated)),
                Some(why) => Choice::Skipped(why),
            },
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(async move {
            match target {
                Target::Gated(gated) => install(gated, levers).await,
                other => Injection::Skipped(format!("{} has no messages", other.describe())),
            }
        })
    }
}
