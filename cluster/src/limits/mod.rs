//! What a running node may use of the machine, made less than it has: open files, and time on the processor.
//!
//! Invariant: what is lowered here is put back here, from what was there before the first change; a process that ends takes its
//! limits with it, and the next start begins without any.
//! Deliberately lacks control groups, which an unprivileged sandbox cannot make: there is no limit on the memory of a node, and
//! none on processors that other programs would notice.
//! Reference: prlimit(2), `RLIMIT_NOFILE` in getrlimit(2).

mod descriptors;
mod throttle;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::process::NodeProcess;
use descriptors::Lowered;
use throttle::Throttle;

/// The limits of a node; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Limits {
    /// How many more files, sockets and the like each of its processes may open beside those that it has. Absent: as many as
    /// it could.
    pub descriptors: Option<u32>,
    /// When it may run. Absent: always.
    pub duty: Option<Duty>,
}

/// A node runs for a part of each period and stands still for the rest of it, as a container does that has used up its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Duty {
    /// How long it runs in each period, in microseconds.
    pub run_us: u32,
    /// How long it stands still after that, in microseconds.
    pub stop_us: u32,
}

/// The limits of a node, and what they did since they were set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitState {
    /// The limits.
    pub limits: Limits,
    /// How many descriptors its processes have open.
    pub open: u64,
    /// How many more the one may open that may open the fewest; absent without a limit, or if no process is there to ask.
    pub left: Option<u64>,
    /// How often it was stopped because of its duty.
    pub stops: u64,
    /// For how long in all it stood still because of its duty, at least.
    pub stopped: Duration,
    /// For how long in all it could run between that, at most.
    pub ran: Duration,
    /// How long its processes were on a processor since the duty was set, to 10 ms.
    pub used: Duration,
}

/// The limits of one host, beside its process.
#[derive(Debug, Default)]
pub(crate) struct Limited(Mutex<Option<Applied>>);

/// What was done to one process.
#[derive(Debug)]
struct Applied {
    process: Arc<NodeProcess>,
    limits: Limits,
    lowered: Option<Lowered>,
    throttle: Option<Throttle>,
    /// What its processes had used of the processor before.
    used_before: Duration,
}

impl Limited {
    /// Replaces the limits of this process. Those of an earlier process went with it.
    pub(crate) fn set(&self, process: &Arc<NodeProcess>, limits: Limits) -> io::Result<()> {
        let mut applied = self.lock();
        let same = |earlier: &Applied| Arc::ptr_eq(&earlier.process, process);
        if let Some(earlier) = applied.take().filter(same) {
            earlier.lift()?;
        }
        if limits == Limits::default() {
            return Ok(());
        }
        let (since, used_before) = (Instant::now(), process.processor_time());
        let throttle = limits.duty.map(|duty| Throttle::start(process, duty, since)).transpose()?;
        let lowered = limits.descriptors.map(|spare| descriptors::lower(process, spare)).transpose()?;
        process.note_limits(limits);
        *applied = Some(Applied { process: Arc::clone(process), limits, lowered, throttle, used_before });
        Ok(())
    }

    /// Lifts all limits, as far as the process is still there.
    pub(crate) fn lift(&self) -> io::Result<()> {
        self.lock().take().map_or(Ok(()), Applied::lift)
    }

    /// The limits in force and what they did.
    pub(crate) fn state(&self) -> LimitState {
        let applied = self.lock();
        let Some(applied) = applied.as_ref().filter(|applied| applied.process.exit_status().is_none()) else {
            return LimitState::default();
        };
        let (open, left) = descriptors::usage(&applied.process);
        // First what it used, so that it is never more than the time that it had.
        let used = applied.process.processor_time().saturating_sub(applied.used_before);
        let turns = applied.throttle.as_ref().map(Throttle::turns).unwrap_or_default();
        LimitState {
            limits: applied.limits,
            open,
            left: applied.limits.descriptors.and(left),
            stops: turns.stops,
            stopped: turns.stopped,
            ran: turns.ran,
            used,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Applied>> {
        // A panic cannot leave a plain option half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Applied {
    fn lift(self) -> io::Result<()> {
        self.process.note_limits(Limits::default());
        drop(self.throttle);
        self.lowered.map_or(Ok(()), |lowered| lowered.restore(&self.process))
    }
}
