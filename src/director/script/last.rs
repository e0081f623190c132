//! The client that comes after the steps of a choreography without a workload.
//!
//! It writes to a key of its own until that is acknowledged. So the healed cluster shows that it works, and a leader that
//! commits entries of earlier terms only with one of its own has one: without that, nobody could read the final state.

use checker::history::{Key, Op, Outcome, ProcessId, Value};
use workloads::{Context, Step, Workload};

/// The key that no step should use.
const KEY: &str = "after-the-steps";

/// A workload for one client.
#[derive(Debug, Default)]
pub struct LastClient {
    written: i64,
}

impl Workload for LastClient {
    fn next(&mut self, _: &Context) -> Step {
        self.written += 1;
        Step::Call(Op::Write { key: Key::new(KEY), value: Value::Int(self.written) })
    }

    fn completed(&mut self, _: ProcessId, _: &Op, _: &Outcome) {}

    fn final_reads(&mut self) -> Vec<Op> {
        if self.written == 0 { Vec::new() } else { vec![Op::Read { key: Key::new(KEY) }] }
    }
}
