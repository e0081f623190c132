//! Registers that are read and written together, looked at one at a time.
//!
//! Leaving out all steps but those on one register turns an order of the transactions into one of reads, writes and CAS of
//! that register. So what is violated for one register is violated for all, and the rules for registers find it without a
//! search over all of them. That no single register is violated says nothing, unless there is only one.

use std::collections::BTreeMap;

use super::kinds::{Judge, Kind};
use super::search::Found;
use super::{Call, Contradiction, Ruling, shrink, with_ration};
use crate::history::{Key, Op, Reply, Value};
use crate::model::{Step, steps};
use crate::verdict::Budget;

/// What the transactions do to one register.
#[derive(Default)]
struct Projection {
    /// The positions of the transactions.
    origins: Vec<usize>,
    acts: Vec<(Op, Option<Reply>)>,
}

/// Judges transactions on registers.
pub(super) fn judge(calls: &[Call<'_>], budget: &Budget<'_>) -> Ruling {
    let projections = match project(calls) {
        Ok(projections) => projections,
        Err(ruling) => return ruling,
    };
    let only = projections.len() == 1;
    for projection in projections.values() {
        let view: Vec<Call<'_>> = projection
            .origins
            .iter()
            .zip(&projection.acts)
            .map(|(&at, (op, reply))| Call { op, reply: reply.as_ref(), ..calls[at] })
            .collect();
        match of_one(&view, budget) {
            Ruling::Violated(found) => {
                let picked = found.calls.iter().map(|&at| projection.origins[at]).collect();
                return Ruling::Violated(Contradiction { calls: picked, why: found.why });
            }
            Ruling::Holds(order) if only && view.len() == calls.len() => return Ruling::Holds(order),
            _ => {}
        }
    }
    Ruling::NotCovered
}

/// Judges one register, with a small part of the budget.
fn of_one(calls: &[Call<'_>], budget: &Budget<'_>) -> Ruling {
    match Kind::Register.rule(calls, budget) {
        Ruling::Violated(found) => {
            return Ruling::Violated(shrink::sharpen(calls, found, &Kind::Register, budget));
        }
        Ruling::Holds(order) => return Ruling::Holds(order),
        _ => {}
    }
    let looks = 64 + calls.len() as u64 / 16;
    match with_ration(budget, looks, |budget| Kind::Register.search(calls, budget)) {
        Found::Violated => {
            let core = shrink::shrink(calls, &Kind::Register, budget);
            let why = format!(
                "no order of what these {} transactions do to one register explains what they saw",
                core.len()
            );
            Ruling::Violated(Contradiction { calls: core.iter().map(|kept| kept.position).collect(), why })
        }
        _ => Ruling::NotCovered,
    }
}

fn project(calls: &[Call<'_>]) -> Result<BTreeMap<Value, Projection>, Ruling> {
    let mut projections: BTreeMap<Value, Projection> = BTreeMap::new();
    for (at, call) in calls.iter().enumerate() {
        let Some(steps) = steps(call.op, call.reply) else { return Err(Ruling::NotCovered) };
        let mut effects: BTreeMap<&Value, (Option<&Value>, Option<&Value>)> = BTreeMap::new();
        for step in steps {
            let (register, seen) = match step {
                Step::Read(register, None) => {
                    effects.entry(register).or_default();
                    continue;
                }
                Step::Read(register, Some(seen)) | Step::Is(register, seen) => (register, seen),
                Step::Write(register, value) => {
                    effects.entry(register).or_default().1 = Some(value);
                    continue;
                }
            };
            let (found, put) = effects.entry(register).or_default();
            let contradicts = put.or(*found).is_some_and(|held| held != seen);
            if contradicts && call.reply.is_some() {
                let why = format!(
                    "{call} contradicts itself: it saw {seen} where it had seen or put another value"
                );
                return Err(Ruling::Violated(Contradiction { calls: vec![at], why }));
            }
            if contradicts {
                return Err(Ruling::NotCovered);
            }
            if put.is_none() {
                *found = Some(seen);
            }
        }
        for (register, (found, put)) in effects {
            // Also one of which nothing is known here counts as a register of this history.
            let projection = projections.entry(register.clone()).or_default();
            let key = Key::new(match register {
                Value::Text(name) => name.to_string(),
                other => other.to_string(),
            });
            let done = call.reply.map(|_| Reply::Done);
            let act = match (found, put) {
                (Some(found), Some(put)) => {
                    (Op::Cas { key, expected: found.clone(), new: put.clone() }, done)
                }
                (None, Some(put)) => (Op::Write { key, value: put.clone() }, done),
                (Some(found), None) if call.reply.is_some() => {
                    (Op::Read { key }, Some(Reply::Value(found.clone())))
                }
                _ => continue,
            };
            projection.origins.push(at);
            projection.acts.push(act);
        }
    }
    Ok(projections)
}
