//! What may be left out where values tell what was seen: registers, lists, sets.
//!
//! Invariant: leaving this out of a history that is linearizable leaves one that is. That is so for calls that only look,
//! always. It is so for an update if no remaining call can have seen what it put there: none that saw this value is left, or
//! each that is was over before it began, or is divided from it by another completed update. And it is so for no update
//! while a refused CAS wants the state to be different from something. So "read 17, which nobody wrote" is never made up by
//! leaving out the write; where a value was overwritten before it was seen, one call that put it stays, to show that.

use rustc_hash::FxHashSet;

use super::{Kept, observed};
use crate::history::{Op, Value};
use crate::linearizability::{Call, OPEN};

/// Leaves out what may be left out of this range.
pub(super) fn without<'h>(kept: &[Kept<'h>], range: std::ops::Range<usize>) -> Vec<Kept<'h>> {
    let stays = |at: usize, k: &Kept<'h>| !range.contains(&at) || !k.call.is_read_only();
    let mut rest: Vec<Kept<'h>> =
        kept.iter().enumerate().filter(|(at, k)| stays(*at, k)).map(|(_, k)| *k).collect();
    if rest.iter().any(|k| k.call.differs_from().is_some()) {
        return rest;
    }
    let chosen: FxHashSet<usize> = kept[range].iter().map(|k| k.position).collect();
    loop {
        let before = rest.len();
        drop_unseen(&mut rest, &chosen);
        if rest.len() <= SMALL {
            drop_divided(&mut rest, &chosen);
        }
        // A CAS that was left out saw something, too.
        if rest.len() == before {
            return rest;
        }
    }
}

/// Up to how many calls every pair of them may be looked at.
const SMALL: usize = 512;

/// Leaves out the chosen updates of values that nobody saw.
fn drop_unseen(rest: &mut Vec<Kept<'_>>, chosen: &FxHashSet<usize>) {
    let seen: FxHashSet<&Value> = rest.iter().flat_map(|k| observed(&k.call)).collect();
    rest.retain(|k| !chosen.contains(&k.position) || k.call.puts().is_none_or(|value| seen.contains(value)));
}

/// Leaves out, one by one, the chosen updates of a register that nobody who saw their value can have seen. One that put
/// the value stays.
fn drop_divided(rest: &mut Vec<Kept<'_>>, chosen: &FxHashSet<usize>) {
    if rest.iter().any(|k| !is_of_a_register(&k.call)) {
        return;
    }
    let mut at = 0;
    while at < rest.len() {
        let this = rest[at].call;
        let goes = chosen.contains(&rest[at].position)
            && this.puts().is_some_and(|value| {
                let others =
                    || rest.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, k)| &k.call);
                others().any(|other| other.puts() == Some(value))
                    && others()
                        .filter(|call| call.observes() == Some(value))
                        .all(|reader| cannot_see(reader, &this, value, others()))
            });
        match goes {
            true => drop(rest.remove(at)),
            false => at += 1,
        }
    }
}

fn is_of_a_register(call: &Call<'_>) -> bool {
    matches!(call.op, Op::Read { .. } | Op::Write { .. } | Op::Cas { .. } | Op::Delete { .. })
        && !matches!(call.observes(), Some(Value::List(_)))
}

/// Whether this reader was over before the call that put the value began, or another update came between them.
fn cannot_see<'c, 'h: 'c>(
    reader: &Call<'_>,
    maker: &Call<'_>,
    value: &Value,
    mut others: impl Iterator<Item = &'c Call<'h>>,
) -> bool {
    // A call of unknown outcome may look at any later time.
    let between = |call: &Call<'_>| {
        call.ret != OPEN
            && call.puts().is_some_and(|other| other != value)
            && maker.ret < call.call
            && call.ret < reader.call
    };
    reader.ret < maker.call || others.any(between)
}
