//! The values of the rules about reads.

use super::super::switch::{Millis, Switch, switch};

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

/// How long a lease lasts from the sending of the heartbeats that it rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseDuration {
    /// The shortest election timeout, divided by the bound on the drift of clocks.
    Auto,
    /// So long, whatever the followers promise.
    Fixed(Millis),
}

impl Switch for LeaseDuration {
    fn values() -> Vec<&'static str> {
        vec!["auto", "a duration such as 120ms"]
    }
    fn parse(text: &str) -> Option<Self> {
        if text == "auto" { Some(Self::Auto) } else { Millis::parse(text).map(Self::Fixed) }
    }
    fn text(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::Fixed(millis) => millis.text(),
        }
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
