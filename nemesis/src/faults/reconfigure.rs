//! Kills nodes and starts them under other rules; when the fault ends, they are started under their own again.
//!
//! ```yaml
//! - reconfigure: { target: minority, rules: [pre_vote=off, check_quorum=off], for: 2s..5s }
//! ```
//!
//! It is half of a rolling upgrade: for a while, nodes that follow different rules run together. Whether that is safe depends on
//! the rules; a rule that only one node follows, such as a way to store its vote, is as safe as on all of them.
//!
//! The reader sees that the nodes answered under the new rules, or what a node said that refused them.

use checker::params::{Kind, Params, Setting};
use cluster::levers::Levers;
use cluster::system::BoxFuture;
use rand::Rng;

use crate::fault::{Choice, Fault, FaultKind, Injection, Needs};
use crate::picture::Picture;
use crate::restarts::{Reconfigured, reconfigure};
use crate::select::{Limit, Selector, take_out};
use crate::settings::{self, FOR, LIMIT, TARGET};
use crate::target::Target;

pub(crate) const KIND: FaultKind = FaultKind {
    name: "reconfigure",
    summary: "Starts nodes again under other rules, and under their own at the end.",
    source: include_str!("reconfigure.rs"),
    settings: &[
        TARGET,
        Setting {
            name: "rules",
            kind: Kind::List(&Kind::Text),
            default: Some("pre_vote=off"),
            doc: "The rules, each as NAME=VALUE; `preset=NAME` for a whole set.",
        },
        FOR,
        LIMIT,
    ],
    needs,
    build,
};

struct Reconfigure {
    selector: Selector,
    limit: Limit,
    rules: Vec<(String, String)>,
}

fn needs(params: &Params) -> Needs {
    Needs { starts: true, ..Selector::needs(params) }
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let rule = |text: &&str| match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() && !value.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(format!("`rules`: `{text}` is no NAME=VALUE")),
    };
    let rules = settings::words(params, "rules")?.iter().map(rule).collect::<Result<Vec<_>, _>>()?;
    if rules.is_empty() {
        return Err("`rules` is empty, so nothing would be another".to_owned());
    }
    Ok(Box::new(Reconfigure { selector: Selector::read(params, nodes)?, limit: Limit::read(params)?, rules }))
}

impl Fault for Reconfigure {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match take_out(self.selector, self.limit, picture, rng) {
            Ok(nodes) => {
                Choice::Target(Target::Reconfigured(Reconfigured { nodes, rules: self.rules.clone() }))
            }
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(async move {
            match target {
                Target::Reconfigured(reconfigured) => reconfigure(reconfigured, levers).await,
                other => Injection::Skipped(format!("{} has no rules", other.describe())),
            }
        })
    }
}
