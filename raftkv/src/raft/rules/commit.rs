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

switch! {
    /// When an entry is handed to the state machine.
    ApplyAt {
        /// Once it is committed.
        Commit = "commit",
        /// Once it is in this node's own log.
        Append = "append",
    }
}

switch! {
    /// When the client of a write is told that it is done.
    AckAt {
        /// Once its entry is committed and applied.
        Commit = "commit",
        /// Once this leader's own disk has it: asynchronous replication.
        LocalAppend = "local_append",
        /// Once one follower's disk has it, whether the leader's has or not: semi-synchronous replication.
        FirstAck = "first_ack",
    }
}
