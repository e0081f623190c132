//! The rules about commitment.

use super::super::switch::{Switch, switch};

group! {
    /// Commitment.
    CommitRules {
        /// Whether only entries of the leader's own term are committed by counting.
        commit_only_current_term: bool = true, "a committed entry of an older term is overwritten (figure 8)";
        /// Whether a new leader appends an empty entry.
        noop_on_election: bool = true, "entries of earlier terms stay uncommitted, and reads wait, until a write comes";
        /// What a new leader does with entries that it does not know to be committed.
        uncommitted_on_election: UncommittedOnElection = UncommittedOnElection::Keep,
            "entries whose commitment it has not heard of yet are lost, though acknowledged";
        /// Which commit index a heartbeat carries.
        heartbeat_commit: HeartbeatCommit = HeartbeatCommit::MinMatch, "a divergent tail is taken as committed";
        /// When a leader counts its own copy.
        leader_counts_self: LeaderCountsSelf = LeaderCountsSelf::AfterFsync,
            "an acknowledged entry is on too few disks and a crash loses it";
        /// When an entry is applied to the state machine.
        apply_at: ApplyAt = ApplyAt::Commit, "reads see what is never committed, and replicas keep it";
        /// When a write is acknowledged. The early ones only concern writes whose result does not depend on the state.
        ack_at: AckAt = AckAt::Commit, "an acknowledged write is lost with the leader, or with one follower";
    }
}

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
