//! The laws of single nodes and of configurations, on traces that just break each and just do not.

use super::*;

#[test]
fn terms_never_fall() {
    let forgotten = "n1 0 boot boot=1
                     n1 3 vote to=n2
                     n1 0 boot boot=2";
    assert_violated(&on_trace("term-monotonic", forgotten), "the term of n1 fell from 3 to 0");
    let running = "n1 0 boot boot=1
                   n1 3 term
                   n1 2 role role=follower";
    assert_violated(&on_trace("term-monotonic", running), "fell from 3 to 2");
    let durable = "n1 0 boot boot=1
                   n1 4 fsync index=0 hard_state=true
                   n1 3 boot boot=2";
    assert_violated(&on_trace("term-monotonic", durable), "fell from 4 to 3");
    for fine in [
        // Only in memory, and nobody heard of it.
        "n1 0 boot boot=1\nn1 3 term\nn1 0 boot boot=2",
        "n1 0 boot boot=1\nn1 4 fsync index=3 hard_state=false\nn1 3 boot boot=2",
        // What became durable is told late.
        "n1 0 boot boot=1\nn1 4 term\nn1 3 vote to=n2\nn1 3 ack to=n2 index=1\nn1 4 boot boot=2",
        "n1 3 term\nn2 1 term",
    ] {
        assert_holds(&on_trace("term-monotonic", fine));
    }
}

#[test]
fn leaders_keep_their_logs() {
    let removes = "n1 2 role role=leader
                   n1 2 truncate from=3";
    assert_violated(
        &on_trace("leader-append-only", removes),
        "removed its log from index 3 on while it led term 2",
    );
    for fine in [
        "n1 2 role role=leader\nn1 3 truncate from=3",
        "n1 2 role role=leader\nn1 2 role role=follower\nn1 2 truncate from=3",
        "n1 2 role role=leader\nn1 2 boot boot=2\nn1 2 truncate from=3",
        "n1 2 role role=leader\nn2 2 truncate from=3",
    ] {
        assert_holds(&on_trace("leader-append-only", fine));
    }
}

#[test]
fn roles_change_as_in_figure_4() {
    for (broken, words) in [
        ("n1 0 boot boot=1\nn1 1 role role=leader", "leads term 1 without having stood"),
        ("n1 0 boot boot=1\nn1 1 role role=candidate\nn1 2 role role=leader", "stood for election in term 1"),
        ("n1 1 role role=leader\nn1 2 role role=candidate", "without having stopped to lead term 1"),
        ("n1 1 role role=pre_candidate\nn1 1 role role=leader", "without having stood"),
    ] {
        assert_violated(&on_trace("role-transitions", broken), words);
    }
    let fine = "n1 0 boot boot=1
                n1 0 role role=pre_candidate
                n1 1 role role=candidate
                n1 2 role role=candidate
                n1 2 role role=leader
                n1 3 role role=follower
                n1 4 role role=candidate
                n1 4 boot boot=2
                n1 5 role role=candidate
                n1 5 role role=follower";
    assert_holds(&on_trace("role-transitions", fine));
    // What came before the first line is not known.
    assert_holds(&on_trace("role-transitions", "n1 3 role role=leader"));
}

#[test]
fn acknowledged_is_durable() {
    let early = "n2 0 boot boot=1
                 n2 1 append entries=1/1/a,2/1/b
                 n2 1 fsync index=1
                 n2 1 ack to=n1 index=2";
    assert_violated(&on_trace("durable-before-ack", early), "n2 vouches for its log up to index 2");
    let own = "n1 0 boot boot=1
               n1 1 append entries=1/1/a
               n1 1 commit index=1 entry_term=1 acks=n1,n2";
    assert_violated(&on_trace("durable-before-ack", own), "only nothing is durable");
    let removed = "n2 1 boot boot=1 last_index=3 last_term=1
                   n2 2 truncate from=3
                   n2 2 append entries=3/2/c
                   n2 2 ack to=n1 index=3";
    assert_violated(&on_trace("durable-before-ack", removed), "up to index 2 is durable");
    for fine in [
        "n2 0 boot boot=1\nn2 1 fsync index=2\nn2 1 ack to=n1 index=2",
        "n2 1 boot boot=2 last_index=2 last_term=1\nn2 1 ack to=n1 index=2",
        "n2 1 boot boot=2\nn2 1 snapshot state=installed index=7 entry_term=1\nn2 1 ack to=n1 index=7",
        // The leader was not counted, and a follower counts nobody.
        "n1 0 boot boot=1\nn1 1 commit index=1 entry_term=1 acks=n2,n3\nn1 1 commit index=2 entry_term=1",
        // Acknowledged before the removal, told behind it.
        "n2 1 boot boot=1 last_index=3 last_term=1\nn2 2 truncate from=3\nn2 1 ack to=n1 index=3",
        // The start was not seen.
        "n2 1 ack to=n1 index=2",
    ] {
        assert_holds(&on_trace("durable-before-ack", fine));
    }
}

const THREE: &str = "n1 0 boot boot=1 members=n1,n2,n3
                     n2 0 boot boot=1 members=n1,n2,n3
                     n3 0 boot boot=1 members=n1,n2,n3
                     n1 1 role role=leader
                     ";

#[test]
fn a_commit_has_a_majority_of_acknowledgements() {
    let alone = format!("{THREE}n2 1 ack to=n1 index=1\nn1 1 commit index=2 entry_term=1 acks=n1,n2");
    assert_violated(
        &on_trace("commit-has-quorum", &alone),
        "n1 committed index 2 in term 1, and of n1, n2, n3 only n1",
    );
    for fine in [
        "n2 1 ack to=n1 index=2\nn1 1 commit index=2 entry_term=1",
        // The lines of two nodes have no order.
        "n1 1 commit index=2 entry_term=1\nn3 1 ack to=n1 index=5",
        // A follower's word is the leader's.
        "n2 1 commit index=9 entry_term=1",
    ] {
        assert_holds(&on_trace("commit-has-quorum", &format!("{THREE}{fine}")));
    }
    for broken in ["n2 2 ack to=n1 index=2", "n2 1 ack to=n3 index=2"] {
        let lines = format!("{THREE}{broken}\nn1 1 commit index=2 entry_term=1");
        assert_violated(&on_trace("commit-has-quorum", &lines), "only n1 had it");
    }
}

#[test]
fn a_joint_configuration_needs_both_majorities() {
    let joint = "n1 1 config index=2 members=n1,n4,n5 outgoing=n1,n2,n3 state=append
                 n4 1 boot boot=1 members=n1
                 n5 1 boot boot=1 members=n1
                 n2 1 ack to=n1 index=2
                 n1 1 commit index=2 entry_term=1";
    // A majority of the configuration before it is enough where configurations count once they are committed.
    assert_violated(
        &on_trace("commit-has-quorum", &format!("{THREE}{joint}")),
        "n1, n4, n5 and before n1, n2, n3",
    );
    assert_holds(&on_trace("commit-has-quorum", &format!("{THREE}n4 1 ack to=n1 index=2\n{joint}")));
    let committed = format!("{THREE}n1 1 config index=1 members=n1,n2,n3 state=commit\n{joint}");
    assert_holds(&on_trace("commit-has-quorum", &committed));
}

#[test]
fn neighbours_in_the_log_share_a_node() {
    let change = |from: &str, to: &str| {
        format!(
            "n1 1 config index=1 members={from} state=append\nn1 1 config index=2 members={to} state=append"
        )
    };
    let on = |from: &str, to: &str| on_trace("quorum-overlap", &change(from, to));
    assert_violated(
        &on("n1,n2,n3", "n1,n2,n3,n4,n5"),
        "n1, n2 decide for the old configuration, and n3, n4, n5 for the new",
    );
    assert_violated(&on("n1", "n2"), "n1 decide for the old configuration, and n2");
    for (from, to) in
        [("n1,n2,n3", "n1,n2,n3,n4"), ("n1,n2,n3,n4", "n1,n2,n3"), ("n1", "n1,n2"), ("n1,n2", "n2")]
    {
        assert_holds(&on(from, to));
    }
    let joint = "n1 1 config index=1 members=n1,n2,n3 state=append
                 n1 1 config index=2 members=n3,n4,n5 outgoing=n1,n2,n3 state=append
                 n1 1 config index=3 members=n3,n4,n5 state=append";
    assert_holds(&on_trace("quorum-overlap", joint));
    // What was rolled back is no neighbour of what came instead.
    let back = "n1 1 config index=1 members=n1,n2,n3,n4 state=append
                n1 1 config index=2 members=n1,n2,n3,n4,n5 state=append
                n1 2 config index=1 members=n1,n2,n3,n4 state=rollback
                n1 2 config index=2 members=n1,n2,n3 state=append";
    assert_holds(&on_trace("quorum-overlap", back));
    // The first node of the new configuration lost it with its power, and started with the joint one again.
    let started = |outgoing: &str| {
        format!(
            "n1 1 config index=2 members=n3,n4,n5 outgoing=n1,n2,n3 state=append
             n1 1 config index=3 members=n3,n4,n5 state=append
             n1 1 boot boot=2 last_index=2 last_term=1 members=n3,n4,n5{outgoing}
             n1 2 config index=4 members=n4,n5,n6 state=append"
        )
    };
    assert_holds(&on_trace("quorum-overlap", &started(" outgoing=n1,n2,n3").replace("n4,n5,n6", "n3,n4,n5")));
    assert_violated(&on_trace("quorum-overlap", &started("").replace("n4,n5,n6", "n1,n2,n6")), "n3, n4");
}

#[test]
fn a_lease_ends_before_another_leads() {
    // One line is one millisecond, and the answers have to lie 100 ms apart.
    let between = "n3 2 commit index=1\n".repeat(120);
    let lease = |first: &str, second: &str| format!("n2 2 role role=leader\n{first}\n{between}{second}");
    let answer = "n1 1 read mode=lease index=3";
    assert_violated(
        &on_trace("lease-overlap", &lease(answer, answer)),
        "n1 answers reads by its lease of term 1 while n2 leads",
    );
    for fine in [
        lease(answer, "n1 1 read mode=read_index index=3"),
        lease(answer, "n2 2 read mode=lease index=3"),
        lease("n1 3 read mode=lease index=3", "n1 3 read mode=lease index=3"),
        // Both lines may have been written late.
        format!("n2 2 role role=leader\n{answer}\n{answer}"),
    ] {
        assert_holds(&on_trace("lease-overlap", &fine));
    }
}
