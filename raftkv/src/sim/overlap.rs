//! What must hold between nodes at one moment, and between a node and its disk.
//!
//! [`super::invariants`] judges what nodes showed, one after the other. The laws here need the whole world: the clocks and
//! disks of several nodes. They hold before anything is lost, so a broken rule shows here although no client was hurt yet.
//! Invariant of this file: it reads and changes nothing but what it keeps for itself.
//! What it lacks: the overlap of configurations that stand in the logs of two leaders. Under the honest rules such siblings
//! exist (the older one can no longer be agreed upon), so only what becomes of them is judged.
//! Reference: section 10.2.1 of the thesis for the copies that count, 4.1 for adjacent configurations, 6.4.1 for leases.

use std::collections::HashMap;

use super::disk::Disk;
use super::invariants::Invariant;
use super::world::World;
use crate::raft::Raft;
use crate::raft::io::NodeId;
use crate::raft::log::Payload;
use crate::raft::quorum::Configuration;
use crate::raft::rules::{QuorumSize, QuorumSizes};
use crate::raft::trace::{Commit, ConfigState, Event, EventKind, Role};

type Judged = Result<(), (Invariant, String)>;

/// The configuration that each node had latest in its log.
#[derive(Debug, Default)]
pub(super) struct Latest(HashMap<NodeId, Configuration>);

impl Latest {
    /// A node starts, or what it had was replaced.
    pub(super) fn saw(&mut self, node: NodeId, raft: &Raft) {
        self.0.insert(node, raft.latest().clone());
    }
}

impl World {
    /// Judges what one step of a node showed against all other nodes.
    pub(super) fn saw_overlaps(&mut self, id: NodeId, events: &[Event]) -> Judged {
        let is_settled = !events.iter().any(|event| matches!(event.kind, EventKind::Config(_)));
        for event in events {
            match &event.kind {
                EventKind::Role(Role::Leader, votes) => {
                    self.saw_election(id, event.term)?;
                    self.saw_votes(id, event.term, votes, is_settled.then_some(()))?;
                }
                EventKind::Commit(commit) => {
                    self.saw_count(id, commit, is_settled.then_some(()))?;
                    self.saw_permanence(id, commit)?;
                }
                EventKind::Config(config) if config.state == ConfigState::Append => {
                    self.saw_configuration(id, &config.configuration)?;
                }
                EventKind::Config(config) if config.state == ConfigState::Rollback => {
                    self.latest.0.insert(id, config.configuration.clone());
                }
                EventKind::Snapshot(..) => {
                    if let Some(raft) = &self.nodes[id.0 as usize - 1].raft {
                        self.latest.saw(id, raft);
                    }
                }
                _ => {}
            }
        }
        self.saw_latest(id)
    }

    /// Nobody is elected while an older leader may answer without asking.
    fn saw_election(&self, id: NodeId, term: u64) -> Judged {
        for other in self.ids().into_iter().filter(|&other| other != id) {
            let Some(raft) = &self.nodes[other.0 as usize - 1].raft else { continue };
            if raft.role() != Role::Leader || raft.term() >= term {
                continue;
            }
            let shows = self.clocks_of(other).lease;
            if let Some(end) = raft.status().lease_until.filter(|&end| shows < end) {
                let left = end.0 - shows.0;
                let detail = format!(
                    "{id} is elected in term {term}, and {other} of term {} has a lease for {left} us more",
                    raft.term()
                );
                return Err((Invariant::LeaseExclusive, detail));
            }
        }
        Ok(())
    }

    /// "A candidate wins an election if it receives votes from a majority of the servers in the full cluster for the same term"
    /// (section 5.2 of the paper).
    fn saw_votes(&self, id: NodeId, term: u64, votes: &[NodeId], settled: Option<()>) -> Judged {
        let Some(raft) = &self.nodes[id.0 as usize - 1].raft else { return Ok(()) };
        if let Some(voter) = votes.iter().find(|&&voter| !self.witness.has_voted(voter, term, id)) {
            let detail = format!("{id} counts the vote of {voter} in term {term}, which was not given");
            return Err((Invariant::ElectionQuorum, detail));
        }
        let counts = |node: NodeId| usize::from(votes.contains(&node));
        if settled.is_some() && !raft.configuration().elects(self.rules.membership.quorum.election, counts) {
            let detail = format!("{id} leads in term {term} by {votes:?}, which are no quorum");
            return Err((Invariant::ElectionQuorum, detail));
        }
        Ok(())
    }

    /// A leader has counted copies: there must be enough, and each must be on its disk. Where the configuration changed in
    /// the same step, what was enough is not known.
    fn saw_count(&self, id: NodeId, commit: &Commit, settled: Option<()>) -> Judged {
        let (Some(acks), Some(raft)) = (&commit.acks, &self.nodes[id.0 as usize - 1].raft) else {
            return Ok(());
        };
        let Commit { index, entry_term, .. } = *commit;
        let enough = self.rules.membership.quorum.replication;
        let counts = |node: NodeId| usize::from(acks.contains(&node));
        if settled.is_some() && !raft.configuration().elects(enough, counts) {
            let detail = format!("{id} commits {index} on {acks:?}, which are no quorum");
            return Err((Invariant::CommitQuorum, detail));
        }
        for &copy in acks {
            let disk: &Disk = &self.nodes[copy.0 as usize - 1].disk;
            if !disk.holds(index, entry_term) {
                let detail = format!(
                    "{id} commits {index} of term {entry_term} and counts {copy}, on whose disk it is not"
                );
                return Err((Invariant::CommitQuorum, detail));
            }
        }
        Ok(())
    }

    /// A leader has counted copies: whoever lacks the entry cannot win an election among the logs as they are, so that every
    /// later leader has it (leader completeness, before anybody stands).
    fn saw_permanence(&self, id: NodeId, commit: &Commit) -> Judged {
        if commit.acks.is_none() {
            return Ok(());
        }
        let Commit { index, entry_term, .. } = *commit;
        let running: Vec<(NodeId, &Raft)> = self
            .ids()
            .into_iter()
            .zip(&self.nodes)
            .filter_map(|(id, node)| Some((id, node.raft.as_ref()?)))
            .collect();
        let place = |raft: &Raft| (raft.log().last_term(), raft.log().last_index());
        for &(candidate, raft) in running.iter().filter(|(node, raft)| may_stand(*node, raft)) {
            let log = raft.log();
            if index <= log.base().index || log.term(index) == Some(entry_term) {
                continue;
            }
            let votes = |node: NodeId| {
                usize::from(
                    running.iter().any(|&(voter, other)| voter == node && place(other) <= place(raft)),
                )
            };
            if raft.configuration().elects(self.rules.membership.quorum.election, votes) {
                let detail = format!(
                    "{id} commits {index} of term {entry_term} in term {}, and {candidate} without it could be elected",
                    self.nodes[id.0 as usize - 1].raft.as_ref().map_or(0, Raft::term)
                );
                return Err((Invariant::CommitPermanent, detail));
            }
        }
        Ok(())
    }

    /// "A server always uses the latest configuration in its log" (section 6 of the paper), so none that was removed from it.
    fn saw_latest(&self, id: NodeId) -> Judged {
        let Some(raft) = &self.nodes[id.0 as usize - 1].raft else { return Ok(()) };
        let (index, log) = (raft.latest_index(), raft.log());
        let entry = log.get(index).map(|entry| &entry.payload);
        let stands_there =
            matches!(entry, Some(Payload::Configuration(configuration)) if **configuration == *raft.latest());
        if index > log.base().index && !stands_there {
            let detail = format!("{id} goes by {:?} of entry {index}, which is not there", raft.latest());
            return Err((Invariant::ConfigurationInLog, detail));
        }
        Ok(())
    }

    /// Acknowledgements are about to leave a node.
    pub(super) fn saw_acks(&self, id: NodeId, events: &[Event]) -> Judged {
        let disk = &self.nodes[id.0 as usize - 1].disk;
        for event in events {
            if let EventKind::Ack(to, index) = event.kind
                // In a later term what was acknowledged in an earlier one may have been replaced since.
                && disk.term() == event.term
                && !disk.reaches(index)
            {
                let detail =
                    format!("{id} acknowledges {index} to {to} in term {} before it is on disk", event.term);
                return Err((Invariant::DurableAck, detail));
            }
        }
        Ok(())
    }

    /// A configuration came into a log; a leader chose it.
    fn saw_configuration(&mut self, id: NodeId, new: &Configuration) -> Judged {
        let old = self.latest.0.insert(id, new.clone()).unwrap_or_default();
        if old.is_empty() || new.is_empty() || !self.leaders().contains(&id) {
            return Ok(());
        }
        if let Some(group) = disjoint(&old, new, self.rules.membership.quorum) {
            let detail = format!(
                "{id} follows {old:?} by {new:?}, and {group:?} could decide in one without the other"
            );
            return Err((Invariant::QuorumOverlap, detail));
        }
        Ok(())
    }
}

/// Whether a node may ask for votes by the configuration that it goes by, whatever it learns meanwhile.
fn may_stand(node: NodeId, raft: &Raft) -> bool {
    let configuration = raft.configuration();
    // A configuration that is not in force yet may have to be applied first.
    configuration.is_voter(node) && !configuration.is_witness(node) && configuration == raft.latest()
}

/// Nodes that are a quorum of `old` while the others are one of `new`, of two kinds of which one elects.
fn disjoint(old: &Configuration, new: &Configuration, sizes: QuorumSizes) -> Option<Vec<NodeId>> {
    let QuorumSizes { election, replication } = sizes;
    let kinds: [(QuorumSize, QuorumSize); 3] =
        [(election, election), (election, replication), (replication, election)];
    let mut all = [old.all_voters(), new.all_voters()].concat();
    all.sort_unstable();
    all.dedup();
    (0..1_u32 << all.len()).find_map(|chosen| {
        let is_in = |node: NodeId| {
            all.iter().position(|&other| other == node).is_some_and(|place| chosen >> place & 1 == 1)
        };
        let decides = |&(first, second): &(QuorumSize, QuorumSize)| {
            old.elects(first, |node| usize::from(is_in(node)))
                && new.elects(second, |node| usize::from(!is_in(node)))
        };
        kinds.iter().any(decides).then(|| all.iter().copied().filter(|&node| is_in(node)).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ids: &[u16]) -> Configuration {
        Configuration::new(ids.iter().copied().map(NodeId).collect())
    }

    #[test]
    fn one_voter_more_or_less_and_joint_configurations_overlap_and_others_do_not() {
        let sizes = QuorumSizes::MAJORITIES;
        let (three, four, other) = (of(&[1, 2, 3]), of(&[1, 2, 3, 4]), of(&[3, 4, 5]));
        assert_eq!(disjoint(&three, &four, sizes), None);
        assert_eq!(disjoint(&four, &three, sizes), None);
        assert!(disjoint(&three, &other, sizes).is_some());
        let joint = three.joint_with(&other);
        assert_eq!(disjoint(&three, &joint, sizes), None);
        assert_eq!(disjoint(&joint, &other, sizes), None);
    }
}
