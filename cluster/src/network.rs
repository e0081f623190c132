//! What connects the hosts of a cluster: the packet switch, or a bridge of the kernel.
//!
//! Invariant: whichever it is, a link that is cut carries nothing in its direction, the control address is never cut, and the
//! counters of a link say what became of its frames. What one of them cannot do it refuses; it never does less in silence.

use std::io;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::bridge::{Bridge, ONLY_CUTS};
use crate::hosts::Hosts;
use crate::levers::{LeverError, Link, LinkRule, LinkStats};
use crate::switch::{Switch, SwitchTroubles};
use crate::system::NodeId;

/// The kinds of networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkKind {
    /// The packet switch: every rule of a link.
    #[default]
    Switch,
    /// A bridge of the kernel: plain cuts only, and no frame takes the way through a program.
    Kernel,
}

/// A network that runs; it goes when dropped, or with its hosts.
pub enum Network {
    /// The packet switch.
    Switch(Switch),
    /// A bridge of the kernel.
    Kernel(Bridge),
}

impl Network {
    /// Makes the hosts of so many nodes and connects them, every link passing. The calling thread's network namespace becomes
    /// the clients' host. What bad lines do is drawn from `seed`.
    pub fn build(kind: NetworkKind, nodes: u16, seed: u64) -> io::Result<(Hosts, Self)> {
        match kind {
            NetworkKind::Switch => {
                let (hosts, ports) = Hosts::build(nodes)?;
                Ok((hosts, Self::Switch(Switch::start(ports, seed)?)))
            }
            NetworkKind::Kernel => {
                let (hosts, bridge) = Bridge::build(nodes)?;
                Ok((hosts, Self::Kernel(bridge)))
            }
        }
    }

    /// Replaces the rules of these links at one instant, and returns it.
    pub fn set_links(&self, rules: &[(Link, LinkRule)]) -> Result<Instant, LeverError> {
        match self {
            Self::Switch(switch) => switch.set_links(rules),
            Self::Kernel(bridge) => bridge.set_links(rules),
        }
    }

    /// The rule and the counters of a link; of one that does not exist, the defaults.
    pub fn link(&self, link: Link) -> (LinkRule, LinkStats) {
        match self {
            Self::Switch(switch) => switch.link(link),
            Self::Kernel(bridge) => bridge.link(link),
        }
    }

    /// Writes all frames from now on to a new pcapng file, with what became of them.
    pub fn capture(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::Switch(switch) => switch.capture(path),
            Self::Kernel(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the kernel's network does not capture packets: use `network: switch`",
            )),
        }
    }

    /// Hands what was captured so far to the operating system.
    pub fn flush_capture(&self) -> io::Result<()> {
        match self {
            Self::Switch(switch) => switch.flush_capture(),
            Self::Kernel(_) => Ok(()),
        }
    }

    /// From now on the host of this node sends nothing of the connections that it has, but resets. A bridge cannot tell them
    /// from others.
    pub fn lost_power(&self, node: NodeId) -> Result<(), LeverError> {
        match self {
            Self::Switch(switch) => {
                switch.lost_power(node);
                Ok(())
            }
            Self::Kernel(_) => Err(LeverError::Unsupported(ONLY_CUTS.to_owned())),
        }
    }

    /// What went wrong so far. A bridge keeps no account of it.
    pub fn troubles(&self) -> SwitchTroubles {
        match self {
            Self::Switch(switch) => switch.troubles(),
            Self::Kernel(_) => SwitchTroubles::default(),
        }
    }
}
