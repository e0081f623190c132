//! What is committed, and handing it out to be applied.
//!
//! Invariant: the commit index never falls, and every entry up to it is handed out exactly once and in order.
//! That the log still holds those entries is true under the honest rules and not assumed under others.
//! References: sections 5.3 and 5.4.2 of the paper, figure 8; section 10.2.1 of the thesis for a leader's own copy.

use super::Raft;
use super::io::NodeId;
use super::replication::OpenKind;
use super::rules::{AckAt, ApplyAt, LeaderCountsSelf};
use super::trace::{Commit, EventKind};
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

    /// Hands out what is to be applied, with the requests that it answers.
    pub(super) fn hand_out_committed(&mut self) {
        // The honest law: "if commitIndex > lastApplied: apply log[lastApplied]" (figure 2 of the paper, rules for all servers):
        // what is not committed may still be replaced, and a state machine cannot take back what it has done.
        let last = match self.rules.commit.apply_at {
            ApplyAt::Commit => self.commit,
            ApplyAt::Append => self.log.last_index(),
        };
        let keeping = self.keeping();
        let entries = self.log.range(self.applied + 1, last);
        if let Some(last) = entries.last() {
            self.applied = last.index;
            if let Some(leading) = &mut self.leading {
                leading.committed(entries, self.term);
            }
        }
        self.out.commit = self.commit;
        if keeping != Keeping::Everything {
            return;
        }
        self.hand_out_applied();
        self.acknowledge_early();
        self.answer_open();
    }

    /// Hands the state machine what it lacks: the entries that were just applied, and on a node that was a witness until now all
    /// those that it did without. A witness never compacts its log, so they are there.
    fn hand_out_applied(&mut self) {
        let entries = self.log.range(self.handed_out + 1, self.applied).to_vec();
        let Some(last) = entries.last() else { return };
        if let Some(gap) = entries.iter().find(|entry| entry.is_digest()) {
            self.out.halt = Some(format!(
                "this node was a witness and has kept no more than a hash of entry {}: it cannot bring its state up to date. \
                 Remove it from the cluster and add a new member under another id",
                gap.index
            ));
            return;
        }
        self.handed_out = last.index;
        self.snapshots.applied(&entries);
        self.trace_entries(EventKind::Apply, &entries);
        if self.out.apply.is_empty() {
            self.out.apply = entries;
        } else {
            self.out.apply.extend(entries);
        }
    }

    /// Answers writes that are not committed, as far as the rules want it.
    fn acknowledge_early(&mut self) {
        let Some(leading) = &mut self.leading else { return };
        // The honest law: "when the entry has been safely replicated, the leader applies the entry to its state machine and
        // returns the result of that execution to the client" (section 5.3 of the paper). Before that, another leader may be
        // elected without it.
        let safe = match self.rules.commit.ack_at {
            AckAt::Commit => return,
            AckAt::LocalAppend => self.durability.durable_index(),
            AckAt::FirstAck => leading.progress.values().map(|peer| peer.match_index).max().unwrap_or(0),
        };
        let from = leading.open.partition_point(|open| open.index <= leading.acknowledged.max(self.applied));
        let early = leading.open.range(from..).take_while(|open| open.index <= safe);
        let writes = early.filter(|open| open.kind == OpenKind::Proposal);
        self.out.acknowledged.extend(writes.map(|open| (open.request, open.index)));
        leading.acknowledged = leading.acknowledged.max(safe);
    }

    /// A leader's log holds the entries that it appended itself, so an open request at an index that is
    /// committed and applied is done.
    fn answer_open(&mut self) {
        let Some(leading) = &mut self.leading else { return };
        let done = self.applied.min(self.commit);
        let mut reads = Vec::new();
        while let Some(open) = leading.open.front().copied()
            && open.index <= done
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
