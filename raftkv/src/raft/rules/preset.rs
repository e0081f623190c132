//! The named combinations of rules, and the combinations that are refused.

use super::error::{RuleError, suggest};
use super::{HeartbeatCommit, OnLogRegression, Rules, Switch, Witness};

/// The named combinations, with what they are.
pub const PRESETS: &[(&str, &str)] = &[
    ("production", "every honest law: the defaults"),
    (
        "paper",
        "the protocol of the paper alone: no pre-vote, no check of the quorum, no stickiness, no transfer, joint \
         membership changes",
    ),
    (
        "thesis",
        "the paper's protocol with the thesis' leader stickiness (4.2.3), changes of one server (4.1), leadership transfer \
         (3.10) and sessions (6.3)",
    ),
    (
        "etcd-like",
        "what etcd does: configurations count when applied, the commit index is stored, a follower that lost entries stops, \
         no sessions",
    ),
    (
        "naive-6824",
        "a typical course solution: the paper without a no-op, a message and a write at a time, one step back at a \
         time, reads in the log",
    ),
];

/// A rule and its value.
type Change = (&'static str, &'static str);

/// The protocol of the paper has none of these.
const PAPER: &[Change] = &[
    ("pre_vote", "off"),
    ("check_quorum", "off"),
    ("leader_stickiness", "off"),
    ("leader_transfer_on_stop", "false"),
    ("membership", "joint"),
];

const THESIS: &[Change] = &[("pre_vote", "off"), ("check_quorum", "off")];

/// Of etcd 3.5 with its raft library.
const ETCD_LIKE: &[Change] = &[
    // `applyConfChange` is called when the entry is applied; hence its guard "cannot campaign ... since there are still
    // pending configuration changes to apply".
    ("config_effective", "on_apply"),
    // The commit index is part of its HardState.
    ("persist_commit_index", "true"),
    // "tocommit is out of range [lastIndex]. Was the raft log corrupted, truncated, or lost?"
    ("on_log_regression", "refuse"),
    // Requests are not numbered: a client that repeats one may have it twice.
    ("dedup_sessions", "off"),
    ("max_inflight", "512"),
    // The default of its flag --max-request-bytes.
    ("max_entry_bytes", "1572864"),
];

const NAIVE_6824: &[Change] = &[
    ("pre_vote", "off"),
    ("check_quorum", "off"),
    ("leader_stickiness", "off"),
    ("leader_transfer_on_stop", "false"),
    ("noop_on_election", "false"),
    ("backtrack", "one"),
    ("pipelining", "off"),
    ("leader_disk", "before_send"),
    ("log_sync", "serial"),
    ("read_mode", "log"),
    ("session_expiry", "none"),
];

/// The largest entry that fits into a frame between nodes with a margin for what surrounds it.
pub const MAX_ENTRY_BYTES_MAX: usize = 24 << 20;

impl Rules {
    /// A named combination.
    pub fn preset(name: &str) -> Result<Self, RuleError> {
        let changes = match name {
            "production" => &[],
            "paper" => PAPER,
            "thesis" => THESIS,
            "etcd-like" => ETCD_LIKE,
            "naive-6824" => NAIVE_6824,
            _ => {
                let names: Vec<&str> = PRESETS.iter().map(|preset| preset.0).collect();
                let mut text = format!("there is no preset `{name}`: expected {}", names.join(", "));
                suggest(&mut text, name, &names);
                return Err(RuleError(text));
            }
        };
        let mut rules = Self::default();
        for (name, value) in changes {
            rules.set(name, value)?;
        }
        Ok(rules)
    }

    /// Refuses what the transport could not carry.
    fn validate_sizes(&self) -> Result<(), RuleError> {
        let bytes = self.log.max_entry_bytes.0;
        if bytes > MAX_ENTRY_BYTES_MAX {
            return Err(RuleError(format!(
                "max_entry_bytes is {bytes}, but a message between nodes cannot carry more than {MAX_ENTRY_BYTES_MAX}: such an \
                 entry would never be committed; make it smaller"
            )));
        }
        Ok(())
    }

    /// Refuses combinations with which no cluster could work, and says why.
    pub fn validate(&self) -> Result<(), RuleError> {
        self.validate_sizes()?;
        let patience = super::super::election::Patience::of(self);
        let (longest, heartbeat) = (patience.range.max, self.vote.heartbeat_interval.0);
        if patience.timer == super::super::election::Timer::Armed && heartbeat >= longest {
            return Err(RuleError(format!(
                "heartbeat_interval is {heartbeat}ms, but followers wait at most {longest}ms (election_timeout, \
                 election_timer): every leader would be deposed; make the heartbeat shorter"
            )));
        }
        let keeps_too_little = matches!(self.membership.witness, Witness::VoteOnly | Witness::LogMeta);
        if self.membership.witness_can_lead && keeps_too_little {
            return Err(RuleError(format!(
                "witness is {} and witness_can_lead is true: a leader feeds the others from its log, and these \
                 witnesses do not keep it; use witness=log_full or witness_can_lead=false",
                self.membership.witness.text()
            )));
        }
        let refuses = self.storage.on_log_regression == OnLogRegression::Refuse;
        if refuses && self.commit.heartbeat_commit == HeartbeatCommit::Raw {
            let text = "on_log_regression=refuse takes a commit index behind the end of a log as a sign of lost entries, but \
                        with heartbeat_commit=raw every follower that is behind hears of one: use \
                        heartbeat_commit=min_match";
            return Err(RuleError(text.to_owned()));
        }
        Ok(())
    }
}
