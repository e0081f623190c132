//! Levels of consistency, by what they forbid.

use super::anomaly::{Anomaly, Time};

/// A level of consistency. Each forbids what the ones before it forbid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Consistency {
    /// Writes are not interleaved (PL-1).
    ReadUncommitted,
    /// Only what was committed is read, and not in the middle (PL-2).
    ReadCommitted,
    /// Transactions read from one snapshot, and the first committer wins (PL-SI).
    SnapshotIsolation,
    /// There is an order of the transactions (PL-3).
    Serializable,
    /// ... that keeps the order of each process.
    StrongSessionSerializable,
    /// ... that keeps the order of time.
    #[default]
    StrictSerializable,
}

impl Consistency {
    /// All of them with the names by which they are asked for, the weakest first.
    pub const ALL: &[(Consistency, &'static str)] = &[
        (Consistency::ReadUncommitted, "read-uncommitted"),
        (Consistency::ReadCommitted, "read-committed"),
        (Consistency::SnapshotIsolation, "snapshot-isolation"),
        (Consistency::Serializable, "serializable"),
        (Consistency::StrongSessionSerializable, "strong-session-serializable"),
        (Consistency::StrictSerializable, "strict-serializable"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(level, _)| *level == self).map_or("", |(_, name)| name)
    }

    /// The weakest level that forbids the anomaly forbids it on behalf of all stronger ones.
    pub fn forbids(self, anomaly: Anomaly) -> bool {
        let (weakest, time) = match anomaly {
            // An order of versions that is none, or that holds what nobody wrote, is no history at all.
            Anomaly::GarbageRead | Anomaly::DuplicateElements | Anomaly::IncompatibleOrder => {
                (Consistency::ReadUncommitted, Time::Unused)
            }
            Anomaly::G0(time) => (Consistency::ReadUncommitted, time),
            Anomaly::G1a | Anomaly::G1b => (Consistency::ReadCommitted, Time::Unused),
            Anomaly::G1c(time) => (Consistency::ReadCommitted, time),
            Anomaly::Internal | Anomaly::LostUpdate => (Consistency::SnapshotIsolation, Time::Unused),
            Anomaly::GSingle(time) | Anomaly::GNonadjacent(time) => (Consistency::SnapshotIsolation, time),
            Anomaly::G2(time) => (Consistency::Serializable, time),
        };
        self >= weakest && self.uses() >= time
    }

    /// Which orders beside the dependencies count.
    pub(super) fn uses(self) -> Time {
        match self {
            Consistency::StrictSerializable => Time::Real,
            Consistency::StrongSessionSerializable => Time::Process,
            _ => Time::Unused,
        }
    }
}
