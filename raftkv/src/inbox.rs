//! What can happen to a node, and the queue in which it waits for the driver.
//!
//! Whoever has something to tell the node holds a clone of the [`Inbox`] and puts a [`Happening`] into it: the tasks of the
//! same thread (HTTP, peers) as well as other threads (the writer, whatever works in the background). The driver takes all
//! that is there at once, so what arrives together shares one step of the core and one write to the disk.
//!
//! A new kind of input is a variant of [`Happening`] and an arm of `Driver::take`. A new question of clients is a variant of
//! [`Ask`] and an arm of `Driver::call`; it is answered with an [`Answer`] through the sender that came with it. What the
//! core wants done is carried out in `Driver::carry_out` and nowhere else.
//!
//! Invariant: order is kept, and putting never blocks. The queue itself has no limit; each of its sources has one: clients
//! by their connections, peers by [`Backlog`](crate::peers::Backlog), the writer by the jobs that it was given.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::raft::control::{Order, OrderOutcome};
use crate::raft::io::{NodeId, ReadAsk, Refusal};
use crate::raft::message::Message;
use crate::raft::status::Status;
use crate::snapshot::Done;
use crate::store::Reply;
use crate::writer::Report;

/// What can happen to a node.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A peer's message arrived.
    Peer(NodeId, Message),
    /// A client asks for something.
    Call(Call),
    /// Somebody wants to know the state.
    Status(oneshot::Sender<NodeStatus>),
    /// An operator orders something.
    Order(Order, oneshot::Sender<OrderOutcome>),
    /// The writer has something to say.
    Writer(Report),
    /// Something about a snapshot is done.
    Snapshots(Done),
    /// The node is to stop.
    Stop,
}

/// A client's request.
#[derive(Debug)]
pub(crate) struct Call {
    /// What it asks.
    pub(crate) ask: Ask,
    /// Where the answer goes.
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// What a client asks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// A command through the log.
    Propose(Vec<u8>),
    /// A read of a key through the log, whatever the rules say.
    ReadLog(Vec<u8>),
    /// A read of a key without an entry of its own, unless the rules say so.
    Read(String, ReadAsk),
}

/// How a request ended.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The state machine's reply, at this index of the log.
    Done { index: u64, reply: Reply },
    /// Refused without effect.
    Refused(Refusal),
    /// Nobody knows.
    Unknown(&'static str),
}

/// The state of the node around the core.
#[derive(Debug)]
pub(crate) struct NodeStatus {
    /// The core's state.
    pub(crate) raft: Status,
    /// The rules in force.
    pub(crate) rules: Vec<(&'static str, String)>,
    /// How much longer a leader's lease lasts, as far as it knows.
    pub(crate) lease_left: Option<Duration>,
    /// The end of the log: index, term and kind of each entry, oldest first.
    pub(crate) log: Vec<(u64, u64, &'static str)>,
    /// Keys in the store.
    pub(crate) keys: usize,
    /// Sessions in the store.
    pub(crate) sessions: usize,
    /// Open requests.
    pub(crate) pending: usize,
}

/// The way to the driver. Cheap to clone, usable from every thread.
#[derive(Clone, Debug)]
pub(crate) struct Inbox(mpsc::UnboundedSender<Happening>);

/// Where the driver finds what was put into the [`Inbox`].
#[derive(Debug)]
pub(crate) struct Arrivals(mpsc::UnboundedReceiver<Happening>);

impl Inbox {
    /// An empty queue and its end.
    pub(crate) fn new() -> (Self, Arrivals) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), Arrivals(receiver))
    }

    /// Tells the node. Returns false if it has ended; then what was told is dropped, and with it the sender of its answer.
    pub(crate) fn put(&self, happening: Happening) -> bool {
        self.0.send(happening).is_ok()
    }
}

impl Arrivals {
    /// Waits until something is there and moves up to `max` of it to `taken`; returns how much, 0 if nothing can come any
    /// more. Nothing is lost if the future is dropped.
    pub(crate) async fn take(&mut self, taken: &mut Vec<Happening>, max: usize) -> usize {
        self.0.recv_many(taken, max).await
    }
}
