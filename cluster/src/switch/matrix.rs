//! The rules of all directed links, and the decision about one frame.
//!
//! Invariant: [`decide`] is the only place where the fate of a frame is chosen, and counts what it chose.

use std::net::Ipv4Addr;
use std::time::Instant;

use rand::Rng;

use crate::hosts::{CONTROL, port_number, port_of};
use crate::levers::{Connections, Endpoint, LeverError, Link, LinkRule, LinkStats, Shaping};
use crate::system::NodeId;

use super::connections::{Fresh, Rebooted, Segment};
use super::port::VNET_HEADER;
use super::shaping::{self, Fate, Going, Lane};

/// The number of the clients' port.
const CLIENTS_PORT: usize = 0;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];

/// What a decision needs to know about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Its length on the wire.
    bytes: usize,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    /// What it is of TCP.
    segment: Option<Segment>,
}

impl Frame {
    /// Reads the headers of a frame that came in at the port `from`. `None` for what no host has any business to
    /// send: broadcasts, other protocols than IPv4, frames to nobody.
    pub(super) fn parse(from: usize, bytes: &[u8]) -> Option<Self> {
        let ethernet = bytes.get(VNET_HEADER..)?;
        let ip = ethernet.get(14..34)?;
        if ethernet[12..14] != ETHERTYPE_IPV4 {
            return None;
        }
        let address = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]);
        let to = port_of(&ethernet[0..6])?;
        (to != from).then(|| Self {
            from,
            to,
            bytes: ethernet.len(),
            source: address(12),
            destination: address(16),
            segment: Segment::parse(ethernet),
        })
    }

    /// Whether the harness itself watches a node with this.
    fn is_control(&self) -> bool {
        (self.from == CLIENTS_PORT && self.source == CONTROL)
            || (self.to == CLIENTS_PORT && self.destination == CONTROL)
    }
}

/// What happens to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It leaves at once through this port.
    Pass(usize),
    /// It is gone.
    Drop,
    /// It leaves through this port as a bad line lets it.
    Shaped(usize, Going),
    /// It is gone, and both ends of its connection are told that there is none.
    Reset(Segment),
}

/// Decides about one frame.
pub(super) fn decide(frame: &Frame, matrix: &mut Matrix, now: Instant, random: &mut dyn Rng) -> Verdict {
    // No rule touches the harness's own eyes, and they do not count as traffic of the link.
    if frame.is_control() {
        return Verdict::Pass(frame.to);
    }
    if let Some(segment) = &frame.segment
        && !matrix.rebooted.knows(frame.from, frame.to, segment)
    {
        matrix.cell(frame.from, frame.to).into_iter().for_each(|cell| cell.stats.stale += 1);
        return Verdict::Drop;
    }
    if let Some(verdict) = decide_by_connection(frame, matrix) {
        return verdict;
    }
    let Some(cell) = matrix.cell(frame.from, frame.to) else { return Verdict::Drop };
    match cell.rule {
        LinkRule::Pass => {
            cell.stats.passed += 1;
            Verdict::Pass(frame.to)
        }
        LinkRule::Drop => {
            cell.stats.dropped += 1;
            Verdict::Drop
        }
        LinkRule::Shape(shape) => match shaping::fate(&shape, &mut cell.lane, frame.bytes, now, random) {
            Fate::Lost => {
                cell.stats.dropped += 1;
                Verdict::Drop
            }
            Fate::Goes(going) => {
                cell.stats.passed += 1;
                cell.stats.delayed += u64::from(going.due > now);
                cell.stats.duplicated += u64::from(going.twice);
                cell.stats.reordered += u64::from(going.reordered);
                Verdict::Shaped(frame.to, going)
            }
        },
    }
}

/// What becomes of a frame of a TCP connection that was there before the rule of its link, if that touches those.
fn decide_by_connection(frame: &Frame, matrix: &mut Matrix) -> Option<Verdict> {
    let LinkRule::Shape(Shaping { connections, .. }) = matrix.rule(frame.from, frame.to) else { return None };
    let segment = frame.segment.filter(|_| connections != Connections::Pass)?;
    if matrix.fresh.knows(frame.from, frame.to, &segment) {
        return None;
    }
    let stats = &mut matrix.cell(frame.from, frame.to)?.stats;
    stats.dropped += 1;
    if connections == Connections::Stall || segment.is_reset() {
        return Some(Verdict::Drop);
    }
    stats.reset += 1;
    Some(Verdict::Reset(segment))
}

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    rule: LinkRule,
    lane: Lane,
    stats: LinkStats,
}

/// The rules and counters of every link, by the numbers of its ports.
#[derive(Debug)]
pub(super) struct Matrix {
    ports: usize,
    cells: Vec<Cell>,
    fresh: Fresh,
    rebooted: Rebooted,
}

impl Matrix {
    pub(super) fn new(ports: usize) -> Self {
        let (fresh, rebooted) = (Fresh::default(), Rebooted::default());
        Self { ports, cells: vec![Cell::default(); ports * ports], fresh, rebooted }
    }

    /// A host has lost power, and its connections with it.
    pub(super) fn lost_power(&mut self, node: NodeId) {
        self.rebooted.lost_power(port_number(Endpoint::Node(node)));
    }

    /// Replaces the rules of these links, or none of them if one does not exist. Returns the links whose rule is another
    /// one now, by their ports.
    pub(super) fn set(&mut self, rules: &[(Link, LinkRule)]) -> Result<Vec<(usize, usize)>, LeverError> {
        for (link, _) in rules {
            if self.index(*link).is_none() {
                let message = format!("there is no link from {:?} to {:?}", link.from, link.to);
                return Err(LeverError::Unsupported(message));
            }
        }
        let mut changed = Vec::new();
        for (link, rule) in rules {
            if let Some(index) = self.index(*link)
                && self.cells[index].rule != *rule
            {
                self.cells[index].rule = *rule;
                self.cells[index].lane = Lane::default();
                let (from, to) = (index / self.ports, index % self.ports);
                self.fresh.forget(from, to);
                changed.push((from, to));
            }
        }
        Ok(changed)
    }

    /// The rule of a link by its ports.
    pub(super) fn rule(&self, from: usize, to: usize) -> LinkRule {
        self.cells.get(from * self.ports + to).map(|cell| cell.rule).unwrap_or_default()
    }

    /// A frame of the link was changed.
    pub(super) fn count_corrupted(&mut self, from: usize, to: usize) {
        if let Some(cell) = self.cell(from, to) {
            cell.stats.corrupted += 1;
        }
    }

    /// A frame that had passed vanished while it waited.
    pub(super) fn count_vanished(&mut self, from: usize, to: usize) {
        if let Some(cell) = self.cell(from, to) {
            cell.stats.passed = cell.stats.passed.saturating_sub(1);
            cell.stats.dropped += 1;
        }
    }

    pub(super) fn get(&self, link: Link) -> (LinkRule, LinkStats) {
        self.index(link).map(|index| (self.cells[index].rule, self.cells[index].stats)).unwrap_or_default()
    }

    fn index(&self, link: Link) -> Option<usize> {
        let (from, to) = (port_number(link.from), port_number(link.to));
        (from < self.ports && to < self.ports && from != to).then(|| from * self.ports + to)
    }

    fn cell(&mut self, from: usize, to: usize) -> Option<&mut Cell> {
        (from < self.ports && to < self.ports).then(|| &mut self.cells[from * self.ports + to])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::{CLIENTS, node_address};

    fn frame(from: usize, to: usize, source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
        let mac = |port: usize| match port {
            0 => [0x02, 0x77, 0, 0, 0xff, 0x01],
            n => [0x02, 0x77, 0, 0, 0, n as u8],
        };
        let mut bytes = vec![0; VNET_HEADER];
        bytes.extend(mac(to));
        bytes.extend(mac(from));
        bytes.extend(ETHERTYPE_IPV4);
        bytes.extend([0x45; 12]);
        bytes.extend(source.octets());
        bytes.extend(destination.octets());
        bytes
    }

    fn node(n: u16) -> Endpoint {
        Endpoint::Node(NodeId(n))
    }

    fn judge(frame: &Frame, matrix: &mut Matrix) -> Verdict {
        use rand::SeedableRng;
        decide(frame, matrix, Instant::now(), &mut rand_chacha::ChaCha8Rng::seed_from_u64(1))
    }

    #[test]
    fn a_rule_is_directed_and_counted() {
        let mut matrix = Matrix::new(3);
        let cut = Link { from: node(1), to: node(2) };
        matrix.set(&[(cut, LinkRule::Drop)]).unwrap();
        let (a, b) = (node_address(NodeId(1)), node_address(NodeId(2)));
        let there = Frame::parse(1, &frame(1, 2, a, b)).unwrap();
        let back = Frame::parse(2, &frame(2, 1, b, a)).unwrap();
        assert_eq!(judge(&there, &mut matrix), Verdict::Drop);
        assert_eq!(judge(&back, &mut matrix), Verdict::Pass(1));
        assert_eq!(matrix.get(cut), (LinkRule::Drop, LinkStats { dropped: 1, ..LinkStats::default() }));
    }

    #[test]
    fn nothing_cuts_the_control_address() {
        let mut matrix = Matrix::new(2);
        let (to, from) =
            (Link { from: Endpoint::Clients, to: node(1) }, Link { from: node(1), to: Endpoint::Clients });
        matrix.set(&[(to, LinkRule::Drop), (from, LinkRule::Drop)]).unwrap();
        let n1 = node_address(NodeId(1));
        let mut judge = |from, to, a, b| {
            super::tests::judge(&Frame::parse(from, &frame(from, to, a, b)).unwrap(), &mut matrix)
        };
        assert_eq!(judge(0, 1, CONTROL, n1), Verdict::Pass(1));
        assert_eq!(judge(1, 0, n1, CONTROL), Verdict::Pass(0));
        assert_eq!(judge(0, 1, CLIENTS, n1), Verdict::Drop);
        assert_eq!(judge(1, 0, n1, CLIENTS), Verdict::Drop);
        assert_eq!(matrix.get(to).1, LinkStats { dropped: 1, ..LinkStats::default() });
    }

    #[test]
    fn a_node_cannot_pose_as_the_control_address() {
        let mut matrix = Matrix::new(3);
        matrix.set(&[(Link { from: node(1), to: node(2) }, LinkRule::Drop)]).unwrap();
        let posing = Frame::parse(1, &frame(1, 2, CONTROL, node_address(NodeId(2)))).unwrap();
        assert_eq!(judge(&posing, &mut matrix), Verdict::Drop);
    }

    #[test]
    fn a_change_with_an_unknown_link_changes_nothing() {
        let mut matrix = Matrix::new(3);
        let good = Link { from: node(1), to: node(2) };
        for bad in [
            Link { from: node(1), to: node(3) },
            Link { from: node(1), to: node(1) },
            Link { from: node(0), to: node(1) },
        ] {
            assert!(matrix.set(&[(good, LinkRule::Drop), (bad, LinkRule::Drop)]).is_err(), "{bad:?}");
            assert_eq!(matrix.get(good).0, LinkRule::Pass);
        }
    }

    #[test]
    fn strange_frames_are_nobodys() {
        let good = frame(1, 2, CLIENTS, CLIENTS);
        for length in 0..good.len() {
            assert_eq!(Frame::parse(1, &good[..length]), None);
        }
        let mut arp = good.clone();
        arp[VNET_HEADER + 13] = 6;
        assert_eq!(Frame::parse(1, &arp), None);
        let mut broadcast = good;
        broadcast[VNET_HEADER..VNET_HEADER + 6].fill(0xff);
        assert_eq!(Frame::parse(1, &broadcast), None);
    }
}
