//! What a node of the bundled store says of itself, out of the JSON of its `/status`.
//!
//! Invariant: what the node does not say, or says in words that this does not know, is absent.

use serde_json::{Map, Value as Json};

use crate::system::NodeId;
use crate::view::{
    EntryKind, HeldThread, LOG_TAIL_MAX, Lease, LogEntry, Membership, Progress, Role, View, Vote,
};

/// The view in a status.
pub(super) fn view(status: &Json) -> View {
    let Some(status) = status.as_object() else { return View::default() };
    let number = |name: &str| status.get(name).and_then(Json::as_u64);
    let node = |name: &str| status.get(name).and_then(node_named);
    let role = match status.get("role").and_then(Json::as_str) {
        Some("leader") => Some(Role::Leader),
        Some("candidate") => Some(Role::Candidate),
        Some("pre_candidate") => Some(Role::PreCandidate),
        Some(_) => Some(Role::Follower),
        None => None,
    };
    let voted =
        |vote: &Json| if vote.is_null() { Some(Vote::Nobody) } else { node_named(vote).map(Vote::For) };
    View {
        role,
        term: number("term"),
        leader: node("leader"),
        voted_for: status.get("voted_for").and_then(voted),
        commit_index: number("commit_index"),
        last_applied: number("last_applied"),
        last_log_index: number("last_log_index"),
        last_log_term: number("last_log_term"),
        durable_index: number("durable_index"),
        snapshot_index: number("snapshot_index"),
        log: status.get("log").and_then(log),
        progress: status.get("progress").filter(|_| role == Some(Role::Leader)).and_then(progress),
        config: membership(status),
        transfer: node("transfer_to"),
        lease: lease(status),
        held: status
            .get("held")
            .and_then(|held| serde_json::from_value::<Vec<HeldThread>>(held.clone()).ok()),
        messages: status.get("messages").and_then(super::messages::state),
        boot: number("boot"),
    }
}

/// Reads `"n2"`.
pub(super) fn node_named(name: &Json) -> Option<NodeId> {
    name.as_str()?.strip_prefix('n')?.parse().ok().map(NodeId)
}

/// Reads `[[1,1,"noop"],[2,1,"command"]]`.
fn log(entries: &Json) -> Option<Vec<LogEntry>> {
    let entry = |entry: &Json| {
        let kind = match entry.get(2)?.as_str()? {
            "noop" => EntryKind::Noop,
            "command" => EntryKind::Command,
            "config" => EntryKind::Config,
            "digest" => EntryKind::Digest,
            _ => return None,
        };
        Some(LogEntry { index: entry.get(0)?.as_u64()?, term: entry.get(1)?.as_u64()?, kind })
    };
    let entries = entries.as_array()?;
    entries.iter().skip(entries.len().saturating_sub(LOG_TAIL_MAX)).map(entry).collect()
}

fn progress(members: &Json) -> Option<Vec<Progress>> {
    let member = |member: &Json| {
        let number = |name: &str| member.get(name).and_then(Json::as_u64);
        let node = node_named(member.get("id")?)?;
        Some(Progress { node, match_index: number("match_index")?, next_index: number("next_index")? })
    };
    members.as_array()?.iter().map(member).collect()
}

fn membership(status: &Map<String, Json>) -> Option<Membership> {
    let nodes = |name: &str| status.get(name)?.as_array()?.iter().map(node_named).collect::<Option<Vec<_>>>();
    Some(Membership {
        voters: nodes("members")?,
        outgoing: nodes("outgoing")?,
        learners: nodes("learners")?,
        witnesses: nodes("witnesses")?,
        index: status.get("config_index")?.as_u64()?,
        committed: status.get("config_committed")?.as_bool()?,
    })
}

/// A lease that has run out is told as `null` or as nothing left.
fn lease(status: &Map<String, Json>) -> Option<Lease> {
    let left_ms = status.get("lease_left_ms")?.as_f64().unwrap_or(0.0);
    let us = (left_ms * 1000.0) as u64;
    Some(if us == 0 { Lease::Absent } else { Lease::Lasts { us } })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_read() {
        let status = json!({
            "role": "leader", "term": 4, "leader": "n2", "voted_for": "n2", "transfer_to": null,
            "commit_index": 9, "last_applied": 8, "last_log_index": 10, "last_log_term": 4, "durable_index": 10,
            "snapshot_index": 0, "boot": 2, "lease_left_ms": 12.5,
            "log": [[9, 3, "noop"], [10, 4, "command"]],
            "progress": [{ "id": "n1", "match_index": 9, "next_index": 10, "inflight": 0 }],
            "members": ["n1", "n2"], "outgoing": [], "learners": ["n3"], "witnesses": [],
            "config_index": 5, "config_committed": true,
            "held": [{ "point": "before_fsync", "thread": "wal" }],
        });
        let view = view(&status);
        assert_eq!((view.role, view.term, view.leader), (Some(Role::Leader), Some(4), Some(NodeId(2))));
        assert_eq!(view.voted_for, Some(Vote::For(NodeId(2))));
        assert_eq!((view.commit_index, view.last_applied, view.last_log_index), (Some(9), Some(8), Some(10)));
        let last = LogEntry { index: 10, term: 4, kind: EntryKind::Command };
        assert_eq!(view.log.as_ref().and_then(|log| log.last()), Some(&last));
        let progress = Progress { node: NodeId(1), match_index: 9, next_index: 10 };
        assert_eq!(view.progress, Some(vec![progress]));
        let config = view.config.clone().unwrap();
        assert_eq!((config.voters, config.learners), (vec![NodeId(1), NodeId(2)], vec![NodeId(3)]));
        assert_eq!(view.lease, Some(Lease::Lasts { us: 12_500 }));
        assert_eq!(
            (view.is_held_at("before_fsync"), view.is_held_at("mid_apply")),
            (Some(true), Some(false))
        );
    }

    #[test]
    fn what_is_not_told_is_absent() {
        let follower = view(&json!({ "role": "follower", "voted_for": null, "progress": [] }));
        assert_eq!((follower.voted_for, follower.progress), (Some(Vote::Nobody), None));
        assert_eq!(view(&json!({ "role": "pre_candidate" })).role, Some(Role::PreCandidate));
        assert_eq!(view(&json!({ "leader": null })), View::default());
        assert_eq!(view(&json!([])), View::default());
        assert_eq!(view(&json!({ "log": [[1, 1, "riddle"]] })).log, None);
    }
}
