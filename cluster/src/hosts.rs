//! The hosts of a run: a network namespace per node, one for what connects them, and the sandbox's own for the clients.
//!
//! Invariant: no frame gets from one host to another except through what lies in the middle, the packet switch or a bridge of
//! the kernel, which is told where the ends of the cables are. None is ever lost to ARP: every
//! host knows every other's Ethernet address from the start. So a cut is silent, and healing it is immediate.
//! Deliberately lacks IPv6, DNS, a gateway, and any way to the world outside.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, setns, unshare};

use crate::levers::Endpoint;
use crate::netlink::route::{Mac, Route, VethEnd, index_of};
use crate::switch::Port;
use crate::system::NodeId;

/// The address that clients have.
pub const CLIENTS: Ipv4Addr = Ipv4Addr::new(10, 77, 255, 1);
/// The address that the harness watches nodes from; the switch never cuts it.
pub const CONTROL: Ipv4Addr = Ipv4Addr::new(10, 77, 255, 2);
/// The most nodes that one cluster can have.
pub const NODES_MAX: u16 = 254;

const PREFIX: u8 = 16;
const LOOPBACK_INDEX: u32 = 1;
const CLIENTS_MAC: Mac = [0x02, 0x77, 0, 0, 0xff, 0x01];
/// The interface of every host.
const INTERFACE: &str = "eth0";

/// The address of a node.
pub fn node_address(node: NodeId) -> Ipv4Addr {
    let [high, low] = node.0.to_be_bytes();
    Ipv4Addr::new(10, 77, high, low)
}

/// The port of the switch that a host's Ethernet address belongs to: 0 for the clients, n for node n.
pub(crate) fn port_of(mac: &[u8]) -> Option<usize> {
    match mac {
        [0x02, 0x77, 0, 0, 0xff, 0x01] => Some(0),
        [0x02, 0x77, 0, 0, high, low] => Some(usize::from(u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}

/// The same of a host; of one that no cluster has, more than any number of ports.
pub(crate) fn port_number(endpoint: Endpoint) -> usize {
    match endpoint {
        Endpoint::Clients => 0,
        Endpoint::Node(node) if node.0 == 0 => usize::MAX,
        Endpoint::Node(node) => usize::from(node.0),
    }
}

fn node_mac(node: NodeId) -> Mac {
    let [high, low] = node.0.to_be_bytes();
    [0x02, 0x77, 0, 0, high, low]
}

/// A network namespace, alive as long as this is.
#[derive(Debug)]
pub struct Netns(OwnedFd);

impl Netns {
    /// A new, empty one.
    pub fn new() -> io::Result<Self> {
        on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Self::current()
        })
    }

    /// That of the calling thread.
    fn current() -> io::Result<Self> {
        File::open("/proc/thread-self/ns/net").map(|file| Self(file.into()))
    }

    /// Runs `work` on a thread of its own inside the namespace. Sockets that it opens stay there.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_thread(|| {
            setns(self.0.as_fd(), CloneFlags::CLONE_NEWNET)?;
            work()
        })
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A thread changes its namespaces for good, so each change gets a thread that ends.
fn on_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        scope.spawn(work).join().unwrap_or_else(|_| Err(io::Error::other("a namespace thread panicked")))
    })
}

/// The hosts of one cluster.
#[derive(Debug)]
pub struct Hosts {
    nodes: Vec<Netns>,
    clients: Netns,
    /// Held open only: it keeps the other ends of all cables alive.
    _middle: Netns,
}

/// The end of a host's cable that lies in the middle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cable {
    /// The interface, in the namespace in the middle.
    pub(crate) index: u32,
    /// The Ethernet address of the host.
    pub(crate) mac: Mac,
}

impl Hosts {
    /// Makes the hosts of `nodes` nodes, and the ports that a switch has to connect: the clients' first, then the
    /// nodes' in order. The calling thread's network namespace becomes the clients' host.
    pub fn build(nodes: u16) -> io::Result<(Self, Vec<Port>)> {
        Self::connected(nodes, |cables| cables.iter().map(|cable| Port::open(cable.index)).collect())
    }

    /// Makes the hosts of `nodes` nodes, connected by what `connect` makes of the cables' ends: the clients' first, then the
    /// nodes' in order. It is called in the namespace of those ends, before the hosts use their own.
    pub(crate) fn connected<T: Send>(
        nodes: u16,
        connect: impl FnOnce(&[Cable]) -> io::Result<T> + Send,
    ) -> io::Result<(Self, T)> {
        if nodes == 0 || nodes > NODES_MAX {
            let message = format!("a cluster has 1 to {NODES_MAX} nodes, not {nodes}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let clients = Netns::current()?;
        let middle = Netns::new()?;
        let spaces = (0..nodes).map(|_| Netns::new()).collect::<io::Result<Vec<_>>>()?;
        let connection = middle.run(|| {
            disable_ipv6();
            let mut netlink = Route::open()?;
            let mut cables = vec![plug(&mut netlink, 0, CLIENTS_MAC, &clients)?];
            for (id, space) in ids(nodes).zip(&spaces) {
                cables.push(plug(&mut netlink, usize::from(id.0), node_mac(id), space)?);
            }
            connect(&cables)
        })?;
        let hosts = Self { nodes: spaces, clients, _middle: middle };
        hosts.clients.run(|| configure_clients(nodes))?;
        for (id, space) in ids(nodes).zip(&hosts.nodes) {
            space.run(|| configure_node(id, nodes))?;
        }
        Ok((hosts, connection))
    }

    /// The namespace of a node.
    pub fn node(&self, node: NodeId) -> Option<&Netns> {
        self.nodes.get(usize::from(node.0).checked_sub(1)?)
    }

    /// All members with their addresses.
    pub fn members(&self) -> Vec<(NodeId, IpAddr)> {
        ids(self.nodes.len() as u16).map(|id| (id, IpAddr::V4(node_address(id)))).collect()
    }
}

impl Drop for Hosts {
    /// The namespaces go with their last user; the clients' end lies in a namespace that stays, and would be in the
    /// way of the next cluster.
    fn drop(&mut self) {
        let _ = self.clients.run(|| Route::open()?.delete_link(index_of(INTERFACE)?));
    }
}

fn ids(nodes: u16) -> impl Iterator<Item = NodeId> {
    (1..=nodes).map(NodeId)
}

/// Lays a cable from the middle (whose namespace this thread is in) to a host.
fn plug(netlink: &mut Route, number: usize, mac: Mac, host: &Netns) -> io::Result<Cable> {
    let name = format!("p{number}");
    let near = VethEnd { name: &name, mac: [0x02, 0x78, mac[2], mac[3], mac[4], mac[5]] };
    netlink.add_veth(&near, &VethEnd { name: INTERFACE, mac }, host.as_fd())?;
    let index = index_of(&name)?;
    netlink.set_up(index)?;
    Ok(Cable { index, mac })
}

fn configure_clients(nodes: u16) -> io::Result<()> {
    disable_ipv6();
    let mut netlink = Route::open()?;
    netlink.set_up(LOOPBACK_INDEX)?;
    let index = index_of(INTERFACE)?;
    // The first address is the one that sockets get which do not ask for another.
    netlink.add_address(index, CLIENTS, PREFIX)?;
    netlink.add_address(index, CONTROL, PREFIX)?;
    netlink.set_up(index)?;
    for id in ids(nodes) {
        netlink.add_neighbour(index, node_address(id), node_mac(id))?;
    }
    Ok(())
}

fn configure_node(own: NodeId, nodes: u16) -> io::Result<()> {
    disable_ipv6();
    let mut netlink = Route::open()?;
    netlink.set_up(LOOPBACK_INDEX)?;
    let index = index_of(INTERFACE)?;
    netlink.add_address(index, node_address(own), PREFIX)?;
    netlink.set_up(index)?;
    netlink.add_neighbour(index, CLIENTS, CLIENTS_MAC)?;
    netlink.add_neighbour(index, CONTROL, CLIENTS_MAC)?;
    for id in ids(nodes).filter(|id| *id != own) {
        netlink.add_neighbour(index, node_address(id), node_mac(id))?;
    }
    Ok(())
}

/// Spares the network the neighbour discovery of IPv6, which it would drop. A kernel without IPv6, or a read-only
/// `/proc/sys`, is no reason to fail.
fn disable_ipv6() {
    for scope in ["all", "default"] {
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"), "1");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ethernet_addresses_name_ports() {
        assert_eq!(port_of(&CLIENTS_MAC), Some(0));
        for node in [1, 2, NODES_MAX] {
            assert_eq!(port_of(&node_mac(NodeId(node))), Some(usize::from(node)));
        }
        assert_eq!(port_of(&[0xff; 6]), None);
        assert_eq!(port_of(&[0x33, 0x33, 0, 0, 0, 1]), None);
    }

    #[test]
    fn no_node_has_the_address_of_the_clients() {
        let mut all: Vec<Ipv4Addr> = ids(NODES_MAX).map(node_address).collect();
        all.extend([CLIENTS, CONTROL]);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), usize::from(NODES_MAX) + 2);
    }
}
