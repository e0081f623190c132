//! What the schedule promises, and the limits over many schedules.

use std::sync::Arc;

use checker::params::Param;
use nemesis::claims::FaultId;
use nemesis::fault::Choice;
use nemesis::nemesis::Nemesis;
use nemesis::schedule::{EVERY_NS_MIN, Mix, MixEntry, Planned, draw};
use nemesis::target::Target;
use proptest::prelude::*;

use crate::model::Model;
use crate::params::{fault, read};

const SECOND: u64 = 1_000_000_000;

fn entry(yaml: &str, weight: u64) -> MixEntry {
    let (kind, params) = read(yaml);
    MixEntry { kind: kind.name.to_owned(), params, weight }
}

fn mix() -> Mix {
    let entries = vec![
        entry("partition: { shape: [majority, ring], for: 2s..8s }", 3),
        entry("kill: { for: 1s..3s }", 2),
        entry("pause: { for: 500ms }", 1),
        entry("stop: {}", 0),
    ];
    Mix { every_ns: (SECOND, 3 * SECOND), entries }
}

fn times(planned: &[Planned]) -> Vec<(u64, u64)> {
    planned.iter().map(|fault| (fault.at_ns, fault.seed)).collect()
}

proptest! {
    #[test]
    fn starts_and_lengths_keep_their_bounds(seed: u64, seconds in 1_u64..300) {
        let (mix, duration) = (mix(), seconds * SECOND);
        let planned = draw(&mix, duration, seed).expect("a sound mix");
        let mut before = 0;
        for fault in &planned {
            let bounds = match fault.params.0.get("for") {
                Some(Param::Range(low, high)) => *low..=*high,
                other => panic!("{other:?}"),
            };
            prop_assert!(bounds.contains(&fault.for_ns));
            prop_assert!(fault.at_ns + fault.for_ns <= duration);
            prop_assert!(fault.kind != "stop", "an entry of weight 0 was drawn");
            prop_assert!(fault.at_ns > before);
            before = fault.at_ns;
        }
        for pair in planned.windows(2).filter(|pair| pair[1].id.0 == pair[0].id.0 + 1) {
            prop_assert!((SECOND..=3 * SECOND).contains(&(pair[1].at_ns - pair[0].at_ns)));
        }
    }

    #[test]
    fn a_schedule_survives_its_own_file_and_is_the_same_again(seed: u64) {
        let planned = draw(&mix(), 60 * SECOND, seed).expect("a sound mix");
        let written = serde_json::to_string(&planned).expect("a plan is JSON");
        prop_assert_eq!(&serde_json::from_str::<Vec<Planned>>(&written).expect("what was written"), &planned);
        prop_assert_eq!(draw(&mix(), 60 * SECOND, seed).expect("a sound mix"), planned);
    }

    #[test]
    fn the_mix_does_not_move_the_times(seed: u64) {
        // Both mixes have the same shortest `for`, so that the end of the phase cuts both alike.
        let one = Mix { entries: vec![entry("kill: { for: 1s..2s }", 1)], ..mix() };
        let more = vec![entry("kill: { for: 1s..2s }", 1), entry("pause: { for: 1s..9s }", 4)];
        let other = Mix { entries: more, ..mix() };
        let draw = |mix: &Mix| draw(mix, 90 * SECOND, seed).expect("a sound mix");
        prop_assert_eq!(times(&draw(&one)), times(&draw(&other)));
    }

    #[test]
    fn a_longer_phase_only_adds_at_the_end(seed: u64, seconds in 20_u64..60, more in 1_u64..60) {
        let short = draw(&mix(), seconds * SECOND, seed).expect("a sound mix");
        let long = draw(&mix(), (seconds + more) * SECOND, seed).expect("a sound mix");
        for fault in &short {
            let same = long.iter().find(|other| other.id == fault.id).expect("kept");
            prop_assert!(same.for_ns >= fault.for_ns);
            prop_assert_eq!(&Planned { for_ns: fault.for_ns, ..same.clone() }, fault);
        }
    }

    #[test]
    fn the_spacing_does_not_change_what_is_drawn(seed: u64) {
        let kinds = |every_ns| -> Vec<String> {
            let mix = Mix { every_ns, ..mix() };
            let planned = draw(&mix, 1000 * SECOND, seed).expect("a sound mix");
            planned.into_iter().take(100).map(|fault| fault.kind).collect()
        };
        prop_assert_eq!(kinds((SECOND, SECOND)), kinds((2 * SECOND, 5 * SECOND)));
    }
}

#[test]
fn entries_are_drawn_by_their_weights() {
    let planned = draw(&mix(), 60_000 * SECOND, 11).expect("a sound mix");
    let share =
        |kind: &str| planned.iter().filter(|fault| fault.kind == kind).count() as f64 / planned.len() as f64;
    for (kind, expected) in [("partition", 3.0 / 6.0), ("kill", 2.0 / 6.0), ("pause", 1.0 / 6.0)] {
        // About 30,000 draws: five standard deviations are less than 0.015.
        assert!((share(kind) - expected).abs() < 0.015, "{kind}: {}", share(kind));
    }
}

#[test]
fn a_mix_that_cannot_work_is_refused() {
    let refused = |change: fn(&mut Mix)| {
        let mut mix = mix();
        change(&mut mix);
        draw(&mix, 3600 * SECOND, 1).expect_err("a mix that cannot work")
    };
    assert!(refused(|mix| mix.entries.clear()).contains("weight above 0"));
    assert!(refused(|mix| mix.every_ns = (5, 4)).contains("begins after its end"));
    assert!(refused(|mix| mix.every_ns = (0, SECOND)).contains("at least 1 ms"));
    assert!(refused(|mix| mix.every_ns = (EVERY_NS_MIN, SECOND)).contains("more than 100000 faults"));
    assert!(refused(|mix| mix.entries[0].weight = u64::MAX).contains("above 1000000"));
    assert!(refused(|mix| drop(mix.entries[1].params.0.remove("for"))).contains("`kill`: the setting `for`"));
    let swapped = |mix: &mut Mix| drop(mix.entries[1].params.0.insert("for".to_owned(), Param::Range(2, 1)));
    assert!(refused(swapped).contains("`kill`: `for`: the range begins"));
}

/// What happens at one instant of a played schedule. Undoing comes first where both fall together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Undo,
    Begin,
}

/// Plays a schedule on a model and checks the limit after every step. Returns how many faults were installed and how
/// many skipped.
async fn play(nodes: u16, mix: &Mix, seed: u64, allowed: usize) -> (u64, u64) {
    let model = Arc::new(Model::new(nodes));
    let nemesis = Nemesis::new(model.clone(), Box::new(std::io::sink())).expect("a sink takes everything");
    let planned = draw(mix, 40 * SECOND, seed).expect("a sound mix");
    let mut steps: Vec<(u64, Step, &Planned)> = planned
        .iter()
        .flat_map(|fault| {
            [(fault.at_ns, Step::Begin, fault), (fault.at_ns + fault.for_ns, Step::Undo, fault)]
        })
        .collect();
    steps.sort_by_key(|(at, step, fault)| (*at, *step, fault.id));
    let (mut installed, mut skipped) = (0, 0);
    for (_, step, planned) in steps {
        match step {
            Step::Undo => drop(nemesis.undo(planned.id).await),
            Step::Begin => {
                let kind = nemesis::faults::find(&planned.kind).expect("registered");
                let fault = (kind.build)(&planned.params, usize::from(nodes)).expect("built before");
                match fault.choose(&model.picture(nemesis.claims()), &mut planned.rng()) {
                    Choice::Skipped(_) => skipped += 1,
                    Choice::Target(target) => {
                        nemesis.begin(planned.id, kind.name, target).expect("what was chosen is free");
                        nemesis.inject(planned.id, fault.as_ref()).await.expect("begun");
                        installed += 1;
                    }
                }
            }
        }
        assert!(
            model.out() <= allowed,
            "seed {seed}: {} of {nodes} nodes are out: {:?}",
            model.out(),
            nemesis.active()
        );
    }
    let healed = nemesis.heal().await;
    assert!(healed.broken.is_empty() && healed.differences.is_empty(), "seed {seed}: {healed:?}");
    (installed, skipped)
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_schedules_never_take_out_more_than_a_minority() {
    let entries = vec![
        entry("kill: { target: leader, for: 1s..9s }", 2),
        entry("kill: { for: 1s..9s }", 2),
        entry("pause: { target: follower, for: 1s..9s }", 2),
        entry("pause: { target: minority, for: 1s..9s }", 1),
        entry("stop: { target: n2, for: 1s..9s }", 1),
        entry("truncate-log: { for: 1s..9s }", 1),
        entry("partition: { shape: [majority, isolate, bridge, one-way], for: 2s..8s }", 2),
    ];
    let mix = Mix { every_ns: (SECOND, 4 * SECOND), entries };
    let (mut installed, mut skipped) = (0, 0);
    for seed in 0..10_000 {
        let nodes = [3, 4, 5, 7][seed as usize % 4];
        let (one, other) = play(nodes, &mix, seed, usize::from((nodes - 1) / 2)).await;
        installed += one;
        skipped += other;
    }
    // A limit that is never reached would hold for nothing, and one that stops everything would be no nemesis.
    assert!(skipped > 10_000 && installed > 50_000, "installed {installed}, skipped {skipped}");
}

#[tokio::test(start_paused = true)]
async fn without_the_limit_the_same_schedules_do_take_out_more() {
    let entries = vec![entry("kill: { limit: none, for: 5s..9s }", 1)];
    let mix = Mix { every_ns: (SECOND, 2 * SECOND), entries };
    let model = Arc::new(Model::new(3));
    let nemesis = Nemesis::new(model.clone(), Box::new(std::io::sink())).expect("a sink takes everything");
    let kill = fault("kill: { limit: none }", 3);
    for planned in draw(&mix, 20 * SECOND, 1).expect("a sound mix").iter().take(3) {
        let choice = kill.choose(&model.picture(nemesis.claims()), &mut planned.rng());
        let Choice::Target(target) = choice else { panic!("{choice:?}") };
        assert!(matches!(target, Target::Down(_)));
        nemesis.begin(planned.id, "kill", target).expect("free");
        nemesis.inject(planned.id, kill.as_ref()).await.expect("begun");
    }
    assert_eq!(model.out(), 3);
    assert_eq!(nemesis.active().last().map(|entry| entry.id), Some(FaultId(2)));
}
