//! A narrow beam that widens only where it has to.
//!
//! Most of a long history is easy, and a wide beam would pay everywhere for the few places that are not. So the beam is
//! narrow; where it loses its way it goes back a little, becomes wider, and narrow again once it is past the place. If
//! that does not help it goes back further and becomes wider still. Marks to go back to are kept at distances that
//! double, so there are few.
//!
//! Invariant: what arrives is an order; being lost says nothing, unless nothing was ever dropped.

use super::configuration::Configuration;
use super::plan::Plan;
use super::sweep::Sweep;
use super::{Ended, Manner, Start, Taste, Width};
use crate::linearizability::search::Unknowns;
use crate::verdict::Budget;

/// The width of a beam that is not in trouble.
const NARROW: usize = 2;
/// How many times wider, and further back, each attempt at the same place is.
const FACTOR: usize = 4;
/// How often one place is attempted.
const ATTEMPTS: u32 = 5;
/// Events between two marks.
const SPACING: usize = 32;
/// How many events past the place of trouble the beam becomes narrow again, and a new trouble is another one.
const CALM: usize = 64;

/// A point to go back to.
struct Mark<const W: usize> {
    happened: usize,
    live: Vec<Configuration<W>>,
    dropped: bool,
    bytes: usize,
}

/// See the module.
pub(super) struct Course<'a, 'b, const W: usize> {
    sweep: Sweep<'a, 'b, W>,
    /// The oldest one first; the first one is the start.
    marks: Vec<Mark<W>>,
    /// The furthest event at which the beam was lost.
    hardest: usize,
    /// How often it was lost thereabouts.
    pub(super) attempts: u32,
}

impl<'a, 'b, const W: usize> Course<'a, 'b, W> {
    pub(super) fn new(plan: &'a Plan, budget: &'a Budget<'b>) -> Self {
        let manner = Manner { width: width(0), unknowns: Unknowns::Counted, lacking: None };
        let sweep = Sweep::new(plan, manner, Start::Initially, budget);
        let mut course = Course { sweep, marks: Vec::new(), hardest: 0, attempts: 0 };
        course.mark();
        course
    }

    /// Goes on until the end, or until the way or the budget is lost.
    pub(super) fn go(&mut self) -> Ended {
        while !self.sweep.is_over() {
            let happened = self.sweep.board.happened;
            if self.marks.last().is_some_and(|mark| happened >= mark.happened + SPACING) {
                self.mark();
            }
            if self.attempts > 0 && happened > self.hardest + CALM {
                self.attempts = 0;
                self.sweep.manner.width = width(0);
            }
            if let Err(cause) = self.sweep.step() {
                return Ended::Spent(cause);
            }
            if self.sweep.live.is_empty() {
                return if self.sweep.dropped { Ended::Lost } else { Ended::NoWay };
            }
            if self.sweep.trail.is_due() {
                self.tidy();
            }
        }
        self.sweep.arrived()
    }

    /// Goes back to try again, with more effort. `false` if that was done often enough.
    pub(super) fn retry(&mut self) -> bool {
        if self.attempts == ATTEMPTS {
            return false;
        }
        self.attempts += 1;
        let lost_at = self.sweep.board.happened;
        self.hardest = self.hardest.max(lost_at);
        let back_to = lost_at.saturating_sub(SPACING * FACTOR.pow(self.attempts));
        while self.marks.len() > 1 && self.marks.last().is_some_and(|mark| mark.happened > back_to) {
            self.marks.pop();
        }
        if let Some(mark) = self.marks.last() {
            self.sweep.board.go_back(mark.happened);
            self.sweep.live.clone_from(&mark.live);
            self.sweep.dropped = mark.dropped;
        }
        self.sweep.manner.width = width(self.attempts);
        true
    }

    /// How many events have happened.
    pub(super) fn happened(&self) -> usize {
        self.sweep.board.happened
    }

    fn mark(&mut self) {
        let live = self.sweep.live.clone();
        let bytes = live.iter().map(Configuration::bytes).sum();
        let mark = Mark { happened: self.sweep.board.happened, live, dropped: self.sweep.dropped, bytes };
        self.marks.push(mark);
        self.thin_out();
        self.sweep.set_aside = self.marks.iter().map(|mark| mark.bytes).sum();
    }

    /// Drops every mark whose neighbours are near enough to each other, for their age.
    fn thin_out(&mut self) {
        let now = self.sweep.board.happened;
        let mut at = self.marks.len().saturating_sub(2);
        while at > 1 {
            let age = |at: usize| now - self.marks[at].happened;
            if age(at - 1) <= 2 * age(at + 1) {
                self.marks.remove(at);
            }
            at -= 1;
        }
    }

    fn tidy(&mut self) {
        let marked = self.marks.iter_mut().flat_map(|mark| &mut mark.live);
        let mut ends: Vec<&mut u32> = marked.chain(&mut self.sweep.live).map(|c| &mut c.trail).collect();
        self.sweep.trail.sweep(&mut ends);
    }
}

/// The width at this attempt. Tastes take turns, because what misled one may not mislead the other.
fn width(attempt: u32) -> Width {
    let taste = if attempt.is_multiple_of(2) { Taste::FewUnknowns } else { Taste::FewWrites };
    Width::Beam(NARROW * FACTOR.pow(attempt), taste)
}
