//! Named points of the node's work at which an experiment stops it or kills it.
//!
//! Invariants: a point that is not armed costs one relaxed load of one word that hardly ever changes, and does nothing;
//! a crash is a SIGKILL in the middle of the work, so what it leaves behind is what a real one leaves behind; a held
//! thread holds no lock of this module, so that points can be released and looked at meanwhile.
//! The registry is one for the process, since a process is one node and the points lie in threads and layers that share
//! nothing else. What it lacks on purpose: random failures, and errors that are returned instead of a stop.
//! Reference: `gofail` of etcd, whose points and actions these resemble.

mod entries;
mod plan;
mod points;
pub(crate) mod steps;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub use plan::{Action, At, Plan};
pub use points::Point;

/// The registry of this process.
static NODE: Registry = Registry::new();

/// Whether hits of `point` are worth a look: to be asked before anything is done only for the sake of a point.
#[inline]
pub fn armed(point: Point) -> bool {
    NODE.armed(point)
}

/// The node is at `point`.
#[inline]
pub fn hit(point: Point) {
    if NODE.armed(point) {
        NODE.hit(point, &At::default());
    }
}

/// The node is at `point` with what `at` says, which is asked for only if the point is armed.
#[inline]
pub fn hit_at(point: Point, at: impl FnOnce() -> At) {
    if NODE.armed(point) {
        NODE.hit(point, &at());
    }
}

/// The registry of this process, for whoever arms, releases and looks.
pub fn registry() -> &'static Registry {
    &NODE
}

/// The armed points.
#[derive(Debug)]
pub struct Registry {
    /// A bit for each point with a plan.
    armed: AtomicU32,
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug)]
struct State {
    /// In the order of arming. The first that matches a hit counts it.
    plans: Vec<Armed>,
    /// Threads that stand at a point now.
    held: Vec<Held>,
    next: u64,
}

#[derive(Clone, Debug)]
struct Armed {
    number: u64,
    plan: Plan,
    hits: u64,
}

/// A plan and how often it matched.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ArmedPlan {
    /// The plan.
    #[serde(flatten)]
    pub plan: Plan,
    /// Matching hits so far.
    pub hits: u64,
}

/// A thread that stands at a point.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Held {
    #[serde(skip)]
    number: u64,
    /// The name of the point.
    pub point: &'static str,
    /// The thread.
    pub thread: String,
    /// What the hit concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The key of its command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What a hit means.
enum Verdict {
    Pass,
    Crash,
    /// Until the plan of this number is gone.
    Hold(u64),
}

impl Registry {
    /// Nothing is armed.
    pub const fn new() -> Self {
        let state = State { plans: Vec::new(), held: Vec::new(), next: 0 };
        Self { armed: AtomicU32::new(0), state: Mutex::new(state), released: Condvar::new() }
    }

    /// Arms a point. An earlier plan for the same hits keeps the precedence until it is disarmed.
    pub fn arm(&self, plan: Plan) {
        let mut state = self.lock();
        tracing::info!("failpoint armed: {} at {}", plan.action.as_str(), plan.point);
        state.next += 1;
        let number = state.next;
        state.plans.push(Armed { number, plan, hits: 0 });
        self.publish(&state);
    }

    /// Disarms a point, or all of them, and lets go on whoever is held there. Returns how many plans there were.
    pub fn disarm(&self, point: Option<Point>) -> usize {
        let mut state = self.lock();
        let before = state.plans.len();
        state.plans.retain(|armed| point.is_some_and(|point| armed.plan.point != point));
        self.publish(&state);
        self.released.notify_all();
        before - state.plans.len()
    }

    /// What is armed.
    pub fn plans(&self) -> Vec<ArmedPlan> {
        let state = self.lock();
        state.plans.iter().map(|armed| ArmedPlan { plan: armed.plan.clone(), hits: armed.hits }).collect()
    }

    /// Who is held.
    pub fn held(&self) -> Vec<Held> {
        self.lock().held.clone()
    }

    #[inline]
    fn armed(&self, point: Point) -> bool {
        // Relaxed: a point that is armed while the node passes it may be missed, as if it had passed earlier.
        self.armed.load(Ordering::Relaxed) & point.bit() != 0
    }

    #[cold]
    fn hit(&self, point: Point, at: &At) {
        let verdict = self.lock().judge(point, at);
        match verdict {
            Verdict::Pass => {}
            Verdict::Crash => crash(point, at),
            Verdict::Hold(number) => self.hold(number, point, at),
        }
    }

    fn hold(&self, number: u64, point: Point, at: &At) {
        tracing::warn!("failpoint: held at {point} ({at:?})");
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        let held = Held { number, point: point.name(), thread, index: at.index, key: at.key.clone() };
        let mut state = self.lock();
        state.held.push(held.clone());
        while state.plans.iter().any(|armed| armed.number == number) {
            state = self.released.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(position) = state.held.iter().position(|other| *other == held) {
            state.held.remove(position);
        }
        tracing::warn!("failpoint: released at {point}");
    }

    /// Makes the set of armed points that of the plans.
    fn publish(&self, state: &State) {
        let set = state.plans.iter().fold(0, |set, armed| set | armed.plan.point.bit());
        self.armed.store(set, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn judge(&mut self, point: Point, at: &At) -> Verdict {
        let Some(armed) = self.plans.iter_mut().find(|armed| armed.plan.matches(point, at)) else {
            return Verdict::Pass;
        };
        armed.hits += 1;
        if armed.hits <= armed.plan.skip {
            return Verdict::Pass;
        }
        match armed.plan.action {
            Action::Crash => Verdict::Crash,
            Action::Hold => Verdict::Hold(armed.number),
        }
    }
}

/// Ends the process as `kill -9` does.
fn crash(point: Point, at: &At) -> ! {
    // Standard error is not buffered, so this line is out.
    eprintln!("failpoint: crash at {point} ({at:?})");
    // SAFETY: plain system calls on this process.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    // The signal is on its way; nothing of this thread's work may happen meanwhile.
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Plan {
        text.parse().unwrap()
    }

    fn until(mut condition: impl FnMut() -> bool) {
        let began = std::time::Instant::now();
        while !condition() {
            assert!(began.elapsed().as_secs() < 30, "waited in vain");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_held_thread_goes_on_when_it_is_released() {
        let registry = Registry::new();
        registry.arm(plan("mid_apply=hold:skip=1:index=7"));
        let at = At { index: Some(7), ..At::default() };
        registry.hit(Point::MidApply, &At::default());
        registry.hit(Point::MidApply, &at);
        assert_eq!(
            registry.plans()[0].hits,
            1,
            "the filter did not match the first hit, the second is skipped"
        );
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| registry.hit(Point::MidApply, &at));
            until(|| !registry.held().is_empty());
            assert_eq!((registry.held()[0].point, registry.held()[0].index), ("mid_apply", Some(7)));
            assert!(!thread.is_finished());
            assert_eq!(registry.disarm(Some(Point::BeforeFsync)), 0, "another point");
            assert!(!thread.is_finished());
            assert_eq!(registry.disarm(Some(Point::MidApply)), 1);
        });
        assert!(registry.held().is_empty() && registry.plans().is_empty());
    }

    #[test]
    fn only_points_with_a_plan_are_armed() {
        let registry = Registry::new();
        assert!(Point::ALL.iter().all(|&point| !registry.armed(point)));
        registry.arm(plan("mid_apply=crash:skip=9"));
        registry.arm(plan("before_append=hold:skip=9"));
        assert!(registry.armed(Point::MidApply) && registry.armed(Point::BeforeAppend));
        assert!(!registry.armed(Point::BeforeFsync));
        assert_eq!(registry.disarm(Some(Point::MidApply)), 1);
        assert!(!registry.armed(Point::MidApply) && registry.armed(Point::BeforeAppend));
        assert_eq!(registry.disarm(None), 1);
        assert!(!registry.armed(Point::BeforeAppend));
    }
}
