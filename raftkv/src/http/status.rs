//! The body of `/status`.

use serde_json::{Map, Value as Json, json};

use super::{HttpConfig, messages};
use crate::failpoints;
use crate::inbox::NodeStatus;
use crate::raft::io::NodeId;

/// The node's state as JSON. Nodes are named `n1`, `n2`, ...
pub(super) fn body(status: &NodeStatus, config: &HttpConfig) -> String {
    let raft = &status.raft;
    let name = |id: Option<NodeId>| id.map(|id| id.to_string());
    let names = |ids: &[NodeId]| ids.iter().map(NodeId::to_string).collect::<Vec<_>>();
    let rules: Map<String, Json> =
        status.rules.iter().map(|(rule, value)| ((*rule).to_owned(), Json::from(value.as_str()))).collect();
    let progress: Vec<Json> = raft
        .progress
        .iter()
        .map(|peer| {
            json!({
                "id": peer.id.to_string(),
                "match_index": peer.match_index,
                "next_index": peer.next_index,
                "inflight": peer.inflight,
                "inflight_bytes": peer.inflight_bytes,
            })
        })
        .collect();
    json!({
        "id": raft.id.to_string(),
        "role": raft.role,
        "term": raft.term,
        "leader": name(raft.leader),
        "leader_addr": raft.leader.and_then(|leader| config.addresses.of(leader)).map(|at| at.to_string()),
        "voted_for": name(raft.voted_for),
        "transfer_to": name(raft.transfer),
        "commit_index": raft.commit,
        "last_applied": raft.applied,
        "first_log_index": raft.first_log_index,
        "last_log_index": raft.last_index,
        "last_log_term": raft.last_term,
        "durable_index": raft.durable_index,
        "snapshot_index": raft.snapshot_index,
        "members": names(&raft.members),
        "outgoing": names(&raft.outgoing),
        "learners": names(&raft.learners),
        "witnesses": names(&raft.witnesses),
        "config_index": raft.config_index,
        "config_committed": raft.config_committed,
        "lease_left_ms": status.lease_left.map(|left| left.as_secs_f64() * 1000.0),
        "progress": progress,
        "rules": rules,
        "boot": config.boot,
        "log": status.log,
        "keys": status.keys,
        "sessions": status.sessions,
        "pending": status.pending,
        "messages": messages::status(&config.gate),
        "held": failpoints::registry().held(),
    })
    .to_string()
}
