//! A model of your own: a semaphore with three permits, and a history in which four clients hold one.
//!
//! ```console
//! $ cargo run -p checker --example semaphore
//! ```

use std::time::{Duration, Instant};

use checker::history::{Event, EventBody, History, Key, Op, Outcome, ProcessId, Reply, Value};
use checker::model::{Class, Model};
use checker::verdict::{Budget, Verdict, render};

/// A number of permits that can be taken and given back.
struct Semaphore {
    permits: u32,
}

impl Model for Semaphore {
    /// How many are free.
    type State = u32;

    fn initial(&self) -> u32 {
        self.permits
    }

    fn class(&self, op: &Op) -> Option<Class> {
        match op.name() {
            // Never changes anything: placed as soon as it is legal, left out if its outcome is unknown.
            "free" => Some(Class::ReadOnly),
            // Legal in some states only, and there are finitely many of these.
            "take" | "give" => Some(Class::Conditional),
            _ => None,
        }
    }

    fn step(&self, free: &u32, op: &Op, reply: Option<&Reply>) -> Option<u32> {
        match (op.name(), reply) {
            ("take", _) => free.checked_sub(1),
            ("give", _) => (*free < self.permits).then_some(free + 1),
            ("free", Some(Reply::Value(Value::Int(seen)))) => (*seen == i64::from(*free)).then_some(*free),
            _ => None,
        }
    }
}

fn main() {
    let mut events = Vec::new();
    // Every call lasts from one instant to the next; the fourth `take` should have waited.
    for (process, function, reply) in [
        (0, "take", Reply::Done),
        (1, "take", Reply::Done),
        (2, "free", Reply::Value(Value::Int(1))),
        (2, "take", Reply::Done),
        (3, "take", Reply::Done),
        (0, "give", Reply::Done),
    ] {
        let op = Op::Other { key: Key::new("printers"), function: function.into(), argument: Value::Nil };
        for body in [EventBody::Invoke(op), EventBody::Complete(Outcome::Ok(reply))] {
            let time = events.len() as u64 * 1_000_000;
            events.push(Event { time, process: ProcessId(process), node: None, body });
        }
    }
    let begun = Instant::now();
    let expired = || begun.elapsed() > Duration::from_secs(10);
    let budget = Budget { expired: &expired, memory_bytes: 1 << 30 };
    let verdict = checker::check(&History { events }, &Semaphore { permits: 3 }, &budget);
    print!("{}", render("linearizable", &verdict));
    assert!(matches!(verdict, Verdict::Violated(_)));
}
