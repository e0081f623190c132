//! Exactly-once writes: the result of the last command of each client session, as part of the replicated state.
//!
//! Invariant: under the honest rules everything here is decided from the log alone (index, session, sequence number, the
//! log's time), so that all replicas that applied the same prefix hold the same sessions and answer a duplicate with the
//! same *stored result*. Sessions end when they were not used for a while, and are bounded by count: the one that was used
//! longest ago, in log order, goes first. Once any session has ended, a session that is not known may only begin with its
//! first number; a later number is refused, because it may be a duplicate of a command whose result is forgotten.
//! What it lacks on purpose: registration of sessions (their ids are the clients' choice), so the first command of a session
//! that has ended is taken for a new one; and a clock of its own.
//! Reference: section 6.3 of the Raft thesis.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::snapshot::Shards;
use crate::store::{Digest, Reply};

/// How many sessions are kept.
pub const SESSIONS_MAX: usize = 65_536;
/// The highest number with which a session may begin after others have ended.
const FIRST_SEQUENCE_MAX: u64 = 1;

/// The place of a command in its client's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionCall {
    /// The session, a number that its client drew.
    pub client: u64,
    /// The number of the command in it, from 1; a client has at most one command open.
    pub sequence: u64,
}

/// When and where a session is used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The index of the entry.
    pub(crate) index: u64,
    /// The time, in milliseconds.
    pub(crate) time_ms: u64,
}

/// What the sessions say of a command.
#[derive(Debug, PartialEq)]
pub(crate) enum Admission {
    /// It was not applied before.
    Fresh,
    /// It is not to be applied: this is the answer.
    Answered(Reply),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Session {
    sequence: u64,
    reply: Reply,
    /// The log index of its last use.
    used: u64,
    /// The time of its last use.
    used_ms: u64,
}

impl Session {
    fn hash(&self, client: u64) -> u64 {
        let digest = Digest::new(2).word(client).word(self.sequence);
        match self.reply {
            Reply::Done => digest.end(),
            ref reply => {
                let bytes = postcard::to_stdvec(reply).expect("a reply always encodes into memory");
                digest.bytes(&bytes).end()
            }
        }
    }
}

/// The sessions as a snapshot holds them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SessionImage {
    sessions: Vec<(u64, Session)>,
    ended: u64,
}

/// The sessions of all clients.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    max: usize,
    timeout_ms: u64,
    by_client: Shards<u64, Session>,
    by_use: BTreeMap<u64, u64>,
    ended: u64,
    hash: u64,
}

/// The sessions as they were at one moment. They share what has not changed since, so that making this costs as little
/// with many sessions as with few.
#[derive(Clone, Debug)]
pub(crate) struct FrozenSessions {
    by_client: Shards<u64, Session>,
    ended: u64,
    hash: u64,
}

impl FrozenSessions {
    /// No sessions, and none that ever ended.
    pub(crate) fn none() -> Self {
        Self { by_client: Shards::default(), ended: 0, hash: 0 }
    }

    /// A hash of what they would answer.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// All of them, in the order of their last use.
    pub(crate) fn into_image(self) -> SessionImage {
        let mut sessions: Vec<(u64, Session)> =
            self.by_client.iter().map(|(client, session)| (*client, session.clone())).collect();
        sessions.sort_unstable_by_key(|(_, session)| session.used);
        SessionImage { sessions, ended: self.ended }
    }
}

impl Sessions {
    /// Keeps at most `max` sessions, each for `timeout_ms` after its last use.
    pub(crate) fn new(max: usize, timeout_ms: u64) -> Self {
        let (by_client, by_use) = (Shards::default(), BTreeMap::new());
        Self { max, timeout_ms, by_client, by_use, ended: 0, hash: 0 }
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.by_client.len()
    }

    /// A hash of what they would answer.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Ends the sessions that were not used for the timeout.
    pub(crate) fn expire(&mut self, now_ms: u64) {
        while let Some((_, &client)) = self.by_use.first_key_value()
            && self.by_client.get(&client).is_none_or(|s| s.used_ms.saturating_add(self.timeout_ms) <= now_ms)
        {
            self.end_oldest();
        }
    }

    fn end_oldest(&mut self) {
        let Some((_, client)) = self.by_use.pop_first() else { return };
        if let Some((_, session)) = self.by_client.remove_entry(&client) {
            self.hash = self.hash.wrapping_sub(session.hash(client));
            self.ended += 1;
        }
    }

    /// Decides whether a command is applied.
    pub(crate) fn admit(&mut self, at: Moment, call: SessionCall) -> Admission {
        let Some(session) = self.by_client.get_mut(&call.client) else {
            let forgotten = self.ended > 0 && call.sequence > FIRST_SEQUENCE_MAX;
            return if forgotten { Admission::Answered(Reply::SessionExpired) } else { Admission::Fresh };
        };
        self.by_use.remove(&session.used);
        (session.used, session.used_ms) = (at.index, at.time_ms);
        self.by_use.insert(at.index, call.client);
        match call.sequence.cmp(&session.sequence) {
            std::cmp::Ordering::Greater => Admission::Fresh,
            std::cmp::Ordering::Equal => Admission::Answered(session.reply.clone()),
            std::cmp::Ordering::Less => Admission::Answered(Reply::StaleSequence { last: session.sequence }),
        }
    }

    /// Keeps the result of a command that was applied.
    pub(crate) fn record(&mut self, at: Moment, call: SessionCall, reply: &Reply) {
        let session =
            Session { sequence: call.sequence, reply: reply.clone(), used: at.index, used_ms: at.time_ms };
        self.insert(call.client, session);
        if self.by_client.len() > self.max {
            self.end_oldest();
        }
    }

    fn insert(&mut self, client: u64, session: Session) {
        self.by_use.insert(session.used, client);
        self.hash = self.hash.wrapping_add(session.hash(client));
        let used = session.used;
        if let Some(before) = self.by_client.insert(client, session) {
            self.hash = self.hash.wrapping_sub(before.hash(client));
            if before.used != used {
                self.by_use.remove(&before.used);
            }
        }
    }

    /// As they are now.
    pub(crate) fn frozen(&self) -> FrozenSessions {
        FrozenSessions { by_client: self.by_client.clone(), ended: self.ended, hash: self.hash }
    }

    /// Exactly the sessions of an image.
    pub(crate) fn restore(&mut self, image: SessionImage) {
        *self = Self { ended: image.ended, ..Self::new(self.max, self.timeout_ms) };
        for (client, session) in image.sessions {
            self.insert(client, session);
        }
    }
}

/// The results of a leader's own clients in its memory alone, under `dedup_sessions: leader_memory`: a repetition that
/// reaches another leader, or the same one in a later term, is not recognised.
#[derive(Debug, Default)]
pub struct LeaderMemory {
    term: u64,
    last: FxHashMap<u64, (u64, Reply)>,
}

impl LeaderMemory {
    /// Keeps the result of a command that this node, as leader of `term`, has answered.
    pub fn record(&mut self, term: u64, call: SessionCall, reply: &Reply) {
        if self.term != term {
            *self = Self { term, ..Self::default() };
        }
        self.last.insert(call.client, (call.sequence, reply.clone()));
    }

    /// Whether there is anything to look for.
    pub fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    /// The result of a command that was answered in this term.
    pub fn answer(&self, term: u64, call: SessionCall) -> Option<Reply> {
        let (sequence, reply) = self.last.get(&call.client).filter(|_| self.term == term)?;
        match call.sequence.cmp(sequence) {
            std::cmp::Ordering::Greater => None,
            std::cmp::Ordering::Equal => Some(reply.clone()),
            std::cmp::Ordering::Less => Some(Reply::StaleSequence { last: *sequence }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(max: usize) -> Sessions {
        Sessions::new(max, 1_000)
    }

    fn at(index: u64) -> Moment {
        Moment { index, time_ms: 10 * index }
    }

    fn call(client: u64, sequence: u64) -> SessionCall {
        SessionCall { client, sequence }
    }

    #[test]
    fn a_duplicate_gets_the_stored_result() {
        let mut sessions = sessions(4);
        assert_eq!(sessions.admit(at(1), call(7, 1)), Admission::Fresh);
        sessions.record(at(1), call(7, 1), &Reply::Swapped);
        assert_eq!(sessions.admit(at(2), call(7, 1)), Admission::Answered(Reply::Swapped));
        assert_eq!(sessions.admit(at(3), call(7, 2)), Admission::Fresh);
        sessions.record(at(3), call(7, 2), &Reply::Done);
        assert_eq!(sessions.admit(at(4), call(7, 1)), Admission::Answered(Reply::StaleSequence { last: 2 }));
    }

    #[test]
    fn the_session_used_longest_ago_expires_and_is_not_resumed() {
        let mut sessions = sessions(2);
        for (index, client) in [(1, 10), (2, 20)] {
            assert_eq!(
                sessions.admit(at(index), call(client, 5)),
                Admission::Fresh,
                "any number before an expiry"
            );
            sessions.record(at(index), call(client, 5), &Reply::Done);
        }
        assert_eq!(
            sessions.admit(at(3), call(10, 5)),
            Admission::Answered(Reply::Done),
            "a use, although a duplicate"
        );
        sessions.record(at(4), call(30, 1), &Reply::Done);
        assert_eq!(sessions.len(), 2);
        assert_eq!(sessions.admit(at(5), call(20, 6)), Admission::Answered(Reply::SessionExpired));
        assert_eq!(sessions.admit(at(6), call(10, 5)), Admission::Answered(Reply::Done));
        assert_eq!(sessions.admit(at(7), call(40, 1)), Admission::Fresh);
        assert_eq!(sessions.by_use.len(), sessions.by_client.len());
    }

    #[test]
    fn a_session_ends_when_it_was_not_used_for_the_timeout() {
        let mut sessions = sessions(4);
        sessions.record(Moment { index: 1, time_ms: 0 }, call(1, 1), &Reply::Done);
        sessions.record(Moment { index: 2, time_ms: 500 }, call(2, 1), &Reply::Done);
        sessions.expire(999);
        assert_eq!(sessions.len(), 2);
        sessions.expire(1_000);
        assert_eq!(sessions.len(), 1, "1 was last used at 0");
        let late = Moment { index: 3, time_ms: 1_000 };
        assert_eq!(sessions.admit(late, call(1, 2)), Admission::Answered(Reply::SessionExpired));
        assert_eq!(sessions.admit(late, call(2, 1)), Admission::Answered(Reply::Done), "a use at 1000");
        sessions.expire(1_999);
        assert_eq!(sessions.len(), 1);
    }

    #[test]
    fn an_image_restores_everything_that_decides() {
        let mut sessions = sessions(2);
        for index in 1..4 {
            sessions.record(at(index), call(index, 7), &Reply::Number(index as i64));
        }
        let mut restored = Sessions::new(2, 1_000);
        restored.restore(sessions.frozen().into_image());
        assert_eq!(restored.frozen().into_image(), sessions.frozen().into_image());
        assert_eq!(restored.hash(), sessions.hash());
        for (client, sequence) in [(1, 7), (2, 7), (3, 8), (4, 1)] {
            let call = call(client, sequence);
            assert_eq!(restored.admit(at(9 + client), call), sessions.admit(at(9 + client), call));
        }
    }

    #[test]
    fn what_was_frozen_never_changes() {
        let mut sessions = sessions(64);
        (1..=50).for_each(|index| sessions.record(at(index), call(index, 1), &Reply::Done));
        let (frozen, hash) = (sessions.frozen(), sessions.hash());
        sessions.admit(at(60), call(7, 2));
        sessions.record(at(60), call(7, 2), &Reply::Swapped);
        sessions.expire(1_000 + 10 * 20);
        assert_eq!((frozen.hash(), sessions.len()), (hash, 31));
        let image = frozen.into_image();
        assert!(
            image
                .sessions
                .iter()
                .map(|(client, session)| (*client, session.sequence))
                .eq((1..=50).map(|c| (c, 1)))
        );
    }

    #[test]
    fn the_memory_of_a_leader_ends_with_its_term() {
        let mut memory = LeaderMemory::default();
        memory.record(3, call(7, 2), &Reply::Swapped);
        assert_eq!(memory.answer(3, call(7, 2)), Some(Reply::Swapped));
        assert_eq!(memory.answer(3, call(7, 1)), Some(Reply::StaleSequence { last: 2 }));
        assert_eq!(memory.answer(3, call(7, 3)), None);
        assert_eq!(memory.answer(4, call(7, 2)), None);
        memory.record(4, call(8, 1), &Reply::Done);
        assert_eq!(memory.answer(3, call(7, 2)), None);
    }
}
