//! The clock of a run: the only place where one is read.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::director::Nanos;
use crate::rundir::Started;

/// A clock that starts at zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    origin: Instant,
    started: Started,
}

impl Clock {
    /// Starts it.
    pub(super) fn start() -> Self {
        let unix_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        Self { started: Started { clock_origin: raw_now(), unix_ns }, origin: Instant::now() }
    }

    /// Nanoseconds since the start.
    pub(super) fn now(&self) -> Nanos {
        self.at(Instant::now())
    }

    /// The same for an instant that somebody else took.
    pub(super) fn at(&self, instant: Instant) -> Nanos {
        instant.saturating_duration_since(self.origin).as_nanos() as Nanos
    }

    /// The instant of a time of this clock.
    pub(super) fn instant(&self, at: Nanos) -> Option<Instant> {
        self.origin.checked_add(std::time::Duration::from_nanos(at))
    }

    /// The start in the clocks of others.
    pub(super) fn started(&self) -> Started {
        self.started
    }
}

/// `CLOCK_MONOTONIC_RAW` in nanoseconds: nobody changes it, and every process of the host reads the same.
pub(crate) fn raw_now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime writes one timespec to a valid place; this clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_RAW, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
