//! The promised verdict against the dumb twin, that tries every order; and that a seed means one history.

use super::*;
use crate::history::formats::{self, Format, Keys, NilReads, Reading, Specification};
use crate::history::{History, Operation};
use crate::linearizability::{FailedCas, check_specification};
use crate::model::{
    Counter, FencedLock, FifoQueue, GrowSet, List, MultiRegister, Mutex, OwnerMutex, Register, UnorderedQueue,
};
use crate::verdict::{Budget, Verdict};

const VIOLATIONS: [Option<Violation>; 4] =
    [None, Some(Violation::Stale), Some(Violation::Lost), Some(Violation::Reordered)];

fn history(settings: &Settings) -> (History, Truth) {
    let mut events = Vec::new();
    let truth = generate(settings, &mut |event| events.push(event.clone())).expect("possible settings");
    (History { events }, truth)
}

/// Whether some order of these operations of one key respects time and the model. Tries all.
fn some_order<M: crate::model::Model>(model: &M, left: &[Operation<'_>], state: &M::State) -> bool {
    if left.iter().all(|operation| operation.acknowledged().is_none()) {
        return true;
    }
    let end = left.iter().filter_map(Operation::acknowledged).map(|point| point.index).min();
    (0..left.len()).any(|at| {
        let operation = &left[at];
        if end.is_some_and(|end| end < operation.invoked.index) {
            return false;
        }
        let mut rest = left.to_vec();
        rest.remove(at);
        model.step(state, operation.op, operation.reply()).is_some_and(|next| some_order(model, &rest, &next))
    })
}

fn linearizable(model: Specification, history: &History, keys: u32) -> bool {
    let operations = history.operations().expect("a recording");
    (0..keys).all(|key| {
        let key = key.to_string();
        let of_key = |operation: &&Operation<'_>| *operation.op.key().0 == *key && !operation.failed();
        let left: Vec<Operation<'_>> = operations.iter().filter(of_key).copied().collect();
        fn of<M: crate::model::Model>(model: M, left: &[Operation<'_>]) -> bool {
            some_order(&model, left, &model.initial())
        }
        match model {
            Specification::Register | Specification::CasRegister | Specification::Kv => of(Register, &left),
            Specification::Append => of(List, &left),
            Specification::Set => of(GrowSet, &left),
            Specification::Counter => of(Counter, &left),
            Specification::FifoQueue => of(FifoQueue, &left),
            Specification::UnorderedQueue => of(UnorderedQueue, &left),
            Specification::Mutex => of(Mutex, &left),
            Specification::OwnerMutex => of(OwnerMutex, &left),
            Specification::FencedLock => of(FencedLock, &left),
            Specification::MultiRegister => of(MultiRegister, &left),
        }
    })
}

fn verdict(model: Specification, history: &History) -> Verdict {
    let budget = Budget { expired: &|| false, memory_bytes: 1 << 28 };
    check_specification(history, model, FailedCas::Observe, &budget)
}

/// Every combination, with sizes that the seed varies.
fn combinations(seed: u64, operations: u64) -> impl Iterator<Item = Settings> {
    let values = [Values::Unique, Values::Few(2), Values::Few(3)];
    Specification::ALL.into_iter().flat_map(move |model| {
        let known = move |violation: &Option<Violation>| {
            violation.is_none_or(|violation| violation.is_known_to(model))
        };
        VIOLATIONS.into_iter().filter(known).flat_map(move |violation| {
            values.into_iter().map(move |values| Settings {
                model,
                operations,
                clients: 1 + (seed % 4) as u32,
                unknown: [0.0, 0.3, 0.6][(seed / 4 % 3) as usize],
                keys: 1 + (seed / 12 % 2) as u32,
                values,
                violation,
                seed,
            })
        })
    })
}

#[test]
fn the_promised_verdict_is_that_of_the_dumb_twin() {
    let (mut holds, mut violated) = (0, 0);
    for seed in 0..150 {
        for settings in combinations(seed, 4 + seed % 4) {
            if settings.operations < woven(settings.model) {
                continue;
            }
            let (history, truth) = history(&settings);
            let linearizable = linearizable(settings.model, &history, settings.keys);
            assert_eq!(linearizable, truth.violation.is_none(), "{settings:?}\n{history:#?}");
            assert_eq!(truth.operations, settings.operations);
            if linearizable { holds += 1 } else { violated += 1 }
        }
    }
    println!("{holds} hold, {violated} are violated");
    assert!(holds > 1000 && violated > 1000);
}

#[test]
fn the_checker_agrees_on_larger_ones() {
    for seed in 0..12 {
        for settings in combinations(seed, 60) {
            let settings = Settings { unknown: settings.unknown / 6.0, ..settings };
            let (history, truth) = history(&settings);
            match verdict(settings.model, &history) {
                Verdict::Holds(_) => assert_eq!(truth.violation, None, "{settings:?}"),
                Verdict::Violated(_) => assert!(truth.violation.is_some(), "{settings:?}"),
                Verdict::Inconclusive(cause) => panic!("{cause:?}: {settings:?}"),
            }
        }
    }
}

#[test]
fn a_seed_is_one_history_and_another_seed_another() {
    for settings in combinations(7, 200) {
        let (first, truth) = history(&settings);
        assert_eq!((first.clone(), truth), history(&settings));
        assert_ne!(first, history(&Settings { seed: 8, ..settings }).0);
        let share = first.counts().all().unknown as f64 / 200.0;
        // On the key of a violation there may be none.
        let marked = settings.violation.is_some() && marks_keys(settings.model);
        assert!(settings.unknown == 0.0 || share > 0.02 || marked, "{share}: {settings:?}");
    }
}

#[test]
fn what_is_written_as_edn_is_the_same_history() {
    for settings in combinations(13, 80) {
        let (original, _) = history(&settings);
        let mut writer = EdnWriter::new(settings.keys);
        let mut text = String::new();
        original.events.iter().for_each(|event| writer.event(event, &mut text));
        let keys = if settings.keys > 1 { Keys::Independent } else { Keys::Unsaid };
        let cas_failure = formats::CasFailure::Mismatch;
        let reading = Reading { keys, cas_failure, ..Reading::default() };
        assert_eq!(formats::detect(text.as_bytes()), Some(Format::JepsenEdn));
        let mut read = formats::read(Format::JepsenEdn, text.as_bytes(), &reading).expect("readable");
        Specification::detect(&read).expect("a model");
        let specification = settings.model;
        specification.fits(&read.functions).expect("its functions");
        specification.settle(&mut read, NilReads::Exact).expect("known values");
        assert_eq!(read.history().events.len(), original.events.len());
        assert_eq!(
            std::mem::discriminant(&verdict(settings.model, &read.history())),
            std::mem::discriminant(&verdict(settings.model, &original)),
            "{settings:?}\n{text}"
        );
    }
}

#[test]
fn impossible_settings_are_refused() {
    let settings = combinations(0, 10).find(|settings| settings.violation.is_some()).expect("one");
    let refused = |settings: Settings| generate(&settings, &mut |_| panic!("an event")).is_err();
    assert!(refused(Settings { values: Values::Few(1), ..settings }));
    assert!(refused(Settings { operations: 3, ..settings }));
    assert!(refused(Settings { clients: 0, ..settings }));
    assert!(refused(Settings { unknown: f64::NAN, ..settings }));
}
