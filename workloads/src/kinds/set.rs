//! `set`: unique elements added to grow-only sets, and the sets read in between and at the end.
//!
//! ```yaml
//! workload:
//!   kind: set
//!   clients: 10
//!   rate: 400/s
//!   keys: 4
//!   mix: { add: 9, members: 1 }
//!   op-timeout: 1s
//! ```
//!
//! What the reader will see: calls like `add s1-0 17003` and `members s1-0 -> [1000, 17003]`. Every element is added
//! once, so that an acknowledged element which a later read does not return is lost, and one that nobody added is made
//! up. Cheap to judge at any length, which makes it the workload for long runs.
//!
//! Deliberately absent: removal, which would turn the question "was it lost" into a search.

use checker::history::{Op, Outcome, ProcessId};
use checker::params::{Kind, Params, Setting};

use super::WorkloadKind;
use crate::draw::{Draws, Mix};
use crate::keys::Keys;
use crate::settings;
use crate::step::{Context, Step, Workload};
use crate::values::Values;

pub(super) const KIND: WorkloadKind = WorkloadKind {
    name: "set",
    summary: "unique elements added to grow-only sets, read in between and at the end",
    sees: "calls like `add s1-0 17003` and `members s1-0 -> [1000, 17003]`; every element is added once",
    example: "workload:\n  kind: set\n  clients: 10\n  rate: 400/s\n  keys: 4\n  mix: { add: 9, members: 1 }\n  \
              op-timeout: 1s\n",
    settings: &[
        settings::keys("4"),
        settings::ops_per_key("300"),
        Setting {
            name: "mix",
            kind: Kind::Weights(&WORDS),
            default: Some("{ add: 9, members: 1 }"),
            doc: "How often each function is called, relative to the other.",
        },
    ],
    functions,
    model: "set",
    checks: &["linearizable", "lost-commits", "stale-read", "monotonic-reads", "read-your-writes"],
    build,
};

const WORDS: [&str; 2] = ["add", "members"];

fn functions(params: &Params) -> Vec<&'static str> {
    let mut functions = settings::weighted(params, &WORDS);
    if !functions.contains(&"members") {
        functions.push("members");
    }
    functions
}

fn build(params: &Params, clients: usize, seed: u64) -> Result<Box<dyn Workload>, String> {
    let slots = settings::count(params, "keys")? as usize;
    let mix = Mix::new(&WORDS, settings::weights(params, "mix")?)?;
    Ok(Box::new(Set {
        draws: Draws::new(seed, clients, slots, mix),
        keys: Keys::new('s', slots, settings::count(params, "ops-per-key")?),
        values: Values::new(clients)?,
    }))
}

struct Set {
    draws: Draws,
    keys: Keys,
    values: Values,
}

impl Workload for Set {
    fn next(&mut self, cx: &Context) -> Step {
        let draw = self.draws.next(cx.client);
        let key = self.keys.take(draw.slot);
        Step::Call(match WORDS[draw.function] {
            "add" => Op::Add { key, value: self.values.fresh(cx.client) },
            _ => Op::Members { key },
        })
    }

    fn completed(&mut self, _: ProcessId, _: &Op, _: &Outcome) {}

    fn final_reads(&mut self) -> Vec<Op> {
        self.keys.touched().iter().map(|key| Op::Members { key: key.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use std::collections::BTreeSet;

    #[test]
    fn every_element_is_added_once_and_every_set_is_read_at_the_end() {
        let run = testing::run(&KIND, &testing::defaults(&KIND), 10, 3, 20_000);
        let mut elements = BTreeSet::new();
        let mut sets = BTreeSet::new();
        for call in &run.calls {
            sets.insert(call.op.key().clone());
            if let Op::Add { value, .. } = &call.op {
                assert!(elements.insert(value.clone()), "{value} is added twice");
            }
        }
        let read: BTreeSet<_> = run.final_reads.iter().map(|op| op.key().clone()).collect();
        assert_eq!(read, sets);
        assert_eq!(run.final_reads.len(), sets.len());
        assert!(elements.len() > 17_000, "{}", elements.len());
    }
}
