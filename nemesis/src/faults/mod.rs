//! The registry: one file and one line for each kind of fault.

mod campaign;
mod cascade;
mod clock;
mod connections;
mod corrupt_record;
mod crash_at;
mod data_damage;
mod descriptors;
mod disk_damage;
mod disk_error;
mod disk_flip;
mod disk_full;
mod disk_slow;
mod flap;
mod kill;
mod lose_term;
mod lose_vote;
mod messages;
mod network;
mod partition;
mod pause;
mod power_failure;
mod reconfigure;
mod remove_member;
mod rolling_restart;
mod starve;
mod stop;
mod take_snapshot;
mod transfer_leader;
mod truncate_log;
mod twin;

pub use crash_at::POINTS;

use crate::fault::FaultKind;

/// Every kind of fault, in the order of the reference page.
pub fn registry() -> &'static [FaultKind] {
    &[
        partition::KIND,
        network::KIND,
        flap::KIND,
        connections::KIND,
        messages::KIND,
        kill::KIND,
        stop::KIND,
        pause::KIND,
        cascade::KIND,
        rolling_restart::KIND,
        crash_at::KIND,
        starve::KIND,
        descriptors::KIND,
        twin::KIND,
        power_failure::KIND,
        disk_error::KIND,
        disk_full::KIND,
        disk_slow::KIND,
        disk_flip::KIND,
        disk_damage::KIND,
        clock::KIND,
        truncate_log::KIND,
        lose_vote::KIND,
        lose_term::KIND,
        corrupt_record::KIND,
        data_damage::KIND,
        campaign::KIND,
        transfer_leader::KIND,
        take_snapshot::KIND,
        remove_member::KIND,
        reconfigure::KIND,
    ]
}

/// The kind of this name.
pub fn find(name: &str) -> Option<&'static FaultKind> {
    registry().iter().find(|kind| kind.name == name)
}
