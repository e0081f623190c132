//! etcd (3.4 and later), through its JSON gateway: proof that nothing here is made for the bundled store alone.
//!
//! Invariant: the nodes run with etcd's own defaults except for addresses, directories and the two timers that a suite
//! may set. Deliberately lacks TLS, authentication, and the rules and file edits of the bundled store.
//! Reference: etcd's "Configuration flags" page.

mod client;
mod gateway;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use checker::params::{Kind, Param, Setting};
use serde_json::{Value as Json, json};

use crate::client::Client;
use crate::hosts::CONTROL;
use crate::levers::LeverError;
use crate::order::{MemberChange, Order, OrderKind, Part};
use crate::system::{
    BoxFuture, Capabilities, Direct, Entry, FileEdit, NodeCommand, NodeId, NodeSpec, ReadMode, Role, System,
    Unavailable, View,
};

use super::http::{Http, Request};
use super::orders::{own_url, told};
use super::{SystemKind, SystemOptions};
use client::{EtcdClient, Reads};

/// The entry of the registry.
pub(super) const KIND: SystemKind = SystemKind {
    name: "etcd",
    summary: "etcd 3.4 or later as installed on this host, through its JSON gateway.",
    settings: &[
        Setting {
            name: HEARTBEAT_INTERVAL,
            kind: Kind::Duration,
            default: Some("100ms"),
            doc: "How often a leader tells its followers that it is there.",
        },
        Setting {
            name: ELECTION_TIMEOUT,
            kind: Kind::Duration,
            default: Some("1s"),
            doc: "How long a follower waits for the leader before it stands for election; at least five heartbeats.",
        },
    ],
    example: "{ use: etcd, nodes: 3, election-timeout: 1s }",
    build,
};

const HEARTBEAT_INTERVAL: &str = "heartbeat-interval";
const ELECTION_TIMEOUT: &str = "election-timeout";
const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;
const PROGRAM: &str = "etcd";
/// Nodes started at the same moment find each other not yet listening and wait for seconds before they try again.
const START_INTERVAL: Duration = Duration::from_millis(60);

/// etcd as installed on this host.
pub struct Etcd {
    heartbeat: Duration,
    election: Duration,
    observer: Http,
    /// etcd's own numbers for its members, as far as they have told them.
    names: Mutex<BTreeMap<u64, NodeId>>,
}

fn build(options: &SystemOptions) -> Result<Arc<dyn System>, String> {
    if let Some((rule, _)) = options.rules.first() {
        return Err(format!("etcd has no rules to switch, and so none called \"{rule}\"; only raftkv has"));
    }
    let duration = |name: &str, default: Duration| match options.params.0.get(name) {
        Some(Param::Duration(nanoseconds)) => Ok(Duration::from_nanos(*nanoseconds)),
        Some(other) => Err(format!("{name} must be a duration such as 100ms, not {other:?}")),
        None => Ok(default),
    };
    let heartbeat = duration(HEARTBEAT_INTERVAL, Duration::from_millis(100))?;
    let election = duration(ELECTION_TIMEOUT, Duration::from_secs(1))?;
    if heartbeat < Duration::from_millis(1) {
        return Err(format!("{HEARTBEAT_INTERVAL} must be at least 1ms"));
    }
    if election < heartbeat * 5 || election > Duration::from_secs(50) {
        let lowest = heartbeat * 5;
        return Err(format!(
            "{ELECTION_TIMEOUT} must be from {lowest:?} (five heartbeats) to 50s, not {election:?}"
        ));
    }
    let observer = Http::for_observer(IpAddr::V4(CONTROL));
    Ok(Arc::new(Etcd { heartbeat, election, observer, names: Mutex::default() }))
}

impl System for Etcd {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            ops: &["read", "write", "cas", "delete", "append", "add", "members"],
            trace: false,
            edits: false,
            roles: true,
            orders: &[OrderKind::Transfer, OrderKind::Members],
            write_modes: false,
            starts: false,
            returns: false,
        }
    }

    fn probe(&self) -> Result<String, Unavailable> {
        let fix = "apt-get install -y etcd-server".to_owned();
        let missing = |what: String| Unavailable { what, fix: fix.clone() };
        let output = Command::new(PROGRAM)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| missing(format!("etcd is not installed ({PROGRAM} --version: {error})")))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let version = said.lines().find_map(|line| line.strip_prefix("etcd Version:")).map(str::trim);
        match version {
            Some(version) if gateway::speaks_v3(version) => Ok(version.to_owned()),
            Some(version) => {
                Err(missing(format!("etcd {version} is too old; 3.4 is the oldest that will do")))
            }
            None => Err(missing(format!("`{PROGRAM} --version` does not say which version it is"))),
        }
    }

    fn command(&self, node: &NodeSpec) -> NodeCommand {
        let url = |address: &IpAddr, port: u16| format!("http://{address}:{port}");
        let own = node.address;
        // One that joins has been added before it is started, and counts itself among the members.
        let joins = node.start.entry == Entry::Joins;
        let itself = joins.then_some((node.id, own));
        let cluster: Vec<String> = (node.members.iter().chain(&itself))
            .map(|(id, address)| format!("{id}={}", url(address, PEER_PORT)))
            .collect();
        let mut args: Vec<OsString> = Vec::new();
        let mut flag = |name: &str, value: OsString| args.extend([name.into(), value]);
        flag("--name", node.id.to_string().into());
        flag("--data-dir", node.data_dir.join("etcd").into());
        flag("--listen-peer-urls", url(&own, PEER_PORT).into());
        flag("--initial-advertise-peer-urls", url(&own, PEER_PORT).into());
        flag("--listen-client-urls", url(&own, CLIENT_PORT).into());
        flag("--advertise-client-urls", url(&own, CLIENT_PORT).into());
        flag("--initial-cluster", cluster.join(",").into());
        flag("--initial-cluster-state", if joins { "existing" } else { "new" }.into());
        flag("--initial-cluster-token", "raftcheck".into());
        flag("--heartbeat-interval", self.heartbeat.as_millis().to_string().into());
        flag("--election-timeout", self.election.as_millis().to_string().into());
        flag("--logger", "zap".into());
        let mut env = Vec::new();
        if cfg!(target_arch = "aarch64") {
            // etcd 3.4 refuses to start there without being told that it may.
            env.push(("ETCD_UNSUPPORTED_ARCH".into(), "arm64".into()));
        }
        NodeCommand { program: PROGRAM.into(), args, env }
    }

    fn edit(&self, _: &NodeSpec, _: &FileEdit) -> Option<NodeCommand> {
        None
    }

    fn start_interval(&self) -> Duration {
        START_INTERVAL
    }

    fn connect(&self, members: &[(NodeId, IpAddr)], home: NodeId, op_timeout: Duration) -> Arc<dyn Client> {
        Arc::new(EtcdClient::new(members, home, op_timeout, CLIENT_PORT))
    }

    fn connect_to(&self, node: &NodeSpec, direct: Direct) -> Result<Arc<dyn Client>, LeverError> {
        let reads = match direct.read_mode {
            ReadMode::ByRules | ReadMode::ReadIndex => Reads::Linearizable,
            ReadMode::Local => Reads::Serializable,
            mode @ (ReadMode::Log | ReadMode::Lease) => {
                return Err(LeverError::Unsupported(format!("etcd has no reads of the mode {mode:?}")));
            }
        };
        let only = [(node.id, node.address)];
        Ok(Arc::new(EtcdClient::new(&only, node.id, direct.op_timeout, CLIENT_PORT).reading(reads)))
    }

    fn observe<'a>(&'a self, node: &'a NodeSpec, timeout: Duration) -> BoxFuture<'a, Option<View>> {
        Box::pin(async move {
            let url = format!("{}/v3/maintenance/status", own_url(node, CLIENT_PORT));
            let request = Request::new(reqwest::Method::POST, url, json!({}).to_string());
            let answer = self.observer.send(request, Instant::now() + timeout).await.ok()?;
            let status: Json = serde_json::from_slice(&answer.body).ok()?;
            if answer.status != 200 {
                return None;
            }
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            Some(view(&status, node.id, &mut names))
        })
    }

    fn order<'a>(
        &'a self,
        node: &'a NodeSpec,
        order: Order,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<String, LeverError>> {
        Box::pin(async move {
            let (path, body) = self.request(node, &order)?;
            let url = format!("{}/v3/{path}", own_url(node, CLIENT_PORT));
            let request = Request::new(reqwest::Method::POST, url, body.to_string());
            told(&order, self.observer.send(request, Instant::now() + timeout).await)
        })
    }
}

impl Etcd {
    /// The request for an order: its path below `/v3/`, and its body.
    fn request(&self, node: &NodeSpec, order: &Order) -> Result<(&'static str, Json), LeverError> {
        match order {
            Order::Transfer { to: Some(to) } => {
                let target = self.number_of(*to)?.to_string();
                Ok(("maintenance/transfer-leadership", json!({ "targetID": target })))
            }
            Order::Members(MemberChange::Add { node: added, part: part @ (Part::Voter | Part::Learner) }) => {
                let host = node.hosts.iter().find(|(id, _)| id == added);
                let (_, address) = host.ok_or_else(|| {
                    LeverError::WrongState(format!("there is no host {added} that could be a member"))
                })?;
                let body = json!({
                    "peerURLs": [format!("http://{address}:{PEER_PORT}")],
                    "isLearner": *part == Part::Learner,
                });
                Ok(("cluster/member/add", body))
            }
            Order::Members(MemberChange::Promote { node }) => {
                Ok(("cluster/member/promote", json!({ "ID": self.number_of(*node)?.to_string() })))
            }
            Order::Members(MemberChange::Remove { node }) => {
                Ok(("cluster/member/remove", json!({ "ID": self.number_of(*node)?.to_string() })))
            }
            _ => Err(LeverError::Unsupported(format!("etcd cannot be told to {order}"))),
        }
    }

    /// etcd's own number for a member.
    fn number_of(&self, node: NodeId) -> Result<u64, LeverError> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let known = names.iter().find(|(_, name)| **name == node).map(|(number, _)| *number);
        known.ok_or_else(|| {
            let what = "has not told its number yet, and etcd knows it by no other name";
            LeverError::WrongState(format!("{node} {what}"))
        })
    }
}

/// Reads a status and learns the number of the member that gave it.
fn view(status: &Json, node: NodeId, names: &mut BTreeMap<u64, NodeId>) -> View {
    let number = |name: &str| gateway::number(status.get(name));
    let own = gateway::number(status.pointer("/header/member_id")).unwrap_or(0);
    names.insert(own, node);
    // Absent means zero: it knows of no leader, and does not say whether it stands for election.
    let leader = number("leader").filter(|leader| *leader != 0);
    let role = leader.map(|leader| if leader == own { Role::Leader } else { Role::Follower });
    View {
        role,
        term: number("raftTerm"),
        leader: leader.and_then(|leader| names.get(&leader).copied()),
        commit_index: number("raftIndex"),
        last_applied: number("raftAppliedIndex"),
        ..View::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::Start;
    use checker::params::Params;

    fn options(settings: &[(&str, u64)]) -> SystemOptions {
        let params =
            settings.iter().map(|(name, ms)| ((*name).into(), Param::Duration(ms * 1_000_000))).collect();
        SystemOptions { params: Params(params), rules: Vec::new() }
    }

    #[test]
    fn options_that_etcd_would_refuse_are_refused_first() {
        let error = |options: SystemOptions| build(&options).err().expect("an error");
        let slow = error(options(&[(HEARTBEAT_INTERVAL, 300)]));
        assert!(slow.contains("1.5s (five heartbeats)"), "{slow}");
        assert!(error(options(&[(ELECTION_TIMEOUT, 60_000)])).contains("50s"));
        let mut with_rule = options(&[]);
        with_rule.rules.push(("read_mode".into(), "local".into()));
        assert!(error(with_rule).contains("read_mode"));
        assert!(build(&options(&[(HEARTBEAT_INTERVAL, 10), (ELECTION_TIMEOUT, 100)])).is_ok());
    }

    #[test]
    fn a_status_is_read_and_names_the_members() {
        let mut names = BTreeMap::new();
        let follower = json!({
            "header": { "member_id": "12", "raft_term": "3" },
            "leader": "13", "raftIndex": "9", "raftTerm": "3", "raftAppliedIndex": "8"
        });
        let before = view(&follower, NodeId(1), &mut names);
        assert_eq!((before.role, before.leader), (Some(Role::Follower), None));
        let leader = view(&json!({ "header": { "member_id": "13" }, "leader": "13" }), NodeId(2), &mut names);
        assert_eq!((leader.role, leader.leader), (Some(Role::Leader), Some(NodeId(2))));
        let after = view(&follower, NodeId(1), &mut names);
        assert_eq!(after.leader, Some(NodeId(2)));
        assert_eq!((after.term, after.commit_index, after.last_applied), (Some(3), Some(9), Some(8)));
        let lost = view(&json!({ "header": { "member_id": "12" }, "raftTerm": "4" }), NodeId(1), &mut names);
        assert_eq!((lost.role, lost.leader, lost.term), (None, None, Some(4)));
    }

    /// n2 of a cluster of three, with one spare host.
    fn spec() -> NodeSpec {
        let hosts: Vec<_> = (1..=4).map(|n| (NodeId(n), IpAddr::from([10, 77, 0, n as u8]))).collect();
        NodeSpec {
            id: NodeId(2),
            address: hosts[1].1,
            members: hosts[..3].to_vec(),
            hosts,
            data_dir: "/d".into(),
            trace_file: "/t".into(),
            seed: 1,
            start: Start::default(),
        }
    }

    #[test]
    fn members_are_changed_through_its_own_interface() {
        let etcd = Etcd {
            heartbeat: Duration::from_millis(100),
            election: Duration::from_secs(1),
            observer: Http::for_observer(IpAddr::V4(CONTROL)),
            names: Mutex::new([(77, NodeId(3))].into()),
        };
        let request = |change| etcd.request(&spec(), &Order::Members(change));
        assert_eq!(
            request(MemberChange::Add { node: NodeId(4), part: Part::Learner }),
            Ok(("cluster/member/add", json!({ "peerURLs": ["http://10.77.0.4:2380"], "isLearner": true })))
        );
        let removed = request(MemberChange::Remove { node: NodeId(3) });
        assert_eq!(removed, Ok(("cluster/member/remove", json!({ "ID": "77" }))));
        let stranger = request(MemberChange::Promote { node: NodeId(4) });
        assert!(matches!(stranger, Err(LeverError::WrongState(_))), "{stranger:?}");
        let witness = request(MemberChange::Add { node: NodeId(4), part: Part::Witness });
        assert!(matches!(witness, Err(LeverError::Unsupported(_))), "{witness:?}");
    }

    #[test]
    fn one_that_joins_counts_itself() {
        let start = Start { entry: Entry::Joins, ..Start::default() };
        let spec = NodeSpec { id: NodeId(4), address: spec().hosts[3].1, start, ..spec() };
        let command = build(&options(&[])).unwrap().command(&spec);
        let args: Vec<&str> = command.args.iter().map(|arg| arg.to_str().unwrap()).collect();
        let after = |flag: &str| args[args.iter().position(|arg| *arg == flag).unwrap() + 1];
        assert!(after("--initial-cluster").ends_with(",n4=http://10.77.0.4:2380"));
        assert_eq!(after("--initial-cluster-state"), "existing");
    }

    #[test]
    fn a_command_names_every_member() {
        let spec = spec();
        let command = build(&options(&[])).unwrap().command(&spec);
        let args: Vec<&str> = command.args.iter().map(|arg| arg.to_str().unwrap()).collect();
        let after = |flag: &str| args[args.iter().position(|arg| *arg == flag).unwrap() + 1];
        assert_eq!(
            after("--initial-cluster"),
            "n1=http://10.77.0.1:2380,n2=http://10.77.0.2:2380,n3=http://10.77.0.3:2380"
        );
        assert_eq!(after("--listen-client-urls"), "http://10.77.0.2:2379");
        assert_eq!((after("--heartbeat-interval"), after("--election-timeout")), ("100", "1000"));
    }
}
