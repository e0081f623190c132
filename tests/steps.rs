//! Choreographies on real processes: every family of verbs, and what becomes of a run whose scenario does not come about.
//!
//! Each suite asserts what it relies on, so that a verb without effect ends its run inconclusive and fails the test.

mod support;

use support::{Place, json, json_lines};

/// A suite of three nodes under manual timers with these steps, and more rules in `rules`.
fn suite(system: &str, rules: &str, steps: &str) -> String {
    format!(
        "version: 1\nname: steps\nsystem:\n  use: raftkv\n  nodes: 3\n  data: memory\n{system}  rules: {{ preset: paper, \
         election_timer: manual{rules} }}\nprocedures:\n  elect:\n    takes: [node, term]\n    steps:\n      - campaign: \
         node\n      - wait: role(node) = leader@term\nsteps:\n  - call: elect\n    with: {{ node: n1, term: 1 }}\n{steps}\
         checks: [linearizable, lost-commits, election-safety, vote-once, log-matching, state-machine-safety]\n\
         expect: safe\n"
    )
}

fn passes(system: &str, rules: &str, steps: &str) {
    let place = Place::new();
    place.run(&suite(system, rules, steps), &[]).exits(0);
    let run = json(&place.only_run().join("run.json"));
    assert_eq!(run["end"], "complete");
}

#[test]
fn processes() {
    passes(
        "",
        "",
        "  - pause: n3
  - wait: paused(n3)
  - put: { at: n1, key: k, value: 1, expect: ok }
  - resume: n3
  - wait: running(n3) and last_log(n3) = last_log(n1)
  - stop: n2
  - wait: exited(n2) and role(n2) = down
  - start: { node: n2, rules: { pre_vote: full } }
  - wait: boots(n2) = 2 and applied(n2) = applied(n1)
  - for-each: { F: others(n1) }
    do:
      - restart: F
  - wait: converged()
  - get: { at: n1, key: k, sees: 1 }
",
    );
}

#[test]
fn twins() {
    passes(
        "  spares: 1\n",
        "",
        "  - put: { at: n1, key: k, value: 1, expect: ok }
  - wait: converged()
  - start-twin: { node: n4, of: n3, data: shared, expect: refused }
  - kill: n3
  - copy-data: { node: n3, to: clone }
  - restore-data: { node: n4, from: clone, of: n3 }
  - start: n3
  - start-twin: { node: n4, of: n3 }
  - assert: running(n3) and running(n4) and last_log(n4) = last_log(n3)
  - kill: n4
",
    );
}

#[test]
fn a_cluster_of_its_own() {
    let place = Place::new();
    let steps = "  - start: { node: n4, cluster: other, members: [n4] }
  - campaign: n4
  - wait: role(n4) = leader@1 and config(n4) = {n4}
  - assert: role(n1) = leader@1 and config(n1) = {n1, n2, n3}
";
    // To checks of the traces all hosts are one cluster, and it has two leaders of one term now.
    let text = suite("  spares: 1\n", "", steps).replace("election-safety, vote-once, ", "");
    place.run(&text, &[]).exits(0);
}

#[test]
fn writes_that_are_more_than_plain_ones() {
    let place = Place::new();
    let steps = "  - put: { at: n1, key: big, value: 7, bytes: 100000, expect: ok }
  - put: { at: n1, key: k, value: 1, ttl: 100ms, expect: ok }
    label: written
  - wait: elapsed(written) >= 150ms
  - get: { at: n1, key: k, sees: none }
  - poison: { at: n1, key: p, value: 1, only: n3, expect: ok }
  - wait: exited(n3)
";
    let text = suite("", ", read_mode: log", steps)
        .replace("linearizable, lost-commits, ", "")
        .replace("checks:", "finish: as-is\nchecks:")
        .replace("expect: safe", "expect: { behaviour: { occurs: exits, node: n3 } }");
    place.run(&text, &[]).exits(0);
}

#[test]
fn a_start_that_is_refused() {
    passes(
        "",
        "",
        "  - kill: n2
  - wipe: n2
  - start: { node: n2, expect: refused }
  - assert: refused_start(n2) and exited(n2)
  - put: { at: n1, key: k, value: 1, expect: ok }
",
    );
}

#[test]
fn links() {
    passes(
        "",
        ", read_mode: read_index",
        "  - partition: [[n1], [n2, n3]]
  - put: { at: n1, key: k, value: 1, expect: pending, as: w }
  - assert: pending(w)
  - partition: [[n1, n2], [n3]]
  - wait: acked(w) or unknown(w)
  - heal: n3
  - isolate: n1, n2
  - heal: n1 <-> n2
  - put: { at: n1, key: k, value: 2, expect: ok }
  - heal: all
  - cut: n1 <-> clients
  - put: { at: n1, key: k, value: 3, timeout: 200ms, expect: [failed, unknown] }
  - heal: n1
  - fault: { network: { target: n1, delay: 50ms } }
    label: slow
  - put: { at: n1, key: k, value: 4 }
  - heal: slow
  - wait: converged()
",
    );
}

#[test]
fn failpoints_and_syncs() {
    passes(
        "",
        "",
        "  - hold-fsync: n2
  - hold-fsync: n3
  - begin: { put: { at: n1, key: k, value: 1 }, as: w }
  - wait: held(n2, before_fsync) and held(n3, before_fsync)
  - wait: pending(w)
    for: 50ms
  - release-fsync: n2
  - wait: acked(w)
  - release-fsync: n3
  - crash-at: { node: n2, point: mid_apply }
  - put: { at: n1, key: k, value: 2, expect: ok }
  - wait: exited(n2)
  - start: n2
  - hold-at: { node: n3, point: wal_mid_record }
  - put: { at: n1, key: k, value: 3, expect: ok }
  - wait: held(n3)
  - release: n3
  - wait: converged()
",
    );
}

#[test]
fn messages() {
    passes(
        "",
        "",
        "  - hold-messages: { type: append-reply, from: n2, to: n1 }
    label: two
  - hold-messages: { type: append-reply, from: n3, to: n1 }
    label: three
  - begin: { put: { at: n1, key: k, value: 1 }, as: w }
  - wait: held_back(two) >= 1 and held_back(three) >= 1
  - wait: pending(w)
    for: 50ms
  - release-messages: two
  - wait: acked(w)
  - discard-messages: three
  - drop-messages: { type: request-vote, from: n2, to: n1 }
  - call: elect
    with: { node: n2, term: 2 }
  - wait: event(n2, role, role = leader, term = 2)
",
    );
}

#[test]
fn orders_and_members() {
    passes(
        "  spares: 1\n",
        ", membership: single",
        "  - put: { at: n1, key: k, value: 1, expect: ok }
  - snapshot: n1
  - wait: snapshot(n1) >= 1
  - start: n4
  - add-member: { at: n1, node: n4 }
  - wait: config(n1) = {n1, n2, n3, n4} and config_committed(n1)
  - wait: last_log(n4) = last_log(n1)
  - remove-member: { at: n1, node: n3 }
  - wait: config(n1) = {n1, n2, n4} and config_committed(n1)
  - transfer: { from: n1, to: n2 }
  - wait: role(n2) = leader@2 and leader() = n2
  - let:
      L: leader()
      t: term(L)
  - campaign: n1
  - wait: term(n1) > t
  - timers: armed
  - wait: leaders() != {}
",
    );
}

#[test]
fn an_order_that_nobody_can_carry_out_yet_begins_and_ends_later() {
    passes(
        "",
        ", membership: single",
        "  - isolate: n1
  - begin: { remove-member: { at: n1, node: n3 }, as: x }
  - wait: config(n1) = {n1, n2} and pending(x)
  - begin: { remove-member: { at: n1, node: n2 }, as: y }
  - wait: failed(y)
  - heal: all
  - wait: acked(x) and config_committed(n1)
",
    );
}

#[test]
fn a_client_tells_every_node_what_it_has_seen() {
    passes(
        "",
        ", read_mode: follower_local, session_index: on",
        "  - put: { at: n1, key: k, value: 1, client: c, expect: ok }
  - wait: applied(n3) = last_index(n1)
  - hold-messages: { type: append-entries, from: n1, to: n3 }
    label: h
  - put: { at: n1, key: k, value: 2, client: c, expect: ok }
  - begin: { get: { at: n3, key: k, client: c }, as: own }
  - wait: pending(own)
    for: 50ms
  - release-messages: h
  - wait: acked(own) and reply(own) = 2
",
    );
}

#[test]
fn clients_and_manual_timers_go_together() {
    let place = Place::new();
    let text = suite("", "", "  - wait: commit(n1) > 20\n").replace(
        "checks:",
        "workload: { kind: register, clients: 2, rate: 200/s, keys: 2, op-timeout: 500ms }\nchecks:",
    );
    place.run(&text, &[]).exits(0);
}

#[test]
fn faults_of_a_spare_host() {
    passes(
        "  spares: 1\n",
        "",
        "  - start: n4
  - let: { S: n4 }
  - fault: { pause: { target: S } }
    label: still
  - wait: paused(n4)
  - heal: still
  - wait: running(n4)
",
    );
}

#[test]
fn edits_of_what_is_stored() {
    passes(
        "",
        "",
        "  - put: { at: n1, key: k, value: 1, expect: ok }
  - wait: converged()
  - let: { i: last_index(n1) }
  - kill: [n1, n2, n3]
  - copy-data: { node: n3, to: before }
  - edit-hard-state: { node: n3, term: 7, voted-for: none }
  - start: n3
  - wait: term(n3) = 7 and voted_for(n3) = none and last_index(n3) = i
  - kill: n3
  - restore-data: { node: n3, from: before }
  - start: [n1, n2, n3]
  - wait: term(n3) = 1
  - call: elect
    with: { node: n1, term: 2 }
  - get: { at: n1, key: k, sees: 1 }
",
    );
}

#[test]
fn power_failures() {
    passes(
        "",
        "",
        "  - put: { at: n1, key: k, value: 1, expect: ok }
  - wait: last_log(n2) = last_log(n1)
  - power-loss: nodes()
  - start: nodes()
  - call: elect
    with: { node: n2, term: 2 }
  - get: { at: n2, key: k, sees: 1 }
",
    );
}

#[test]
fn a_power_failure_takes_what_sockets_had_not_sent() {
    passes(
        "",
        ", noop_on_election: false",
        "  - put: { at: n1, key: k, value: 1, expect: ok }
  - wait: last_log(n2) = 1/1 and last_log(n3) = 1/1
  - cut: n1 <-> n2, n3
    label: cut
  - begin: { put: { at: n1, key: k, value: 2 }, as: w }
  - wait: last_log(n1) = 2/1 and durable(n1) = 2
  - power-loss: n1
  - heal: all
    label: healed
  - wait: last_log(n2) != 1/1 or last_log(n3) != 1/1
    within: 2s
    then:
      - assert: elapsed(cut) < 0s
    else: []
  - start: n1
  - assert: last_log(n1) = 2/1
  - call: elect
    with: { node: n2, term: 2 }
  - put: { at: n2, key: k, value: 3, expect: ok }
  - wait: last_log(n1) = last_log(n2)
",
    );
}

#[test]
fn a_step_that_does_not_come_about_makes_a_run_inconclusive_and_is_named() {
    let place = Place::new();
    let text = suite("", "", "  - wait: role(n2) = leader@9\n    within: 100ms\n  - kill: n1\n");
    let done = place.run(&text, &[]).exits(2);
    let done = done.prints("INCONCLUSIVE").prints(":17: `wait: role(n2) = leader@9`");
    done.prints("n1: leader@1").prints("role(n2) is follower@1");
    let run = place.only_run();
    let steps = json_lines(&run.join("steps.jsonl"));
    assert_eq!(steps.last().expect("a story")["came"], "missed");
    assert_eq!(json(&run.join("run.json"))["end"], "missed");
    let judged = json(&run.join("verdict.json"));
    assert_eq!(judged["exit"], "inconclusive");
    // Judged once more it is the same.
    support::check(&run).exits(2).prints("INCONCLUSIVE");
}

#[test]
fn steps_go_on_beside_clients() {
    let place = Place::new();
    // The first step is a deed: it must not be taken, and lost, while the clients still warm the cluster up.
    let steps = "  - timers: armed\n  - wait: commit(n1) > 20\n  - isolate: n3\n  - wait: commit(n1) > 60\n";
    let text = suite("", "", steps)
        .replace("steps:\n  - call: elect\n    with: { node: n1, term: 1 }\n", "steps:\n")
        .replace("procedures:\n  elect:\n    takes: [node, term]\n    steps:\n      - campaign: node\n      - wait: role(node) = leader@term\n", "")
        .replace("election_timer: manual", "election_timer: random")
        .replace("commit(n1)", "commit(leader())")
        .replace("checks:", "workload: { kind: register, clients: 4, rate: 200/s, keys: 2, op-timeout: 500ms }\nchecks:");
    place.run(&text, &[]).exits(0);
    let judged = json(&place.only_run().join("verdict.json"));
    assert!(judged["calls"]["ok"].as_u64() > Some(40), "{}", judged["calls"]);
}
