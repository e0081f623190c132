//! Where clients find the members, for the hint where the leader is and for carrying writes to it.
//!
//! Invariant: whoever may lead is in it, also a node that joined later: it holds the first members and everybody whom a
//! configuration has named with an address since. A wrong address costs a client a detour, never an answer that is wrong.
//! What it lacks on purpose: forgetting. Who was removed may still be named as the last known leader.
//! Reference: section 6.2 of the thesis on how clients find the leader.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::raft::io::NodeId;

/// The client addresses of all known members. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct AddressBook {
    /// The port of clients, the same on all members.
    port: u16,
    known: Arc<Mutex<BTreeMap<NodeId, IpAddr>>>,
}

impl AddressBook {
    /// The first members.
    pub(crate) fn new(port: u16, first: BTreeMap<NodeId, IpAddr>) -> Self {
        Self { port, known: Arc::new(Mutex::new(first)) }
    }

    /// A configuration says where this node is.
    pub(crate) fn know(&self, node: NodeId, address: IpAddr) {
        self.lock().insert(node, address);
    }

    /// Where clients find this node.
    pub(crate) fn of(&self, node: NodeId) -> Option<SocketAddr> {
        self.lock().get(&node).map(|&address| SocketAddr::new(address, self.port))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, IpAddr>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
