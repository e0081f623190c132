//! `append`: unique elements appended to lists, and the lists read.
//!
//! ```yaml
//! workload:
//!   kind: append
//!   clients: 10
//!   rate: 400/s
//!   keys: 4
//!   mix: { append: 3, read: 2 }
//!   op-timeout: 1s
//! ```
//!
//! What the reader will see: calls like `append l2-0 17003` and `read l2-0 -> [1000, 17003]`. A list shows the whole
//! order in which its elements were accepted: an element that is missing was lost, one that stands there twice was
//! applied twice (a retry without deduplication), and two reads that are not prefixes of one another diverged.
//!
//! Deliberately absent: several lists in one transaction. Reference: Kingsbury and Alvaro, "Elle: Inferring Isolation
//! Anomalies from Experimental Observations" (VLDB 2020), on why appends say so much.

use checker::history::{Op, Outcome, ProcessId};
use checker::params::{Kind, Params, Setting};

use super::WorkloadKind;
use crate::draw::{Draws, Mix};
use crate::keys::Keys;
use crate::settings;
use crate::step::{Context, Step, Workload};
use crate::values::Values;

pub(super) const KIND: WorkloadKind = WorkloadKind {
    name: "append",
    summary: "unique elements appended to lists, and the lists read",
    sees: "calls like `append l2-0 17003` and `read l2-0 -> [1000, 17003]`: the whole order of acceptance",
    example: "workload:\n  kind: append\n  clients: 10\n  rate: 400/s\n  keys: 4\n  mix: { append: 3, read: 2 }\n  \
              op-timeout: 1s\n",
    settings: &[
        settings::keys("4"),
        // A read returns the whole list, so the bytes of a history grow with the square of this.
        settings::ops_per_key("150"),
        Setting {
            name: "mix",
            kind: Kind::Weights(&WORDS),
            default: Some("{ append: 3, read: 2 }"),
            doc: "How often each function is called, relative to the other.",
        },
    ],
    functions,
    model: "append",
    checks: &[
        "linearizable",
        "lost-commits",
        "stale-read",
        "monotonic-reads",
        "read-your-writes",
        "exactly-once",
    ],
    build,
};

const WORDS: [&str; 2] = ["append", "read"];

fn functions(params: &Params) -> Vec<&'static str> {
    let mut functions = settings::weighted(params, &WORDS);
    if !functions.contains(&"read") {
        functions.push("read");
    }
    functions
}

fn build(params: &Params, clients: usize, seed: u64) -> Result<Box<dyn Workload>, String> {
    let slots = settings::count(params, "keys")? as usize;
    let mix = Mix::new(&WORDS, settings::weights(params, "mix")?)?;
    Ok(Box::new(Append {
        draws: Draws::new(seed, clients, slots, mix),
        keys: Keys::new('l', slots, settings::count(params, "ops-per-key")?),
        values: Values::new(clients)?,
    }))
}

struct Append {
    draws: Draws,
    keys: Keys,
    values: Values,
}

impl Workload for Append {
    fn next(&mut self, cx: &Context) -> Step {
        let draw = self.draws.next(cx.client);
        let key = self.keys.take(draw.slot);
        Step::Call(match WORDS[draw.function] {
            "append" => Op::Append { key, value: self.values.fresh(cx.client) },
            _ => Op::Read { key },
        })
    }

    fn completed(&mut self, _: ProcessId, _: &Op, _: &Outcome) {}

    fn final_reads(&mut self) -> Vec<Op> {
        self.keys.touched().iter().map(|key| Op::Read { key: key.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn lists_are_bounded_and_their_elements_unique() {
        let run = testing::run(&KIND, &testing::defaults(&KIND), 10, 3, 20_000);
        let mut elements = BTreeSet::new();
        let mut used: BTreeMap<_, u64> = BTreeMap::new();
        for call in &run.calls {
            *used.entry(call.op.key().clone()).or_default() += 1;
            if let Op::Append { value, .. } = &call.op {
                assert!(elements.insert(value.clone()), "{value} is appended twice");
            }
        }
        assert!(used.values().all(|count| *count <= 150));
        let read: BTreeSet<_> = run.final_reads.iter().map(|op| op.key().clone()).collect();
        assert_eq!(read, used.into_keys().collect());
    }
}
