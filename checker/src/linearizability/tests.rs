//! Each rule and the whole against the dumb twin, on random small histories.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::kinds::{Judge, Kind};
use super::search::Found;
use super::shrink::Kept;
use super::*;
use crate::history::{Event, EventBody, Op, Outcome, ProcessId, Value};
use crate::model::{GrowSet, List, Model, Register};

pub(super) const KEY: &str = "k";
const HISTORIES: usize = 120_000;

/// A generated call that owns what [`Call`] borrows.
#[derive(Clone, Debug)]
pub(super) struct Owned {
    pub(super) op: Op,
    pub(super) reply: Option<Reply>,
    pub(super) call: u32,
    pub(super) ret: u32,
}

pub(super) fn view(owned: &[Owned]) -> Vec<Call<'_>> {
    let call = |(at, o): (usize, &'_ Owned)| (at as u32, o.call, o.ret);
    owned
        .iter()
        .enumerate()
        .map(|(at, o)| {
            let (origin, call, ret) = call((at, o));
            Call { op: &o.op, reply: o.reply.as_ref(), call, ret, origin }
        })
        .collect()
}

fn never() -> bool {
    false
}

pub(super) fn unlimited() -> Budget<'static> {
    Budget { expired: &never, memory_bytes: usize::MAX }
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Flavour {
    UniqueRegister,
    Register,
    UniqueList,
    List,
    UniqueSet,
    Set,
}

/// Random calls of a few processes, with instants that often coincide, and replies drawn from what is plausible.
pub(super) fn generate(rng: &mut ChaCha8Rng, flavour: Flavour) -> Vec<Owned> {
    let n = rng.random_range(1..=8i64);
    let processes = rng.random_range(1..=4usize);
    let unknown = rng.random_range(0..3);
    let refused = rng.random_range(0..3) == 0;
    let told = rng.random_bool(0.5);
    let mut free = vec![1u32; processes];
    let mut owned: Vec<Owned> = Vec::new();
    let mut truth: Vec<i64> = Vec::new();
    for fresh in 1..=n {
        let process = rng.random_range(0..processes);
        let call = free[process] + rng.random_range(0..3);
        let ret = call + rng.random_range(0..5);
        free[process] = ret + rng.random_range(1..3);
        let key = Key::new(KEY);

        let domain = rng.random_range(1..=3);
        let new = match flavour {
            Flavour::UniqueRegister | Flavour::UniqueList | Flavour::UniqueSet => fresh,
            _ => rng.random_range(1..=domain),
        };
        let seen = |rng: &mut ChaCha8Rng| match rng.random_range(0..=fresh.min(4)) {
            0 => Value::Nil,
            back => Value::Int((fresh - back + 1).max(1)),
        };
        let (op, reply) = match flavour {
            Flavour::UniqueRegister | Flavour::Register => match rng.random_range(0..8) {
                0..=2 => (Op::Read { key }, Reply::Value(seen(rng))),
                3..=4 => (Op::Write { key, value: Value::Int(new) }, Reply::Done),
                5 if flavour == Flavour::Register && rng.random_bool(0.4) => {
                    (Op::Delete { key }, Reply::Done)
                }
                5..=6 => (Op::Cas { key, expected: seen(rng), new: Value::Int(new) }, Reply::Done),
                _ if refused => {
                    let found = told.then(|| seen(rng));
                    (Op::Cas { key, expected: seen(rng), new: Value::Int(new) }, Reply::Mismatch(found))
                }
                _ => (Op::Read { key }, Reply::Value(seen(rng))),
            },
            Flavour::UniqueList | Flavour::List | Flavour::UniqueSet | Flavour::Set => {
                let set = matches!(flavour, Flavour::UniqueSet | Flavour::Set);
                if rng.random_bool(0.5) {
                    truth.push(new);
                    if rng.random_range(0..4) == 0 {
                        let at = rng.random_range(0..truth.len());
                        let last = truth.len() - 1;
                        truth.swap(at, last);
                    }
                    let value = Value::Int(new);
                    (if set { Op::Add { key, value } } else { Op::Append { key, value } }, Reply::Done)
                } else {
                    let length = rng.random_range(0..=truth.len());
                    let mut items: Vec<i64> = match rng.random_bool(0.7) {
                        true => truth.clone(),
                        false => truth[..length].to_vec(),
                    };
                    if rng.random_range(0..6) == 0 && !items.is_empty() {
                        items.remove(rng.random_range(0..items.len()));
                    }
                    let items = Value::List(items.into_iter().map(Value::Int).collect());
                    (if set { Op::Members { key } } else { Op::Read { key } }, Reply::Value(items))
                }
            }
        };
        let open = !op.is_read() && !matches!(reply, Reply::Mismatch(_)) && rng.random_range(0..6) < unknown;
        owned.push(match open {
            true => {
                free[process] = call + 1;
                Owned { op, reply: None, call, ret: OPEN }
            }
            false => Owned { op, reply: Some(reply), call, ret },
        });
    }
    owned.sort_by_key(|o| o.call);
    owned
}

pub(super) fn seed() -> u64 {
    let seed = match std::env::var("CHECKER_SEED") {
        Ok(text) => text.parse().expect("CHECKER_SEED is a number"),
        Err(_) => 20_261_120,
    };
    println!("CHECKER_SEED={seed}");
    seed
}

pub(super) fn histories() -> usize {
    std::env::var("CHECKER_HISTORIES")
        .map_or(HISTORIES, |n| n.parse().expect("CHECKER_HISTORIES is a number"))
}

fn compare<M: Model>(flavour: Flavour, model: &M, kind: Kind) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    let (mut held, mut violated, mut covered) = (0, 0, 0);
    for round in 0..histories() {
        let owned = generate(&mut rng, flavour);
        let calls = view(&owned);
        let truth = brute::linearizable(&calls, model);
        let context = || format!("round {round}: {owned:#?}");
        match kind.rule(&calls, &unlimited()) {
            Ruling::Holds(order) => {
                covered += 1;
                assert!(truth, "the rule says holds, {}", context());
                assert!(witness::replay(&calls, model, &order), "bad witness {order:?}, {}", context());
            }
            Ruling::Violated(found) => {
                covered += 1;
                assert!(!truth, "the rule says {found:?}, {}", context());
                let sharp = shrink::sharpen(&calls, found, &kind, &unlimited());
                assert_proof(&calls, model, &sharp, &context);
            }
            Ruling::NotCovered => {}
            Ruling::Undecided(cause) => panic!("{cause:?}, {}", context()),
        }
        let relaxed = search::relaxed(&calls, model, &unlimited());
        assert!(!truth || relaxed != Found::Violated, "the relaxation says violated, {}", context());
        let exact = search::exact(&calls, model, &unlimited());
        assert_eq!(
            matches!(exact, Found::Holds(_)),
            truth,
            "the exact search alone says {exact:?}, {}",
            context()
        );
        match search::search(&calls, model, &unlimited()) {
            Found::Holds(order) => {
                assert!(truth, "the search says holds, {}", context());
                assert!(witness::replay(&calls, model, &order), "bad witness {order:?}, {}", context());
            }
            Found::Violated => {
                assert!(!truth, "the search says violated, {}", context());
                let violated = |kept: &[Kept<'_>], budget: &Budget<'_>| {
                    search::search(&shrink::calls_of(kept), model, budget) == Found::Violated
                };
                let all = shrink::prefix(&calls, &kind, OPEN - 1);
                let small =
                    shrink::calls_of(&shrink::shrink_from(all, &calls, &kind, &violated, &unlimited()));
                assert!(
                    !brute::linearizable(&small, model),
                    "the core {small:?} is not violated, {}",
                    context()
                );
            }
            Found::Undecided(cause) => panic!("{cause:?}, {}", context()),
        }
        let whole = matches!(decide(&calls, Against::Store, &unlimited()), Decision::Holds(_));
        assert_eq!(whole, truth, "the whole is wrong, {}", context());
        match truth {
            true => held += 1,
            false => violated += 1,
        }
    }
    println!("{held} hold, {violated} violated, the exact rule covered {covered}");
    assert!(held > histories() / 20 && violated > histories() / 20, "the generator is lopsided");
}

/// The calls that a rule names must be a contradiction by themselves.
fn assert_proof<M: Model>(
    calls: &[Call<'_>],
    model: &M,
    found: &Contradiction,
    context: &dyn Fn() -> String,
) {
    assert!(!found.calls.is_empty() && !found.why.is_empty());
    let mut picked = found.calls.clone();
    picked.sort_unstable();
    picked.dedup();
    let small: Vec<Call<'_>> = picked.iter().map(|&at| calls[at]).collect();
    assert!(!brute::linearizable(&small, model), "{found:?} proves nothing, {}", context());
    // Nothing that the evidence saw may lack the call that made it, unless there is none.
    for call in &small {
        let Some(seen) = call.observes() else { continue };
        let made = |within: &[Call<'_>]| within.iter().any(|c| c.puts() == Some(seen));
        assert!(made(&small) || !made(calls), "{found:?} leaves out the producer of {seen}, {}", context());
    }
}

#[test]
fn unique_registers_agree_with_the_dumb_twin() {
    compare(Flavour::UniqueRegister, &Register, Kind::Register);
}

#[test]
fn registers_agree_with_the_dumb_twin() {
    compare(Flavour::Register, &Register, Kind::Register);
}

#[test]
fn unique_lists_agree_with_the_dumb_twin() {
    compare(Flavour::UniqueList, &List, Kind::List);
}

#[test]
fn lists_agree_with_the_dumb_twin() {
    compare(Flavour::List, &List, Kind::List);
}

#[test]
fn unique_sets_agree_with_the_dumb_twin() {
    compare(Flavour::UniqueSet, &GrowSet, Kind::Set);
}

#[test]
fn sets_agree_with_the_dumb_twin() {
    compare(Flavour::Set, &GrowSet, Kind::Set);
}

/// A run of ten clients on one honest register: unique values, one update in five of unknown outcome, and refused CAS
/// that do not say what they found.
fn honest_run(seed: u64, n: usize) -> Vec<Owned> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut owned, mut state, mut now) = (Vec::<Owned>::new(), Value::Nil, 0);
    // Per client: its open call, and whether it took effect already.
    let mut open: Vec<Option<(usize, bool)>> = vec![None; 10];
    while owned.len() < n || open.iter().any(Option::is_some) {
        now += 1;
        let client = rng.random_range(0..open.len());
        match open[client] {
            None if owned.len() < n => {
                let (key, fresh) = (Key::new(KEY), Value::Int(owned.len() as i64 + 1));
                let op = match rng.random_range(0..10) {
                    0..5 => Op::Read { key },
                    5..8 => Op::Write { key, value: fresh },
                    _ => Op::Cas { key, expected: state.clone(), new: fresh },
                };
                open[client] = Some((owned.len(), false));
                owned.push(Owned { op, reply: None, call: now, ret: OPEN });
            }
            None => {}
            Some((at, false)) => {
                let reply = match &owned[at].op {
                    Op::Read { .. } => Reply::Value(state.clone()),
                    Op::Cas { expected, .. } if *expected != state => Reply::Mismatch(None),
                    Op::Cas { new: value, .. } | Op::Write { value, .. } => {
                        state = value.clone();
                        Reply::Done
                    }
                    other => panic!("{other:?} is not generated"),
                };
                owned[at].reply = Some(reply);
                open[client] = Some((at, true));
            }
            Some((at, true)) => {
                match owned[at].op.is_read() || rng.random_range(0..5) > 0 {
                    true => owned[at].ret = now,
                    false => owned[at].reply = None,
                }
                open[client] = None;
            }
        }
    }
    owned
}

/// Unknown outcomes and refused CAS together are what exhausts a plain search: here there is none.
#[test]
fn many_unknown_outcomes_and_refused_cas_are_decided_without_a_search() {
    let mut without_search = 0;
    for seed in 0..50 {
        let owned = honest_run(seed, 300);
        let calls = view(&owned);
        match unique::judge(&calls, &unlimited()) {
            Ruling::Holds(order) => {
                without_search += 1;
                assert!(witness::replay(&calls, &Register, &order), "seed {seed}");
            }
            Ruling::NotCovered => {}
            other => panic!("seed {seed}: an honest run is {other:?}"),
        }
    }
    assert!(without_search >= 45, "only {without_search} of 50 runs were decided");
}

/// A key that nothing decides in reasonable time: a CAS from every one of six values to every other, and two more from the
/// first to the second, all open at once. They are edges that no path goes along once each, and which of
/// them can be gone along is a question with 2^30 answers.
fn hard_key(events: &mut Vec<Event>) {
    let key = || Key::new("hard");
    let mut event =
        |process, body| events.push(Event { time: 0, process: ProcessId(process), node: None, body });
    event(0, EventBody::Invoke(Op::Write { key: key(), value: Value::Int(0) }));
    event(0, EventBody::Complete(Outcome::Ok(Reply::Done)));
    let pairs = (0..6).flat_map(|from| (0..6).filter(move |to| *to != from).map(move |to| (from, to)));
    let swaps: Vec<(i64, i64)> = pairs.chain([(0, 1), (0, 1)]).collect();
    for (process, &(from, to)) in (1..).zip(&swaps) {
        let (expected, new) = (Value::Int(from), Value::Int(to));
        event(process, EventBody::Invoke(Op::Cas { key: key(), expected, new }));
    }
    for process in 1..=swaps.len() as u64 {
        event(process, EventBody::Complete(Outcome::Ok(Reply::Done)));
    }
}

#[test]
fn a_hard_key_does_not_hide_the_violation_of_another() {
    let mut events = Vec::new();
    hard_key(&mut events);
    let looks = AtomicUsize::new(0);
    let expired = || looks.fetch_add(1, Ordering::Relaxed) > 500;
    let budget = Budget { expired: &expired, memory_bytes: 1 << 30 };
    let alone = check(&History { events: events.clone() }, FailedCas::Observe, &budget);
    assert!(matches!(alone, Verdict::Inconclusive(Cause::Time { .. })), "the key is not hard: {alone:?}");

    let key = || Key::new("easy");
    for (op, reply) in [
        (Op::Write { key: key(), value: Value::Int(1) }, Reply::Done),
        (Op::Read { key: key() }, Reply::Value(Value::Nil)),
    ] {
        let process = ProcessId(0);
        events.push(Event { time: 0, process, node: None, body: EventBody::Invoke(op) });
        let body = EventBody::Complete(Outcome::Ok(reply));
        events.push(Event { time: 0, process, node: None, body });
    }
    looks.store(0, Ordering::Relaxed);
    match check(&History { events }, FailedCas::Observe, &budget) {
        Verdict::Violated(found) => assert_eq!(found.evidence.len(), 2, "{found:?}"),
        other => panic!("{other:?}"),
    }
    assert!(looks.into_inner() < 200, "the hard key was judged first");
}
