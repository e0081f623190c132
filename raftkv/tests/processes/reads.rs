//! Reads in every mode, on real processes.

use crate::cluster::{Cluster, Response, request, until};
use serde_json::{Value, json};

/// The index of the write.
fn put(cluster: &Cluster, value: u64) -> u64 {
    let response = cluster.ask("PUT", "/kv/x", &[], &value.to_string());
    assert_eq!(response.status, 200, "{response:?}");
    index(&response)
}

fn index(response: &Response) -> u64 {
    response
        .header("raft-index")
        .and_then(|index| index.parse().ok())
        .unwrap_or_else(|| panic!("{response:?}"))
}

fn get(cluster: &Cluster, id: u8, headers: &[(&str, &str)]) -> Response {
    request(cluster.addresses.client(id), "GET", "/kv/x", headers, "").expect("an answer")
}

fn value(number: u64) -> Value {
    json!({ "value": number.to_string() })
}

/// How many reads of this mode the traces of all nodes tell of.
fn reads_by(cluster: &Cluster, mode: &str) -> usize {
    let lines = cluster.ids().flat_map(|id| {
        let trace = std::fs::read_to_string(cluster.trace(id)).unwrap_or_default();
        trace.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    let is_read = |line: &String| {
        serde_json::from_str::<Value>(line).is_ok_and(|event| event["ev"] == "read" && event["mode"] == mode)
    };
    lines.filter(is_read).count()
}

#[test]
fn a_follower_answers_with_the_latest_acknowledged_value() {
    let cluster = Cluster::started(3, "--rule read_mode=follower_read_index");
    for number in 1..=100 {
        let written = put(&cluster, number);
        for id in cluster.ids() {
            let response = get(&cluster, id, &[]);
            // An election may come in between; a read is then refused, and never stale.
            if response.status == 200 {
                assert_eq!(response.json(), value(number), "n{id}: {response:?}");
                assert!(index(&response) >= written, "n{id}: {response:?}");
            } else {
                assert!(matches!(response.status, 421 | 503), "n{id}: {response:?}");
            }
        }
    }
    until("followers have answered", || (reads_by(&cluster, "follower_read_index") >= 100).then_some(()));
}

#[test]
fn a_session_index_makes_a_follower_wait() {
    for (rule, waits) in [("on", true), ("off", false)] {
        let cluster =
            Cluster::started(3, &format!("--rule read_mode=follower_local --rule session_index={rule}"));
        let at = cluster.follower();
        for number in 1..=50 {
            let seen = put(&cluster, number).to_string();
            let response = get(&cluster, at, &[("raft-session-index", &seen)]);
            if waits && response.status == 200 {
                assert_eq!(response.json(), value(number), "{response:?}");
            }
        }
        // Nobody has written this one yet.
        let seen = (put(&cluster, 51) + 1_000).to_string();
        let at = cluster.follower();
        let response = get(&cluster, at, &[("raft-session-index", &seen)]);
        assert_eq!(response.status, if waits { 421 } else { 200 }, "session_index={rule}: {response:?}");
    }
}

#[test]
fn a_leader_answers_by_its_lease_and_tells_how_long_it_lasts() {
    let cluster = Cluster::started(3, "--rule read_mode=lease");
    put(&cluster, 7);
    let left = until("there is a lease", || cluster.status(cluster.leader())?["lease_left_ms"].as_f64());
    // The shortest election timeout by default, less what clocks may differ.
    assert!(left > 0.0 && left < 150.0 / 1.1, "{left}");
    let response = cluster.ask("GET", "/kv/x", &[], "");
    assert_eq!(response.json(), value(7));
    until("a read by lease", || {
        cluster.ask("GET", "/kv/x", &[], "");
        (reads_by(&cluster, "lease") > 0).then_some(())
    });
    let status = cluster.status(cluster.follower()).unwrap();
    assert_eq!(status["lease_left_ms"], Value::Null);
}

#[test]
fn without_leases_there_is_none_to_report() {
    let cluster = Cluster::started(1, "");
    put(&cluster, 1);
    assert_eq!(cluster.status(cluster.leader()).unwrap()["lease_left_ms"], Value::Null);
    let response = cluster.request(1, "GET", "/kv/x?mode=lease", "").unwrap();
    assert_eq!(response.status, 400, "{response:?}");
}

/// The leader dies, and the rest cannot elect another: what a follower says of a read that it cannot answer in time.
fn asked_without_a_majority(rules: &str) -> u16 {
    let mut cluster = Cluster::started(
        3,
        &format!("--rule read_mode=follower_read_index --rule read_timeout=200ms {rules}"),
    );
    put(&cluster, 1);
    let at = cluster.follower();
    for id in cluster.ids().filter(|id| *id != at).collect::<Vec<_>>() {
        cluster.kill(id);
    }
    until("the follower has no leader", || (cluster.status(at)?["leader"] == Value::Null).then_some(()));
    get(&cluster, at, &[]).status
}

#[test]
fn a_follower_without_a_leader_never_guesses() {
    // There is nobody to redirect to.
    assert_eq!(asked_without_a_majority("--rule read_redirect=true"), 503);
    assert_eq!(asked_without_a_majority("--rule read_redirect=false"), 503);
}

#[test]
fn a_follower_redirects_what_only_a_leader_answers() {
    for mode in ["log", "read_index", "lease"] {
        let cluster = Cluster::started(3, &format!("--rule read_mode={mode}"));
        put(&cluster, 1);
        let at = cluster.follower();
        let response = get(&cluster, at, &[]);
        assert_eq!(response.status, 421, "{mode}: {response:?}");
        let leader = response.json()["leader"].as_str().map(str::to_owned);
        assert_eq!(leader, Some(format!("n{}", cluster.leader())), "{mode}");
    }
}
