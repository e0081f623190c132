//! The bridge tried on this host: two hosts, a datagram that passes, one that a cut drops, one behind the healing.

use std::io;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::hosts::node_address;
use crate::levers::{Endpoint, Link, LinkRule};
use crate::system::NodeId;

use super::Bridge;

/// How long a datagram may take on a busy host.
const PATIENCE: Duration = Duration::from_secs(5);
const PORT: u16 = 9;

/// How the trial went.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// How long it took to make hosts and bridge.
    pub made: Duration,
    /// How long a cut took.
    pub cut: Duration,
}

impl std::fmt::Display for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { made, cut } = self;
        write!(f, "made in {made:.1?}, a link cut in {cut:.1?}, its frames are dropped and counted")
    }
}

/// Tries it. Called inside the sandbox while no cluster is there: the calling thread's network namespace is the clients' host
/// of the trial. The error says what does not work and how to get it.
pub fn trial() -> Result<Trial, String> {
    let begun = Instant::now();
    let (hosts, bridge) = Bridge::build(2).map_err(|error| {
        format!(
            "this host does not let a run have a bridge of the kernel: {error}\n  to fix it: sudo modprobe -a bridge \
             nf_tables (a kernel with CONFIG_BRIDGE and CONFIG_NF_TABLES_BRIDGE)"
        )
    })?;
    let made = begun.elapsed();
    let socket = |node| {
        let space = hosts.node(node).ok_or_else(|| format!("{node} has no host"))?;
        let socket = space.run(|| UdpSocket::bind((node_address(node), PORT)));
        let timed = socket.and_then(|socket| socket.set_read_timeout(Some(PATIENCE)).map(|()| socket));
        timed.map_err(|error| error.to_string())
    };
    let (from, to) = (socket(NodeId(1))?, socket(NodeId(2))?);
    let link = Link { from: Endpoint::Node(NodeId(1)), to: Endpoint::Node(NodeId(2)) };
    let send = |byte: u8| from.send_to(&[byte], (node_address(NodeId(2)), PORT)).map_err(|e| e.to_string());
    let heard = || {
        let mut byte = [0];
        to.recv(&mut byte).map(|_| byte[0])
    };
    let expect = |byte: u8| match heard() {
        Ok(found) if found == byte => Ok(()),
        Ok(found) => Err(format!("datagram {found} came through the bridge instead of {byte}")),
        Err(error) => Err(format!("datagram {byte} did not come through the bridge: {error}")),
    };
    let set = |rule| bridge.set_links(&[(link, rule)]).map_err(|error| error.to_string());

    send(1)?;
    expect(1)?;
    let begun = Instant::now();
    set(LinkRule::Drop)?;
    let cut = begun.elapsed();
    send(2)?;
    wait_dropped(&bridge, link).map_err(|error| error.to_string())?;
    set(LinkRule::Pass)?;
    send(3)?;
    // The second one would come first.
    expect(3)?;
    Ok(Trial { made, cut })
}

fn wait_dropped(bridge: &Bridge, link: Link) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while bridge.link(link).1.dropped == 0 {
        if Instant::now() > deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "no frame was dropped on a link that was cut",
            ));
        }
        std::thread::yield_now();
    }
    Ok(())
}
