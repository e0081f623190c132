//! What the switch does to frames beside cutting links (that: `links.rs`), watched from sockets inside the hosts.

mod common;
#[path = "common/network.rs"]
mod hosts;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cluster::hosts::node_address;
use cluster::levers::{Connections, LinkRule, LinkStats, Shaping};
use cluster::network::NetworkKind::Switch;
use cluster::system::NodeId;

use common::{Play, Scene};
use hosts::{Network, arriving, network, node};

fn main() -> ExitCode {
    common::main(&[
        Scene { name: "a_late_line_is_late_and_keeps_order", play: Play::Inside(a_late_line_is_late) },
        Scene { name: "shares_of_frames_are_touched", play: Play::Inside(shares_of_frames_are_touched) },
        Scene {
            name: "a_slow_line_carries_what_it_says",
            play: Play::Inside(a_slow_line_carries_what_it_says),
        },
        Scene { name: "healing_delivers_what_waits", play: Play::Inside(healing_delivers_what_waits) },
        Scene {
            name: "old_connections_are_reset_and_new_ones_pass",
            play: Play::Inside(connections_are_reset),
        },
        Scene { name: "old_connections_stall_and_new_ones_pass", play: Play::Inside(connections_stall) },
        Scene { name: "what_became_of_frames_is_captured", play: Play::Inside(captured) },
    ])
}

/// A TCP connection from n1 to n2, which says one byte each way first.
fn connection(network: &Network, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let to = listener.local_addr().unwrap();
    let mut near = network.on(1, || TcpStream::connect(to));
    let (mut far, _) = listener.accept().unwrap();
    near.write_all(&[1]).unwrap();
    far.read_exact(&mut [0]).unwrap();
    far.write_all(&[1]).unwrap();
    near.read_exact(&mut [0]).unwrap();
    (near, far)
}

fn listener(network: &Network) -> TcpListener {
    let to = SocketAddr::from((node_address(NodeId(2)), 8000));
    network.on(2, || TcpListener::bind(to))
}

fn only_old(connections: Connections) -> LinkRule {
    LinkRule::Shape(Shaping { connections, ..Shaping::default() })
}

/// Reads the capture as any program would that knows pcapng: the packets with their interface's name and their comment.
fn packets(file: &[u8]) -> Vec<(String, String, Vec<u8>)> {
    let number = |at: usize| u32::from_ne_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let text = |from: usize, code: u8, end: usize| {
        let mut at = from;
        while at + 4 <= end {
            let length = usize::from(file[at + 2]) + 256 * usize::from(file[at + 3]);
            if file[at] == code {
                return String::from_utf8(file[at + 4..at + 4 + length].to_vec()).unwrap();
            }
            at += 4 + length.next_multiple_of(4);
        }
        String::new()
    };
    let (mut names, mut packets, mut at) = (Vec::new(), Vec::new(), 0);
    while at < file.len() {
        let end = at + number(at + 4);
        match number(at) {
            1 => names.push(text(at + 16, 2, end - 4)),
            6 => {
                let length = number(at + 20);
                let comment = text(at + 28 + length.next_multiple_of(4), 1, end - 4);
                let bytes = file[at + 28..at + 28 + length].to_vec();
                packets.push((names[number(at + 8)].clone(), comment, bytes));
            }
            _ => {}
        }
        at = end;
    }
    assert_eq!(at, file.len());
    packets
}

fn captured(directory: &Path) {
    let network = network(Switch, 2);
    let file = directory.join("network.pcapng");
    network.links.capture(&file).unwrap();
    let (one, two) = (network.udp(1), network.udp(2));
    let to = two.local_addr().unwrap();
    let link = [(node(1), node(2))];
    one.send_to(b"passes", to).unwrap();
    two.recv(&mut [0; 64]).unwrap();
    network.cut(&link, LinkRule::Drop);
    let before = network.stats(1, 2).dropped;
    one.send_to(b"vanishes", to).unwrap();
    common::eventually("it vanished", || network.stats(1, 2).dropped > before);
    network.cut(&link, LinkRule::Shape(Shaping { delay_us: 60_000_000, ..Shaping::default() }));
    let before = network.stats(1, 2).delayed;
    one.send_to(b"comes late", to).unwrap();
    common::eventually("it waits", || network.stats(1, 2).delayed > before);
    network.cut(&link, LinkRule::Pass);
    two.recv(&mut [0; 64]).unwrap();
    network.links.flush_capture().unwrap();
    let packets = packets(&std::fs::read(&file).unwrap());
    let seen = packets.iter().map(|(link, comment, bytes)| {
        let payload = String::from_utf8_lossy(&bytes[42..]).into_owned();
        (link.as_str(), comment.as_str(), payload)
    });
    let late = "late: the link held it back";
    let expected = [("", "passes"), ("lost: the link drops it", "vanishes"), (late, "comes late")];
    let expected: Vec<_> =
        expected.into_iter().map(|(comment, payload)| ("n1 -> n2", comment, payload.to_owned())).collect();
    assert_eq!(seen.collect::<Vec<_>>(), expected);
}

const BOTH_WAYS: [(u16, u16); 2] = [(1, 2), (2, 1)];

fn connections_are_reset(_: &Path) {
    let network = network(Switch, 2);
    let listener = listener(&network);
    let (mut near, mut far) = connection(&network, &listener);
    let links = BOTH_WAYS.map(|(from, to)| (node(from), node(to)));
    network.cut(&links, only_old(Connections::Reset));
    // Nobody is told before somebody speaks.
    near.write_all(&[2]).unwrap();
    for end in [&mut near, &mut far] {
        end.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let error = end.read(&mut [0]).expect_err("it is reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    let stats = network.stats(1, 2);
    // An acknowledgement that was delayed may have been answered as well.
    assert!(stats.reset >= 1 && stats.dropped >= stats.reset, "{stats:?}");
    // A new one is left alone.
    connection(&network, &listener);
}

fn connections_stall(_: &Path) {
    let network = network(Switch, 2);
    let listener = listener(&network);
    let (mut near, mut far) = connection(&network, &listener);
    let links = BOTH_WAYS.map(|(from, to)| (node(from), node(to)));
    network.cut(&links, only_old(Connections::Stall));
    near.write_all(&[2]).unwrap();
    far.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let error = far.read(&mut [0]).expect_err("nothing arrives");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "and nobody is told");
    connection(&network, &listener);
    let stats = network.stats(1, 2);
    assert!(stats.dropped >= 1 && stats.reset == 0, "{stats:?}");
    network.cut(&links, LinkRule::Pass);
    far.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    far.read_exact(&mut [0]).expect("TCP sends it again");
}

/// Numbered datagrams from one socket to the other: the numbers as they arrive, each with its time since it was sent.
fn sent_and_received(
    from: &UdpSocket,
    to: &UdpSocket,
    count: u32,
    apart: Duration,
) -> Vec<(u32, Vec<u8>, Duration)> {
    let target = to.local_addr().unwrap();
    to.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let (mut received, mut buffer) = (Vec::new(), [0; 64]);
            while let Ok(length) = to.recv(&mut buffer) {
                received.push((buffer[..length].to_vec(), Instant::now()));
            }
            received
        });
        let mut sent = Vec::new();
        for number in 0..count {
            let mut datagram = [0x55; 64];
            datagram[..4].copy_from_slice(&number.to_le_bytes());
            datagram[4..8].copy_from_slice(&number.to_le_bytes());
            sent.push(Instant::now());
            from.send_to(&datagram, target).expect("sending is not what fails");
            // The pace is what is tested: the line sees one frame after the other.
            std::thread::sleep(apart);
        }
        let received = receiver.join().expect("no panic");
        let number = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let known = received.into_iter().filter(|(bytes, _)| sent.get(number(bytes) as usize).is_some());
        known.map(|(bytes, at)| (number(&bytes), bytes.clone(), at - sent[number(&bytes) as usize])).collect()
    })
}

fn a_late_line_is_late(_: &Path) {
    let network = network(Switch, 2);
    let (a, b) = (network.udp(1), network.udp(2));
    let late = Shaping { delay_us: 30_000, jitter_us: 10_000, ..Shaping::default() };
    network.cut(&[(node(1), node(2))], LinkRule::Shape(late));
    let received = sent_and_received(&a, &b, 100, Duration::from_millis(1));
    assert_eq!(received.len(), 100, "nothing is lost");
    assert!(received.is_sorted_by_key(|(number, ..)| *number), "frames keep their order");
    let mut waits: Vec<Duration> = received.iter().map(|(.., wait)| *wait).collect();
    waits.sort_unstable();
    assert!(waits[0] >= Duration::from_millis(20), "{waits:?}");
    // Under jitter a frame waits for those before it, so the median is above the delay; a busy host adds to it.
    assert!((Duration::from_millis(28)..Duration::from_millis(60)).contains(&waits[50]), "{waits:?}");
    assert_eq!(network.stats(1, 2).delayed, 100);
    assert_eq!(arriving(&b, &a, 20), 20, "the other direction is untouched");
    assert_eq!(network.stats(2, 1).delayed, 0);
    println!("30 ms ±10 ms: {:?} .. median {:?} .. {:?}", waits[0], waits[50], waits[99]);
}

fn shares_of_frames_are_touched(_: &Path) {
    let network = network(Switch, 2);
    let (a, b) = (network.udp(1), network.udp(2));
    let bad = Shaping {
        loss_ppm: 200_000,
        duplicate_ppm: 200_000,
        reorder_ppm: 100_000,
        corrupt_ppm: 100_000,
        ..Shaping::default()
    };
    network.cut(&[(node(1), node(2))], LinkRule::Shape(bad));
    let received = sent_and_received(&a, &b, 1000, Duration::from_micros(500));
    let stats = network.stats(1, 2);
    println!("{stats:?}");
    assert_eq!(stats.passed + stats.dropped, 1000);
    // Five standard deviations of 1000 draws.
    let near = |found: u64, expected: f64| {
        let spread = 5.0 * (expected * (1.0 - expected / 1000.0)).sqrt();
        assert!((found as f64 - expected).abs() <= spread, "{found}, not {expected}: {stats:?}");
    };
    near(stats.dropped, 200.0);
    near(stats.duplicated, 160.0);
    near(stats.reordered, 80.0);
    near(stats.corrupted, 80.0);
    let damaged = |bytes: &[u8]| bytes[..4] != bytes[4..8] || bytes[8..].iter().any(|byte| *byte != 0x55);
    let found = received.iter().filter(|(_, bytes, _)| damaged(bytes)).count() as u64;
    // A damaged number may be that of no datagram at all.
    assert!(found > stats.corrupted / 2, "{found} damaged datagrams arrived, the kernel dropped the others");
    assert!(received.len() as u64 <= stats.passed + stats.duplicated);
    assert!(!received.is_sorted_by_key(|(number, ..)| *number), "some were overtaken");
}

fn a_slow_line_carries_what_it_says(_: &Path) {
    let network = network(Switch, 2);
    let slow = Shaping { rate_kbit: 8_000, ..Shaping::default() };
    network.cut(&[(node(1), node(2))], LinkRule::Shape(slow));
    let address = SocketAddr::from((node_address(NodeId(2)), 9100));
    let listener =
        network.hosts.node(NodeId(2)).unwrap().run(|| TcpListener::bind(address)).expect("a listener");
    let mut sender =
        network.hosts.node(NodeId(1)).unwrap().run(|| TcpStream::connect(address)).expect("connected");
    let (mut receiver, _) = listener.accept().expect("accepted");
    const BYTES: usize = 1_500_000;
    let begun = Instant::now();
    let writer = std::thread::spawn(move || sender.write_all(&vec![7; BYTES]));
    let mut all = vec![0; BYTES];
    receiver.read_exact(&mut all).expect("all of it arrives");
    writer.join().expect("no panic").expect("written");
    let took = begun.elapsed();
    // 12 Mbit at 8 Mbit/s; the queue of the line is half a second, and what is dropped is sent again.
    println!("{BYTES} bytes at 8 Mbit/s took {took:?}");
    assert!((Duration::from_millis(1400)..Duration::from_secs(10)).contains(&took), "{took:?}");
}

fn healing_delivers_what_waits(_: &Path) {
    let network = network(Switch, 2);
    let (a, b) = (network.udp(1), network.udp(2));
    let link = [(node(1), node(2))];
    network.cut(&link, LinkRule::Shape(Shaping { delay_us: 60_000_000, ..Shaping::default() }));
    assert_eq!(arriving(&a, &b, 5), 0, "they wait");
    assert_eq!(network.stats(1, 2), LinkStats { passed: 5, delayed: 5, ..LinkStats::default() });
    network.cut(&link, LinkRule::Pass);
    let mut buffer = [0; 8];
    let numbers: Vec<u8> = (0..5).map_while(|_| b.recv(&mut buffer).ok().map(|_| buffer[0])).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    network.cut(&link, LinkRule::Shape(Shaping { delay_us: 60_000_000, ..Shaping::default() }));
    assert_eq!(arriving(&a, &b, 5), 0);
    network.cut(&link, LinkRule::Drop);
    network.cut(&link, LinkRule::Pass);
    assert_eq!(arriving(&a, &b, 3), 3, "those that waited when the line was cut are gone");
    assert_eq!(network.stats(1, 2).dropped, 5);
}
