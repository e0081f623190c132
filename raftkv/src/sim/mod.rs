//! A deterministic simulation of whole clusters in one thread.
//!
//! [`run`] plays one cluster from one seed: virtual time, a network that loses, repeats, reorders, delays and
//! partitions, disks that lose what was not synced when the power fails, become full and refuse to sync, clients that write and read. After
//! every step of a node all invariants are checked ([`invariants`]). The same seed, rules and shape give the
//! same run, event for event.
//! Deliberately without the WAL, the state machine and the sockets of the real node: this judges the core
//! alone.
//! Reference: the simulators of FoundationDB and TigerBeetle.

pub mod clock;
pub mod invariants;

mod clients;
pub(crate) mod disk;
mod drawn;
mod effects;
mod faults;
mod membership;
mod nemesis;
mod network;
mod overlap;
pub(crate) mod pool;
mod recovery;
mod snapshot;
mod storms;
mod world;

use std::fmt;

use crate::raft::rules::Rules;
pub use invariants::{Finding, Invariant};
pub use membership::Coming;
pub use storms::Storm;

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was drawn from the seed.
    pub shape: Shape,
    /// Steps of nodes, each of one or more inputs.
    pub steps: u64,
    /// Leaders that were elected.
    pub elections: u64,
    /// Writes that were acknowledged.
    pub writes: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Crashes of nodes.
    pub crashes: u64,
    /// Snapshots that nodes took of their own state.
    pub snapshots: u64,
    /// Snapshots that replaced the state of a follower.
    pub installs: u64,
    /// Partitions and one-way cuts.
    pub cuts: u64,
    /// Handovers of leadership that were ordered and succeeded.
    pub transfers: u64,
    /// Changes of the members that were completed.
    pub changes: u64,
    /// The first invariant that did not hold.
    pub finding: Option<Finding>,
}

/// What is drawn from a seed before anything happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Members of the cluster.
    pub nodes: u16,
    /// Messages lost, of 1000.
    pub loss_permille: u32,
    /// Messages repeated, of 1000.
    pub duplicate_permille: u32,
    /// Messages that take up to half a second, of 1000.
    pub straggler_permille: u32,
    /// The longest usual way of a message, in microseconds.
    pub latency_us_max: u64,
    /// The longest usual write, in microseconds.
    pub fsync_us_max: u64,
    /// The mean time between faults, in milliseconds.
    pub fault_every_ms: u64,
    /// The mean time between operations of clients, in microseconds.
    pub operation_every_us: u64,
    /// How long faults go on, in milliseconds.
    pub faults_ms: u64,
    /// The rule `max_entries_per_append`, which breaks nothing and so is drawn.
    pub entries_per_append: usize,
    /// How many bytes of a snapshot a message carries.
    pub chunk_bytes: usize,
    /// For how long a node lets its inputs gather, in microseconds; 0: it takes each on its own.
    pub batch_us_max: u64,
    /// At which moments faults strike.
    pub storm: Storm,
    /// Whose disk is slow.
    pub slow_disk: Option<u16>,
    /// How late a repeated message may be, in microseconds; 0: as late as any other.
    pub echo_us_max: u64,
    /// How late entries and parts of snapshots may be, in microseconds; 0: as late as any other message.
    pub overtaken_us_max: u64,
    /// How late votes and requests for them may be, in microseconds; 0: as late as any other message.
    pub votes_us_max: u64,
    /// Who else may become a member, and how.
    pub coming: Option<Coming>,
    /// How fast each node's clocks run, in thousandths: apart by less than the honest rules assume.
    pub clocks_permille: Vec<u64>,
    /// Further rules that were drawn, because they break nothing.
    pub rules: Vec<(&'static str, &'static str)>,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} nodes, loss {}‰, duplicates {}‰, stragglers {}‰, latency <= {} us, fsync <= {} us, a fault every {} ms, \
             an operation every {} us, {} ms of faults, {} entries in a message, \
             batches of <= {} us, {} bytes of a snapshot in a message, clocks at {:?}‰, {}",
            self.nodes,
            self.loss_permille,
            self.duplicate_permille,
            self.straggler_permille,
            self.latency_us_max,
            self.fsync_us_max,
            self.fault_every_ms,
            self.operation_every_us,
            self.faults_ms,
            self.entries_per_append,
            self.batch_us_max,
            self.chunk_bytes,
            self.clocks_permille,
            self.storm
        )?;
        if let Some(slow) = self.slow_disk {
            write!(f, ", the disk of n{slow} is slow")?;
        }
        if let Some(coming) = &self.coming {
            write!(f, ", {coming}")?;
        }
        self.rules.iter().try_for_each(|(name, value)| write!(f, ", {name}={value}"))
    }
}

/// What is demanded of a run beside safety.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Only that no invariant is broken.
    Safety,
    /// Also that the healed cluster takes a write and that all nodes end with the same log.
    Progress,
}

/// Plays one cluster.
pub fn run(seed: u64, rules: &Rules, demand: Demand) -> Report {
    world::World::new(seed, rules).run(demand)
}

/// Each rule value that breaks an invariant, as `name=value`.
pub const UNSAFE_RULES: &[&str] = &[
    "persist_vote=memory",
    "persist_vote=cache",
    "persist_term=memory",
    "persist_term=memory term_from_log_on_boot=false",
    "persist_log=false",
    "fsync=never",
    "fsync=interval:50ms",
    "on_fsync_error=retry",
    "on_fsync_error=ignore",
    "on_disk_full=ignore",
    "term_check=false",
    "reply_term_check=false",
    "election_restriction=false",
    "vote_compare=index_only",
    "vote_compare=term_only",
    "votes=counter",
    "vote_self=count_not_recorded",
    "initial_role=leader",
    "restart_role=leader",
    "consistency_check=false",
    "append_conflict=truncate_always",
    "match_from=next_index",
    "heartbeat_commit=raw",
    "follower_commit_cap=own_last",
    "commit_only_current_term=false",
    "uncommitted_on_election=discard",
    "leader_counts_self=immediately",
    "apply_at=append",
    "ack_at=local_append",
    "ack_at=first_ack",
    "dedup_sessions=off",
    "dedup_sessions=leader_memory",
    "session_expiry=local_clock session_timeout=200ms",
    "ttl_clock=local_clock",
    "apply_nondeterminism=local_time",
    "apply_nondeterminism=rand",
    "apply_nondeterminism=map_order",
    "read_mode=local",
    "read_mode=follower_local",
    "read_mode=follower_read_index read_wait_apply=false",
    "read_mode=lease leader_stickiness=off",
    "read_mode=lease leader_stickiness=on vote_wait_after_restart=false",
    "read_mode=lease leader_stickiness=on lease_revoke_on_transfer=false",
    "read_mode=lease leader_stickiness=on lease_duration=1s",
    "read_mode=lease leader_stickiness=on lease_clock_drift_bound=1",
    "read_mode=lease leader_stickiness=on lease_clock=monotonic",
    "read_mode=lease leader_stickiness=on lease_clock=wall",
    "read_index_confirm=none",
    "read_index_confirm=stale_acks",
    "read_index_requires_current_term_commit=false",
    "snapshot_at=last_log",
    "snapshot_contents=no_term",
    "snapshot_write=tmp_rename",
    "snapshot_write=in_place",
    "snapshot_install_guard=false",
    "snapshot_install_keep_suffix=false",
    "snapshot_transfer=chunked_naive",
    "compact=before",
    "quorum=election=2,replication=2",
    "quorum=election=2,replication=3",
    "quorum=replication=1",
    "read_confirm_quorum=1",
    "membership=direct",
    "config_effective=on_apply campaign_guard_unapplied=false",
    "membership=single config_requires_current_term_commit=false",
    "config_one_at_a_time=false",
    "config_rollback=false",
    "witness=vote_only",
];

/// Looks for the first seed from `first` on at which `rules` break an invariant: how many were played, and
/// what broke.
pub fn hunt(preset: &str, rules: &str, first: u64, seeds: u64) -> Option<(u64, Finding)> {
    let mut changed = Rules::preset(preset).ok()?;
    for rule in rules.split_whitespace() {
        let (name, value) = rule.split_once('=')?;
        changed.set(name, value).ok()?;
    }
    (0..seeds).find_map(|played| {
        let finding = run(first + played, &changed, Demand::Safety).finding?;
        Some((played + 1, finding))
    })
}

/// Those of [`UNSAFE_RULES`] that need a rare order of events. The scripts in `testdata/` show each on its
/// own.
pub const NEEDS_MANY_SEEDS: &[&str] = &["membership=single config_requires_current_term_commit=false"];
