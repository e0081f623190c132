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
