//! The stages of registers against the dumb twin; that a core is minimal; that a budget ends every stage; that many open
//! calls are no obstacle.

use std::sync::atomic::{AtomicUsize, Ordering};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::history::Key;
use crate::linearizability::tests::{Flavour, KEY, Owned, generate, histories, seed, unlimited, view};
use crate::linearizability::{OPEN, brute};

fn each(flavour: Flavour, mut look: impl FnMut(&[Call<'_>], bool, &mut ChaCha8Rng, &dyn Fn() -> String)) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    for round in 0..histories() {
        let owned = generate(&mut rng, flavour);
        let calls = view(&owned);
        let truth = brute::linearizable(&calls, &Register);
        look(&calls, truth, &mut rng, &|| format!("round {round}: {owned:#?}"));
    }
}

#[test]
fn a_value_without_a_source_is_a_contradiction() {
    let mut found = 0;
    each(Flavour::Register, |calls, truth, _, context| {
        if let Some(stale) = sources::find(calls) {
            found += 1;
            let (named, why) = (stale.calls(calls), stale.why(calls));
            assert!(!truth, "{why}: {}", context());
            let mut named: Vec<usize> = named;
            named.sort_unstable();
            let small: Vec<Call<'_>> = named.iter().map(|&at| calls[at]).collect();
            assert!(!brute::linearizable(&small, &Register), "{why} proves nothing: {}", context());
        }
    });
    println!("{found} contradictions");
    assert!(found > histories() / 20);
}

#[test]
fn a_stretch_that_is_a_contradiction_is_one_of_the_whole() {
    let mut found = 0;
    each(Flavour::Register, |calls, truth, rng, context| {
        let from = rng.random_range(1..=8);
        let until = from + rng.random_range(2..=12);
        let stretch = frontier::cut(calls, from, until);
        if frontier::is_contradiction(&stretch, &unlimited()) {
            found += 1;
            assert!(!truth, "instants {from} to {until}: {}", context());
        }
    });
    println!("{found} contradictions");
    assert!(found > histories() / 100);
}

#[test]
fn nothing_more_can_be_left_out_of_a_core() {
    let mut cores = 0;
    each(Flavour::Register, |calls, truth, _, context| {
        if truth {
            return;
        }
        cores += 1;
        let violated = |kept: &[Kept<'_>], budget: &Budget<'_>| {
            let calls: Vec<Call<'_>> = kept.iter().map(|kept| kept.call).collect();
            decide(&calls, budget) == Found::Violated
        };
        let all = shrink::prefix(calls, &Kind::Register, OPEN - 1);
        let core = shrink::shrink_from(all, calls, &Kind::Register, &violated, &unlimited());
        let holds = |kept: &[Kept<'_>]| {
            let calls: Vec<Call<'_>> = kept.iter().map(|kept| kept.call).collect();
            brute::linearizable(&calls, &Register)
        };
        assert!(!holds(&core), "the core is no contradiction: {}", context());
        for at in 0..core.len() {
            let call = core[at].call;
            let rest = shrink::without(&core, &Kind::Register, at..at + 1);
            if rest.len() < core.len() {
                assert!(holds(&rest), "{call} is not needed in {core:?}: {}", context());
            } else {
                // Its value was seen, or a refused CAS is there.
                let seen = core.iter().any(|kept| kept.call.observes() == call.puts());
                let refused = core.iter().any(|kept| kept.call.differs_from().is_some());
                assert!(call.puts().is_some() && (seen || refused), "{call} stays: {}", context());
            }
        }
    });
    println!("{cores} cores");
    assert!(cores > histories() / 20);
}

fn owned(op: Op, reply: Reply, call: u32, ret: u32) -> Owned {
    Owned { op, reply: (ret != OPEN).then_some(reply), call, ret }
}

fn swap(from: i64, to: i64, call: u32, ret: u32) -> Owned {
    let op = Op::Cas { key: Key::new(KEY), expected: Value::Int(from), new: Value::Int(to) };
    owned(op, Reply::Done, call, ret)
}

fn write(value: i64, call: u32, ret: u32) -> Owned {
    owned(Op::Write { key: Key::new(KEY), value: Value::Int(value) }, Reply::Done, call, ret)
}

fn read(value: i64, call: u32, ret: u32) -> Owned {
    owned(Op::Read { key: Key::new(KEY) }, Reply::Value(Value::Int(value)), call, ret)
}

/// Open CAS between all pairs of six values, one of them three times: edges that no path goes along once each.
fn hard() -> Vec<Owned> {
    let mut calls = vec![write(0, 1, 2)];
    let pairs = (0..6).flat_map(|from| (0..6).filter(move |to| *to != from).map(move |to| (from, to)));
    calls
        .extend(pairs.chain([(0, 1), (0, 1)]).zip(10..).map(|((from, to), at)| swap(from, to, at, at + 100)));
    calls
}

/// Looks until the answer, where the budget is used up at this look.
fn looks_with(limit: usize, work: impl FnOnce(&Budget<'_>)) -> usize {
    let looks = AtomicUsize::new(0);
    let expired = || looks.fetch_add(1, Ordering::Relaxed) + 1 >= limit;
    work(&Budget { expired: &expired, memory_bytes: usize::MAX });
    looks.into_inner()
}

/// The budget's clock counts looks, so that this does not depend on the machine: once it says that the time is up, nothing
/// may go on for long.
#[test]
fn a_tiny_budget_ends_every_stage() {
    let owned = hard();
    let calls = view(&owned);
    let kept = shrink::prefix(&calls, &Kind::Register, OPEN - 1);
    for limit in [1, 2, 10] {
        let looks = looks_with(limit, |budget| {
            let found = frontier::decide(&calls, budget);
            assert!(matches!(found, None | Some(Decided::Undecided(Cause::Time { .. }))));
        });
        assert!((limit..limit + 8).contains(&looks), "frontier: {looks} looks for {limit}");
        let looks = looks_with(limit, |budget| {
            let found = search::search(&calls, &Register, budget);
            assert!(matches!(found, Found::Undecided(Cause::Time { .. })), "{found:?}");
        });
        assert!((limit..limit + 8).contains(&looks), "search: {looks} looks for {limit}");
        let looks = looks_with(limit, |budget| assert!(!frontier::is_contradiction(&kept, budget)));
        assert!((limit..limit + 8).contains(&looks), "stretch: {looks} looks for {limit}");
        let looks = looks_with(limit, |budget| {
            let found = decide(&calls, budget);
            assert!(matches!(found, Found::Undecided(Cause::Time { .. })), "{found:?}");
        });
        assert!((limit..limit + 8).contains(&looks), "all stages: {looks} looks for {limit}");
        let looks = looks_with(limit, |budget| {
            let violated = |kept: &[Kept<'_>], budget: &Budget<'_>| {
                let calls: Vec<Call<'_>> = kept.iter().map(|kept| kept.call).collect();
                decide(&calls, budget) == Found::Violated
            };
            shrink::shrink_from(kept.clone(), &calls, &Kind::Register, &violated, budget);
        });
        assert!((limit..limit + 8).contains(&looks), "shrinking: {looks} looks for {limit}");
    }
}

#[test]
fn little_memory_ends_every_stage() {
    let owned = hard();
    let calls = view(&owned);
    let looks = AtomicUsize::new(0);
    // Without a memory limit this takes many times as many looks.
    let expired = || looks.fetch_add(1, Ordering::Relaxed) > 2_000;
    let budget = Budget { expired: &expired, memory_bytes: 1 << 16 };
    let found = decide(&calls, &budget);
    assert!(matches!(found, Found::Undecided(Cause::Memory { .. })), "{found:?}");
}

/// So many writes of a few values at once, then reads.
fn crowd(open: u32, reads: &[i64]) -> Vec<Owned> {
    let mut calls: Vec<Owned> = (0..open).map(|at| write(i64::from(at % 7), 1 + at, 10_000 + at)).collect();
    calls.extend(reads.iter().zip(0..).map(|(&value, at)| read(value, 20_000 + 10 * at, 20_005 + 10 * at)));
    calls
}

#[test]
fn thousands_of_open_calls_are_decided_by_the_frontier() {
    for open in [60, 65, 130, 300, 1_100] {
        let owned = crowd(open, &[3, 3]);
        let found = frontier::decide(&view(&owned), &unlimited());
        assert!(matches!(found, Some(Decided::Holds(_))), "{open} open calls");
        let owned = crowd(open, &[3, 4]);
        let found = frontier::decide(&view(&owned), &unlimited());
        assert!(matches!(found, Some(Decided::Violated(..))), "{open} open calls");
    }
    let owned = crowd(5_000, &[3, 3]);
    assert!(frontier::decide(&view(&owned), &unlimited()).is_none());
}

/// The order that callers get is one of the operations that they handed in.
#[test]
fn a_caller_can_replay_the_witness() {
    use crate::history::{Event, EventBody, History, Outcome, ProcessId};
    use crate::linearizability::{FailedCas, check_with_witness};
    use crate::model::Model;

    let mut events = Vec::new();
    let mut event = |process, body| {
        let time = events.len() as u64;
        events.push(Event { time, process: ProcessId(process), node: None, body });
    };
    for (key, seen) in [("a", 2), ("b", 1)] {
        let key = || Key::new(key);
        for process in [1, 2] {
            let value = Value::Int(process as i64);
            event(process, EventBody::Invoke(Op::Write { key: key(), value }));
        }
        for process in [1, 2] {
            event(process, EventBody::Complete(Outcome::Ok(Reply::Done)));
        }
        event(3, EventBody::Invoke(Op::Read { key: key() }));
        event(3, EventBody::Complete(Outcome::Ok(Reply::Value(Value::Int(seen)))));
    }
    let history = History { events };
    let operations = history.operations().expect("the history is well formed");
    let (_, witness) = check_with_witness(&operations, FailedCas::Observe, &unlimited());
    let witness = witness.expect("it holds");
    assert_eq!(witness.keys.len(), 2);
    for (key, order) in witness.keys {
        assert_eq!(order.len(), 3);
        let step = |state: Value, at: &usize| {
            assert_eq!(operations[*at].op.key(), key);
            Register.step(&state, operations[*at].op, operations[*at].reply()).expect("it replays")
        };
        order.iter().fold(Register.initial(), step);
    }
}

/// Without the last read there is an order, so the calls up to where all ways ended prove nothing: the read is why they did.
#[test]
fn a_value_that_is_gone_is_shown_with_the_call_that_looks_for_it() {
    let owned = [
        write(3, 3, OPEN),
        write(2, 4, 8),
        read(3, 10, 12),
        write(1, 15, 16),
        read(1, 20, 22),
        read(3, 29, 31),
    ];
    let calls = view(&owned);
    let Some(Decided::Violated(kept, Start::Initially)) = frontier::decide(&calls, &unlimited()) else {
        panic!("it is violated")
    };
    assert!(!brute::linearizable(&shrink::calls_of(&kept), &Register), "{kept:?}");
}

#[test]
fn a_cas_that_contradicts_itself_is_all_the_evidence() {
    let told = Reply::Mismatch(Some(Value::Int(2)));
    let op = Op::Cas { key: Key::new(KEY), expected: Value::Int(2), new: Value::Int(1) };
    let owned = [write(2, 2, 4), owned(op, told, 8, 12), swap(1, 2, 10, 13)];
    match crate::linearizability::judge_key(&view(&owned), &unlimited()) {
        Ruling::Violated(found) => assert_eq!(found.calls, [1], "{}", found.why),
        other => panic!("{other:?}"),
    }
}
