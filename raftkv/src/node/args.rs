//! The arguments of a node, and the cluster that they describe.
//!
//! Invariant: arguments that contradict each other are refused before anything is opened or made.
//! What it lacks on purpose: defaults of rules, which the presets have, and addresses of members that come later, which the log has.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use super::NodeError;
use crate::failpoints::{self, Action, Plan};
use crate::raft::io::NodeId;
use crate::raft::quorum::Configuration;
use crate::raft::rules::Rules;

/// The arguments of a node.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Which member this node is: n1, n2, ...
    #[arg(long, value_name = "NODE")]
    pub id: NodeId,
    /// All members of the cluster with their addresses: n1=10.0.0.1,n2=10.0.0.2
    #[arg(long, value_name = "NODE=IP,...", value_delimiter = ',', required = true)]
    pub members: Vec<Member>,
    /// Where the node keeps what must survive; created if it does not exist
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// This is the first start of this node in a new cluster: an empty data directory is no loss
    #[arg(long)]
    pub bootstrap: bool,
    /// Append a trace of everything the node does to this file
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Where the node's random timeouts start; drawn if absent
    #[arg(long)]
    pub seed: Option<u64>,
    /// A named set of rules
    #[arg(long, value_name = "NAME", default_value = "production")]
    pub preset: String,
    /// Change one rule of the preset; may be repeated
    #[arg(long = "rule", value_name = "NAME=VALUE")]
    pub rules: Vec<String>,
    /// The port for clients, the same on all members
    #[arg(long, value_name = "PORT", default_value_t = 7001)]
    pub client_port: u16,
    /// The port for the other members, the same on all members
    #[arg(long, value_name = "PORT", default_value_t = 7002)]
    pub peer_port: u16,
    /// This node is not among the first members and learns everything from a leader that was told to add it: --members
    /// names the first members, as for every other node, and --bind its own address
    #[arg(long, requires = "bind")]
    pub join: bool,
    /// Listen on this address instead of the member's own
    #[arg(long, value_name = "IP")]
    pub bind: Option<IpAddr>,
    /// The name of the cluster; a data directory of another one is refused
    #[arg(long, value_name = "NAME", default_value = "raftkv")]
    pub cluster: String,
    /// Take orders: elections, changes of members, failpoints and more below /control/
    #[arg(long)]
    pub control: bool,
    /// A port for orders beside the client port, served by a thread of its own, so that a held node still listens
    #[arg(long, value_name = "PORT", default_value_t = 7003)]
    pub control_port: u16,
    /// Kill the node at a named point, or hold it there once it has started; may be repeated
    #[arg(
        long = "failpoint",
        value_name = "POINT=ACTION[:skip=N][:index=I][:key=K][:to=NODE]",
        requires = "control"
    )]
    pub failpoints: Vec<Plan>,
    /// After how many milliseconds a client is told that the outcome of its request is unknown
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    pub request_timeout_ms: u64,
}

/// A member and its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub id: NodeId,
    /// Where.
    pub address: IpAddr,
}

impl FromStr for Member {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (id, address) =
            text.split_once('=').ok_or_else(|| format!("`{text}` is not a member: expected n1=10.0.0.1"))?;
        let address = address.parse().map_err(|_| format!("`{address}` is not an IP address"))?;
        Ok(Self { id: id.parse()?, address })
    }
}

/// The cluster as the arguments describe it.
pub(super) struct Cluster {
    /// The client addresses of all members.
    pub(super) members: BTreeMap<NodeId, SocketAddr>,
    /// This node's client address.
    pub(super) own: SocketAddr,
    /// What a data directory is bound to: the name and the initial members.
    pub(super) identity: String,
}

impl Cluster {
    pub(super) fn of(args: &Args) -> Result<Self, NodeError> {
        let mut members = BTreeMap::new();
        for member in &args.members {
            let address = SocketAddr::new(member.address, args.client_port);
            if members.insert(member.id, address).is_some() {
                return Err(NodeError::Arguments(format!("--members names {} twice", member.id)));
            }
        }
        let own = match (members.get(&args.id), args.bind) {
            (Some(_), _) if args.join => {
                let reason = "but --members names it: it is one of the first members already";
                return Err(NodeError::Arguments(format!("--id is {} with --join, {reason}", args.id)));
            }
            (None, Some(bind)) if args.join => SocketAddr::new(bind, args.client_port),
            (Some(&own), _) => own,
            (None, _) => {
                let reason =
                    "but --members does not name it; add it, or use --join for a node that comes later";
                return Err(NodeError::Arguments(format!("--id is {}, {reason}", args.id)));
            }
        };
        let names: Vec<String> = members.keys().map(NodeId::to_string).collect();
        Ok(Self { members, own, identity: format!("{}/{}", args.cluster, names.join(",")) })
    }

    /// What this node believes before it has a log. One that comes later believes nothing.
    pub(super) fn first_members(&self, args: &Args) -> Configuration {
        if args.join {
            return Configuration::default();
        }
        Configuration::new(self.members.keys().copied().collect())
    }

    pub(super) fn peer_addresses(&self, args: &Args) -> BTreeMap<NodeId, SocketAddr> {
        let others = self.members.iter().filter(|(id, _)| **id != args.id);
        others.map(|(&id, address)| (id, SocketAddr::new(address.ip(), args.peer_port))).collect()
    }
}

/// Arms the points of the arguments that have this action.
pub(super) fn arm(args: &Args, action: Action) {
    for plan in args.failpoints.iter().filter(|plan| plan.action == action) {
        failpoints::registry().arm(plan.clone());
    }
}

/// The rules that the arguments ask for.
pub(super) fn rules(args: &Args) -> Result<Rules, NodeError> {
    let mut rules = Rules::preset(&args.preset)?;
    for rule in &args.rules {
        let (name, value) = rule
            .split_once('=')
            .ok_or_else(|| NodeError::Arguments(format!("--rule {rule}: expected NAME=VALUE")))?;
        rules.set(name.trim(), value.trim())?;
    }
    rules.validate()?;
    Ok(rules)
}

/// The value of a rule as text, for showing it.
pub(super) fn rule_text(rules: &Rules, name: &str) -> String {
    rules.list().into_iter().find(|(rule, _)| *rule == name).map(|(_, value)| value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        let words = std::iter::once("node").chain(line.split_whitespace());
        <Cli as clap::Parser>::try_parse_from(words).map(|cli| cli.args)
    }

    #[test]
    fn arguments_are_read() {
        let line = "--id n2 --members n1=10.0.0.1,n2=10.0.0.2 --data-dir d --rule read_mode=local --rule pre_vote=off";
        let args = parse(line).unwrap();
        let cluster = Cluster::of(&args).unwrap();
        assert_eq!(cluster.own, "10.0.0.2:7001".parse().unwrap());
        assert_eq!(cluster.peer_addresses(&args), [(NodeId(1), "10.0.0.1:7002".parse().unwrap())].into());
        assert_eq!(rule_text(&rules(&args).unwrap(), "read_mode"), "local");
    }

    #[test]
    fn contradictions_are_refused() {
        for (line, expected) in [
            ("--id n3 --members n1=10.0.0.1 --data-dir d", "does not name it"),
            ("--id n1 --members n1=10.0.0.1,n1=10.0.0.2 --data-dir d", "names n1 twice"),
        ] {
            let Err(error) = Cluster::of(&parse(line).unwrap()) else { panic!("{line} is accepted") };
            assert!(error.to_string().contains(expected), "{error}");
        }
        for (line, expected) in [
            ("--id n1 --members n1=10.0.0.1 --data-dir d --rule read_mode", "expected NAME=VALUE"),
            ("--id n1 --members n1=10.0.0.1 --data-dir d --rule read_mod=log", "did you mean `read_mode`"),
            ("--id n1 --members n1=10.0.0.1 --data-dir d --preset x", "no preset `x`"),
        ] {
            let error = rules(&parse(line).unwrap()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        for line in ["--id x --members n1=10.0.0.1 --data-dir d", "--id n1 --members n1 --data-dir d"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
