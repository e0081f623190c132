//! The rules about terms, votes and elections.

use std::collections::BTreeMap;

use super::super::io::NodeId;
use super::super::switch::{Millis, MillisRange, Switch, Toggle, switch};

group! {
    /// Terms, votes and elections.
    VoteRules {
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
        election_timer: ElectionTimer = ElectionTimer::Random, "equal timers split votes again and again";
        /// How long a follower waits for its leader.
        election_timeout: MillisRange = MillisRange { min: 150, max: 300 },
            "too short deposes working leaders, too long leaves the cluster without one";
        /// How often a leader shows that it lives.
        heartbeat_interval: Millis = Millis(50), "longer than the election timeout, it deposes working leaders";
    }
}

switch! {
    /// Where a vote lives.
    PersistVote {
        /// On disk, before the reply leaves.
        Durable = "durable",
        /// Written before the reply leaves, but not forced to the disk: a power failure forgets it.
        Cache = "cache",
        /// In memory: a restart forgets it, the term stays.
        Memory = "memory",
    }
}

switch! {
    /// How a voter compares the candidate's log with its own.
    VoteCompare {
        /// By last term, then by last index.
        Raft = "raft",
        /// By last index alone.
        IndexOnly = "index_only",
        /// By last term alone.
        TermOnly = "term_only",
        /// Both must be at least the voter's.
        BothGe = "both_ge",
        /// The candidate's log must be strictly newer.
        StrictGt = "strict_gt",
    }
}

switch! {
    /// Whether a candidate rehearses, and what a voter demands of the rehearsal.
    PreVote {
        /// No rehearsal.
        Off = "off",
        /// A log that is as new as the voter's.
        LogOnly = "log_only",
        /// That, and the voter has not heard of a leader lately.
        Full = "full",
        /// A log that is strictly newer than the voter's.
        StrictGt = "strict_gt",
    }
}

switch! {
    /// How a candidate counts.
    Votes {
        /// Voters, each once.
        Set = "set",
        /// Granting replies.
        Counter = "counter",
    }
}

switch! {
    /// What a candidate does with its own vote.
    VoteSelf {
        /// It records it, and counts it once it is on disk.
        Yes = "yes",
        /// It neither gives nor counts it, and may give it to another candidate of the term.
        NoCount = "no_count",
        /// It counts it without having recorded it.
        CountNotRecorded = "count_not_recorded",
    }
}

switch! {
    /// The role in which a node starts.
    StartRole {
        /// It waits for a leader.
        Follower = "follower",
        /// It stands for election at once.
        Candidate = "candidate",
        /// It takes itself for the leader.
        Leader = "leader",
    }
}

switch! {
    /// How a follower's patience is drawn.
    ElectionTimer {
        /// Uniformly from the rule `election_timeout`.
        Random = "random",
        /// Never: only the order `campaign` starts an election.
        Manual = "manual",
    } or {
        /// Uniformly from this range.
        RandomIn(MillisRange) = "random:" "150ms..300ms",
        /// Always the same, which makes split votes repeat.
        Fixed(Millis) = "fixed:" "200ms",
    }
}

switch! {
    /// How leadership is handed over.
    LeaderTransfer {
        /// To a voter that has the whole log, while no proposals are taken.
        Checked = "checked",
        /// At once, to whomever was named.
        Blind = "blind",
    }
}

/// How much each node should lead; a node that is not named has the priority 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElectionPriority(BTreeMap<NodeId, i32>);

impl ElectionPriority {
    /// The priority of `node`.
    pub fn of(&self, node: NodeId) -> i32 {
        self.0.get(&node).copied().unwrap_or_default()
    }
}

impl Switch for ElectionPriority {
    fn values() -> Vec<&'static str> {
        vec!["none", "a list such as n1=10,n2=5"]
    }
    fn parse(text: &str) -> Option<Self> {
        if matches!(text, "none" | "0") {
            return Some(Self::default());
        }
        let mut priorities = BTreeMap::new();
        for part in text.split(',') {
            let (node, priority) = part.trim().split_once('=')?;
            let earlier = priorities.insert(node.trim().parse().ok()?, priority.trim().parse().ok()?);
            if earlier.is_some() {
                return None;
            }
        }
        Some(Self(priorities))
    }
    fn text(&self) -> String {
        if self.0.is_empty() {
            return "none".to_owned();
        }
        let part = |(node, priority): (&NodeId, &i32)| format!("{node}={priority}");
        self.0.iter().map(part).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_can_be_written_and_read_back() {
        for text in ["random", "random:10ms..20ms", "fixed:7ms", "manual"] {
            assert_eq!(ElectionTimer::parse(text).unwrap().text(), text);
        }
        for text in ["fixed", "fixed:", "random:7ms", "manual:1ms", "Random"] {
            assert_eq!(ElectionTimer::parse(text), None, "{text}");
        }
    }

    #[test]
    fn priorities_can_be_written_and_read_back() {
        for text in ["none", "n1=10,n2=5", "n3=-1"] {
            assert_eq!(ElectionPriority::parse(text).unwrap().text(), text);
        }
        let priorities = ElectionPriority::parse(" n2=5, 1=10").unwrap();
        assert_eq!(
            (priorities.of(NodeId(1)), priorities.of(NodeId(2)), priorities.of(NodeId(3))),
            (10, 5, 0)
        );
        assert_eq!(ElectionPriority::parse("0"), Some(ElectionPriority::default()));
        for text in ["", "n1", "n1=x", "n1=1,n1=2", "n0=1", "n1=1,"] {
            assert_eq!(ElectionPriority::parse(text), None, "{text}");
        }
    }
}
