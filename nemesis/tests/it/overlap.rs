//! Faults that overlap: links compose, nodes are held by one process fault, undoing in any order restores the rest.

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::levers::{Endpoint, Link, LinkRule, Shaping};
use cluster::system::NodeId;
use nemesis::baseline::verify_baseline;
use nemesis::claims::FaultId;
use nemesis::fault::Choice;
use nemesis::nemesis::{Nemesis, NemesisError};
use nemesis::stream::stream;
use nemesis::target::{Target, undo};
use proptest::prelude::*;

use crate::model::Model;
use crate::params::fault;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}

fn nemesis(model: &Arc<Model>) -> Nemesis {
    Nemesis::new(model.clone(), Box::new(std::io::sink())).expect("a sink takes everything")
}

fn links(target: &Target) -> BTreeSet<Link> {
    let Target::Links(cut) = target else { return BTreeSet::new() };
    cut.rules.iter().filter(|(_, rule)| *rule == LinkRule::Drop).map(|(link, _)| *link).collect()
}

const PARTITION: &str = "partition: { shape: [majority, isolate, isolate-leader, one-way, bridge, ring, clients], clients: with-majority }";

proptest! {
    #[test]
    fn a_link_drops_exactly_while_some_active_partition_cuts_it(
        steps in prop::collection::vec((any::<bool>(), any::<u64>()), 1..40),
    ) {
        runtime().block_on(async {
            let model = Arc::new(Model::new(5));
            let nemesis = nemesis(&model);
            let partition = fault(PARTITION, 5);
            let mut active: Vec<(FaultId, BTreeSet<Link>)> = Vec::new();
            for (number, (start, random)) in steps.iter().enumerate() {
                if *start || active.is_empty() {
                    let id = FaultId(number as u64);
                    let choice = partition.choose(&model.picture(nemesis.claims()), &mut stream(*random, "target"));
                    let Choice::Target(target) = choice else { panic!("{choice:?}") };
                    active.push((id, links(&target)));
                    nemesis.begin(id, "partition", target).expect("begun");
                    nemesis.inject(id, partition.as_ref()).await.expect("begun");
                } else {
                    let (id, _) = active.remove(*random as usize % active.len());
                    nemesis.undo(id).await.expect("active");
                }
                let expected: BTreeSet<Link> = active.iter().flat_map(|(_, links)| links).copied().collect();
                assert_eq!(model.dropping(), expected);
            }
            let healed = nemesis.heal().await;
            let newest_first: Vec<FaultId> = active.iter().rev().map(|(id, _)| *id).collect();
            assert_eq!(healed.ended.iter().map(|(id, _)| *id).collect::<Vec<_>>(), newest_first);
            assert!(healed.differences.is_empty());
        });
    }

    #[test]
    fn undoing_twice_is_undoing_once(seed: u64, which in 0_usize..5) {
        let entry = [PARTITION, "kill: {}", "pause: { target: all }", "stop: {}", "truncate-log: {}"][which];
        runtime().block_on(async {
            let model = Arc::new(Model::new(5));
            let fault = fault(entry, 5);
            let Choice::Target(target) = fault.choose(&model.picture(Default::default()), &mut stream(seed, "target"))
            else { panic!("an unharmed cluster has something to choose") };
            fault.inject(&target, model.as_ref()).await;
            assert!(!verify_baseline(model.as_ref()).is_empty());
            // The target alone, as a ledger holds it, is enough.
            let written = serde_json::to_string(&target).expect("targets are JSON");
            let target: Target = serde_json::from_str(&written).expect("what was written");
            undo(&target, model.as_ref()).await.expect("undone");
            assert_eq!(verify_baseline(model.as_ref()), []);
            undo(&target, model.as_ref()).await.expect("nothing left to do");
            assert_eq!(verify_baseline(model.as_ref()), []);
        });
    }
}

#[tokio::test]
async fn a_node_is_held_by_one_process_fault() {
    let model = Arc::new(Model::new(5));
    let nemesis = nemesis(&model);
    nemesis.begin(FaultId(1), "pause", Target::Paused(vec![NodeId(2)])).expect("free");
    let second = nemesis.begin(FaultId(2), "kill", Target::Down(vec![NodeId(3), NodeId(2)]));
    let Err(NemesisError::Conflict(why)) = second else { panic!("{second:?}") };
    assert_eq!(why, "n2 is under fault 1");
    let same = nemesis.begin(FaultId(1), "kill", Target::Down(vec![NodeId(3)]));
    assert!(matches!(same, Err(NemesisError::Conflict(_))));
    assert_eq!(nemesis.active().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn undoing_waits_for_the_injection_of_the_same_fault() {
    let model = Arc::new(Model::new(3));
    let nemesis = Arc::new(nemesis(&model));
    model.state().stubborn.insert(NodeId(2));
    nemesis.begin(FaultId(1), "stop", Target::Down(vec![NodeId(2)])).expect("free");
    let injecting = tokio::spawn({
        let nemesis = nemesis.clone();
        async move { nemesis.inject(FaultId(1), fault("stop: { target: n2, grace: 9s }", 3).as_ref()).await }
    });
    // The injection runs up to its wait for the exit.
    tokio::task::yield_now().await;
    let began = tokio::time::Instant::now();
    nemesis.undo(FaultId(1)).await.expect("undone");
    assert!(began.elapsed().as_secs() >= 9, "the undoing did not wait");
    assert!(injecting.await.expect("no panic").is_ok());
}

#[test]
fn the_work_of_the_nemesis_can_be_spawned() {
    fn sendable<T: Send>(value: T) -> T {
        value
    }
    let model = Arc::new(Model::new(3));
    let nemesis = nemesis(&model);
    let kill = fault("kill: {}", 3);
    drop(sendable(nemesis.inject(FaultId(1), kill.as_ref())));
    drop(sendable(nemesis.undo(FaultId(1))));
    drop(sendable(nemesis.heal()));
}

#[test]
fn bad_lines_add_up_and_a_cut_beats_them() {
    runtime().block_on(async {
        let model = Arc::new(Model::new(3));
        let nemesis = nemesis(&model);
        let entries = [
            "network: { target: n1, delay: 10ms, jitter: 2ms, loss: 50% }",
            "network: { target: n1, delay: 5ms, loss: 50%, rate-kbit: 800 }",
            "partition: { shape: isolate, target: n1 }",
        ];
        for (number, entry) in (0..).zip(entries) {
            let made = fault(entry, 3);
            let choice = made.choose(&model.picture(nemesis.claims()), &mut stream(number, "target"));
            let Choice::Target(target) = choice else { panic!("{choice:?}") };
            nemesis.begin(FaultId(number), "fault", target).expect("begun");
            nemesis.inject(FaultId(number), made.as_ref()).await.expect("begun");
        }
        let link = Link { from: Endpoint::Node(NodeId(1)), to: Endpoint::Node(NodeId(2)) };
        let rule = || model.state().rules[&link];
        assert_eq!(rule(), LinkRule::Drop);
        nemesis.undo(FaultId(2)).await.expect("active");
        let both = Shaping {
            delay_us: 15_000,
            jitter_us: 2_000,
            loss_ppm: 750_000,
            burst_frames: 1,
            rate_kbit: 800,
            ..Shaping::default()
        };
        assert_eq!(rule(), LinkRule::Shape(both));
        nemesis.undo(FaultId(0)).await.expect("active");
        let second = Shaping {
            delay_us: 5_000,
            loss_ppm: 500_000,
            burst_frames: 1,
            rate_kbit: 800,
            ..Shaping::default()
        };
        assert_eq!(rule(), LinkRule::Shape(second));
        let healed = nemesis.heal().await;
        assert!(healed.broken.is_empty() && healed.differences.is_empty());
        assert_eq!(rule(), LinkRule::Pass);
    });
}
