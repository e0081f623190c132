//! The order itself, for those who want to show it: of one key, whole or as far as there is one.
//!
//! Invariant: an order that comes from here was replayed step by step, like every "holds", against the specification that
//! the history was judged by. Linearizability is closed under prefixes (Herlihy & Wing 1990), so the longest beginning of a
//! history that has an order is found by halving. Lacks histories of transactions.

use super::kinds::Against;
use super::{Call, Decision, FailedCas, OPEN, decide, shrink, split};
use crate::history::formats::Specification;
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

/// The order of the operations on `key` under this specification, or of the longest beginning that has one. `None` if the
/// budget ran out first, or the specification does not cover the key.
pub fn order(
    operations: &[Operation<'_>],
    key: &Key,
    (specification, failed_cas): (Specification, FailedCas),
    budget: &Budget<'_>,
) -> Option<Order> {
    if (budget.expired)() {
        return None;
    }
    let own: Vec<usize> = (0..operations.len()).filter(|&at| operations[at].op.key() == key).collect();
    let copies: Vec<Operation<'_>> = own.iter().map(|&at| operations[at]).collect();
    let (_, calls) = split(&copies, failed_cas).pop()?;
    let origin = |at: usize| own[calls[at].origin as usize];
    let Found { order, breaks_at } = of_calls(&calls, Against::of(specification), budget)?;
    let at_event = |at: usize| Break { operation: origin(at), event: calls[at].ret as usize - 1 };
    Some(Order {
        operations: order.into_iter().map(origin).collect(),
        // Instants count from 1.
        breaks_at: breaks_at.map(at_event),
    })
}

/// An order of calls, by their positions, and the one behind whose return there is none.
pub(super) struct Found {
    pub(super) order: Vec<usize>,
    pub(super) breaks_at: Option<usize>,
}

/// The order of these calls, or of their longest beginning that has one.
pub(super) fn of_calls(calls: &[Call<'_>], against: Against<'_>, budget: &Budget<'_>) -> Option<Found> {
    match decide(calls, against, budget) {
        Decision::Holds(order) => Some(Found { order, breaks_at: None }),
        Decision::Undecided(_) => None,
        Decision::Contradicted(..) | Decision::Unexplained => longest(calls, against, budget),
    }
}

fn longest(calls: &[Call<'_>], against: Against<'_>, budget: &Budget<'_>) -> Option<Found> {
    let judge = against.judge(calls).ok()?;
    let mut returns: Vec<(u32, usize)> =
        (0..calls.len()).map(|at| (calls[at].ret, at)).filter(|&(ret, _)| ret != OPEN).collect();
    returns.sort_unstable();
    let (mut good, mut bad) = (0, returns.len());
    let mut best = Vec::new();
    // Invariant: with `good` returns there is an order, with `bad` there is none.
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        let beginning = shrink::prefix(calls, judge, returns[middle - 1].0);
        match decide(&shrink::calls_of(&beginning), against, budget) {
            Decision::Holds(order) => {
                good = middle;
                best = order.into_iter().map(|at| beginning[at].position).collect();
            }
            Decision::Undecided(_) => return None,
            Decision::Contradicted(..) | Decision::Unexplained => bad = middle,
        }
    }
    Some(Found { order: best, breaks_at: Some(returns.get(bad.checked_sub(1)?)?.1) })
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
        order(&operations, &Key::new("x"), (Specification::Register, FailedCas::Observe), &budget).unwrap()
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
