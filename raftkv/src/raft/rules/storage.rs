//! The values of the rules about what is on disk when, and what a node believes of it.

use super::super::switch::{Millis, Switch, switch};

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

/// When a write is forced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Before anything that depends on it is said.
    BeforeAck,
    /// At the latest so long after it was acknowledged.
    Interval(Millis),
    /// When the operating system likes to.
    Never,
}

impl Switch for Fsync {
    fn values() -> Vec<&'static str> {
        vec!["before_ack", "interval:1000ms", "never"]
    }
    fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None if text == "before_ack" => Some(Self::BeforeAck),
            None if text == "never" => Some(Self::Never),
            Some(("interval", millis)) => Some(Self::Interval(Millis::parse(millis)?)),
            _ => None,
        }
    }
    fn text(&self) -> String {
        match self {
            Self::BeforeAck => "before_ack".to_owned(),
            Self::Interval(millis) => format!("interval:{}", millis.text()),
            Self::Never => "never".to_owned(),
        }
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

/// For how long a leader's disk may take over a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowDisk(pub Option<Millis>);

impl Switch for SlowDisk {
    fn values() -> Vec<&'static str> {
        vec!["off", "a duration such as 200ms"]
    }
    fn parse(text: &str) -> Option<Self> {
        if text == "off" { Some(Self(None)) } else { Millis::parse(text).map(|millis| Self(Some(millis))) }
    }
    fn text(&self) -> String {
        self.0.map_or("off".to_owned(), |millis| millis.text())
    }
}
