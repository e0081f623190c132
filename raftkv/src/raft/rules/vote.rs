//! The values of the rules about terms, votes and elections.

use super::super::switch::{Switch, switch};

switch! {
    /// Where a vote lives.
    PersistVote {
        /// On disk, before the reply leaves.
        Durable = "durable",
        /// In memory: a restart forgets it, the term stays.
        Memory = "memory",
    }
}

switch! {
    /// How a voter compares the candidate's log with its own.
    VoteCompare {
        /// By last term, then by last index.
        Raft = "raft",
        /// By last index alone.
        IndexOnly = "index_only",
        /// By last term alone.
        TermOnly = "term_only",
        /// Both must be at least the voter's.
        BothGe = "both_ge",
        /// The candidate's log must be strictly newer.
        StrictGt = "strict_gt",
    }
}

switch! {
    /// Whether a candidate rehearses, and what a voter demands of the rehearsal.
    PreVote {
        /// No rehearsal.
        Off = "off",
        /// A log that is as new as the voter's.
        LogOnly = "log_only",
        /// That, and the voter has not heard of a leader lately.
        Full = "full",
        /// A log that is strictly newer than the voter's.
        StrictGt = "strict_gt",
    }
}

switch! {
    /// How a candidate counts.
    Votes {
        /// Voters, each once.
        Set = "set",
        /// Granting replies.
        Counter = "counter",
    }
}
