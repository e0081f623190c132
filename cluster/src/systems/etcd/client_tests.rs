//! What the client of etcd makes of answers, also of those that never come.

use serde_json::json;

use super::super::super::wire_test::{Act, Servers, serve};
use super::*;

const OP_TIMEOUT: Duration = Duration::from_millis(600);

fn ok(body: Json) -> Act {
    Act::Answer(200, body.to_string())
}

fn write() -> Op {
    Op::Write { key: Key::new("r1"), value: Value::Int(7) }
}

fn read() -> Op {
    Op::Read { key: Key::new("r1") }
}

fn append() -> Op {
    Op::Append { key: Key::new("l"), value: Value::Int(2) }
}

fn empty() -> Act {
    ok(json!({ "header": {} }))
}

fn lost_txn() -> Act {
    // The list ["1"], in base64.
    let kv = json!({ "key": "bA==", "mod_revision": "5", "value": "WyIxIl0=" });
    ok(json!({ "header": {}, "responses": [{ "response_range": { "kvs": [kv] } }] }))
}

async fn call(servers: &Servers, op: &Op) -> Outcome {
    EtcdClient::new(&servers.members, NodeId(1), OP_TIMEOUT, servers.port)
        .call(ProcessId(0), op)
        .await
        .outcome
}

#[tokio::test]
async fn what_may_have_had_an_effect_is_unknown() {
    let leader_changed = Act::Answer(503, r#"{"error":"etcdserver: leader changed","code":14}"#.into());
    let acts = [
        leader_changed,
        Act::Answer(408, String::new()),
        Act::CloseAfterRequest,
        Act::Hang,
        ok(json!({})),
        ok(json!("x")),
    ];
    for act in acts {
        let servers = serve(&[Some(vec![act.clone()]), Some(vec![empty()])]).await;
        let outcome = call(&servers, &write()).await;
        assert!(matches!(outcome, Outcome::Unknown(_)), "{act:?}: {outcome:?}");
        let outcome = call(&servers, &read()).await;
        assert!(matches!(outcome, Outcome::Failed(_)), "{act:?}: {outcome:?}");
        assert_eq!(servers.visited(), [1, 1], "{act:?}");
    }
}

#[tokio::test]
async fn a_node_that_is_down_is_passed_over() {
    // Only node 2 listens; the call begins at node 1.
    let servers = serve(&[None, Some(vec![empty()])]).await;
    assert_eq!(call(&servers, &write()).await, Outcome::Ok(Reply::Done));
    assert_eq!(servers.visited(), [2]);
}

#[tokio::test]
async fn an_append_tries_again_only_after_a_lost_comparison() {
    let won = ok(json!({ "header": {}, "succeeded": true }));
    let servers = serve(&[Some(vec![empty(), lost_txn(), won])]).await;
    assert_eq!(call(&servers, &append()).await, Outcome::Ok(Reply::Done));
    let requests = servers.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests[1].1.contains("\"mod_revision\":\"0\""), "{}", requests[1].1);
    assert!(requests[2].1.contains("\"mod_revision\":\"5\""), "{}", requests[2].1);
    // ["1","2"] in base64.
    assert!(requests[2].1.contains("WyIxIiwiMiJd"), "{}", requests[2].1);
}

#[tokio::test]
async fn an_append_whose_transaction_is_unclear_is_unknown_and_whose_read_is_unclear_is_not() {
    let error = || Act::Answer(503, String::new());
    let servers = serve(&[Some(vec![empty(), error(), lost_txn()])]).await;
    assert!(matches!(call(&servers, &append()).await, Outcome::Unknown(_)));
    assert_eq!(servers.visited().len(), 2);
    let servers = serve(&[Some(vec![error()])]).await;
    assert!(matches!(call(&servers, &append()).await, Outcome::Failed(_)));
}

#[tokio::test]
async fn an_append_that_always_loses_ends_in_time_without_effect() {
    let servers = serve(&[Some(vec![lost_txn()])]).await;
    // The first answer is read as that of a range without a key.
    let started = Instant::now();
    let outcome = call(&servers, &append()).await;
    assert!(matches!(outcome, Outcome::Failed(_) | Outcome::Unknown(_)), "{outcome:?}");
    assert!(started.elapsed() < OP_TIMEOUT * 2);
}
