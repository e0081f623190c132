//! The rules about who counts and how that changes.

use super::super::quorum::majority;
use super::super::switch::{Count, Switch, switch};

group! {
    /// Who counts, and how that changes.
    MembershipRules {
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
}

/// How many members are enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuorumSize {
    /// More than half.
    Majority,
    /// So many.
    Of(usize),
    /// Everybody.
    All,
}

impl QuorumSize {
    /// How many of `members`: at least one, at most all.
    pub fn of(self, members: usize) -> usize {
        match self {
            QuorumSize::Majority => majority(members),
            QuorumSize::Of(count) => count.clamp(1, members.max(1)),
            QuorumSize::All => members.max(1),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "majority" => Some(Self::Majority),
            "all" => Some(Self::All),
            _ => text.parse().ok().filter(|&count| count >= 1).map(Self::Of),
        }
    }

    fn text(self) -> String {
        match self {
            QuorumSize::Majority => "majority".to_owned(),
            QuorumSize::Of(count) => count.to_string(),
            QuorumSize::All => "all".to_owned(),
        }
    }
}

/// How many members elect a leader, and how many commit an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumSizes {
    /// For an election: a majority or a number.
    pub election: QuorumSize,
    /// For an entry.
    pub replication: QuorumSize,
}

impl QuorumSizes {
    /// The sizes of the paper.
    pub const MAJORITIES: Self = Self { election: QuorumSize::Majority, replication: QuorumSize::Majority };

    /// The largest number that it names.
    pub fn largest(self) -> usize {
        let named = |size| if let QuorumSize::Of(count) = size { count } else { 0 };
        named(self.election).max(named(self.replication))
    }
}

impl Switch for QuorumSizes {
    fn values() -> Vec<&'static str> {
        vec!["majority", "election=3,replication=2", "election=3", "replication=2", "replication=all"]
    }
    fn parse(text: &str) -> Option<Self> {
        let mut sizes = Self::MAJORITIES;
        if text == "majority" {
            return Some(sizes);
        }
        for part in text.split(',') {
            let (which, size) = part.trim().split_once('=')?;
            let size = QuorumSize::parse(size.trim())?;
            match which.trim() {
                "election" if size != QuorumSize::All => sizes.election = size,
                "replication" => sizes.replication = size,
                _ => return None,
            }
        }
        Some(sizes)
    }
    fn text(&self) -> String {
        let named = [("election", self.election), ("replication", self.replication)];
        let parts: Vec<String> = named
            .into_iter()
            .filter(|(_, size)| *size != QuorumSize::Majority)
            .map(|(which, size)| format!("{which}={}", size.text()))
            .collect();
        if parts.is_empty() { "majority".to_owned() } else { parts.join(",") }
    }
}

switch! {
    /// How many members confirm that a leader still leads.
    ReadConfirmQuorum {
        /// As many as meet every quorum that could have elected another.
        Auto = "auto",
    } or {
        /// So many.
        Of(Count) = "" "a number >= 1",
    }
}

switch! {
    /// How one configuration becomes another.
    Membership {
        /// Through a configuration in which both count (section 6 of the paper).
        Joint = "joint",
        /// One voter at a time (chapter 4 of the thesis).
        Single = "single",
        /// At once.
        Direct = "direct",
    }
}

switch! {
    /// From when on a configuration counts.
    ConfigEffective {
        /// As soon as it is in the log.
        OnAppend = "on_append",
        /// When it is applied.
        OnApply = "on_apply",
    }
}

switch! {
    /// When a leader that is not in the new configuration gives up.
    StepDownWhenRemoved {
        /// Once that is committed.
        OnCommit = "on_commit",
        /// Once that is in its log; it may be elected again.
        OnAppend = "on_append",
        /// It never leads while its log says that it is no member.
        OnAppendStrict = "on_append_strict",
        /// It goes on.
        Never = "never",
    }
}

switch! {
    /// What a learner must have before it counts.
    PromoteCheck {
        /// Nearly everything that the leader has.
        CaughtUp = "caught_up",
        /// Nothing.
        None = "none",
    }
}

switch! {
    /// What a voter without a state machine keeps of the log.
    Witness {
        /// There are no such voters.
        None = "none",
        /// Nothing: it acknowledges entries and forgets them.
        VoteOnly = "vote_only",
        /// Index and term of each entry, and configurations.
        LogMeta = "log_meta",
        /// Everything.
        LogFull = "log_full",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quorums_survive_being_written() {
        for text in [
            "majority",
            "election=3,replication=2",
            "replication=all",
            "election=4",
            "election=4,replication=1",
        ] {
            assert_eq!(QuorumSizes::parse(text).unwrap().text(), text);
        }
        assert_eq!(QuorumSizes::parse("election=majority, replication=majority").unwrap().text(), "majority");
        for bad in
            ["", "3", "election=0", "election=all", "replication=x", "elections=3", "majority,election=2"]
        {
            assert_eq!(QuorumSizes::parse(bad), None, "{bad}");
        }
        assert_eq!(ReadConfirmQuorum::parse("auto"), Some(ReadConfirmQuorum::Auto));
        assert_eq!(ReadConfirmQuorum::parse("2").unwrap().text(), "2");
        assert_eq!(ReadConfirmQuorum::parse("0"), None);
    }
}
