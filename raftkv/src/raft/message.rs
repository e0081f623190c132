//! What nodes say to each other.
//!
//! Every message carries the sender's term, except that a pre-vote and its grant carry the term that would be
//! asked for. Messages may be lost, repeated, reordered and delayed without bound; no handler relies on
//! anything else. They are encoded by the transport (serde); a message with impossible contents is ignored by
//! the core, never trusted.
//! Reference: figure 2 of the paper, section 9.6 of the thesis for PreVote, section 6.4 for the round tags.

use serde::{Deserialize, Serialize};

use super::log::{Entry, Position};
use super::snapshot::SnapshotId;

/// A message from one node to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// "Would you vote for me?" Changes nothing at the receiver.
    RequestPreVote(VoteRequest),
    /// "Vote for me."
    RequestVote(VoteRequest),
    /// The answer to either.
    VoteReply(VoteReply),
    /// A leader's entries.
    AppendEntries(AppendEntries),
    /// The answer to them.
    AppendReply(AppendReply),
    /// A leader's sign of life, which also confirms reads.
    Heartbeat(Heartbeat),
    /// The answer to it.
    HeartbeatReply(HeartbeatReply),
    /// A leader's request to be replaced by the receiver, at once.
    TimeoutNow(TimeoutNow),
    /// A leader's question for the hash of the receiver's state.
    StateHash(StateHash),
    /// The answer to it.
    StateHashReply(StateHashReply),
    /// A part of a leader's snapshot.
    InstallSnapshot(InstallSnapshot),
    /// The answer to it.
    InstallReply(InstallReply),
    /// "What must I have applied to answer a read that has arrived here?"
    ReadIndex(ReadIndex),
    /// The answer to it, once the leader is confirmed.
    ReadIndexReply(ReadIndexReply),
}

impl Message {
    /// The term in it.
    pub fn term(&self) -> u64 {
        match self {
            Message::RequestPreVote(m) | Message::RequestVote(m) => m.term,
            Message::VoteReply(m) => m.term,
            Message::AppendEntries(m) => m.term,
            Message::AppendReply(m) => m.term,
            Message::Heartbeat(m) => m.term,
            Message::HeartbeatReply(m) => m.term,
            Message::TimeoutNow(m) => m.term,
            Message::StateHash(m) => m.term,
            Message::StateHashReply(m) => m.term,
            Message::InstallSnapshot(m) => m.term,
            Message::InstallReply(m) => m.term,
            Message::ReadIndex(m) => m.term,
            Message::ReadIndexReply(m) => m.term,
        }
    }
}

/// The arguments of RequestVote and of its rehearsal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteRequest {
    /// The term in which the candidate wants to lead.
    pub term: u64,
    /// The index of its last entry.
    pub last_index: u64,
    /// The term of its last entry.
    pub last_term: u64,
    /// Why it asks.
    pub occasion: Occasion,
}

/// Why a candidate asks for votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Occasion {
    /// It has not heard of a leader for long enough.
    Timeout,
    /// Its leader told it to: voters need not protect that leader (thesis, section 4.2.3).
    Transfer,
}

/// Which question a vote answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ballot {
    /// The rehearsal, which binds nobody.
    PreVote,
    /// The election.
    Vote,
}

/// The answer to a vote request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteReply {
    /// The voter's term; for a granted pre-vote the term that was asked for.
    pub term: u64,
    /// Which question it answers.
    pub ballot: Ballot,
    /// Whether the vote was given.
    pub granted: bool,
    /// With a refusal: how much the voter knows to be committed, where a candidate may need to hear that; else index 0.
    pub committed: Position,
}

/// A leader's entries, with what precedes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendEntries {
    /// The leader's term.
    pub term: u64,
    /// The index of the entry before `entries`.
    pub prev_index: u64,
    /// The term of the entry before `entries`.
    pub prev_term: u64,
    /// The entries; empty for a probe.
    pub entries: Vec<Entry>,
    /// The leader's commit index.
    pub commit: u64,
}

/// The answer to [`AppendEntries`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendReply {
    /// The follower's term.
    pub term: u64,
    /// What became of the entries.
    pub outcome: AppendOutcome,
}

/// What became of a leader's entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppendOutcome {
    /// The follower's log agrees with the leader's up to this index, durably.
    Matched(u64),
    /// The entry before the new ones is missing or different.
    Rejected(Rejection),
    /// The sender's term is over; the reply's term says so.
    StaleTerm,
}

/// Why entries did not fit, and where the logs can agree at the latest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The `prev_index` that was rejected.
    pub prev_index: u64,
    /// The follower's largest index whose term does not exceed the rejected `prev_term`.
    pub hint_index: u64,
    /// The term there.
    pub hint_term: u64,
}

/// A leader's sign of life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The leader's term.
    pub term: u64,
    /// How far the receiver may take entries as committed.
    pub commit: u64,
    /// The number of this round of heartbeats in this term. Reads wait for a quorum of answers to a round
    /// that began after they arrived.
    pub round: u64,
}

/// The answer to [`Heartbeat`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatReply {
    /// The follower's term.
    pub term: u64,
    /// The round that it answers.
    pub round: u64,
    /// The follower's last index, so that the leader learns of a log that has become shorter than
    /// acknowledged.
    pub last_index: u64,
}

/// A leader's request to be replaced (thesis, section 3.10): the receiver stands for election without waiting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeoutNow {
    /// The leader's term.
    pub term: u64,
}

/// A leader's question for the hash of a member's state behind one entry, with its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateHash {
    /// The leader's term.
    pub term: u64,
    /// The entry.
    pub index: u64,
    /// The hash of the leader's state behind it.
    pub hash: u64,
    /// Whether a majority of the voters is known to have the same.
    pub is_agreed: bool,
}

/// The answer to [`StateHash`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateHashReply {
    /// The member's term.
    pub term: u64,
    /// The entry.
    pub index: u64,
    /// The hash of the member's state behind it.
    pub hash: u64,
}

/// A part of a leader's snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallSnapshot {
    /// The leader's term.
    pub term: u64,
    /// Of which snapshot it is a part.
    pub id: SnapshotId,
    /// The size of that in bytes.
    pub total: u64,
    /// Where the part begins.
    pub offset: u64,
    /// Its bytes; none to ask how far the follower is.
    #[serde(with = "bytes")]
    pub data: Vec<u8>,
}

/// The answer to [`InstallSnapshot`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallReply {
    /// The follower's term.
    pub term: u64,
    /// What became of the part.
    pub outcome: InstallOutcome,
}

/// What became of a part of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstallOutcome {
    /// Of this snapshot the follower wants the bytes from this offset on.
    Wanted(SnapshotId, u64),
    /// The follower has everything up to this index, durably: as a snapshot, or it had it before.
    Covered(u64),
    /// The sender's term is over; the reply's term says so.
    StaleTerm,
}

/// A follower's question on behalf of its clients (thesis, section 6.4: "followers could also help offload the processing
/// of read-only queries").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadIndex {
    /// The follower's term.
    pub term: u64,
    /// Names the question, also across restarts of the follower.
    pub tag: u64,
}

/// The answer to [`ReadIndex`]. It is as good after any delay: the question had arrived when the leader was confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadIndexReply {
    /// The leader's term.
    pub term: u64,
    /// The question.
    pub tag: u64,
    /// Everything that was acknowledged before the question is at or below this index.
    pub index: u64,
}

/// Bytes as one piece, not one by one.
mod bytes {
    use std::fmt;

    use serde::de::{Error, SeqAccess, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(bytes)
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}
