//! What is true of an instant for every configuration alike: which calls are open, and who makes a value or looks for it.
//!
//! Invariant: it is a function of the number of events that happened, and it can go back as it came. So a sweep that
//! lost its way starts again in the middle, and pays for the way back only.

use super::configuration::Open;
use super::plan::{Act, Happening, Plan};
use super::slots::Slots;

/// Who makes a value and who looks for it.
#[derive(Clone, Default)]
pub(super) struct Traffic<const W: usize> {
    /// Completed reads and CAS that look for it and have not returned.
    pub(super) observers: u32,
    /// Unknown CAS that look for it, and refused CAS that look for anything else and have not returned.
    pub(super) lasting: u32,
    /// Calls that make it and have not begun.
    pub(super) makers_to_come: u32,
    /// The slots of the open calls.
    pub(super) reads: Slots<W>,
    pub(super) refusals: Slots<W>,
    pub(super) swaps_from: Slots<W>,
    pub(super) makers: Slots<W>,
    /// The kinds of unknown calls that have begun.
    pub(super) written_by: Option<u32>,
    pub(super) swapped_to_by: Vec<u32>,
    pub(super) swapped_from_by: Vec<u32>,
}

/// See the module.
pub(super) struct Board<'p, const W: usize> {
    plan: &'p Plan,
    /// By number of the value.
    pub(super) traffic: Vec<Traffic<W>>,
    /// How many of each kind of unknown calls have begun.
    pub(super) begun: Vec<u32>,
    /// Which call each slot is for, by position; meant only where the slot is in use.
    pub(super) calls: Vec<usize>,
    pub(super) open: Open<W>,
    pub(super) refusals: Slots<W>,
    /// Refused CAS that have not returned, open or not.
    pub(super) refusals_left: u32,
    /// How many events have happened.
    pub(super) happened: usize,
    /// How many calls have returned.
    pub(super) returned: usize,
}

/// The direction of time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    On,
    Back,
}

impl<'p, const W: usize> Board<'p, W> {
    pub(super) fn new(plan: &'p Plan) -> Self {
        let mut traffic = vec![Traffic::default(); plan.values];
        let mut refusals_left = 0;
        for (at, act) in plan.acts.iter().enumerate() {
            let Some(act) = *act else { continue };
            let unknown = plan.kin_of[at] != usize::MAX;
            match act {
                Act::Read(value) => traffic[value as usize].observers += 1,
                Act::Cas(value, _) if unknown => traffic[value as usize].lasting += 1,
                Act::Cas(value, _) => traffic[value as usize].observers += 1,
                Act::Differs(value) => {
                    traffic[value as usize].lasting += 1;
                    refusals_left += 1;
                }
                Act::Write(_) => {}
            }
            if let Some(value) = act.makes() {
                traffic[value as usize].makers_to_come += 1;
            }
        }
        Board {
            plan,
            traffic,
            begun: vec![0; plan.kins.len()],
            calls: vec![0; plan.width],
            open: Open::default(),
            refusals: Slots::default(),
            refusals_left,
            happened: 0,
            returned: 0,
        }
    }

    /// What the call in this slot does.
    pub(super) fn act(&self, slot: usize) -> Act {
        // A slot is given to calls that do something.
        self.plan.acts[self.calls[slot]].unwrap_or(Act::Write(0))
    }

    /// When the call in this slot returns.
    pub(super) fn ret(&self, slot: usize) -> u32 {
        self.plan.returns[self.calls[slot]]
    }

    /// Goes past the next event.
    pub(super) fn step(&mut self) {
        let (_, happening, at) = self.plan.events[self.happened];
        self.happened += 1;
        self.pass(happening, at, Way::On);
    }

    /// Goes back to where so many events had happened.
    pub(super) fn go_back(&mut self, happened: usize) {
        while self.happened > happened {
            self.happened -= 1;
            let (_, happening, at) = self.plan.events[self.happened];
            self.pass(happening, at, Way::Back);
        }
    }

    fn pass(&mut self, happening: Happening, at: usize, way: Way) {
        let Some(act) = self.plan.acts[at] else { return };
        match happening {
            Happening::Begins => {
                if let Some(value) = act.makes() {
                    count(&mut self.traffic[value as usize].makers_to_come, -1, way);
                }
                match self.plan.kin_of[at] {
                    usize::MAX => {
                        self.calls[self.plan.slot_of[at] as usize] = at;
                        self.toggle(act, self.plan.slot_of[at] as usize);
                    }
                    kin => self.kin_begins(act, kin, way),
                }
            }
            Happening::Returns => {
                let slot = self.plan.slot_of[at] as usize;
                self.calls[slot] = at;
                self.toggle(act, slot);
                match act {
                    Act::Read(value) | Act::Cas(value, _) => {
                        count(&mut self.traffic[value as usize].observers, -1, way);
                    }
                    Act::Differs(value) => {
                        count(&mut self.traffic[value as usize].lasting, -1, way);
                        count(&mut self.refusals_left, -1, way);
                    }
                    Act::Write(_) => {}
                }
                match way {
                    Way::On => self.returned += 1,
                    Way::Back => self.returned -= 1,
                }
            }
        }
    }

    fn kin_begins(&mut self, act: Act, kin: usize, way: Way) {
        count(&mut self.begun[kin], 1, way);
        let number = kin as u32;
        match (way, self.begun[kin], act) {
            (Way::On, 1, Act::Write(value)) => self.traffic[value as usize].written_by = Some(number),
            (Way::On, 1, Act::Cas(from, to)) => {
                self.traffic[to as usize].swapped_to_by.push(number);
                self.traffic[from as usize].swapped_from_by.push(number);
            }
            (Way::Back, 0, Act::Write(value)) => self.traffic[value as usize].written_by = None,
            // What came last goes first.
            (Way::Back, 0, Act::Cas(from, to)) => {
                self.traffic[to as usize].swapped_to_by.pop();
                self.traffic[from as usize].swapped_from_by.pop();
            }
            _ => {}
        }
    }

    /// Notes that the call in this slot is open, or that it is not any more.
    fn toggle(&mut self, act: Act, slot: usize) {
        let bit = Slots::one(slot);
        match act {
            Act::Read(value) => {
                self.open.reads ^= bit;
                self.traffic[value as usize].reads ^= bit;
            }
            Act::Differs(value) => {
                self.open.reads ^= bit;
                self.refusals ^= bit;
                self.traffic[value as usize].refusals ^= bit;
            }
            Act::Write(_) => self.open.writes ^= bit,
            Act::Cas(value, _) => {
                self.open.swaps ^= bit;
                self.traffic[value as usize].swaps_from ^= bit;
            }
        }
        if let Some(value) = act.makes() {
            self.traffic[value as usize].makers ^= bit;
        }
    }

    /// How many completed calls still look for a value where these are placed and all its open reads are served.
    pub(super) fn wanted(&self, value: u32, placed: Slots<W>) -> u32 {
        let traffic = &self.traffic[value as usize];
        traffic.observers - traffic.reads.len() - (traffic.swaps_from & placed).len()
    }
}

fn count(of: &mut u32, step: i32, way: Way) {
    let step = if way == Way::On { step } else { -step };
    *of = of.wrapping_add_signed(step);
}
