//! The values of the rules about replication of the log.

use super::super::switch::{Switch, switch};

switch! {
    /// When a follower removes the entries behind the one that agrees.
    AppendConflict {
        /// Only from the first entry that differs.
        OnConflict = "on_conflict",
        /// Always.
        TruncateAlways = "truncate_always",
    }
}

switch! {
    /// What a leader takes from a successful reply.
    MatchFrom {
        /// The index that the follower named.
        Ack = "ack",
        /// Its own idea of what it has sent so far.
        NextIndex = "next_index",
    }
}

switch! {
    /// How far a follower follows the leader's commit index in AppendEntries.
    FollowerCommitCap {
        /// To the last entry that the message vouches for.
        LastNew = "last_new",
        /// To the end of its own log.
        OwnLast = "own_last",
    }
}

switch! {
    /// How a leader searches for the point where a follower's log agrees.
    Backtrack {
        /// One entry per message.
        One = "one",
        /// One term per message.
        TermHint = "term_hint",
        /// Half of what is in doubt per message.
        Binary = "binary",
    }
}
