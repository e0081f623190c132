//! `register`: reads, blind writes and compare-and-set on a few registers at a time.
//!
//! ```yaml
//! workload:
//!   kind: register
//!   clients: 10
//!   rate: 400/s
//!   keys: 8
//!   mix: { read: 5, write: 4, cas: 1 }
//!   op-timeout: 1s
//! ```
//!
//! What the reader will see: calls like `write r3-0 17003` and `read r3-0 -> 17003`. A value tells its writer (the 17th
//! value of client 3), and every value is written once. A compare-and-set expects a value that was seen or written
//! lately: mostly the newest that any client knows, so that a fair share succeeds, and else the client's own last one,
//! so that mismatches occur too. Where nothing is known of a key, it becomes a write.
//!
//! Deliberately absent: a compare-and-set of an absent key, which not every store can express.

use std::collections::BTreeMap;

use checker::history::{Key, Op, Outcome, ProcessId, Reply, Value};
use checker::params::{Kind, Params, Setting};

use super::WorkloadKind;
use crate::draw::{Draws, Mix};
use crate::keys::Keys;
use crate::settings;
use crate::step::{Context, Step, Workload};
use crate::values::Values;

pub(super) const KIND: WorkloadKind = WorkloadKind {
    name: "register",
    summary: "reads, writes and compare-and-set on a few registers at a time",
    sees: "calls like `write r3-0 17003` and `read r3-0 -> 17003`, where 17003 is the 17th value of client 3",
    example: "workload:\n  kind: register\n  clients: 10\n  rate: 400/s\n  keys: 8\n  mix: { read: 5, write: 4, cas: 1 }\n  \
              op-timeout: 1s\n",
    settings: &[
        settings::keys("8"),
        settings::ops_per_key("300"),
        Setting {
            name: "mix",
            kind: Kind::Weights(&WORDS),
            default: Some("{ read: 5, write: 4, cas: 1 }"),
            doc: "How often each function is called, relative to the others. A function that is not listed is not called.",
        },
    ],
    functions,
    model: "register",
    checks: &["linearizable", "lost-commits", "stale-read", "monotonic-reads", "read-your-writes"],
    build,
};

const WORDS: [&str; 4] = ["read", "write", "cas", "delete"];

/// Of 4 compare-and-sets, so many expect the newest value that any client knows.
const NEWEST_IN_4: u32 = 3;

fn functions(params: &Params) -> Vec<&'static str> {
    let mut functions = settings::weighted(params, &WORDS);
    if functions.contains(&"cas") && !functions.contains(&"write") {
        functions.push("write");
    }
    if !functions.contains(&"read") {
        functions.push("read");
    }
    functions
}

fn build(params: &Params, clients: usize, seed: u64) -> Result<Box<dyn Workload>, String> {
    let slots = settings::count(params, "keys")? as usize;
    let mix = Mix::new(&WORDS, settings::weights(params, "mix")?)?;
    Ok(Box::new(Register {
        draws: Draws::new(seed, clients, slots, mix),
        keys: Keys::new('r', slots, settings::count(params, "ops-per-key")?),
        values: Values::new(clients)?,
        known: BTreeMap::new(),
        clients: BTreeMap::new(),
    }))
}

struct Register {
    draws: Draws,
    keys: Keys,
    values: Values,
    /// What was seen of the keys in use.
    known: BTreeMap<Key, Known>,
    /// Which client a process id belongs to, for those with an open call.
    clients: BTreeMap<ProcessId, usize>,
}

#[derive(Default)]
struct Known {
    newest: Option<Value>,
    by_client: BTreeMap<usize, Value>,
}

impl Register {
    fn cas(&mut self, client: usize, key: Key, pick: u32) -> Op {
        let new = self.values.fresh(client);
        match self.expected(client, &key, pick) {
            Some(expected) => Op::Cas { key, expected, new },
            None => Op::Write { key, value: new },
        }
    }

    fn expected(&self, client: usize, key: &Key, pick: u32) -> Option<Value> {
        let known = self.known.get(key)?;
        let own = known.by_client.get(&client);
        let newest = known.newest.as_ref();
        let choice = if pick % 4 < NEWEST_IN_4 { newest.or(own) } else { own.or(newest) };
        choice.filter(|value| **value != Value::Nil).cloned()
    }

    fn learn(&mut self, client: Option<usize>, key: &Key, value: Value, certainty: Certainty) {
        let known = self.known.entry(key.clone()).or_default();
        if let Some(client) = client {
            known.by_client.insert(client, value.clone());
        }
        if certainty == Certainty::Seen {
            known.newest = Some(value);
        }
    }

    fn forget_replaced_keys(&mut self) {
        // Only now and then, and only once there is something to forget.
        if self.known.len() > 2 * self.keys.in_use() {
            let keys = &self.keys;
            self.known.retain(|key, _| keys.is_current(key));
        }
    }
}

/// Whether a value was in the register, or only may have been.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Certainty {
    Seen,
    Possible,
}

impl Workload for Register {
    fn next(&mut self, cx: &Context) -> Step {
        let draw = self.draws.next(cx.client);
        let key = self.keys.take(draw.slot);
        self.clients.insert(cx.process, cx.client);
        self.forget_replaced_keys();
        Step::Call(match WORDS[draw.function] {
            "read" => Op::Read { key },
            "write" => Op::Write { key, value: self.values.fresh(cx.client) },
            "cas" => self.cas(cx.client, key, draw.pick),
            _ => Op::Delete { key },
        })
    }

    fn completed(&mut self, process: ProcessId, op: &Op, outcome: &Outcome) {
        let client = self.clients.remove(&process);
        if !self.keys.is_current(op.key()) {
            return;
        }
        let learnt = match (op, outcome) {
            (Op::Read { .. }, Outcome::Ok(Reply::Value(value))) => Some((value, Certainty::Seen)),
            (Op::Write { value, .. } | Op::Cas { new: value, .. }, Outcome::Ok(Reply::Done)) => {
                Some((value, Certainty::Seen))
            }
            (Op::Cas { .. }, Outcome::Ok(Reply::Mismatch(Some(value)))) => Some((value, Certainty::Seen)),
            (Op::Delete { .. }, Outcome::Ok(_)) => Some((&Value::Nil, Certainty::Seen)),
            // A later compare-and-set that expects it and succeeds proves that the write took effect after all.
            (Op::Write { value, .. } | Op::Cas { new: value, .. }, Outcome::Unknown(_)) => {
                Some((value, Certainty::Possible))
            }
            _ => None,
        };
        if let Some((value, certainty)) = learnt {
            self.learn(client, op.key(), value.clone(), certainty);
        }
    }

    fn final_reads(&mut self) -> Vec<Op> {
        self.keys.touched().iter().map(|key| Op::Read { key: key.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Call};
    use checker::params::Param;
    use std::collections::BTreeSet;

    fn with_mix(weights: &[(&str, u64)]) -> Params {
        let mut params = testing::defaults(&KIND);
        let weights = weights.iter().map(|(word, weight)| ((*word).to_owned(), *weight)).collect();
        params.0.insert("mix".to_owned(), Param::Weights(weights));
        params
    }

    #[test]
    fn a_fair_share_of_cas_succeeds_and_a_fair_share_does_not() {
        let run = testing::run(&KIND, &with_mix(&[("read", 5), ("write", 4), ("cas", 3)]), 10, 42, 20_000);
        let cas: Vec<&Call> = run.calls.iter().filter(|call| call.op.name() == "cas").collect();
        let succeeded = cas.iter().filter(|call| call.outcome == Outcome::Ok(Reply::Done)).count();
        let share = succeeded as f64 / cas.len() as f64;
        assert!(cas.len() > 4000, "{} of 20000", cas.len());
        assert!((0.2..0.9).contains(&share), "{share} of {} succeeded", cas.len());
    }

    #[test]
    fn a_cas_expects_a_value_that_was_written_before() {
        let run = testing::run(&KIND, &testing::defaults(&KIND), 10, 5, 20_000);
        let mut written: BTreeSet<Value> = BTreeSet::new();
        for Call { op, .. } in &run.calls {
            match op {
                Op::Write { value, .. } => {
                    assert!(written.insert(value.clone()), "{value} is written twice")
                }
                Op::Cas { expected, new, .. } => {
                    assert!(written.contains(expected), "{expected} comes from nowhere");
                    assert!(written.insert(new.clone()), "{new} is written twice");
                }
                _ => {}
            }
        }
    }

    #[test]
    fn the_mix_is_kept() {
        let run = testing::run(&KIND, &with_mix(&[("read", 1), ("write", 1), ("delete", 2)]), 4, 9, 8000);
        let count = |name| run.calls.iter().filter(|call| call.op.name() == name).count();
        assert_eq!(count("cas"), 0);
        assert!((3700..4300).contains(&count("delete")), "{}", count("delete"));
        assert!((1800..2200).contains(&count("read")), "{}", count("read"));
    }

    #[test]
    fn the_possible_value_of_an_unknown_write_is_expected_later() {
        let mut register = build(&with_mix(&[("cas", 1)]), 1, 1).unwrap();
        // The first cas on each of the keys knows nothing and is a write; its outcome is unknown.
        let mut possible: BTreeMap<Key, Value> = BTreeMap::new();
        for turn in 0..100 {
            let cx = Context { client: 0, process: ProcessId(turn), now_ns: 0 };
            let Step::Call(op) = register.next(&cx) else { panic!("a register workload never waits") };
            match &op {
                Op::Cas { key, expected, new } => {
                    assert_eq!(Some(expected), possible.get(key));
                    possible.insert(key.clone(), new.clone());
                }
                Op::Write { key, value } => {
                    assert!(possible.insert(key.clone(), value.clone()).is_none())
                }
                other => panic!("{other:?} is not in the mix"),
            }
            register.completed(cx.process, &op, &Outcome::Unknown("timed out".to_owned()));
        }
        assert_eq!(possible.len(), 8);
    }

    #[test]
    fn functions_follow_the_mix() {
        assert_eq!(functions(&testing::defaults(&KIND)), ["read", "write", "cas"]);
        assert_eq!(functions(&with_mix(&[("cas", 1)])), ["cas", "write", "read"]);
        assert_eq!(functions(&with_mix(&[("delete", 1)])), ["delete", "read"]);
    }

    #[test]
    fn what_is_known_of_replaced_keys_is_forgotten() {
        let mut params = testing::defaults(&KIND);
        params.0.insert("ops-per-key".to_owned(), Param::Count(1));
        let run = testing::run(&KIND, &params, 3, 8, 5000);
        assert_eq!(run.final_reads.len(), 5000);
    }
}
