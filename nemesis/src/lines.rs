//! The links of nodes in both directions, and putting a rule on them.

use checker::params::{Kind, Params, Setting};
use cluster::levers::{Endpoint, LeverError, Levers, Link, LinkRule};
use cluster::system::NodeId;

use crate::fault::{Injection, Installed};
use crate::settings;
use crate::target::{Cut, Target};

/// With whom a node's links are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Among {
    /// With the other nodes.
    Nodes,
    /// With the clients.
    Clients,
    /// With both.
    All,
}

impl Among {
    /// The setting `links`.
    pub(crate) const SETTING: Setting = Setting {
        name: "links",
        kind: Kind::Word(&["nodes", "clients", "all"]),
        default: Some("nodes"),
        doc: "Whether it concerns the links with the other nodes, with the clients, or all.",
    };

    /// Reads the setting `links` for a cluster of this many nodes.
    pub(crate) fn read(params: &Params, nodes: usize) -> Result<Self, String> {
        match settings::text(params, "links")? {
            "nodes" if nodes < 2 => Err("`links: nodes` needs 2 nodes".to_owned()),
            "nodes" => Ok(Among::Nodes),
            "clients" => Ok(Among::Clients),
            "all" => Ok(Among::All),
            other => Err(format!("`links` is `nodes`, `clients` or `all`, not `{other}`")),
        }
    }
}

/// Both directions of the links of these nodes, each once, in order.
pub(crate) fn lines(chosen: &[NodeId], all: &[NodeId], among: Among) -> Vec<Link> {
    let nodes = all.iter().map(|node| Endpoint::Node(*node));
    let others: Vec<Endpoint> = match among {
        Among::Nodes => nodes.collect(),
        Among::Clients => vec![Endpoint::Clients],
        Among::All => nodes.chain([Endpoint::Clients]).collect(),
    };
    let chosen = chosen.iter().map(|node| Endpoint::Node(*node));
    let pairs = chosen.flat_map(|node| others.iter().map(move |other| (node, *other)));
    let links = pairs.filter(|(node, other)| node != other);
    let both = links.flat_map(|(from, to)| [Link { from, to }, Link { from: to, to: from }]);
    both.collect::<std::collections::BTreeSet<Link>>().into_iter().collect()
}

/// Puts the rules of a target on its links.
pub(crate) async fn shape_lines(target: &Target, levers: &dyn Levers) -> Injection {
    match target {
        Target::Links(cut) => shape(cut, levers),
        other => Injection::Skipped(format!("{} has no links", other.describe())),
    }
}

fn shape(cut: &Cut, levers: &dyn Levers) -> Injection {
    let effective = match levers.set_links(&cut.rules) {
        Ok(effective) => effective,
        Err(error @ (LeverError::WrongState(_) | LeverError::Unsupported(_))) => {
            return Injection::Skipped(error.to_string());
        }
        Err(error) => return Injection::Indeterminate(error.to_string()),
    };
    let bad = cut.rules.iter().filter(|(link, _)| levers.link(*link).0 != LinkRule::Pass).count();
    if bad < cut.rules.len() {
        return Injection::Indeterminate(format!("only {bad} of {} links are bad", cut.rules.len()));
    }
    Injection::Installed(Installed { proof: format!("{bad} links are bad"), effective: Some(effective) })
}
