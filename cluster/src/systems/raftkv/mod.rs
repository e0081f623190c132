//! The bundled Raft KV: nodes are this very executable, started as `node`.
//!
//! Invariant: what is asked of a running node goes to its control port, which a thread of its own serves, so that a node
//! that is held at a failpoint still answers. Deliberately knows no rule of the node but the one that says where reads
//! begin; they pass through as text.

mod client;
mod edits;
mod messages;
mod orders;
mod view;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value as Json;

use crate::client::Client;
use crate::hosts::CONTROL;
use crate::levers::LeverError;
use crate::order::Order;
use crate::system::{
    Bootstrap, BoxFuture, Capabilities, Direct, Entry, FileEdit, NodeCommand, NodeId, NodeSpec, ReadMode,
    System, Unavailable, View,
};

use super::http::{Http, Request};
use super::orders::{own_url, told};
use super::{SystemKind, SystemOptions};
use client::{RaftKvClient, reading};
pub(super) use client::{escape, list, text, value};
use view::node_named;

/// The entry of the registry.
pub(super) const KIND: SystemKind = SystemKind {
    name: "raftkv",
    summary: "The bundled Raft key-value store: nothing to install, every protocol rule switchable, traces.",
    settings: &[],
    example: "{ use: raftkv, nodes: 5, rules: { preset: production } }",
    build,
};

/// Where a node serves clients; its peers have another port.
const CLIENT_PORT: u16 = 7001;
/// Where it takes orders and tells its state also while it is held.
const CONTROL_PORT: u16 = 7003;
const PRESET: &str = "preset";

/// The bundled store.
pub struct RaftKv {
    program: PathBuf,
    rules: Vec<(String, String)>,
    observer: Http,
}

fn build(options: &SystemOptions) -> Result<Arc<dyn System>, String> {
    let program =
        std::env::current_exe().map_err(|e| format!("cannot tell which executable this is: {e}"))?;
    Ok(Arc::new(RaftKv::new(program, options.rules.clone())))
}

impl RaftKv {
    /// Nodes of this executable (one that has the subcommands `node` and `node-edit`) under these rules.
    pub fn new(program: PathBuf, rules: Vec<(String, String)>) -> Self {
        Self { program, rules, observer: Http::for_observer(IpAddr::V4(CONTROL)) }
    }

    /// The rules of a node: those of the suite, and its own behind them.
    fn rules_of<'a>(&'a self, node: &'a NodeSpec) -> impl DoubleEndedIterator<Item = &'a (String, String)> {
        self.rules.iter().chain(&node.start.rules)
    }
}

impl System for RaftKv {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            ops: &["read", "write", "cas", "delete", "append", "add", "members", "acquire", "release"],
            trace: true,
            edits: true,
            roles: true,
            orders: orders::ORDERS,
            write_modes: true,
            starts: true,
            returns: true,
        }
    }

    fn probe(&self) -> Result<String, Unavailable> {
        if self.program.exists() {
            return Ok(env!("CARGO_PKG_VERSION").into());
        }
        Err(Unavailable {
            what: format!("the executable {} is gone", self.program.display()),
            fix: "build raftcheck again and start the new one".into(),
        })
    }

    fn command(&self, node: &NodeSpec) -> NodeCommand {
        let members: Vec<String> =
            node.members.iter().map(|(id, address)| format!("{id}={address}")).collect();
        let mut args: Vec<OsString> = vec!["node".into()];
        let mut flag = |name: &str, value: OsString| args.extend([name.into(), value]);
        flag("--id", node.id.to_string().into());
        flag("--members", members.join(",").into());
        flag("--data-dir", node.data_dir.clone().into());
        flag("--trace", node.trace_file.clone().into());
        flag("--seed", node.seed.to_string().into());
        if let Some(cluster) = &node.start.cluster {
            flag("--cluster", cluster.into());
        }
        // The last preset counts, and rules stand behind it wherever they came from.
        if let Some((_, preset)) = self.rules_of(node).rfind(|(name, _)| name == PRESET) {
            flag("--preset", preset.into());
        }
        for (name, value) in self.rules_of(node).filter(|(name, _)| name != PRESET) {
            flag("--rule", format!("{name}={value}").into());
        }
        for failpoint in &node.start.failpoints {
            flag("--failpoint", orders::argument(failpoint).into());
        }
        // A member listens on its own address by itself. One that joins, and a twin, have to be told theirs.
        if !node.members.contains(&(node.id, node.address)) {
            flag("--bind", node.address.to_string().into());
        }
        if node.start.entry == Entry::Joins {
            args.push("--join".into());
        }
        // The trace lies outside of the data directory and is written from the first start on. A node whose directory was
        // wiped meanwhile must not be told that this is its first.
        let first_start = match node.start.bootstrap {
            Bootstrap::AtFirstStart => !node.trace_file.exists(),
            Bootstrap::Announced => true,
            Bootstrap::NotAnnounced => false,
        };
        if first_start {
            args.push("--bootstrap".into());
        }
        args.push("--control".into());
        NodeCommand { program: self.program.clone(), args, env: Vec::new() }
    }

    fn edit(&self, node: &NodeSpec, edit: &FileEdit) -> Option<NodeCommand> {
        let mut args: Vec<OsString> =
            vec!["node-edit".into(), "--data-dir".into(), node.data_dir.clone().into()];
        args.extend(edits::arguments(edit).into_iter().map(OsString::from));
        Some(NodeCommand { program: self.program.clone(), args, env: Vec::new() })
    }

    fn connect(&self, members: &[(NodeId, IpAddr)], home: NodeId, op_timeout: Duration) -> Arc<dyn Client> {
        Arc::new(RaftKvClient::new(members, home, op_timeout, CLIENT_PORT).reading(reading(&self.rules)))
    }

    fn connect_to(&self, node: &NodeSpec, direct: Direct) -> Result<Arc<dyn Client>, LeverError> {
        let only = [(node.id, node.address)];
        let client = RaftKvClient::new(&only, node.id, direct.op_timeout, CLIENT_PORT);
        Ok(Arc::new(client.reading_by(mode_name(direct.read_mode)).writing_by(direct.write_mode)))
    }

    fn observe<'a>(&'a self, node: &'a NodeSpec, timeout: Duration) -> BoxFuture<'a, Option<View>> {
        Box::pin(async move {
            let url = format!("{}/status", own_url(node, CONTROL_PORT));
            let request = Request::new(Method::GET, url, Vec::new());
            let answer = self.observer.send(request, Instant::now() + timeout).await.ok()?;
            let status: Json = serde_json::from_slice(&answer.body).ok()?;
            // 503: its core is held, and only what lies outside of that can be told.
            let told = answer.status == 200 || (answer.status == 503 && status.get("held").is_some());
            told.then(|| view::view(&status))
        })
    }

    fn order<'a>(
        &'a self,
        node: &'a NodeSpec,
        order: Order,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<String, LeverError>> {
        Box::pin(async move {
            let control = orders::control(node, &order)?;
            let url = format!("{}/control/{}", own_url(node, CONTROL_PORT), control.path);
            let body = if control.body.is_null() { String::new() } else { control.body.to_string() };
            let request = Request::new(control.method, url, body);
            told(&order, self.observer.send(request, Instant::now() + timeout).await)
        })
    }
}

/// The node's name for a way to read; `None` leaves it to the rules.
fn mode_name(mode: ReadMode) -> Option<&'static str> {
    match mode {
        ReadMode::ByRules => None,
        ReadMode::Log => Some("log"),
        ReadMode::ReadIndex => Some("read_index"),
        ReadMode::Lease => Some("lease"),
        ReadMode::Local => Some("local"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{Failpoint, FailpointAction};
    use crate::system::Start;

    /// n1 of a cluster of two, with two spare hosts.
    pub(super) fn spec() -> NodeSpec {
        let host = |id: u16| (NodeId(id), IpAddr::from([10, 77, 0, id as u8]));
        NodeSpec {
            id: NodeId(1),
            address: host(1).1,
            members: vec![host(1), host(2)],
            hosts: (1..=4).map(host).collect(),
            data_dir: "/d".into(),
            trace_file: "/t".into(),
            seed: 9,
            start: Start::default(),
        }
    }

    fn line(command: NodeCommand) -> String {
        command.args.iter().map(|arg| arg.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_node_gets_its_rules_as_text() {
        let rules = vec![("preset".into(), "textbook".into()), ("read_mode".into(), "local".into())];
        let system = RaftKv::new("/bin/raftcheck".into(), rules);
        assert_eq!(
            line(system.command(&spec())),
            "node --id n1 --members n1=10.77.0.1,n2=10.77.0.2 --data-dir /d --trace /t --seed 9 --preset textbook --rule \
             read_mode=local --bootstrap --control"
        );
        let trace = std::env::current_exe().unwrap();
        let later = line(system.command(&NodeSpec { trace_file: trace, ..spec() }));
        assert!(!later.contains("--bootstrap"), "it has a trace already: {later}");
    }

    #[test]
    fn a_start_of_its_own() {
        let system = RaftKv::new("/bin/raftcheck".into(), vec![("preset".into(), "paper".into())]);
        let start = Start {
            rules: vec![("preset".into(), "thesis".into()), ("pre_vote".into(), "off".into())],
            failpoints: vec![Failpoint::new("snapshot_load", FailpointAction::Crash)],
            bootstrap: Bootstrap::NotAnnounced,
            entry: Entry::Joins,
            cluster: Some("other".into()),
        };
        let joining = NodeSpec { id: NodeId(4), address: IpAddr::from([10, 77, 0, 4]), start, ..spec() };
        assert_eq!(
            line(system.command(&joining)),
            "node --id n4 --members n1=10.77.0.1,n2=10.77.0.2 --data-dir /d --trace /t --seed 9 --cluster other \
             --preset thesis --rule pre_vote=off --failpoint snapshot_load=crash --bind 10.77.0.4 --join --control"
        );
        let twin = NodeSpec { address: IpAddr::from([10, 77, 0, 3]), ..spec() };
        let command = line(system.command(&twin));
        assert!(command.contains("--id n1 ") && command.contains("--bind 10.77.0.3"), "{command}");
    }
}
