//! A store in memory and clients that drive a workload against it, for the tests of the kinds.
//!
//! Calls overlap: a client's call takes effect some turns after it was made, and some outcomes are unknown. All of it is
//! drawn from the seed.

use std::collections::BTreeMap;

use checker::history::{Key, Op, Outcome, ProcessId, Reply, Value};
use checker::params::{Kind, Param, Params};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::kinds::WorkloadKind;
use crate::step::{Context, Step, Workload};

/// One finished call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) client: usize,
    pub(crate) op: Op,
    pub(crate) outcome: Outcome,
}

/// A finished run: the calls in the order in which they were made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) calls: Vec<Call>,
    pub(crate) final_reads: Vec<Op>,
}

/// The defaults of a kind, for the types that the workloads of this crate use.
pub(crate) fn defaults(kind: &WorkloadKind) -> Params {
    let read = |kind: Kind, text: &str| match kind {
        Kind::Count { .. } => Param::Count(text.parse().expect("a default is well formed")),
        Kind::Weights(_) => Param::Weights(
            text.trim_matches(['{', '}', ' '])
                .split(',')
                .map(|pair| {
                    let (word, weight) = pair.split_once(':').expect("a weight is `word: number`");
                    (word.trim().to_owned(), weight.trim().parse().expect("a weight is a number"))
                })
                .collect(),
        ),
        other => panic!("no default of this type is known here: {other:?}"),
    };
    let params = kind.settings.iter().filter_map(|setting| {
        setting.default.map(|default| (setting.name.to_owned(), read(setting.kind, default)))
    });
    Params(params.collect())
}

/// Drives a workload until `total` calls were made.
pub(crate) fn run(kind: &WorkloadKind, params: &Params, clients: usize, seed: u64, total: usize) -> Run {
    let mut workload = (kind.build)(params, clients, seed).expect("the settings are well formed");
    let mut scheduler = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed);
    let mut store: BTreeMap<Key, Value> = BTreeMap::new();
    let mut processes: Vec<ProcessId> = (0..clients as u64).map(ProcessId).collect();
    let mut open: Vec<Option<usize>> = vec![None; clients];
    let mut calls: Vec<Call> = Vec::new();
    while calls.len() < total {
        let client = scheduler.random_range(0..clients);
        let Some(position) = open[client].take() else {
            let cx = Context { client, process: processes[client], now_ns: calls.len() as u64 };
            let Step::Call(op) = workload.next(&cx) else { panic!("a workload without a rate never waits") };
            open[client] = Some(calls.len());
            calls.push(Call { client, op, outcome: Outcome::Unknown("still open".to_owned()) });
            continue;
        };
        let op = calls[position].op.clone();
        let mut outcome = Outcome::Ok(apply(&mut store, &op));
        if scheduler.random_range(0..50) == 0 {
            outcome = Outcome::Unknown("timed out".to_owned());
        }
        workload.completed(processes[client], &op, &outcome);
        if matches!(outcome, Outcome::Unknown(_)) {
            processes[client].0 += clients as u64;
        }
        calls[position].outcome = outcome;
    }
    Run { final_reads: workload.final_reads(), calls }
}

fn apply(store: &mut BTreeMap<Key, Value>, op: &Op) -> Reply {
    let current = store.get(op.key()).cloned().unwrap_or_default();
    match op {
        Op::Read { .. } | Op::Members { .. } => return Reply::Value(current),
        Op::Write { key, value } => store.insert(key.clone(), value.clone()),
        Op::Cas { expected, .. } if *expected != current => return Reply::Mismatch(Some(current)),
        Op::Cas { key, new, .. } => store.insert(key.clone(), new.clone()),
        Op::Delete { key } => store.remove(key),
        Op::Append { key, value } | Op::Add { key, value } => {
            let mut items = if let Value::List(items) = current { items } else { Vec::new() };
            items.push(value.clone());
            store.insert(key.clone(), Value::List(items))
        }
        Op::Other { function, .. } => panic!("no workload asks for a {function}"),
    };
    Reply::Done
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for kind in crate::registry() {
        let params = defaults(kind);
        assert_eq!(run(kind, &params, 7, 99, 3000), run(kind, &params, 7, 99, 3000), "{}", kind.name);
        assert_ne!(run(kind, &params, 7, 99, 3000), run(kind, &params, 7, 100, 3000), "{}", kind.name);
    }
}

/// The functions and slots that a client asks for, and the values that it writes, stay the same when others join.
#[test]
fn another_client_shifts_nobody() {
    for kind in crate::registry() {
        let params = defaults(kind);
        let asked = |clients: usize| {
            let run = run(kind, &params, clients, 4, 400 * clients);
            let of_client_2 = run.calls.into_iter().filter(|call| call.client == 2);
            let shape = |op: &Op| {
                let slot = op.key().0.split('-').next().map(str::to_owned);
                let value = match op {
                    Op::Write { value, .. } | Op::Append { value, .. } | Op::Add { value, .. } => {
                        Some(value.clone())
                    }
                    Op::Cas { new, .. } => Some(new.clone()),
                    _ => None,
                };
                (slot, value)
            };
            of_client_2.map(|call| shape(&call.op)).take(250).collect::<Vec<_>>()
        };
        assert_eq!(asked(3), asked(9), "{}", kind.name);
    }
}
