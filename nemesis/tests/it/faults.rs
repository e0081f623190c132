//! Each fault on its own: what it chooses, what it does, what it proves, and how its undoing ends.

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::disk::{DiskEdit, Survival};
use cluster::edit::DataEdit;
use cluster::levers::{Connections, Endpoint, LeverError, Link, LinkRule, ProcessState};
use cluster::messages::{
    MessageAction, MessageFilter, MessageKind, MessageOrder, MessagePick, MessageRule, MessageState,
    RuleState,
};
use cluster::order::{MemberChange, Order, Part};
use cluster::system::{FileEdit, NodeId};
use nemesis::baseline::{Difference, verify_baseline};
use nemesis::claims::{Claims, FaultId};
use nemesis::fault::{Choice, Injection};
use nemesis::nemesis::{Ended, Nemesis, NemesisError};
use nemesis::shape::node_link;
use nemesis::stream::stream;
use nemesis::target::{Effect, Target};

use crate::model::Model;
use crate::params::fault;

pub(crate) const ONE: FaultId = FaultId(1);

pub(crate) fn nemesis(nodes: u16) -> (Arc<Model>, Nemesis) {
    let model = Arc::new(Model::new(nodes));
    let nemesis = Nemesis::new(model.clone(), Box::new(std::io::sink())).expect("a sink takes everything");
    (model, nemesis)
}

pub(crate) fn choose(entry: &str, model: &Model, active: Claims, seed: u64) -> Choice {
    let nodes = model.state().processes.len();
    fault(entry, nodes).choose(&model.picture(active), &mut stream(seed, "target"))
}

pub(crate) fn target(entry: &str, model: &Model) -> Target {
    match choose(entry, model, Claims::default(), 7) {
        Choice::Target(target) => target,
        Choice::Skipped(why) => panic!("{entry} was skipped: {why}"),
    }
}

/// Installs a fault as number 1 on an unharmed cluster.
pub(crate) async fn install(entry: &str, model: &Model, nemesis: &Nemesis) -> Injection {
    nemesis.begin(ONE, "under test", target(entry, model)).expect("nothing else is active");
    let nodes = model.state().processes.len();
    nemesis.inject(ONE, fault(entry, nodes).as_ref()).await.expect("it has begun")
}

pub(crate) fn proof(injection: Injection) -> String {
    match injection {
        Injection::Installed(installed) => installed.proof,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn seen(ended: &Ended) -> &str {
    match &ended.effect {
        Effect::Seen(what) => what,
        Effect::None(why) => panic!("no effect: {why}"),
    }
}

#[tokio::test]
async fn kill_takes_the_leader_down_and_brings_it_back() {
    let (model, nemesis) = nemesis(3);
    let injection = install("kill: { target: leader }", &model, &nemesis).await;
    assert_eq!(proof(injection), "n1 killed and reaped");
    assert_eq!(verify_baseline(model.as_ref()), [Difference::Process(NodeId(1), ProcessState::Down)]);
    let ended = nemesis.undo(ONE).await.expect("undone");
    assert_eq!(seen(&ended), "n1 still down at the end");
    assert!(verify_baseline(model.as_ref()).is_empty() && nemesis.active().is_empty());
}

#[tokio::test]
async fn pause_is_shown_by_the_kernel_at_both_ends() {
    let (model, nemesis) = nemesis(5);
    let injection = install("pause: { target: minority }", &model, &nemesis).await;
    assert!(proof(injection).starts_with("the kernel shows n"));
    assert_eq!(model.out(), 2);
    let ended = nemesis.undo(ONE).await.expect("undone");
    assert!(seen(&ended).ends_with("still paused at the end"));
    assert_eq!(model.out(), 0);
}

#[tokio::test]
async fn a_pause_that_somebody_else_ended_is_reported_as_without_effect() {
    let (model, nemesis) = nemesis(3);
    install("pause: { target: n2 }", &model, &nemesis).await;
    model.state().processes.insert(NodeId(2), ProcessState::Running);
    let ended = nemesis.undo(ONE).await.expect("undone");
    assert_eq!(ended.effect, Effect::None("n2 not paused at the end".to_owned()));
}

#[tokio::test]
async fn a_paused_node_that_died_is_left_for_the_report() {
    let (model, nemesis) = nemesis(3);
    install("pause: { target: n2 }", &model, &nemesis).await;
    model.state().processes.insert(NodeId(2), ProcessState::Down);
    let healed = nemesis.heal().await;
    assert!(healed.broken.is_empty());
    assert_eq!(healed.differences, [Difference::Process(NodeId(2), ProcessState::Down)]);
}

#[tokio::test(start_paused = true)]
async fn stop_never_kills_and_says_so_when_a_node_does_not_end() {
    let (model, nemesis) = nemesis(3);
    assert_eq!(proof(install("stop: { target: n3 }", &model, &nemesis).await), "n3 ended after SIGTERM");
    nemesis.undo(ONE).await.expect("undone");
    model.state().stubborn.insert(NodeId(3));
    let injection = install("stop: { target: n3, grace: 3s }", &model, &nemesis).await;
    assert_eq!(injection, Injection::Indeterminate("n3 did not end within 3s after SIGTERM".to_owned()));
    assert_eq!(model.out(), 0);
    assert_eq!(nemesis.active().len(), 1, "it may still end");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_ends_late_is_healed() {
    let (model, nemesis) = nemesis(3);
    model.state().stubborn.insert(NodeId(3));
    install("stop: { target: n3 }", &model, &nemesis).await;
    nemesis.undo(ONE).await.expect("undone");
    model.state().processes.insert(NodeId(3), ProcessState::Down);
    let healed = nemesis.heal().await;
    assert!(healed.differences.is_empty() && healed.broken.is_empty());
}

#[tokio::test]
async fn the_files_are_edited_while_the_node_is_down_and_the_proof_is_the_edits_own() {
    for (entry, edit) in [
        ("truncate-log: { target: n2, entries: 4 }", FileEdit::TruncateLog { entries: 4 }),
        ("lose-vote: { target: n2 }", FileEdit::LoseVote),
    ] {
        let (model, nemesis) = nemesis(3);
        let proof = proof(install(entry, &model, &nemesis).await);
        assert_eq!(proof, format!("n2: edited by {edit:?}"));
        assert_eq!(model.state().edits, [(NodeId(2), edit)]);
        assert_eq!(model.out(), 1);
        nemesis.undo(ONE).await.expect("undone");
        assert_eq!(model.out(), 0);
    }
}

#[tokio::test]
async fn the_power_of_all_nodes_fails_and_each_disk_loses_something_of_its_own() {
    let (model, nemesis) = nemesis(3);
    let entry = "power-failure: { target: all, unsynced: some, keep: 25%, torn: 100% }";
    let proof = proof(install(entry, &model, &nemesis).await);
    assert_eq!(proof, "n1: some pages were lost; n2: some pages were lost; n3: some pages were lost");
    let survival = Survival::Some { keep_ppm: 250_000, torn_ppm: 1_000_000 };
    let edits = model.state().disk_edits.clone();
    assert!(edits.iter().all(|(_, edit, _)| *edit == DiskEdit::PowerFailure { survival }));
    let seeds: BTreeSet<u64> = edits.iter().map(|(_, _, seed)| *seed).collect();
    assert_eq!((seeds.len(), model.out()), (3, 3));
    nemesis.undo(ONE).await.expect("undone");
    assert_eq!(model.out(), 0);
}

#[tokio::test]
async fn a_disk_in_trouble_is_sound_again_and_its_node_started_if_that_ended_it() {
    let (model, nemesis) = nemesis(3);
    install("disk-error: { target: n2, errors: 1 }", &model, &nemesis).await;
    let differences = verify_baseline(model.as_ref());
    assert!(matches!(differences[..], [Difference::Disk(NodeId(2), _)]), "{differences:?}");
    {
        let mut state = model.state();
        state.disks.entry(NodeId(2)).or_default().stats.sync_errors = 1;
        state.processes.insert(NodeId(2), ProcessState::Down);
    }
    let ended = nemesis.undo(ONE).await.expect("undone");
    assert_eq!(seen(&ended), "1 syncs failed with EIO");
    assert!(verify_baseline(model.as_ref()).is_empty());
}

#[tokio::test]
async fn a_trouble_that_met_no_request_says_so() {
    let (model, nemesis) = nemesis(3);
    install("disk-full: { target: n2 }", &model, &nemesis).await;
    let ended = nemesis.undo(ONE).await.expect("undone");
    let why = "none of the 0 requests to the disk was touched".to_owned();
    assert_eq!(ended.effect, Effect::None(why));
}

#[tokio::test]
async fn an_edit_that_fails_leaves_an_indeterminate_fault_that_is_healed() {
    let (model, nemesis) = nemesis(5);
    model.state().unreadable.insert(NodeId(2));
    let injection = install("truncate-log: { target: all }", &model, &nemesis).await;
    let Injection::Indeterminate(why) = injection else { panic!("{injection:?}") };
    assert!(why.contains("n2 was killed, but its files could not be edited: bad checksum"), "{why}");
    assert!(why.contains("n5: edited"), "{why}");
    assert!(nemesis.heal().await.differences.is_empty());
}

#[tokio::test]
async fn a_node_that_died_before_its_fault_makes_it_skipped_and_nothing_stays_active() {
    let (model, nemesis) = nemesis(3);
    nemesis.begin(ONE, "kill", target("kill: { target: n2 }", &model)).expect("begun");
    model.state().processes.insert(NodeId(2), ProcessState::Down);
    let injection = nemesis.inject(ONE, fault("kill: { target: n2 }", 3).as_ref()).await.expect("begun");
    assert_eq!(injection, Injection::Skipped("n2: n2 is down".to_owned()));
    assert!(nemesis.active().is_empty());
    assert!(matches!(nemesis.undo(ONE).await, Err(NemesisError::NotActive(ONE))));
}

#[tokio::test]
async fn a_fault_that_reached_only_some_of_its_nodes_stays_active_until_it_is_undone() {
    let (model, nemesis) = nemesis(5);
    nemesis.begin(ONE, "pause", Target::Paused(vec![NodeId(2), NodeId(3)])).expect("begun");
    model.state().processes.insert(NodeId(2), ProcessState::Down);
    let injection =
        nemesis.inject(ONE, fault("pause: { target: minority }", 5).as_ref()).await.expect("begun");
    assert_eq!(injection, Injection::Indeterminate("n2: n2 is down".to_owned()));
    assert_eq!(nemesis.active().len(), 1);
    let ended = nemesis.undo(ONE).await.expect("undone");
    assert_eq!(seen(&ended), "n3 still paused at the end, n2 no longer");
    assert_eq!(verify_baseline(model.as_ref()), [Difference::Process(NodeId(2), ProcessState::Down)]);
}

#[tokio::test]
async fn a_fault_that_was_undone_before_its_injection_began_never_moves_a_lever() {
    let (model, nemesis) = nemesis(3);
    let kill = fault("kill: { target: n2 }", 3);
    nemesis.begin(ONE, "kill", target("kill: { target: n2 }", &model)).expect("begun");
    let moves = model.state().moves;
    nemesis.heal().await;
    assert!(matches!(nemesis.inject(ONE, kill.as_ref()).await, Err(NemesisError::NotActive(ONE))));
    assert_eq!(model.state().moves, moves);
    assert_eq!(model.out(), 0);
}

#[tokio::test]
async fn a_partition_counts_the_frames_that_it_dropped() {
    let (model, nemesis) = nemesis(3);
    model.traffic();
    proof(install("partition: { shape: isolate, target: n3 }", &model, &nemesis).await);
    model.traffic();
    model.traffic();
    let ended = nemesis.undo(ONE).await.expect("undone");
    assert_eq!(seen(&ended), "8 frames dropped on 4 of 4 links");
    assert!(ended.undone.effective.is_some());
    assert!(model.dropping().is_empty());
}

#[tokio::test]
async fn a_partition_that_nobody_noticed_is_reported_as_without_effect() {
    let (model, nemesis) = nemesis(3);
    install("partition: { shape: isolate-leader }", &model, &nemesis).await;
    let ended = nemesis.undo(ONE).await.expect("undone");
    let Effect::None(why) = ended.effect else { panic!("{:?}", ended.effect) };
    assert!(why.contains("nobody tried to use them"), "{why}");
}

#[test]
fn each_shape_cuts_what_it_says() {
    let model = Model::new(5);
    let links = |entry: &str| -> BTreeSet<_> {
        let Target::Links(cut) = target(entry, &model) else { panic!("{entry}") };
        assert!(cut.rules.iter().all(|(_, rule)| *rule == LinkRule::Drop));
        cut.rules.into_iter().map(|(link, _)| link).collect()
    };
    assert_eq!(links("partition: { shape: majority }").len(), 2 * 3 * 2);
    assert_eq!(links("partition: { shape: bridge }").len(), 2 * 2 * 2);
    assert_eq!(links("partition: { shape: ring }").len(), 2 * 5);
    assert_eq!(
        links("partition: { shape: isolate-leader }"),
        links("partition: { shape: isolate, target: n1 }")
    );
    assert_eq!(links("partition: { shape: isolate, target: leader }").len(), 2 * 4);
    assert_eq!(links("partition: { shape: one-way, direction: incoming, target: n2 }").len(), 4);
    assert_eq!(links("partition: { shape: clients, target: all }").len(), 2 * 5);
    let from_two = |to: u16| node_link(NodeId(2), NodeId(to));
    let outgoing = links("partition: { shape: one-way, direction: outgoing, target: n2 }");
    assert_eq!(outgoing, [1, 3, 4, 5].map(from_two).into());
}

#[test]
fn clients_stay_or_go_with_the_majority() {
    let model = Model::new(5);
    let stranded = |entry: &str| -> BTreeSet<NodeId> {
        let Target::Links(cut) = target(entry, &model) else { panic!("{entry}") };
        cut.rules
            .iter()
            .filter_map(|(link, _)| match (link.from, link.to) {
                (Endpoint::Clients, Endpoint::Node(node)) => Some(node),
                _ => None,
            })
            .collect()
    };
    assert!(stranded("partition: { shape: isolate-leader }").is_empty());
    let with_majority = |shape: &str| {
        stranded(&format!("partition: {{ shape: {shape}, clients: with-majority, target: n4 }}"))
    };
    assert_eq!(with_majority("isolate-leader"), [NodeId(1)].into());
    assert_eq!(with_majority("isolate"), [NodeId(4)].into());
    assert_eq!(with_majority("one-way"), [NodeId(4)].into());
    assert_eq!(with_majority("majority").len(), 2);
    assert!(with_majority("ring").is_empty());
    assert!(with_majority("bridge").is_empty(), "with five nodes both halves reach three through the middle");
}

#[test]
fn one_shape_of_the_list_is_drawn_for_each_injection_and_a_seed_repeats_it() {
    let model = Model::new(5);
    let entry = "partition: { shape: [majority, isolate, one-way, bridge, ring] }";
    let what = |seed: u64| match choose(entry, &model, Claims::default(), seed) {
        Choice::Target(target) => target.describe(),
        Choice::Skipped(why) => panic!("{why}"),
    };
    let shapes: BTreeSet<String> =
        (0..100).map(|seed| what(seed).split(':').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(shapes.len(), 5, "{shapes:?}");
    assert!((0..100).all(|seed| what(seed) == what(seed)));
}

#[test]
fn what_cannot_be_chosen_is_skipped_with_the_reason() {
    let model = Model::new(5);
    for id in [1, 2] {
        model.state().processes.insert(NodeId(id), ProcessState::Down);
    }
    let held = Claims(vec![(FaultId(4), Target::Paused(vec![NodeId(3)]))]);
    let why = |entry: &str| match choose(entry, &model, held.clone(), 1) {
        Choice::Skipped(why) => why,
        Choice::Target(target) => panic!("{entry}: {target:?}"),
    };
    assert_eq!(why("kill: { target: leader }"), "no leader is known");
    assert_eq!(why("partition: { shape: isolate-leader }"), "no leader is known");
    assert_eq!(why("pause: { target: n1 }"), "n1 is down");
    assert_eq!(why("pause: { target: n3 }"), "n3 is under fault 4");
    assert_eq!(
        why("stop: { target: any }"),
        "4 of 5 nodes would be down or paused at one time, and the limit is 2 (n1 is down, n2 is down, n3 is under fault 4)"
    );
    assert!(why("kill: { target: majority }").starts_with("3 nodes are wanted and 2 of 5 are free"));
    assert!(matches!(choose("stop: { limit: none }", &model, held.clone(), 1), Choice::Target(_)));
}

#[test]
fn the_only_node_of_a_cluster_may_be_killed_and_a_second_of_three_may_not() {
    assert!(matches!(choose("kill: {}", &Model::new(1), Claims::default(), 1), Choice::Target(_)));
    let three = Model::new(3);
    three.state().processes.insert(NodeId(2), ProcessState::Paused);
    assert!(matches!(choose("kill: {}", &three, Claims::default(), 1), Choice::Skipped(_)));
    assert!(matches!(
        choose("kill: { target: all }", &Model::new(3), Claims::default(), 1),
        Choice::Target(_)
    ));
}

#[test]
fn a_bad_network_is_that_of_the_target_in_the_direction_asked_for() {
    let model = Model::new(3);
    let links = |entry: &str| -> Vec<String> {
        let Target::Links(cut) = target(entry, &model) else { panic!("{entry}") };
        assert!(cut.rules.iter().all(|(_, rule)| matches!(rule, LinkRule::Shape(_))));
        let end = |end: Endpoint| match end {
            Endpoint::Clients => "c".to_owned(),
            Endpoint::Node(node) => node.0.to_string(),
        };
        cut.rules.iter().map(|(link, _)| end(link.from) + &end(link.to)).collect()
    };
    assert_eq!(links("network: { target: n2, loss: 5% }"), ["12", "21", "23", "32"]);
    assert_eq!(links("network: { target: n2, loss: 5%, direction: outgoing }"), ["21", "23"]);
    assert_eq!(
        links("network: { target: n2, loss: 5%, direction: incoming, links: all }"),
        ["c2", "12", "32"]
    );
    assert_eq!(links("network: { target: n2, loss: 5%, links: clients }"), ["c2", "2c"]);
    assert_eq!(links("network: { target: all, loss: 5% }").len(), 6);
    let Target::Links(late) = target("network: { target: n1 }", &model) else { panic!("no links") };
    assert_eq!(late.what, "50 ms delay ±20 ms to and from n1");
    let Target::Links(cut) = target(
        "network: { target: n2, delay: 40ms, jitter: 1500ms, loss: 2.5%, burst: 3, rate-kbit: 64 }",
        &model,
    ) else {
        panic!("no links")
    };
    assert_eq!(cut.what, "40 ms delay ±1500 ms, 2.5% loss in rows of 3, 64 kbit/s to and from n2");
}

#[tokio::test]
async fn orders_go_to_their_nodes_and_are_over_at_once() {
    let three = [
        ("campaign: { target: n2 }", (NodeId(2), Order::Campaign)),
        ("transfer-leader: { target: n3 }", (NodeId(1), Order::Transfer { to: Some(NodeId(3)) })),
        ("take-snapshot: { target: leader }", (NodeId(1), Order::Snapshot)),
    ];
    for (entry, expected) in three {
        let (model, nemesis) = nemesis(3);
        let proof = proof(install(entry, &model, &nemesis).await);
        assert_eq!(proof, format!("{}: begun", expected.0));
        assert_eq!(model.state().orders, [expected]);
        let ended = nemesis.undo(ONE).await.expect("undone");
        assert_eq!(
            (seen(&ended), ended.undone.done.as_str()),
            ("begun when it was ordered", "nothing to undo")
        );
    }
}

#[tokio::test]
async fn an_order_that_every_node_refused_is_skipped_and_one_without_an_answer_is_not() {
    let (model, nemesis) = nemesis(3);
    let refusal = LeverError::WrongState("PreVote forbids it".to_owned());
    model.state().refusals.insert(NodeId(2), refusal);
    let injection = install("campaign: { target: n2 }", &model, &nemesis).await;
    assert_eq!(injection, Injection::Skipped("n2: PreVote forbids it".to_owned()));
    assert!(nemesis.active().is_empty());
    model.state().refusals.insert(NodeId(2), LeverError::Failed("no answer in time".to_owned()));
    let injection = install("campaign: { target: n2 }", &model, &nemesis).await;
    assert_eq!(injection, Injection::Indeterminate("n2: no answer in time".to_owned()));
}

#[test]
fn leadership_is_not_handed_to_whoever_has_it() {
    let model = Model::new(3);
    let why = match choose("transfer-leader: { target: n1 }", &model, Claims::default(), 7) {
        Choice::Skipped(why) => why,
        Choice::Target(target) => panic!("{target:?}"),
    };
    assert_eq!(why, "n1 leads already");
}

#[tokio::test]
async fn a_rule_for_messages_goes_up_and_down_and_its_node_says_what_it_did() {
    let (model, nemesis) = nemesis(3);
    let entry = "messages: { target: n2, kinds: [append-reply, heartbeat-reply], how: drop, share: 30% }";
    assert_eq!(proof(install(entry, &model, &nemesis).await), "n2 obey");
    let filter = MessageFilter {
        kinds: vec![MessageKind::AppendReply, MessageKind::HeartbeatReply],
        ..MessageFilter::default()
    };
    let rule = MessageRule { share_ppm: 300_000, ..MessageRule::new(MessageAction::Drop, filter.clone()) };
    assert_eq!(model.state().orders, [(NodeId(2), Order::Messages(MessageOrder::Arm(rule)))]);
    let done = RuleState { filter: filter.clone(), done: 14 };
    let said = MessageState { rules: vec![done], ..MessageState::default() };
    model.state().messages.insert(NodeId(2), said);
    let ended = nemesis.undo(ONE).await.expect("undone");
    assert_eq!(seen(&ended), "14 messages (append_reply or heartbeat_reply)");
    let pick = MessagePick { filter: filter.clone(), count: None };
    let down = [MessageOrder::Disarm { filter: Some(filter) }, MessageOrder::Release(pick)];
    let orders: Vec<Order> = model.state().orders.drain(1..).map(|(_, order)| order).collect();
    assert_eq!(orders, down.map(Order::Messages));
}

#[tokio::test(start_paused = true)]
async fn a_cascade_takes_one_after_the_other_and_brings_all_back() {
    let (model, nemesis) = nemesis(5);
    let proof = proof(install("cascade: { target: majority, every: 300ms }", &model, &nemesis).await);
    assert!(proof.ends_with("killed, in this order"), "{proof}");
    assert_eq!(model.out(), 3);
    let ended = nemesis.undo(ONE).await.expect("undone");
    assert!(seen(&ended).ends_with("still down at the end"), "{ended:?}");
    assert_eq!(model.out(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_rolling_restart_ends_with_all_nodes_running() {
    let (model, nemesis) = nemesis(3);
    for how in ["kill", "stop", "pause"] {
        let entry = format!("rolling-restart: {{ how: {how}, out: 1s, between: 2s }}");
        let began = tokio::time::Instant::now();
        proof(install(&entry, &model, &nemesis).await);
        assert_eq!((model.out(), began.elapsed().as_secs()), (0, 3 + 2 * 2), "{how}");
        nemesis.undo(ONE).await.expect("undone");
    }
    model.state().failing_starts.insert(NodeId(1), 1);
    let stuck = install("rolling-restart: { target: n1 }", &model, &nemesis).await;
    assert!(
        matches!(&stuck, Injection::Indeterminate(why) if why.contains("did not come back")),
        "{stuck:?}"
    );
    nemesis.undo(ONE).await.expect("undone");
    assert_eq!(model.out(), 0);
}

#[tokio::test]
async fn other_rules_last_as_long_as_the_fault() {
    let (model, nemesis) = nemesis(3);
    let entry = "reconfigure: { target: n3, rules: [pre_vote=off, read_mode=log] }";
    assert_eq!(proof(install(entry, &model, &nemesis).await), "n3 answers");
    let rules = [("pre_vote", "off"), ("read_mode", "log")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(model.state().own_rules[&NodeId(3)], rules);
    nemesis.undo(ONE).await.expect("undone");
    assert_eq!(model.out(), 0);
    assert!(model.state().own_rules[&NodeId(3)].is_empty());
}

#[tokio::test]
async fn a_member_is_removed_by_the_leader_and_added_by_whoever_leads() {
    let (model, nemesis) = nemesis(3);
    let proof = proof(install("remove-member: { target: n3 }", &model, &nemesis).await);
    assert_eq!(proof, "n1: begun; n1 leads n1 n2");
    // Then somebody else leads.
    let refusal = LeverError::WrongState("it does not lead".to_owned());
    model.state().refusals.insert(NodeId(1), refusal);
    nemesis.undo(ONE).await.expect("undone");
    let remove = Order::Members(MemberChange::Remove { node: NodeId(3) });
    let add = Order::Members(MemberChange::Add { node: NodeId(3), part: Part::Voter });
    assert_eq!(model.state().orders, [(NodeId(1), remove), (NodeId(2), add)], "n2 leads");
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_is_not_committed_is_not_said_to_be_and_is_undone_all_the_same() {
    let (model, nemesis) = nemesis(3);
    model.state().undecided = true;
    let injection = install("remove-member: { target: n3 }", &model, &nemesis).await;
    assert!(
        matches!(&injection, Injection::Indeterminate(why) if why.contains("no leader has it committed"))
    );
    let stuck = nemesis.undo(ONE).await;
    assert!(matches!(&stuck, Err(NemesisError::Stuck(ONE, why)) if why.contains("nobody added n3 again")));
    model.state().undecided = false;
    nemesis.undo(ONE).await.expect("undone");
    assert!(model.state().removed.is_empty());
}

#[tokio::test]
async fn limits_go_up_and_down_and_a_node_that_ended_of_them_is_started() {
    let (model, nemesis) = nemesis(3);
    let injection = install("starve: { target: n2, share: 20%, period: 50ms }", &model, &nemesis).await;
    assert_eq!(proof(injection), "n2 runs by turns");
    assert_eq!(nemesis.active()[0].target.describe(), "n2 running 10ms of every 50ms");
    let differences = verify_baseline(model.as_ref());
    assert!(matches!(differences[..], [Difference::Limits(NodeId(2), _)]), "{differences:?}");
    let ended = nemesis.undo(ONE).await.expect("undone");
    assert!(seen(&ended).starts_with("n2 stood still 1 times"), "{ended:?}");
    assert!(verify_baseline(model.as_ref()).is_empty());

    let injection = install("descriptors: { target: n3 }", &model, &nemesis).await;
    assert_eq!(proof(injection), "n3 has 9 descriptors open and can open 0");
    model.state().processes.insert(NodeId(3), ProcessState::Down);
    let ended = nemesis.undo(ONE).await.expect("undone");
    assert_eq!((seen(&ended), ended.undone.done.as_str()), ("n3 ended", "n3 started"));
    assert!(verify_baseline(model.as_ref()).is_empty());

    install("descriptors: { target: n3, spare: 7 }", &model, &nemesis).await;
    let ended = nemesis.undo(ONE).await.expect("undone");
    let why = "n3 could have opened 7 descriptors more at the end".to_owned();
    assert_eq!(ended.effect, Effect::None(why));
}

#[tokio::test]
async fn a_twin_runs_on_the_spare_host_and_leaves_nothing() {
    let (model, nemesis) = nemesis(3);
    let entry = "twin: { target: n2, data: copy }";
    let without = choose(entry, &model, Claims::default(), 7);
    assert_eq!(without, Choice::Skipped("no spare host is free".to_owned()));
    model.state().spares.insert(NodeId(4), None);
    let proof = proof(install(entry, &model, &nemesis).await);
    assert_eq!(proof, "n2: copied as twin; n4 answers as n2");
    assert_eq!(model.state().spares[&NodeId(4)], Some(NodeId(2)));
    assert_eq!(model.out(), 0);
    let ended = nemesis.undo(ONE).await.expect("undone");
    assert_eq!((seen(&ended), ended.undone.done.as_str()), ("n4 ran as n2 until the end", "n4 ended"));
    let name = || "twin".to_owned();
    let edits = [
        (NodeId(2), DataEdit::Save { name: name() }),
        (NodeId(4), DataEdit::Restore { name: name(), of: Some(NodeId(2)) }),
        (NodeId(4), DataEdit::Wipe),
    ];
    let state = model.state();
    assert_eq!((state.spares[&NodeId(4)], state.data_edits.as_slice()), (None, edits.as_slice()));
}

#[tokio::test]
async fn a_twin_that_ends_at_once_is_installed_and_a_copy_that_failed_is_indeterminate() {
    let (model, nemesis) = nemesis(3);
    model.state().spares.insert(NodeId(4), None);
    model.state().locked.insert(NodeId(2));
    let refused = proof(install("twin: { target: n2 }", &model, &nemesis).await);
    assert_eq!(refused, "n4, started as n2, ended at once (exit status: 65): n2 is running already");
    let ended = nemesis.undo(ONE).await.expect("undone");
    assert_eq!(seen(&ended), "n4 had ended by itself");
    model.state().unreadable.insert(NodeId(2));
    let failed = install("twin: { target: n2, data: copy }", &model, &nemesis).await;
    assert!(
        matches!(&failed, Injection::Indeterminate(why) if why.contains("n2 was killed, but")),
        "{failed:?}"
    );
    assert!(nemesis.heal().await.differences.is_empty());
}

#[tokio::test(start_paused = true)]
async fn stored_data_is_damaged_while_its_node_is_down() {
    let edit = |entry: &'static str| async move {
        let (model, nemesis) = nemesis(5);
        let began = tokio::time::Instant::now();
        let proof = proof(install(entry, &model, &nemesis).await);
        assert!(!proof.is_empty() && model.out() > 0, "{proof}");
        let took = began.elapsed().as_millis();
        nemesis.undo(ONE).await.expect("undone");
        assert_eq!(model.out(), 0);
        let edits = model.state().data_edits.clone();
        (edits, took)
    };
    let (flipped, _) = edit("data-damage: { target: n2, file: \"wal/*\", bits: 3 }").await;
    assert!(
        matches!(&flipped[..], [(NodeId(2), DataEdit::FlipBits { file, bits: 3, .. })] if file == "wal/*")
    );
    let (restored, took) = edit("data-damage: { target: n2, how: restore, age: 2s }").await;
    let name = || "earlier".to_owned();
    let (save, restore) = (DataEdit::Save { name: name() }, DataEdit::Restore { name: name(), of: None });
    assert_eq!((restored, took), (vec![(NodeId(2), save), (NodeId(2), restore)], 2000));
    let (swapped, _) = edit("data-damage: { target: n2, how: swap }").await;
    assert!(matches!(&swapped[..], [(NodeId(2), DataEdit::Swap { with })] if *with != NodeId(2)));
}

#[test]
fn a_type_of_message_is_under_one_fault_at_a_node() {
    let model = Model::new(3);
    let held = target("messages: { target: n2, kinds: [append-entries, heartbeat], how: hold }", &model);
    let again = |entry: &str| choose(entry, &model, Claims(vec![(ONE, held.clone())]), 7);
    let why = "heartbeat at n2 is under fault 1".to_owned();
    let same = again("messages: { target: all, kinds: [probe, heartbeat], how: drop }");
    assert_eq!(same, Choice::Skipped(why));
    for other in ["target: n3, kinds: [heartbeat]", "target: all, kinds: [probe]"] {
        let other = again(&format!("messages: {{ {other}, how: drop }}"));
        assert!(matches!(other, Choice::Target(_)), "{other:?}");
    }
}

#[test]
fn old_connections_and_flapping_links_are_rules_of_both_directions() {
    let model = Model::new(3);
    let rules = |entry: &str| match target(entry, &model) {
        Target::Links(cut) => cut.rules,
        other => panic!("{other:?}"),
    };
    let reset = rules("connections: { target: n2, how: reset, links: all }");
    assert_eq!(reset.len(), 6);
    let shape = |(_, rule): &(Link, LinkRule)| match rule {
        LinkRule::Shape(shape) => *shape,
        other => panic!("{other:?}"),
    };
    assert!(reset.iter().all(|rule| shape(rule).connections == Connections::Reset));
    let flap = rules("flap: { target: n1, down: 20ms, up: 30ms, links: clients }");
    assert!(flap.len() == 2 && flap.iter().all(|rule| (shape(rule).down_ms, shape(rule).up_ms) == (20, 30)));
}
