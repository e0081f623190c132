//! The configurations of one instant, taken from event to event.
//!
//! Invariant: as long as nothing was dropped, the live configurations stand for every way in which the calls up to here
//! can have taken effect.

use super::board::Board;
use super::configuration::{Best, Configuration, Used};
use super::plan::{Act, Happening, NIL, Plan, UNSEEN};
use super::slots::Slots;
use super::trail::{Entry, START, Trail};
use super::{Condition, Ended, Manner, Start, Taste, Width};
use crate::linearizability::search::Unknowns;
use crate::verdict::{Budget, Cause};

/// How much work is done between two looks at the clock. The unit is a comparison of two configurations.
const STRIDE: u64 = 1 << 14;
/// ... and what an extension of one configuration counts.
const EXTENSION: u64 = 64;
/// How many ready configurations a beam looks for, as a multiple of its width: more, because some dominate others.
const READY: usize = 4;
/// ... and how many it extends on the way.
const EXTENDED: usize = 16;

/// Who takes effect.
#[derive(Clone, Copy)]
enum Actor {
    Slot(usize),
    Kin(u32),
}

/// See the module.
pub(super) struct Sweep<'a, 'b, const W: usize> {
    plan: &'a Plan,
    pub(super) manner: Manner,
    budget: &'a Budget<'b>,
    pub(super) board: Board<'a, W>,
    pub(super) live: Vec<Configuration<W>>,
    pub(super) trail: Trail,
    /// Whether anything was dropped that might have been a way.
    pub(super) dropped: bool,
    /// Memory that is held beside the sweep, in bytes.
    pub(super) set_aside: usize,
    work: u64,
    next_look: u64,
    ready: Best<W>,
    seen: Best<W>,
    needs: Needs,
}

impl<'a, 'b, const W: usize> Sweep<'a, 'b, W> {
    pub(super) fn new(plan: &'a Plan, manner: Manner, start: Start, budget: &'a Budget<'b>) -> Self {
        let at = |state| Configuration {
            state,
            trail: START,
            placed: Slots::default(),
            hideable: Slots::default(),
            used: Used::default(),
        };
        let live = match start {
            Start::Initially => vec![at(NIL)],
            Start::Whatever => (0..plan.values as u32).chain([UNSEEN]).map(at).collect(),
        };
        Sweep {
            plan,
            manner,
            budget,
            board: Board::new(plan),
            live,
            trail: Trail::default(),
            dropped: false,
            set_aside: 0,
            work: 0,
            next_look: STRIDE,
            ready: Best::default(),
            seen: Best::default(),
            needs: Needs::default(),
        }
    }

    /// Goes past the next event. Where no configuration is left the event has not happened.
    pub(super) fn step(&mut self) -> Result<(), Cause> {
        let (_, happening, at) = self.plan.events[self.board.happened];
        let slot = self.plan.slot_of[at] as usize;
        match happening {
            Happening::Begins => {
                self.board.step();
                if self.plan.kin_of[at] == usize::MAX {
                    self.look(slot);
                }
            }
            Happening::Returns => {
                self.complete(slot)?;
                if !self.live.is_empty() {
                    self.board.step();
                    self.close(slot);
                }
            }
        }
        Ok(())
    }

    /// Whether all events have happened.
    pub(super) fn is_over(&self) -> bool {
        self.board.happened == self.plan.events.len()
    }

    fn requires(&self, condition: Condition) -> bool {
        self.manner.lacking != Some(condition)
    }

    /// A call that only looks takes effect as soon as it has begun, where it finds what it saw.
    fn look(&mut self, slot: usize) {
        let act = self.board.act(slot);
        let entry = Entry::Call(self.board.calls[slot] as u32);
        for configuration in &mut self.live {
            let legal = match act {
                Act::Read(value) => configuration.state == value,
                Act::Differs(value) => configuration.state != value,
                Act::Write(_) | Act::Cas(..) => return,
            };
            if legal {
                configuration.trail = self.trail.extend(configuration.trail, entry);
                configuration.placed |= Slots::one(slot);
                configuration.state = seen_later(&self.board, configuration.state, configuration.placed);
            }
        }
    }

    /// The call in this slot has returned and taken effect everywhere.
    fn close(&mut self, slot: usize) {
        let gone = !Slots::one(slot);
        let refusal = matches!(self.board.act(slot), Act::Differs(_));
        for configuration in &mut self.live {
            configuration.placed = configuration.placed & gone;
            configuration.hideable = configuration.hideable & gone;
            if refusal {
                configuration.state = seen_later(&self.board, configuration.state, configuration.placed);
            }
        }
    }

    /// Makes the call in this slot take effect in every configuration.
    fn complete(&mut self, slot: usize) -> Result<(), Cause> {
        if self.live.iter().all(|c| c.placed.has(slot)) {
            return Ok(());
        }
        self.ready.clear();
        self.seen.clear();
        // By how many unknown calls took effect for the sake of this one; what took fewer steps stands first.
        let mut levels: Vec<Vec<Configuration<W>>> = vec![Vec::new()];
        for configuration in std::mem::take(&mut self.live) {
            self.sort_in(configuration, slot, 0, &mut levels);
        }
        let (enough, allowance) = match self.manner.width {
            Width::Whole => (usize::MAX, usize::MAX),
            Width::Beam(width, _) => (width * READY, width * EXTENDED),
        };
        let (mut level, mut extended) = (0, 0);
        while level < levels.len() {
            let mut next = 0;
            while let Some(configuration) = levels[level].get(next).cloned() {
                if self.ready.len() >= enough || extended >= allowance {
                    self.dropped = true;
                    break;
                }
                next += 1;
                if !self.seen.insert(configuration.clone(), &self.board.open) {
                    continue;
                }
                extended += 1;
                let queued = levels.iter().map(Vec::len).sum::<usize>() * size_of::<Configuration<W>>();
                self.spend(queued)?;
                self.extend(&configuration, slot, level, &mut levels);
            }
            // Of what is extended nobody stands there any more.
            levels[level] = Vec::new();
            level += 1;
            if self.ready.len() > 0 && self.manner.width != Width::Whole {
                self.dropped |= levels[level..].iter().any(|rest| !rest.is_empty());
                break;
            }
        }
        self.ready.drain(&mut self.live);
        self.narrow();
        Ok(())
    }

    fn sort_in(
        &mut self,
        configuration: Configuration<W>,
        slot: usize,
        level: usize,
        levels: &mut Vec<Vec<Configuration<W>>>,
    ) {
        if configuration.placed.has(slot) {
            self.ready.insert(configuration, &self.board.open);
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
        let open = self.board.open;
        self.live.sort_by_cached_key(|c| {
            let (gone, left) = ((c.placed & open.writes).len(), (open.reads & !c.placed).len());
            let uses = c.used.total();
            let first = if taste == Taste::FewWrites { uses + gone } else { uses };
            (first, gone, left, c.state, c.placed)
        });
        self.live.truncate(width);
        self.dropped = true;
    }

    /// All that may happen next.
    fn extend(
        &mut self,
        from: &Configuration<W>,
        slot: usize,
        level: usize,
        levels: &mut Vec<Vec<Configuration<W>>>,
    ) {
        let mut needs = std::mem::take(&mut self.needs);
        self.find_needs(from, &mut needs);
        if from.hideable.has(slot) {
            let trail = self.trail.extend(from.trail, Entry::Hidden(self.board.calls[slot] as u32));
            let placed = from.placed | Slots::one(slot);
            self.sort_in(Configuration { placed, trail, ..from.clone() }, slot, level, levels);
        }
        let candidates = (self.board.open.writes | self.board.open.swaps) & !from.placed;
        for other in candidates.iter() {
            let act = self.board.act(other);
            let useful = match act {
                Act::Write(value) => {
                    other == slot
                        || (needs.covers(value)
                            && (self.requires(Condition::RewriteHides) || value != from.state))
                }
                Act::Cas(expected, _) => expected == from.state,
                Act::Read(_) | Act::Differs(_) => false,
            };
            if useful
                && (other == slot || !self.after_its_like(candidates, other))
                && let Some(next) = self.place(from, act, Actor::Slot(other))
            {
                self.sort_in(next, slot, level, levels);
            }
        }
        self.use_unknowns(from, &needs, &mut |sweep, kin, act| {
            if let Some(next) = sweep.place(from, act, Actor::Kin(kin)) {
                sweep.sort_in(next, slot, level + 1, levels);
            }
        });
        self.needs = needs;
    }

    /// Whether an equal open call that returns earlier should take effect before this one: the two can change places.
    /// A write that could also be hidden is no exception, because the other one can hide behind it.
    fn after_its_like(&self, candidates: Slots<W>, this: usize) -> bool {
        let act = self.board.act(this);
        let makers = match act.makes() {
            Some(value) => self.board.traffic[value as usize].makers,
            None => return false,
        };
        let order = |slot: usize| match self.requires(Condition::EarliestLikeFirst) {
            true => (self.board.ret(slot), slot),
            false => (u32::MAX - self.board.ret(slot), slot),
        };
        let rank = order(this);
        (candidates & makers).iter().any(|other| self.board.act(other) == act && order(other) < rank)
    }

    /// The unknown calls that may take effect now and could be of use.
    fn use_unknowns(
        &mut self,
        from: &Configuration<W>,
        needs: &Needs,
        place: &mut dyn FnMut(&mut Self, u32, Act),
    ) {
        let mut consider = |sweep: &mut Self, kin: u32| {
            let act = sweep.plan.kins[kin as usize].act;
            // One that is alike and must take effect anyway goes first.
            let makers = act.makes().map_or(Slots::default(), |v| sweep.board.traffic[v as usize].makers);
            let like = (makers & !from.placed).iter().any(|slot| sweep.board.act(slot) == act);
            if !like && sweep.available(from, kin) {
                place(sweep, kin, act);
            }
        };
        match needs.anything {
            true => {
                for kin in 0..self.plan.kins.len() {
                    if matches!(self.plan.kins[kin].act, Act::Write(_)) {
                        consider(self, kin as u32);
                    }
                }
            }
            false => {
                for &value in &needs.values {
                    if let Some(kin) = self.board.traffic[value as usize].written_by {
                        consider(self, kin);
                    }
                }
            }
        }
        if from.state != UNSEEN {
            let state = from.state as usize;
            for at in 0..self.board.traffic[state].swapped_from_by.len() {
                let kin = self.board.traffic[state].swapped_from_by[at];
                if self.plan.kins[kin as usize].act.makes().is_some_and(|value| needs.covers(value)) {
                    consider(self, kin);
                }
            }
        }
    }

    fn available(&self, from: &Configuration<W>, kin: u32) -> bool {
        let begun = self.board.begun[kin as usize];
        match self.manner.unknowns {
            Unknowns::Unlimited => begun > 0,
            Unknowns::Counted => begun > 0 && begun > from.used.of(kin),
        }
    }

    /// What the open calls that have not taken effect wait for.
    fn find_needs(&self, from: &Configuration<W>, needs: &mut Needs) {
        needs.anything = !(self.board.refusals & !from.placed).is_empty();
        needs.values.clear();
        for slot in ((self.board.open.reads | self.board.open.swaps) & !from.placed).iter() {
            if let Act::Read(value) | Act::Cas(value, _) = self.board.act(slot) {
                needs.add(value);
            }
        }
        let mut next = 0;
        while let Some(&value) = needs.values.get(next) {
            for &kin in &self.board.traffic[value as usize].swapped_to_by {
                if let Act::Cas(from, _) = self.plan.kins[kin as usize].act {
                    needs.add(from);
                }
            }
            next += 1;
        }
    }

    /// What follows if this act takes effect; `None` if that leads nowhere.
    fn place(&mut self, from: &Configuration<W>, act: Act, actor: Actor) -> Option<Configuration<W>> {
        let state = act.makes()?;
        let mut next = from.clone();
        let entry = match (actor, act) {
            (Actor::Slot(slot), Act::Write(_)) => Entry::Write(self.board.calls[slot] as u32),
            (Actor::Slot(slot), _) => Entry::Call(self.board.calls[slot] as u32),
            (Actor::Kin(kin), _) => Entry::Unknown(kin),
        };
        match actor {
            Actor::Slot(slot) => next.placed |= Slots::one(slot),
            Actor::Kin(kin) if self.manner.unknowns == Unknowns::Counted => next.used = next.used.plus(kin),
            Actor::Kin(_) => {}
        }
        if state != from.state && self.is_stranded(from.state, &next) {
            return None;
        }
        let hides = self.requires(Condition::RewriteHides) || state != from.state;
        if matches!(act, Act::Write(_)) && hides {
            self.absorb(&mut next, state);
            next.hideable = self.board.open.writes;
        }
        next.hideable = next.hideable & !next.placed;
        next.trail = self.trail.extend(next.trail, entry);
        next.state = state;
        let traffic = &self.board.traffic[state as usize];
        let served = traffic.reads | (self.board.refusals & !traffic.refusals);
        self.serve(&mut next, served);
        next.state = seen_later(&self.board, state, next.placed);
        Some(next)
    }

    fn serve(&mut self, next: &mut Configuration<W>, readers: Slots<W>) {
        for slot in (readers & !next.placed).iter() {
            next.trail = self.trail.extend(next.trail, Entry::Call(self.board.calls[slot] as u32));
        }
        next.placed |= readers;
    }

    /// Puts every open write whose remaining readers are all open, with these, before the blind write to come.
    fn absorb(&mut self, next: &mut Configuration<W>, to_come: u32) {
        if self.board.refusals_left > 0 && self.requires(Condition::AbsorbOnlyWithoutRefusals) {
            return;
        }
        for slot in (self.board.open.writes & !next.placed).iter() {
            let Act::Write(value) = self.board.act(slot) else { continue };
            let traffic = &self.board.traffic[value as usize];
            let readers = traffic.reads & !next.placed;
            let all_open = traffic.lasting == 0 && self.board.wanted(value, next.placed) == 0;
            if value == to_come || readers.is_empty() || !all_open {
                continue;
            }
            next.trail = self.trail.extend(next.trail, Entry::Call(self.board.calls[slot] as u32));
            next.placed |= Slots::one(slot);
            self.serve(next, readers);
        }
    }

    /// Whether a value that is gone in `next` is still wanted there, and can never come back.
    fn is_stranded(&self, value: u32, next: &Configuration<W>) -> bool {
        if value == UNSEEN || self.board.wanted(value, next.placed) == 0 {
            return false;
        }
        let traffic = &self.board.traffic[value as usize];
        let mut unknown = traffic.written_by.iter().chain(&traffic.swapped_to_by);
        traffic.makers_to_come == 0
            && (traffic.makers & !next.placed).is_empty()
            && !unknown.any(|&kin| self.available(next, kin))
    }

    /// Counts the work and the memory, and ends the sweep where either is used up.
    fn spend(&mut self, queued: usize) -> Result<(), Cause> {
        self.work += EXTENSION + self.ready.take_compared() + self.seen.take_compared();
        let held = queued + self.ready.bytes() + self.seen.bytes() + self.trail.bytes() + self.set_aside;
        if held > self.budget.memory_bytes {
            return Err(Cause::Memory { reached: self.reached() });
        }
        if self.work >= self.next_look {
            self.next_look = self.work + STRIDE;
            if (self.budget.expired)() {
                return Err(Cause::Time { reached: self.reached() });
            }
        }
        Ok(())
    }

    fn reached(&self) -> String {
        let returns = self.plan.events.iter().filter(|event| event.1 == Happening::Returns).count();
        format!(
            "after {} of {returns} completed operations, {} configurations, {} operations of unknown outcome in play",
            self.board.returned,
            self.ready.len() + self.seen.len(),
            self.plan.unknowns()
        )
    }

    /// The order in which a configuration came to the end.
    pub(super) fn arrived(&self) -> Ended {
        let mut order: Vec<usize> = Vec::new();
        // By position in `order`: what is hidden just before it. Only the last blind write gathers.
        let mut last_write = 0;
        let mut uses = vec![0; self.plan.kins.len()];
        let best = self.live.iter().min_by_key(|configuration| configuration.used.total());
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

/// The state itself if anyone will ever look at it.
fn seen_later<const W: usize>(board: &Board<'_, W>, state: u32, placed: Slots<W>) -> u32 {
    let seen =
        state != UNSEEN && (board.traffic[state as usize].lasting > 0 || board.wanted(state, placed) > 0);
    if seen { state } else { UNSEEN }
}

/// The values that open calls wait for.
#[derive(Default)]
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
