//! The packet filter of the bridge: which links there are, which are cut, and what has been counted.
//!
//! Invariant: the rules never change, only the set of cut links does, as a whole; a frame is counted by the rule that decides
//! about it. In the language of nft(8):
//!
//! ```text
//! table bridge raftcheck {
//!   set cut     { }                        # in . out: what is cut at present
//!   set dropped { counter; }               # in . out: every link
//!   set passed  { counter; }
//!   chain forward {
//!     type filter hook forward priority 0; policy drop;
//!     meta protocol != ip drop
//!     iif p0 ip saddr CONTROL accept       # the harness's own eyes
//!     oif p0 ip daddr CONTROL accept
//!     iif . oif @cut iif . oif @dropped drop
//!     iif . oif @passed accept
//!   }
//! }
//! ```
//!
//! A link is told by the ports of the bridge and not by addresses, as in the switch: no host can pose as another.

use std::io;

use crate::hosts::CONTROL;
use crate::levers::{LinkRule, LinkStats};
use crate::netlink::nftables::{
    Batch, Comparison, FRAME_IN, FRAME_OUT, FRAME_PROTOCOL, Keeps, Nftables, REGISTER, Rule, Verdict,
};

use super::step;

const TABLE: &str = "raftcheck";
const CHAIN: &str = "forward";
const CUT: &str = "cut";
const DROPPED: &str = "dropped";
const PASSED: &str = "passed";

/// Where the addresses stand in the header of IPv4.
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;

/// A link as the filter names it: the interfaces by which a frame comes in and leaves.
type Key = [u8; 8];

/// The installed filter.
#[derive(Debug)]
pub(super) struct Ruleset {
    filter: Nftables,
    /// The interfaces of the ports, the clients' first.
    ports: Vec<u32>,
}

impl Ruleset {
    /// Installs the filter for a bridge with these ports in the network namespace of the calling thread. Every link passes.
    pub(super) fn install(ports: &[u32]) -> io::Result<Self> {
        let mut ruleset = Self { filter: Nftables::open()?, ports: ports.to_vec() };
        let numbers = || 0..ruleset.ports.len();
        let links: Vec<Key> = numbers()
            .flat_map(|from| numbers().filter(move |to| *to != from).map(move |to| (from, to)))
            .map(|pair| ruleset.key(pair))
            .collect();
        let mut batch = Batch::of(TABLE);
        batch.add_table();
        let key_bytes = size_of::<Key>() as u32;
        batch.add_set(CUT, 1, key_bytes, Keeps::Keys);
        batch.add_set(DROPPED, 2, key_bytes, Keeps::Counters);
        batch.add_set(PASSED, 3, key_bytes, Keeps::Counters);
        batch.add_keys(DROPPED, &links);
        batch.add_keys(PASSED, &links);
        add_rules(&mut batch, ruleset.ports.first().copied().unwrap_or_default());
        ruleset.filter.commit(batch).map_err(step("setting a packet filter up for the bridge"))?;
        Ok(ruleset)
    }

    pub(super) fn ports(&self) -> usize {
        self.ports.len()
    }

    /// Cuts these links and no others.
    pub(super) fn set_cut(&mut self, cut: &[(usize, usize)]) -> io::Result<()> {
        let keys: Vec<Key> = cut.iter().map(|pair| self.key(*pair)).collect();
        let mut batch = Batch::of(TABLE);
        batch.clear(CUT);
        batch.add_keys(CUT, &keys);
        self.filter.commit(batch)
    }

    /// What the kernel does with the frames of a link, and has done.
    pub(super) fn read(&mut self, pair: (usize, usize)) -> io::Result<(LinkRule, LinkStats)> {
        let key = self.key(pair);
        let rule = if self.filter.has(TABLE, CUT, &key)? { LinkRule::Drop } else { LinkRule::Pass };
        let passed = self.filter.lookups(TABLE, PASSED, &key)?;
        let dropped = self.filter.lookups(TABLE, DROPPED, &key)?;
        Ok((rule, LinkStats { passed, dropped, ..LinkStats::default() }))
    }

    fn key(&self, (from, to): (usize, usize)) -> Key {
        let mut key = [0; 8];
        key[..4].copy_from_slice(&self.ports[from].to_ne_bytes());
        key[4..].copy_from_slice(&self.ports[to].to_ne_bytes());
        key
    }
}

/// The rules; `clients` is the interface that leads to the clients' host.
fn add_rules(batch: &mut Batch, clients: u32) {
    batch.add_forward_chain(CHAIN, Verdict::Drop);
    batch.add_rule(CHAIN, |rule| {
        rule.load(FRAME_PROTOCOL, REGISTER);
        rule.compare(REGISTER, Comparison::IsNot, &(libc::ETH_P_IP as u16).to_be_bytes());
        rule.decide(Verdict::Drop);
    });
    for (end, address) in [(FRAME_IN, SOURCE), (FRAME_OUT, DESTINATION)] {
        batch.add_rule(CHAIN, |rule| {
            rule.load(end, REGISTER);
            rule.compare(REGISTER, Comparison::Is, &clients.to_ne_bytes());
            rule.load_header(address, REGISTER);
            rule.compare(REGISTER, Comparison::Is, &CONTROL.octets());
            rule.decide(Verdict::Accept);
        });
    }
    batch.add_rule(CHAIN, |rule| {
        load_link(rule);
        rule.look_up(CUT, REGISTER);
        rule.look_up(DROPPED, REGISTER);
        rule.decide(Verdict::Drop);
    });
    batch.add_rule(CHAIN, |rule| {
        load_link(rule);
        rule.look_up(PASSED, REGISTER);
        rule.decide(Verdict::Accept);
    });
}

fn load_link(rule: &mut Rule<'_>) {
    rule.load(FRAME_IN, REGISTER);
    rule.load(FRAME_OUT, REGISTER + 1);
}
