//! A network of hosts without nodes, and sockets inside the hosts.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use cluster::hosts::{Hosts, node_address};
use cluster::levers::{Endpoint, Link, LinkRule, LinkStats};
use cluster::network::{self, NetworkKind};
use cluster::system::NodeId;

/// How long a datagram may take on a busy machine that is to arrive.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing has to arrive until it counts as lost.
const SILENCE: Duration = Duration::from_millis(200);

/// Hosts that are connected.
pub(crate) struct Network {
    // The network goes before its hosts.
    pub(crate) links: network::Network,
    pub(crate) hosts: Hosts,
}

/// One of this kind.
pub(crate) fn network(kind: NetworkKind, nodes: u16) -> Network {
    let (hosts, links) =
        network::Network::build(kind, nodes, 1).unwrap_or_else(|error| panic!("{kind:?}: {error}"));
    Network { links, hosts }
}

#[allow(dead_code, reason = "not every test program looks at everything")]
impl Network {
    /// A UDP socket on a node's host.
    pub(crate) fn udp(&self, node: u16) -> UdpSocket {
        self.udp_on(node, 9000)
    }

    /// The same on this port.
    pub(crate) fn udp_on(&self, node: u16, port: u16) -> UdpSocket {
        let address = node_address(NodeId(node));
        self.on(node, || UdpSocket::bind((address, port)))
    }

    /// Does this on a node's host.
    pub(crate) fn on<T: Send>(&self, node: u16, work: impl FnOnce() -> std::io::Result<T> + Send) -> T {
        self.hosts.node(NodeId(node)).expect("a host").run(work).expect("done on the host")
    }

    /// Gives these links this rule.
    pub(crate) fn cut(&self, links: &[(Endpoint, Endpoint)], rule: LinkRule) -> Instant {
        let rules: Vec<_> = links.iter().map(|(from, to)| (Link { from: *from, to: *to }, rule)).collect();
        self.links.set_links(&rules).expect("rules")
    }

    /// The rule and the counters of a link.
    pub(crate) fn link(&self, from: Endpoint, to: Endpoint) -> (LinkRule, LinkStats) {
        self.links.link(Link { from, to })
    }

    /// The counters of a link between nodes.
    pub(crate) fn stats(&self, from: u16, to: u16) -> LinkStats {
        self.link(node(from), node(to)).1
    }
}

/// A node's end of a link.
pub(crate) fn node(n: u16) -> Endpoint {
    Endpoint::Node(NodeId(n))
}

/// Every directed link.
#[allow(dead_code, reason = "not every test program cuts them all")]
pub(crate) fn all_links(nodes: u16) -> Vec<(Endpoint, Endpoint)> {
    let ends: Vec<Endpoint> = std::iter::once(Endpoint::Clients).chain((1..=nodes).map(node)).collect();
    let pairs = ends.iter().flat_map(|a| ends.iter().map(move |b| (*a, *b)));
    pairs.filter(|(a, b)| a != b).collect()
}

/// How many of `count` datagrams arrive, the first after all have been sent.
pub(crate) fn arriving(from: &UdpSocket, to: &UdpSocket, count: u8) -> usize {
    let target = to.local_addr().expect("an address");
    for number in 0..count {
        from.send_to(&[number], target).expect("sending is not what fails");
    }
    let mut buffer = [0; 8];
    let mut patience = |waiting| {
        to.set_read_timeout(Some(waiting)).expect("a timeout");
        to.recv_from(&mut buffer).is_ok()
    };
    // Nothing at all is the usual answer of a cut; whoever lets one through lets the others through, if slowly.
    if !patience(SILENCE) {
        return 0;
    }
    1 + (1..count).take_while(|_| patience(PATIENCE)).count()
}
