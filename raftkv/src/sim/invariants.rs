//! What must hold in every cluster at every moment.
//!
//! Invariant of this file: it sees only what nodes traced, stored and answered, and decides nothing for them.
//! Log matching is checked by its induction: every pair of index and term has one content and one predecessor
//! everywhere.
//! Reference: figure 3 of the paper.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::raft::Raft;
use crate::raft::io::{Micros, NodeId};
use crate::raft::log::Entry;
use crate::raft::trace::{EntryMark, Event, EventKind, Role, SnapshotState};

/// A property of Raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Invariant {
    /// At most one leader in a term.
    ElectionSafety,
    /// At most one vote of a node in a term.
    VoteOnce,
    /// A leader's log only grows.
    LeaderAppendOnly,
    /// Equal index and term: equal entry and equal predecessor.
    LogMatching,
    /// A leader has everything that was committed in earlier terms.
    LeaderCompleteness,
    /// No node removes an entry that was committed in its term or before.
    CommittedStays,
    /// No two nodes apply different entries at an index.
    StateMachineSafety,
    /// Commit indices never fall, entries are applied in order.
    CommitMonotonic,
    /// A read reflects every write that was acknowledged, and every read that was answered, before it began.
    LinearizableReads,
    /// An answer goes to the request that caused it.
    RightAnswer,
    /// The states of all nodes behind the same entry are equal.
    StateHash,
    /// A client's command takes effect once, however often it was sent.
    ExactlyOnce,
    /// What a client was told is done stays in the log.
    AcknowledgedStays,
    /// While a leader holds a lease nobody else is elected.
    LeaseExclusive,
    /// A leader has the votes of a quorum, and each was given to it in its term.
    ElectionQuorum,
    /// What a leader commits by counting is on the disks of a quorum.
    CommitQuorum,
    /// What a leader commits by counting cannot be lost: with the logs as they are, nobody who lacks it could be elected.
    CommitPermanent,
    /// The configuration that a node goes by stands in its log, or in what its snapshot covers.
    ConfigurationInLog,
    /// What a follower acknowledges is on its disk.
    DurableAck,
    /// Any two quorums of adjacent configurations meet.
    QuorumOverlap,
    /// A node that has only lost power starts again.
    Recovery,
    /// A healed cluster works and converges.
    Progress,
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// When.
    pub at: Micros,
    /// Which.
    pub invariant: Invariant,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {} ms: {}", self.invariant, self.at.0 / 1000, self.detail)
    }
}

#[derive(Clone, Copy, Debug)]
struct Committed {
    term: u64,
    hash: u64,
    /// The term of the first leader that knew it as committed.
    by_term: u64,
}

/// What all nodes together have shown so far.
#[derive(Debug, Default)]
pub(super) struct Witness {
    leaders: BTreeMap<u64, NodeId>,
    votes: HashMap<(NodeId, u64), NodeId>,
    contents: HashMap<(u64, u64), (u64, u64)>,
    committed: BTreeMap<u64, Committed>,
    applied: HashMap<u64, EntryMark>,
    states: HashMap<u64, u64>,
    acknowledged: HashMap<u64, EntryMark>,
    /// The log of each running node from its beginning: as its trace tells it, and what its snapshot stands for.
    logs: HashMap<NodeId, BTreeMap<u64, EntryMark>>,
    /// The highest index that a client knows of.
    pub(super) known_to_clients: u64,
}

type Judged = Result<(), (Invariant, String)>;

impl Witness {
    /// A node starts with this state of a snapshot, and its log goes on behind that. A vote that it finds on its disk it has
    /// given, whether it had the time to say so or not.
    pub(super) fn saw_start(&mut self, node: NodeId, state: &[EntryMark], raft: &Raft) -> Judged {
        if let Some(candidate) = raft.status().voted_for {
            self.saw_vote(node, raft.term(), candidate)?;
        }
        let behind = raft.log().range(raft.status().snapshot_index + 1, u64::MAX);
        let behind = behind.iter().map(|entry| (entry.index, EntryMark::from(entry))).collect();
        self.logs.insert(node, behind);
        self.saw_snapshot(node, state)
    }

    /// A state takes the place of the log up to it, and counts as the application of everything in it.
    fn saw_snapshot(&mut self, node: NodeId, state: &[EntryMark]) -> Judged {
        let log = self.logs.entry(node).or_default();
        let last = state.last().map_or(0, |mark| mark.0);
        *log = log.split_off(&(last + 1));
        log.extend(state.iter().map(|mark| (mark.0, *mark)));
        for (&mark, expected) in state.iter().zip(1..) {
            if mark.0 != expected {
                let detail =
                    format!("{node} has a state with entry {} where entry {expected} belongs", mark.0);
                return Err((Invariant::StateMachineSafety, detail));
            }
            self.saw_applied(node, mark)?;
        }
        Ok(())
    }

    /// Judges what one step of `node` showed. `raft` is its state afterwards; `restored` is the state of the snapshot that
    /// it installed, if it did.
    pub(super) fn saw_step(
        &mut self,
        node: NodeId,
        raft: &Raft,
        events: &[Event],
        apply: &[Entry],
        restored: &[EntryMark],
    ) -> Judged {
        for event in events {
            match &event.kind {
                EventKind::Role(Role::Leader, _) => self.saw_leader(node, event.term)?,
                EventKind::Truncate(from) if raft.role() == Role::Leader && raft.term() == event.term => {
                    return Err((
                        Invariant::LeaderAppendOnly,
                        format!("{node} leads and removes its log from {from}"),
                    ));
                }
                EventKind::Snapshot(SnapshotState::Installed, _) => self.saw_snapshot(node, restored)?,
                EventKind::Truncate(from) => self.saw_truncate(node, event.term, *from)?,
                EventKind::Append(marks) => self.saw_append(node, marks)?,
                EventKind::Commit(commit) => self.saw_commit(node, raft, commit.index, event.term)?,
                _ => {}
            }
        }
        for entry in apply {
            self.saw_applied(node, EntryMark::from(entry))?;
        }
        Ok(())
    }

    fn saw_leader(&mut self, node: NodeId, term: u64) -> Judged {
        let other = *self.leaders.entry(term).or_insert(node);
        if other != node {
            return Err((Invariant::ElectionSafety, format!("{other} and {node} both lead in term {term}")));
        }
        for (&index, committed) in self.committed.iter().filter(|(_, committed)| committed.by_term < term) {
            let own = self.logs.get(&node).and_then(|log| log.get(&index)).map(|mark| (mark.1, mark.2));
            if own != Some((committed.term, committed.hash)) {
                let own = own.map_or("nothing".to_owned(), |(term, _)| format!("an entry of term {term}"));
                return Err((
                    Invariant::LeaderCompleteness,
                    format!(
                        "{node} leads in term {term} and has {own} at {index}, where an entry of term {} was committed \
                         in term {}",
                        committed.term, committed.by_term
                    ),
                ));
            }
        }
        Ok(())
    }

    /// A vote as its voter made it known.
    pub(super) fn saw_vote(&mut self, node: NodeId, term: u64, candidate: NodeId) -> Judged {
        let earlier = *self.votes.entry((node, term)).or_insert(candidate);
        if earlier != candidate {
            return Err((
                Invariant::VoteOnce,
                format!("{node} votes for {earlier} and {candidate} in term {term}"),
            ));
        }
        Ok(())
    }

    /// Whether this vote was given and made known.
    pub(super) fn has_voted(&self, node: NodeId, term: u64, candidate: NodeId) -> bool {
        self.votes.get(&(node, term)) == Some(&candidate)
    }

    /// A node that has not heard of the term in which an entry was committed may still follow an older leader, whose
    /// messages are late. It was not among those that were counted.
    fn saw_truncate(&mut self, node: NodeId, own_term: u64, from: u64) -> Judged {
        let removed = self.logs.entry(node).or_default().split_off(&from);
        for EntryMark(index, term, hash) in removed.into_values() {
            let committed = self.committed.get(&index).filter(|committed| committed.by_term <= own_term);
            if committed.is_some_and(|committed| (committed.term, committed.hash) == (term, hash)) {
                return Err((
                    Invariant::CommittedStays,
                    format!("{node} removes entry {index} of term {term}, which was committed"),
                ));
            }
        }
        Ok(())
    }

    fn saw_append(&mut self, node: NodeId, marks: &[EntryMark]) -> Judged {
        let log = self.logs.entry(node).or_default();
        for &EntryMark(index, term, hash) in marks {
            let (last, prev_term) = log.last_key_value().map_or((0, 0), |(&last, mark)| (last, mark.1));
            log.insert(index, EntryMark(index, term, hash));
            let known = *self.contents.entry((index, term)).or_insert((hash, prev_term));
            if last + 1 != index || known != (hash, prev_term) {
                let what = if known.0 == hash { "different predecessors" } else { "different contents" };
                return Err((
                    Invariant::LogMatching,
                    format!("entry {index} of term {term} has {what} on {node} and elsewhere"),
                ));
            }
        }
        Ok(())
    }

    fn saw_commit(&mut self, node: NodeId, raft: &Raft, commit: u64, term: u64) -> Judged {
        let known = self.committed.last_key_value().map_or(0, |(&index, _)| index);
        // Entries behind what is known are compared when they are applied.
        for entry in raft.log().range(known + 1, commit) {
            let committed = Committed { term: entry.term, hash: entry.hash(), by_term: term };
            self.committed.insert(entry.index, committed);
        }
        if raft.status().commit < commit {
            return Err((Invariant::CommitMonotonic, format!("{node} took commit index {commit} back")));
        }
        // Whoever follows in a term has learned the commit index from a leader of that term or an older one.
        for (_, committed) in self.committed.range_mut(..=commit) {
            committed.by_term = committed.by_term.min(term);
        }
        Ok(())
    }

    /// The state of a node behind an entry.
    pub(super) fn saw_state(&mut self, node: NodeId, index: u64, hash: u64) -> Judged {
        let known = *self.states.entry(index).or_insert(hash);
        if known != hash {
            let detail = format!(
                "the state of {node} behind {index} hashes to {hash:016x}, elsewhere to {known:016x}"
            );
            return Err((Invariant::StateHash, detail));
        }
        Ok(())
    }

    /// A client was told that its write is done, which is this entry.
    pub(super) fn saw_acknowledged(&mut self, entry: &Entry) -> Judged {
        let mark = EntryMark::from(entry);
        self.acknowledged.insert(entry.index, mark);
        self.known_to_clients = self.known_to_clients.max(entry.index);
        self.applied.get(&entry.index).copied().map_or(Ok(()), |applied| self.compare_acknowledged(applied))
    }

    fn compare_acknowledged(&self, applied: EntryMark) -> Judged {
        let EntryMark(index, term, _) = applied;
        match self.acknowledged.get(&index) {
            Some(promised) if *promised != applied => Err((
                Invariant::AcknowledgedStays,
                format!(
                    "entry {index} of term {} was acknowledged, and one of term {term} is applied",
                    promised.1
                ),
            )),
            _ => Ok(()),
        }
    }

    fn saw_applied(&mut self, node: NodeId, mark: EntryMark) -> Judged {
        self.compare_acknowledged(mark)?;
        let known = *self.applied.entry(mark.0).or_insert(mark);
        if known != mark {
            return Err((
                Invariant::StateMachineSafety,
                format!(
                    "{node} applies an entry of term {} at {}, elsewhere it was of term {}",
                    mark.1, mark.0, known.1
                ),
            ));
        }
        Ok(())
    }

    /// A read that began when clients knew `floor` was answered at `index`.
    pub(super) fn saw_read(&mut self, node: NodeId, floor: u64, index: u64) -> Judged {
        if index < floor {
            return Err((
                Invariant::LinearizableReads,
                format!(
                    "{node} answers a read at index {index}, although a client had seen index {floor} before it"
                ),
            ));
        }
        self.known_to_clients = self.known_to_clients.max(index);
        Ok(())
    }
}
