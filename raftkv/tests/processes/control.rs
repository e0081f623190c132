//! Orders and failpoints, on real processes: each point stops or kills a node where it says, which shows in what its disk
//! holds, what its client was told and what the others have.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use crate::cluster::{Cluster, Response, request, until};
use serde_json::{Value, json};

/// Nodes that take orders.
fn controlled(count: u8, extra: &str) -> Cluster {
    Cluster::started(count, &format!("--control {extra}"))
}

/// The port that a held node still serves.
fn control_port(cluster: &Cluster, id: u8) -> SocketAddr {
    SocketAddr::new(cluster.addresses.client(id).ip(), 7003)
}

fn order(cluster: &Cluster, id: u8, method: &str, path: &str, body: &Value) -> Response {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    request(control_port(cluster, id), method, &format!("/control/{path}"), &[], &body).expect("an answer")
}

fn ordered(cluster: &Cluster, id: u8, method: &str, path: &str, body: Value) -> Value {
    let response = order(cluster, id, method, path, &body);
    assert_eq!(response.status, 200, "{path} {body}: {response:?}");
    response.json()
}

fn arm(cluster: &Cluster, id: u8, plan: Value) {
    ordered(cluster, id, "PUT", "failpoints", plan);
}

fn held(cluster: &Cluster, id: u8) -> Vec<String> {
    let list = ordered(cluster, id, "GET", "failpoints", Value::Null);
    list["held"].as_array().unwrap().iter().map(|held| held["point"].as_str().unwrap().to_owned()).collect()
}

fn wait_until_held(cluster: &Cluster, id: u8, point: &str) {
    until(&format!("n{id} is held at {point}"), || {
        held(cluster, id).contains(&point.to_owned()).then_some(())
    });
}

fn put(cluster: &Cluster, id: u8, key: &str) -> Option<Response> {
    cluster.request(id, "PUT", &format!("/kv/{key}"), "1")
}

fn assert_killed(status: ExitStatus) {
    assert_eq!(status.signal(), Some(libc::SIGKILL), "{status:?}");
}

/// What the cluster says about a key.
fn value(cluster: &Cluster, key: &str) -> Value {
    cluster.ask("GET", &format!("/kv/{key}"), &[], "").json()["value"].clone()
}

fn trace(cluster: &Cluster, id: u8) -> Vec<Value> {
    let text = std::fs::read_to_string(cluster.trace(id)).unwrap();
    // The last line of a killed node may be cut short.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The place of the command on `key` in the log of a stopped node.
fn in_log(cluster: &Cluster, id: u8, key: &str) -> Option<u64> {
    let log = raftkv::wal::read(&cluster.data_dir(id).join("wal")).unwrap().unwrap();
    let at =
        log.entries.iter().find(|entry| raftkv::failpoints::At::from(*entry).key.as_deref() == Some(key));
    at.map(|entry| entry.index)
}

/// Kills the leader at a point while it works on a put. Returns who it was, its term and what the client was told.
fn crash_leader_at(cluster: &mut Cluster, point: &str, key: &str) -> (u8, Value, Option<Response>) {
    let leader = cluster.leader();
    let term = cluster.status(leader).unwrap()["term"].clone();
    arm(cluster, leader, json!({ "point": point, "action": "crash", "key": key }));
    let answer = put(cluster, leader, key);
    assert_killed(cluster.wait(leader));
    (leader, term, answer)
}

/// All nodes run and agree, so that the next leader is reachable by everybody.
fn settle(cluster: &Cluster) {
    until("all nodes agree", || {
        let leader = cluster.status(cluster.leader())?;
        let agrees =
            |id| cluster.status(id).is_some_and(|status| status["last_applied"] == leader["last_log_index"]);
        cluster.ids().all(agrees).then_some(())
    });
}

#[test]
fn a_node_takes_no_orders_unless_it_was_started_to() {
    let cluster = Cluster::started(1, "");
    cluster.leader();
    let refused = cluster.request(1, "POST", "/control/campaign", "").unwrap();
    assert_eq!((refused.status, refused.json()["error"].clone()), (403, json!("control_off")));
    assert_eq!(cluster.request(1, "GET", "/control/failpoints", "").unwrap().status, 403);
    assert!(
        request(control_port(&cluster, 1), "GET", "/control/failpoints", &[], "").is_none(),
        "nobody listens"
    );
}

#[test]
fn a_leader_dies_before_and_after_its_own_append() {
    let mut cluster = controlled(3, "");
    let (leader, _, answer) = crash_leader_at(&mut cluster, "before_append", "a");
    assert!(answer.is_none(), "{answer:?}");
    assert_eq!(in_log(&cluster, leader, "a"), None);
    cluster.start(leader);
    assert_eq!(value(&cluster, "a"), Value::Null);
    settle(&cluster);

    let (leader, _, answer) = crash_leader_at(&mut cluster, "after_local_append", "b");
    assert!(answer.is_none(), "{answer:?}");
    let index = in_log(&cluster, leader, "b").expect("it is in the leader's own log");
    // The others never heard of it: what they decide without the leader stands at its place.
    assert_eq!(value(&cluster, "b"), Value::Null);
    assert_eq!(put(&cluster, cluster.leader(), "c").unwrap().status, 200);
    cluster.start(leader);
    settle(&cluster);
    assert_eq!(value(&cluster, "b"), Value::Null);
    cluster.terminate(leader);
    assert_eq!(in_log(&cluster, leader, "b"), None, "entry {index} was replaced");
}

#[test]
fn exactly_k_followers_are_sent_a_command() {
    for (skip, expected) in [(0, 1), (1, 2)] {
        let mut cluster = controlled(3, "");
        let leader = cluster.leader();
        settle(&cluster);
        let status = cluster.status(leader).unwrap();
        let index = status["last_log_index"].as_u64().unwrap() + 1;
        arm(
            &cluster,
            leader,
            json!({ "point": "after_send_to_k", "action": "crash", "key": "a", "skip": skip }),
        );
        assert!(put(&cluster, leader, "a").is_none());
        assert_killed(cluster.wait(leader));
        // Whoever has it wins the election, because its log is the longer one.
        assert_eq!(value(&cluster, "a"), json!("1"));
        let received = |id: &u8| {
            trace(&cluster, *id).iter().any(|event| {
                let entries = event["entries"].as_array().map_or(&[][..], Vec::as_slice);
                event["ev"] == "append"
                    && event["term"] == status["term"]
                    && entries.iter().any(|entry| entry[0] == index)
            })
        };
        assert_eq!(cluster.ids().filter(|&id| id != leader).filter(received).count(), expected);
    }
}

#[test]
fn what_a_majority_has_survives_the_leader() {
    let mut cluster = controlled(3, "");
    for point in [
        "after_majority_ack_before_commit",
        "after_commit_before_apply",
        "mid_apply",
        "after_apply_before_reply",
    ] {
        let (leader, term, answer) = crash_leader_at(&mut cluster, point, point);
        assert!(answer.is_none(), "{point}: {answer:?}");
        let index = in_log(&cluster, leader, point).unwrap_or(u64::MAX);
        let knew = trace(&cluster, leader).iter().any(|event| {
            event["ev"] == "commit" && event["term"] == term && event["index"].as_u64() >= Some(index)
        });
        assert_eq!(
            knew,
            point != "after_majority_ack_before_commit",
            "{point}: the dead leader's commit index"
        );
        assert_eq!(value(&cluster, point), json!("1"), "{point}");
        cluster.start(leader);
        settle(&cluster);
    }
}

#[test]
fn a_client_has_its_answer_before_the_followers_know() {
    let mut cluster = controlled(3, "");
    let (leader, term, answer) = crash_leader_at(&mut cluster, "after_reply_before_commit_broadcast", "a");
    let answer = answer.expect("the answer was written before the end");
    assert_eq!(answer.status, 200);
    let index: u64 = answer.header("raft-index").unwrap().parse().unwrap();
    assert_eq!(value(&cluster, "a"), json!("1"), "what was acknowledged is there");
    for id in cluster.ids().filter(|&id| id != leader) {
        let early = trace(&cluster, id).into_iter().find(|event| {
            event["ev"] == "commit" && event["term"] == term && event["index"].as_u64() >= Some(index)
        });
        assert_eq!(early, None, "n{id} learned of it from the dead leader");
    }
}

#[test]
fn half_a_write_is_found_and_removed() {
    let mut cluster = controlled(3, "");
    let follower = cluster.ids().find(|&id| id != cluster.leader()).unwrap();
    arm(&cluster, follower, json!({ "point": "wal_mid_record", "action": "crash", "key": "a" }));
    assert_eq!(put(&cluster, cluster.leader(), "a").unwrap().status, 200, "the other two are enough");
    assert_killed(cluster.wait(follower));
    cluster.start(follower);
    settle(&cluster);
    assert!(cluster.log(follower).contains("removed a torn write"), "{}", cluster.log(follower));
    assert_eq!(cluster.request(follower, "GET", "/kv/a?mode=local", "").unwrap().json()["value"], "1");
}

#[test]
fn half_a_vote_is_no_vote() {
    let mut cluster = controlled(1, "--rule election_timer=manual");
    until("the node answers", || cluster.status(1));
    arm(&cluster, 1, json!({ "point": "hard_state_mid_write", "action": "crash" }));
    // The order may be answered or not: the write that it causes is the end.
    let _ = request(control_port(&cluster, 1), "POST", "/control/campaign", &[], "");
    assert_killed(cluster.wait(1));
    let found = raftkv::wal::read(&cluster.data_dir(1).join("wal")).unwrap().unwrap();
    assert!(found.torn.is_some());
    assert_eq!((found.hard_state.term, found.hard_state.voted_for), (0, None));
}

#[test]
fn a_segment_that_was_not_renamed_is_made_again() {
    let mut cluster = controlled(1, "--failpoint segment_roll=crash");
    cluster.leader();
    let answer = cluster.request(1, "PUT", "/kv/big", &"x".repeat(600 << 10));
    assert!(answer.is_none(), "{answer:?}");
    assert_killed(cluster.wait(1));
    cluster.extra.retain(|word| word == "--control");
    cluster.start(1);
    assert_eq!(value(&cluster, "big"), Value::Null, "it was never durable, nor acknowledged");
    assert_eq!(cluster.request(1, "PUT", "/kv/big", &"x".repeat(600 << 10)).unwrap().status, 200);
}

#[test]
fn nothing_is_acknowledged_while_the_disk_is_held() {
    let cluster = controlled(1, "");
    cluster.leader();
    ordered(&cluster, 1, "POST", "fsync", json!({ "action": "hold" }));
    std::thread::scope(|scope| {
        let client = scope.spawn(|| put(&cluster, 1, "a"));
        wait_until_held(&cluster, 1, "before_fsync");
        let status = cluster.status(1).expect("the core goes on");
        assert_eq!(status["held"][0]["point"], "before_fsync");
        assert_eq!(status["pending"], 1);
        assert!(status["durable_index"].as_u64() < status["last_log_index"].as_u64(), "{status}");
        assert!(!client.is_finished());
        ordered(&cluster, 1, "POST", "fsync", json!({ "action": "release" }));
        assert_eq!(client.join().unwrap().unwrap().status, 200);
    });
    assert_eq!(value(&cluster, "a"), json!("1"));
    assert_eq!(cluster.status(1).unwrap()["held"], json!([]));
}

#[test]
fn a_held_leader_is_replaced_and_steps_down_when_it_is_released() {
    let mut cluster = controlled(3, "");
    let leader = cluster.leader();
    arm(&cluster, leader, json!({ "point": "after_commit_before_apply", "action": "hold", "key": "a" }));
    std::thread::scope(|scope| {
        let client = scope.spawn(|| put(&cluster, leader, "a"));
        wait_until_held(&cluster, leader, "after_commit_before_apply");
        let busy = request(control_port(&cluster, leader), "GET", "/status", &[], "").unwrap();
        assert_eq!((busy.status, busy.json()["error"].clone()), (503, json!("busy")));
        let others: Vec<u8> = cluster.ids().filter(|&id| id != leader).collect();
        let next = until("another leader", || {
            others
                .iter()
                .copied()
                .find(|&id| cluster.status(id).is_some_and(|status| status["role"] == "leader"))
        });
        assert_ne!(next, leader);
        ordered(&cluster, leader, "DELETE", "failpoints/after_commit_before_apply", Value::Null);
        // It was committed, so the late answer is right.
        assert_eq!(client.join().unwrap().unwrap().status, 200);
    });
    until("it follows", || cluster.status(leader).filter(|status| status["role"] == "follower"));
    assert_eq!(value(&cluster, "a"), json!("1"));

    // A node that is held ends all the same when it is told to.
    let follower = cluster.ids().find(|&id| id != cluster.leader()).unwrap();
    arm(&cluster, follower, json!({ "point": "mid_apply", "action": "hold" }));
    assert_eq!(put(&cluster, cluster.leader(), "b").unwrap().status, 200);
    wait_until_held(&cluster, follower, "mid_apply");
    assert_eq!(cluster.terminate(follower).code(), Some(0));
}

#[test]
fn elections_by_order() {
    let cluster = controlled(3, "--rule election_timer=manual --rule pre_vote=off");
    until("all answer", || cluster.ids().all(|id| cluster.status(id).is_some()).then_some(()));
    ordered(&cluster, 2, "POST", "campaign", Value::Null);
    assert_eq!(cluster.leader(), 2);
    let again = order(&cluster, 2, "POST", "campaign", &Value::Null);
    assert_eq!((again.status, again.json()["reason"].clone()), (409, json!("n2 leads already")));
    assert_eq!(put(&cluster, 2, "a").unwrap().status, 200);
    settle(&cluster);

    ordered(&cluster, 2, "POST", "transfer", json!({ "to": "n3" }));
    until("n3 leads", || (cluster.leader() == 3).then_some(()));
    assert_eq!(value(&cluster, "a"), json!("1"));
    let refused = order(&cluster, 1, "POST", "transfer", &json!({ "to": "n2" }));
    assert_eq!(
        (refused.status, refused.json()["error"].clone()),
        (409, json!("refused")),
        "n1 does not lead"
    );
}

#[test]
fn elections_start_by_themselves_again() {
    let cluster = controlled(1, "--rule election_timer=manual");
    until("the node answers", || cluster.status(1));
    assert_eq!(cluster.status(1).unwrap()["term"], 0);
    ordered(&cluster, 1, "POST", "timer", json!({ "elections": "armed" }));
    assert_eq!(cluster.leader(), 1);
}

#[test]
fn a_leader_believes_what_it_is_told() {
    let cluster = controlled(3, "");
    let leader = cluster.leader();
    settle(&cluster);
    let follower = cluster.ids().find(|&id| id != leader).unwrap();
    let body = json!({ "node": format!("n{follower}"), "next_index": 1 });
    ordered(&cluster, leader, "POST", "poke", body.clone());
    let refused = order(&cluster, follower, "POST", "poke", &body);
    assert_eq!(
        (refused.status, refused.json()["error"].clone()),
        (409, json!("refused")),
        "it does not lead"
    );
    assert_eq!(put(&cluster, leader, "a").unwrap().status, 200);
    settle(&cluster);
}

#[test]
fn a_snapshot_by_order_survives_a_crash_before_its_rename() {
    let mut cluster = controlled(1, "");
    cluster.leader();
    assert_eq!(put(&cluster, 1, "a").unwrap().status, 200);
    arm(&cluster, 1, json!({ "point": "snapshot_rename", "action": "crash" }));
    // The order may be answered or not: it is carried out in the background.
    let _ = request(control_port(&cluster, 1), "POST", "/control/snapshot", &[], "");
    assert_killed(cluster.wait(1));
    cluster.start(1);
    assert_eq!(value(&cluster, "a"), json!("1"), "the log was not shortened for a snapshot that is none");
    ordered(&cluster, 1, "POST", "snapshot", Value::Null);
    until("the snapshot is there", || {
        cluster.status(1).filter(|status| status["snapshot_index"].as_u64() > Some(0))
    });
    cluster.terminate(1);
    cluster.start(1);
    assert_eq!(value(&cluster, "a"), json!("1"));

    // Without its log it does not know any more what it voted for and acknowledged.
    cluster.terminate(1);
    std::fs::remove_dir_all(cluster.data_dir(1).join("wal")).unwrap();
    cluster.start(1);
    assert!(!cluster.wait(1).success());
    assert!(cluster.log(1).contains("there is a snapshot and no log"), "{}", cluster.log(1));
}

/// Whether a node answers a client while its snapshot is being written.
fn answers_during_a_snapshot(rule: &str) -> bool {
    let cluster = controlled(1, &format!("--rule {rule}"));
    cluster.leader();
    assert_eq!(put(&cluster, 1, "a").unwrap().status, 200);
    arm(&cluster, 1, json!({ "point": "snapshot_fsync", "action": "hold" }));
    std::thread::scope(|scope| {
        scope.spawn(|| request(control_port(&cluster, 1), "POST", "/control/snapshot", &[], ""));
        wait_until_held(&cluster, 1, "snapshot_fsync");
        let (answered, answer) = std::sync::mpsc::channel();
        let cluster = &cluster;
        scope.spawn(move || answered.send(put(cluster, 1, "b")));
        // A node that is free answers within a disk write; one that waits does not answer at all.
        let answer_meanwhile = answer.recv_timeout(Duration::from_millis(1500)).ok();
        let response = request(control_port(cluster, 1), "DELETE", "/control/failpoints", &[], "");
        assert_eq!(response.map(|response| response.status), Some(200));
        let was_free = answer_meanwhile.is_some();
        let answer = answer_meanwhile.unwrap_or_else(|| answer.recv().expect("it is answered in the end"));
        assert_eq!(answer.expect("an answer").status, 200);
        was_free
    })
}

#[test]
fn a_snapshot_holds_up_clients_only_if_it_is_told_to() {
    assert!(answers_during_a_snapshot("snapshot_mode=background_copy"));
    assert!(!answers_during_a_snapshot("snapshot_mode=blocking"));
}

/// What a counter shows that was told to count three times, when the node was killed between the third time and its index.
fn counted_across_a_crash(state_machine: &str, applied_index: &str) -> Value {
    let rules = [format!("state_machine={state_machine}"), format!("applied_index={applied_index}")];
    let mut cluster = controlled(1, &format!("--rule {} --rule {}", rules[0], rules[1]));
    for _ in 0..2 {
        assert_eq!(cluster.ask("POST", "/kv/n/incr", &[], "").status, 200);
    }
    arm(&cluster, 1, json!({ "point": "mid_apply", "action": "crash" }));
    assert!(cluster.request(1, "POST", "/kv/n/incr", "").is_none(), "it is killed before it answers");
    assert_killed(cluster.wait(1));
    cluster.start(1);
    cluster.leader();
    value(&cluster, "n")
}

#[test]
fn a_kept_state_is_right_only_with_an_index_that_changes_with_it() {
    let counted = |machine, index| counted_across_a_crash(machine, index).to_string().replace('"', "");
    assert_eq!(counted("volatile", "none"), "3", "it is built again from the log");
    assert_eq!(counted("persistent", "atomic"), "3");
    assert_eq!(counted("persistent", "behind"), "4", "the third counts twice");
    assert_eq!(counted("persistent", "ahead"), "2", "the third is left out");
    assert_eq!(counted("persistent", "none"), "6", "everything counts twice");
}

#[test]
fn a_follower_is_removed_by_order() {
    let cluster = controlled(3, "");
    let leader = cluster.leader();
    settle(&cluster);
    let follower = cluster.ids().find(|&id| id != leader).unwrap();
    let done = ordered(&cluster, leader, "POST", "members", json!({ "remove": format!("n{follower}") }));
    assert!(done["index"].as_u64() > Some(1), "{done}");
    let members = cluster.status(leader).unwrap()["members"].clone();
    assert_eq!(members.as_array().map(Vec::len), Some(2), "{members}");
    assert_eq!(put(&cluster, leader, "a").unwrap().status, 200);
}

#[test]
fn orders_that_make_no_sense_are_refused() {
    let cluster = controlled(1, "");
    cluster.leader();
    for (method, path, body, status) in [
        ("POST", "campain", Value::Null, 404),
        ("GET", "campaign", Value::Null, 405),
        ("PUT", "failpoints", json!({ "point": "nowhere", "action": "crash" }), 400),
        ("PUT", "failpoints", json!({ "point": "mid_apply", "action": "explode" }), 400),
        ("POST", "failpoints", Value::Null, 405),
        ("POST", "timer", json!({ "elections": 7 }), 400),
        ("POST", "members", json!({ "add": { "node": "n4" } }), 400),
    ] {
        let response = order(&cluster, 1, method, path, &body);
        assert_eq!(response.status, status, "{path} {body}: {response:?}");
        assert!(response.json()["reason"].is_string(), "{response:?}");
    }
    assert_eq!(ordered(&cluster, 1, "GET", "failpoints", Value::Null)["armed"], json!([]));
}
