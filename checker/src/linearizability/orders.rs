//! The order itself, for those who want to show it: of one key, whole or as far as there is one.
//!
//! Invariant: an order that comes from here was replayed step by step, like every "holds". Linearizability is closed under
//! prefixes (Herlihy & Wing 1990), so the longest beginning of a history that has an order is found by halving. Lacks
//! histories of transactions.

use super::kinds::Against;
use super::{Call, Decision, FailedCas, OPEN, decide, split};
use crate::history::{Key, Operation};
use crate::verdict::Budget;

/// An order of operations on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Positions of operations, in an order that explains what they answered. An unknown one that is not among them has
    /// no effect in it.
    pub operations: Vec<usize>,
    /// The completion behind which no order exists any more; `None` if the order explains the whole key.
    pub breaks_at: Option<Break>,
}

/// Where the longest beginning that has an order ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Break {
    /// The position of the operation whose answer nothing explains any more.
    pub operation: usize,
    /// The position in the history of its completion.
    pub event: usize,
}

/// The order of the operations on `key`, or of the longest beginning that has one. `None` if the budget ran out first,
/// or no model covers the key.
pub fn order(
    operations: &[Operation<'_>],
    key: &Key,
    failed_cas: FailedCas,
    budget: &Budget<'_>,
) -> Option<Order> {
    if (budget.expired)() {
        return None;
    }
    let own: Vec<usize> = (0..operations.len()).filter(|&at| operations[at].op.key() == key).collect();
    let copies: Vec<Operation<'_>> = own.iter().map(|&at| operations[at]).collect();
    let (_, calls) = split(&copies, failed_cas).pop()?;
    let origin = |order: Vec<usize>, calls: &[Call<'_>]| {
        order.into_iter().map(|at| own[calls[at].origin as usize]).collect()
    };
    match decide(&calls, Against::Store, budget) {
        Decision::Holds(order) => Some(Order { operations: origin(order, &calls), breaks_at: None }),
        Decision::Undecided(_) => None,
        Decision::Contradicted(..) | Decision::Unexplained => {
            let (order, kept, cut) = longest(&calls, budget)?;
            let broken = calls.iter().find(|call| call.ret == cut)?;
            // Instants count from 1.
            let breaks_at = Break { operation: own[broken.origin as usize], event: cut as usize - 1 };
            Some(Order { operations: origin(order, &kept), breaks_at: Some(breaks_at) })
        }
    }
}

/// The order of the longest beginning that has one, its calls, and the return that is one too many.
fn longest<'h>(calls: &[Call<'h>], budget: &Budget<'_>) -> Option<(Vec<usize>, Vec<Call<'h>>, u32)> {
    let mut returns: Vec<u32> = calls.iter().map(|call| call.ret).filter(|&ret| ret != OPEN).collect();
    returns.sort_unstable();
    let (mut good, mut bad) = (0, returns.len());
    let mut best = (Vec::new(), Vec::new());
    // Invariant: with `good` returns there is an order, with `bad` there is none.
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        let beginning = until(calls, returns[middle - 1]);
        match decide(&beginning, Against::Store, budget) {
            Decision::Holds(order) => {
                good = middle;
                best = (order, beginning);
            }
            Decision::Undecided(_) => return None,
            Decision::Contradicted(..) | Decision::Unexplained => bad = middle,
        }
    }
    Some((best.0, best.1, *returns.get(bad.checked_sub(1)?)?))
}

/// The calls as they stood at this instant: later ones are not made yet, and what returns later is open. A read without
/// an answer says nothing.
fn until<'h>(calls: &[Call<'h>], instant: u32) -> Vec<Call<'h>> {
    let begun = calls.iter().filter(|call| call.call <= instant);
    let seen = begun.filter(|call| call.ret <= instant || !call.is_read_only());
    seen.map(|call| match call.ret <= instant {
        true => *call,
        false => Call { reply: None, ret: OPEN, ..*call },
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Event, EventBody, History, Op, Outcome, ProcessId, Reply, Value};

    fn history(events: Vec<(u64, EventBody)>) -> History {
        let event = |(at, (process, body)): (usize, (u64, EventBody))| Event {
            time: at as u64,
            process: ProcessId(process),
            node: None,
            body,
        };
        History { events: events.into_iter().enumerate().map(event).collect() }
    }

    fn write(value: i64) -> EventBody {
        EventBody::Invoke(Op::Write { key: Key::new("x"), value: Value::Int(value) })
    }

    fn read() -> EventBody {
        EventBody::Invoke(Op::Read { key: Key::new("x") })
    }

    fn done() -> EventBody {
        EventBody::Complete(Outcome::Ok(Reply::Done))
    }

    fn saw(value: i64) -> EventBody {
        EventBody::Complete(Outcome::Ok(Reply::Value(Value::Int(value))))
    }

    fn ordered(history: &History) -> Order {
        let operations = history.operations().unwrap();
        let budget = Budget { expired: &|| false, memory_bytes: 1 << 24 };
        order(&operations, &Key::new("x"), FailedCas::Observe, &budget).unwrap()
    }

    #[test]
    fn an_order_explains_every_answer() {
        // The read runs beside both writes and saw the first one.
        let history =
            history(vec![(0, write(1)), (1, read()), (0, done()), (0, write(2)), (0, done()), (1, saw(1))]);
        assert_eq!(ordered(&history), Order { operations: vec![0, 1, 2], breaks_at: None });
    }

    #[test]
    fn the_longest_beginning_ends_before_the_answer_that_nothing_explains() {
        let history = history(vec![
            (0, write(1)),
            (0, done()),
            (0, write(2)),
            (0, done()),
            (1, read()),
            (1, saw(1)),
            (0, write(3)),
            (0, done()),
        ]);
        let found = ordered(&history);
        assert_eq!(found.operations, vec![0, 1]);
        assert_eq!(found.breaks_at, Some(Break { operation: 2, event: 5 }));
    }

    #[test]
    fn the_first_answer_may_be_the_wrong_one() {
        let history = history(vec![(0, read()), (0, saw(7)), (0, write(1)), (0, done())]);
        let found = ordered(&history);
        assert_eq!((found.operations, found.breaks_at), (vec![], Some(Break { operation: 0, event: 1 })));
    }
}
