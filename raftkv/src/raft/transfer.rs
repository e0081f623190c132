//! Handing leadership to another voter.
//!
//! Invariant: a handover is an election that nobody waited for. Its target stands in a new term and needs the same
//! votes under the same rules as any candidate, so a handover can cost time and never safety. It ends within an
//! election timeout, with the target's leadership or with the old leader going on as before; nothing about it
//! survives a restart.
//! Deliberately without a choice of the best time: who orders it, or `priority`, decides that.
//! Reference: section 3.10 of the thesis; section 4.2.3 for why voters let the target's requests pass, section 6.4.1
//! for what becomes of leases.

use super::Raft;
use super::control::OrderOutcome;
use super::election::Admission;
use super::io::{Micros, NodeId, RequestId};
use super::message::{Message, Occasion, TimeoutNow};
use super::rules::LeaderTransfer;
use super::trace::{EventKind, Handover, Role};

/// How far a handover is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The target does not have the whole log yet.
    CatchingUp,
    /// The target was told to stand for election.
    Told,
}

/// A handover that is under way.
#[derive(Clone, Debug)]
struct Transfer {
    target: NodeId,
    stage: Stage,
    manner: LeaderTransfer,
    /// The order that waits for the end; none if the leader decided by itself.
    request: Option<RequestId>,
    /// When it is given up.
    due: Micros,
}

/// What a node knows about handing over.
#[derive(Clone, Debug, Default)]
pub(super) struct Transfers {
    /// It outlives the leader's term: whether it succeeded is known when the next leader is heard.
    under_way: Option<Transfer>,
    /// The last term in which a target was told to take over.
    offered_in: Option<u64>,
    /// Who did not take over the last time.
    missed_by: Option<NodeId>,
}

impl Transfers {
    /// When the present one is given up.
    pub(super) fn due(&self) -> Option<Micros> {
        self.under_way.as_ref().map(|transfer| transfer.due)
    }

    /// To whom leadership is being handed.
    pub(super) fn target(&self) -> Option<NodeId> {
        self.under_way.as_ref().map(|transfer| transfer.target)
    }

    /// Whether this node did not take over the last time, so that others come first.
    pub(super) fn was_missed_by(&self, node: NodeId) -> bool {
        self.missed_by == Some(node)
    }
}

impl Raft {
    /// An operator orders a handover to `wanted`, or to whom this node chooses.
    pub(super) fn order_transfer(&mut self, now: Micros, request: RequestId, wanted: Option<NodeId>) {
        match self.transfer_target(now, wanted) {
            Ok(target) if target == self.id => {
                self.out.ordered.push((request, OrderOutcome::Done(None)));
            }
            Ok(target) => self.begin_transfer(now, target, Some(request)),
            Err(reason) => self.out.ordered.push((request, OrderOutcome::Refused(reason))),
        }
    }

    /// Whether this node is to hand over before it stops in order.
    pub fn hands_over_on_stop(&self) -> bool {
        // Not a law: "the leader must step down" for maintenance anyway, and a handover spares the cluster the election
        // timeout (thesis, section 3.10).
        self.rules.vote.leader_transfer_on_stop && self.role == Role::Leader
    }

    fn transfer_target(&self, now: Micros, wanted: Option<NodeId>) -> Result<NodeId, String> {
        if self.role != Role::Leader {
            return Err(match self.leader {
                Some(leader) => format!("{} does not lead, {leader} does", self.id),
                None => format!("{} does not lead", self.id),
            });
        }
        if let Some(target) = self.transfers.target() {
            return Err(format!("leadership is being handed to {target} already"));
        }
        match wanted {
            Some(node) if self.configuration().is_voter(node) => Ok(node),
            Some(node) => Err(format!("{node} is not a voter")),
            None => self.furthest_voter(now).ok_or_else(|| "no other voter has been heard lately".to_owned()),
        }
    }

    /// The voter that needs the least to take over, preferred ones first.
    fn furthest_voter(&self, now: Micros) -> Option<NodeId> {
        let leading = self.leading.as_ref()?;
        let heard = |node: &NodeId| {
            let progress = leading.progress.get(node)?;
            let fresh = now.millis_since(progress.heard) <= self.patience.range.max;
            fresh.then_some((self.priority(*node), progress.match_index, *node))
        };
        let voters = self.configuration().voters().iter();
        voters.filter(|&&node| node != self.id).filter_map(heard).max().map(|(_, _, node)| node)
    }

    /// Begins a handover. There is none under way.
    pub(super) fn begin_transfer(&mut self, now: Micros, target: NodeId, request: Option<RequestId>) {
        // The honest law: the leader stops taking proposals, brings the target's log up to its own, and only then
        // sends TimeoutNow (thesis, section 3.10, steps 1 to 3). A target that lacks entries deposes the leader
        // with its new term and cannot win.
        let manner = self.rules.vote.leader_transfer;
        let due = now.plus_millis(self.patience.range.max);
        let stage = Stage::CatchingUp;
        self.transfers.under_way = Some(Transfer { target, stage, manner, request, due });
        self.trace(EventKind::Transfer(target, Handover::Begun));
    }

    /// Tells the target to take over as soon as that is allowed.
    pub(super) fn advance_transfer(&mut self) {
        let (Some(leading), Some(transfer)) = (&self.leading, &mut self.transfers.under_way) else { return };
        let matched = leading.progress.get(&transfer.target).map_or(0, |progress| progress.match_index);
        let may_win = transfer.manner == LeaderTransfer::Blind || matched >= self.log.last_index();
        if transfer.stage == Stage::Told || !may_win {
            return;
        }
        transfer.stage = Stage::Told;
        let target = transfer.target;
        self.transfers.offered_in = Some(self.term);
        self.trace(EventKind::Transfer(target, Handover::Told));
        self.send(target, Message::TimeoutNow(TimeoutNow { term: self.term }));
    }

    /// Whether proposals must wait, because the target could not catch up with them.
    pub(super) fn hands_over(&self) -> bool {
        let checked = |transfer: &Transfer| transfer.manner == LeaderTransfer::Checked;
        self.role == Role::Leader && self.transfers.under_way.as_ref().is_some_and(checked)
    }

    /// Whether voters may have been released from their loyalty to this leader, so that nothing may be concluded from
    /// it any more: a lease is over. A TimeoutNow that was sent may arrive at any later time, so this holds for the rest
    /// of the term.
    pub fn transferring(&self) -> bool {
        self.transfers.under_way.is_some() || self.transfers.offered_in == Some(self.term)
    }

    /// "When the target server receives the TimeoutNow request, it starts a new election" (thesis, section 3.10).
    pub(super) fn on_timeout_now(&mut self, now: Micros, message: &TimeoutNow) {
        if self.admit_request(now, message.term) == Admission::Current {
            self.campaign(now, Occasion::Transfer);
        }
    }

    /// Somebody leads: so much for a handover.
    pub(super) fn end_transfer_with(&mut self, leader: NodeId) {
        match self.transfers.target() {
            Some(target) if target == leader => self.end_transfer(Ok(())),
            Some(target) => self.end_transfer(Err(format!("{leader} leads, not {target}"))),
            None => {}
        }
    }

    /// This node stops leading. A target that has not been told by now never will be.
    pub(super) fn stop_transfer(&mut self) {
        if self.transfers.under_way.as_ref().is_some_and(|transfer| transfer.stage == Stage::CatchingUp) {
            self.end_transfer(Err(format!("{} was deposed before the target had caught up", self.id)));
        }
    }

    /// "If leadership transfer does not complete after about an election timeout, the prior leader aborts the transfer
    /// and resumes accepting client requests" (thesis, section 3.10).
    pub(super) fn give_up_late_transfer(&mut self, now: Micros) {
        if let Some(Transfer { target, stage, due, .. }) = self.transfers.under_way
            && now >= due
        {
            let what = if stage == Stage::CatchingUp { "catch up" } else { "take over" };
            self.end_transfer(Err(format!("{target} did not {what} within an election timeout")));
        }
    }

    fn end_transfer(&mut self, ended: Result<(), String>) {
        let Some(transfer) = self.transfers.under_way.take() else { return };
        self.transfers.missed_by = ended.is_err().then_some(transfer.target);
        let (state, outcome) = match (ended, transfer.stage) {
            (Ok(()), _) => (Handover::Done, OrderOutcome::Done(None)),
            (Err(reason), Stage::CatchingUp) => (Handover::GivenUp, OrderOutcome::Refused(reason)),
            // What was sent may still arrive.
            (Err(reason), Stage::Told) => (Handover::GivenUp, OrderOutcome::Unknown(reason)),
        };
        self.trace(EventKind::Transfer(transfer.target, state));
        if let Some(request) = transfer.request {
            self.out.ordered.push((request, outcome));
        }
    }
}
