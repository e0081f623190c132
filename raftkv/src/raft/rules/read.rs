//! The values of the rules about reads.

use super::super::switch::{Switch, switch};

switch! {
    /// How a read is made linearizable, or not.
    ReadMode {
        /// It goes through the log like a write.
        Log = "log",
        /// The leader confirms that it still leads, then answers at the commit index of the read's arrival.
        ReadIndex = "read_index",
        /// Any node answers from what it has.
        Local = "local",
    }
}

switch! {
    /// What confirms a leader for a read.
    ReadIndexConfirm {
        /// A quorum of answers to heartbeats that were sent after the read arrived.
        FreshRound = "fresh_round",
        /// Its own belief.
        None = "none",
    }
}
