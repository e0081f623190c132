//! TCP connections as a box in the middle sees them: which ones began under the present rule, or since their host lost power,
//! and how one is reset.
//!
//! Invariant: a connection whose first segment (SYN) came by since the rule of its link was set is never touched; every other
//! one is. A host that has lost power sends nothing of a connection that is older than that, but resets: its kernel, which in
//! truth lives on with the queues of the dead sockets, is made to look as one that has begun anew. What is made up here is what a firewall makes up that has lost its table: resets to both ends, with the numbers
//! that the ends expect.
//! Deliberately lacks timeouts, and the end of connections: a table lives as long as a rule.
//! Reference: RFC 9293, section 3.5.2 (reset generation) and 3.10.7.4 (what a receiver accepts).

use std::collections::{HashMap, HashSet};

use super::port::VNET_HEADER;

const ETHERNET_HEADER: usize = 14;
const TCP: u8 = 6;
const TCP_HEADER: usize = 20;
const IP_HEADER: usize = 20;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// What a TCP segment says of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    source: u16,
    destination: u16,
    flags: u8,
    sequence: u32,
    acknowledged: u32,
    /// How much of the sequence it takes.
    length: u32,
}

impl Segment {
    /// Reads the segment in an Ethernet frame, if it is one.
    pub(super) fn parse(ethernet: &[u8]) -> Option<Self> {
        let ip = ethernet.get(ETHERNET_HEADER..)?;
        let (header, protocol) = (usize::from(*ip.first()? & 0x0f) * 4, *ip.get(9)?);
        let total = usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?]));
        let tcp = (protocol == TCP).then(|| ip.get(header..)).flatten()?;
        let head = tcp.get(..TCP_HEADER)?;
        let short = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let long = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let payload = total.saturating_sub(header + usize::from(head[12] >> 4) * 4);
        let flags = head[13];
        // SYN and FIN take one number each.
        let length = payload as u32 + u32::from(flags & SYN > 0) + u32::from(flags & 1);
        Some(Self {
            source: short(0),
            destination: short(2),
            flags,
            sequence: long(4),
            acknowledged: long(8),
            length,
        })
    }

    /// Whether a connection begins with it.
    fn begins(&self) -> bool {
        self.flags & SYN > 0
    }

    /// Whether it ends one at once; answering it would have no end.
    pub(super) fn is_reset(&self) -> bool {
        self.flags & RST > 0
    }
}

/// A connection: its two ends as port of the switch and TCP port, the smaller first.
type Flow = [(usize, u16); 2];

/// The connections that began since the rule of their link was set.
#[derive(Debug, Default)]
pub(super) struct Fresh(HashMap<(usize, usize), HashSet<Flow>>);

impl Fresh {
    /// The rule of the link between these ports is a new one: every connection is an old one.
    pub(super) fn forget(&mut self, from: usize, to: usize) {
        self.0.remove(&(from.min(to), from.max(to)));
    }

    /// Whether the connection of a segment is one that began under the present rule.
    pub(super) fn knows(&mut self, from: usize, to: usize, segment: &Segment) -> bool {
        let mut flow = [(from, segment.source), (to, segment.destination)];
        flow.sort_unstable();
        let link = self.0.entry((from.min(to), from.max(to))).or_default();
        if segment.begins() {
            link.insert(flow);
        }
        link.contains(&flow)
    }
}

/// Hosts that have lost power, by their ports, each with the connections that began since.
#[derive(Debug, Default)]
pub(super) struct Rebooted(HashMap<usize, HashSet<Flow>>);

impl Rebooted {
    /// The host behind this port has lost its connections.
    pub(super) fn lost_power(&mut self, port: usize) {
        self.0.insert(port, HashSet::new());
    }

    /// Whether the host that a segment comes from can still know of its connection. Every segment has to be shown, because
    /// either end may begin one.
    pub(super) fn knows(&mut self, from: usize, to: usize, segment: &Segment) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let mut flow = [(from, segment.source), (to, segment.destination)];
        flow.sort_unstable();
        if segment.begins() {
            for port in [from, to] {
                self.0.entry(port).and_modify(|begun| _ = begun.insert(flow));
            }
        }
        self.0.get(&from).is_none_or(|begun| segment.is_reset() || begun.contains(&flow))
    }
}

/// Resets for both ends of the connection of this frame: one that goes on with it, one that goes back.
pub(super) fn resets(bytes: &[u8], segment: &Segment) -> Option<[Vec<u8>; 2]> {
    let ethernet = bytes.get(VNET_HEADER..)?;
    let (macs, ip) = (ethernet.get(..ETHERNET_HEADER)?, ethernet.get(ETHERNET_HEADER..)?);
    let (source, destination) = (ip.get(12..16)?, ip.get(16..20)?);
    let on = Reset {
        macs: [&macs[0..6], &macs[6..12]],
        addresses: [source, destination],
        ports: [segment.source, segment.destination],
        numbers: [segment.sequence, segment.acknowledged],
        flags: RST | (segment.flags & ACK),
    };
    let back = Reset {
        macs: [&macs[6..12], &macs[0..6]],
        addresses: [destination, source],
        ports: [segment.destination, segment.source],
        numbers: [segment.acknowledged, segment.sequence.wrapping_add(segment.length)],
        flags: RST | ACK,
    };
    Some([on.frame(), back.frame()])
}

/// A reset that is to be built. Of each pair the first is the receiver's in `macs`, and the sender's elsewhere.
struct Reset<'a> {
    macs: [&'a [u8]; 2],
    addresses: [&'a [u8]; 2],
    ports: [u16; 2],
    /// Sequence and acknowledgement.
    numbers: [u32; 2],
    flags: u8,
}

impl Reset<'_> {
    fn frame(&self) -> Vec<u8> {
        let mut frame = vec![0; VNET_HEADER];
        self.macs.iter().for_each(|mac| frame.extend_from_slice(mac));
        frame.extend([0x08, 0x00]);
        let mut ip = vec![0x45, 0, 0, (IP_HEADER + TCP_HEADER) as u8, 0, 0, 0x40, 0, 64, TCP, 0, 0];
        self.addresses.iter().for_each(|address| ip.extend_from_slice(address));
        let sum = checksum(&ip, 0);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        let mut tcp = Vec::with_capacity(TCP_HEADER);
        self.ports.iter().for_each(|port| tcp.extend(port.to_be_bytes()));
        self.numbers.iter().for_each(|number| tcp.extend(number.to_be_bytes()));
        tcp.extend([(TCP_HEADER as u8 / 4) << 4, self.flags, 0, 0, 0, 0, 0, 0]);
        let mut pseudo = self.addresses.concat();
        pseudo.extend([0, TCP, 0, TCP_HEADER as u8]);
        let sum = checksum(&tcp, sum_of(&pseudo));
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        frame.extend(ip);
        frame.extend(tcp);
        frame
    }
}

/// The sum of a row of 16-bit numbers.
fn sum_of(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]))).sum()
}

/// The internet checksum (RFC 1071), with what was summed up before.
fn checksum(bytes: &[u8], before: u32) -> u16 {
    let mut sum = sum_of(bytes) + before;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment from 10.77.0.1:5000 to 10.77.0.2:7002 with so much payload, as the switch takes it up.
    fn frame(flags: u8, payload: usize) -> Vec<u8> {
        let reset = Reset {
            macs: [&[2, 0x77, 0, 0, 0, 2], &[2, 0x77, 0, 0, 0, 1]],
            addresses: [&[10, 77, 0, 1], &[10, 77, 0, 2]],
            ports: [5000, 7002],
            numbers: [1000, 2000],
            flags,
        };
        let mut bytes = reset.frame();
        bytes.extend(vec![7; payload]);
        let total = (IP_HEADER + TCP_HEADER + payload) as u16;
        let at = VNET_HEADER + ETHERNET_HEADER + 2;
        bytes[at..at + 2].copy_from_slice(&total.to_be_bytes());
        bytes
    }

    #[test]
    fn a_reset_has_the_numbers_that_its_receiver_expects() {
        let bytes = frame(ACK, 10);
        let segment = Segment::parse(&bytes[VNET_HEADER..]).unwrap();
        assert_eq!((segment.sequence, segment.acknowledged, segment.length), (1000, 2000, 10));
        let [on, back] = resets(&bytes, &segment).unwrap();
        let (on_head, back_head) =
            (Segment::parse(&on[VNET_HEADER..]).unwrap(), Segment::parse(&back[VNET_HEADER..]).unwrap());
        assert!(on_head.is_reset() && back_head.is_reset());
        assert_eq!((on_head.source, on_head.sequence), (5000, 1000));
        assert_eq!((back_head.source, back_head.sequence, back_head.acknowledged), (7002, 2000, 1010));
        assert_eq!(on[VNET_HEADER..VNET_HEADER + 6], [2, 0x77, 0, 0, 0, 2]);
        assert_eq!(back[VNET_HEADER..VNET_HEADER + 6], [2, 0x77, 0, 0, 0, 1]);
        for reset in [on, back] {
            let ip = &reset[VNET_HEADER + ETHERNET_HEADER..];
            assert_eq!(checksum(&ip[..IP_HEADER], 0), 0, "a right sum adds up to nothing");
            let mut pseudo = ip[12..20].to_vec();
            pseudo.extend([0, TCP, 0, TCP_HEADER as u8]);
            assert_eq!(checksum(&ip[IP_HEADER..], sum_of(&pseudo)), 0);
        }
    }

    #[test]
    fn a_connection_is_fresh_from_its_first_segment_on_until_the_rule_changes() {
        let parse = |flags| Segment::parse(&frame(flags, 0)[VNET_HEADER..]).unwrap();
        let mut fresh = Fresh::default();
        assert!(!fresh.knows(1, 2, &parse(ACK)));
        assert!(fresh.knows(1, 2, &parse(SYN)));
        assert!(fresh.knows(1, 2, &parse(ACK)));
        let back = Segment { source: 7002, destination: 5000, ..parse(ACK) };
        assert!(fresh.knows(2, 1, &back));
        assert!(!fresh.knows(1, 3, &parse(ACK)), "another link");
        let other = Segment { source: 5001, ..parse(ACK) };
        assert!(!fresh.knows(1, 2, &other));
        fresh.forget(2, 1);
        assert!(!fresh.knows(1, 2, &parse(ACK)));
    }

    #[test]
    fn a_host_that_has_lost_power_goes_on_with_no_connection_that_it_had() {
        let parse = |flags| Segment::parse(&frame(flags, 0)[VNET_HEADER..]).unwrap();
        let there = parse(ACK);
        let back = Segment { source: there.destination, destination: there.source, ..there };
        let mut rebooted = Rebooted::default();
        assert!(rebooted.knows(1, 2, &there));
        rebooted.lost_power(1);
        assert!(!rebooted.knows(1, 2, &there), "what its kernel had queued");
        assert!(rebooted.knows(2, 1, &back), "the other end still has it");
        assert!(rebooted.knows(1, 2, &parse(RST)), "and is told");
        assert!(!rebooted.knows(1, 2, &there));
        // Either end begins a new one.
        let other = Segment { source: 5001, ..parse(SYN) };
        assert!(rebooted.knows(1, 2, &other) && rebooted.knows(1, 2, &Segment { source: 5001, ..there }));
        assert!(rebooted.knows(2, 1, &Segment { source: 9000, flags: SYN, ..back }));
        assert!(rebooted.knows(1, 2, &Segment { destination: 9000, ..there }));
        rebooted.lost_power(1);
        assert!(!rebooted.knows(1, 2, &Segment { source: 5001, ..there }), "the power goes again");
    }

    #[test]
    fn what_is_no_segment_is_none() {
        let whole = frame(ACK, 4);
        for length in 0..VNET_HEADER + ETHERNET_HEADER + IP_HEADER + TCP_HEADER {
            assert_eq!(Segment::parse(whole.get(VNET_HEADER..length).unwrap_or_default()), None, "{length}");
        }
        let mut datagram = whole;
        datagram[VNET_HEADER + ETHERNET_HEADER + 9] = 17;
        assert_eq!(Segment::parse(&datagram[VNET_HEADER..]), None);
    }
}
