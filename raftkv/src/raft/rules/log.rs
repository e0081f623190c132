//! The rules about replication of the log.

use super::super::switch::{Count, Switch, Toggle, switch};

group! {
    /// Replication of the log.
    LogRules {
        /// Whether a follower compares the term of the entry before the new ones.
        consistency_check: bool = true, "logs with the same last entry differ before it (a gap is still refused)";
        /// When a follower truncates.
        append_conflict: AppendConflict = AppendConflict::OnConflict, "an old message removes acknowledged entries";
        /// What a leader takes from a successful reply.
        match_from: MatchFrom = MatchFrom::Ack, "entries that are still on their way count as replicated";
        /// How far a follower follows the leader's commit index.
        follower_commit_cap: FollowerCommitCap = FollowerCommitCap::LastNew, "a divergent tail is taken as committed";
        /// How a leader finds where a follower's log agrees.
        backtrack: Backtrack = Backtrack::TermHint, "repair of a long divergent log takes a round trip per entry";
        /// Whether entries that wait together travel in one message.
        batching: Toggle = Toggle::On, "a message and an answer per entry: less throughput, nothing breaks";
        /// Whether messages with entries follow each other without waiting for the answer.
        pipelining: Toggle = Toggle::On, "a round trip per message: less throughput, nothing breaks";
        /// How many bytes an entry may have.
        max_entry_bytes: Count = Count(1 << 20),
            "large ones hold up what follows them on the connection, heartbeats too: elections during long transfers";
        /// Whether what is on its way to a follower is bounded, in messages and in bytes.
        flow_control: Toggle = Toggle::On, "a leader's memory grows with everything that a slow follower has not taken yet";
        /// How many entries a message may carry.
        max_entries_per_append: Count = Count(1024), "small ones slow replication down, they break nothing";
        /// How many unanswered messages with entries a follower may have.
        max_inflight: Count = Count(256), "few slow replication down, they break nothing";
    }
}

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
