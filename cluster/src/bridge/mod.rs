//! The kernel as the network: a bridge between all hosts, and a packet filter that drops what a cut link carries.
//!
//! Invariant: all links of one change are cut or healed at one instant, because the filter takes a new set of cut links up as a
//! whole. When [`Bridge::set_links`] returns, every frame that reaches the filter is judged by the new set; one that another
//! core took past it before is on its way to its host. What a link's counters say is read from the filter itself.
//! It is the alternative to the [`crate::switch::Switch`], for plain cuts: no frame is copied to a program and back.
//! Deliberately lacks everything that a frame has to be held or changed for (delay, loss, rate, corruption) and anything
//! about TCP connections: such rules are refused.
//! The bridge and the filter lie in the network namespace in the middle of the hosts. Nothing of the host's own is touched.
//! Reference: nft(8), bridge(8).

mod ruleset;
mod trial;

use std::fs;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::hosts::{Cable, Hosts, port_number};
use crate::levers::{LeverError, Link, LinkRule, LinkStats};
use crate::netlink::route::{Route, index_of};

use ruleset::Ruleset;
pub use trial::{Trial, trial};

const NAME: &str = "bridge";
/// How long the kernel may take until it has seen that all cables are plugged in, and how often it is asked meanwhile.
const READY_LIMIT: Duration = Duration::from_secs(10);
const READY_INTERVAL: Duration = Duration::from_micros(200);

/// Hosts that hang on a bridge of the kernel. It goes with their namespaces.
#[derive(Debug)]
pub struct Bridge {
    filter: Mutex<Filter>,
}

/// The packet filter, and what was asked of it last.
#[derive(Debug)]
struct Filter {
    rules: Ruleset,
    /// The links that are cut, by the numbers of their ports.
    cut: Vec<(usize, usize)>,
}

impl Bridge {
    /// Makes the hosts of `nodes` nodes with a bridge between them, every link passing. The calling thread's network
    /// namespace becomes the clients' host. The error says which step the kernel refused.
    pub fn build(nodes: u16) -> io::Result<(Hosts, Self)> {
        let (hosts, (mut route, ports, rules)) = Hosts::connected(nodes, |cables| {
            let route = lay(cables)?;
            let ports: Vec<u32> = cables.iter().map(|cable| cable.index).collect();
            let rules = Ruleset::install(&ports)?;
            Ok((route, ports, rules))
        })?;
        wait_ready(&mut route, &ports)?;
        Ok((hosts, Self { filter: Mutex::new(Filter { rules, cut: Vec::new() }) }))
    }

    /// Cuts and heals these links at one instant, and returns it. A rule that is neither [`LinkRule::Pass`] nor
    /// [`LinkRule::Drop`] is [`LeverError::Unsupported`], and so is a link that does not exist; then nothing is changed.
    pub fn set_links(&self, rules: &[(Link, LinkRule)]) -> Result<Instant, LeverError> {
        let mut filter = self.lock();
        let mut cut = filter.cut.clone();
        for (link, rule) in rules {
            let pair = filter.rules.pair(*link).ok_or_else(|| no_link(*link))?;
            cut.retain(|other| *other != pair);
            match rule {
                LinkRule::Pass => {}
                LinkRule::Drop => cut.push(pair),
                LinkRule::Shape(_) => return Err(LeverError::Unsupported(ONLY_CUTS.to_owned())),
            }
        }
        let set = filter.rules.set_cut(&cut);
        set.map_err(|error| LeverError::Failed(format!("the kernel did not change the links: {error}")))?;
        filter.cut = cut;
        Ok(Instant::now())
    }

    /// The rule and the counters of a link, as the kernel has them; of one that does not exist, the defaults.
    pub fn link(&self, link: Link) -> (LinkRule, LinkStats) {
        let mut filter = self.lock();
        let Some(pair) = filter.rules.pair(link) else { return Default::default() };
        match filter.rules.read(pair) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!("the kernel does not tell about the link {link:?}: {error}");
                let rule = if filter.cut.contains(&pair) { LinkRule::Drop } else { LinkRule::Pass };
                (rule, LinkStats::default())
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Filter> {
        // What was asked last is written behind the kernel's answer, so it is sound after a panic too.
        self.filter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the kernel's network cannot do, for those whom it is refused.
pub const ONLY_CUTS: &str = "the kernel's network only cuts links: delay, loss, duplicates, reordering, corruption, rates, \
                             flapping, power failures, and faults of single connections need `network: switch`";

fn no_link(link: Link) -> LeverError {
    LeverError::Unsupported(format!("there is no link from {:?} to {:?}", link.from, link.to))
}

/// Connects the cables to a new bridge, in the namespace that their ends lie in. It knows from the start which host is
/// behind which port, so that no frame is ever sent to a host that it is not for.
fn lay(cables: &[Cable]) -> io::Result<Route> {
    // Filters for IP have no business with frames of a bridge. Where this cannot be written there is none, or it costs a
    // little time.
    let _ = fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "0");
    let mut route = Route::open()?;
    route.add_bridge(NAME).map_err(step("making a bridge"))?;
    let bridge = index_of(NAME)?;
    route.set_up(bridge).map_err(step("starting the bridge"))?;
    for cable in cables {
        route.join_bridge(cable.index, bridge).map_err(step("connecting a host to the bridge"))?;
        route.make_port_strict(cable.index).map_err(step("setting a port of the bridge up"))?;
        route.add_forwarding(cable.index, cable.mac).map_err(step("telling the bridge where a host is"))?;
    }
    Ok(route)
}

/// Names the step at which the kernel said no.
fn step(what: &'static str) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// Waits until every port passes frames: the kernel looks at new cables in its own time.
fn wait_ready(route: &mut Route, ports: &[u32]) -> io::Result<()> {
    let deadline = Instant::now() + READY_LIMIT;
    for port in ports {
        while !route.port_is_ready(*port)? {
            if Instant::now() > deadline {
                let message = format!("a port of the bridge was not ready after {READY_LIMIT:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            std::thread::sleep(READY_INTERVAL);
        }
    }
    Ok(())
}

impl Ruleset {
    /// The numbers of a link's ports, if it exists.
    fn pair(&self, link: Link) -> Option<(usize, usize)> {
        let (from, to) = (port_number(link.from), port_number(link.to));
        let ports = self.ports();
        (from < ports && to < ports && from != to).then_some((from, to))
    }
}
