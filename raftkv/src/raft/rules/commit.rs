//! The values of the rules about commitment.

use super::super::switch::{Switch, switch};

switch! {
    /// Which commit index a heartbeat carries.
    HeartbeatCommit {
        /// At most what the follower is known to have.
        MinMatch = "min_match",
        /// The leader's own.
        Raw = "raw",
    }
}

switch! {
    /// When a leader counts its own copy of an entry.
    LeaderCountsSelf {
        /// Once it is durable.
        AfterFsync = "after_fsync",
        /// At once.
        Immediately = "immediately",
    }
}
