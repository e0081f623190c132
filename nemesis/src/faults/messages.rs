//! Makes messages of the Raft protocol late, or loses, repeats or holds them, by their type.
//!
//! ```yaml
//! - messages: { target: leader, kinds: [append-reply], how: drop, share: 30%, for: 2s..5s }
//! ```
//!
//! The nodes of `target` are those at which the messages arrive. `delay` makes them late by `by`, and others overtake them;
//! `drop` loses them; `duplicate` lets them arrive twice; `hold` lets none through until the fault ends, and then all of them, in
//! order. `share` takes a part of them, the same ones every time. A network does all of this to datagrams and would hit every
//! type alike; to hit one is how a rare order of events is made likely. Raft needs no more of its messages than that none is
//! forged, so that nothing of this is unsafe.
//!
//! A type of message is under at most one fault at each node: another one that wants it there is skipped and says who has it.
//!
//! The reader sees to how many messages it was done. A node that ends meanwhile takes the count with it.

use checker::params::{Kind, Params, Setting};
use cluster::levers::Levers;
use cluster::messages::{MessageAction, MessageFilter, MessageRule};
use cluster::order::OrderKind;
use cluster::system::BoxFuture;
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
            kind: Kind::Word(&["delay", "drop", "duplicate", "hold"]),
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
        FOR,
    ],
    needs,
    build,
};

struct Messages {
    selector: Selector,
    rule: MessageRule,
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
        other => return Err(format!("`how` is `delay`, `drop`, `duplicate` or `hold`, not `{other}`")),
    };
    let share_ppm = settings::ppm(params, "share")?;
    if share_ppm == 0 {
        return Err("`share` is 0%, so nothing would happen".to_owned());
    }
    let filter = MessageFilter { kinds, ..MessageFilter::default() };
    let rule = MessageRule { share_ppm, ..MessageRule::new(action, filter) };
    Ok(Box::new(Messages { selector: Selector::read(params, nodes)?, rule }))
}

impl Fault for Messages {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match self.selector.select(picture, rng) {
            Ok(nodes) => {
                let gated = Gated { nodes, rule: self.rule.clone() };
                match gated.conflict(&picture.active) {
                    None => Choice::Target(Target::Gated(gated)),
                    Some(why) => Choice::Skipped(why),
                }
            }
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
