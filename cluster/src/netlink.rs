//! As much of rtnetlink as the hosts of a run need: veth pairs, addresses, neighbours.
//!
//! Invariant: every request is answered by the kernel before the call returns; nothing is left in flight. Deliberately
//! lacks dumps and notifications, which nothing here asks for.
//! Reference: rtnetlink(7).

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// An Ethernet address.
pub(crate) type Mac = [u8; 6];

/// One end of a veth pair to be made.
pub(crate) struct VethEnd<'a> {
    /// The interface's name.
    pub(crate) name: &'a str,
    /// Its Ethernet address.
    pub(crate) mac: Mac,
}

/// A netlink socket in the network namespace of the thread that opened it.
pub(crate) struct Netlink {
    fd: OwnedFd,
    sequence: u32,
}

/// `VETH_INFO_PEER` of linux/veth.h, which libc lacks.
const VETH_INFO_PEER: u16 = 1;
/// The size of `struct nlmsghdr`.
const HEADER: usize = 16;
/// The size of `struct ifinfomsg`.
const IFINFOMSG: usize = 16;

impl Netlink {
    /// Opens one here.
    pub(crate) fn open() -> io::Result<Self> {
        // SAFETY: a plain socket call.
        let fd = unsafe {
            libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and belongs to nobody else.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) }, sequence: 0 })
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
                    peer.bytes.extend_from_slice(&ifinfomsg(0, 0));
                    peer.text(libc::IFLA_IFNAME, far.name);
                    peer.attribute(libc::IFLA_ADDRESS, &far.mac);
                    peer.attribute(libc::IFLA_NET_NS_FD, &far_netns.as_raw_fd().to_ne_bytes());
                });
            });
        });
        self.ask(request)
    }

    /// Sets an interface up.
    pub(crate) fn set_up(&mut self, index: u32) -> io::Result<()> {
        let up = libc::IFF_UP as u32;
        self.ask(Request::new(libc::RTM_NEWLINK, 0, &ifinfomsg(index, up)))
    }

    /// Removes an interface, and with it its peer.
    pub(crate) fn delete_link(&mut self, index: u32) -> io::Result<()> {
        self.ask(Request::new(libc::RTM_DELLINK, 0, &ifinfomsg(index, 0)))
    }

    /// Adds an address to an interface, and the route to its network.
    pub(crate) fn add_address(&mut self, index: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let mut header = vec![libc::AF_INET as u8, prefix, 0, 0];
        header.extend_from_slice(&index.to_ne_bytes());
        let mut request = Request::new(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &header);
        request.attribute(libc::IFA_LOCAL, &address.octets());
        request.attribute(libc::IFA_ADDRESS, &address.octets());
        self.ask(request)
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
        self.ask(request)
    }

    /// Sends one request and waits for its acknowledgement.
    fn ask(&mut self, mut request: Request) -> io::Result<()> {
        self.sequence += 1;
        let length = request.bytes.len() as u32;
        request.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        request.bytes[8..12].copy_from_slice(&self.sequence.to_ne_bytes());
        // SAFETY: the buffer is valid for its length.
        let sent =
            unsafe { libc::send(self.fd.as_raw_fd(), request.bytes.as_ptr().cast(), request.bytes.len(), 0) };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        let mut answer = [0u8; 8192];
        loop {
            // SAFETY: the buffer is valid for its length.
            let got = unsafe { libc::recv(self.fd.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0) };
            if got < 0 {
                let error = io::Error::last_os_error();
                if error.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(error);
            }
            if let Some(result) = acknowledgement(&answer[..got as usize], self.sequence) {
                return result;
            }
        }
    }
}

/// The index of an interface in the network namespace of the calling thread.
pub(crate) fn index_of(name: &str) -> io::Result<u32> {
    nix::net::if_::if_nametoindex(name).map_err(io::Error::from)
}

/// The result that the datagram carries for the request of this number, if it does.
fn acknowledgement(datagram: &[u8], sequence: u32) -> Option<io::Result<()>> {
    let word =
        |at: usize| -> Option<u32> { Some(u32::from_ne_bytes(datagram.get(at..at + 4)?.try_into().ok()?)) };
    let mut at = 0;
    while let (Some(length), Some(number)) = (word(at), word(at + 8)) {
        let kind = u16::from_ne_bytes([datagram[at + 4], datagram[at + 5]]);
        if i32::from(kind) == libc::NLMSG_ERROR && number == sequence {
            return match word(at + HEADER)? as i32 {
                0 => Some(Ok(())),
                negative => Some(Err(io::Error::from_raw_os_error(-negative))),
            };
        }
        if (length as usize) < HEADER {
            return None;
        }
        at += (length as usize).next_multiple_of(4);
    }
    None
}

fn ifinfomsg(index: u32, flags: u32) -> [u8; IFINFOMSG] {
    let mut message = [0; IFINFOMSG];
    message[4..8].copy_from_slice(&index.to_ne_bytes());
    message[8..12].copy_from_slice(&flags.to_ne_bytes());
    // The mask of the flags that are meant.
    message[12..16].copy_from_slice(&flags.to_ne_bytes());
    message
}

/// A request under construction: header, fixed part, attributes, everything aligned to four bytes.
struct Request {
    bytes: Vec<u8>,
}

impl Request {
    fn new(kind: u16, flags: i32, fixed: &[u8]) -> Self {
        let flags = (flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(fixed);
        Self { bytes }
    }

    fn attribute(&mut self, kind: u16, content: &[u8]) {
        let length = (4 + content.len()) as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn text(&mut self, kind: u16, content: &str) {
        let mut terminated = content.as_bytes().to_vec();
        terminated.push(0);
        self.attribute(kind, &terminated);
    }

    fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.attribute(kind | libc::NLA_F_NESTED as u16, &[]);
        fill(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_aligned_and_nests_know_their_length() {
        let mut request = Request::new(libc::RTM_NEWLINK, 0, &ifinfomsg(7, 1));
        request.text(libc::IFLA_IFNAME, "p1");
        request.nest(libc::IFLA_LINKINFO, |info| info.attribute(9, &[1, 2, 3, 4, 5]));
        assert_eq!(request.bytes.len() % 4, 0);
        let nest = &request.bytes[HEADER + IFINFOMSG + 8..];
        assert_eq!(u16::from_ne_bytes([nest[0], nest[1]]) as usize, nest.len());
        assert_eq!(nest.len(), 4 + 12);
    }

    #[test]
    fn an_answer_to_another_request_is_not_ours() {
        let mut answer = Request::new(libc::NLMSG_ERROR as u16, 0, &(-libc::EEXIST).to_ne_bytes()).bytes;
        answer[0..4].copy_from_slice(&20u32.to_ne_bytes());
        answer[8..12].copy_from_slice(&3u32.to_ne_bytes());
        assert!(acknowledgement(&answer, 4).is_none());
        let error = acknowledgement(&answer, 3).unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EEXIST));
        assert!(acknowledgement(&answer[..10], 3).is_none());
    }
}
