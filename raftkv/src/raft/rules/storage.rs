//! The rules about what is on disk when, and what a node believes of it.

use super::super::switch::{Millis, Switch, Toggle, switch};

group! {
    /// What is on disk when, and what a node believes of it.
    StorageRules {
        /// Where the term lives.
        persist_term: PersistTerm = PersistTerm::Durable,
            "a restarted node follows a deposed leader and votes again in terms that are over";
        /// Whether a node that starts with a term below that of its last entry takes the entry's.
        term_from_log_on_boot: bool = true, "a node that lost its term follows leaders older than its own log";
        /// What a restarted node does about a vote that it may have forgotten.
        vote_loss_guard: VoteLossGuard = VoteLossGuard::None,
            "abstain_term repairs a lost vote at the price of a slower election after restarts";
        /// Whether the log is written to disk.
        persist_log: bool = true, "a restart loses acknowledged entries";
        /// When a write is forced to the disk.
        fsync: Fsync = Fsync::BeforeAck, "a power failure loses acknowledged entries and votes";
        /// Whether the names of new files are forced to the disk too.
        fsync_dir: bool = true, "a power failure loses whole segments of acknowledged entries";
        /// How term and vote are written.
        hard_state_write: HardStateWrite = HardStateWrite::Atomic,
            "a crash leaves half a term or no vote, and the node votes twice or does not know its term";
        /// Whether what is read from the log is checked.
        wal_checksum: bool = true, "a flipped bit is applied, on one node only";
        /// What becomes of a damaged frame of the log.
        wal_tail_repair: WalTailRepair = WalTailRepair::TruncateTornLast,
            "truncate_at_first_bad drops acknowledged entries; refuse needs an operator after every power failure";
        /// When a leader's entries leave for its followers.
        leader_disk: LeaderDisk = LeaderDisk::Parallel, "before_send adds the leader's disk to the latency of every write";
        /// How many writes share a sync.
        log_sync: LogSync = LogSync::GroupCommit, "serial waits for the disk once for every entry";
        /// What a node does when the disk refuses to sync.
        on_fsync_error: OnFsyncError = OnFsyncError::Crash,
            "a second sync succeeds without the data, and a power failure loses acknowledged entries";
        /// What a node does when there is no room for its log.
        on_disk_full: OnDiskFull = OnDiskFull::StopAccepting, "ignore acknowledges entries that are nowhere";
        /// What a node does when a leader, or the commit index that it kept, shows that its log was longer.
        on_log_regression: OnLogRegression = OnLogRegression::Accept,
            "refuse trades the node for the certainty that no forgetful disk votes on";
        /// What a node does that finds nothing where its data should be, without --bootstrap.
        on_empty_dir: OnEmptyDir = OnEmptyDir::Refuse,
            "join_as_voter lets a node that lost its disk vote against what it acknowledged";
        /// By what a node is known to the others.
        node_identity: NodeIdentity = NodeIdentity::DataDirUuid,
            "a wiped, cloned or restored node speaks under the name of the one that made the promises";
        /// Whether a node of another cluster, and its directory, are refused.
        cluster_id_check: bool = true, "two clusters that share addresses mix their terms and logs";
        /// Whether messages between nodes are checked for damage.
        rpc_checksum: Toggle = Toggle::On, "a bit that flips on the way is taken into the log";
        /// Whether the commit index is written down too.
        persist_commit_index: bool = false, "nothing: it is learned again, true only saves that";
        /// Whether the state machine outlives its process.
        state_machine: StateMachine = StateMachine::Volatile, "nothing by itself: persistent is as safe as applied_index";
        /// How the index of the last applied entry is kept, with a state machine that is persistent.
        applied_index: AppliedIndex = AppliedIndex::Atomic,
            "after a crash entries are applied twice (behind, none) or left out (ahead): the replica differs";
        /// Whether a leader whose disk takes longer over a write steps down.
        step_down_on_slow_disk: SlowDisk = SlowDisk::Off,
            "off keeps a leader whose disk makes every client wait; too short deposes leaders for nothing";
    }
}

switch! {
    /// Where the term lives.
    PersistTerm {
        /// On disk, before anything is said in it.
        Durable = "durable",
        /// In memory: a restart forgets it, and the vote in it.
        Memory = "memory",
    }
}

switch! {
    /// What a restarted node does about a vote that it may have forgotten.
    VoteLossGuard {
        /// Nothing: the vote is on disk.
        None = "none",
        /// It gives no vote in the term that it started with.
        AbstainTerm = "abstain_term",
    }
}

switch! {
    /// When a leader's entries leave for its followers.
    LeaderDisk {
        /// While its own disk is still writing them.
        Parallel = "parallel",
        /// Once its own disk has them.
        BeforeSend = "before_send",
    }
}

switch! {
    /// How many writes share a sync.
    LogSync {
        /// One entry each.
        Serial = "serial",
        /// All that wait.
        GroupCommit = "group_commit",
    }
}

switch! {
    /// What a node does when the disk refuses to sync.
    OnFsyncError {
        /// It stops: nobody knows what of the write is there.
        Crash = "crash",
        /// It asks the disk once more, and believes it.
        Retry = "retry",
        /// It goes on as if nothing had happened.
        Ignore = "ignore",
    }
}

switch! {
    /// What becomes of a damaged frame of the log.
    WalTailRepair {
        /// It goes if it is the last and was never synced; otherwise the node does not start.
        TruncateTornLast = "truncate_torn_last",
        /// It goes, and everything behind it.
        TruncateAtFirstBad = "truncate_at_first_bad",
        /// The node does not start.
        Refuse = "refuse",
    }
}

switch! {
    /// How term and vote are written.
    HardStateWrite {
        /// In one piece.
        Atomic = "atomic",
        /// Over the old ones.
        InPlace = "in_place",
    }
}

switch! {
    /// What a node does when there is no room for its log.
    OnDiskFull {
        /// It promises nothing until there is room again.
        StopAccepting = "stop_accepting",
        /// It stops.
        Crash = "crash",
        /// It goes on as if it had written.
        Ignore = "ignore",
    }
}

switch! {
    /// What a node does that finds nothing where its data should be, and was not told that this is its first start.
    OnEmptyDir {
        /// It takes part as if it had never promised anything.
        JoinAsVoter = "join_as_voter",
        /// It does not start.
        Refuse = "refuse",
        /// It takes the log and keeps out of elections for as long as this directory lives.
        RejoinAsLearner = "rejoin_as_learner",
    }
}

switch! {
    /// By what a node is known to the others.
    NodeIdentity {
        /// By its name alone.
        Configured = "configured",
        /// By its name and the number that its data directory drew.
        DataDirUuid = "data_dir_uuid",
    }
}

switch! {
    /// What a node does that learns that its log was longer.
    OnLogRegression {
        /// It takes the entries again and goes on.
        Accept = "accept",
        /// It stops: a disk that lost these entries may have lost others.
        Refuse = "refuse",
    }
}

switch! {
    /// When a write is forced to the disk.
    Fsync {
        /// Before anything that depends on it is said.
        BeforeAck = "before_ack",
        /// When the operating system likes to.
        Never = "never",
    } or {
        /// At the latest so long after it was acknowledged.
        Interval(Millis) = "interval:" "1000ms",
    }
}

switch! {
    /// Whether the state machine outlives its process.
    StateMachine {
        /// It is built again from snapshot and log.
        Volatile = "volatile",
        /// It has files of its own.
        Persistent = "persistent",
    }
}

switch! {
    /// How the index of the last applied entry is kept.
    AppliedIndex {
        /// Together with what the entry did.
        Atomic = "atomic",
        /// In a file of its own, afterwards.
        Behind = "behind",
        /// In a file of its own, before.
        Ahead = "ahead",
        /// Not at all: everything behind the snapshot is applied.
        None = "none",
    }
}

switch! {
    /// For how long a leader's disk may take over a write.
    SlowDisk {
        /// For any time.
        Off = "off",
    } or {
        /// For so long.
        After(Millis) = "" "a duration such as 200ms",
    }
}
