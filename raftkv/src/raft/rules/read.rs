//! The rules about reads.

use super::super::switch::{Millis, Switch, Toggle, switch};

group! {
    /// Reads.
    ReadRules {
        /// How reads are answered.
        read_mode: ReadMode = ReadMode::ReadIndex,
            "local and follower_local: stale reads from a deposed leader or a lagging follower; lease: needs clocks";
        /// What confirms the leader.
        read_index_confirm: ReadIndexConfirm = ReadIndexConfirm::FreshRound, "a deposed leader answers stale reads";
        /// Whether reads wait until an entry of the leader's term is committed.
        read_index_requires_current_term_commit: bool = true,
            "a new leader answers from before the last writes that its predecessor acknowledged";
        /// Whether a read waits until the state machine has applied its index.
        read_wait_apply: bool = true, "a node that has not applied the last writes yet answers without them";
        /// Whether reads that wait together share one round of confirmation.
        read_batch: Toggle = Toggle::On, "a round of heartbeats for each read: less throughput, nothing breaks";
        /// How long a lease lasts from the sending of the heartbeats that it rests on.
        lease_duration: LeaseDuration = LeaseDuration::Auto,
            "longer than followers keep their promise: a deposed leader answers stale reads";
        /// By which factor clocks may differ in speed.
        lease_clock_drift_bound: DriftBound = DriftBound(1100),
            "a leader whose clock is slower than this allows for answers stale reads after its lease";
        /// By which clock a leader measures its lease.
        lease_clock: LeaseClock = LeaseClock::Boottime,
            "monotonic stands still while a machine is suspended and wall is set back: leases that never end";
        /// Whether a leader gives its lease up before it hands leadership over.
        lease_revoke_on_transfer: bool = true, "the successor is elected during the lease, and the old leader answers stale reads";
        /// Whether a node answers a client only from a state as new as the index that the client has seen.
        session_index: Toggle = Toggle::Off,
            "with local reads, a client that changes nodes reads older states than before and not its own writes";
        /// How long a read may wait for its confirmation and for the state that it needs.
        read_timeout: Millis = Millis(1000), "long ones keep the clients of a lagging follower waiting";
        /// Whether a follower sends the clients of reads that it cannot answer in time, or at all, to the leader.
        read_redirect: bool = true, "clients of a follower without a leader wait for the timeout and get nothing";
    }
}

switch! {
    /// How a read is made linearizable, or not.
    ReadMode {
        /// It goes through the log like a write.
        Log = "log",
        /// The leader confirms that it still leads, then answers at the commit index of the read's arrival.
        ReadIndex = "read_index",
        /// The leader answers at once for as long as its followers have promised to elect nobody else; without such a lease
        /// it confirms itself as with `read_index`.
        Lease = "lease",
        /// Any node answers from what it has.
        Local = "local",
        /// Any node answers, once it has applied what a confirmed leader names.
        FollowerReadIndex = "follower_read_index",
        /// A follower answers from what it has, the leader as with `read_index`.
        FollowerLocal = "follower_local",
    }
}

switch! {
    /// What confirms a leader for a read.
    ReadIndexConfirm {
        /// A quorum of answers to heartbeats that were sent after the read arrived.
        FreshRound = "fresh_round",
        /// Its own belief.
        None = "none",
        /// A quorum of answers to any heartbeats of its term, whenever those were sent.
        StaleAcks = "stale_acks",
    }
}

switch! {
    /// The clock by which a leader measures its lease.
    LeaseClock {
        /// Time since the machine was booted, also while it was suspended.
        Boottime = "boottime",
        /// The same without the time during which the machine was suspended.
        Monotonic = "monotonic",
        /// The time of day, which is set, forwards and backwards.
        Wall = "wall",
    }
}

switch! {
    /// How long a lease lasts from the sending of the heartbeats that it rests on.
    LeaseDuration {
        /// The shortest election timeout, divided by the bound on the drift of clocks.
        Auto = "auto",
    } or {
        /// So long, whatever the followers promise.
        Fixed(Millis) = "" "a duration such as 120ms",
    }
}

/// How much faster one clock may run than another, in thousandths, from 1000 (not at all) to 10000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriftBound(pub u64);

impl Switch for DriftBound {
    fn values() -> Vec<&'static str> {
        vec!["a factor such as 1.1, from 1 to 10"]
    }
    fn parse(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(part) || part.len() > 3 {
            return None;
        }
        let thousandths =
            whole.parse::<u64>().ok()?.checked_mul(1000)? + format!("{part:0<3}").parse::<u64>().ok()?;
        (1000..=10_000).contains(&thousandths).then_some(Self(thousandths))
    }
    fn text(&self) -> String {
        let text = format!("{}.{:03}", self.0 / 1000, self.0 % 1000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_exact() {
        for (text, thousandths) in
            [("1.1", 1100), ("1", 1000), ("1.025", 1025), ("2.5", 2500), ("10", 10_000)]
        {
            assert_eq!(DriftBound::parse(text), Some(DriftBound(thousandths)));
            assert_eq!(DriftBound(thousandths).text(), text);
        }
        for bad in ["", "0.9", "1.", ".5", "1.0001", "-1", "1e3", "11", "1.1.1", "99999999999999999999"] {
            assert_eq!(DriftBound::parse(bad), None, "{bad}");
        }
        assert_eq!(LeaseDuration::parse("auto"), Some(LeaseDuration::Auto));
        assert_eq!(LeaseDuration::parse("2s").unwrap().text(), "2000ms");
    }
}
