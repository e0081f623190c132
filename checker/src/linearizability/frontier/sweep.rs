//! One pass over the events of a register with a set of configurations.

use super::configuration::{Best, Configuration, Entry, Open, START, Trail};
use super::plan::{Act, Happening, NIL, Plan, UNSEEN};
use super::{Condition, Ended, Manner, Taste, Width};
use crate::linearizability::search::Unknowns;
use crate::verdict::{Budget, Cause};

const SLOTS: usize = 128;
/// How many configurations are extended between two looks at the clock.
const STRIDE: u64 = 256;

/// The bits that are set.
fn bits(mut mask: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (mask != 0).then(|| mask.trailing_zeros() as usize)?;
        mask &= mask - 1;
        Some(bit)
    })
}

/// Who makes a value and who looks for it.
#[derive(Clone, Default)]
struct Traffic {
    /// Completed reads and CAS that look for it and have not returned.
    observers: u32,
    /// Unknown CAS that look for it, and refused CAS that look for anything else and have not returned.
    lasting: u32,
    /// Calls that make it and have not begun.
    makers_to_come: u32,
    /// The slots of the open calls.
    reads: u128,
    refusals: u128,
    swaps_from: u128,
    makers: u128,
    /// The kinds of unknown calls that have begun.
    written_by: Option<u32>,
    swapped_to_by: Vec<u32>,
    swapped_from_by: Vec<u32>,
}

/// An open call.
#[derive(Clone, Copy)]
struct Slot {
    at: usize,
    act: Act,
    ret: u32,
}

/// Who takes effect.
#[derive(Clone, Copy)]
enum Actor {
    Slot(usize),
    Kin(u32),
}

struct Sweep<'a, 'b> {
    plan: &'a Plan,
    manner: Manner,
    budget: &'a Budget<'b>,
    traffic: Vec<Traffic>,
    /// How many of each kind of unknown calls have begun.
    begun: Vec<u32>,
    slots: Vec<Slot>,
    free: u128,
    slot_of: Vec<u8>,
    open: Open,
    refusals: u128,
    /// Refused CAS that have not returned, open or not.
    refusals_left: u32,
    live: Vec<Configuration>,
    trail: Trail,
    /// Whether anything was dropped that might have been a way.
    dropped: bool,
    extended: u64,
    returned: usize,
}

pub(super) fn sweep(plan: &Plan, manner: Manner, budget: &Budget<'_>) -> Ended {
    Sweep::new(plan, manner, budget).run()
}

impl<'a, 'b> Sweep<'a, 'b> {
    fn new(plan: &'a Plan, manner: Manner, budget: &'a Budget<'b>) -> Self {
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
        let start = Configuration { state: NIL, placed: 0, hideable: 0, used: Vec::new(), trail: START };
        Sweep {
            plan,
            manner,
            budget,
            traffic,
            begun: vec![0; plan.kins.len()],
            slots: vec![Slot { at: 0, act: Act::Read(NIL), ret: 0 }; SLOTS],
            free: u128::MAX,
            slot_of: vec![0; plan.acts.len()],
            open: Open::default(),
            refusals: 0,
            refusals_left,
            live: vec![start],
            trail: Trail::default(),
            dropped: false,
            extended: 0,
            returned: 0,
        }
    }

    fn run(mut self) -> Ended {
        for &(_, happening, at) in &self.plan.events {
            let Some(act) = self.plan.acts[at] else { continue };
            match happening {
                Happening::Begins => {
                    if let Some(value) = act.makes() {
                        self.traffic[value as usize].makers_to_come -= 1;
                    }
                    if self.plan.kin_of[at] != usize::MAX {
                        self.kin_begins(act, self.plan.kin_of[at]);
                    } else if self.free == 0 {
                        return Ended::TooWide;
                    } else {
                        self.begins(act, at);
                    }
                }
                Happening::Returns => {
                    let slot = self.slot_of[at] as usize;
                    if let Err(cause) = self.complete(slot) {
                        return Ended::Spent(cause);
                    }
                    if self.live.is_empty() {
                        return if self.dropped { Ended::Lost } else { Ended::NoWay };
                    }
                    self.close(slot);
                    self.returned += 1;
                }
            }
        }
        self.arrived()
    }

    fn requires(&self, condition: Condition) -> bool {
        self.manner.lacking != Some(condition)
    }

    fn kin_begins(&mut self, act: Act, kin: usize) {
        self.begun[kin] += 1;
        if self.begun[kin] > 1 {
            return;
        }
        match act {
            Act::Write(value) => self.traffic[value as usize].written_by = Some(kin as u32),
            Act::Cas(from, to) => {
                self.traffic[to as usize].swapped_to_by.push(kin as u32);
                self.traffic[from as usize].swapped_from_by.push(kin as u32);
            }
            Act::Read(_) | Act::Differs(_) => {}
        }
    }

    fn begins(&mut self, act: Act, at: usize) {
        let slot = self.free.trailing_zeros() as usize;
        let bit = 1 << slot;
        self.free &= !bit;
        self.slots[slot] = Slot { at, act, ret: self.plan.returns[at] };
        self.slot_of[at] = slot as u8;
        self.toggle(act, bit);
        if let Act::Read(_) | Act::Differs(_) = act {
            let entry = Entry::Call(at as u32);
            for number in 0..self.live.len() {
                let state = self.live[number].state;
                let legal = match act {
                    Act::Read(value) => state == value,
                    Act::Differs(value) => state != value,
                    Act::Write(_) | Act::Cas(..) => false,
                };
                if legal {
                    let trail = self.trail.extend(self.live[number].trail, entry);
                    self.live[number].trail = trail;
                    self.live[number].placed |= bit;
                    self.live[number].state = self.seen_later(state, self.live[number].placed);
                }
            }
        }
    }

    /// Notes that the call in this slot is open, or that it is not any more.
    fn toggle(&mut self, act: Act, bit: u128) {
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

    /// The call in this slot has returned and taken effect everywhere.
    fn close(&mut self, slot: usize) {
        let (bit, act) = (1 << slot, self.slots[slot].act);
        self.toggle(act, bit);
        self.free |= bit;
        for configuration in &mut self.live {
            configuration.placed &= !bit;
            configuration.hideable &= !bit;
        }
        match act {
            Act::Read(value) | Act::Cas(value, _) => self.traffic[value as usize].observers -= 1,
            Act::Differs(value) => {
                self.traffic[value as usize].lasting -= 1;
                self.refusals_left -= 1;
                for number in 0..self.live.len() {
                    let Configuration { state, placed, .. } = self.live[number];
                    self.live[number].state = self.seen_later(state, placed);
                }
            }
            Act::Write(_) => {}
        }
        self.trail.sweep(&mut self.live);
    }

    /// How many completed calls still look for a value where these are placed and all its open reads are served.
    fn wanted(&self, value: u32, placed: u128) -> u32 {
        let traffic = &self.traffic[value as usize];
        traffic.observers - traffic.reads.count_ones() - (traffic.swaps_from & placed).count_ones()
    }

    /// The state itself if anyone will ever look at it.
    fn seen_later(&self, state: u32, placed: u128) -> u32 {
        match state == UNSEEN || self.traffic[state as usize].lasting > 0 || self.wanted(state, placed) > 0 {
            true => state,
            false => UNSEEN,
        }
    }

    /// Makes the call in this slot take effect in every configuration.
    fn complete(&mut self, slot: usize) -> Result<(), Cause> {
        let bit = 1u128 << slot;
        if self.live.iter().all(|c| c.placed & bit != 0) {
            return Ok(());
        }
        let (mut ready, mut seen) = (Best::default(), Best::default());
        // By how many unknown calls took effect for the sake of this one.
        let mut levels: Vec<Vec<Configuration>> = vec![Vec::new()];
        let mut successors = Vec::new();
        for configuration in std::mem::take(&mut self.live) {
            self.sort_in(configuration, bit, 0, &mut ready, &mut levels);
        }
        let allowance = match self.manner.width {
            Width::Whole => usize::MAX,
            Width::Beam(width, _) => (width * 16).max(1024),
        };
        let mut level = 0;
        while level < levels.len() {
            while let Some(configuration) = levels[level].pop() {
                if !seen.insert(configuration.clone(), self.open) {
                    continue;
                }
                if seen.len() > allowance {
                    self.dropped = true;
                    break;
                }
                let queued = levels.iter().map(Vec::len).sum::<usize>() * size_of::<Configuration>();
                self.spend(ready.bytes + seen.bytes + queued, ready.len())?;
                self.extend(&configuration, slot, &mut successors);
                for (successor, cost) in successors.drain(..) {
                    self.sort_in(successor, bit, level + cost, &mut ready, &mut levels);
                }
            }
            level += 1;
            if ready.len() > 0 && self.manner.width != Width::Whole {
                self.dropped |= levels[level - 1..].iter().any(|rest| !rest.is_empty());
                break;
            }
        }
        self.live = ready.into_vec();
        self.narrow();
        Ok(())
    }

    fn sort_in(
        &self,
        configuration: Configuration,
        bit: u128,
        level: usize,
        ready: &mut Best,
        levels: &mut Vec<Vec<Configuration>>,
    ) {
        if configuration.placed & bit != 0 {
            ready.insert(configuration, self.open);
            return;
        }
        if levels.len() <= level {
            levels.resize_with(level + 1, Vec::new);
        }
        levels[level].push(configuration);
    }

    /// Keeps the most promising ones: few unknown calls used, few writes gone, few reads left.
    fn narrow(&mut self) {
        let Width::Beam(width, taste) = self.manner.width else { return };
        if self.live.len() <= width {
            return;
        }
        let open = self.open;
        self.live.sort_by_cached_key(|c| {
            let (gone, left) = (c.placed & open.writes, open.reads & !c.placed);
            let (gone, left, uses) = (gone.count_ones(), left.count_ones(), c.total_uses());
            let first = if taste == Taste::FewWrites { uses + gone } else { uses };
            (first, gone, left, c.state, c.placed)
        });
        self.live.truncate(width);
        self.dropped = true;
    }

    /// All that may happen next, each with the number of unknown calls it takes.
    fn extend(&mut self, from: &Configuration, slot: usize, into: &mut Vec<(Configuration, usize)>) {
        let needs = self.needs(from);
        let returning = self.slots[slot];
        if from.hideable >> slot & 1 == 1 {
            let trail = self.trail.extend(from.trail, Entry::Hidden(returning.at as u32));
            into.push((Configuration { placed: from.placed | 1 << slot, trail, ..from.clone() }, 0));
        }
        let candidates = (self.open.writes | self.open.swaps) & !from.placed;
        for other in bits(candidates) {
            let act = self.slots[other].act;
            let useful = match act {
                Act::Write(value) => {
                    other == slot
                        || (needs.covers(value)
                            && (self.requires(Condition::RewriteHides) || value != from.state))
                }
                Act::Cas(expected, _) => expected == from.state,
                Act::Read(_) | Act::Differs(_) => false,
            };
            if useful && (other == slot || !self.after_its_like(from, candidates, other)) {
                into.extend(self.place(from, act, Actor::Slot(other)).map(|next| (next, 0)));
            }
        }
        for (kin, act) in self.unknown_moves(from, &needs) {
            into.extend(self.place(from, act, Actor::Kin(kin)).map(|next| (next, 1)));
        }
    }

    /// Whether an equal open call that returns earlier should take effect before this one. It should not where it can be
    /// hidden and this one cannot: then it is this one that needs the place.
    fn after_its_like(&self, from: &Configuration, candidates: u128, this: usize) -> bool {
        let Slot { act, ret, .. } = self.slots[this];
        let hideable = |slot: usize| from.hideable >> slot & 1 == 1;
        bits(candidates & !(1 << this)).any(|other| {
            let like = &self.slots[other];
            like.act == act && (like.ret, other) < (ret, this) && (hideable(this) || !hideable(other))
        })
    }

    /// The unknown calls that may take effect now and could be of use.
    fn unknown_moves(&self, from: &Configuration, needs: &Needs) -> Vec<(u32, Act)> {
        let mut moves = Vec::new();
        let mut consider = |kin: u32| {
            let act = self.plan.kins[kin as usize].act;
            // One that is alike and must take effect anyway goes first, unless it could do so unseen.
            let like = |slot: usize| self.slots[slot].act == act && from.hideable >> slot & 1 == 0;
            let makers = act.makes().map_or(0, |value| self.traffic[value as usize].makers);
            if self.available(from, kin) && !bits(makers & !from.placed).any(like) {
                moves.push((kin, act));
            }
        };
        match needs.anything {
            true => {
                let writes = |kin: &usize| matches!(self.plan.kins[*kin].act, Act::Write(_));
                (0..self.plan.kins.len()).filter(writes).for_each(|kin| consider(kin as u32));
            }
            false => {
                let writes = needs.values.iter().filter_map(|&v| self.traffic[v as usize].written_by);
                writes.for_each(&mut consider);
            }
        }
        if from.state != UNSEEN {
            for &kin in &self.traffic[from.state as usize].swapped_from_by {
                if self.plan.kins[kin as usize].act.makes().is_some_and(|value| needs.covers(value)) {
                    consider(kin);
                }
            }
        }
        moves
    }

    fn available(&self, from: &Configuration, kin: u32) -> bool {
        let begun = self.begun[kin as usize];
        match self.manner.unknowns {
            Unknowns::Unlimited => begun > 0,
            Unknowns::Counted => begun > from.uses(kin),
        }
    }

    /// What the open calls that have not taken effect wait for.
    fn needs(&self, from: &Configuration) -> Needs {
        let mut needs = Needs { anything: self.refusals & !from.placed != 0, values: Vec::new() };
        for slot in bits((self.open.reads | self.open.swaps) & !from.placed) {
            if let Act::Read(value) | Act::Cas(value, _) = self.slots[slot].act {
                needs.add(value);
            }
        }
        let mut next = 0;
        while let Some(&value) = needs.values.get(next) {
            for &kin in &self.traffic[value as usize].swapped_to_by {
                if let Act::Cas(from, _) = self.plan.kins[kin as usize].act {
                    needs.add(from);
                }
            }
            next += 1;
        }
        needs
    }

    /// What follows if this act takes effect; `None` if that leads nowhere.
    fn place(&mut self, from: &Configuration, act: Act, actor: Actor) -> Option<Configuration> {
        let state = act.makes()?;
        let mut next = from.clone();
        let entry = match (actor, act) {
            (Actor::Slot(slot), Act::Write(_)) => Entry::Write(self.slots[slot].at as u32),
            (Actor::Slot(slot), _) => Entry::Call(self.slots[slot].at as u32),
            (Actor::Kin(kin), _) => Entry::Unknown(kin),
        };
        match actor {
            Actor::Slot(slot) => next.placed |= 1 << slot,
            Actor::Kin(kin) if self.manner.unknowns == Unknowns::Counted => next.count_use(kin),
            Actor::Kin(_) => {}
        }
        if state != from.state && self.is_stranded(from.state, &next) {
            return None;
        }
        let hides = self.requires(Condition::RewriteHides) || state != from.state;
        if matches!(act, Act::Write(_)) && hides {
            self.absorb(&mut next, state);
            next.hideable = self.open.writes & !next.placed;
        }
        next.hideable &= !next.placed;
        next.trail = self.trail.extend(next.trail, entry);
        next.state = state;
        let served =
            self.traffic[state as usize].reads | (self.refusals & !self.traffic[state as usize].refusals);
        self.serve(&mut next, served);
        next.state = self.seen_later(state, next.placed);
        Some(next)
    }

    fn serve(&mut self, next: &mut Configuration, readers: u128) {
        for slot in bits(readers & !next.placed) {
            next.trail = self.trail.extend(next.trail, Entry::Call(self.slots[slot].at as u32));
        }
        next.placed |= readers;
    }

    /// Puts every open write whose remaining readers are all open, with these, before the blind write to come.
    fn absorb(&mut self, next: &mut Configuration, to_come: u32) {
        if self.refusals_left > 0 && self.requires(Condition::AbsorbOnlyWithoutRefusals) {
            return;
        }
        for slot in bits(self.open.writes & !next.placed) {
            let Act::Write(value) = self.slots[slot].act else { continue };
            let traffic = &self.traffic[value as usize];
            let readers = traffic.reads & !next.placed;
            let all_open = traffic.lasting == 0 && self.wanted(value, next.placed) == 0;
            if value == to_come || readers == 0 || !all_open {
                continue;
            }
            next.trail = self.trail.extend(next.trail, Entry::Call(self.slots[slot].at as u32));
            next.placed |= 1 << slot;
            self.serve(next, readers);
        }
    }

    /// Whether a value that is gone in `next` is still wanted there, and can never come back.
    fn is_stranded(&self, value: u32, next: &Configuration) -> bool {
        if value == UNSEEN || self.wanted(value, next.placed) == 0 {
            return false;
        }
        let traffic = &self.traffic[value as usize];
        let mut unknown = traffic.written_by.iter().chain(&traffic.swapped_to_by);
        traffic.makers_to_come == 0
            && traffic.makers & !next.placed == 0
            && !unknown.any(|&kin| self.available(next, kin))
    }

    fn spend(&mut self, bytes: usize, frontier: usize) -> Result<(), Cause> {
        self.extended += 1;
        let reached = || {
            format!(
                "after {} completed operations, {frontier} configurations, {} operations of unknown outcome in play",
                self.returned,
                self.plan.unknowns()
            )
        };
        if bytes + self.trail.bytes() > self.budget.memory_bytes {
            return Err(Cause::Memory { reached: reached() });
        }
        match self.extended.is_multiple_of(STRIDE) && (self.budget.expired)() {
            true => Err(Cause::Time { reached: reached() }),
            false => Ok(()),
        }
    }

    /// The order in which a configuration came here.
    fn arrived(&self) -> Ended {
        let mut order: Vec<usize> = Vec::new();
        // By position in `order`: what is hidden just before it. Only the last blind write gathers.
        let mut last_write = 0;
        let mut uses = vec![0; self.plan.kins.len()];
        let best = self.live.iter().min_by_key(|configuration| configuration.total_uses());
        let Some(best) = best else { return Ended::Lost };
        for entry in self.trail.entries(best.trail) {
            match entry {
                Entry::Call(at) => order.push(at as usize),
                Entry::Write(at) => {
                    last_write = order.len();
                    order.push(at as usize);
                }
                Entry::Hidden(at) => {
                    order.insert(last_write, at as usize);
                    last_write += 1;
                }
                Entry::Unknown(kin) => {
                    let kin = kin as usize;
                    let Some(&at) = self.plan.kins[kin].members.get(uses[kin]) else {
                        return Ended::Overdrawn;
                    };
                    uses[kin] += 1;
                    if matches!(self.plan.kins[kin].act, Act::Write(_)) {
                        last_write = order.len();
                    }
                    order.push(at);
                }
            }
        }
        Ended::Arrived(order)
    }
}

/// The values that open calls wait for.
struct Needs {
    /// One of them waits for nothing but a change.
    anything: bool,
    values: Vec<u32>,
}

impl Needs {
    fn covers(&self, value: u32) -> bool {
        self.anything || self.values.contains(&value)
    }

    fn add(&mut self, value: u32) {
        if !self.values.contains(&value) {
            self.values.push(value);
        }
    }
}
