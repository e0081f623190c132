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

switch! {
    /// What a new leader does with the entries that it does not know to be committed.
    UncommittedOnElection {
        /// It keeps them and commits them below an entry of its own term.
        Keep = "keep",
        /// It removes them.
        Discard = "discard",
    }
}
