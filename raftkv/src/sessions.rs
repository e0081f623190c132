//! Exactly-once writes: the result of the last command of each client session, as part of the replicated state.
//!
//! Invariant: everything here is decided from the log alone (index, session, sequence number), so that all replicas that
//! applied the same prefix hold the same sessions and answer a duplicate with the same *stored result*. Sessions are
//! bounded by count: the one that was used longest ago, in log order, expires first. Once any session has expired, a
//! session that is not known may only begin with its first number; a later number is refused, because it may be a
//! duplicate of a command whose result is forgotten.
//! What it lacks on purpose: registration of sessions (their ids are the clients' choice) and wall-clock time.
//! Reference: section 6.3 of the Raft thesis.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::store::Reply;

/// How many sessions are kept.
pub const SESSIONS_MAX: usize = 65_536;
/// The highest number with which a session may begin after others have expired.
const FIRST_SEQUENCE_MAX: u64 = 1;

/// The place of a command in its client's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionCall {
    /// The session, a number that its client drew.
    pub client: u64,
    /// The number of the command in it, from 1; a client has at most one command open.
    pub sequence: u64,
}

/// What the sessions say of a command.
#[derive(Debug, PartialEq)]
pub(crate) enum Admission {
    /// It was not applied before.
    Fresh,
    /// It is not to be applied: this is the answer.
    Answered(Reply),
}

#[derive(Clone, Debug)]
struct Session {
    sequence: u64,
    reply: Reply,
    /// The log index of its last use.
    used: u64,
}

/// The sessions of all clients.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    max: usize,
    by_client: FxHashMap<u64, Session>,
    by_use: BTreeMap<u64, u64>,
    expired: u64,
}

impl Sessions {
    /// Keeps at most `max` sessions.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, by_client: FxHashMap::default(), by_use: BTreeMap::new(), expired: 0 }
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.by_client.len()
    }

    /// Decides, for the entry at `index`, whether its command is applied.
    pub(crate) fn admit(&mut self, index: u64, call: SessionCall) -> Admission {
        let Some(session) = self.by_client.get_mut(&call.client) else {
            let forgotten = self.expired > 0 && call.sequence > FIRST_SEQUENCE_MAX;
            return if forgotten { Admission::Answered(Reply::SessionExpired) } else { Admission::Fresh };
        };
        self.by_use.remove(&session.used);
        session.used = index;
        self.by_use.insert(index, call.client);
        match call.sequence.cmp(&session.sequence) {
            std::cmp::Ordering::Greater => Admission::Fresh,
            std::cmp::Ordering::Equal => Admission::Answered(session.reply.clone()),
            std::cmp::Ordering::Less => Admission::Answered(Reply::StaleSequence { last: session.sequence }),
        }
    }

    /// Keeps the result of the command that was applied at `index`.
    pub(crate) fn record(&mut self, index: u64, call: SessionCall, reply: &Reply) {
        let session = Session { sequence: call.sequence, reply: reply.clone(), used: index };
        if let Some(before) = self.by_client.insert(call.client, session) {
            self.by_use.remove(&before.used);
        }
        self.by_use.insert(index, call.client);
        if self.by_client.len() > self.max
            && let Some((_, client)) = self.by_use.pop_first()
        {
            self.by_client.remove(&client);
            self.expired += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(client: u64, sequence: u64) -> SessionCall {
        SessionCall { client, sequence }
    }

    #[test]
    fn a_duplicate_gets_the_stored_result() {
        let mut sessions = Sessions::new(4);
        assert_eq!(sessions.admit(1, call(7, 1)), Admission::Fresh);
        sessions.record(1, call(7, 1), &Reply::Swapped);
        assert_eq!(sessions.admit(2, call(7, 1)), Admission::Answered(Reply::Swapped));
        assert_eq!(sessions.admit(3, call(7, 2)), Admission::Fresh);
        sessions.record(3, call(7, 2), &Reply::Done);
        assert_eq!(sessions.admit(4, call(7, 1)), Admission::Answered(Reply::StaleSequence { last: 2 }));
    }

    #[test]
    fn the_session_used_longest_ago_expires_and_is_not_resumed() {
        let mut sessions = Sessions::new(2);
        for (index, client) in [(1, 10), (2, 20)] {
            assert_eq!(
                sessions.admit(index, call(client, 5)),
                Admission::Fresh,
                "any number before an expiry"
            );
            sessions.record(index, call(client, 5), &Reply::Done);
        }
        assert_eq!(
            sessions.admit(3, call(10, 5)),
            Admission::Answered(Reply::Done),
            "a use, although a duplicate"
        );
        sessions.record(4, call(30, 1), &Reply::Done);
        assert_eq!(sessions.len(), 2);
        assert_eq!(sessions.admit(5, call(20, 6)), Admission::Answered(Reply::SessionExpired));
        assert_eq!(sessions.admit(6, call(10, 5)), Admission::Answered(Reply::Done));
        assert_eq!(sessions.admit(7, call(40, 1)), Admission::Fresh);
        assert_eq!(sessions.by_use.len(), sessions.by_client.len());
    }
}
