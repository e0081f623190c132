//! The names of the points, and what each of them lies between.
//!
//! Invariant: a point's meaning is its place in the order of the node's work, not a line of code: whoever moves the code
//! moves the call with it, and `docs/raftkv.md` describes the places in the words used here.
//! A point concerns clients' commands, unless its name says otherwise: a leader's empty entry hits none of them.

/// Defines the enum and the table of its names in one place, so that neither can lack a point.
macro_rules! points {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A place in the node's work at which it can be stopped or killed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Point {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Point {
            /// All of them, in the order of the declaration.
            pub const ALL: &[Point] = &[$(Point::$variant),+];

            /// What it is called on the command line, over HTTP and in `/status`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Point::$variant => $name,)+
                }
            }

            /// Where it lies, in one sentence.
            pub fn place(self) -> &'static str {
                match self {
                    $(Point::$variant => concat!($($doc),+).trim_ascii(),)+
                }
            }
        }
    };
}

points! {
    /// A leader took a command; nothing of it has left, neither to its disk nor to a peer.
    BeforeAppend = "before_append",
    /// A command is durable in this node's log; on a leader no peer has been sent it, on a follower it is not acknowledged.
    AfterLocalAppend = "after_local_append",
    /// The kernel took the message with a command for one more follower; `skip` k-1 for the k-th, `to` for a certain one.
    AfterSend = "after_send_to_k",
    /// A quorum has a leader's command; neither its client nor a peer has been told, nor is it applied.
    AfterMajorityAckBeforeCommit = "after_majority_ack_before_commit",
    /// A command is committed as far as this node knows, and not applied here.
    AfterCommitBeforeApply = "after_commit_before_apply",
    /// The state machine has a command; the index of the last applied entry does not count it yet.
    MidApply = "mid_apply",
    /// A command is applied; its client is not answered.
    AfterApplyBeforeReply = "after_apply_before_reply",
    /// The client has its answer; no follower was told that the command is committed.
    AfterReplyBeforeCommitBroadcast = "after_reply_before_commit_broadcast",
    /// Half of a write that carries a new term or vote is in its file.
    HardStateMidWrite = "hard_state_mid_write",
    /// Half of a write that carries entries is in the log.
    WalMidRecord = "wal_mid_record",
    /// A write to the log is in its file and not yet synced: where a held disk holds.
    BeforeFsync = "before_fsync",
    /// The next segment is written under its temporary name and not renamed.
    SegmentRoll = "segment_roll",
    /// A part of a snapshot's temporary file is written.
    SnapshotWrite = "snapshot_write",
    /// A snapshot's temporary file is whole and not synced.
    SnapshotFsync = "snapshot_fsync",
    /// A snapshot's temporary file is durable and not renamed.
    SnapshotRename = "snapshot_rename",
    /// A snapshot is durable under its name; the log that it covers is not yet removed.
    SnapshotCompact = "snapshot_compact",
    /// A snapshot is read and not yet put in the place of the state machine.
    SnapshotLoad = "snapshot_load",
    /// A chunk of a leader's snapshot was taken and is not acknowledged; `skip` n-1 for the n-th.
    InstallChunk = "install_chunk_n",
    /// A configuration is durable in this node's log and not acknowledged.
    ConfigAppend = "config_append",
    /// A configuration is committed as far as this node knows; nobody else has been told.
    ConfigCommit = "config_commit",
    /// A committed configuration was handed to this node's state machine.
    ConfigApply = "config_apply",
}

impl Point {
    /// Its bit in the set of armed points.
    pub(super) fn bit(self) -> u32 {
        const { assert!(Point::ALL.len() <= 32, "the set of armed points is one 32-bit word") };
        1 << self as u32
    }
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Point::ALL.iter().copied().find(|point| point.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Point::ALL.iter().map(|point| point.name()).collect();
            format!("there is no failpoint `{text}`; there are {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for &point in Point::ALL {
            assert_eq!(point.name().parse(), Ok(point));
            assert!(point.place().ends_with('.'), "{point}: {}", point.place());
        }
        let error = "mid_aply".parse::<Point>().unwrap_err();
        assert!(error.contains("no failpoint `mid_aply`") && error.contains("mid_apply"), "{error}");
        let union = Point::ALL.iter().fold(0, |set, point| set | point.bit());
        assert_eq!(union.count_ones() as usize, Point::ALL.len(), "each has a bit of its own");
    }
}
