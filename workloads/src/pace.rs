//! A workload at a given number of operations per second.
//!
//! Client c makes its k-th call at (k * clients + c) / rate, so that the calls of all clients are spread evenly.
//! Invariant: never faster than the rate, over any interval that begins at 0. A call that could not be made in time,
//! because the one before it took long, is skipped and not caught up: a burst after every fault would hide how the store
//! behaves at the given rate. Deliberately absent: random gaps; the store's own jitter breaks the lockstep.

use checker::history::{Op, Outcome, ProcessId};

use crate::step::{Context, Step, Workload};

/// A workload slowed down to a rate.
pub struct Paced<W> {
    inner: W,
    /// Nanoseconds between two calls of the same client.
    interval_ns: f64,
    /// For every client the number of its next call.
    turn: Vec<u64>,
}

impl<W: Workload> Paced<W> {
    /// Slows `inner` down to `rate` operations per second over all clients.
    pub fn new(inner: W, clients: usize, rate: f64) -> Result<Self, String> {
        if !(rate.is_finite() && rate > 0.0) {
            return Err(format!("a rate of {rate} operations per second is not above 0"));
        }
        let interval_ns = clients as f64 * 1e9 / rate;
        Ok(Self { inner, interval_ns, turn: vec![0; clients] })
    }

    fn due(&self, client: usize, turn: u64) -> u64 {
        let share = client as f64 / self.turn.len() as f64;
        ((turn as f64 + share) * self.interval_ns) as u64
    }
}

impl<W: Workload> Workload for Paced<W> {
    fn next(&mut self, cx: &Context) -> Step {
        let turn = self.turn[cx.client];
        let due = self.due(cx.client, turn);
        if cx.now_ns < due {
            return Step::WaitUntil(due);
        }
        let step = self.inner.next(cx);
        if matches!(step, Step::Call(_)) {
            let missed = ((cx.now_ns - due) as f64 / self.interval_ns) as u64;
            self.turn[cx.client] = turn + 1 + missed;
        }
        step
    }

    fn completed(&mut self, process: ProcessId, op: &Op, outcome: &Outcome) {
        self.inner.completed(process, op, outcome);
    }

    fn final_reads(&mut self) -> Vec<Op> {
        self.inner.final_reads()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use checker::history::Key;

    struct Always;

    impl Workload for Always {
        fn next(&mut self, _: &Context) -> Step {
            Step::Call(Op::Read { key: Key::new("k") })
        }
        fn completed(&mut self, _: ProcessId, _: &Op, _: &Outcome) {}
        fn final_reads(&mut self) -> Vec<Op> {
            Vec::new()
        }
    }

    const SECOND: u64 = 1_000_000_000;

    /// The times of the calls of one client of which each takes `latency`, up to `end`.
    fn calls(paced: &mut Paced<Always>, client: usize, latency: impl Fn(u64) -> u64, end: u64) -> Vec<u64> {
        let mut now_ns = 0;
        let mut times = Vec::new();
        while now_ns < end {
            match paced.next(&Context { client, process: ProcessId(client as u64), now_ns }) {
                Step::Call(_) => {
                    times.push(now_ns);
                    now_ns += latency(now_ns);
                }
                Step::WaitUntil(later) => {
                    assert!(later > now_ns, "a wait must lead into the future");
                    now_ns = later;
                }
                Step::Done => break,
            }
        }
        times
    }

    #[test]
    fn fast_calls_come_at_the_rate() {
        let mut paced = Paced::new(Always, 10, 400.0).unwrap();
        let total: usize =
            (0..10).map(|client| calls(&mut paced, client, |_| 1_000_000, 10 * SECOND).len()).sum();
        assert_eq!(total, 4000);
    }

    #[test]
    fn clients_take_turns() {
        let mut paced = Paced::new(Always, 4, 4.0).unwrap();
        let firsts: Vec<u64> = (0..4).map(|client| calls(&mut paced, client, |_| 1, SECOND)[0]).collect();
        assert_eq!(firsts, [0, SECOND / 4, SECOND / 2, 3 * SECOND / 4]);
    }

    #[test]
    fn an_outage_is_not_caught_up_in_a_burst() {
        let mut paced = Paced::new(Always, 1, 10.0).unwrap();
        // The call at 2 s hangs for 5 s.
        let hang = |now| if now == 2 * SECOND { 5 * SECOND } else { 1 };
        let times = calls(&mut paced, 0, hang, 10 * SECOND);
        let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap >= SECOND / 10 - 1), "{gaps:?}");
        assert_eq!(times.len(), 20 + 1 + 30);
    }

    #[test]
    fn a_rate_of_nothing_is_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Paced::new(Always, 1, rate).is_err(), "{rate}");
        }
    }
}
