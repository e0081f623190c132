//! Elements in an order that both their puts and their takes allow, and the two sequences merged into one.
//!
//! Invariant: what comes out respects the intervals of the calls; it is replayed elsewhere all the same. Where no order is
//! found nothing is concluded.

use super::Element;
use super::Side;

/// An order of the elements in which no put and no take stands before one that had returned before it began.
pub(super) fn order(elements: &[Element]) -> Option<Vec<usize>> {
    let mut sides = [Waiting::new(elements, |e| e.put), Waiting::new(elements, |e| e.take)];
    let mut allowed = vec![0; elements.len()];
    let mut gone = vec![false; elements.len()];
    let (mut ready, mut order) = (Vec::new(), Vec::with_capacity(elements.len()));
    while order.len() < elements.len() {
        for side in &mut sides {
            for at in side.admitted(&gone) {
                allowed[at] += 1;
                if allowed[at] == 2 {
                    ready.push(at);
                }
            }
        }
        let next = ready.pop()?;
        gone[next] = true;
        order.push(next);
    }
    Some(order)
}

/// One side of all elements.
struct Waiting {
    /// By call: who waits for leave.
    calls: Vec<(u64, usize)>,
    next_call: usize,
    /// By return: who is still to go.
    returns: Vec<(u64, usize)>,
    next_return: usize,
}

impl Waiting {
    fn new(elements: &[Element], side: impl Fn(&Element) -> Side) -> Waiting {
        let sorted = |instant: &dyn Fn(&Element) -> u64| {
            let mut all: Vec<(u64, usize)> =
                elements.iter().enumerate().map(|(at, element)| (instant(element), at)).collect();
            all.sort_unstable();
            all
        };
        let (calls, returns) = (sorted(&|e| side(e).call), sorted(&|e| side(e).ret));
        Waiting { calls, next_call: 0, returns, next_return: 0 }
    }

    /// Those that nothing on this side must precede any more.
    fn admitted(&mut self, gone: &[bool]) -> Vec<usize> {
        while self.returns.get(self.next_return).is_some_and(|&(_, at)| gone[at]) {
            self.next_return += 1;
        }
        let horizon = self.returns.get(self.next_return).map_or(u64::MAX, |first| first.0);
        let from = self.next_call;
        self.next_call += self.calls[from..].iter().take_while(|&&(call, _)| call <= horizon).count();
        self.calls[from..self.next_call].iter().map(|&(_, at)| at).collect()
    }
}

/// The puts and the takes of the elements in this order, as one sequence of calls.
pub(super) fn merge(elements: &[Element], order: &[usize]) -> Option<Vec<usize>> {
    let puts = earliest_returns(elements, order, |e| e.put);
    let takes = earliest_returns(elements, order, |e| e.take);
    let (mut put, mut take) = (0, 0);
    let mut merged = Vec::with_capacity(order.len() * 2);
    while take < order.len() {
        let leaving = &elements[order[take]];
        if take < put && !leaving.is_empty() && leaving.take.call <= puts[put] {
            merged.extend(leaving.take.by);
            take += 1;
            continue;
        }
        let Some(coming) = order.get(put).map(|&at| &elements[at]) else {
            // The last ones stay.
            merged.extend(leaving.take.by);
            take += 1;
            continue;
        };
        match (coming.is_empty(), take == put) {
            (true, true) => {
                merged.extend(coming.put.by);
                (put, take) = (put + 1, take + 1);
            }
            (false, _) if coming.put.call <= takes[take] => {
                merged.extend(coming.put.by);
                put += 1;
            }
            _ => return None,
        }
    }
    Some(merged)
}

/// By position: the smallest return of this side from there on.
fn earliest_returns(elements: &[Element], order: &[usize], side: impl Fn(&Element) -> Side) -> Vec<u64> {
    let mut earliest = vec![u64::MAX; order.len() + 1];
    for (position, &at) in order.iter().enumerate().rev() {
        earliest[position] = earliest[position + 1].min(side(&elements[at]).ret);
    }
    earliest
}
