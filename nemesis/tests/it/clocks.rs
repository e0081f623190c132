//! The clock fault on a model: what it sets, what it refuses, and what healing leaves.

use std::sync::Arc;

use cluster::clock::{ClockFamily, ClockState, TRUE_SPEED_PPM};
use cluster::levers::Levers;
use cluster::system::NodeId;
use nemesis::baseline::{Difference, verify_baseline};
use nemesis::claims::{Claims, FaultId};
use nemesis::fault::{Choice, Injection};
use nemesis::nemesis::{Ended, Nemesis, NemesisError};
use nemesis::stream::stream;
use nemesis::target::{Effect, Target};

use crate::model::Model;
use crate::params::{fault, try_fault};

const N1: NodeId = NodeId(1);
const ONE: FaultId = FaultId(1);

/// Installs a fault on the leader n1 of three nodes.
async fn install(entry: &str, model: &Arc<Model>) -> (Nemesis, Injection) {
    let nemesis = Nemesis::new(model.clone(), Box::new(std::io::sink())).expect("a sink takes everything");
    nemesis.begin(ONE, "clock", target(entry, model, 7)).expect("nothing else is active");
    let injection = nemesis.inject(ONE, fault(entry, 3).as_ref()).await.expect("it has begun");
    (nemesis, injection)
}

fn target(entry: &str, model: &Model, seed: u64) -> Target {
    let picture = model.picture(Claims::default());
    match fault(entry, 3).choose(&picture, &mut stream(seed, "target")) {
        Choice::Target(target) => target,
        Choice::Skipped(why) => panic!("{entry} was skipped: {why}"),
    }
}

async fn end(nemesis: &Nemesis) -> Ended {
    nemesis.undo(ONE).await.expect("it can be undone")
}

fn refused(entry: &str) -> String {
    try_fault(entry, 3).err().unwrap_or_else(|| panic!("{entry} was not refused"))
}

#[tokio::test]
async fn a_wall_clock_steps_and_comes_back() {
    for (change, offset_ns) in [("forward", 3_000_000_000), ("back", -3_000_000_000)] {
        let model = Arc::new(Model::new(3));
        let entry = format!("clock: {{ target: leader, change: {change}, by: 3s }}");
        let (nemesis, injection) = install(&entry, &model).await;
        assert!(matches!(injection, Injection::Installed(_)), "{injection:?}");
        assert_eq!(model.clock(N1, ClockFamily::Wall).map(|state| state.offset_ns), Some(offset_ns));
        assert_eq!(model.clock(N1, ClockFamily::Monotonic).map(|state| state.offset_ns), Some(0));
        let different = verify_baseline(model.as_ref());
        assert!(matches!(different[..], [Difference::Clock(N1, ClockFamily::Wall, _)]), "{different:?}");
        assert!(matches!(end(&nemesis).await.effect, Effect::Seen(_)));
        assert!(verify_baseline(model.as_ref()).is_empty());
    }
}

#[tokio::test]
async fn a_monotonic_clock_keeps_its_lead() {
    let model = Arc::new(Model::new(3));
    let (nemesis, injection) =
        install("clock: { target: leader, change: forward, clocks: both, by: 2s }", &model).await;
    let Injection::Installed(installed) = injection else { panic!("{injection:?}") };
    assert_eq!(installed.proof, "n1 reads wall +2.000 s, n1 reads monotonic +2.000 s");
    assert!(installed.effective.is_some());
    let ended = end(&nemesis).await;
    assert!(ended.undone.done.ends_with("monotonic clocks keep n1 +2.000 s"), "{}", ended.undone.done);
    assert_eq!(model.clock(N1, ClockFamily::Wall).map(|state| state.offset_ns), Some(0));
    assert_eq!(model.clock(N1, ClockFamily::Monotonic).map(|state| state.offset_ns), Some(2_000_000_000));
    assert!(verify_baseline(model.as_ref()).is_empty(), "a lead is no difference");
}

#[tokio::test]
async fn speeds_are_set_and_healed() {
    for (change, speed_ppm) in [("fast", 1_200_000), ("slow", 800_000), ("freeze", 0)] {
        let model = Arc::new(Model::new(3));
        let entry = format!("clock: {{ target: leader, change: {change}, clocks: monotonic, drift: 20% }}");
        let (nemesis, _) = install(&entry, &model).await;
        let now = |model: &Model| model.clock(N1, ClockFamily::Monotonic);
        assert_eq!(now(&model).map(|state| state.speed_ppm), Some(speed_ppm));
        end(&nemesis).await;
        let healed = ClockState { offset_ns: 0, speed_ppm: TRUE_SPEED_PPM, strobing: false, read: true };
        assert_eq!(now(&model), Some(healed));
    }
}

#[tokio::test]
async fn a_clock_that_nobody_reads_is_a_fault_without_effect() {
    let model = Arc::new(Model::new(3));
    model.state().timeless = true;
    let (nemesis, injection) = install("clock: { target: leader, change: strobe }", &model).await;
    let Injection::Installed(installed) = injection else { panic!("{injection:?}") };
    assert_eq!(installed.proof, "n1 has not read wall");
    assert!(matches!(end(&nemesis).await.effect, Effect::None(_)));
}

#[tokio::test]
async fn a_node_has_one_clock_fault_at_a_time() {
    let model = Arc::new(Model::new(3));
    let entry = "clock: { target: leader, change: fast }";
    let (nemesis, _) = install(entry, &model).await;
    let second = nemesis.begin(FaultId(2), "clock", target(entry, &model, 7));
    assert!(matches!(second, Err(NemesisError::Conflict(_))), "{second:?}");
}

#[test]
fn every_change_of_the_list_is_drawn() {
    let model = Model::new(3);
    let entry = "clock: { change: [forward, back, fast, slow, freeze, strobe] }";
    let drawn = (0..100).map(|seed| target(entry, &model, seed).describe());
    let drawn: std::collections::BTreeSet<String> =
        drawn.map(|what| what.split_once(" with ").expect("nodes with clocks").1.to_owned()).collect();
    assert_eq!(drawn.len(), 6, "{drawn:?}");
}

#[test]
fn what_would_send_a_monotonic_clock_back_is_refused() {
    for change in ["back", "strobe", "[fast, back]"] {
        let why = refused(&format!("clock: {{ change: {change}, clocks: both }}"));
        assert!(why.contains("clocks: wall"), "{why}");
    }
    assert!(refused("clock: { change: fast, drift: 0% }").contains("drift"));
    assert!(refused("clock: { by: 0s }").contains("by"));
}
