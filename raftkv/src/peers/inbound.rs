//! The receiving side: accepting, checking who speaks, and reading frames.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::codec::{self, FRAME_MAX, FrameError, HELLO_MAX, Hello, PROTOCOL};
use super::gate::Gate;
use super::known::Verdict;
use super::{Backlog, Outbox};
use crate::datadir::same_cluster;
use crate::raft::io::NodeId;
use crate::raft::message::Message;
use crate::raft::rules::Rules;

/// How long a connection may take to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a refused connection is held, so that its node does not try again at once.
const REFUSAL_PAUSE: Duration = Duration::from_secs(1);
/// How often it is asked whether a stranger has become a member.
const MEMBER_PAUSE: Duration = Duration::from_millis(20);
/// Connections beyond the one of each peer: replaced ones that end, and strangers.
const SPARE_CONNECTIONS: usize = 32;

/// The connection that each peer opened last.
type Current = Arc<Mutex<HashMap<NodeId, AbortHandle>>>;

/// Accepts connections, for ever.
pub(super) async fn run(listener: TcpListener, known: Outbox, gate: Gate, backlog: Backlog) {
    let slots = Arc::new(Semaphore::new(known.config.others.len() + SPARE_CONNECTIONS));
    let receiver = Receiver { known, gate, backlog, current: Current::default() };
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("peers: cannot accept: {error}");
                // Out of descriptors, most likely: it does not get better by trying at once.
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            tracing::warn!("peers: too many connections, closed the one from {address}");
            continue;
        };
        let receiver = receiver.clone();
        tokio::spawn(async move {
            if let Err(error) = receiver.connection(stream).await {
                tracing::warn!("peers: closed the connection from {address}: {error}");
            }
            drop(slot);
        });
    }
}

/// Why a connection was closed by this side.
#[derive(Debug, thiserror::Error)]
enum Closed {
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("it did not say who it is")]
    Silent,
    #[error("{0}")]
    Stranger(String),
}

#[derive(Clone)]
struct Receiver {
    known: Outbox,
    gate: Gate,
    backlog: Backlog,
    current: Current,
}

impl Receiver {
    /// Serves one connection. An end or a failure of the network is not an error.
    async fn connection(&self, stream: TcpStream) -> Result<(), Closed> {
        let rules = self.known.config.rules.clone();
        let mut reader = Reader { stream, rules, buffer: Vec::new(), used: 0 };
        let hello = match timeout(HELLO_TIMEOUT, reader.next::<Hello>(HELLO_MAX)).await {
            Ok(Ok(Some(hello))) => hello,
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Err(Closed::Silent),
        };
        if let Err(reason) = self.check(&hello) {
            // It would come back at once.
            sleep(REFUSAL_PAUSE).await;
            return Err(Closed::Stranger(reason));
        }
        self.becomes_member(hello.from).await?;
        self.recognise(&hello).await?;
        let receiver = self.clone();
        let from = hello.from;
        let reading = tokio::spawn(async move { receiver.messages(reader, from).await });
        let replaced = self.lock().insert(from, reading.abort_handle());
        if let Some(older) = replaced {
            older.abort();
        }
        match reading.await {
            Ok(result) => result,
            // Aborted, because the peer opened another connection.
            Err(_) => Ok(()),
        }
    }

    /// Whether the other side is a member of this cluster that means this node.
    fn check(&self, hello: &Hello) -> Result<(), String> {
        let config = &self.known.config;
        if hello.protocol != PROTOCOL {
            return Err(format!("it speaks protocol {}, this node speaks {PROTOCOL}", hello.protocol));
        }
        if !same_cluster(&config.rules, &hello.cluster, &config.cluster) {
            return Err(format!(
                "it belongs to cluster `{}`, this node to `{}`",
                hello.cluster, config.cluster
            ));
        }
        if hello.to != config.id {
            return Err(format!("it wants n{}, this is n{}", hello.to.0, config.id.0));
        }
        Ok(())
    }

    /// Waits for a while until the node is a member. One that is to join comes before it is added, again and again.
    async fn becomes_member(&self, node: NodeId) -> Result<(), Closed> {
        let patience = Instant::now() + REFUSAL_PAUSE;
        while !self.known.knows(node) {
            if Instant::now() >= patience {
                return Err(Closed::Stranger(format!("{node} is not a member")));
            }
            sleep(MEMBER_PAUSE).await;
        }
        Ok(())
    }

    /// Whether the other side is the member that this node knows under that name.
    async fn recognise(&self, hello: &Hello) -> Result<(), Closed> {
        let (node, incarnation) = (hello.from, hello.incarnation.clone());
        let acquaintances = self.known.config.acquaintances.clone();
        match acquaintances.judge(node, &incarnation) {
            Verdict::Known => Ok(()),
            Verdict::New => {
                let kept =
                    tokio::task::spawn_blocking(move || acquaintances.remember(node, incarnation)).await;
                kept.unwrap_or_else(|error| Err(error.to_string())).map_err(Closed::Stranger)
            }
            Verdict::Refused(reason) => {
                tracing::error!("peers: {reason}");
                // It would come back at once.
                sleep(REFUSAL_PAUSE).await;
                Err(Closed::Stranger(format!("{node} is not who it was")))
            }
        }
    }

    async fn messages(&self, mut reader: Reader, from: NodeId) -> Result<(), Closed> {
        while let Some(message) = reader.next::<Message>(FRAME_MAX).await? {
            if !self.gate.arrive(from, message) {
                return Ok(());
            }
            while self.backlog.is_full() {
                sleep(Duration::from_millis(1)).await;
            }
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<NodeId, AbortHandle>> {
        self.current.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Reads frames from a stream.
struct Reader {
    stream: TcpStream,
    rules: Rules,
    buffer: Vec<u8>,
    /// How much of the buffer was decoded already.
    used: usize,
}

impl Reader {
    /// How much is read at once.
    const CHUNK: usize = 64 << 10;

    /// The next frame; `None` when the connection has ended.
    async fn next<T: for<'de> serde::Deserialize<'de>>(
        &mut self,
        max: usize,
    ) -> Result<Option<T>, FrameError> {
        loop {
            if let Some((value, len)) = codec::decode_under(&self.rules, &self.buffer[self.used..], max)? {
                self.used += len;
                return Ok(Some(value));
            }
            self.buffer.drain(..self.used);
            self.used = 0;
            if self.buffer.is_empty() {
                self.buffer.shrink_to(Self::CHUNK);
            }
            self.buffer.reserve(Self::CHUNK);
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => {}
            }
        }
    }
}
