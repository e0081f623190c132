//! The frontier, every manner of it alone and the whole, against the dumb twin; and the twin against a frontier that
//! lacks one of its conditions.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::history::{Key, Op, Reply, Value};
use crate::linearizability::tests::{Flavour, KEY, Owned, generate, histories, seed, unlimited, view};
use crate::linearizability::{OPEN, brute};

/// What the calls of [`crowded`] are.
#[derive(Clone, Copy)]
enum Mix {
    /// Reads, writes, CAS, unknown outcomes.
    Swaps,
    /// These, and refused CAS.
    Refusals,
    /// Mostly writes, all of which end, so that equal ones are often open together, and mostly as a register does it.
    Equals,
}

/// Calls that overlap a lot, of few values.
fn crowded(rng: &mut ChaCha8Rng, mix: Mix) -> Vec<Owned> {
    let n = rng.random_range(2..=8);
    let domain = rng.random_range(1..=3i64);
    let length = rng.random_range(2..=8u32);
    let unknown = if matches!(mix, Mix::Equals) { 0 } else { rng.random_range(0..4) };
    let mut owned: Vec<Owned> = (0..n)
        .map(|_| {
            let key = Key::new(KEY);
            let value = |rng: &mut ChaCha8Rng| match rng.random_range(0..=domain) {
                0 => Value::Nil,
                value => Value::Int(value),
            };
            let written = Value::Int(rng.random_range(1..=domain));
            let kind = match mix {
                Mix::Swaps => rng.random_range(0..9),
                Mix::Refusals => rng.random_range(0..11),
                Mix::Equals => [0, 0, 3, 3, 3, 3, 6, 6][rng.random_range(0..8)],
            };
            let (op, reply) = match kind {
                0..3 => (Op::Read { key }, Reply::Value(value(rng))),
                3..6 => (Op::Write { key, value: written }, Reply::Done),
                6..9 => (Op::Cas { key, expected: value(rng), new: written }, Reply::Done),
                _ => (Op::Cas { key, expected: value(rng), new: written }, Reply::Mismatch(None)),
            };
            let call = rng.random_range(1..=12);
            let ret = call + rng.random_range(0..=length);
            match matches!(kind, 3..9) && rng.random_range(0..8) < unknown {
                true => Owned { op, reply: None, call, ret: OPEN },
                false => Owned { op, reply: Some(reply), call, ret },
            }
        })
        .collect();
    if matches!(mix, Mix::Equals) {
        owned.truncate(3);
        owned.extend(equals(rng));
        if rng.random_bool(0.5) {
            owned.drain(..3.min(owned.len() - 5));
            tell_a_story(rng, &mut owned);
        }
    }
    owned.sort_by_key(|o| o.call);
    owned
}

/// Two equal writes that overlap, the first of which may be hidden by another write, and a CAS that needs one of them;
/// all at roughly these instants.
fn equals(rng: &mut ChaCha8Rng) -> Vec<Owned> {
    let key = || Key::new(KEY);
    let write = |value| Op::Write { key: key(), value: Value::Int(value) };
    let swap = Op::Cas { key: key(), expected: Value::Int(1), new: Value::Int(2) };
    [
        (write(2), Reply::Done, 2, 4),
        (write(1), Reply::Done, 2, 11),
        (write(1), Reply::Done, 6, 14),
        (swap, Reply::Done, 6, 9),
        (Op::Read { key: key() }, Reply::Value(Value::Int(2)), 16, 18),
    ]
    .into_iter()
    .map(|(op, reply, call, ret)| {
        let call = call + rng.random_range(0..3) - 1;
        Owned { op, reply: Some(reply), call, ret: (ret + rng.random_range(0..5) - 2).max(call) }
    })
    .collect()
}

/// Lets every call take effect at some instant of its interval, and most of them see what is there then.
fn tell_a_story(rng: &mut ChaCha8Rng, owned: &mut [Owned]) {
    let mut points: Vec<(u32, usize)> =
        owned.iter().enumerate().map(|(at, o)| (rng.random_range(o.call..=o.ret), at)).collect();
    points.sort_unstable();
    let mut state = Value::Nil;
    for (_, at) in points {
        let honest = rng.random_range(0..16) > 0;
        let Owned { op, reply, .. } = &mut owned[at];
        match op {
            Op::Read { .. } if honest => *reply = Some(Reply::Value(state.clone())),
            Op::Write { value, .. } => state = value.clone(),
            Op::Cas { expected, new, .. } => {
                if honest {
                    *expected = state.clone();
                }
                state = new.clone();
            }
            _ => {}
        }
    }
}

const EXACT: Manner = Manner { width: Width::Whole, unknowns: Unknowns::Counted, lacking: None };

/// Compares every manner with the twin. Returns whether the calls are linearizable.
fn compare(owned: &[Owned], context: &dyn Fn() -> String) -> bool {
    let calls = view(owned);
    let truth = brute::linearizable(&calls, &Register);
    let plan = Plan::new(&calls).expect("a register");
    let manners = [
        Manner { width: Width::Beam(1, Taste::FewUnknowns), ..EXACT },
        Manner { width: Width::Beam(3, Taste::FewWrites), ..EXACT },
        Manner { unknowns: Unknowns::Unlimited, ..EXACT },
        EXACT,
    ];
    for manner in manners {
        let about = || format!("{:?} {:?}, {}", manner.width, manner.unknowns, context());
        match sweep_all(&plan, manner, Start::Initially, &unlimited()).0 {
            Ended::Arrived(order) if manner.unknowns == Unknowns::Counted => {
                assert!(truth, "holds: {}", about());
                assert!(witness::replay(&calls, &Register, &order), "bad witness {order:?}: {}", about());
            }
            Ended::Arrived(order) => {
                assert!(!witness::replay(&calls, &Register, &order) || truth, "holds: {}", about());
            }
            Ended::Overdrawn => assert_eq!(manner.unknowns, Unknowns::Unlimited, "{}", about()),
            Ended::NoWay => assert!(!truth, "violated: {}", about()),
            Ended::Lost => assert_ne!(manner.width, Width::Whole, "{}", about()),
            other => panic!("{other:?}: {}", about()),
        }
    }
    match decide(&calls, &unlimited()) {
        Some(Decided::Holds(order)) => {
            assert!(truth && witness::replay(&calls, &Register, &order), "holds: {}", context());
        }
        Some(Decided::Violated(kept, start)) => {
            assert!(!truth, "violated: {}", context());
            let small = shrink::calls_of(&kept);
            let proof = start == Start::Initially && !brute::linearizable(&small, &Register);
            assert!(proof, "{small:?} proves nothing: {}", context());
        }
        _ => panic!("undecided: {}", context()),
    }
    truth
}

fn compare_many(next: impl Fn(&mut ChaCha8Rng) -> Vec<Owned>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    let mut held = 0;
    for round in 0..histories() {
        let owned = next(&mut rng);
        held += usize::from(compare(&owned, &|| format!("round {round}: {owned:#?}")));
    }
    println!("{held} of {} hold", histories());
    assert!(held > histories() / 20 && held < histories() / 20 * 19, "the generator is lopsided");
}

#[test]
fn registers_agree_with_the_dumb_twin() {
    compare_many(|rng| generate(rng, Flavour::Register));
}

#[test]
fn crowded_swaps_agree_with_the_dumb_twin() {
    compare_many(|rng| crowded(rng, Mix::Swaps));
}

#[test]
fn crowded_refusals_agree_with_the_dumb_twin() {
    compare_many(|rng| crowded(rng, Mix::Refusals));
}

#[test]
fn crowded_equals_agree_with_the_dumb_twin() {
    compare_many(|rng| crowded(rng, Mix::Equals));
}

/// Without the condition the frontier must go wrong somewhere, and the twin must see it.
fn assert_needed(condition: Condition, mix: Mix) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    let lacking = Manner { lacking: Some(condition), ..EXACT };
    let caught = (0..1_000_000).find(|_| {
        let owned = crowded(&mut rng, mix);
        let calls = view(&owned);
        let plan = Plan::new(&calls).expect("a register");
        // Only where the two frontiers differ can the twin see a mistake, and it is the slower one.
        let sound = matches!(sweep_all(&plan, EXACT, Start::Initially, &unlimited()).0, Ended::Arrived(_));
        let found = matches!(sweep_all(&plan, lacking, Start::Initially, &unlimited()).0, Ended::Arrived(_));
        found != sound && brute::linearizable(&calls, &Register) == sound
    });
    println!("{condition:?}: caught at history {caught:?}");
    assert!(caught.is_some(), "{condition:?} is never needed");
}

#[test]
fn absorbing_despite_refusals_is_caught() {
    assert_needed(Condition::AbsorbOnlyWithoutRefusals, Mix::Refusals);
}

#[test]
fn taking_a_rewrite_for_nothing_is_caught() {
    assert_needed(Condition::RewriteHides, Mix::Swaps);
}

#[test]
fn taking_the_latest_of_equal_calls_first_is_caught() {
    assert_needed(Condition::EarliestLikeFirst, Mix::Equals);
}
