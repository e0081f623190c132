//! Control over the messages that a node gets from its peers, by type, sender, term and count.
//!
//! Invariant: nothing here does what a network could not do to datagrams between two nodes: they are late, lost, repeated
//! or out of order, but never made up or changed. It concerns what arrives at the node that gets the order.
//! Deliberately lacks links, which the packet switch has.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::system::NodeId;

/// What a node is asked to do with arriving messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MessageOrder {
    /// From now on do this to messages that match. The first rule that matches a message decides.
    Arm(MessageRule),
    /// Forget every rule with this filter, or all rules. What is held stays held.
    Disarm {
        /// The filter, exactly as it was armed.
        filter: Option<MessageFilter>,
    },
    /// Let held messages that match through, in the order in which they came. They count as recorded from then on.
    Release(MessagePick),
    /// Drop held messages that match, the oldest first.
    Discard(MessagePick),
    /// Let copies of recorded messages that match arrive again, in the order in which they came. The records stay.
    Replay(MessagePick),
    /// Forget all rules and records, and let everything through that is held.
    Clear,
}

/// What happens to some messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MessageRule {
    /// What.
    pub action: MessageAction,
    /// To which.
    pub filter: MessageFilter,
    /// So many matching messages pass first.
    #[serde(default)]
    pub skip: u64,
    /// After so many the rule is over; it lasts if absent.
    #[serde(default)]
    pub count: Option<u64>,
    /// Of those it concerns, the share that it is done to, in parts of a million; the others pass.
    #[serde(default = "all_of_them")]
    pub share_ppm: u32,
}

fn all_of_them() -> u32 {
    1_000_000
}

/// What happens to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MessageAction {
    /// It waits until it is released, also if its connection or its sender is gone by then.
    Hold,
    /// It is lost.
    Drop,
    /// It arrives twice.
    Duplicate,
    /// It arrives so many milliseconds later; others overtake it.
    Delay {
        /// How many.
        ms: u32,
    },
    /// It passes, and a copy is kept for [`MessageOrder::Replay`].
    Record,
}

/// Which messages; what is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct MessageFilter {
    /// Of one of these types; of any type if empty.
    pub kinds: Vec<MessageKind>,
    /// From this node.
    pub from: Option<NodeId>,
    /// With this term in it.
    pub term: Option<u64>,
    /// With the entry of this index in it.
    pub index: Option<u64>,
}

/// Some of the messages that are held or recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct MessagePick {
    /// Which.
    pub filter: MessageFilter,
    /// The first so many of them; all if absent.
    pub count: Option<u64>,
}

/// Defines the enum and its names in one place.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// The type of a message between nodes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum MessageKind {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $variant,)+
        }

        impl MessageKind {
            /// All of them.
            pub const ALL: &[MessageKind] = &[$(MessageKind::$variant),+];

            /// What it is called.
            pub fn name(self) -> &'static str {
                match self {
                    $(MessageKind::$variant => $name,)+
                }
            }

            /// What it is, in one sentence.
            pub fn what(self) -> &'static str {
                match self {
                    $(MessageKind::$variant => concat!($($doc),+).trim_ascii(),)+
                }
            }
        }
    };
}

kinds! {
    /// A candidate asks whether it would be voted for.
    PreVote = "pre_vote",
    /// The answer to that.
    PreVoteReply = "pre_vote_reply",
    /// A candidate asks for a vote.
    RequestVote = "request_vote",
    /// The answer to that.
    VoteReply = "vote_reply",
    /// A leader sends entries.
    AppendEntries = "append_entries",
    /// A leader asks, without entries, whether the logs agree.
    Probe = "probe",
    /// The answer to either.
    AppendReply = "append_reply",
    /// A leader's sign of life, which also tells how far the log is committed and confirms reads.
    Heartbeat = "heartbeat",
    /// The answer to that.
    HeartbeatReply = "heartbeat_reply",
    /// A leader asks its successor to stand for election at once.
    TimeoutNow = "timeout_now",
    /// A leader sends a part of a snapshot.
    InstallSnapshot = "install_snapshot",
    /// The answer to that.
    InstallReply = "install_reply",
    /// A follower asks which index a read needs.
    ReadIndex = "read_index",
    /// The answer to that.
    ReadIndexReply = "read_index_reply",
    /// A leader asks for the hash of a state.
    StateHash = "state_hash",
    /// The answer to that.
    StateHashReply = "state_hash_reply",
}

/// A message that a node holds or has recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageSeen {
    /// Its type.
    pub kind: MessageKind,
    /// Who sent it.
    pub from: NodeId,
    /// The term in it.
    pub term: u64,
    /// The first and the last index of the entries in it.
    #[serde(default)]
    pub entries: Option<(u64, u64)>,
}

/// What a node did to arriving messages since it was started, and what it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageState {
    /// Messages that wait, in the order in which they came.
    pub held: Vec<MessageSeen>,
    /// Messages of which a copy is kept.
    pub recorded: Vec<MessageSeen>,
    /// How many are late at the moment.
    pub late: u64,
    /// The rules in force.
    pub rules: Vec<RuleState>,
    /// How many were ever held.
    pub total_held: u64,
    /// How many were dropped by a rule or an order.
    pub total_dropped: u64,
    /// How many were repeated by a rule or an order.
    pub total_repeated: u64,
    /// How many were made late.
    pub total_delayed: u64,
    /// How many were lost because too much was held or late already, or passed without a record because too much was
    /// recorded.
    pub total_overflowed: u64,
}

/// A rule in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleState {
    /// Which messages it is about.
    pub filter: MessageFilter,
    /// To how many of them it was done.
    pub done: u64,
}

impl MessageFilter {
    /// Whether a message matches.
    pub fn matches(&self, seen: &MessageSeen) -> bool {
        let holds = |index: u64| seen.entries.is_some_and(|(first, last)| (first..=last).contains(&index));
        (self.kinds.is_empty() || self.kinds.contains(&seen.kind))
            && self.from.is_none_or(|from| from == seen.from)
            && self.term.is_none_or(|term| term == seen.term)
            && self.index.is_none_or(holds)
    }
}

impl MessageRule {
    /// This to all messages that match.
    pub fn new(action: MessageAction, filter: MessageFilter) -> Self {
        Self { action, filter, skip: 0, count: None, share_ppm: all_of_them() }
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for MessageKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        MessageKind::ALL.iter().copied().find(|kind| kind.name() == text).ok_or_else(|| {
            let names: Vec<&str> = MessageKind::ALL.iter().map(|kind| kind.name()).collect();
            format!("there is no type of message `{text}`; there are {}", names.join(", "))
        })
    }
}

impl fmt::Display for MessageFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
        f.write_str(if kinds.is_empty() { "any message" } else { "" })?;
        f.write_str(&kinds.join(" or "))?;
        self.from.iter().try_for_each(|from| write!(f, " from {from}"))?;
        self.term.iter().try_for_each(|term| write!(f, " of term {term}"))?;
        self.index.iter().try_for_each(|index| write!(f, " with entry {index}"))
    }
}

impl fmt::Display for MessageOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let picked = |f: &mut fmt::Formatter<'_>, verb: &str, pick: &MessagePick| {
            write!(f, "{verb} ")?;
            pick.count.iter().try_for_each(|count| write!(f, "the first {count} of "))?;
            pick.filter.fmt(f)
        };
        match self {
            MessageOrder::Arm(MessageRule { action, filter, skip, count, share_ppm }) => {
                match action {
                    MessageAction::Hold => f.write_str("hold "),
                    MessageAction::Drop => f.write_str("drop "),
                    MessageAction::Duplicate => f.write_str("take twice "),
                    MessageAction::Delay { ms } => write!(f, "take {ms} ms later "),
                    MessageAction::Record => f.write_str("record "),
                }?;
                if *share_ppm < 1_000_000 {
                    write!(f, "{} % of ", f64::from(*share_ppm) / 10_000.0)?;
                }
                count.iter().try_for_each(|count| write!(f, "{count} of "))?;
                filter.fmt(f)?;
                if *skip > 0 { write!(f, ", but not the first {skip}") } else { Ok(()) }
            }
            MessageOrder::Disarm { filter: Some(filter) } => write!(f, "forget its rules for {filter}"),
            MessageOrder::Disarm { filter: None } => f.write_str("forget its rules for messages"),
            MessageOrder::Release(pick) => picked(f, "release", pick),
            MessageOrder::Discard(pick) => picked(f, "lose", pick),
            MessageOrder::Replay(pick) => picked(f, "take again", pick),
            MessageOrder::Clear => f.write_str("let all messages through"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for kind in MessageKind::ALL {
            assert_eq!(kind.name().parse(), Ok(*kind));
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("{:?}", kind.name()));
        }
        assert!("append".parse::<MessageKind>().unwrap_err().contains("append_entries"));
    }

    #[test]
    fn every_part_of_a_filter_has_to_match() {
        let seen =
            MessageSeen { kind: MessageKind::AppendEntries, from: NodeId(1), term: 3, entries: Some((4, 6)) };
        let filter = MessageFilter {
            kinds: vec![MessageKind::AppendEntries],
            from: Some(NodeId(1)),
            term: Some(3),
            index: Some(6),
        };
        assert!(filter.matches(&seen) && MessageFilter::default().matches(&seen));
        for other in [
            MessageFilter { kinds: vec![MessageKind::Heartbeat], ..filter.clone() },
            MessageFilter { from: Some(NodeId(2)), ..filter.clone() },
            MessageFilter { term: Some(2), ..filter.clone() },
            MessageFilter { index: Some(7), ..filter.clone() },
        ] {
            assert!(!other.matches(&seen), "{other}");
        }
    }

    #[test]
    fn a_rule_is_said_in_words() {
        let filter = MessageFilter {
            kinds: vec![MessageKind::RequestVote],
            from: Some(NodeId(2)),
            ..MessageFilter::default()
        };
        let rule = MessageRule { skip: 1, count: Some(2), ..MessageRule::new(MessageAction::Hold, filter) };
        let words = MessageOrder::Arm(rule.clone()).to_string();
        assert_eq!(words, "hold 2 of request_vote from n2, but not the first 1");
        let text = serde_json::to_string(&MessageOrder::Arm(rule.clone())).unwrap();
        assert_eq!(serde_json::from_str::<MessageOrder>(&text).unwrap(), MessageOrder::Arm(rule));
    }
}
