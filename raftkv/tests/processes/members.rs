//! A cluster of real processes grows from three to five and shrinks again, under writes.

use crate::cluster::{Cluster, request, until};
use serde_json::{Value, json};

/// The node that leads, in the highest term that anybody leads in.
fn leader(cluster: &Cluster) -> Option<u8> {
    let leads = |id| {
        let status = cluster.status(id)?;
        (status["role"] == "leader").then(|| (status["term"].as_u64().unwrap_or(0), id))
    };
    cluster.ids().filter_map(leads).max().map(|(_, id)| id)
}

/// Asks whoever leads until the answer is yes; the members are then as ordered.
fn change(cluster: &Cluster, order: &Value, members: &[u8]) {
    let names: Vec<String> = members.iter().map(|id| format!("n{id}")).collect();
    until(&format!("{order}"), || {
        let leader = leader(cluster)?;
        let status = cluster.status(leader)?;
        let settled = status["config_committed"] == true && status["learners"] == json!([]);
        if settled && status["members"] == json!(names) {
            return Some(());
        }
        request(cluster.addresses.client(leader), "POST", "/control/members", &[], &order.to_string());
        None
    });
}

fn write(cluster: &Cluster, key: &str) {
    until(&format!("a write of {key}"), || {
        let leader = leader(cluster)?;
        let answer = request(cluster.addresses.client(leader), "PUT", &format!("/kv/{key}"), &[], "1")?;
        (answer.status == 200).then_some(())
    });
}

/// Every one of these nodes has applied what the leader has.
fn all_have(cluster: &Cluster, members: &[u8], keys: u64) {
    until(&format!("{keys} keys on n{members:?}"), || {
        let has = |&id: &u8| cluster.status(id).is_some_and(|status| status["keys"] == keys);
        members.iter().all(has).then_some(())
    });
}

#[test]
fn a_cluster_grows_and_shrinks() {
    let mut cluster = Cluster::new(5);
    cluster.first = 3;
    cluster.extra = vec!["--control".to_owned()];
    (1..=5).for_each(|id| cluster.start(id));
    write(&cluster, "a");

    let add =
        |id: u8| json!({ "add": { "node": format!("n{id}"), "address": cluster.addresses.client(id).ip() } });
    change(&cluster, &add(4), &[1, 2, 3, 4]);
    write(&cluster, "b");
    change(&cluster, &add(5), &[1, 2, 3, 4, 5]);
    write(&cluster, "c");
    all_have(&cluster, &[1, 2, 3, 4, 5], 3);

    // A leader that came later is found by clients of the others as well.
    until("n5 leads, and the others say where it is", || {
        let leader = leader(&cluster)?;
        if leader != 5 {
            let order = json!({ "to": "n5" }).to_string();
            request(cluster.addresses.client(leader), "POST", "/control/transfer", &[], &order);
            return None;
        }
        let hint =
            |id| request(cluster.addresses.client(id), "PUT", "/kv/c", &[], "1").map(|hint| hint.json());
        let at = json!(cluster.addresses.client(5).to_string());
        let known = |id| cluster.status(id).is_some_and(|status| status["leader_addr"] == at);
        (1..=4).all(|id| known(id) && hint(id).is_some_and(|hint| hint["addr"] == at)).then_some(())
    });

    // The leader goes first: the others elect one that was not there at the beginning, or was.
    let first = leader(&cluster).unwrap_or(1);
    let rest: Vec<u8> = (1..=5).filter(|&id| id != first).collect();
    change(&cluster, &json!({ "remove": format!("n{first}") }), &rest);
    write(&cluster, "d");
    let second = rest[0];
    let last: Vec<u8> = rest[1..].to_vec();
    change(&cluster, &json!({ "remove": format!("n{second}") }), &last);
    write(&cluster, "e");
    all_have(&cluster, &last, 5);
}
