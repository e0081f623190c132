//! The follower's side of the log: what it takes from a leader and what it promises for it.
//!
//! Invariant (log matching): a follower's log agrees with the leader's up to what it acknowledges, because
//! entries are taken only behind an entry that both have. An acknowledgement leaves only when the entries are
//! durable.
//! Reference: the receiver of AppendEntries in figure 2 and section 5.3 of the paper.

use super::Raft;
use super::election::Admission;
use super::io::{Micros, NodeId};
use super::log::Entry;
use super::message::{
    AppendEntries, AppendOutcome, AppendReply, Heartbeat, HeartbeatReply, Message, Rejection,
};
use super::rules::{AppendConflict, FollowerCommitCap};
use super::trace::{EventKind, Role};

impl Raft {
    pub(super) fn on_append_entries(&mut self, now: Micros, from: NodeId, append: &AppendEntries) {
        if !is_contiguous(append) {
            return;
        }
        if self.admit_request(now, append.term) == Admission::Stale {
            self.answer_append(from, AppendOutcome::StaleTerm);
            return;
        }
        // Two leaders in one term need weakened rules or lost votes. Neither listens to the other.
        if self.role == Role::Leader {
            return;
        }
        self.heard_leader(now, from);
        if self.disk_is_full() {
            // What is not taken need not be acknowledged; the leader sends it again.
            return;
        }
        let trimmed = self.without_what_the_base_covers(append);
        let append = trimmed.as_ref().unwrap_or(append);
        let last_new = append.prev_index + append.entries.len() as u64;
        if self.only_promises(append) {
            self.trace_durable(EventKind::Ack(from, last_new));
            self.answer_append(from, AppendOutcome::Matched(last_new));
            return;
        }
        if !self.fits(append) {
            let (hint_index, hint_term) = self.log.agreement_bound(append.prev_index, append.prev_term);
            let rejection = Rejection { prev_index: append.prev_index, hint_index, hint_term };
            self.answer_append(from, AppendOutcome::Rejected(rejection));
            return;
        }
        self.take_entries(append);
        // The honest law: "commitIndex = min(leaderCommit, index of last new entry)" (figure 2): what lies
        // behind the last new entry may differ from the leader's log.
        let cap = match self.rules.log.follower_commit_cap {
            FollowerCommitCap::LastNew => last_new,
            FollowerCommitCap::OwnLast => self.log.last_index(),
        };
        self.raise_commit(append.commit.min(cap), None);
        self.trace_durable(EventKind::Ack(from, last_new));
        self.answer_append(from, AppendOutcome::Matched(last_new));
    }

    /// The same message without the entries before this log's base, if there are any: a snapshot of applied entries
    /// covers them, so they are committed, and the leader of a current term has the same (leader completeness).
    fn without_what_the_base_covers(&self, append: &AppendEntries) -> Option<AppendEntries> {
        let base = self.log.base();
        let skip = base.index.checked_sub(append.prev_index).filter(|&skip| skip > 0)?;
        let (covered, new) = append.entries.split_at(append.entries.len().min(skip as usize));
        // What the leader has at the base is compared if the message tells.
        let told = covered.last().filter(|last| last.index == base.index).map_or(base.term, |last| last.term);
        Some(AppendEntries {
            prev_index: base.index,
            prev_term: told,
            entries: new.to_vec(),
            ..append.clone()
        })
    }

    /// Whether the new entries may follow what this node has.
    fn fits(&self, append: &AppendEntries) -> bool {
        let Some(term) = self.log.term(append.prev_index) else { return false };
        // The honest law: "reply false if log doesn't contain an entry at prevLogIndex whose term matches
        // prevLogTerm" (figure 2); it makes logs equal by induction (section 5.3). A hole is refused under
        // every rule.
        term == append.prev_term || !self.rules.log.consistency_check
    }

    /// Appends what is new and removes what contradicts it.
    fn take_entries(&mut self, append: &AppendEntries) {
        let known =
            append.entries.iter().take_while(|entry| self.log.term(entry.index) == Some(entry.term)).count();
        // The honest law: "if an existing entry conflicts with a new one (same index but different terms),
        // delete the existing entry and all that follow it" (figure 2), and only then: an old message,
        // delivered late, would otherwise remove entries that were acknowledged since.
        let keep = match self.rules.log.append_conflict {
            AppendConflict::OnConflict if known == append.entries.len() => return,
            AppendConflict::OnConflict => known,
            AppendConflict::TruncateAlways => 0,
        };
        let new = &append.entries[keep..];
        let from = append.prev_index + keep as u64 + 1;
        self.truncate_log(from);
        if !new.is_empty() {
            let new = &self.as_kept(new);
            self.log.extend(new);
            self.trace_entries(EventKind::Append, new);
            self.configurations_appended(new);
        }
    }

    /// Removes all entries with an index >= `from`.
    pub(super) fn truncate_log(&mut self, from: u64) {
        if from <= self.log.last_index() {
            self.log.truncate_from(from);
            self.durability.truncated(from);
            self.trace(EventKind::Truncate(from));
            self.configurations_truncated(from);
        }
    }

    /// A promise leaves when the disk has kept it; a refusal promises only its term.
    fn answer_append(&mut self, to: NodeId, outcome: AppendOutcome) {
        let promises = matches!(outcome, AppendOutcome::Matched(_));
        let reply = Message::AppendReply(AppendReply { term: self.term, outcome });
        if promises { self.send_durable(to, reply) } else { self.send_in_term(to, reply) }
    }

    pub(super) fn on_heartbeat(&mut self, now: Micros, from: NodeId, heartbeat: &Heartbeat) {
        let admission = self.admit_request(now, heartbeat.term);
        if admission == Admission::Current {
            if self.role == Role::Leader {
                return;
            }
            self.heard_leader(now, from);
            self.check_for_lost_entries(heartbeat);
            self.raise_commit(heartbeat.commit.min(self.log.last_index()), None);
        }
        // An outdated leader learns the newer term from this answer.
        let last_index = self.claimed_last_index();
        let reply = HeartbeatReply { term: self.term, round: heartbeat.round, last_index };
        self.send_in_term(from, Message::HeartbeatReply(reply));
    }
}

/// Whether the indices of the entries count up from `prev_index` and their terms never fall or exceed the
/// sender's.
fn is_contiguous(append: &AppendEntries) -> bool {
    let (mut index, mut term) = (append.prev_index, append.prev_term);
    let mut follows = |entry: &Entry| {
        let fits = index.checked_add(1) == Some(entry.index) && entry.term >= term;
        (index, term) = (entry.index, entry.term);
        fits
    };
    append.entries.iter().all(&mut follows) && term <= append.term
}
