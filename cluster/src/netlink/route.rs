//! As much of rtnetlink as the hosts of a run need: veth pairs, a bridge, addresses, neighbours.
//!
//! Invariant: what a call asks for is there when it returns. Deliberately lacks dumps and notifications.
//! Reference: rtnetlink(7), linux/if_link.h.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::Socket;
use super::message::{self, Request};

/// An Ethernet address.
pub(crate) type Mac = [u8; 6];

/// One end of a veth pair to be made.
pub(crate) struct VethEnd<'a> {
    /// The interface's name.
    pub(crate) name: &'a str,
    /// Its Ethernet address.
    pub(crate) mac: Mac,
}

/// A connection with the part of the kernel that keeps interfaces, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Route(Socket);

/// `VETH_INFO_PEER` of linux/veth.h, which libc lacks.
const VETH_INFO_PEER: u16 = 1;
// Of linux/if_link.h and linux/if_bridge.h, which libc lacks.
const IFLA_BR_MCAST_SNOOPING: u16 = 23;
const IFLA_BRPORT_STATE: u16 = 1;
const IFLA_BRPORT_LEARNING: u16 = 8;
const IFLA_BRPORT_UNICAST_FLOOD: u16 = 9;
const IFLA_BRPORT_MCAST_FLOOD: u16 = 27;
const IFLA_BRPORT_BCAST_FLOOD: u16 = 30;
/// `BR_STATE_FORWARDING`.
const FORWARDING: u8 = 3;
/// `IF_OPER_UP`.
const OPERATIONAL: u8 = 6;
/// The queue of an interface that loses everything, until the kernel has seen that its cable is plugged in.
const NO_QUEUE_YET: &[u8] = b"noop\0";
/// The size of `struct ifinfomsg`.
const IFINFOMSG: usize = 16;

impl Route {
    /// Opens one here.
    pub(crate) fn open() -> io::Result<Self> {
        Socket::open(libc::NETLINK_ROUTE).map(Self)
    }

    /// Makes a veth pair: `near` here, `far` in the namespace `far_netns`.
    pub(crate) fn add_veth(
        &mut self,
        near: &VethEnd<'_>,
        far: &VethEnd<'_>,
        far_netns: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let mut request =
            Request::new(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &ifinfomsg(0, 0));
        request.text(libc::IFLA_IFNAME, near.name);
        request.attribute(libc::IFLA_ADDRESS, &near.mac);
        request.nest(libc::IFLA_LINKINFO, |info| {
            info.text(libc::IFLA_INFO_KIND, "veth");
            info.nest(libc::IFLA_INFO_DATA, |data| {
                data.nest(VETH_INFO_PEER, |peer| {
                    peer.raw(&ifinfomsg(0, 0));
                    peer.text(libc::IFLA_IFNAME, far.name);
                    peer.attribute(libc::IFLA_ADDRESS, &far.mac);
                    peer.attribute(libc::IFLA_NET_NS_FD, &far_netns.as_raw_fd().to_ne_bytes());
                });
            });
        });
        self.0.ask(request)
    }

    /// Sets an interface up.
    pub(crate) fn set_up(&mut self, index: u32) -> io::Result<()> {
        let up = libc::IFF_UP as u32;
        self.0.ask(Request::new(libc::RTM_NEWLINK, 0, &ifinfomsg(index, up)))
    }

    /// Removes an interface, and with it its peer.
    pub(crate) fn delete_link(&mut self, index: u32) -> io::Result<()> {
        self.0.ask(Request::new(libc::RTM_DELLINK, 0, &ifinfomsg(index, 0)))
    }

    /// Adds an address to an interface, and the route to its network.
    pub(crate) fn add_address(&mut self, index: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let mut header = vec![libc::AF_INET as u8, prefix, 0, 0];
        header.extend_from_slice(&index.to_ne_bytes());
        let mut request = Request::new(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &header);
        request.attribute(libc::IFA_LOCAL, &address.octets());
        request.attribute(libc::IFA_ADDRESS, &address.octets());
        self.0.ask(request)
    }

    /// States for good which Ethernet address an address has, so that nobody ever asks by ARP.
    pub(crate) fn add_neighbour(&mut self, index: u32, address: Ipv4Addr, mac: Mac) -> io::Result<()> {
        let mut header = vec![libc::AF_INET as u8, 0, 0, 0];
        header.extend_from_slice(&index.to_ne_bytes());
        header.extend_from_slice(&libc::NUD_PERMANENT.to_ne_bytes());
        header.extend_from_slice(&[0, 0]);
        let mut request = Request::new(libc::RTM_NEWNEIGH, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &header);
        request.attribute(libc::NDA_DST, &address.octets());
        request.attribute(libc::NDA_LLADDR, &mac);
        self.0.ask(request)
    }

    /// Makes a bridge that knows nothing of multicast.
    pub(crate) fn add_bridge(&mut self, name: &str) -> io::Result<()> {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let mut request = Request::new(libc::RTM_NEWLINK, flags, &ifinfomsg(0, 0));
        request.text(libc::IFLA_IFNAME, name);
        request.nest(libc::IFLA_LINKINFO, |info| {
            info.text(libc::IFLA_INFO_KIND, "bridge");
            info.nest(libc::IFLA_INFO_DATA, |data| data.attribute(IFLA_BR_MCAST_SNOOPING, &[0]));
        });
        self.0.ask(request)
    }

    /// Makes an interface a port of a bridge.
    pub(crate) fn join_bridge(&mut self, port: u32, bridge: u32) -> io::Result<()> {
        let mut request = Request::new(libc::RTM_NEWLINK, 0, &ifinfomsg(port, 0));
        request.attribute(libc::IFLA_MASTER, &bridge.to_ne_bytes());
        self.0.ask(request)
    }

    /// Lets a port of a bridge learn nothing, and pass nothing on that the bridge knows no port for.
    pub(crate) fn make_port_strict(&mut self, port: u32) -> io::Result<()> {
        let mut request = Request::new(libc::RTM_NEWLINK, 0, &ifinfomsg(port, 0));
        request.nest(libc::IFLA_LINKINFO, |info| {
            info.text(libc::IFLA_INFO_SLAVE_KIND, "bridge");
            info.nest(libc::IFLA_INFO_SLAVE_DATA, |data| {
                for habit in [
                    IFLA_BRPORT_LEARNING,
                    IFLA_BRPORT_UNICAST_FLOOD,
                    IFLA_BRPORT_MCAST_FLOOD,
                    IFLA_BRPORT_BCAST_FLOOD,
                ] {
                    data.attribute(habit, &[0]);
                }
            });
        });
        self.0.ask(request)
    }

    /// States for good behind which port of a bridge an Ethernet address is.
    pub(crate) fn add_forwarding(&mut self, port: u32, mac: Mac) -> io::Result<()> {
        let mut header = vec![libc::AF_BRIDGE as u8, 0, 0, 0];
        header.extend_from_slice(&port.to_ne_bytes());
        header.extend_from_slice(&libc::NUD_NOARP.to_ne_bytes());
        header.extend_from_slice(&[libc::NTF_MASTER, 0]);
        let mut request = Request::new(libc::RTM_NEWNEIGH, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &header);
        request.attribute(libc::NDA_LLADDR, &mac);
        self.0.ask(request)
    }

    /// Whether a port of a bridge passes frames in both directions. The kernel looks at a new cable when it comes to it.
    pub(crate) fn port_is_ready(&mut self, port: u32) -> io::Result<bool> {
        let answer = self.0.query(Request::new(libc::RTM_GETLINK, 0, &ifinfomsg(port, 0)))?;
        let attributes = answer.get(IFINFOMSG..).unwrap_or_default();
        let state = [libc::IFLA_LINKINFO, libc::IFLA_INFO_SLAVE_DATA, IFLA_BRPORT_STATE];
        let has_queue =
            message::at(attributes, &[libc::IFLA_QDISC]).is_some_and(|queue| queue != NO_QUEUE_YET);
        Ok(has_queue
            && message::at(attributes, &[libc::IFLA_OPERSTATE]) == Some(&[OPERATIONAL])
            && message::at(attributes, &state) == Some(&[FORWARDING]))
    }
}

/// The index of an interface in the network namespace of the calling thread.
pub(crate) fn index_of(name: &str) -> io::Result<u32> {
    nix::net::if_::if_nametoindex(name).map_err(io::Error::from)
}

fn ifinfomsg(index: u32, flags: u32) -> [u8; IFINFOMSG] {
    let mut message = [0; IFINFOMSG];
    message[4..8].copy_from_slice(&index.to_ne_bytes());
    message[8..12].copy_from_slice(&flags.to_ne_bytes());
    // The mask of the flags that are meant.
    message[12..16].copy_from_slice(&flags.to_ne_bytes());
    message
}
