//! A node that runs for a part of each period only.
//!
//! Invariant: when a throttle is dropped, its node runs, unless a pause holds it. It stops and continues the whole group, so that
//! it stands still as under a pause, and goes on with all that has become due meanwhile.
//! A thread of its own, because a turn must not wait for the harness's event loop.
//!
//! It is what the kernel does to a control group whose quota is used up, but for one thing: a quota counts the time on the
//! processor, and this counts any time, so that a node that waits uses its turn up as well.
//! What it lacks on purpose: priorities. An unprivileged process cannot raise again what it lowered, and beside a mostly idle
//! machine a low priority starves nobody.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Duty;
use crate::process::{Hold, NodeProcess};

/// A throttle on one process.
#[derive(Debug)]
pub(super) struct Throttle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What a throttle did. Where a signal is on its way, the node counts as running: it stood still for at least so long, and ran
/// for at most so long.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turns {
    pub(super) stops: u64,
    pub(super) stopped: Duration,
    pub(super) ran: Duration,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    turns: Turns,
    /// Since when it runs, between two stops.
    runs_since: Option<Instant>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Going,
    Over,
}

impl Throttle {
    /// Begins with a stop. Until that is there the node runs, which counts from `since` on.
    pub(super) fn start(process: &Arc<NodeProcess>, duty: Duty, since: Instant) -> io::Result<Self> {
        let state = Mutex::new(State { runs_since: Some(since), ..State::default() });
        let shared = Arc::new(Shared { state, wake: Condvar::new() });
        let (process, turning) = (Arc::clone(process), Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("throttle".into())
            .spawn(move || turning.turn(&process, duty))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// What it did so far.
    pub(super) fn turns(&self) -> Turns {
        let state = self.shared.lock();
        let running = state.runs_since.map_or(Duration::ZERO, |since| since.elapsed());
        Turns { ran: state.turns.ran + running, ..state.turns }
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        self.shared.lock().phase = Phase::Over;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // It panics nowhere, and ends at its next look at the phase.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn turn(&self, process: &NodeProcess, duty: Duty) {
        let time = |us: u32| Duration::from_micros(us.into());
        loop {
            // A process that is gone needs no further turns.
            let stopped = matches!(process.hold(Hold::Stopped), Ok(true));
            let began = self.lock().stop();
            if !stopped {
                return;
            }
            let phase = self.wait(time(duty.stop_us));
            self.lock().go(began);
            let going = matches!(process.hold(Hold::Going), Ok(true));
            if phase == Phase::Over || !going || self.wait(time(duty.run_us)) == Phase::Over {
                return;
            }
        }
    }

    /// Waits so long, or until it is over.
    fn wait(&self, long: Duration) -> Phase {
        let going = |state: &mut State| state.phase == Phase::Going;
        let waited = self.wake.wait_timeout_while(self.lock(), long, going);
        waited.unwrap_or_else(PoisonError::into_inner).0.phase
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain numbers, valid after a panic too.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// It has been stopped. Returns since when it is.
    fn stop(&mut self) -> Instant {
        let now = Instant::now();
        self.turns.ran += self.runs_since.take().map_or(Duration::ZERO, |since| now - since);
        now
    }

    /// It is about to go on, and has stood still since then.
    fn go(&mut self, stopped_since: Instant) {
        let now = Instant::now();
        self.turns.stops += 1;
        self.turns.stopped += now - stopped_since;
        self.runs_since = Some(now);
    }
}
