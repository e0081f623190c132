//! How much a history could have shown: whether other answers than the ones that were given would have been noticed.
//!
//! "Holds" says little about a history in which every answer can be explained: few values, many calls at once, many
//! unknown outcomes. So each answer that was seen is replaced in thought by a few others that a broken store might have
//! given, namely the values that other calls had last tried to put there when the call began; one that the cheap rule of
//! [`sources`](super::sources) refutes would have been noticed for certain. The power is the share of these.
//!
//! It is a lower bound of what the judge would notice, because the search refutes more than the cheap rule; it takes
//! O(n log n). Deliberately lacking: keys that hold lists or sets, where a read shows all that happened.

use rustc_hash::FxHashMap;

use super::sources::{Latest, Makers, by_return};
use super::{Call, OPEN, instants};
use crate::history::{Op, Value};
use crate::verdict::Power;

/// How many other answers are tried for each call.
const TRIED: usize = 4;

/// The power of the calls of one key; nothing was tried where it is no register.
pub(super) fn of(calls: &[Call<'_>]) -> Power {
    let register = |call: &Call<'_>| {
        matches!(call.op, Op::Read { .. } | Op::Write { .. } | Op::Cas { .. } | Op::Delete { .. })
            && !matches!(call.observes(), Some(Value::List(_)))
    };
    let mut power = Power::default();
    if !calls.iter().all(register) {
        return power;
    }
    let mut by_call: Vec<usize> = (0..calls.len()).collect();
    instants::sort(&mut by_call, |&at| u64::from(calls[at].call));
    let values = Values::of(calls, &by_call);
    let changes = by_return(calls);
    let (mut latest, mut next) = (Latest::default(), 0);
    let mut recent = Recent { values: vec![NIL] };
    for at in by_call {
        let call = &calls[at];
        while let Some(&change) = changes.get(next).filter(|&&change| calls[change].ret < call.call) {
            if let Some(value) = values.left_by(change) {
                latest.add(calls[change].call, change, value);
            }
            next += 1;
        }
        let (seen, put) = values.of_calls[at];
        if seen != NONE && call.ret != OPEN {
            for value in recent.besides(seen) {
                let returned = match values.makers[value as usize].until(call.ret) {
                    Some(maker) => calls[maker].ret,
                    None => 0,
                };
                let refuted = latest.besides(value).is_some_and(|(called, _)| returned < called);
                power.tried += 1;
                power.refuted += u64::from(refuted);
            }
        }
        if put != NONE {
            recent.note(put);
        }
    }
    power
}

/// The number of the value that is there at first.
const NIL: u32 = 0;
/// No value.
const NONE: u32 = u32::MAX;

/// The values of one key by number. Each is looked at several times, and a number is cheaper to compare.
struct Values {
    /// What each call saw, and what it put.
    of_calls: Vec<(u32, u32)>,
    /// Who put each value.
    makers: Vec<Makers>,
}

impl Values {
    fn of<'h>(calls: &[Call<'h>], by_call: &[usize]) -> Self {
        let mut numbers: FxHashMap<&'h Value, u32> = FxHashMap::default();
        numbers.insert(&Value::Nil, NIL);
        let mut values =
            Values { of_calls: vec![(NONE, NONE); calls.len()], makers: vec![Makers::default()] };
        for &at in by_call {
            let mut number = |value| {
                let fresh = values.makers.len() as u32;
                let number = *numbers.entry(value).or_insert(fresh);
                if number == fresh {
                    values.makers.push(Makers::default());
                }
                number
            };
            let seen = calls[at].observes().map_or(NONE, &mut number);
            let put = calls[at].puts().map_or(NONE, &mut number);
            if put != NONE {
                values.makers[put as usize].add(calls, at);
            }
            values.of_calls[at] = (seen, put);
        }
        values
    }

    /// See [`leaves`](super::sources::leaves).
    fn left_by(&self, at: usize) -> Option<u32> {
        let (seen, put) = self.of_calls[at];
        [put, seen].into_iter().find(|&value| value != NONE)
    }
}

/// The values that calls tried to put last, the latest one last.
struct Recent {
    values: Vec<u32>,
}

impl Recent {
    fn note(&mut self, value: u32) {
        self.values.retain(|&known| known != value);
        self.values.push(value);
        if self.values.len() > TRIED + 1 {
            self.values.remove(0);
        }
    }

    fn besides(&self, seen: u32) -> impl Iterator<Item = u32> {
        self.values.iter().rev().copied().filter(move |&value| value != seen).take(TRIED)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Owned, view};
    use super::*;
    use crate::history::{Key, Reply};

    fn write(value: i64, call: u32, ret: u32) -> Owned {
        let op = Op::Write { key: Key::new("k"), value: Value::Int(value) };
        Owned { op, reply: (ret != OPEN).then_some(Reply::Done), call, ret }
    }

    fn read(value: i64, call: u32, ret: u32) -> Owned {
        let op = Op::Read { key: Key::new("k") };
        Owned { op, reply: Some(Reply::Value(Value::Int(value))), call, ret }
    }

    #[test]
    fn one_after_the_other_every_wrong_answer_is_noticed() {
        let owned = [write(1, 1, 2), write(2, 3, 4), read(2, 5, 6)];
        // Nil and 1.
        assert_eq!(of(&view(&owned)), Power { tried: 2, refuted: 2 });
    }

    #[test]
    fn an_unknown_write_explains_its_value_for_ever() {
        let owned = [write(1, 1, OPEN), write(2, 3, 4), read(2, 5, 6), read(2, 7, 8)];
        assert_eq!(of(&view(&owned)), Power { tried: 4, refuted: 2 });
    }

    #[test]
    fn calls_at_the_same_time_show_nothing() {
        let owned = [write(1, 1, 9), write(2, 1, 9), read(2, 5, 6)];
        // Nil could have been read, and 1.
        assert_eq!(of(&view(&owned)), Power { tried: 2, refuted: 0 });
    }
}
