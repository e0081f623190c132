//! The clock by which a leader measures its lease.
//!
//! Invariant: it is read when a step begins, after everything that the step takes in has arrived. So a lease is never found valid
//! before the read that it answers, and never counts from after its heartbeats were sent.
//! Reference: clock_gettime(2).

use crate::raft::io::Micros;
use crate::raft::rules::{LeaseClock, Rules};

/// A clock of the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeaseTime(libc::clockid_t);

impl LeaseTime {
    /// The clock that the rules name.
    pub(crate) fn of(rules: &Rules) -> Self {
        // The honest law: a lease bounds real time, so its clock must run on while a suspended machine does not, and must never be
        // set back. That is why etcd's and TiKV's leases go by a monotonic clock, and why even that is not enough on machines that
        // are suspended.
        Self(match rules.read.lease_clock {
            LeaseClock::Boottime => libc::CLOCK_BOOTTIME,
            LeaseClock::Monotonic => libc::CLOCK_MONOTONIC,
            LeaseClock::Wall => libc::CLOCK_REALTIME,
        })
    }

    /// What it shows now. A clock that shows times before its own beginning is taken to show that.
    pub(crate) fn now(self) -> Micros {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is to a live timespec, which is all that the call writes. It fails only for a clock that does not
        // exist, and these three exist on every Linux that this crate builds for.
        unsafe { libc::clock_gettime(self.0, &raw mut time) };
        let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
        Micros(seconds.unwrap_or(0).saturating_mul(1_000_000).saturating_add(nanos.unwrap_or(0) / 1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_own_clock() {
        let read = |clock| {
            let mut rules = Rules::default();
            rules.set("lease_clock", clock).unwrap();
            LeaseTime::of(&rules).now()
        };
        let (monotonic, boottime) = (read("monotonic"), read("boottime"));
        assert!(monotonic.0 > 0 && monotonic <= boottime, "{monotonic:?} {boottime:?}");
        // The time of day counts from 1970: more than fifty years.
        assert!(read("wall").0 > 50 * 365 * 86_400 * 1_000_000);
    }
}
