//! Messages between nodes: one TCP connection per direction, opened by the sender.
//!
//! Invariants:
//! * Sending never blocks and, unless that is the experiment, never buffers without bound. A message may be lost at any time, which Raft expects; what is
//!   old is dropped in favour of what is new.
//! * A connection to one peer never holds up another: each has a task and a queue of its own.
//! * Within one connection order is kept. When a peer opens a new connection its older one is closed, so that an old
//!   message does not overtake.
//! * Whatever arrives on the port, the worst that happens is a closed connection and a line in the log.
//!
//! A partition drops packets silently, so a connection is watched: once the kernel had to retransmit, fresh attempts start
//! beside it and replace it if they get through first. After a heal that takes one interval between attempts, where TCP
//! itself would wait for its next, ever later, retransmission.

pub mod codec;
pub mod gate;
mod inbound;
pub mod known;
mod outbound;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::raft::io::NodeId;
use crate::raft::message::Message;
use crate::raft::rules::Rules;
use gate::Gate;
use known::{Acquaintances, Incarnation};

/// Where received messages go. Returns false once nobody takes them any more.
pub type Deliver = Arc<dyn Fn(NodeId, Message) -> bool + Send + Sync>;

/// Who this node is and whom it talks to.
#[derive(Clone, Debug)]
pub struct PeersConfig {
    /// This node.
    pub id: NodeId,
    /// Its cluster.
    pub cluster: String,
    /// The other members that are known from the start, and their peer addresses.
    pub others: BTreeMap<NodeId, SocketAddr>,
    /// How much may wait for a slow one.
    pub patience: Patience,
    /// Which start of which data directory this node is.
    pub incarnation: Incarnation,
    /// Who the others were before.
    pub acquaintances: Acquaintances,
    /// The rules of this node.
    pub rules: Rules,
}

/// How much may wait for a peer that takes its messages slowly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patience {
    /// So many messages and bytes; what is older is dropped, and the core sends it again.
    #[default]
    Bounded,
    /// Everything: the experiment of a leader without flow control.
    Endless,
}

/// The connections to all other members.
#[derive(Clone, Debug)]
pub struct Peers {
    outbox: Outbox,
    backlog: Backlog,
    gate: Gate,
}

impl Peers {
    /// Starts to listen and to connect, as tasks of the runtime that this is called in; they end with it.
    pub fn spawn(config: PeersConfig, listener: TcpListener, deliver: Deliver) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let outbox = Outbox { config: Arc::new(config), queues: Arc::default() };
        for (&id, &address) in &outbox.config.others {
            outbox.know(id, address);
        }
        let backlog = Backlog::default();
        let gate = Gate::new(deliver, backlog.clone());
        tokio::spawn(inbound::run(listener, outbox.clone(), gate.clone(), backlog.clone()));
        Ok(Self { outbox, backlog, gate })
    }

    /// The way to the other members.
    pub fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }

    /// What an experiment holds and drops arriving messages with.
    pub fn gate(&self) -> Gate {
        self.gate.clone()
    }

    /// The count of messages that were delivered and not yet taken.
    pub fn backlog(&self) -> Backlog {
        self.backlog.clone()
    }
}

/// Counts the messages between the reading tasks and the core, so that reading can wait for the core.
#[derive(Clone, Debug, Default)]
pub struct Backlog(Arc<AtomicUsize>);

impl Backlog {
    /// Above this, nothing is read from peers until the core has caught up.
    const MAX: usize = 8192;

    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One delivered message was taken.
    pub fn taken(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) > Self::MAX
    }
}

/// The way to the other members. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbox {
    config: Arc<PeersConfig>,
    /// One for each node that was ever known to be a member. Who was removed stays here, since it may still ask.
    queues: Arc<Mutex<BTreeMap<NodeId, Arc<Queue>>>>,
}

impl Outbox {
    /// Sends a message, or drops it if its receiver is not known or too far behind.
    pub fn send(&self, to: NodeId, message: Message) {
        if let Some(queue) = self.lock().get(&to) {
            queue.push(message);
        }
    }

    /// Talks to this node at this address from now on, and listens to it. A node that is known elsewhere has moved, for
    /// example because it was removed and added again: what waits for it goes there. To be called in the runtime.
    pub fn know(&self, id: NodeId, address: SocketAddr) {
        let mut queues = self.lock();
        let known = queues.get(&id);
        if id == self.config.id || known.is_some_and(|queue| queue.is_for(address)) {
            return;
        }
        let queue = known.cloned().unwrap_or_else(|| Arc::new(Queue::new(self.config.patience)));
        let hello = codec::Hello {
            protocol: codec::PROTOCOL,
            cluster: self.config.cluster.clone(),
            from: self.config.id,
            to: id,
            incarnation: self.config.incarnation.clone(),
        };
        queues.insert(id, queue.clone());
        let task = tokio::spawn(outbound::run(address, hello, queue.clone()));
        queue.is_emptied_by(address, task.abort_handle());
    }

    /// Whether this node was ever known to be a member.
    fn knows(&self, id: NodeId) -> bool {
        self.lock().contains_key(&id)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, Arc<Queue>>> {
        self.queues.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// What waits for one peer.
#[derive(Debug, Default)]
struct Queue {
    patience: Patience,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Message>,
    bytes: usize,
    connected: Connected,
    /// Where they go, and the task that carries them.
    carrier: Option<(SocketAddr, AbortHandle)>,
}

/// Whether anything takes messages out of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Connected {
    #[default]
    No,
    Yes,
}

impl Queue {
    /// Messages that may wait for a connection that is there.
    const MESSAGES_MAX: usize = 4096;
    /// Their bytes.
    const BYTES_MAX: usize = 16 << 20;
    /// Messages that are kept for a connection that is not there: the last ones, for a first contact without delay.
    const OFFLINE_MAX: usize = 16;

    fn new(patience: Patience) -> Self {
        Self { patience, ..Self::default() }
    }

    fn push(&self, message: Message) {
        let mut waiting = self.lock();
        waiting.bytes += size(&message);
        waiting.messages.push_back(message);
        let (messages_max, bytes_max) = match (waiting.connected, self.patience) {
            (Connected::Yes, Patience::Bounded) => (Self::MESSAGES_MAX, Self::BYTES_MAX),
            (Connected::Yes, Patience::Endless) => (usize::MAX, usize::MAX),
            (Connected::No, _) => (Self::OFFLINE_MAX, Self::BYTES_MAX),
        };
        while waiting.messages.len() > messages_max
            || (waiting.bytes > bytes_max && waiting.messages.len() > 1)
        {
            if let Some(oldest) = waiting.messages.pop_front() {
                waiting.bytes -= size(&oldest);
            }
        }
        let first = waiting.messages.len() == 1;
        drop(waiting);
        if first {
            self.wake.notify_one();
        }
    }

    /// Waits until something is there and takes all of it.
    async fn take(&self) -> VecDeque<Message> {
        loop {
            let woken = self.wake.notified();
            let taken = {
                let mut waiting = self.lock();
                waiting.bytes = 0;
                std::mem::take(&mut waiting.messages)
            };
            if !taken.is_empty() {
                return taken;
            }
            woken.await;
        }
    }

    /// Whether what waits goes to this address.
    fn is_for(&self, address: SocketAddr) -> bool {
        self.lock().carrier.as_ref().is_some_and(|(known, _)| *known == address)
    }

    /// What waits goes to this address by this task from now on, and no longer by the one before.
    fn is_emptied_by(&self, address: SocketAddr, task: AbortHandle) {
        let mut waiting = self.lock();
        waiting.connected = Connected::No;
        if let Some((_, before)) = waiting.carrier.replace((address, task)) {
            before.abort();
        }
    }

    fn set_connected(&self, connected: Connected) {
        self.lock().connected = connected;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// About how many bytes a message takes.
fn size(message: &Message) -> usize {
    const SMALL: usize = 32;
    match message {
        Message::AppendEntries(append) => {
            SMALL + append.entries.iter().map(|entry| entry.size_bytes()).sum::<usize>()
        }
        Message::InstallSnapshot(part) => SMALL + part.data.len(),
        _ => SMALL,
    }
}

#[cfg(test)]
mod tests;
