//! Orders of an operator or of an experiment: what a client of the store never asks.
//!
//! Invariant: an order is carried out by the same code as what the protocol does by itself, or refused with the reason.

use super::Raft;
use super::io::{Micros, NodeId, RequestId};
use super::message::Occasion;
use super::trace::Role;

pub use super::election::Timer;

/// What can be ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Start an election now, whatever the timers say.
    Campaign,
    /// Hand leadership to this member, or to the one that is furthest.
    Transfer(Option<NodeId>),
    /// Change who the members are.
    Change(Change),
    /// Take a snapshot now.
    Snapshot,
    /// Overwrite what a leader believes of a follower: the experiment of the corrupted index.
    Poke(Poke),
    /// Let elections start by themselves, or only by order, from now on.
    Timer(Timer),
}

/// A change of the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Add a member.
    Add {
        /// Who.
        node: NodeId,
        /// Where it is, for the transport.
        address: String,
        /// What it is to be.
        part: Part,
    },
    /// Make a learner a voter.
    Promote(NodeId),
    /// Remove a member.
    Remove(NodeId),
    /// Exactly these voters; the addresses of new ones.
    Replace(Vec<(NodeId, Option<String>)>),
}

/// What a member is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It counts.
    Voter,
    /// It gets the log and does not count.
    Learner,
    /// It counts and keeps no state machine.
    Witness,
}

/// An index that a leader is made to believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poke {
    /// The next entry to send.
    NextIndex(NodeId, u64),
    /// The last entry that the follower is known to have.
    MatchIndex(NodeId, u64),
}

/// How an order ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderOutcome {
    /// It was carried out, or begun where it takes longer; the index of the entry that it made, if it made one.
    Done(Option<u64>),
    /// Nothing was done.
    Refused(String),
    /// It was begun, and this node can no longer say what becomes of it, or it does not come to its end.
    Unknown(String),
}

impl Raft {
    /// Takes an order. It is answered through `Effects::ordered`, at once or when it is done.
    pub(super) fn order(&mut self, now: Micros, request: RequestId, order: Order) {
        match order {
            Order::Campaign => {
                let outcome = self.order_campaign(now);
                self.out.ordered.push((request, outcome));
            }
            Order::Timer(timer) => {
                self.patience.timer = timer;
                self.wait_again(now);
                self.out.ordered.push((request, OrderOutcome::Done(None)));
            }
            Order::Poke(poke) => {
                let outcome = self.poke(poke);
                self.out.ordered.push((request, outcome));
            }
            Order::Transfer(target) => self.order_transfer(now, request, target),
            Order::Change(change) => self.change(now, request, change),
            Order::Snapshot => self.order_snapshot(request),
        }
    }

    fn order_campaign(&mut self, now: Micros) -> OrderOutcome {
        if self.role == Role::Leader {
            return OrderOutcome::Refused(format!("{} leads already", self.id));
        }
        if let Err(reason) = self.may_campaign() {
            return OrderOutcome::Refused(reason.to_owned());
        }
        if self.is_bound(now) {
            return OrderOutcome::Refused(
                "it has promised its leader not to elect another one yet".to_owned(),
            );
        }
        self.campaign(now, Occasion::Timeout);
        OrderOutcome::Done(None)
    }

    fn poke(&mut self, poke: Poke) -> OrderOutcome {
        let (Poke::NextIndex(peer, _) | Poke::MatchIndex(peer, _)) = poke;
        let progress = self.leading.as_mut().and_then(|leading| leading.progress.get_mut(&peer));
        let Some(progress) = progress else {
            return OrderOutcome::Refused(format!("this node does not lead {peer}"));
        };
        let last_index = self.log.last_index();
        match poke {
            // What is poked is what a broken leader could believe: there are no entries outside of its own log.
            Poke::NextIndex(_, index) => progress.next_index = index.clamp(1, last_index + 1),
            Poke::MatchIndex(_, index) => progress.believe(index.min(last_index)),
        }
        OrderOutcome::Done(None)
    }
}
