//! Which configuration is in force, and what it takes to elect, to commit and to go on leading under it.
//!
//! Invariant: a node uses the latest configuration in its log, "regardless of whether the entry is committed" (section 6 of
//! the paper; section 4.1 of the thesis), and goes back to the one before when that entry is removed.
//! Deliberately without a say in who sends messages: requests are served whoever they come from, since a node
//! may be a member before it knows (section 4.1 of the thesis). How a configuration comes into the log is in
//! `change`.
//! Reference: section 6 of the paper, chapter 4 of the thesis.

use std::collections::BTreeSet;

use super::Raft;
use super::io::{Micros, NodeId};
use super::log::{Entry, Payload, Position};
use super::progress::Progress;
use super::quorum::Configuration;
use super::replication::Leading;
use super::rules::{ConfigEffective, Count, QuorumSize, QuorumSizes, ReadConfirmQuorum};
use super::trace::{Config, ConfigState, EventKind};

/// The configurations of the log, the latest last. Never empty: the first is that of the start or of the snapshot.
#[derive(Clone, Debug)]
pub(super) struct Configurations {
    known: Vec<(u64, Configuration)>,
    /// Grows with every change of `known`, so that others notice.
    revision: u64,
}

impl Configurations {
    /// `first` stands at `index` of the log, 0 for the initial members; the rest is found in `entries`.
    pub(super) fn recovered(index: u64, first: Configuration, entries: &[Entry]) -> Self {
        let mut this = Self { known: vec![(index, first)], revision: 0 };
        this.appended(entries);
        this
    }

    /// The last configuration of the log and its index.
    pub(super) fn latest(&self) -> (u64, &Configuration) {
        let (index, configuration) = &self.known[self.known.len() - 1];
        (*index, configuration)
    }

    /// The configuration in force once everything up to `index` is applied, and its index. Behind the oldest that
    /// is known, that one.
    pub(super) fn at(&self, index: u64) -> (u64, &Configuration) {
        let (at, configuration) =
            self.known.iter().rev().find(|(at, _)| *at <= index).unwrap_or(&self.known[0]);
        (*at, configuration)
    }

    /// The latest configuration that the log proves committed when `commit` is known to be: a leader adds one only
    /// once the one before is committed.
    pub(super) fn surely_committed(&self, commit: u64) -> u64 {
        let before_the_last = self.known.len().checked_sub(2).map_or(0, |position| self.known[position].0);
        self.at(commit).0.max(before_the_last)
    }

    /// Everybody who is a member by the configuration at `index` or by a later one.
    fn members_since(&self, index: u64) -> BTreeSet<NodeId> {
        let from = self.at(index).0;
        self.known.iter().filter(|(at, _)| *at >= from).flat_map(|(_, known)| known.members()).collect()
    }

    /// These entries were added to the log.
    fn appended(&mut self, entries: &[Entry]) {
        for entry in entries {
            if let Payload::Configuration(configuration) = &entry.payload {
                self.known.push((entry.index, Configuration::clone(configuration)));
                self.revision += 1;
            }
        }
    }

    /// All entries with an index >= `from` were removed. Whether a configuration was among them.
    fn truncated(&mut self, from: u64) -> bool {
        let before = self.known.len();
        while self.known.len() > 1 && self.known[self.known.len() - 1].0 >= from {
            self.known.pop();
            self.revision += 1;
        }
        self.known.len() < before
    }

    /// A snapshot up to `index` replaced the start of the log: what is older is not asked about any more.
    pub(super) fn compacted(&mut self, index: u64) {
        let oldest = self.at(index).0;
        self.known.retain(|(at, _)| *at >= oldest);
    }
}

/// Which configuration is in force.
impl Raft {
    /// Who counts at present.
    pub fn configuration(&self) -> &Configuration {
        self.in_force().1
    }

    pub(super) fn in_force(&self) -> (u64, &Configuration) {
        match self.config_effective() {
            ConfigEffective::OnAppend => self.configurations.latest(),
            ConfigEffective::OnApply => self.configurations.at(self.applied),
        }
    }

    fn config_effective(&self) -> ConfigEffective {
        // The honest law: "a server always uses the latest configuration in its log, regardless of whether the
        // entry is committed" (section 6 of the paper). With the other value two nodes that have applied
        // different prefixes may be two configurations apart, and elect two leaders (etcd issue 12359).
        self.rules.membership.config_effective
    }

    /// What a voter tells a candidate that it refuses: how much is committed. Where a configuration counts when it is applied, a
    /// node that has not heard of its commitment asks those who are removed by it. They may have the longer log and must not
    /// lead, so that nobody could win any more (`maybe_commit_by_vote` of tikv/raft-rs does the same).
    pub(super) fn told_with_a_refusal(&self) -> Position {
        match (self.config_effective(), self.log.term(self.commit)) {
            (ConfigEffective::OnApply, Some(term)) => Position { index: self.commit, term },
            _ => Position::default(),
        }
    }

    /// What is committed is so for everybody; whether this node has the same there, its term tells (log matching).
    pub(super) fn learn_from_a_refusal(&mut self, committed: Position) {
        if self.log.term(committed.index) == Some(committed.term) {
            self.raise_commit(committed.index, None);
        }
    }

    /// The latest configuration in its log, in force or not, for the simulation.
    pub fn latest(&self) -> &Configuration {
        self.configurations.latest().1
    }

    /// Where in the log that stands; 0 for the initial one.
    pub fn latest_index(&self) -> u64 {
        self.configurations.latest().0
    }

    /// Whether this node may try to become leader, or why not.
    pub(super) fn may_campaign(&mut self) -> Result<(), &'static str> {
        self.apply_what_is_surely_committed()?;
        let (index, configuration) = self.in_force();
        if configuration.is_voter(self.id) {
            return self.has_what_leading_takes();
        }
        if configuration.contains(self.id) {
            return Err("a learner never leads");
        }
        if index <= self.commit {
            return Err("it is not a member");
        }
        // The honest law: a server that is not in the latest configuration of its log "should still start new
        // elections, as it might still be needed until the Cnew entry is committed" (thesis, section 4.2.2): it
        // may be the only one whose log can win.
        if self.rules.membership.campaign_when_not_in_config {
            Ok(())
        } else {
            Err("its log says that it is not a member, and the rule campaign_when_not_in_config is false")
        }
    }

    /// A node that counts by an older configuration than its log proves to be committed applies that first.
    fn apply_what_is_surely_committed(&mut self) -> Result<(), &'static str> {
        let known = self.configurations.surely_committed(self.commit);
        // The honest law, for those who let a configuration count when it is applied: no campaign while a
        // committed one is not applied yet (etcd issue 12359), or the candidate asks the wrong members.
        if known > self.in_force().0 && self.rules.membership.campaign_guard_unapplied {
            self.raise_commit(known, None);
            return Err("a committed configuration is not applied yet");
        }
        Ok(())
    }

    /// These entries were added to the log.
    pub(super) fn configurations_appended(&mut self, entries: &[Entry]) {
        self.configurations.appended(entries);
        for entry in entries {
            if let Payload::Configuration(configuration) = &entry.payload {
                self.trace_configuration(
                    entry.index,
                    Configuration::clone(configuration),
                    ConfigState::Append,
                );
            }
        }
    }

    /// All entries with an index >= `from` were removed from the log.
    pub(super) fn configurations_truncated(&mut self, from: u64) {
        // The honest law: "a server must be prepared to fall back to the previous configuration in its log" when a
        // configuration entry is removed (thesis, section 4.1). Otherwise it counts by members whom nobody agreed
        // upon.
        if self.rules.membership.config_rollback && self.configurations.truncated(from) {
            let (index, configuration) = self.configurations.latest();
            let configuration = configuration.clone();
            self.trace_configuration(index, configuration, ConfigState::Rollback);
        }
    }

    /// A snapshot up to `last`, whose configuration stood at an index of the log or is not known, has replaced the log
    /// up to there; what follows is in the log.
    pub(super) fn configurations_replaced(&mut self, last: u64, recorded: Option<(u64, Configuration)>) {
        let before = self.configurations.latest().0;
        // Without one only what this node started with is left.
        let (index, configuration) = recorded.unwrap_or_else(|| self.configurations.known[0].clone());
        let revision = self.configurations.revision + 1;
        self.configurations =
            Configurations::recovered(index, configuration, self.log.range(last + 1, u64::MAX));
        self.configurations.revision += revision;
        let (index, configuration) = self.configurations.latest();
        if index != before {
            let configuration = configuration.clone();
            self.trace_configuration(index, configuration, ConfigState::Commit);
        }
    }

    /// The commit index rose from `before`.
    pub(super) fn configurations_committed(&mut self, before: u64) {
        let newly = |(at, _): &&(u64, Configuration)| *at > before && *at <= self.commit;
        let committed: Vec<_> = self.configurations.known.iter().filter(newly).cloned().collect();
        for (index, configuration) in committed {
            self.trace_configuration(index, configuration, ConfigState::Commit);
        }
    }

    fn trace_configuration(&mut self, index: u64, configuration: Configuration, state: ConfigState) {
        self.trace(EventKind::Config(Box::new(Config { index, configuration, state })));
    }

    /// A leader feeds everybody who is a member, and who was one until it has the entry that removes it and is told
    /// that this is committed; unless it has been silent for an election timeout.
    pub(super) fn feed_members(&mut self, now: Micros) {
        let view = (self.configurations.revision, self.configurations.at(self.commit).0);
        if self.leading.as_ref().is_none_or(|leading| leading.members_as_of == Some(view)) {
            return;
        }
        let mut members = self.configurations.members_since(self.commit);
        members.remove(&self.id);
        let (settled, patience) = (view.1, self.patience.range.max);
        let Some(leading) = &mut self.leading else { return };
        let leaving = leading.progress.iter().filter(|(peer, _)| !members.contains(peer));
        let (told, open): (Vec<_>, Vec<_>) = leaving.partition(|(_, at)| at.match_index >= settled);
        let open =
            open.into_iter().filter(|(_, at)| now.millis_since(at.heard) <= patience).map(|(id, _)| *id);
        let (says_farewell, open): (bool, BTreeSet<NodeId>) = (!told.is_empty(), open.collect());
        if says_farewell {
            // It names the commit index, and with it the removal.
            self.send_heartbeats();
        }
        let Some(leading) = &mut self.leading else { return };
        leading.members_as_of = open.is_empty().then_some(view);
        leading.progress.retain(|peer, _| members.contains(peer) || open.contains(peer));
        leading.keeps_up.retain(|peer| members.contains(peer));
        for peer in members {
            leading.progress.entry(peer).or_insert_with(|| Progress::new(now, self.log.last_index()));
        }
    }
}

/// What is enough under it.
impl Raft {
    fn quorum_sizes(&self) -> QuorumSizes {
        // The honest law: a majority elects and a majority commits (section 5.2 and 5.3 of the paper). Other sizes
        // are safe if every electing quorum meets every other one, 2E > N, and every committing one, E + R > N
        // (Howard, Malkhi and Spiegelman, 2016; Paxos does without the first, because its ballots are unique).
        self.rules.membership.quorum
    }

    /// Whether these votes make a leader, given how often each node voted.
    pub(super) fn is_elected_by(&self, votes_of: impl Fn(NodeId) -> usize) -> bool {
        self.configuration().elects(self.quorum_sizes().election, votes_of)
    }

    /// A value of each node: a leader's own, what it knows of those that it feeds, and that of a stranger.
    pub(super) fn of_members<'a, T: Copy + 'a>(
        &self,
        leading: &'a Leading,
        own: T,
        stranger: T,
        known: impl Fn(&Progress) -> T + Copy + 'a,
    ) -> impl Fn(NodeId) -> T + Copy + 'a {
        let id = self.id;
        move |node| match leading.progress.get(&node) {
            Some(progress) => known(progress),
            None if node == id => own,
            None => stranger,
        }
    }

    /// The largest value that enough members have reached to make it permanent, given the value of each.
    pub(super) fn replicated<T: Ord + Copy>(&self, value_of: impl Fn(NodeId) -> T) -> Option<T> {
        self.configuration().reached(self.quorum_sizes().replication, value_of)
    }

    /// The largest value that enough members have reached to rule out another leader, given the value of each.
    pub(super) fn confirmed<T: Ord + Copy>(&self, value_of: impl Fn(NodeId) -> T) -> Option<T> {
        // The honest law: a leader is confirmed by "a majority of the cluster" (thesis, section 6.4), because it
        // meets every majority that may have elected another. Of N members of which a fixed number E elects,
        // N - E + 1 do (see `quorum`).
        match self.rules.membership.read_confirm_quorum {
            ReadConfirmQuorum::Auto => self.configuration().met(self.quorum_sizes().election, value_of),
            ReadConfirmQuorum::Of(Count(count)) => {
                self.configuration().reached(QuorumSize::Of(count), value_of)
            }
        }
    }

    /// The largest value that enough members have reached both to commit and to rule out another leader.
    pub(super) fn led<T: Ord + Copy>(&self, value_of: impl Fn(NodeId) -> T + Copy) -> Option<T> {
        self.replicated(value_of).min(self.confirmed(value_of))
    }

    /// Why a cluster of these members can never have a quorum, if it cannot.
    pub(super) fn impossible_quorum(&self, configuration: &Configuration) -> Option<String> {
        let (needed, members) = (self.quorum_sizes().largest(), configuration.smallest_group());
        (needed > members && !configuration.is_empty()).then(|| {
            format!("a quorum of {needed} is impossible with {members} voters; change the rule quorum")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ids: &[u16]) -> Configuration {
        Configuration::new(ids.iter().copied().map(NodeId).collect())
    }

    fn entry(index: u64, configuration: Configuration) -> Entry {
        Entry { index, term: 1, payload: Payload::Configuration(Box::new(configuration)) }
    }

    fn grown() -> Configurations {
        let entries = [entry(3, of(&[1, 2, 3, 4])), entry(7, of(&[1, 2, 3, 4, 5]))];
        Configurations::recovered(0, of(&[1, 2, 3]), &entries)
    }

    #[test]
    fn each_index_has_its_configuration() {
        let known = grown();
        let voters = |index| known.at(index).1.voters().len();
        assert_eq!([0, 2, 3, 6, 7, 99].map(voters), [3, 3, 4, 4, 5, 5]);
        assert_eq!(known.latest(), (7, &of(&[1, 2, 3, 4, 5])));
        assert_eq!(known.members_since(2).len(), 5);
    }

    #[test]
    fn a_removed_entry_takes_its_configuration_with_it() {
        let mut known = grown();
        assert!(!known.truncated(8));
        assert!(known.truncated(7));
        assert_eq!(known.latest().0, 3);
        assert!(known.truncated(1));
        assert_eq!(known.latest(), (0, &of(&[1, 2, 3])), "the first one stays");
    }

    #[test]
    fn a_configuration_proves_the_one_before_committed() {
        assert_eq!(grown().surely_committed(0), 3);
        assert_eq!(grown().surely_committed(8), 7);
        assert_eq!(Configurations::recovered(0, of(&[1]), &[]).surely_committed(4), 0);
    }

    #[test]
    fn compaction_keeps_what_is_asked_about() {
        let mut known = grown();
        known.compacted(5);
        assert_eq!((known.at(5).0, known.at(9).0, known.at(1).0), (3, 7, 3));
    }
}
