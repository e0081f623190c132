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
use super::{Call, Decision, OPEN, Ruling, brute, decide, explained, witness};
use crate::generate::Random;
use crate::history::formats::Specification;
use crate::history::{Op, Reply, Value};
use crate::model::{
    Class, Counter, FencedLock, FifoQueue, GrowSet, List, Model, MultiRegister, Mutex, OwnerMutex, Register,
    UnorderedQueue,
};
use crate::verdict::Budget;
use stories::{Scalar, Told, story};

/// What the comparison of many histories came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many hold.
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
}

/// The models by the names of their specifications.
pub const MODELS: [Specification; 12] = Specification::ALL;

/// Compares so many histories. Panics at the first disagreement, with the history.
pub fn compare(specification: Specification, seed: u64, rounds: u64) -> Report {
    let mut report = Report::default();
    let mut random = Random::new(seed);
    for round in 0..rounds {
        let about = || format!("{specification}, seed {seed}, round {round}");
        match specification {
            Specification::Register => {
                one(&Register, Kind::Register, Scalar::NoCas, &mut random, &mut report, &about)
            }
            Specification::CasRegister => {
                one(&Register, Kind::Register, Scalar::Cas, &mut random, &mut report, &about)
            }
            Specification::Kv => {
                one(&Register, Kind::Register, Scalar::Deletes, &mut random, &mut report, &about)
            }
            Specification::Append => one(&List, Kind::List, (), &mut random, &mut report, &about),
            Specification::Set => one(&GrowSet, Kind::Set, (), &mut random, &mut report, &about),
            Specification::Counter => one(&Counter, Kind::Counter, (), &mut random, &mut report, &about),
            Specification::FifoQueue => {
                one(&FifoQueue, Kind::FifoQueue, (), &mut random, &mut report, &about)
            }
            Specification::UnorderedQueue => {
                one(&UnorderedQueue, Kind::UnorderedQueue, (), &mut random, &mut report, &about)
            }
            Specification::Mutex => one(&Mutex, Kind::Mutex, (), &mut random, &mut report, &about),
            Specification::OwnerMutex => {
                one(&OwnerMutex, Kind::OwnerMutex, (), &mut random, &mut report, &about)
            }
            Specification::FencedLock => {
                one(&FencedLock, Kind::FencedLock, (), &mut random, &mut report, &about)
            }
            Specification::MultiRegister => {
                one(&MultiRegister, Kind::MultiRegister, (), &mut random, &mut report, &about)
            }
        }
    }
    report
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

fn one<M: Told<T>, T: Copy>(
    model: &M,
    kind: Kind,
    taste: T,
    random: &mut Random,
    report: &mut Report,
    about: &dyn Fn() -> String,
) {
    let owned = story(model, taste, random);
    let calls = view(&owned);
    let truth = brute::linearizable(&calls, model);
    let about = || format!("{}: {owned:#?}", about());
    let budget = Budget { expired: &|| false, memory_bytes: usize::MAX };
    match kind.rule(&calls, &budget) {
        Ruling::Holds(order) => {
            report.rule_holds += 1;
            assert!(truth, "the rule says holds: {}", about());
            assert!(witness::replay(&calls, model, &order), "bad order {order:?}: {}", about());
        }
        Ruling::Violated(found) => {
            report.rule_violated += 1;
            assert!(!truth, "the rule says {found:?}: {}", about());
            // What values tell is only shown after it was made whole.
            if !kind.shows_values() {
                assert_proof(&calls, model, &found.calls, &about);
            }
        }
        Ruling::NotCovered => {}
        Ruling::Undecided(cause) => panic!("{cause:?}: {}", about()),
    }
    let relaxed = search::relaxed(&calls, model, &budget);
    assert!(!truth || relaxed != Found::Violated, "the relaxation says violated: {}", about());
    report.relaxed_violated += u64::from(relaxed == Found::Violated);
    let exact = search::exact(&calls, model, &budget);
    assert_eq!(matches!(exact, Found::Holds(_)), truth, "the exact search says {exact:?}: {}", about());
    if let Found::Holds(order) = search::search(&calls, model, &budget) {
        assert!(witness::replay(&calls, model, &order), "bad order {order:?}: {}", about());
    }
    // As a model of ours, and as one of somebody else, of which nothing but the classes is known.
    for against in [Against::Kind(kind), Against::Model(&OfModel(&Strange(model)))] {
        let decision = decide(&calls, against, &budget);
        assert_eq!(matches!(decision, Decision::Holds(_)), truth, "the whole is wrong: {}", about());
        match explained(&calls, decision, against, &budget) {
            Ruling::Holds(_) => {}
            Ruling::Violated(found) => {
                report.evidence += found.calls.len() as u64;
                // Registers have cores of their own, which their own tests look at.
                if kind != Kind::Register {
                    assert_proof(&calls, model, &found.calls, &about);
                }
            }
            other => panic!("{other:?}: {}", about()),
        }
    }
    report.calls += calls.len() as u64;
    report.unknown += calls.iter().filter(|call| call.ret == OPEN).count() as u64;
    if truth { report.hold += 1 } else { report.violated += 1 }
}

/// The calls of a proof must be a contradiction by themselves.
fn assert_proof<M: Model>(calls: &[Call<'_>], model: &M, picked: &[usize], about: &dyn Fn() -> String) {
    let mut picked = picked.to_vec();
    picked.sort_unstable();
    picked.dedup();
    let small: Vec<Call<'_>> = picked.iter().map(|&at| calls[at]).collect();
    assert!(!brute::linearizable(&small, model), "{small:?} proves nothing: {}", about());
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
