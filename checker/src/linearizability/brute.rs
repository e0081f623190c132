//! The dumb twin: tries every order. For comparisons, and for at most some ten calls.

use super::{Call, OPEN};
use crate::model::Model;

/// Whether some order of all completed calls and any of the others respects time and the model.
pub(super) fn linearizable<M: Model>(calls: &[Call<'_>], model: &M) -> bool {
    extend(calls, model, 0, &model.initial())
}

fn extend<M: Model>(calls: &[Call<'_>], model: &M, placed: u32, state: &M::State) -> bool {
    let missing = |at: usize| placed >> at & 1 == 0;
    if (0..calls.len()).all(|at| !missing(at) || calls[at].ret == OPEN) {
        return true;
    }
    (0..calls.len()).filter(|&at| missing(at)).any(|at| {
        let first = (0..calls.len()).filter(|&b| missing(b)).all(|b| calls[b].ret >= calls[at].call);
        first
            && model
                .step(state, calls[at].op, calls[at].reply)
                .is_some_and(|next| extend(calls, model, placed | 1 << at, &next))
    })
}
