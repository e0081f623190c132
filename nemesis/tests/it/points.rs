//! Faults that wait for a moment or for another fault: failpoints, messages of one node, the node that was just let go; and edits of
//! a log.

use cluster::levers::ProcessState;
use cluster::messages::{MessageAction, MessageFilter, MessageKind, MessageOrder, MessagePick, MessageRule};
use cluster::order::{Failpoint, FailpointAction, Order};
use cluster::system::{FileEdit, NodeId};
use nemesis::baseline::verify_baseline;
use nemesis::claims::{Claims, FaultId};
use nemesis::fault::{Choice, Injection};
use nemesis::target::{Effect, Target};

use crate::faults::{ONE, choose, install, nemesis, proof, seen, target};
use crate::model::Model;

#[tokio::test]
async fn a_node_that_came_to_its_point_is_started_and_one_that_did_not_is_disarmed() {
    let (model, nemesis) = nemesis(3);
    let entry = "crash-at: { target: n2, point: mid_apply, skip: 3 }";
    assert_eq!(proof(install(entry, &model, &nemesis).await), "n2 is armed");
    let failpoint = Failpoint { skip: 3, ..Failpoint::new("mid_apply", FailpointAction::Crash) };
    assert_eq!(model.state().orders, [(NodeId(2), Order::Failpoint(failpoint))]);
    let ended = nemesis.undo(ONE).await.expect("undone");
    assert_eq!(ended.effect, Effect::None("n2 did not come to mid_apply".to_owned()));
    let release = Order::ReleaseFailpoint { point: Some("mid_apply".to_owned()) };
    assert_eq!(model.state().orders[1..], [(NodeId(2), release)]);
    install(entry, &model, &nemesis).await;
    model.state().processes.insert(NodeId(2), ProcessState::Down);
    let ended = nemesis.undo(ONE).await.expect("undone");
    assert_eq!((seen(&ended), ended.undone.done.as_str()), ("n2 crashed at mid_apply", "n2 started"));
    assert!(verify_baseline(model.as_ref()).is_empty());
}

#[tokio::test]
async fn a_point_that_a_node_refuses_is_skipped() {
    let (model, nemesis) = nemesis(3);
    let refusal = cluster::levers::LeverError::WrongState("n2 knows no such point".to_owned());
    model.state().refusals.insert(NodeId(2), refusal);
    let skipped = install("crash-at: { target: n2 }", &model, &nemesis).await;
    assert_eq!(skipped, Injection::Skipped("n2: n2 knows no such point".to_owned()));
    assert!(nemesis.active().is_empty());
}

#[tokio::test]
async fn a_record_behind_the_commit_index_and_a_term_are_edited_in_a_node_that_is_down() {
    let (model, nemesis) = nemesis(3);
    proof(install("corrupt-record: { target: n3, back: 5 }", &model, &nemesis).await);
    assert_eq!(model.out(), 1);
    nemesis.undo(ONE).await.expect("undone");
    proof(install("lose-term: { target: n2 }", &model, &nemesis).await);
    nemesis.undo(ONE).await.expect("undone");
    // The model's nodes have 20 committed entries.
    let edits = [(NodeId(3), FileEdit::CorruptRecord { index: 15 }), (NodeId(2), FileEdit::LoseTerm)];
    assert_eq!(model.state().edits, edits);
    assert_eq!(model.out(), 0);
    let beyond = choose("corrupt-record: { target: n3, back: 20 }", &model, Claims::default(), 7);
    assert_eq!(beyond, Choice::Skipped("only 20 entries are committed".to_owned()));
}

#[tokio::test]
async fn what_a_node_sends_is_caught_where_it_arrives_and_comes_again_at_the_end() {
    let (model, nemesis) = nemesis(3);
    let entry =
        "messages: { target: leader, direction: outgoing, kinds: [vote-reply], how: replay, count: 4 }";
    assert_eq!(proof(install(entry, &model, &nemesis).await), "n2 n3 obey");
    let filter = MessageFilter {
        kinds: vec![MessageKind::VoteReply],
        from: Some(NodeId(1)),
        ..MessageFilter::default()
    };
    let rule = MessageRule { count: Some(4), ..MessageRule::new(MessageAction::Record, filter.clone()) };
    let armed = Order::Messages(MessageOrder::Arm(rule));
    assert_eq!(model.state().orders, [(NodeId(2), armed.clone()), (NodeId(3), armed)]);
    nemesis.undo(ONE).await.expect("undone");
    let again = Order::Messages(MessageOrder::Replay(MessagePick { filter, count: None }));
    assert_eq!(model.state().orders.last(), Some(&(NodeId(3), again)));
}

#[tokio::test]
async fn who_was_let_go_last_is_the_target_of_the_next() {
    let (model, nemesis) = nemesis(5);
    let next = |nemesis: &nemesis::nemesis::Nemesis, model: &Model| {
        let mut picture = model.picture(nemesis.claims());
        picture.healed = nemesis.healed();
        crate::params::fault("pause: { target: healed }", 5)
            .choose(&picture, &mut nemesis::stream::stream(7, "target"))
    };
    assert_eq!(next(&nemesis, &model), Choice::Skipped("no fault has let a node go yet".to_owned()));
    install("kill: { target: n4 }", &model, &nemesis).await;
    nemesis.undo(ONE).await.expect("undone");
    assert_eq!(next(&nemesis, &model), Choice::Target(Target::Paused(vec![NodeId(4)])));
    // Of a cut, those that lost the most links.
    install("partition: { shape: isolate, target: n2 }", &model, &nemesis).await;
    nemesis.undo(ONE).await.expect("undone");
    assert_eq!(nemesis.healed(), [NodeId(2)]);
    nemesis.begin(FaultId(2), "kill", target("kill: { target: n2 }", &model)).expect("free");
    let held = next(&nemesis, &model);
    assert!(matches!(&held, Choice::Skipped(why) if why.contains("is not free")), "{held:?}");
}
