//! One port of the switch: a packet socket on the far end of a host's cable.
//!
//! Invariant: every frame is read and written with its vnet header, so that segmentation and checksums that the sender
//! left to its card stay undone until the receiver takes the frame; large TCP segments cross in one piece.
//! Reference: packet(7), `struct virtio_net_hdr` in linux/virtio_net.h.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The size of the vnet header before each frame.
pub(super) const VNET_HEADER: usize = 10;

/// Two options of linux/if_packet.h which libc lacks.
const PACKET_QDISC_BYPASS: i32 = 20;
const PACKET_IGNORE_OUTGOING: i32 = 23;
/// Room for a burst while the switch's thread waits for a core.
const RECEIVE_BUFFER_BYTES: i32 = 16 << 20;
/// How often a frame is offered to a host whose queue is full.
const OFFERS_MAX: u32 = 64;

/// A packet socket on one interface of the switch's namespace.
#[derive(Debug)]
pub struct Port {
    fd: OwnedFd,
}

/// How sending a frame went.
pub(super) struct Sent {
    pub(super) retries: u32,
    pub(super) lost: bool,
}

impl Port {
    /// Opens the port on the interface with this index, in the network namespace of the calling thread.
    pub(crate) fn open(index: u32) -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // Protocol 0: the socket hears nothing at all until it is bound to its one interface.
        // SAFETY: a plain socket call.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and belongs to nobody else.
        let port = Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } };
        port.option(libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)?;
        port.option(libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)?;
        // A new interface gets its queue only when the kernel's link watcher comes by, up to a second later, and loses
        // what is sent before. Ports need no queue. The hosts' ends are set up second and get theirs at once.
        port.option(libc::SOL_PACKET, PACKET_QDISC_BYPASS, 1)?;
        // The forced size needs a privilege that not every sandbox has; the plain one is capped by the host.
        if port.option(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES).is_err() {
            port.option(libc::SOL_SOCKET, libc::SO_RCVBUF, RECEIVE_BUFFER_BYTES)?;
        }
        port.bind(index)?;
        Ok(port)
    }

    fn option(&self, level: i32, name: i32, value: i32) -> io::Result<()> {
        // SAFETY: the pointer and the length describe `value`, which outlives the call.
        let result = unsafe {
            libc::setsockopt(
                self.as_raw_fd(),
                level,
                name,
                (&raw const value).cast(),
                size_of::<i32>() as u32,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    fn bind(&self, index: u32) -> io::Result<()> {
        // SAFETY: all zeroes is a valid value of this plain structure.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index as i32;
        let length = size_of::<libc::sockaddr_ll>() as u32;
        // SAFETY: the pointer and the length describe `address`, which outlives the call.
        let result = unsafe { libc::bind(self.as_raw_fd(), (&raw const address).cast(), length) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    pub(super) fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// The next frame with its vnet header, if one waits.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Option<usize> {
        // SAFETY: the buffer is valid for its length.
        let got = unsafe { libc::read(self.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        usize::try_from(got).ok().filter(|length| *length > 0)
    }

    /// Sends a frame as [`Self::receive`] gave it.
    pub(super) fn send(&self, frame: &[u8]) -> Sent {
        let mut retries = 0;
        loop {
            // SAFETY: the buffer is valid for its length.
            let sent = unsafe { libc::write(self.as_raw_fd(), frame.as_ptr().cast(), frame.len()) };
            if sent >= 0 {
                return Sent { retries, lost: false };
            }
            let full = matches!(
                io::Error::last_os_error().raw_os_error(),
                Some(libc::ENOBUFS | libc::EAGAIN | libc::EINTR)
            );
            // A host whose cable is being taken away loses its frames, as hosts do.
            if !full || retries == OFFERS_MAX {
                return Sent { retries, lost: true };
            }
            retries += 1;
            // The receiver's kernel thread needs a core to empty the queue.
            std::thread::yield_now();
        }
    }

    /// Frames that the kernel dropped here since the last question.
    pub(super) fn overruns(&self) -> u64 {
        let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut length = size_of::<libc::tpacket_stats>() as u32;
        // SAFETY: the pointers describe `statistics` and its length, which outlive the call.
        let result = unsafe {
            libc::getsockopt(
                self.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut length,
            )
        };
        if result == 0 { u64::from(statistics.tp_drops) } else { 0 }
    }
}
