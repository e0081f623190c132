//! The search of Wing & Gong with Lowe's memo, for everything that no exact rule covers.
//!
//! Depth first over the calls that may come next; a configuration (which calls are placed, and the state) that once
//! led nowhere is never entered again. Against the blow-up of the textbook version: a configuration holds only the
//! window of calls around the first one that is not placed, so memory does not grow with the square of the history;
//! read-only calls that are legal are placed at once; of calls that are alike the one that returns first goes first; calls of unknown outcome are counted per class of identical
//! ones, are used only where they change the state, and not at all where nobody could ever see what they put there.
//!
//! Two cheaper questions come first. May every class of unknown calls be used without limit ([`Unknowns::Unlimited`])?
//! Then a configuration need not remember which were used: if even that explains nothing, the history is violated, and
//! if the order that is found happens to keep to the limits, it holds. Only between these two the exact count is needed.
//!
//! References: Wing & Gong 1993; Lowe, Testing for Linearizability, 2017.

use std::hash::Hash;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Call, OPEN, witness};
use crate::history::formats::Specification;
use crate::model::{Class, Model};
use crate::verdict::{Budget, Cause};

/// What the search came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An order.
    Holds(Vec<usize>),
    /// There is none.
    Violated,
    /// The budget ran out, or the model does not know an operation.
    Undecided(Cause),
}

/// Decides the calls of one key.
pub(super) fn search<M: Model>(calls: &[Call<'_>], model: &M, budget: &Budget<'_>) -> Found {
    search_with(calls, model, Patience::Endless, budget)
}

/// The same as long as it goes well: it gives up, undecided, once so many choices turned out to be wrong.
pub(super) fn search_hastily<M: Model>(
    calls: &[Call<'_>],
    model: &M,
    wrong: u64,
    budget: &Budget<'_>,
) -> Found {
    search_with(calls, model, Patience::Wrong(wrong), budget)
}

/// How many wrong choices a search may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    Endless,
    Wrong(u64),
}

fn search_with<M: Model>(calls: &[Call<'_>], model: &M, patience: Patience, budget: &Budget<'_>) -> Found {
    if let Some(unknown) = calls.iter().find(|call| model.class(call.op).is_none()) {
        return Found::Undecided(Cause::Model { reason: format!("the model does not know {unknown}") });
    }
    let plan = Plan::new(calls, model);
    if plan.can_relax(model) {
        match explore(&plan, model, (Unknowns::Unlimited, patience), budget) {
            Found::Holds(order) => {
                if let Some(order) = within_limits(&plan, order)
                    && witness::replay(calls, model, &order)
                {
                    return Found::Holds(order);
                }
            }
            Found::Violated => return Found::Violated,
            // The other question is no easier.
            undecided if patience != Patience::Endless => return undecided,
            Found::Undecided(_) => {}
        }
    }
    explore(&plan, model, (Unknowns::Counted, patience), budget)
}

/// How often the members of a class of unknown calls may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknowns {
    /// Once each: exact.
    Counted,
    /// Again and again: explains more than there is.
    Unlimited,
}

/// The search without a limit on unknown calls, by itself.
pub(super) fn relaxed<M: Model>(calls: &[Call<'_>], model: &M, budget: &Budget<'_>) -> Found {
    let plan = Plan::new(calls, model);
    let unknowns = if plan.can_relax(model) { Unknowns::Unlimited } else { Unknowns::Counted };
    explore(&plan, model, (unknowns, Patience::Endless), budget)
}

/// The exact search by itself.
pub(super) fn exact<M: Model>(calls: &[Call<'_>], model: &M, budget: &Budget<'_>) -> Found {
    explore(&Plan::new(calls, model), model, (Unknowns::Counted, Patience::Endless), budget)
}

/// Gives every use of a class a member of its own, if there are as many.
fn within_limits(plan: &Plan<'_, '_>, mut order: Vec<usize>) -> Option<Vec<usize>> {
    let class_of: FxHashMap<usize, usize> =
        plan.classes.iter().enumerate().map(|(class, members)| (members[0], class)).collect();
    let mut uses = vec![0; plan.classes.len()];
    for at in &mut order {
        if let Some(&class) = class_of.get(at) {
            *at = *plan.classes[class].get(uses[class])?;
            uses[class] += 1;
        }
    }
    Some(order)
}

fn explore<M: Model>(
    plan: &Plan<'_, '_>,
    model: &M,
    (unknowns, patience): (Unknowns, Patience),
    budget: &Budget<'_>,
) -> Found {
    Search {
        unknowns,
        wrong: match patience {
            Patience::Endless => u64::MAX,
            Patience::Wrong(wrong) => wrong,
        },
        plan,
        states: States::new(model),
        seen: FxHashSet::default(),
        bytes: 0,
        steps: 0,
        reached: 0,
        budget,
    }
    .run()
}

/// The calls in the shape that the search wants.
struct Plan<'c, 'h> {
    calls: &'c [Call<'h>],
    /// Completed calls, by the instant of their call.
    done: Vec<usize>,
    read_only: Vec<bool>,
    /// By place in `done`: equal calls that answered the same have the same number.
    alike: Vec<u32>,
    /// Unknown calls: classes of identical ones, each by the instant of its call.
    classes: Vec<Vec<usize>>,
}

impl<'c, 'h> Plan<'c, 'h> {
    fn new<M: Model>(calls: &'c [Call<'h>], model: &M) -> Self {
        let mut done: Vec<usize> = (0..calls.len()).filter(|&at| calls[at].ret != OPEN).collect();
        done.sort_by_key(|&at| (calls[at].call, calls[at].ret));
        let read_only = done.iter().map(|&at| model.is_read_only(calls[at].op, calls[at].reply)).collect();
        let mut classes: Vec<Vec<usize>> = Vec::new();
        let mut class_of = FxHashMap::default();
        for at in useful_unknowns(calls, model) {
            let class = *class_of.entry(calls[at].op).or_insert(classes.len());
            if class == classes.len() {
                classes.push(Vec::new());
            }
            classes[class].push(at);
        }
        classes.iter_mut().for_each(|class| class.sort_by_key(|&at| calls[at].call));
        let mut numbers = FxHashMap::default();
        let alike = done
            .iter()
            .map(|&at| {
                let fresh = numbers.len() as u32;
                *numbers.entry((calls[at].op, calls[at].reply)).or_insert(fresh)
            })
            .collect();
        Plan { calls, done, read_only, alike, classes }
    }
}

impl Plan<'_, '_> {
    /// Whether unknown calls without limit are a smaller question. Not where they could go on to new states for ever, as
    /// appends do.
    fn can_relax<M: Model>(&self, model: &M) -> bool {
        let bounded = |class: &Vec<usize>| {
            matches!(model.class(self.calls[class[0]].op), Some(Class::Blind | Class::Conditional))
        };
        !self.classes.is_empty()
            && self.calls.iter().all(|call| model.class(call.op) != Some(Class::Total))
            && self.classes.iter().all(bounded)
    }
}

/// The unknown calls that could help to explain something. One whose value nobody can have seen, neither directly nor
/// through what other unknown calls made of it, can be left out of any order: without it, every other call finds a
/// state that suits it as well. That fails where a call wants the state to be *different* from something.
pub(super) fn useful_unknowns<M: Model>(calls: &[Call<'_>], model: &M) -> Vec<usize> {
    let unknown: Vec<usize> =
        (0..calls.len()).filter(|&at| calls[at].ret == OPEN && !calls[at].is_read_only()).collect();
    // Another model may see something else in a value.
    if model.specification() != Some(Specification::Register)
        || calls.iter().any(|call| call.differs_from().is_some())
    {
        return unknown;
    }
    let mut wanted: FxHashSet<_> =
        calls.iter().filter(|c| c.ret != OPEN).filter_map(Call::observes).collect();
    let mut kept = vec![false; calls.len()];
    loop {
        let mut grew = false;
        for &at in &unknown {
            if !kept[at] && calls[at].puts().is_some_and(|value| wanted.contains(value)) {
                kept[at] = true;
                grew = true;
                wanted.extend(calls[at].observes());
            }
        }
        if !grew {
            return unknown.into_iter().filter(|&at| kept[at]).collect();
        }
    }
}

/// Every state met so far, by number.
struct States<'m, M: Model> {
    model: &'m M,
    known: Vec<M::State>,
    numbers: FxHashMap<M::State, u32>,
}

impl<'m, M: Model> States<'m, M> {
    fn new(model: &'m M) -> Self {
        let initial = model.initial();
        States { model, known: vec![initial.clone()], numbers: FxHashMap::from_iter([(initial, 0)]) }
    }

    fn step(&mut self, state: u32, call: &Call<'_>) -> Option<u32> {
        let next = self.model.step(&self.known[state as usize], call.op, call.reply)?;
        if next == self.known[state as usize] {
            return Some(state);
        }
        if let Some(&number) = self.numbers.get(&next) {
            return Some(number);
        }
        let number = self.known.len() as u32;
        self.known.push(next.clone());
        self.numbers.insert(next, number);
        Some(number)
    }
}

/// Which calls are placed.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Configuration {
    state: u32,
    /// All completed calls before this one are placed.
    base: u32,
    /// Bit `i`: the completed call `base + i` is placed. Bit 0 is clear, and so is the last bit of the last word's
    /// tail, so that equal sets are equal vectors.
    window: Vec<u64>,
    /// The classes of the unknown calls that were used, in order, one entry for each use.
    used: Vec<u32>,
}

impl Configuration {
    fn has(&self, call: usize) -> bool {
        let bit = call - self.base as usize;
        self.window.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    fn place(&mut self, call: usize) {
        let bit = call - self.base as usize;
        if self.window.len() <= bit / 64 {
            self.window.resize(bit / 64 + 1, 0);
        }
        self.window[bit / 64] |= 1 << (bit % 64);
        self.slide();
    }

    /// Moves the window past the calls that are placed.
    fn slide(&mut self) {
        let whole = self.window.iter().take_while(|&&word| word == u64::MAX).count();
        let bits = self.window.get(whole).map_or(0, |word| word.trailing_ones());
        self.base += whole as u32 * 64 + bits;
        self.window.drain(..whole);
        if bits > 0 {
            let len = self.window.len();
            for at in 0..len {
                let above = if at + 1 < len { self.window[at + 1] << (64 - bits) } else { 0 };
                self.window[at] = self.window[at] >> bits | above;
            }
        }
        while self.window.last() == Some(&0) {
            self.window.pop();
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.window.len() * 8 + self.used.len() * 4 + 16
    }
}

/// A choice that can be made next.
#[derive(Clone, Copy)]
enum Move {
    /// A completed call, by its place in `Plan::done`.
    Done(usize, u32),
    /// An unknown call, by its class.
    Unknown(usize, u32),
}

/// A configuration on the current path, and the choices not yet tried there, the best last.
struct Frame {
    at: Configuration,
    moves: Vec<Move>,
    /// How long the order was on entering.
    placed: usize,
}

struct Search<'a, 'c, 'h, 'm, 'b, M: Model> {
    unknowns: Unknowns,
    /// How many choices may turn out to be wrong.
    wrong: u64,
    plan: &'a Plan<'c, 'h>,
    states: States<'m, M>,
    seen: FxHashSet<Configuration>,
    bytes: usize,
    steps: u64,
    /// The most completed calls that were ever placed without a gap.
    reached: u32,
    budget: &'a Budget<'b>,
}

impl<M: Model> Search<'_, '_, '_, '_, '_, M> {
    fn run(mut self) -> Found {
        let mut order = Vec::new();
        let start = Configuration { state: 0, base: 0, window: Vec::new(), used: Vec::new() };
        let mut stack = vec![self.enter(start, &mut order)];
        loop {
            let Some(frame) = stack.last_mut() else { return Found::Violated };
            if frame.at.base as usize == self.plan.done.len() {
                return Found::Holds(order);
            }
            let Some(choice) = frame.moves.pop() else {
                order.truncate(frame.placed);
                stack.pop();
                continue;
            };
            if let Some(cause) = self.spent(stack.len()) {
                return Found::Undecided(cause);
            }
            let frame = &stack[stack.len() - 1];
            let mut next = frame.at.clone();
            let placed = order.len();
            order.push(self.apply(&mut next, choice));
            let mut frame = self.enter(next, &mut order);
            frame.placed = placed;
            if self.seen.contains(&frame.at) {
                order.truncate(placed);
                continue;
            }
            self.bytes += frame.at.bytes();
            self.seen.insert(frame.at.clone());
            stack.push(frame);
        }
    }

    fn apply(&self, at: &mut Configuration, choice: Move) -> usize {
        match choice {
            Move::Done(call, state) => {
                at.state = state;
                at.place(call);
                self.plan.done[call]
            }
            Move::Unknown(class, state) => {
                at.state = state;
                if self.unknowns == Unknowns::Unlimited {
                    return self.plan.classes[class][0];
                }
                let class_number = class as u32;
                let uses = at.used.iter().filter(|&&c| c == class_number).count();
                let slot = at.used.partition_point(|&c| c <= class_number);
                at.used.insert(slot, class_number);
                self.plan.classes[class][uses]
            }
        }
    }

    /// Places all read-only calls that are legal, then lists the choices.
    fn enter(&mut self, mut at: Configuration, order: &mut Vec<usize>) -> Frame {
        let placed = order.len();
        let candidates = loop {
            let (candidates, horizon) = self.candidates(&at);
            let mut progressed = false;
            for &call in &candidates {
                let legal = self.plan.read_only[call]
                    && self.states.step(at.state, &self.plan.calls[self.plan.done[call]]) == Some(at.state);
                if legal {
                    order.push(self.plan.done[call]);
                    at.place(call);
                    progressed = true;
                }
            }
            if !progressed {
                break (candidates, horizon);
            }
        };
        self.reached = self.reached.max(at.base);
        let moves = self.moves(&at, candidates.0, candidates.1);
        Frame { at, moves, placed }
    }

    /// The completed calls that nothing else must precede, and the first return among those not placed.
    fn candidates(&self, at: &Configuration) -> (Vec<usize>, u32) {
        let (calls, done) = (self.plan.calls, &self.plan.done);
        let mut horizon = OPEN;
        let mut open = Vec::new();
        for call in at.base as usize..done.len() {
            if calls[done[call]].call > horizon {
                break;
            }
            if !at.has(call) {
                horizon = horizon.min(calls[done[call]].ret);
                open.push(call);
            }
        }
        open.retain(|&call| calls[done[call]].call <= horizon);
        (open, horizon)
    }

    fn moves(&mut self, at: &Configuration, mut open: Vec<usize>, horizon: u32) -> Vec<Move> {
        let plan = self.plan;
        let mut moves = Vec::with_capacity(open.len());
        let mut uses = at.used.iter().peekable();
        for (class, members) in plan.classes.iter().enumerate() {
            let mut count = 0;
            while uses.next_if(|&&c| c as usize == class).is_some() {
                count += 1;
            }
            let available = members.get(count).filter(|&&call| plan.calls[call].call <= horizon);
            let next = available.and_then(|&call| self.states.step(at.state, &plan.calls[call]));
            // One that changes nothing explains nothing.
            moves.extend(next.filter(|&next| next != at.state).map(|next| Move::Unknown(class, next)));
        }
        // The earliest return is tried first, that is, stands last; what is known to have happened before the unknown.
        open.sort_by_key(|&call| std::cmp::Reverse(plan.calls[plan.done[call]].ret));
        // Of calls that are alike the one that returns first may as well be the first: the others can take its place later.
        let first =
            |at: usize| !open[at + 1..].iter().any(|&later| plan.alike[later] == plan.alike[open[at]]);
        for call in (0..open.len()).filter(|&at| first(at)).map(|at| open[at]) {
            let next = self.states.step(at.state, &plan.calls[plan.done[call]]);
            moves.extend(next.map(|next| Move::Done(call, next)));
        }
        moves
    }

    fn spent(&mut self, depth: usize) -> Option<Cause> {
        self.steps += 1;
        let reached = || {
            format!(
                "after {} of {} completed operations, {} configurations, {} operations of unknown outcome in play",
                self.reached,
                self.plan.done.len(),
                self.seen.len(),
                self.plan.classes.iter().map(Vec::len).sum::<usize>()
            )
        };
        // A frame holds a configuration and its choices.
        let frames = depth * (size_of::<Frame>() + 256);
        if self.bytes + frames > self.budget.memory_bytes {
            return Some(Cause::Memory { reached: reached() });
        }
        // Of all choices those that stand are on the stack.
        let impatient = self.steps.saturating_sub(depth as u64) > self.wrong;
        (impatient || (self.steps.is_multiple_of(1024) && (self.budget.expired)()))
            .then(|| Cause::Time { reached: reached() })
    }
}
