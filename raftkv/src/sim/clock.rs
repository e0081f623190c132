//! The clocks of one simulated node.
//!
//! Invariant: the monotonic clock never goes back. Timers go by it, leases by the clock that the rules name; apart from their
//! speed, which they share, the three differ as those of Linux do: `CLOCK_MONOTONIC` stands still while the machine is suspended,
//! `CLOCK_BOOTTIME` does not, and `CLOCK_REALTIME` is set besides.
//! Reference: clock_gettime(2).

use crate::raft::io::{Micros, Now};
use crate::raft::rules::LeaseClock;

/// What the clocks of one node show at each moment of true time.
#[derive(Clone, Debug)]
pub struct Clocks {
    /// Since this moment of true time the monotonic clock has run on from `shown`.
    since: u64,
    shown: u64,
    /// Thousandths of the speed of true time.
    rate_permille: u64,
    /// What `CLOCK_BOOTTIME` is ahead.
    suspended: u64,
    /// What `CLOCK_REALTIME` is ahead of that.
    set: i64,
}

impl Default for Clocks {
    fn default() -> Self {
        Self { since: 0, shown: 0, rate_permille: 1000, suspended: 0, set: 0 }
    }
}

impl Clocks {
    /// Clocks of this speed, in thousandths of that of true time.
    pub fn at_rate(rate_permille: u64) -> Self {
        Self { rate_permille: rate_permille.max(1), ..Self::default() }
    }

    /// The monotonic clock at this moment.
    pub fn monotonic(&self, at: Micros) -> Micros {
        let ran = at.0.saturating_sub(self.since).saturating_mul(self.rate_permille) / 1000;
        Micros(self.shown + ran)
    }

    /// All that a step needs to know of the time.
    pub fn now(&self, at: Micros, lease_clock: LeaseClock) -> Now {
        let monotonic = self.monotonic(at);
        let boottime = monotonic.0 + self.suspended - self.still_suspended(at);
        let lease = match lease_clock {
            LeaseClock::Monotonic => monotonic.0,
            LeaseClock::Boottime => boottime,
            LeaseClock::Wall => boottime.saturating_add_signed(self.set),
        };
        Now { monotonic, lease: Micros(lease) }
    }

    /// The first moment of true time at which the monotonic clock shows `time`.
    pub fn when(&self, time: Micros) -> Micros {
        let left = time.0.saturating_sub(self.shown).saturating_mul(1000).div_ceil(self.rate_permille);
        Micros(self.since.saturating_add(left))
    }

    /// From now on the clocks run at this speed, in thousandths.
    pub fn run_at(&mut self, at: Micros, rate_permille: u64) {
        self.shown = self.monotonic(at).0;
        self.since = self.since.max(at.0);
        self.rate_permille = rate_permille.max(1);
    }

    /// The machine is suspended from `at` on, for so long.
    pub fn suspend(&mut self, at: Micros, micros: u64) {
        self.shown = self.monotonic(at).0;
        self.since = self.since.max(at.0) + micros;
        self.suspended += micros.saturating_mul(self.rate_permille) / 1000;
    }

    /// How much of the last suspension is still to come, by this node's clocks.
    fn still_suspended(&self, at: Micros) -> u64 {
        let left = self.since.saturating_sub(at.0).saturating_mul(self.rate_permille) / 1000;
        left.min(self.suspended)
    }

    /// The machine goes on at `at`, if it is suspended. Nothing may run on it before.
    pub fn wake(&mut self, at: Micros) {
        self.suspended -= self.still_suspended(at);
        self.since = self.since.min(at.0);
    }

    /// Somebody sets the time of day by so many microseconds.
    pub fn set_by(&mut self, micros: i64) {
        self.set = self.set.saturating_add(micros);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_differ_as_those_of_linux_do() {
        let mut clocks = Clocks::default();
        clocks.run_at(Micros(1_000), 500);
        clocks.suspend(Micros(3_000), 10_000);
        clocks.set_by(-700);
        let show = |clock| clocks.now(Micros(15_000), clock).lease.0;
        assert_eq!(clocks.monotonic(Micros(15_000)), Micros(3_000));
        assert_eq!(
            (show(LeaseClock::Monotonic), show(LeaseClock::Boottime), show(LeaseClock::Wall)),
            (3_000, 8_000, 7_300)
        );
    }

    #[test]
    fn a_suspended_machine_that_wakes_early_has_lost_no_time() {
        let mut clocks = Clocks::default();
        clocks.suspend(Micros(3_000), 10_000);
        clocks.wake(Micros(5_000));
        let show = |clock| clocks.now(Micros(6_000), clock).lease.0;
        assert_eq!((show(LeaseClock::Monotonic), show(LeaseClock::Boottime)), (4_000, 6_000));
    }

    #[test]
    fn an_alarm_rings_when_the_clock_shows_its_time() {
        let mut clocks = Clocks::default();
        clocks.run_at(Micros(10), 953);
        clocks.suspend(Micros(500), 77);
        for time in 600..2_000 {
            let rings = clocks.when(Micros(time));
            assert!(clocks.monotonic(rings).0 >= time && clocks.monotonic(Micros(rings.0 - 1)).0 < time);
        }
    }
}
