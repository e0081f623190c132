//! The rules about snapshots and compaction.

use super::super::switch::{Switch, switch};

group! {
    /// Snapshots and compaction.
    SnapshotRules {
        /// When a node takes a snapshot by itself: by entries or bytes, by the size of the last one, or never.
        snapshot: SnapshotEvery = SnapshotEvery::Outgrown,
            "off lets the log and the time of a restart grow without bound; often costs disk and processor";
        /// How many entries are kept behind a snapshot for followers that are a little late.
        log_keep: LogKeep = LogKeep(5_000), "few make late followers load the whole state again and again";
        /// Up to where a snapshot reaches.
        snapshot_at: SnapshotAt = SnapshotAt::Applied, "a state with entries that were never committed cannot be rolled back";
        /// What a snapshot holds beside the keys.
        snapshot_contents: SnapshotContents = SnapshotContents::Full,
            "no_config: two majorities; no_sessions: a retried command counts twice; no_term: nothing fits behind it";
        /// How a snapshot file is written.
        snapshot_write: SnapshotWrite = SnapshotWrite::Full, "a crash leaves neither the old snapshot nor the new one";
        /// Whether the checksum of a snapshot is verified when it is loaded.
        snapshot_checksum: bool = true, "a flipped bit on the disk becomes part of the state";
        /// Whether a snapshot of what is known to be committed already is ignored.
        snapshot_install_guard: bool = true, "a delayed snapshot takes a follower back behind what it acknowledged";
        /// Whether the log behind an installed snapshot is kept where it agrees.
        snapshot_install_keep_suffix: bool = true, "entries that were acknowledged behind the snapshot are forgotten";
        /// How a snapshot travels.
        snapshot_transfer: SnapshotTransfer = SnapshotTransfer::ChunkedVerified,
            "parts of two snapshots make a state that never was";
        /// Who writes a snapshot.
        snapshot_mode: SnapshotMode = SnapshotMode::BackgroundCopy,
            "heartbeats stop while a large state is written, and the leader is deposed";
        /// When the log before a snapshot goes.
        compact: Compact = Compact::AfterSnapshotDurable, "a crash leaves neither the log nor the snapshot";
    }
}

/// When a node takes a snapshot by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotEvery {
    /// Never: only by order.
    Off,
    /// After [`SnapshotEvery::OUTGROWN_ENTRIES_MIN`] applied entries, and once these are as large as the last snapshot.
    Outgrown,
    /// After so many applied entries.
    Entries(u64),
    /// After so many bytes of applied entries.
    Bytes(u64),
}

impl SnapshotEvery {
    /// Fewer entries are not worth a snapshot, whatever their size.
    pub const OUTGROWN_ENTRIES_MIN: u64 = 10_000;
}

/// The units of a number of bytes.
const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];

impl Switch for SnapshotEvery {
    fn values() -> Vec<&'static str> {
        vec!["off", "outgrown", "a number of entries such as 10000", "a number of bytes such as 64MiB"]
    }
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("every ").unwrap_or(text).trim();
        match text {
            "off" => return Some(Self::Off),
            "outgrown" => return Some(Self::Outgrown),
            _ => {}
        }
        let positive = |text: &str| text.trim().parse::<u64>().ok().filter(|&number| number > 0);
        for (unit, factor) in UNITS {
            if let Some(digits) = text.strip_suffix(unit) {
                return Some(Self::Bytes(positive(digits)?.checked_mul(factor)?));
            }
        }
        positive(text.strip_suffix("entries").unwrap_or(text)).map(Self::Entries)
    }
    fn text(&self) -> String {
        match self {
            Self::Off => "off".to_owned(),
            Self::Outgrown => "outgrown".to_owned(),
            Self::Entries(entries) => entries.to_string(),
            Self::Bytes(bytes) => {
                let largest = UNITS.iter().rev().skip(1).find(|(_, factor)| bytes % factor == 0);
                let (unit, factor) = largest.unwrap_or(&("B", 1));
                format!("{}{unit}", bytes / factor)
            }
        }
    }
}

/// How many entries are kept behind a snapshot, for followers that are a little late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogKeep(pub u64);

impl Switch for LogKeep {
    fn values() -> Vec<&'static str> {
        vec!["a number of entries, also 0"]
    }
    fn parse(text: &str) -> Option<Self> {
        text.trim().parse().ok().map(Self)
    }
    fn text(&self) -> String {
        self.0.to_string()
    }
}

switch! {
    /// Up to where a snapshot reaches.
    SnapshotAt {
        /// To the last applied entry.
        Applied = "applied",
        /// To the last entry of the log, committed or not.
        LastLog = "last_log",
    }
}

switch! {
    /// What a snapshot holds beside the keys.
    SnapshotContents {
        /// The place it reaches to, the configuration in force there, the sessions of clients.
        Full = "full",
        /// All but the configuration.
        NoConfig = "no_config",
        /// All but the sessions.
        NoSessions = "no_sessions",
        /// All but the term of the last entry.
        NoTerm = "no_term",
    }
}

switch! {
    /// How a snapshot file is written.
    SnapshotWrite {
        /// To a temporary file that is synced and renamed, and then the directory is synced.
        Full = "tmp_fsync_rename_fsyncdir",
        /// To a temporary file that is renamed. The disk gets it when it likes.
        TmpRename = "tmp_rename",
        /// Over the snapshot before.
        InPlace = "in_place",
    }
}

switch! {
    /// How a snapshot travels.
    SnapshotTransfer {
        /// Parts are taken in order and of one snapshot only, and the whole is verified before it is used.
        ChunkedVerified = "chunked_verified",
        /// A part is stored at the place that it names, whatever it belongs to.
        ChunkedNaive = "chunked_naive",
    }
}

switch! {
    /// Who writes a snapshot. There is no `fork_cow`: a process with several threads may call next to nothing between
    /// fork and exec, so a child that encodes a map is no sound design here. Sharing parts of the map until they change
    /// does what the pages of a forked child would do, and is how the state gets to the thread of `background_copy`.
    SnapshotMode {
        /// A thread, from a copy that shares what does not change meanwhile.
        BackgroundCopy = "background_copy",
        /// The thread that does everything else, which waits for the disk.
        Blocking = "blocking",
    }
}

switch! {
    /// When the log before a snapshot goes.
    Compact {
        /// Once the snapshot is durable.
        AfterSnapshotDurable = "after_snapshot_durable",
        /// When the snapshot is begun.
        Before = "before",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_and_written() {
        let cases = [
            ("off", SnapshotEvery::Off, "off"),
            ("1000", SnapshotEvery::Entries(1000), "1000"),
            ("every 1000 entries", SnapshotEvery::Entries(1000), "1000"),
            ("64MiB", SnapshotEvery::Bytes(64 << 20), "64MiB"),
            ("every 512 B", SnapshotEvery::Bytes(512), "512B"),
            ("1024KiB", SnapshotEvery::Bytes(1 << 20), "1MiB"),
            ("1536KiB", SnapshotEvery::Bytes(1536 << 10), "1536KiB"),
            ("2GiB", SnapshotEvery::Bytes(2 << 30), "2GiB"),
        ];
        for (text, value, written) in cases {
            assert_eq!(SnapshotEvery::parse(text), Some(value), "{text}");
            assert_eq!(value.text(), written);
            assert_eq!(SnapshotEvery::parse(written), Some(value));
        }
        for bad in ["", "0", "0MiB", "-1", "on", "64 megabytes", "18446744073709551615GiB"] {
            assert_eq!(SnapshotEvery::parse(bad), None, "{bad}");
        }
    }
}
