//! How one configuration becomes another.
//!
//! Invariant: of two configurations that may both be in force somewhere, every two quorums meet, because a change goes
//! through a configuration in which both sides must agree, or adds or removes one voter, and the next one begins only
//! when this one is committed and the leader has committed in its own term.
//! What is still to be done is found by comparing the latest configuration with what was ordered, so a new leader has
//! nothing to remember: it leaves a joint configuration whoever entered it, and an order that its leader did not finish
//! is given again.
//! References: section 6 of the paper; chapter 4 of the thesis; Ongaro, "bug in single-server membership changes",
//! raft-dev, July 2015.

use std::collections::{BTreeMap, VecDeque};

use super::Raft;
use super::control::{Change, OrderOutcome, Part};
use super::io::{Micros, NodeId, RequestId};
use super::log::Payload;
use super::progress::Reached;
use super::quorum::Configuration;
use super::rules::{Membership, PromoteCheck, StepDownWhenRemoved, Witness};
use super::trace::Role;

/// A learner gets so many rounds to catch up (thesis, section 4.2.1).
const ROUNDS_MAX: u32 = 10;

/// A learner that has not answered for so many of the longest election timeouts is given up.
const SILENT_TIMEOUTS_MAX: u64 = 10;

/// So is one that answers and has got no further for so many: its disk is full, or a snapshot does not arrive whole. Other
/// changes wait meanwhile, also the one that would remove it. It takes a while to verify a large snapshot.
const STUCK_TIMEOUTS_MAX: u64 = 100;

/// A learner on its way to the end of the log. A round copies what the leader had when the round began.
#[derive(Clone, Copy, Debug)]
struct Trial {
    round: u32,
    target: u64,
    began: Micros,
    /// How far it has got, and when it got there. What it gets again after a mishap does not count.
    reached: Reached,
    moved: Micros,
}

/// An order that is being carried out.
#[derive(Clone, Debug)]
struct Ongoing {
    request: RequestId,
    change: Change,
    /// The last entry that it made.
    index: Option<u64>,
    trials: BTreeMap<NodeId, Trial>,
}

/// The orders of a leader, in the order of their arrival.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes(VecDeque<Ongoing>);

impl Changes {
    /// What a leader that gives up has to say about each of them.
    pub(super) fn abandoned(self) -> impl Iterator<Item = (RequestId, OrderOutcome)> {
        self.0.into_iter().map(|ongoing| {
            let outcome = match ongoing.index {
                None => OrderOutcome::Refused("this node no longer leads, and has changed nothing".to_owned()),
                Some(index) => OrderOutcome::Unknown(format!(
                    "this node no longer leads; its entry {index} may still be committed: ask the next leader for the members"
                )),
            };
            (ongoing.request, outcome)
        })
    }
}

/// What comes next for an order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Next {
    /// The latest configuration is what was ordered.
    Nothing,
    /// These learners have to catch up.
    Wait(Vec<NodeId>),
    /// This configuration.
    Append(Configuration),
}

impl Change {
    /// What `latest` becomes by it.
    fn applied_to(&self, latest: &Configuration) -> Configuration {
        match self {
            Change::Add { node, address, part } => {
                let located = latest.with_address(*node, address);
                match part {
                    Part::Learner => located.with_learner(*node),
                    Part::Voter => located.with_voter(*node),
                    Part::Witness => located.with_witness(*node).with_voter(*node),
                }
            }
            Change::Promote(node) => latest.with_voter(*node),
            Change::Remove(node) => latest.without(*node),
            Change::Replace(voters) => {
                let locate = |known: Configuration, (node, address): &(NodeId, Option<String>)| {
                    known.with_address(*node, address.as_deref().unwrap_or_default())
                };
                let located = voters.iter().fold(latest.clone(), locate);
                located.with_voters(voters.iter().map(|(node, _)| *node).collect())
            }
        }
    }

    /// Why it makes no sense under `latest`, if it does not.
    fn objection(&self, latest: &Configuration) -> Option<String> {
        match self {
            Change::Add { node, .. } if latest.voters().contains(node) => {
                Some(format!("{node} is a voter already"))
            }
            Change::Add { node, part: Part::Learner, .. } if latest.contains(*node) => {
                Some(format!("{node} is a learner already"))
            }
            Change::Promote(node) if !latest.learners().contains(node) => {
                Some(format!("{node} is not a learner; add it first"))
            }
            Change::Remove(node) if !latest.contains(*node) => Some(format!("{node} is not a member")),
            _ if self.applied_to(latest).voters().is_empty() => {
                Some("nobody would be left to vote".to_owned())
            }
            _ if self.applied_to(latest) == *latest => Some("the members are these already".to_owned()),
            _ => None,
        }
    }
}

/// Orders.
impl Raft {
    /// Begins a change; it is answered when the last configuration that it needs is committed.
    pub(super) fn change(&mut self, now: Micros, request: RequestId, change: Change) {
        if let Err(reason) = self.admit_change(&change) {
            self.out.ordered.push((request, OrderOutcome::Refused(reason)));
            return;
        }
        if let Some(leading) = &mut self.leading {
            // What a learner has shown for an earlier order says nothing about what it can do now.
            leading.keeps_up.clear();
        }
        let mut ongoing = Ongoing { request, change, index: None, trials: BTreeMap::new() };
        if let Err(reason) = self.take_next_step(now, &mut ongoing) {
            self.out.ordered.push((request, OrderOutcome::Refused(reason)));
            return;
        }
        if let Some(leading) = &mut self.leading {
            leading.changes.0.push_back(ongoing);
        }
    }

    fn admit_change(&self, change: &Change) -> Result<(), String> {
        let Some(leading) = &self.leading else {
            return Err(self
                .leader
                .map_or("no leader is known".to_owned(), |leader| format!("{leader} leads")));
        };
        let (_, latest) = self.configurations.latest();
        if let Some(objection) = change.objection(latest) {
            return Err(objection);
        }
        if matches!(change, Change::Add { part: Part::Witness, .. }) && self.witness() == Witness::None {
            return Err("this cluster has no witnesses: the rule witness is none".to_owned());
        }
        if let Some(reason) = self.impossible_quorum(&change.applied_to(latest)) {
            return Err(reason);
        }
        self.may_change(leading.changes.0.is_empty())
    }

    /// Whether another configuration may follow the latest.
    fn may_change(&self, nothing_else_is_ordered: bool) -> Result<(), String> {
        let has_committed_in_term = self.log.term(self.commit) == Some(self.term);
        // The honest law: a leader appends no configuration before it has committed an entry of its term (Ongaro,
        // raft-dev, July 2015). An uncommitted configuration of an older term may otherwise win with a majority
        // that does not meet this one's.
        if !has_committed_in_term && self.rules.membership.config_requires_current_term_commit {
            return Err("this leader has not committed anything in its term yet; try again".to_owned());
        }
        let is_settled = nothing_else_is_ordered && self.latest_is_settled();
        // The honest law: a leader begins no change before the entry of the previous one is committed (thesis,
        // section 4.1): majorities of configurations that are two changes apart need not meet.
        if !is_settled && self.rules.membership.config_one_at_a_time {
            return Err("another change is under way; try again when it is committed".to_owned());
        }
        Ok(())
    }

    /// Whether the latest configuration is committed, in force, and not half of a change.
    fn latest_is_settled(&self) -> bool {
        let (index, latest) = self.configurations.latest();
        self.is_agreed_upon(index) && !latest.is_joint()
    }

    /// Whether the configuration at `index` is committed and in force.
    fn is_agreed_upon(&self, index: u64) -> bool {
        index <= self.commit && self.in_force().0 == index
    }
}

/// Steps.
impl Raft {
    /// A leader goes on with what is half done.
    pub(super) fn continue_changes(&mut self, now: Micros) {
        if self.role != Role::Leader {
            return;
        }
        let (index, latest) = self.configurations.latest();
        if latest.is_joint() && self.is_agreed_upon(index) {
            // "Once C-old,new has been committed ... it is now safe for the leader to create a log entry describing
            // C-new" (section 6 of the paper), whichever leader entered it. That needs no entry of this leader's own term first:
            // who leads from now on has C-old,new, behind which nothing but this C-new can be committed.
            let new = latest.leave_joint();
            self.append_own(Payload::Configuration(Box::new(new)));
        }
        let Some(mut changes) = self.leading.as_mut().map(|leading| std::mem::take(&mut leading.changes))
        else {
            return;
        };
        self.answer_what_is_done(&mut changes);
        if let Some(first) = changes.0.front_mut()
            && self.may_change(true).is_ok()
            && let Err(reason) = self.take_next_step(now, first)
        {
            let outcome = OrderOutcome::Unknown(reason);
            self.out.ordered.extend(changes.0.pop_front().map(|given_up| (given_up.request, outcome)));
        }
        if let Some(leading) = &mut self.leading {
            leading.changes = changes;
        }
    }

    fn answer_what_is_done(&mut self, changes: &mut Changes) {
        if !self.latest_is_settled() {
            return;
        }
        let (at, latest) = self.configurations.latest();
        let mut done = Vec::new();
        changes.0.retain(|ongoing| {
            let is_done = ongoing.change.applied_to(latest) == *latest;
            if is_done {
                done.push((ongoing.request, OrderOutcome::Done(Some(at))));
            }
            !is_done
        });
        self.out.ordered.extend(done);
    }

    /// Appends the next configuration that an order needs, unless somebody has to catch up first; why it is given
    /// up, if it is.
    fn take_next_step(&mut self, now: Micros, ongoing: &mut Ongoing) -> Result<(), String> {
        if let Next::Wait(learners) = self.next_step(&ongoing.change) {
            for learner in learners {
                self.give_a_round(now, learner, ongoing)?;
            }
        }
        if let Next::Append(configuration) = self.next_step(&ongoing.change) {
            ongoing.index = Some(self.append_own(Payload::Configuration(Box::new(configuration))));
        }
        Ok(())
    }

    fn next_step(&self, change: &Change) -> Next {
        let (_, latest) = self.configurations.latest();
        let goal = &change.applied_to(latest);
        if goal == latest {
            return Next::Nothing;
        }
        // The honest law: "any approach where servers switch directly from the old configuration to the new configuration
        // is unsafe" (section 6 of the paper), because for a while there are majorities of both.
        let way = self.rules.membership.membership;
        if way == Membership::Direct {
            return Next::Append(goal.clone());
        }
        let new: Vec<NodeId> =
            goal.voters().iter().copied().filter(|node| !latest.voters().contains(node)).collect();
        let strangers = new.iter().filter(|&&node| !latest.contains(node));
        let with_learners = strangers.fold(merged(latest, goal), |known, &node| known.with_learner(node));
        let has_new_learners = with_learners.learners() != latest.learners();
        // The honest law: a new server joins "as a non-voting member" until it has caught up (thesis, section
        // 4.2.1). Before that it makes the majority larger and cannot help to reach it.
        if has_new_learners && self.rules.membership.learners {
            return Next::Append(with_learners);
        }
        let behind: Vec<NodeId> = new.iter().copied().filter(|&node| self.is_behind(latest, node)).collect();
        if !behind.is_empty() {
            return Next::Wait(behind);
        }
        if way == Membership::Joint && goal.voters() != latest.voters() {
            return Next::Append(latest.joint_with(goal));
        }
        Next::Append(self.one_voter_nearer(latest, goal))
    }

    /// Adds one voter or, if none is missing, removes one; the leader itself at last.
    fn one_voter_nearer(&self, latest: &Configuration, goal: &Configuration) -> Configuration {
        if let Some(&new) = goal.voters().iter().find(|node| !latest.voters().contains(node)) {
            return merged(latest, goal).with_voter(new);
        }
        let surplus = |node: &&NodeId| !goal.voters().contains(node);
        let leaving = latest.voters().iter().filter(surplus).max_by_key(|&&node| node != self.id);
        leaving.map_or_else(|| goal.clone(), |&node| latest.without(node))
    }

    /// Whether this learner has not shown yet that it keeps up.
    fn is_behind(&self, latest: &Configuration, node: NodeId) -> bool {
        let has_shown = self.leading.as_ref().is_some_and(|leading| leading.keeps_up.contains(&node));
        // The honest law: a learner counts once "the last round lasts less than an election timeout" (thesis,
        // section 4.2.1), so that waiting for it cannot stop the cluster for longer than an election would.
        latest.learners().contains(&node)
            && !has_shown
            && self.rules.membership.promote_check == PromoteCheck::CaughtUp
    }

    /// Sees how far a learner is. Its round ends when it has what the leader had at the beginning.
    fn give_a_round(&mut self, now: Micros, learner: NodeId, ongoing: &mut Ongoing) -> Result<(), String> {
        let (timeout, last_index) = (self.patience.range, self.log.last_index());
        let Some(leading) = &mut self.leading else { return Ok(()) };
        let Some(progress) = leading.progress.get(&learner) else { return Ok(()) };
        let reached = progress.reached();
        let first = Trial { round: 1, target: last_index, began: now, reached, moved: now };
        let trial = ongoing.trials.entry(learner).or_insert(first);
        if reached > trial.reached {
            (trial.reached, trial.moved) = (reached, now);
        }
        if now.millis_since(progress.heard) > SILENT_TIMEOUTS_MAX * timeout.max {
            return Err(format!("{learner} does not answer; it stays a learner: start it, or remove it"));
        }
        if progress.match_index < trial.target {
            if now.millis_since(trial.moved) > STUCK_TIMEOUTS_MAX * timeout.max {
                return Err(format!(
                    "{learner} gets no further; it stays a learner: look at its disk, or remove it"
                ));
            }
            return Ok(());
        }
        if now.millis_since(trial.began) < timeout.min {
            leading.keeps_up.insert(learner);
            return Ok(());
        }
        if trial.round == ROUNDS_MAX {
            return Err(format!("{learner} has not caught up in {ROUNDS_MAX} rounds; it stays a learner"));
        }
        *trial = Trial { round: trial.round + 1, target: last_index, began: now, ..*trial };
        Ok(())
    }

    /// A leader that is not a member gives up.
    pub(super) fn step_down_if_removed(&mut self, now: Micros) {
        let (index, configuration) = self.in_force();
        if self.role != Role::Leader || configuration.is_voter(self.id) {
            return;
        }
        let is_committed = index <= self.commit;
        // The honest law: a leader that is not part of C-new "steps down (returns to follower state) once it has committed
        // the Cnew log entry" and leads without counting itself until then (section 6 of the paper; thesis, section 4.2.2). If it
        // gives up before, nobody else may be able to win.
        let is_over = match self.rules.membership.step_down_when_removed {
            StepDownWhenRemoved::OnCommit => is_committed,
            StepDownWhenRemoved::OnAppend => is_committed || self.log.term(index) == Some(self.term),
            StepDownWhenRemoved::OnAppendStrict => true,
            StepDownWhenRemoved::Never => false,
        };
        if is_over {
            // The last word names the commit index.
            self.send_heartbeats();
            self.become_follower(now, self.term);
        }
    }
}

/// `latest` with what `goal` knows of addresses and witnesses.
fn merged(latest: &Configuration, goal: &Configuration) -> Configuration {
    let located =
        goal.addresses().iter().fold(latest.clone(), |known, (node, at)| known.with_address(*node, at));
    goal.witnesses().iter().fold(located, |known, node| known.with_witness(*node))
}
