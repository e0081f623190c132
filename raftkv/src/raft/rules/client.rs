//! The values of the rules about clients: what is answered when, and what the state machine does.

use super::super::switch::{Switch, switch};

switch! {
    /// Where the results of earlier commands are kept, so that a repetition is recognised.
    DedupSessions {
        /// In the replicated state.
        Replicated = "replicated",
        /// In the memory of the leader that answered.
        LeaderMemory = "leader_memory",
        /// Nowhere.
        Off = "off",
    }
}

switch! {
    /// By which clock an unused session ends.
    SessionExpiry {
        /// By none: only their number is bounded.
        None = "none",
        /// By the time that leaders write into the log.
        LogTime = "log_time",
        /// By the clock of each replica.
        LocalClock = "local_clock",
    }
}

switch! {
    /// By which clock a key with a time to live ends.
    TtlClock {
        /// By the time that leaders write into the log.
        LogTime = "log_time",
        /// By the clock of each replica.
        LocalClock = "local_clock",
    }
}

switch! {
    /// What beside the log has a say in the results of the state machine.
    ApplyNondeterminism {
        /// Nothing.
        None = "none",
        /// The clock of the replica.
        LocalTime = "local_time",
        /// Random numbers of the replica.
        Rand = "rand",
        /// The order of a hash table that every process seeds differently.
        MapOrder = "map_order",
    }
}

switch! {
    /// What becomes of a node on which applying an entry panics.
    OnApplyPanic {
        /// It stops.
        StopNode = "stop_node",
        /// It goes on without the entry.
        SkipEntry = "skip_entry",
    }
}

switch! {
    /// Which leader a node names that does not lead.
    LeaderHint {
        /// That of the present term, if it knows one.
        DropOnTermChange = "drop_on_term_change",
        /// The last that it has known, in whatever term.
        Keep = "keep",
    }
}

switch! {
    /// What a client is told whose request was taken in and has no known end.
    TimeoutReply {
        /// That nobody knows.
        Unknown = "unknown",
        /// That it failed, although it may still take effect.
        Failed = "failed",
    }
}

switch! {
    /// What a node does with a write when it does not lead.
    ForwardWrites {
        /// It tells its client who leads.
        Redirect = "redirect",
        /// It asks the leader for its client.
        Proxy = "proxy",
    }
}

switch! {
    /// Under which number a node repeats a write that it carries to the leader.
    ClientRetry {
        /// Under the one that the client gave it; without one it is not repeated.
        SameSeq = "same_seq",
        /// Under a new one of a session of its own.
        NewSeq = "new_seq",
    }
}
