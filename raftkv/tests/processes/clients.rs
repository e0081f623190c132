//! What clients are told, on real processes: numbers, locks and times to live, unknown outcomes, and writes that a follower
//! carries to its leader.

use crate::cluster::{Cluster, Response, request, until};
use serde_json::{Value, json};

/// A request in the first place of session 7.
fn in_session(cluster: &Cluster, id: u8, method: &str, path: &str) -> Option<Response> {
    request(cluster.addresses.client(id), method, path, &[("raft-session", "7"), ("raft-seq", "1")], "")
}

#[test]
fn numbers_locks_and_keys_that_end() {
    let cluster = Cluster::started(1, "");
    let ask = |method: &str, path: &str, body: &str| {
        let response = cluster.ask(method, path, &[], body);
        (response.status, response.json())
    };
    assert_eq!(ask("POST", "/kv/n/incr", ""), (200, json!({ "value": 1 })));
    assert_eq!(ask("POST", "/kv/n/incr", "41"), (200, json!({ "value": 42 })));
    assert_eq!(ask("GET", "/kv/n", ""), (200, json!({ "value": "42" })));

    let (status, taken) = ask("POST", "/kv/m/lock", "a");
    assert_eq!((status, &taken["locked"]), (200, &json!(true)));
    let held = json!({ "locked": false, "actual": { "owner": "a", "token": taken["token"] } });
    assert_eq!(ask("POST", "/kv/m/lock", "b"), (409, held.clone()));
    assert_eq!(ask("POST", "/kv/m/unlock", "b"), (409, held));
    assert_eq!(ask("GET", "/kv/m", ""), (200, json!({ "owner": "a", "token": taken["token"] })));
    let fenced = |value: &str| {
        let path = format!("/kv/guarded?lock=m&token={}", taken["token"]);
        (ask("PUT", &path, value), ask("GET", "/kv/guarded", "").1)
    };
    assert_eq!(fenced("1"), ((200, json!({})), json!({ "value": "1" })));
    assert_eq!(ask("POST", "/kv/m/unlock", "a"), (200, json!({})));
    let free = json!({ "locked": false, "actual": null });
    assert_eq!(fenced("2"), ((409, free), json!({ "value": "1" })), "the lock is nobody's");
    let (_, next) = ask("POST", "/kv/m/lock?ttl=50ms", "b");
    assert!(next["token"].as_u64() > taken["token"].as_u64(), "{next} after {taken}");

    assert_eq!(ask("PUT", "/kv/t?ttl=50ms", "v"), (200, json!({})));
    // Nobody writes: the leader proposes its clock by itself.
    until("the key ends", || (ask("GET", "/kv/t", "").1 == json!({ "value": null })).then_some(()));
    until("the lock ends", || (ask("GET", "/kv/m", "").1 == json!({ "value": null })).then_some(()));
    assert_eq!(ask("PUT", "/kv/t?ttl=never", "v").0, 400);
    assert_eq!(cluster.request(1, "POST", "/kv/p/poison", "v").unwrap().status, 403, "only with --control");
}

#[test]
fn an_unknown_end_is_called_unknown() {
    for (reply, status, error) in [("unknown", 504, "unknown"), ("failed", 503, "failed")] {
        let mut cluster = Cluster::started(
            3,
            &format!("--request-timeout-ms 400 --rule check_quorum=off --rule timeout_reply={reply}"),
        );
        let leader = cluster.leader();
        let others: Vec<u8> = cluster.ids().filter(|id| *id != leader).collect();
        others.iter().for_each(|id| cluster.kill(*id));
        let response = cluster.request(leader, "PUT", "/kv/x", "1").unwrap();
        assert_eq!((response.status, &response.json()["error"]), (status, &json!(error)), "{reply}");
        // What was called a failure takes effect as soon as the others are back.
        others.iter().for_each(|id| cluster.start(*id));
        let value = |cluster: &Cluster| cluster.ask("GET", "/kv/x", &[], "").json();
        until("the write takes effect", || (value(&cluster) == json!({ "value": "1" })).then_some(()));
    }
}

#[test]
fn a_follower_redirects_or_carries_a_write_to_its_leader() {
    let redirecting = Cluster::started(3, "");
    let response = redirecting.request(redirecting.follower(), "PUT", "/kv/x", "1").unwrap();
    assert_eq!(response.status, 421);

    let proxying = Cluster::started(3, "--rule forward_writes=proxy");
    let at = proxying.follower();
    let response = proxying.request(at, "PUT", "/kv/x", "1").unwrap();
    assert_eq!((response.status, response.body.as_str()), (200, "{}"));
    assert!(response.header("raft-index").is_some(), "the leader's answer as it is: {response:?}");
    let response = proxying.request(at, "POST", "/kv/x/incr", "5").unwrap();
    assert_eq!(response.json(), json!({ "value": 6 }));
    assert_eq!(proxying.request(at, "PUT", "/kv/x?ttl=x", "1").unwrap().status, 400);
    assert_eq!(proxying.request(at, "GET", "/kv/x", "").unwrap().status, 421, "reads go to the leader");
}

/// The leader applies the write that a follower has carried to it and is killed before it answers. What the client is told,
/// and the number that the key has then.
fn leader_killed_before_its_answer(rules: &str) -> (u16, Value, Value) {
    let mut cluster = Cluster::started(3, &format!("--control --rule forward_writes=proxy {rules}"));
    let leader = cluster.leader();
    let at = cluster.follower();
    let plan = json!({ "point": "after_apply_before_reply", "action": "crash", "key": "c" }).to_string();
    let armed = cluster.request(leader, "PUT", "/control/failpoints", &plan).unwrap();
    assert_eq!(armed.status, 200, "{armed:?}");
    let response = in_session(&cluster, at, "POST", "/kv/c/incr").unwrap();
    cluster.wait(leader);
    let value = cluster.ask("GET", "/kv/c", &[], "").json();
    (response.status, response.json(), value)
}

#[test]
fn a_carried_write_whose_leader_dies_is_repeated_under_its_number() {
    let once = (200, json!({ "value": 1 }), json!({ "value": "1" }));
    let twice = (200, json!({ "value": 2 }), json!({ "value": "2" }));
    assert_eq!(leader_killed_before_its_answer(""), once);
    assert_eq!(leader_killed_before_its_answer("--rule client_retry=new_seq"), twice);
    assert_eq!(leader_killed_before_its_answer("--rule dedup_sessions=off"), twice);
}

#[test]
fn a_carried_write_does_not_wait_for_a_leader_that_stands_still() {
    let cluster = Cluster::started(3, "--rule forward_writes=proxy");
    let at = cluster.follower();
    cluster.pause(cluster.leader());
    // The leader takes the connection and never answers. Waiting for it would end with an unknown outcome.
    let answer = in_session(&cluster, at, "POST", "/kv/n/incr").unwrap();
    assert_eq!((answer.status, answer.json()), (200, json!({ "value": 1 })));
    let again = in_session(&cluster, at, "POST", "/kv/n/incr").unwrap();
    assert_eq!(again.json(), json!({ "value": 1 }), "it counts once");
}

#[test]
fn a_poison_entry_stops_every_node_that_applies_it() {
    let mut stopping = Cluster::started(3, "--control --request-timeout-ms 1000");
    let leader = stopping.leader();
    stopping.request(leader, "POST", "/kv/p/poison", "v");
    assert_eq!(stopping.wait(leader).code(), Some(1));
    assert!(stopping.log(leader).contains("panicked (the command at"), "{}", stopping.log(leader));

    let skipping = Cluster::started(3, "--control --rule on_apply_panic=skip_entry");
    let leader = skipping.leader();
    let response = skipping.request(leader, "POST", "/kv/p/poison", "v").unwrap();
    assert_eq!((response.status, response.json()), (409, json!({ "error": "skipped" })));
    assert_eq!(skipping.ask("PUT", "/kv/x", &[], "1").status, 200);
}

#[test]
fn a_replica_that_skipped_what_others_applied_is_found_and_stops() {
    let mut cluster = Cluster::started(3, "--control --rule on_apply_panic=skip_entry");
    let at = cluster.follower();
    let path = format!("/kv/p/poison?only=n{at}");
    assert_eq!(cluster.ask("POST", &path, &[], "v").status, 200);
    assert_eq!(cluster.wait(at).code(), Some(1));
    assert!(cluster.log(at).contains("this replica has diverged"), "{}", cluster.log(at));
}
