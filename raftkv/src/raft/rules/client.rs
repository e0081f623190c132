//! The rules about clients: what is answered when, and what the state machine does.

use super::super::switch::{Millis, Switch, Toggle, switch};

group! {
    /// Clients, their sessions, and what is applied when.
    ClientRules {
        /// Where repetitions of a command are recognised.
        dedup_sessions: DedupSessions = DedupSessions::Replicated,
            "a command that its client repeated takes effect twice (leader_memory: after a change of leader)";
        /// By which clock an unused session ends.
        session_expiry: SessionExpiry = SessionExpiry::LogTime,
            "local_clock: a repetition is executed on those replicas that have forgotten the session; none: only the number of sessions bounds them";
        /// How long a session is kept after its last use.
        session_timeout: Millis = Millis(3_600_000), "shorter than a client's patience, its repetitions are refused";
        /// By which clock a key with a time to live ends.
        ttl_clock: TtlClock = TtlClock::LogTime, "a key ends at different places of the log: replicas diverge";
        /// What a client is told whose request was taken in and has no known end.
        timeout_reply: TimeoutReply = TimeoutReply::Unknown, "a write that was reported as failed takes effect later";
        /// What a node does with a write when it does not lead.
        forward_writes: ForwardWrites = ForwardWrites::Redirect, "proxy: safe, but a second one that repeats (see client_retry)";
        /// Under which number a node repeats a write that it carries to the leader (`forward_writes: proxy`).
        client_retry: ClientRetry = ClientRetry::SameSeq, "a write whose answer was lost takes effect twice";
        /// Which leader a node names that does not lead.
        leader_hint: LeaderHint = LeaderHint::DropOnTermChange, "nodes that remember old leaders send clients to and fro";
        /// Whether replicas compare the hashes of their states.
        periodic_hash_check: Toggle = Toggle::On, "a replica that has silently diverged serves reads and may lead";
        /// What beside the log has a say in the results of the state machine.
        apply_nondeterminism: ApplyNondeterminism = ApplyNondeterminism::None, "replicas that applied the same entries differ";
        /// What becomes of a node on which applying an entry panics.
        on_apply_panic: OnApplyPanic = OnApplyPanic::StopNode, "a replica that skipped what others applied differs from them";
    }
}

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
