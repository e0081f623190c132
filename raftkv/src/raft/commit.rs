//! What is committed, and handing it out to be applied.
//!
//! Invariant: the commit index never falls, and every entry up to it is handed out exactly once and in order.
//! That the log still holds those entries is true under the honest rules and not assumed under others.
//! Reference: sections 5.3 and 5.4.2 of the paper, figure 8.

use super::Raft;
use super::io::NodeId;
use super::replication::OpenKind;
use super::rules::LeaderCountsSelf;
use super::trace::{Commit, EntryMark, EventKind};
use super::witness::Keeping;

impl Raft {
    /// On a leader: raises the commit index to what a majority has.
    pub(super) fn commit_what_a_quorum_has(&mut self) {
        let Some(leading) = &self.leading else { return };
        // The honest law: a leader may write its own log in parallel with its followers, if it counts itself
        // only when its own write is durable (thesis, section 10.2.1).
        let own = match self.rules.commit.leader_counts_self {
            LeaderCountsSelf::AfterFsync => self.durability.durable_index(),
            LeaderCountsSelf::Immediately => self.log.last_index(),
        };
        let match_index = self.of_members(leading, own, 0, |progress| progress.match_index);
        let Some(index) = self.replicated(match_index) else { return };
        if index <= self.commit || !self.may_commit_by_counting(index) {
            return;
        }
        let has_it = |&node: &NodeId| match_index(node) >= index;
        let acks = self.configuration().all_voters().into_iter().filter(has_it).collect();
        self.raise_commit(index, Some(acks));
    }

    /// Whether a majority of copies makes the entry at `index` committed.
    fn may_commit_by_counting(&self, index: u64) -> bool {
        let of_current_term = self.log.term(index) == Some(self.term);
        // The honest law: "only log entries from the leader's current term are committed by counting
        // replicas" (section 5.4.2); an older entry on a majority can still be overwritten, figure 8.
        of_current_term || !self.rules.commit.commit_only_current_term
    }

    /// Raises the commit index to `index`, if that is higher and the log reaches so far.
    pub(super) fn raise_commit(&mut self, index: u64, acks: Option<Vec<NodeId>>) {
        let Some(entry_term) = self.log.term(index) else { return };
        if index > self.commit {
            let before = std::mem::replace(&mut self.commit, index);
            self.trace(EventKind::Commit(Commit { index, entry_term, acks }));
            self.configurations_committed(before);
        }
    }

    /// Hands out what became committed, with the requests that it answers.
    pub(super) fn hand_out_committed(&mut self) {
        let entries = self.log.range(self.applied + 1, self.commit).to_vec();
        let Some(last) = entries.last() else { return };
        self.applied = last.index;
        if let Some(leading) = &mut self.leading {
            leading.committed(&entries);
        }
        if self.keeping() != Keeping::Everything {
            return;
        }
        self.trace(EventKind::Apply(entries.iter().map(EntryMark::from).collect()));
        self.out.apply.extend(entries);
        self.answer_open();
    }

    /// A leader's log holds the entries that it appended itself, so an open request at an applied index is
    /// done.
    fn answer_open(&mut self) {
        let Some(leading) = &mut self.leading else { return };
        let mut reads = Vec::new();
        while let Some(open) = leading.open.front().copied()
            && open.index <= self.applied
        {
            leading.open.pop_front();
            match open.kind {
                OpenKind::Proposal => self.out.applied.push((open.request, open.index)),
                OpenKind::Read => reads.push((open.request, open.index)),
            }
        }
        for (request, index) in reads {
            self.answer_read(request, "log", index);
        }
    }
}
