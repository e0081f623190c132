//! The independent judge of a "holds": replays an order step by step.

use super::{Call, OPEN};
use crate::model::Model;

/// Whether `order` contains every completed call once and every other at most once, respects real time, and is what
/// the model answers.
pub(super) fn replay<M: Model>(calls: &[Call<'_>], model: &M, order: &[usize]) -> bool {
    let mut placed = vec![false; calls.len()];
    let mut state = model.initial();
    let mut latest_call = 0;
    for &at in order {
        let Some(call) = calls.get(at) else { return false };
        // Everything placed earlier must not begin after this one has returned.
        if std::mem::replace(&mut placed[at], true) || call.ret < latest_call {
            return false;
        }
        latest_call = latest_call.max(call.call);
        state = match model.step(&state, call.op, call.reply) {
            Some(next) => next,
            None => return false,
        };
    }
    calls.iter().zip(&placed).all(|(call, &placed)| placed || call.ret == OPEN)
}
