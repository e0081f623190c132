//! The rules of the protocol, each of which an experiment can switch off on its own.
//!
//! Invariant: every field is consulted in exactly one place of this crate, inside the guard that it weakens,
//! where a comment states the honest law and its source; the test `every_rule_is_consulted_once` counts the
//! places. The defaults are the honest laws (preset `production`). The node asserts only what holds under
//! every value of every rule.
//! Deliberately without behaviour: this file says what can be chosen and what the choice breaks, nothing
//! else.

use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mod client;
mod commit;
mod error;
mod log;
mod membership;
mod preset;
mod read;
mod snapshot;
mod storage;
mod vote;

pub use client::*;
pub use commit::*;
pub use error::RuleError;
pub use log::*;
pub use membership::*;
pub use preset::{MAX_ENTRY_BYTES_MAX, PRESETS};
pub use read::*;
pub use snapshot::*;
pub use storage::*;
pub use vote::*;

pub use super::switch::{Count, ElectionTimer, Millis, MillisRange, Switch, Toggle};

/// One row of the reference page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleDescription {
    /// The group of the rule.
    pub group: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What may be written.
    pub values: Vec<&'static str>,
    /// The honest value.
    pub default: String,
    /// What it governs.
    pub governs: &'static str,
    /// What the other values break.
    pub breaks: &'static str,
}

/// Defines the groups, `Rules`, and the access by name, from one table.
macro_rules! rules {
    ($( $(#[doc = $gdoc:literal])* $group:ident : $Group:ident {
        $( #[doc = $doc:literal] $name:ident : $ty:ty = $default:expr, $breaks:literal; )*
    } )*) => {
        $(
            $(#[doc = $gdoc])*
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $Group { $( #[doc = $doc] pub $name: $ty, )* }
        )*

        /// The rules of one node.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Rules { $( $(#[doc = $gdoc])* pub $group: $Group, )* }

        impl Default for Rules {
            fn default() -> Self {
                Self { $( $group: $Group { $( $name: $default, )* }, )* }
            }
        }

        impl Rules {
            /// Changes one rule by name.
            pub fn set(&mut self, name: &str, value: &str) -> Result<(), RuleError> {
                match name {
                    $($(
                        stringify!($name) => {
                            self.$group.$name = <$ty as Switch>::parse(value)
                                .ok_or_else(|| RuleError::value(name, value, <$ty as Switch>::values()))?;
                        }
                    )*)*
                    _ => return Err(RuleError::name(name)),
                }
                Ok(())
            }

            /// All rules by name, in the order of the reference page.
            pub fn list(&self) -> Vec<(&'static str, String)> {
                vec![ $($( (stringify!($name), self.$group.$name.text()), )*)* ]
            }

            /// The reference page.
            pub fn describe() -> Vec<RuleDescription> {
                let defaults = Self::default();
                vec![ $($( RuleDescription {
                    group: stringify!($group),
                    name: stringify!($name),
                    values: <$ty as Switch>::values(),
                    default: defaults.$group.$name.text(),
                    governs: $doc.trim_ascii(),
                    breaks: $breaks,
                }, )*)* ]
            }
        }
    };
}

rules! {
    /// Terms, votes and elections.
    vote: VoteRules {
        /// Where a vote lives.
        persist_vote: PersistVote = PersistVote::Durable, "a restarted node votes twice in a term: two leaders";
        /// Whether requests of an older term are refused.
        term_check: bool = true, "a deposed leader overwrites entries that its successor has committed";
        /// Whether replies of an older term are ignored.
        reply_term_check: bool = true, "votes and acknowledgements of an earlier term count in this one";
        /// Whether a vote needs a log that is as new as the voter's.
        election_restriction: bool = true, "a leader without committed entries removes them everywhere";
        /// How logs are compared for a vote.
        vote_compare: VoteCompare = VoteCompare::Raft,
            "index_only and term_only elect leaders without committed entries; both_ge and strict_gt may elect nobody";
        /// What a candidate does with its own vote.
        vote_self: VoteSelf = VoteSelf::Yes,
            "no_count: a cluster bears one failure less; count_not_recorded: votes twice in a term, two leaders";
        /// How votes are counted.
        votes: Votes = Votes::Set, "a vote that the network delivered twice counts twice: two leaders";
        /// The rehearsal before an election.
        pre_vote: PreVote = PreVote::Full, "a node that was cut off deposes a working leader when it returns";
        /// Whether a leader that hears of no quorum for the longest election timeout steps down.
        check_quorum: Toggle = Toggle::On, "a leader that can commit nothing keeps its followers and its clients waiting";
        /// Whether a node that hears of a leader ignores vote requests.
        leader_stickiness: Toggle = Toggle::On, "a node that misses heartbeats deposes a working leader";
        /// Whether a restarted node, if there are leases, gives no vote for the shortest election timeout.
        vote_wait_after_restart: bool = true,
            "it elects another leader during a lease that rests on its promise: stale reads";
        /// The role of a node that starts for the first time.
        initial_role: StartRole = StartRole::Follower,
            "candidate: first elections split, starting nodes disturb; leader: several leaders of one term";
        /// The role of a node that starts again.
        restart_role: StartRole = StartRole::Follower,
            "candidate: each restart deposes the leader unless pre_vote is on; leader: it gives out an index and term twice";
        /// How much each node should lead.
        election_priority: ElectionPriority = ElectionPriority::default(),
            "a failover to a less preferred node takes an election timeout longer for each one that is preferred to it";
        /// How leadership is handed over.
        leader_transfer: LeaderTransfer = LeaderTransfer::Checked,
            "blind: a target that lags cannot win, and the cluster is without a leader meanwhile";
        /// Whether a leader that is told to stop hands leadership over first.
        leader_transfer_on_stop: bool = true, "an orderly stop of the leader costs an election timeout";
        /// How a follower's patience is drawn.
        election_timer: ElectionTimer = ElectionTimer::Random(None), "equal timers split votes again and again";
        /// How long a follower waits for its leader.
        election_timeout: MillisRange = MillisRange { min: 150, max: 300 },
            "too short deposes working leaders, too long leaves the cluster without one";
        /// How often a leader shows that it lives.
        heartbeat_interval: Millis = Millis(50), "longer than the election timeout, it deposes working leaders";
    }
    /// Replication of the log.
    log: LogRules {
        /// Whether a follower compares the term of the entry before the new ones.
        consistency_check: bool = true, "logs with the same last entry differ before it (a gap is still refused)";
        /// When a follower truncates.
        append_conflict: AppendConflict = AppendConflict::OnConflict, "an old message removes acknowledged entries";
        /// What a leader takes from a successful reply.
        match_from: MatchFrom = MatchFrom::Ack, "entries that are still on their way count as replicated";
        /// How far a follower follows the leader's commit index.
        follower_commit_cap: FollowerCommitCap = FollowerCommitCap::LastNew, "a divergent tail is taken as committed";
        /// How a leader finds where a follower's log agrees.
        backtrack: Backtrack = Backtrack::TermHint, "repair of a long divergent log takes a round trip per entry";
        /// Whether entries that wait together travel in one message.
        batching: Toggle = Toggle::On, "a message and an answer per entry: less throughput, nothing breaks";
        /// Whether messages with entries follow each other without waiting for the answer.
        pipelining: Toggle = Toggle::On, "a round trip per message: less throughput, nothing breaks";
        /// How many bytes an entry may have.
        max_entry_bytes: Count = Count(1 << 20),
            "large ones hold up what follows them on the connection, heartbeats too: elections during long transfers";
        /// Whether what is on its way to a follower is bounded, in messages and in bytes.
        flow_control: Toggle = Toggle::On, "a leader's memory grows with everything that a slow follower has not taken yet";
        /// How many entries a message may carry.
        max_entries_per_append: Count = Count(1024), "small ones slow replication down, they break nothing";
        /// How many unanswered messages with entries a follower may have.
        max_inflight: Count = Count(256), "few slow replication down, they break nothing";
    }
    /// Commitment.
    commit: CommitRules {
        /// Whether only entries of the leader's own term are committed by counting.
        commit_only_current_term: bool = true, "a committed entry of an older term is overwritten (figure 8)";
        /// Whether a new leader appends an empty entry.
        noop_on_election: bool = true, "entries of earlier terms stay uncommitted, and reads wait, until a write comes";
        /// What a new leader does with entries that it does not know to be committed.
        uncommitted_on_election: UncommittedOnElection = UncommittedOnElection::Keep,
            "entries whose commitment it has not heard of yet are lost, though acknowledged";
        /// Which commit index a heartbeat carries.
        heartbeat_commit: HeartbeatCommit = HeartbeatCommit::MinMatch, "a divergent tail is taken as committed";
        /// When a leader counts its own copy.
        leader_counts_self: LeaderCountsSelf = LeaderCountsSelf::AfterFsync,
            "an acknowledged entry is on too few disks and a crash loses it";
        /// When an entry is applied to the state machine.
        apply_at: ApplyAt = ApplyAt::Commit, "reads see what is never committed, and replicas keep it";
        /// When a write is acknowledged. The early ones only concern writes whose result does not depend on the state.
        ack_at: AckAt = AckAt::Commit, "an acknowledged write is lost with the leader, or with one follower";
    }
    /// Reads.
    read: ReadRules {
        /// How reads are answered.
        read_mode: ReadMode = ReadMode::ReadIndex,
            "local and follower_local: stale reads from a deposed leader or a lagging follower; lease: needs clocks";
        /// What confirms the leader.
        read_index_confirm: ReadIndexConfirm = ReadIndexConfirm::FreshRound, "a deposed leader answers stale reads";
        /// Whether reads wait until an entry of the leader's term is committed.
        read_index_requires_current_term_commit: bool = true,
            "a new leader answers from before the last writes that its predecessor acknowledged";
        /// Whether a read waits until the state machine has applied its index.
        read_wait_apply: bool = true, "a node that has not applied the last writes yet answers without them";
        /// Whether reads that wait together share one round of confirmation.
        read_batch: Toggle = Toggle::On, "a round of heartbeats for each read: less throughput, nothing breaks";
        /// How long a lease lasts from the sending of the heartbeats that it rests on.
        lease_duration: LeaseDuration = LeaseDuration::Auto,
            "longer than followers keep their promise: a deposed leader answers stale reads";
        /// By which factor clocks may differ in speed.
        lease_clock_drift_bound: DriftBound = DriftBound(1100),
            "a leader whose clock is slower than this allows for answers stale reads after its lease";
        /// By which clock a leader measures its lease.
        lease_clock: LeaseClock = LeaseClock::Boottime,
            "monotonic stands still while a machine is suspended and wall is set back: leases that never end";
        /// Whether a leader gives its lease up before it hands leadership over.
        lease_revoke_on_transfer: bool = true, "the successor is elected during the lease, and the old leader answers stale reads";
        /// Whether a node answers a client only from a state as new as the index that the client has seen.
        session_index: Toggle = Toggle::Off,
            "with local reads, a client that changes nodes reads older states than before and not its own writes";
        /// How long a read may wait for its confirmation and for the state that it needs.
        read_timeout: Millis = Millis(1000), "long ones keep the clients of a lagging follower waiting";
        /// Whether a follower sends the clients of reads that it cannot answer in time, or at all, to the leader.
        read_redirect: bool = true, "clients of a follower without a leader wait for the timeout and get nothing";
    }
    /// What is on disk when, and what a node believes of it.
    storage: StorageRules {
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
        step_down_on_slow_disk: SlowDisk = SlowDisk(None),
            "off keeps a leader whose disk makes every client wait; too short deposes leaders for nothing";
    }
    /// Clients, their sessions, and what is applied when.
    client: ClientRules {
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
    /// Who counts, and how that changes.
    membership: MembershipRules {
        /// How many members elect a leader and how many commit an entry.
        quorum: QuorumSizes = QuorumSizes::MAJORITIES,
            "two leaders in a term unless 2E > N, lost commits unless E + R > N; larger quorums stall sooner";
        /// How many members must confirm a leader.
        read_confirm_quorum: ReadConfirmQuorum = ReadConfirmQuorum::Auto,
            "fewer than N - E + 1 do not notice that another leader was elected: stale reads";
        /// How one configuration becomes another.
        membership: Membership = Membership::Single, "at once, the old and the new members have majorities that do not meet";
        /// From when on a configuration counts.
        config_effective: ConfigEffective = ConfigEffective::OnAppend,
            "nodes that have not applied a change count by the old members; a cluster of two cannot lose one safely";
        /// Whether a leader commits in its own term before it changes the members.
        config_requires_current_term_commit: bool = true,
            "an uncommitted change of an older term wins with a majority that does not meet this one's (2015)";
        /// Whether a change waits until the one before is committed.
        config_one_at_a_time: bool = true, "configurations that are two changes apart have majorities that do not meet";
        /// When a leader that is not a member any more gives up.
        step_down_when_removed: StepDownWhenRemoved = StepDownWhenRemoved::OnCommit,
            "earlier: nobody else may be able to commit its removal; never: a stranger leads";
        /// Whether new members get the log before they count.
        learners: bool = true, "a new member raises the majority and cannot help to reach it: writes wait";
        /// What a learner must show before it counts.
        promote_check: PromoteCheck = PromoteCheck::CaughtUp, "a new member raises the majority before it can help to reach it, as without learners";
        /// What voters without a state machine keep of the log.
        witness: Witness = Witness::None,
            "vote_only forgets what it has promised: lost commits; log_meta cannot help to get data back";
        /// Whether they may lead for a while.
        witness_can_lead: bool = false, "true lets the only node with the latest entries feed the others";
        /// Whether a node applies a configuration that is committed before it asks for votes.
        campaign_guard_unapplied: bool = true,
            "with config_effective=on_apply, a candidate asks members of long ago: two leaders in a term";
        /// Whether a node may ask for votes although its log says that it is no member.
        campaign_when_not_in_config: bool = true,
            "the only node that could commit the removal of a leader never leads again: the cluster stalls";
        /// Whether a node goes back to the configuration before when its entry is removed.
        config_rollback: bool = true, "a node counts by members whom nobody agreed upon";
    }
    /// Snapshots and compaction.
    snapshot: SnapshotRules {
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

impl Rules {
    /// The rules as a JSON object, in the order of the reference page.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a map of strings is always JSON")
    }
}

impl Serialize for Rules {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let list = self.list();
        let mut map = serializer.serialize_map(Some(list.len()))?;
        for (name, value) in &list {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = std::collections::BTreeMap::<String, String>::deserialize(deserializer)?;
        let mut rules = Self::default();
        for (name, value) in &map {
            rules.set(name, value).map_err(D::Error::custom)?;
        }
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_can_be_written_and_read_back() {
        let mut rules = Rules::default();
        for rule in Rules::describe() {
            rules.set(rule.name, &rule.default).unwrap_or_else(|e| panic!("{e}"));
            assert!(rule.breaks.len() > 20 && !rule.governs.is_empty(), "{}", rule.name);
        }
        assert_eq!(rules, Rules::default());
        assert_eq!(rules, Rules::preset("production").unwrap());
    }

    #[test]
    fn rules_survive_json() {
        let mut rules = Rules::preset("paper").unwrap();
        rules.set("election_timer", "fixed:120ms").unwrap();
        rules.set("read_mode", "local").unwrap();
        let json = rules.to_json();
        assert!(json.contains(r#""read_mode":"local""#), "{json}");
        assert_eq!(serde_json::from_str::<Rules>(&json).unwrap(), rules);
        assert!(serde_json::from_str::<Rules>(r#"{"read_mode":"loca"}"#).is_err());
    }

    #[test]
    fn mistakes_name_what_would_be_right() {
        let mut rules = Rules::default();
        let message = rules.set("read_mod", "local").unwrap_err().to_string();
        assert!(message.contains("did you mean `read_mode`?"), "{message}");
        let message = rules.set("read_mode", "lokal").unwrap_err().to_string();
        assert!(message.contains("expected log, read_index, lease, local, follower_read_index, follower_local; did you mean `local`?"), "{message}");
        let message = rules.set("read_mode", "xyzzy").unwrap_err().to_string();
        assert!(!message.contains("did you mean"), "{message}");
        let message = Rules::preset("papper").unwrap_err().to_string();
        assert!(message.contains("did you mean `paper`?"), "{message}");
        assert_eq!(rules, Rules::default());
    }

    #[test]
    fn every_preset_exists_and_is_valid() {
        for (name, what) in PRESETS {
            let rules = Rules::preset(name).unwrap_or_else(|e| panic!("{e}"));
            rules.validate().unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(!what.is_empty());
        }
    }

    #[test]
    fn a_heartbeat_that_cannot_keep_followers_is_refused() {
        let mut rules = Rules::default();
        rules.set("heartbeat_interval", "300ms").unwrap();
        assert!(rules.validate().unwrap_err().to_string().contains("at most 300ms"));
        rules.set("election_timer", "manual").unwrap();
        rules.validate().unwrap();
    }
}
