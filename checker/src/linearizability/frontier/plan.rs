//! The calls of one register in the shape that the frontier search wants: values are numbers, calls are acts on them,
//! time is a sequence of events.
//!
//! Invariant: at equal instants calls stand before returns, because intervals that touch are concurrent.

use rustc_hash::FxHashMap;

use crate::history::{Op, Reply, Value};
use crate::linearizability::search::useful_unknowns;
use crate::linearizability::{Call, OPEN};
use crate::model::Register;

/// The number of the initial value.
pub(super) const NIL: u32 = 0;
/// A state that no call will ever look for.
pub(super) const UNSEEN: u32 = u32::MAX;

/// What a call does to the register, if it takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Act {
    /// It finds this value and leaves it.
    Read(u32),
    /// It finds any other value than this, and leaves it.
    Differs(u32),
    /// It leaves this value, whatever it finds.
    Write(u32),
    /// It finds the first value and leaves the second one.
    Cas(u32, u32),
}

impl Act {
    /// The value that it makes.
    pub(super) fn makes(self) -> Option<u32> {
        match self {
            Act::Write(value) | Act::Cas(_, value) => Some(value),
            Act::Read(_) | Act::Differs(_) => None,
        }
    }
}

/// A call begins or returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happening {
    Begins,
    Returns,
}

/// Unknown calls that are alike, by the instant of their call.
pub(super) struct Kin {
    pub(super) act: Act,
    pub(super) members: Vec<usize>,
}

/// See the module.
pub(super) struct Plan {
    /// By position of the call; `None` for what plays no part.
    pub(super) acts: Vec<Option<Act>>,
    pub(super) returns: Vec<u32>,
    /// By position of the call: which [`Kin`] an unknown one belongs to.
    pub(super) kin_of: Vec<usize>,
    pub(super) kins: Vec<Kin>,
    pub(super) events: Vec<(u32, Happening, usize)>,
    /// By position of the call: the slot that a completed one has while it is open.
    pub(super) slot_of: Vec<u32>,
    /// How many slots there are: the most completed calls that are open at once.
    pub(super) width: usize,
    /// How many different values there are.
    pub(super) values: usize,
}

impl Plan {
    /// `None` if a call is none that a register knows.
    pub(super) fn new(calls: &[Call<'_>]) -> Option<Plan> {
        let mut numbers = Numbers { known: FxHashMap::from_iter([(&Value::Nil, NIL)]), next: NIL + 1 };
        let mut acts = Vec::with_capacity(calls.len());
        for call in calls {
            acts.push(match call.ret {
                OPEN => None,
                _ => Some(numbers.act(call)?),
            });
        }
        let mut kins: Vec<Kin> = Vec::new();
        let mut kin_of = vec![usize::MAX; calls.len()];
        let mut known = FxHashMap::default();
        for at in useful_unknowns(calls, &Register) {
            let act = numbers.act(&calls[at])?;
            // An unknown call that would change nothing explains nothing.
            if act.makes().is_none() {
                continue;
            }
            acts[at] = Some(act);
            let kin = *known.entry(act).or_insert(kins.len());
            if kin == kins.len() {
                kins.push(Kin { act, members: Vec::new() });
            }
            kins[kin].members.push(at);
            kin_of[at] = kin;
        }
        kins.iter_mut().for_each(|kin| kin.members.sort_by_key(|&at| calls[at].call));
        let mut events = Vec::with_capacity(calls.len() * 2);
        for (at, call) in calls.iter().enumerate().filter(|(at, _)| acts[*at].is_some()) {
            events.push((call.call, Happening::Begins, at));
            if call.ret != OPEN {
                events.push((call.ret, Happening::Returns, at));
            }
        }
        events.sort_unstable();
        let returns = calls.iter().map(|call| call.ret).collect();
        let (slot_of, width) = seats(&events, calls);
        Some(Plan { acts, returns, kin_of, kins, events, slot_of, width, values: numbers.next as usize })
    }

    /// How many unknown calls are in play.
    pub(super) fn unknowns(&self) -> usize {
        self.kins.iter().map(|kin| kin.members.len()).sum()
    }
}

/// Gives every completed call a slot that no other has while it is open.
fn seats(events: &[(u32, Happening, usize)], calls: &[Call<'_>]) -> (Vec<u32>, usize) {
    let mut slot_of = vec![0; calls.len()];
    let (mut free, mut width) = (Vec::new(), 0);
    for &(_, happening, at) in events.iter().filter(|event| calls[event.2].ret != OPEN) {
        match happening {
            Happening::Begins => {
                slot_of[at] = free.pop().unwrap_or(width);
                width = width.max(slot_of[at] + 1);
            }
            Happening::Returns => free.push(slot_of[at]),
        }
    }
    (slot_of, width as usize)
}

struct Numbers<'h> {
    known: FxHashMap<&'h Value, u32>,
    next: u32,
}

impl<'h> Numbers<'h> {
    fn of(&mut self, value: &'h Value) -> u32 {
        let next = self.next;
        let number = *self.known.entry(value).or_insert(next);
        if number == next {
            self.next += 1;
        }
        number
    }

    fn act(&mut self, call: &Call<'h>) -> Option<Act> {
        const NOTHING: &Value = &Value::Nil;
        Some(match (call.op, call.reply) {
            (Op::Read { .. }, Some(Reply::Value(seen))) => Act::Read(self.of(seen)),
            (Op::Cas { expected, .. }, Some(Reply::Mismatch(None))) => Act::Differs(self.of(expected)),
            // It says that it found what it did not find: a value that nobody makes.
            (Op::Cas { expected, .. }, Some(Reply::Mismatch(Some(told)))) if told == expected => {
                self.next += 1;
                Act::Read(self.next - 1)
            }
            (Op::Cas { .. }, Some(Reply::Mismatch(Some(told)))) => Act::Read(self.of(told)),
            (Op::Write { value, .. }, None | Some(Reply::Done)) => Act::Write(self.of(value)),
            (Op::Delete { .. }, None | Some(Reply::Done)) => Act::Write(self.of(NOTHING)),
            (Op::Cas { expected, new, .. }, None | Some(Reply::Done)) if expected == new => {
                Act::Read(self.of(expected))
            }
            (Op::Cas { expected, new, .. }, None | Some(Reply::Done)) => {
                Act::Cas(self.of(expected), self.of(new))
            }
            _ => return None,
        })
    }
}
