//! Every rule, every stage and the whole, compared with a twin that tries all orders of small random histories.
//!
//! A history is a story first: each call takes effect at some instant of its interval and answers what the model says.
//! Then some answers are falsified, so that about as many histories are violated as hold. Instants are few, so that many
//! coincide; values are few, or each is used once; outcomes get lost. The same seed is the same sequence of histories.
//!
//! This is for tests and for the example `twin`, which runs as long as one likes. It is no part of the interface.

mod stories;

use super::kinds::{Against, Judge, Kind, OfModel};
use super::search::{self, Found};
use super::shrink::{self, Kept};
use super::{Call, Decision, OPEN, Ruling, brute, decide, explained, orders, with_ration, witness};
use crate::generate::Random;
use crate::history::formats::Specification;
use crate::history::{Op, Reply, Value};
use crate::model::{
    Class, Counter, FencedLock, FifoQueue, GrowSet, List, Model, MultiRegister, Mutex, OwnerMutex, Register,
    UnorderedQueue,
};
use crate::verdict::{Budget, Cause};
use stories::{Extent, Scalar, Told, story};

/// What the comparison of many histories came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many hold; of large ones each is judged twice.
    pub hold: u64,
    /// How many are violated.
    pub violated: u64,
    /// Of those that hold, how many the exact rule decided.
    pub rule_holds: u64,
    /// Of those that are violated, how many the exact rule decided.
    pub rule_violated: u64,
    /// How many the search without a limit on unknown calls found violated.
    pub relaxed_violated: u64,
    /// How many calls there were.
    pub calls: u64,
    /// Of these, how many have no known outcome.
    pub unknown: u64,
    /// How many operations the counterexamples have, together.
    pub evidence: u64,
    /// How many judgements of large histories ended without an answer, because they may take only so long.
    pub undecided: u64,
}

impl std::ops::Add for Report {
    type Output = Report;

    fn add(self, other: Report) -> Report {
        Report {
            hold: self.hold + other.hold,
            violated: self.violated + other.violated,
            rule_holds: self.rule_holds + other.rule_holds,
            rule_violated: self.rule_violated + other.rule_violated,
            relaxed_violated: self.relaxed_violated + other.relaxed_violated,
            calls: self.calls + other.calls,
            unknown: self.unknown + other.unknown,
            evidence: self.evidence + other.evidence,
            undecided: self.undecided + other.undecided,
        }
    }
}

/// The models by the names of their specifications.
pub const MODELS: [Specification; 12] = Specification::ALL;

/// Compares so many small histories with the twin. Panics at the first disagreement, with the history.
pub fn compare(specification: Specification, seed: u64, rounds: u64) -> Report {
    run(specification, seed, rounds, Extent::Small)
}

/// Judges so many histories of up to a hundred calls and more that hold because of how they are made: the order that
/// they were made in is replayed first. Panics at the first one that is said to be violated.
pub fn compare_large(specification: Specification, seed: u64, rounds: u64) -> Report {
    run(specification, seed, rounds, Extent::LargeAndHonest)
}

fn run(specification: Specification, seed: u64, rounds: u64, extent: Extent) -> Report {
    let mut trial = Trial { extent, random: Random::new(seed), report: Report::default() };
    for round in 0..rounds {
        let about = || format!("{specification}, seed {seed}, round {round}");
        match specification {
            Specification::Register => trial.one(&Register, Kind::Register, Scalar::NoCas, &about),
            Specification::CasRegister => trial.one(&Register, Kind::Register, Scalar::Cas, &about),
            Specification::Kv => trial.one(&Register, Kind::Register, Scalar::Deletes, &about),
            Specification::Append => trial.one(&List, Kind::List, (), &about),
            Specification::Set => trial.one(&GrowSet, Kind::Set, (), &about),
            Specification::Counter => trial.one(&Counter, Kind::Counter, (), &about),
            Specification::FifoQueue => trial.one(&FifoQueue, Kind::FifoQueue, (), &about),
            Specification::UnorderedQueue => trial.one(&UnorderedQueue, Kind::UnorderedQueue, (), &about),
            Specification::Mutex => trial.one(&Mutex, Kind::Mutex, (), &about),
            Specification::OwnerMutex => trial.one(&OwnerMutex, Kind::OwnerMutex, (), &about),
            Specification::FencedLock => trial.one(&FencedLock, Kind::FencedLock, (), &about),
            Specification::MultiRegister => trial.one(&MultiRegister, Kind::MultiRegister, (), &about),
        }
    }
    trial.report
}

/// Many histories of one model.
struct Trial {
    extent: Extent,
    random: Random,
    report: Report,
}

impl Trial {
    fn one<M: Told<T>, T: Copy>(&mut self, model: &M, kind: Kind, taste: T, about: &dyn Fn() -> String) {
        let (owned, order) = story(model, taste, self.extent, &mut self.random);
        let calls = view(&owned);
        let about = || format!("{}: {owned:#?}", about());
        match self.extent {
            Extent::Small => small(&calls, model, kind, &mut self.report, &about),
            Extent::LargeAndHonest => {
                assert!(witness::replay(&calls, model, &order), "no honest story: {}", about());
                large(&calls, model, kind, &mut self.report, &about);
            }
        }
        self.report.calls += calls.len() as u64;
        self.report.unknown += calls.iter().filter(|call| call.ret == OPEN).count() as u64;
    }
}

/// A call that owns what [`Call`] borrows.
#[derive(Clone, Debug)]
struct Owned {
    op: Op,
    reply: Option<Reply>,
    call: u32,
    ret: u32,
}

fn view(owned: &[Owned]) -> Vec<Call<'_>> {
    let call = |(at, o): (usize, &'_ Owned)| (at as u32, o.call, o.ret);
    let view = |(at, o)| {
        let (origin, call, ret) = call((at, o));
        Call { op: &o.op, reply: o.reply.as_ref(), call, ret, origin }
    };
    owned.iter().enumerate().map(view).collect()
}

/// How often the judgement of a large history may look at the budget.
const LOOKS: u64 = 32;

/// Calls that hold.
fn large<M: Model>(
    calls: &[Call<'_>],
    model: &M,
    kind: Kind,
    report: &mut Report,
    about: &dyn Fn() -> String,
) {
    let budget = Budget { expired: &|| false, memory_bytes: 64 << 20 };
    match kind.rule(calls, &budget) {
        Ruling::Holds(order) => {
            report.rule_holds += 1;
            assert!(witness::replay(calls, model, &order), "bad order {order:?}: {}", about());
        }
        Ruling::NotCovered => {}
        other => panic!("the rule says {other:?}: {}", about()),
    }
    for against in [Against::Kind(kind), Against::Model(&OfModel(&Strange(model)))] {
        match with_ration(&budget, LOOKS, |budget| decide(calls, against, budget)) {
            Decision::Holds(_) => report.hold += 1,
            Decision::Undecided(Cause::Time { .. } | Cause::Memory { .. }) => report.undecided += 1,
            Decision::Undecided(cause) => panic!("{cause:?}: {}", about()),
            Decision::Contradicted(found) => panic!("the whole says {found:?}: {}", about()),
            Decision::Unexplained => panic!("the whole says violated: {}", about()),
        }
    }
}

/// Calls of which all orders are tried.
fn small<M: Model>(
    calls: &[Call<'_>],
    model: &M,
    kind: Kind,
    report: &mut Report,
    about: &dyn Fn() -> String,
) {
    let truth = brute::linearizable(calls, model);
    let budget = Budget { expired: &|| false, memory_bytes: usize::MAX };
    match kind.rule(calls, &budget) {
        Ruling::Holds(order) => {
            report.rule_holds += 1;
            assert!(truth, "the rule says holds: {}", about());
            assert!(witness::replay(calls, model, &order), "bad order {order:?}: {}", about());
        }
        Ruling::Violated(found) => {
            report.rule_violated += 1;
            assert!(!truth, "the rule says {found:?}: {}", about());
            // What values tell is only shown after it was made whole.
            if !kind.shows_values() {
                assert_proof(calls, model, &found.calls, about);
            }
        }
        Ruling::NotCovered => {}
        Ruling::Undecided(cause) => panic!("{cause:?}: {}", about()),
    }
    let relaxed = search::relaxed(calls, model, &budget);
    assert!(!truth || relaxed != Found::Violated, "the relaxation says violated: {}", about());
    report.relaxed_violated += u64::from(relaxed == Found::Violated);
    let exact = search::exact(calls, model, &budget);
    assert_eq!(matches!(exact, Found::Holds(_)), truth, "the exact search says {exact:?}: {}", about());
    if let Found::Holds(order) = search::search(calls, model, &budget) {
        assert!(witness::replay(calls, model, &order), "bad order {order:?}: {}", about());
    }
    // As a model of ours, and as one of somebody else, of which nothing but the classes is known.
    for against in [Against::Kind(kind), Against::Model(&OfModel(&Strange(model)))] {
        let decision = decide(calls, against, &budget);
        assert_eq!(matches!(decision, Decision::Holds(_)), truth, "the whole is wrong: {}", about());
        match explained(calls, decision, against, &budget) {
            Ruling::Holds(_) => {}
            Ruling::Violated(found) => {
                report.evidence += found.calls.len() as u64;
                let small = assert_proof(calls, model, &found.calls, about);
                assert_minimal(&small, model, against.judge(calls).expect("a judge"), about);
            }
            other => panic!("{other:?}: {}", about()),
        }
    }
    assert_drawn(calls, model, kind, truth, about);
    if truth { report.hold += 1 } else { report.violated += 1 }
}

/// The order that is drawn must be one of the longest beginning that has one.
fn assert_drawn<M: Model>(
    calls: &[Call<'_>],
    model: &M,
    kind: Kind,
    truth: bool,
    about: &dyn Fn() -> String,
) {
    let budget = Budget { expired: &|| false, memory_bytes: usize::MAX };
    let Some(drawn) = orders::of_calls(calls, Against::Kind(kind), &budget) else {
        panic!("no order is drawn: {}", about())
    };
    assert_eq!(drawn.breaks_at.is_none(), truth, "{:?}: {}", drawn.breaks_at, about());
    let Some(breaks_at) = drawn.breaks_at else { return };
    let beginning = |until: u32| shrink::prefix(calls, &kind, until);
    let last = calls[breaks_at].ret;
    let whole = shrink::calls_of(&beginning(last));
    assert!(!brute::linearizable(&whole, model), "it goes on behind {}: {}", calls[breaks_at], about());
    // At equal instants several return at once: those before the one at which it breaks belong to the beginning.
    let before = calls.iter().map(|call| call.ret).filter(|&ret| ret < last).max().unwrap_or(0);
    let kept = beginning(before);
    let order: Option<Vec<usize>> =
        drawn.order.iter().map(|at| kept.iter().position(|kept| kept.position == *at)).collect();
    let replays = |order: &Vec<usize>| witness::replay(&shrink::calls_of(&kept), model, order);
    assert!(order.as_ref().is_some_and(replays), "{:?} is drawn: {}", drawn.order, about());
}

/// The calls of a proof must be a contradiction by themselves. Returns them.
fn assert_proof<'h, M: Model>(
    calls: &[Call<'h>],
    model: &M,
    picked: &[usize],
    about: &dyn Fn() -> String,
) -> Vec<Call<'h>> {
    let mut picked = picked.to_vec();
    picked.sort_unstable();
    picked.dedup();
    let small: Vec<Call<'_>> = picked.iter().map(|&at| calls[at]).collect();
    assert!(!brute::linearizable(&small, model), "{small:?} proves nothing: {}", about());
    small
}

/// Whatever may be left out of a proof (see [`shrink`]) must be needed by it: a call that only observes, a part, an update
/// whose value nobody who is left can have seen.
fn assert_minimal<M: Model>(small: &[Call<'_>], model: &M, judge: &dyn Judge, about: &dyn Fn() -> String) {
    let kept: Vec<Kept<'_>> =
        small.iter().enumerate().map(|(position, &call)| Kept { call, position }).collect();
    for at in 0..kept.len() {
        let rest = shrink::calls_of(&shrink::without(&kept, judge, at..at + 1));
        let needed = rest.len() == small.len() || brute::linearizable(&rest, model);
        assert!(needed, "{} is not needed in {small:?}: {}", small[at], about());
    }
}

/// A model of which only the required parts and its parts are known.
struct Strange<'m, M>(&'m M);

impl<M: Model> Model for Strange<'_, M> {
    type State = M::State;

    fn initial(&self) -> M::State {
        self.0.initial()
    }

    fn class(&self, op: &Op) -> Option<Class> {
        self.0.class(op)
    }

    fn step(&self, state: &M::State, op: &Op, reply: Option<&Reply>) -> Option<M::State> {
        self.0.step(state, op, reply)
    }

    fn is_read_only(&self, op: &Op, reply: Option<&Reply>) -> bool {
        self.0.is_read_only(op, reply)
    }

    fn part(&self, op: &Op, reply: Option<&Reply>) -> Option<Value> {
        self.0.part(op, reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many histories of each model: more of them with `RAFTCHECK_TWIN_ROUNDS`, or with the example `twin`.
    fn rounds() -> u64 {
        let typed = std::env::var("RAFTCHECK_TWIN_ROUNDS").ok();
        typed.map_or(20_000, |text| text.parse().expect("RAFTCHECK_TWIN_ROUNDS is a number"))
    }

    fn agrees(specification: Specification) {
        let report = compare(specification, 20_261_121, rounds());
        println!("{specification}: {report:?}");
        let few = rounds() / 10;
        assert!(report.hold > few && report.violated > few, "lopsided: {report:?}");
    }

    /// Large histories that hold: most must be found to, and none to be violated.
    #[test]
    fn large_histories_that_hold_are_not_accused() {
        for specification in MODELS {
            let report = compare_large(specification, 20_261_121, rounds() / 40);
            println!("{specification}: {report:?}");
            assert!(report.hold > report.undecided * 4, "{specification}: too little is decided: {report:?}");
        }
    }

    #[test]
    fn registers_agree_with_the_twin() {
        [Specification::Register, Specification::CasRegister, Specification::Kv].into_iter().for_each(agrees);
    }

    #[test]
    fn collections_agree_with_the_twin() {
        [Specification::Append, Specification::Set, Specification::Counter].into_iter().for_each(agrees);
    }

    #[test]
    fn queues_agree_with_the_twin() {
        [Specification::FifoQueue, Specification::UnorderedQueue].into_iter().for_each(agrees);
    }

    #[test]
    fn locks_agree_with_the_twin() {
        [Specification::Mutex, Specification::OwnerMutex, Specification::FencedLock]
            .into_iter()
            .for_each(agrees);
    }

    #[test]
    fn registers_together_agree_with_the_twin() {
        agrees(Specification::MultiRegister);
    }
}
