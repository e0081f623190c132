//! What can be wrong with a disk while it is in use, and the count of what came of it.
//!
//! Invariant: a counter goes up exactly when an answer was really given to a program, so that the counters are the proof of
//! a fault.

use serde::{Deserialize, Serialize};

/// How long something takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// As long as it takes.
    #[default]
    None,
    /// So many microseconds longer.
    For(u32),
    /// Until the trouble ends.
    Held,
}

/// What is wrong with a disk. Shares are in parts of a million, each drawn for every request on its own; the default is a
/// sound disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct DiskTrouble {
    /// The share of syncs that fail with EIO. What they should have made durable is not, and no later sync makes it so.
    pub sync_error_ppm: u32,
    /// The share of writes that fail with EIO.
    pub write_error_ppm: u32,
    /// The share of reads that fail with EIO, of those that the kernel does not answer from its cache.
    pub read_error_ppm: u32,
    /// After so many errors of these three kinds there are no more; 0: any number.
    pub errors_max: u32,
    /// The share of writes of which one bit is stored wrong, unnoticed.
    pub flip_ppm: u32,
    /// Whether nothing grows any more: ENOSPC.
    pub full: bool,
    /// Whether nothing can be changed: EROFS.
    pub read_only: bool,
    /// How much longer syncs take.
    pub sync_wait: Wait,
    /// How much longer reads take.
    pub read_wait: Wait,
}

impl DiskTrouble {
    /// Whether a program can notice it by an error.
    #[must_use]
    pub fn gives_errors(&self) -> bool {
        self.sync_error_ppm + self.write_error_ppm + self.read_error_ppm > 0 || self.full || self.read_only
    }
}

/// What a disk did since the run began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskStats {
    /// Requests to write that came in.
    pub writes: u64,
    /// Requests to read that came in.
    pub reads: u64,
    /// Requests to sync a file or a directory that came in.
    pub syncs: u64,
    /// Syncs that were answered with EIO.
    pub sync_errors: u64,
    /// Writes that were answered with EIO.
    pub write_errors: u64,
    /// Reads that were answered with EIO.
    pub read_errors: u64,
    /// Requests that were answered with ENOSPC.
    pub no_space: u64,
    /// Requests that were answered with EROFS.
    pub read_only: u64,
    /// Bits that were stored wrong.
    pub flipped: u64,
    /// Syncs that had to wait and have been answered since, or wait now.
    pub syncs_waited: u64,
    /// Reads that had to wait.
    pub reads_waited: u64,
    /// The longest that any of them has waited, in microseconds.
    pub waited_max_us: u64,
}

impl DiskStats {
    /// How many errors programs were given.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.sync_errors + self.write_errors + self.read_errors + self.no_space + self.read_only
    }
}

/// A disk as its lever shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskState {
    /// What is wrong with it.
    pub trouble: DiskTrouble,
    /// What it did.
    pub stats: DiskStats,
    /// Requests that wait for an answer now.
    pub waiting: u64,
}
