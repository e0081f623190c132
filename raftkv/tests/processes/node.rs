//! Whole nodes: real processes, real disks, real signals.

use crate::cluster::{Addresses, Cluster, Response, raw, request, until};
use raftkv::node::Node;
use raftkv::offline;
use serde_json::{Value, json};

fn put(cluster: &Cluster, key: &str, value: &str) -> Response {
    let response = cluster.ask("PUT", &format!("/kv/{key}"), &[], value);
    assert_eq!(response.status, 200, "{response:?}");
    response
}

fn get(cluster: &Cluster, key: &str) -> Value {
    cluster.ask("GET", &format!("/kv/{key}"), &[], "").json()
}

/// Waits until a node has applied as much as the leader has.
fn caught_up(cluster: &Cluster, id: u8) -> Value {
    until("the node has caught up", || {
        let leader = cluster.status(cluster.leader())?;
        let status = cluster.status(id)?;
        (status["last_applied"] == leader["last_log_index"]).then_some(status)
    })
}

#[test]
fn a_cluster_survives_the_kill_of_its_leader() {
    let mut cluster = Cluster::started(3, "");
    let first = put(&cluster, "a", "1");
    assert!(first.header("raft-index").unwrap().parse::<u64>().unwrap() >= 2);
    let cas = |expected: Value, new: &str| {
        let body = json!({ "expected": expected, "new": new }).to_string();
        let response = cluster.ask("POST", "/kv/a/cas", &[], &body);
        (response.status, response.json())
    };
    assert_eq!(cas(json!("1"), "2"), (200, json!({ "swapped": true })));
    assert_eq!(cas(Value::Null, "3"), (409, json!({ "swapped": false, "actual": "2" })));
    cluster.ask("POST", "/kv/l%2F1/append", &[], "x");
    cluster.ask("POST", "/kv/l%2F1/append", &[], "y\"");
    cluster.ask("POST", "/set/s", &[], "m");

    let killed = cluster.leader();
    cluster.kill(killed);
    put(&cluster, "b", "after");
    assert_ne!(cluster.leader(), killed);
    cluster.start(killed);
    let status = caught_up(&cluster, killed);
    assert_eq!((&status["boot"], &status["keys"]), (&json!(2), &json!(4)));
    let local =
        |path: &str| cluster.request(killed, "GET", &format!("{path}?mode=local"), "").unwrap().json();
    assert_eq!(local("/kv/a"), json!({ "value": "2" }));
    assert_eq!(local("/kv/b"), json!({ "value": "after" }));
    assert_eq!(local("/kv/l%2F1"), json!({ "list": ["x", "y\""] }));
    assert_eq!(local("/set/s"), json!({ "members": ["m"] }));
    assert_eq!(local("/kv/none"), json!({ "value": null }));
    cluster.ask("DELETE", "/kv/a", &[], "");
    assert_eq!(get(&cluster, "a"), json!({ "value": null }));
}

#[test]
fn what_was_acknowledged_survives_the_kill_of_everybody() {
    let mut cluster = Cluster::started(3, "");
    for number in 0..20 {
        put(&cluster, &format!("k{number}"), &number.to_string());
    }
    cluster.ids().for_each(|id| cluster.kill(id));
    cluster.ids().for_each(|id| cluster.start(id));
    for number in 0..20 {
        assert_eq!(get(&cluster, &format!("k{number}")), json!({ "value": number.to_string() }));
    }
    // The trace tells of both starts, and every line of it is whole.
    let trace = std::fs::read_to_string(cluster.trace(1)).unwrap();
    let lines: Vec<Value> = trace.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let boots: Vec<&Value> =
        lines.iter().filter(|line| line["ev"] == "boot").map(|line| &line["boot"]).collect();
    assert_eq!(boots, [&json!(1), &json!(2)]);
    for kind in ["term", "vote", "append", "fsync", "commit", "apply"] {
        assert!(lines.iter().any(|line| line["ev"] == kind), "no {kind} in the trace");
    }
}

#[test]
fn a_follower_points_to_the_leader_and_takes_nothing() {
    let cluster = Cluster::started(3, "");
    let leader = cluster.leader();
    put(&cluster, "a", "1");
    let follower = cluster.ids().find(|&id| id != leader).unwrap();
    caught_up(&cluster, follower);
    for (method, path, body) in [("PUT", "/kv/a", "2"), ("POST", "/kv/a/append", "x"), ("GET", "/kv/a", "")] {
        let response = cluster.request(follower, method, path, body).unwrap();
        assert_eq!(response.status, 421, "{response:?}");
        let expected = json!({
            "error": "not_leader", "leader": format!("n{leader}"), "addr": cluster.addresses.client(leader).to_string(),
        });
        assert_eq!(response.json(), expected);
    }
    assert_eq!(get(&cluster, "a"), json!({ "value": "1" }));
}

#[test]
fn a_command_that_is_sent_twice_in_a_session_counts_once_even_at_the_next_leader() {
    let mut cluster = Cluster::started(3, "");
    let session = [("raft-session", "77"), ("raft-seq", "1")];
    assert_eq!(cluster.ask("POST", "/kv/l/append", &session, "once").status, 200);
    assert_eq!(cluster.ask("POST", "/kv/l/append", &session, "once").status, 200);
    let cas = r#"{"expected":null,"new":"v"}"#;
    let session = [("raft-session", "77"), ("raft-seq", "2")];
    assert_eq!(cluster.ask("POST", "/kv/c/cas", &session, cas).json(), json!({ "swapped": true }));
    let killed = cluster.leader();
    cluster.kill(killed);
    assert_eq!(cluster.ask("POST", "/kv/c/cas", &session, cas).json(), json!({ "swapped": true }));
    assert_eq!(get(&cluster, "l"), json!({ "list": ["once"] }));
    let session = [("raft-session", "77"), ("raft-seq", "1")];
    let stale = cluster.ask("POST", "/kv/l/append", &session, "again");
    assert_eq!((stale.status, stale.json()), (409, json!({ "error": "stale_sequence", "last": 2 })));
}

/// Appends numbers in one session until told to stop, repeating each until it is acknowledged. Returns how many.
fn append_numbers(addresses: &[std::net::SocketAddr], stop: &std::sync::atomic::AtomicBool) -> u64 {
    let mut number = 0;
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        number += 1;
        let (sequence, element) = (number.to_string(), number.to_string());
        let headers = [("raft-session", "5"), ("raft-seq", sequence.as_str())];
        until("an append is acknowledged", || {
            addresses.iter().find_map(|&address| {
                request(address, "POST", "/kv/l/append", &headers, &element)
                    .filter(|response| response.status == 200)
            })
        });
    }
    number
}

#[test]
fn repeated_appends_count_once_while_nodes_are_killed() {
    let mut cluster = Cluster::started(3, "--request-timeout-ms 1000");
    let addresses: Vec<_> = cluster.ids().map(|id| cluster.addresses.client(id)).collect();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let appended = std::thread::scope(|scope| {
        let client = scope.spawn(|| append_numbers(&addresses, &stop));
        for round in 0..8 {
            let before = cluster.status(cluster.leader()).unwrap()["commit_index"].as_u64().unwrap();
            until("something is appended", || {
                let status = cluster.status(cluster.leader())?;
                (status["commit_index"].as_u64()? > before + 10).then_some(())
            });
            // The leader every other time, otherwise one node after the other.
            let victim = if round % 2 == 0 { cluster.leader() } else { round / 2 % 3 + 1 };
            cluster.kill(victim);
            cluster.leader();
            cluster.start(victim);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        client.join().unwrap()
    });
    assert!(appended > 80, "{appended}");
    let expected: Vec<String> = (1..=appended).map(|number| number.to_string()).collect();
    assert_eq!(get(&cluster, "l"), json!({ "list": expected }));
    for id in cluster.ids() {
        caught_up(&cluster, id);
        let local = cluster.request(id, "GET", "/kv/l?mode=local", "").unwrap().json();
        assert_eq!(local, json!({ "list": expected }), "n{id}");
    }
}

#[test]
fn bad_requests_are_refused_and_disturb_nobody() {
    let cluster = Cluster::started(1, "");
    let address = cluster.addresses.client(cluster.leader());
    let long_key = format!("/kv/{}", "k".repeat(2000));
    let long_body = "x".repeat(raftkv::http::BODY_MAX + 1);
    for (method, path, body, status) in [
        ("GET", "/", "", 404),
        ("PATCH", "/kv/a", "", 405),
        ("GET", "/kv/", "", 400),
        ("GET", "/kv/%zz", "", 400),
        ("GET", "/kv/a?mode=fast", "", 400),
        ("GET", &long_key, "", 400),
        ("POST", "/kv/a/cas", "{", 400),
        ("POST", "/kv/a/cas", r#"{"new":"b"}"#, 400),
        ("PUT", "/kv/a", &long_body, 413),
    ] {
        let response = request(address, method, path, &[], body).unwrap();
        assert_eq!(response.status, status, "{method} {path}: {response:?}");
        assert!(response.json()["reason"].is_string(), "{response:?}");
    }
    assert_eq!(request(address, "PUT", "/kv/a", &[("raft-session", "1")], "").unwrap().status, 400);
    let not_text = b"PUT /kv/a HTTP/1.1\r\nhost: n\r\ncontent-length: 2\r\n\r\n\xff\xfe";
    assert_eq!(raw(address, not_text).unwrap().status, 400);
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET\r\n\r\n",
        b"PUT /kv/a HTTP/1.1\r\ncontent-length: x\r\n\r\n",
    ] {
        assert!(raw(address, garbage).is_none_or(|response| response.status == 400), "{garbage:?}");
    }
    // A body that never becomes whole changes nothing.
    assert!(raw_half(address, b"PUT /kv/a HTTP/1.1\r\nhost: n\r\ncontent-length: 9\r\n\r\nhalf"));
    put(&cluster, "l", "text");
    let wrong = cluster.ask("POST", "/kv/l/append", &[], "x");
    assert_eq!((wrong.status, wrong.json()), (409, json!({ "error": "wrong_type", "type": "text" })));
    assert_eq!(cluster.ask("GET", "/set/l", &[], "").status, 409);
    assert_eq!(get(&cluster, "a"), json!({ "value": null }));
}

/// Sends a part of a request and hangs up.
fn raw_half(address: std::net::SocketAddr, bytes: &[u8]) -> bool {
    use std::io::Write;
    std::net::TcpStream::connect(address).and_then(|mut stream| stream.write_all(bytes)).is_ok()
}

#[test]
fn a_connection_too_many_is_told_so() {
    let cluster = Cluster::started(1, "");
    let address = cluster.addresses.client(cluster.leader());
    let connect = |_| std::net::TcpStream::connect(address).unwrap();
    let held: Vec<_> = (0..raftkv::http::CONNECTIONS_MAX).map(connect).collect();
    let refused = cluster.request(1, "PUT", "/kv/a", "1").unwrap();
    assert_eq!((refused.status, &refused.json()["error"]), (503, &json!("busy")));
    drop(held);
    put(&cluster, "a", "2");
}

#[test]
fn reads_by_every_mode_see_the_last_write() {
    let cluster = Cluster::started(3, "");
    put(&cluster, "a", "1");
    for mode in ["", "?mode=read_index", "?mode=log", "?mode=local"] {
        assert_eq!(get(&cluster, &format!("a{mode}")), json!({ "value": "1" }), "{mode}");
    }
    let trace = std::fs::read_to_string(cluster.trace(cluster.leader())).unwrap();
    for mode in ["read_index", "log", "local"] {
        assert!(trace.contains(&format!(r#""ev":"read","mode":"{mode}""#)), "no read by {mode} in the trace");
    }
}

#[test]
fn a_write_that_no_majority_has_is_unknown() {
    let mut cluster = Cluster::started(3, "");
    put(&cluster, "a", "1");
    let leader = cluster.leader();
    let followers: Vec<u8> = cluster.ids().filter(|&id| id != leader).collect();
    for &id in &followers {
        cluster.kill(id);
    }
    // Taken into the log of the leader, which then finds that it leads nobody.
    let response = cluster.request(leader, "PUT", "/kv/a", "2").unwrap();
    assert_eq!((response.status, &response.json()["error"]), (504, &json!("unknown")), "{response:?}");
    let refused = until("the old leader has stepped down", || {
        cluster.request(leader, "PUT", "/kv/a", "3").filter(|response| response.status != 504)
    });
    assert_eq!((refused.status, refused.json()), (503, json!({ "error": "no_leader" })));
    followers.iter().for_each(|&id| cluster.start(id));
    let value = get(&cluster, "a");
    assert!(value == json!({ "value": "1" }) || value == json!({ "value": "2" }), "{value}");
}

#[test]
fn a_request_that_stays_open_too_long_is_unknown() {
    let mut cluster = Cluster::started(3, "--request-timeout-ms 50 --rule check_quorum=off");
    let leader = cluster.leader();
    for id in cluster.ids().filter(|&id| id != leader) {
        cluster.kill(id);
    }
    let response = cluster.request(leader, "PUT", "/kv/a", "2").unwrap();
    assert_eq!((response.status, &response.json()["error"]), (504, &json!("unknown")));
    until("the request is forgotten", || (cluster.status(leader)?["pending"] == 0).then_some(()));
}

#[test]
fn sigterm_ends_a_node_in_order() {
    let mut cluster = Cluster::started(1, "");
    put(&cluster, "a", "1");
    assert!(cluster.terminate(1).success(), "{}", cluster.log(1));
    cluster.start(1);
    assert_eq!(get(&cluster, "a"), json!({ "value": "1" }));
}

/// Stops the leader in order; the handovers in its trace.
fn handovers_of_a_stopped_leader(rules: &str) -> Vec<String> {
    // Patient followers, so that a busy machine elects nobody else meanwhile.
    let mut cluster = Cluster::started(3, &format!("--rule election_timeout=500ms..1s {rules}"));
    put(&cluster, "a", "1");
    let leader = cluster.leader();
    assert!(cluster.terminate(leader).success(), "{}", cluster.log(leader));
    assert_ne!(cluster.leader(), leader);
    assert_eq!(get(&cluster, "a"), json!({ "value": "1" }));
    let trace = std::fs::read_to_string(cluster.trace(leader)).unwrap();
    let events = trace.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let states = events.filter(|event| event["ev"] == "transfer").map(|event| event["state"].clone());
    states.map(|state| state.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_leader_that_is_stopped_in_order_hands_over_first() {
    assert_eq!(handovers_of_a_stopped_leader(""), ["begun", "told", "done"]);
    assert!(handovers_of_a_stopped_leader("--rule leader_transfer_on_stop=false").is_empty());
}

#[test]
fn an_entry_that_is_too_large_is_refused() {
    let mut cluster = Cluster::started(1, "--rule max_entry_bytes=2000");
    assert_eq!(put(&cluster, "a", &"x".repeat(1000)).status, 200);
    let refused = cluster.request(1, "PUT", "/kv/b", &"x".repeat(3000)).unwrap();
    assert_eq!((refused.status, &refused.json()["error"]), (413, &json!("too_large")));
    assert_eq!(get(&cluster, "b")["value"], Value::Null);
    let large = "x".repeat(3 << 20);
    assert_eq!(cluster.request(1, "PUT", "/kv/c", &large).unwrap().status, 413);
    cluster.terminate(1);
    cluster.extra = ["--rule", "max_entry_bytes=4000000"].map(str::to_owned).to_vec();
    cluster.start(1);
    assert_eq!(put(&cluster, "c", &large).status, 200);
}

#[test]
fn a_node_that_cannot_write_stops_and_has_lost_nothing() {
    let mut cluster = Cluster::new(1);
    // The first segment fits, the second does not.
    cluster.file_size_max = Some(900 << 10);
    cluster.start(1);
    let address = cluster.addresses.client(cluster.leader());
    let value = "v".repeat(50_000);
    let mut acknowledged = 0;
    while let Some(response) = request(address, "PUT", &format!("/kv/k{acknowledged}"), &[], &value)
        && response.status == 200
    {
        acknowledged += 1;
        assert!(acknowledged < 1000, "the limit has no effect");
    }
    assert!(!cluster.wait(1).success());
    let log = cluster.log(1);
    assert!(log.contains("cannot reserve space in"), "{log}");
    assert!(acknowledged > 0);
    cluster.file_size_max = None;
    cluster.start(1);
    for number in 0..acknowledged {
        assert_eq!(get(&cluster, &format!("k{number}")), json!({ "value": value }));
    }
}

#[test]
fn the_files_of_a_stopped_node_can_be_edited_and_only_then() {
    let mut cluster = Cluster::started(3, "");
    put(&cluster, "a", "1");
    let follower = cluster.ids().find(|&id| id != cluster.leader()).unwrap();
    caught_up(&cluster, follower);
    let error = offline::truncate_log(&cluster.data_dir(follower), 1).unwrap_err().to_string();
    assert!(error.contains("its node is running"), "{error}");
    cluster.kill(follower);
    let proof = offline::truncate_log(&cluster.data_dir(follower), 1).unwrap();
    assert!(proof.starts_with("removed entries "), "{proof}");
    offline::lose_vote(&cluster.data_dir(follower)).unwrap();
    cluster.start(follower);
    put(&cluster, "b", "2");
    let status = caught_up(&cluster, follower);
    assert_eq!(status["keys"], 2, "the leader has repaired the log: {status}");
}

#[test]
fn two_processes_do_not_share_a_directory() {
    let mut cluster = Cluster::started(1, "");
    cluster.leader();
    let mut args = cluster.args(1);
    args.extend(["--client-port", "7011", "--peer-port", "7012"].map(str::to_owned));
    let error = Node::start(crate::parse(args)).unwrap_err().to_string();
    assert!(error.contains("is in use"), "{error}");
    cluster.kill(1);
    let mut args = cluster.args(1);
    args.extend(["--cluster", "other"].map(str::to_owned));
    let error = Node::start(crate::parse(args)).unwrap_err().to_string();
    assert!(error.contains("belongs to n1 of cluster `raftkv/n1`"), "{error}");
}

#[test]
fn a_node_that_lost_its_disk_is_refused() {
    let mut cluster = Cluster::started(3, "");
    put(&cluster, "a", "1");
    let leader = cluster.leader();
    let victim = cluster.ids().find(|&id| id != leader).unwrap();
    caught_up(&cluster, victim);
    cluster.kill(victim);
    std::fs::remove_dir_all(cluster.data_dir(victim)).unwrap();
    cluster.start(victim);
    assert!(!cluster.wait(victim).success());
    assert!(cluster.log(victim).contains("holds no data"), "{}", cluster.log(victim));

    // Told that this is the first start of all, it starts. The others know better and do not listen to it.
    cluster.extra = vec!["--bootstrap".to_owned()];
    cluster.start(victim);
    until("it is refused", || cluster.log(leader).contains("another data directory").then_some(()));
    put(&cluster, "a", "2");
}

#[test]
fn a_node_that_lost_its_disk_comes_back_without_a_vote() {
    let mut cluster = Cluster::started(3, "--rule on_empty_dir=rejoin_as_learner");
    put(&cluster, "a", "1");
    let leader = cluster.leader();
    let victim = cluster.ids().find(|&id| id != leader).unwrap();
    cluster.kill(victim);
    std::fs::remove_dir_all(cluster.data_dir(victim)).unwrap();
    cluster.start(victim);
    caught_up(&cluster, victim);
    let local = cluster.request(victim, "GET", "/kv/a?mode=local", "").unwrap().json();
    assert_eq!(local, json!({ "value": "1" }));
    let trace = std::fs::read_to_string(cluster.trace(victim)).unwrap();
    let second_start = trace.rsplit_once(r#""ev":"boot""#).unwrap().1;
    assert!(!second_start.contains(r#""ev":"vote""#));
}

#[test]
fn a_node_can_live_in_its_users_process() {
    let addresses = Addresses::new(1);
    let dir = tempfile::tempdir().unwrap();
    let args = || {
        let data_dir = dir.path().display().to_string();
        crate::parse(
            ["--bootstrap", "--id", "n1", "--members", &addresses.members(), "--data-dir", &data_dir]
                .map(str::to_owned),
        )
    };
    for round in 1..=3 {
        let node = Node::start(args()).unwrap();
        assert_eq!(node.client_address(), addresses.client(1));
        let response = until("the node leads", || {
            request(node.client_address(), "POST", "/kv/l/append", &[], &round.to_string())
                .filter(|r| r.status == 200)
        });
        assert!(response.header("raft-index").is_some());
        let list = request(node.client_address(), "GET", "/kv/l", &[], "").unwrap().json();
        assert_eq!(list["list"].as_array().unwrap().len(), round);
        node.stop().unwrap();
    }
}
