//! What the client of the bundled store makes of answers, also of those that never come.

use super::super::super::wire_test::{Act, Servers, serve};
use super::*;

const OP_TIMEOUT: Duration = Duration::from_millis(600);

fn write() -> Op {
    Op::Write { key: Key::new("r1"), value: Value::Int(7) }
}

fn read() -> Op {
    Op::Read { key: Key::new("r1") }
}

fn cas() -> Op {
    Op::Cas { key: Key::new("r1"), expected: Value::Nil, new: Value::Int(2) }
}

fn ok(body: &str) -> Act {
    Act::Answer(200, body.into())
}

fn not_leader(leader: Option<u16>) -> Act {
    let leader = leader.map(|n| format!("n{n}"));
    Act::Answer(421, json!({ "error": "not_leader", "leader": leader }).to_string())
}

fn client(servers: &Servers) -> RaftKvClient {
    RaftKvClient::new(&servers.members, NodeId(1), OP_TIMEOUT, servers.port)
}

/// Makes the calls one after the other and returns how they ended.
async fn calls(servers: &Servers, ops: &[Op]) -> Vec<Completion> {
    let client = client(servers);
    let mut ends = Vec::new();
    for op in ops {
        let started = Instant::now();
        ends.push(client.call(ProcessId(4), op).await);
        assert!(started.elapsed() < OP_TIMEOUT * 2, "{op:?} took {:?}", started.elapsed());
    }
    ends
}

fn header(request: &str, name: &str) -> u64 {
    let number = request.lines().find_map(|line| line.strip_prefix(name));
    number.expect("a write has one").parse().expect("a number")
}

/// The number that a write carried.
fn sequence(request: &str) -> u64 {
    header(request, "raft-seq: ")
}

/// The session that it named.
fn session(request: &str) -> u64 {
    header(request, "raft-session: ")
}

fn is_unknown(end: &Completion) -> bool {
    matches!(end.outcome, Outcome::Unknown(_))
}

fn is_failed(end: &Completion) -> bool {
    matches!(end.outcome, Outcome::Failed(_))
}

#[tokio::test]
async fn requests_are_what_the_node_documents() {
    let servers = serve(&[Some(vec![ok("{}")])]).await;
    let ops = [
        Op::Write { key: Key::new("a/b ü."), value: Value::Int(-7) },
        Op::Append { key: Key::new("l"), value: Value::Int(1) },
        Op::Add { key: Key::new("s"), value: Value::Int(2) },
        Op::Delete { key: Key::new("d") },
    ];
    for end in calls(&servers, &ops).await {
        assert_eq!(end, Completion { outcome: Outcome::Ok(Reply::Done), node: Some(NodeId(1)) });
    }
    calls(&servers, &[cas(), read(), Op::Members { key: Key::new("s") }]).await;
    let requests: Vec<String> = servers.requests().into_iter().map(|(_, request)| request).collect();
    let is = |n: usize, start: &str, end: &str| {
        assert!(requests[n].starts_with(start) && requests[n].ends_with(end), "{}", requests[n]);
    };
    is(0, "PUT /kv/a%2Fb%20%C3%BC%2E HTTP/1.1\r\n", "\r\n\r\n-7");
    is(1, "POST /kv/l/append HTTP/1.1\r\n", "\r\n\r\n1");
    is(2, "POST /set/s HTTP/1.1\r\n", "\r\n\r\n2");
    is(3, "DELETE /kv/d HTTP/1.1\r\n", "\r\n\r\n");
    is(4, "POST /kv/r1/cas HTTP/1.1\r\n", "\r\n\r\n{\"expected\":null,\"new\":\"2\"}");
    is(5, "GET /kv/r1 HTTP/1.1\r\n", "\r\n\r\n");
    is(6, "GET /set/s HTTP/1.1\r\n", "\r\n\r\n");
    assert!(!requests[5].contains("raft-se"));
    assert!((0..4).all(|n| session(&requests[n]) == session(&requests[0])));
    assert_eq!([0, 1, 2, 3].map(|n| sequence(&requests[n])), [1, 2, 3, 4]);
}

#[tokio::test]
async fn writes_that_are_more_than_plain_ones_are_asked_for_as_the_node_documents() {
    for (mode, expected) in [
        (WriteMode::Expiring { ttl_ms: 500 }, "PUT /kv/r1?ttl=500ms HTTP/1.1\r\n"),
        (
            WriteMode::Fenced { lock: "a/b".to_owned(), token: 9 },
            "PUT /kv/r1?lock=a%2Fb&token=9 HTTP/1.1\r\n",
        ),
        (WriteMode::Poison { only: None }, "POST /kv/r1/poison HTTP/1.1\r\n"),
        (WriteMode::Poison { only: Some(NodeId(2)) }, "POST /kv/r1/poison?only=n2 HTTP/1.1\r\n"),
    ] {
        let servers = serve(&[Some(vec![ok("{}")])]).await;
        let client = client(&servers).writing_by(mode);
        assert_eq!(client.call(ProcessId(4), &write()).await.outcome, Outcome::Ok(Reply::Done));
        let request = &servers.requests()[0].1;
        assert!(request.starts_with(expected) && request.ends_with("\r\n\r\n7"), "{request}");
    }
}

fn lock(function: &str) -> Op {
    Op::Other { key: Key::new("l"), function: function.into(), argument: Value::Text("a".into()) }
}

#[tokio::test]
async fn locks_answer_tokens_and_refuse_in_the_log() {
    let held = || Act::Answer(409, r#"{"locked":false,"actual":{"owner":"b","token":9}}"#.into());
    let free = Act::Answer(409, r#"{"locked":false,"actual":null}"#.into());
    let acts =
        vec![ok(r#"{"locked":true,"token":7}"#), held(), ok("{}"), free, ok(r#"{"owner":"a","token":7}"#)];
    let servers = serve(&[Some(acts)]).await;
    let client = client(&servers).writing_by(WriteMode::Expiring { ttl_ms: 300 });
    let mut outcomes = Vec::new();
    for op in [lock("acquire"), lock("acquire"), lock("release"), lock("release"), read()] {
        outcomes.push(client.call(ProcessId(4), &op).await.outcome);
    }
    let token = Outcome::Ok(Reply::Value(Value::Int(7)));
    let refused = |why: &str| Outcome::Failed(why.to_owned());
    assert_eq!(
        outcomes,
        [
            token.clone(),
            refused("b has the lock, under token 9"),
            Outcome::Ok(Reply::Done),
            refused("nobody has the lock"),
            token
        ]
    );
    let requests = servers.requests();
    assert!(requests[0].1.starts_with("POST /kv/l/lock?ttl=300ms HTTP/1.1\r\n"), "{}", requests[0].1);
    assert!(requests[2].1.starts_with("POST /kv/l/unlock HTTP/1.1\r\n"), "{}", requests[2].1);
    assert!(requests.iter().take(4).all(|(_, request)| request.ends_with("\r\n\r\na")));
}

#[tokio::test]
async fn a_fenced_write_that_is_refused_had_no_effect() {
    let servers = serve(&[Some(vec![Act::Answer(409, r#"{"locked":false,"actual":null}"#.into())])]).await;
    let client = client(&servers).writing_by(WriteMode::Fenced { lock: "l".to_owned(), token: 7 });
    assert!(is_failed(&client.call(ProcessId(4), &write()).await));
}

#[tokio::test]
async fn values_are_read_as_they_were_written() {
    let bodies = [r#"{"value":"7"}"#, r#"{"value":null}"#, r#"{"list":["1","2"]}"#, r#"{"value":"007"}"#];
    let servers = serve(&[Some(bodies.iter().map(|body| ok(body)).collect())]).await;
    let list = Value::List(vec![Value::Int(1), Value::Int(2)]);
    let expected = [Value::Int(7), Value::Nil, list, Value::Text("007".into())];
    let ends = calls(&servers, &[read(), read(), read(), read()]).await;
    for (end, value) in ends.into_iter().zip(expected) {
        assert_eq!(end.outcome, Outcome::Ok(Reply::Value(value)));
    }
}

#[tokio::test]
async fn no_two_processes_share_a_session_and_each_begins_with_one() {
    let servers = serve(&[Some(vec![ok("{}")])]).await;
    calls(&servers, &[write(), read(), write()]).await;
    // The same process under another client, and then other processes of that client.
    let other = client(&servers);
    for process in [4, 10, 10, 16] {
        other.call(ProcessId(process), &write()).await;
    }
    let requests = servers.requests();
    let writes = requests.iter().filter(|(_, request)| request.starts_with("PUT"));
    let places: Vec<(u64, u64)> = writes.map(|(_, request)| (session(request), sequence(request))).collect();
    assert_eq!(places.iter().map(|place| place.1).collect::<Vec<_>>(), [1, 2, 1, 1, 2, 1]);
    let mut sessions: Vec<u64> = places.iter().map(|place| place.0).collect();
    sessions.dedup();
    assert_eq!(sessions.len(), 4, "{places:?}");
    sessions.sort_unstable();
    sessions.dedup();
    assert_eq!(sessions.len(), 4, "{places:?}");
}

#[tokio::test]
async fn a_cas_swaps_or_tells_what_it_found() {
    let acts = vec![
        ok(r#"{"swapped":true}"#),
        Act::Answer(409, r#"{"swapped":false,"actual":"5"}"#.into()),
        Act::Answer(409, r#"{"swapped":false,"actual":null}"#.into()),
        Act::Answer(409, r#"{"error":"something else"}"#.into()),
        ok("not even JSON"),
    ];
    let servers = serve(&[Some(acts)]).await;
    let ends = calls(&servers, &[cas(), cas(), cas(), cas(), cas()]).await;
    assert_eq!(ends[0].outcome, Outcome::Ok(Reply::Done));
    assert_eq!(ends[1].outcome, Outcome::Ok(Reply::Mismatch(Some(Value::Int(5)))));
    assert_eq!(ends[2].outcome, Outcome::Ok(Reply::Mismatch(Some(Value::Nil))));
    assert!(is_unknown(&ends[3]) && is_unknown(&ends[4]), "{ends:?}");
}

#[tokio::test]
async fn what_may_have_had_an_effect_is_unknown() {
    let acts = [
        Act::Answer(500, String::new()),
        Act::Answer(504, r#"{"error":"timeout"}"#.into()),
        Act::Answer(302, String::new()),
        Act::CloseAfterRequest,
        Act::CloseInAnswer,
        Act::Hang,
    ];
    for act in acts {
        let servers = serve(&[Some(vec![act.clone()]), Some(vec![ok("{}")])]).await;
        let ends = calls(&servers, &[cas(), read()]).await;
        assert!(is_unknown(&ends[0]), "{act:?}: {ends:?}");
        assert!(is_failed(&ends[1]), "a read never harms, {act:?}: {ends:?}");
        // Neither was tried anywhere else, nor again.
        assert_eq!(servers.visited(), [1, 1], "{act:?}");
    }
}

#[tokio::test]
async fn a_connection_that_ends_under_a_request_makes_it_unknown_or_unsent_but_never_sent_twice() {
    let servers = serve(&[Some(vec![ok("{}"), Act::CloseAtOnce, ok("{}")])]).await;
    let ends = calls(&servers, &[write(), write(), write()]).await;
    assert_eq!(ends[0].outcome, Outcome::Ok(Reply::Done));
    let acknowledged = ends.iter().filter(|end| matches!(end.outcome, Outcome::Ok(_))).count();
    // One request per acknowledged write: whatever was not acknowledged left no second copy behind.
    let sequences: Vec<u64> = servers.requests().iter().map(|(_, request)| sequence(request)).collect();
    let mut unique = sequences.clone();
    unique.dedup();
    assert_eq!(sequences, unique);
    assert!(sequences.len() >= acknowledged, "{sequences:?}, {ends:?}");
}

#[tokio::test]
async fn a_refusal_is_a_failure() {
    for status in [413, 503] {
        let servers = serve(&[Some(vec![Act::Answer(status, r#"{"error":"refused"}"#.into())])]).await;
        let ends = calls(&servers, &[write(), read()]).await;
        assert_eq!(ends[0].outcome, Outcome::Failed("refused".into()), "{status}");
        assert!(is_failed(&ends[1]));
        assert_eq!(servers.visited(), [1, 1]);
    }
}

#[tokio::test]
async fn nobody_listens() {
    // Node 1 is there, so that the port is known, and its refusals name no one else who is.
    let servers = serve(&[Some(vec![not_leader(Some(2))]), None, None]).await;
    let ends = calls(&servers, &[write()]).await;
    assert!(is_failed(&ends[0]), "{ends:?}");
    assert_eq!(servers.visited(), [1]);
}

#[tokio::test]
async fn a_hint_is_followed_within_the_call_and_remembered() {
    let servers = serve(&[
        Some(vec![not_leader(Some(3))]),
        Some(vec![not_leader(Some(3))]),
        Some(vec![ok("{}"), ok("{}"), Act::Answer(504, String::new()), ok("{}")]),
    ])
    .await;
    let ends = calls(&servers, &[write(), write(), write(), write()]).await;
    assert_eq!(ends[0], Completion { outcome: Outcome::Ok(Reply::Done), node: Some(NodeId(3)) });
    assert!(is_unknown(&ends[2]));
    assert_eq!(ends[3].outcome, Outcome::Ok(Reply::Done));
    // Remembered after the first, forgotten after the third.
    assert_eq!(servers.visited(), [1, 3, 3, 3, 1, 3]);
    // The same call keeps its number wherever it goes, and no other call has it.
    let numbers: Vec<u64> = servers.requests().iter().map(|(_, request)| sequence(request)).collect();
    assert!(numbers[0] == numbers[1] && numbers[4] == numbers[5], "{numbers:?}");
    assert!(numbers[1] < numbers[2] && numbers[2] < numbers[3] && numbers[3] < numbers[4], "{numbers:?}");
}

#[tokio::test]
async fn reads_begin_at_home_whatever_writes_have_learnt() {
    let servers =
        serve(&[Some(vec![not_leader(Some(2)), ok(r#"{"value":null}"#)]), Some(vec![ok("{}")])]).await;
    let ends = calls(&servers, &[write(), read()]).await;
    assert_eq!(ends[1].outcome, Outcome::Ok(Reply::Value(Value::Nil)));
    assert_eq!(servers.visited(), [1, 2, 1]);
}

#[tokio::test]
async fn reads_go_home_every_time_where_followers_answer_them() {
    let scripts = || [Some(vec![not_leader(Some(2))]), Some(vec![ok(r#"{"value":null}"#)])];
    for (mode, visited) in [("follower_local", [1, 2, 1, 2]), ("follower_read_index", [1, 2, 1, 2])] {
        let servers = serve(&scripts()).await;
        let client = client(&servers).reading(reading(&[("read_mode".into(), mode.into())]));
        for _ in 0..2 {
            client.call(ProcessId(4), &read()).await;
        }
        assert_eq!(servers.visited(), visited, "{mode}");
    }
    let servers = serve(&scripts()).await;
    calls(&servers, &[read(), read()]).await;
    assert_eq!(servers.visited(), [1, 2, 2], "where the leader answers them, it is remembered");
    let twice = ["follower_local", "log"].map(|mode| ("read_mode".to_owned(), mode.to_owned()));
    assert_eq!((reading(&[]), reading(&twice)), (Reading::WhereAnswered, Reading::WhereAnswered));
}

#[tokio::test]
async fn a_read_tells_the_highest_index_that_its_client_has_seen() {
    let value = || r#"{"value":null}"#.to_owned();
    let acts = vec![
        Act::Indexed(200, 7, "{}".into()),
        Act::Indexed(200, 5, value()),
        // Nobody was shown this state.
        Act::Indexed(503, 99, "{}".into()),
        Act::Indexed(200, 7, value()),
    ];
    let servers = serve(&[Some(acts)]).await;
    calls(&servers, &[write(), read(), read(), read()]).await;
    let requests = servers.requests();
    assert!(!requests[0].1.contains("raft-session-index"), "{}", requests[0].1);
    let told = [1, 2, 3].map(|n| header(&requests[n].1, "raft-session-index: "));
    assert_eq!(told, [7, 7, 7]);
}

#[tokio::test]
async fn a_client_that_goes_on_for_another_one_tells_what_that_has_seen() {
    let value = || r#"{"value":null}"#.to_owned();
    let servers = serve(&[Some(vec![Act::Indexed(200, 7, "{}".into())]), Some(vec![ok(&value())])]).await;
    let first = client(&servers);
    assert!(matches!(first.call(ProcessId(4), &write()).await.outcome, Outcome::Ok(_)));
    let second = RaftKvClient::new(&servers.members, NodeId(2), OP_TIMEOUT, servers.port);
    second.has_seen(first.seen());
    second.has_seen(3);
    second.call(ProcessId(4), &read()).await;
    assert_eq!(header(&servers.requests()[1].1, "raft-session-index: "), 7);
}

#[tokio::test]
async fn without_a_leader_everybody_is_asked_once() {
    let servers =
        serve(&[Some(vec![not_leader(None)]), Some(vec![not_leader(None)]), Some(vec![not_leader(None)])])
            .await;
    let ends = calls(&servers, &[write()]).await;
    assert_eq!(ends[0].outcome, Outcome::Failed("n3 does not lead, and knows no leader".into()));
    assert_eq!(servers.visited(), [1, 2, 3]);
}

#[tokio::test]
async fn two_nodes_that_point_at_each_other_end_the_call() {
    let servers = serve(&[Some(vec![not_leader(Some(2))]), Some(vec![not_leader(Some(1))])]).await;
    let ends = calls(&servers, &[write()]).await;
    assert!(is_failed(&ends[0]), "{ends:?}");
}

#[tokio::test]
async fn what_the_store_cannot_hold_is_not_sent() {
    let servers = serve(&[Some(vec![ok("{}")])]).await;
    let ends = calls(&servers, &[Op::Write { key: Key::new("r"), value: Value::Nil }]).await;
    assert_eq!(ends[0].outcome, Outcome::Failed("the store cannot hold nil".into()));
    assert!(servers.visited().is_empty());
}
