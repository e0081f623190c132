//! What both networks promise, the packet switch and the kernel's bridge, watched from sockets inside the hosts: every host
//! reaches every other, cuts are directed, silent, at one instant and counted, and healing leaves nothing behind.

mod common;
#[path = "common/network.rs"]
mod hosts;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cluster::hosts::{CLIENTS, CONTROL, node_address};
use cluster::levers::{Connections, Endpoint, LeverError, Link, LinkRule, LinkStats, Shaping};
use cluster::network::NetworkKind::{self, Kernel, Switch};
use cluster::switch::SwitchTroubles;
use cluster::system::NodeId;

use common::{Play, Scene};
use hosts::{all_links, arriving, network, node};

/// The same scene on both networks.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        [$(
            Scene { name: concat!(stringify!($name), "_switch"), play: Play::Inside(|_| $name(Switch)) },
            Scene {
                name: concat!(stringify!($name), "_kernel"),
                play: Play::Inside(|_| if possible() { $name(Kernel) }),
            },
        )*]
    };
}

/// Whether this host has what the bridge needs; says so if not. A bridge that is there and does not work fails.
fn possible() -> bool {
    match cluster::bridge::trial() {
        Ok(_) => true,
        Err(why) => {
            assert!(why.contains("to fix it"), "{why}");
            println!("    NOT TESTED: {why}");
            false
        }
    }
}

fn main() -> ExitCode {
    let mut scenes = on_both![
        every_host_reaches_every_other,
        a_cut_is_one_way_silent_and_counted,
        cuts_add_up_and_are_healed_one_by_one,
        the_control_address_is_never_cut,
        a_connection_outlives_a_cut,
        a_bulk_transfer_arrives_intact,
        all_links_change_at_once,
        a_change_with_an_unknown_link_changes_nothing,
        networks_follow_one_another,
    ]
    .into_iter()
    .collect::<Vec<_>>();
    let refused = Play::Inside(what_the_kernel_cannot_do_is_refused);
    scenes.push(Scene { name: "what_the_kernel_cannot_do_is_refused", play: refused });
    scenes.push(Scene {
        name: "the_bridge_can_be_tried_again",
        play: Play::Inside(the_bridge_can_be_tried_again),
    });
    common::main(&scenes)
}

fn every_host_reaches_every_other(kind: NetworkKind) {
    let network = network(kind, 5);
    let mut sockets = vec![UdpSocket::bind((CLIENTS, 9000)).unwrap()];
    sockets.extend((1..=5).map(|n| network.udp(n)));
    for (i, from) in sockets.iter().enumerate() {
        for (j, to) in sockets.iter().enumerate().filter(|(j, _)| *j != i) {
            assert_eq!(arriving(from, to, 20), 20, "from {i} to {j}");
        }
    }
    assert_eq!(network.links.troubles(), SwitchTroubles::default());
}

fn a_cut_is_one_way_silent_and_counted(kind: NetworkKind) {
    let network = network(kind, 3);
    let (a, b, c) = (network.udp(1), network.udp(2), network.udp(3));
    network.cut(&[(node(1), node(2))], LinkRule::Drop);
    assert_eq!(arriving(&a, &b, 50), 0);
    assert_eq!(arriving(&b, &a, 50), 50);
    assert_eq!(arriving(&a, &c, 50), 50);
    assert_eq!(arriving(&c, &b, 50), 50);
    let (rule, stats) = network.links.link(Link { from: node(1), to: node(2) });
    assert_eq!((rule, stats.passed, stats.dropped), (LinkRule::Drop, 0, 50));
    network.cut(&[(node(1), node(2))], LinkRule::Pass);
    // The very first datagram passes: nothing has to be learnt anew.
    assert_eq!(arriving(&a, &b, 1), 1);
    // A cut client link, in the direction to the client alone.
    let client = UdpSocket::bind((CLIENTS, 9000)).unwrap();
    network.cut(&[(node(1), Endpoint::Clients)], LinkRule::Drop);
    assert_eq!(
        (arriving(&client, &a, 50), arriving(&a, &client, 50), arriving(&b, &client, 50)),
        (50, 0, 50)
    );
}

fn the_control_address_is_never_cut(kind: NetworkKind) {
    let network = network(kind, 2);
    let (control, client) =
        (UdpSocket::bind((CONTROL, 9000)).unwrap(), UdpSocket::bind((CLIENTS, 9000)).unwrap());
    let node_socket = network.udp(1);
    network.cut(&all_links(2), LinkRule::Drop);
    assert_eq!((arriving(&control, &node_socket, 50), arriving(&node_socket, &control, 50)), (50, 50));
    assert_eq!((arriving(&client, &node_socket, 50), arriving(&node_socket, &client, 50)), (0, 0));
}

fn a_connection_outlives_a_cut(kind: NetworkKind) {
    let network = network(kind, 2);
    let address = SocketAddr::new(IpAddr::V4(node_address(NodeId(1))), 7000);
    let listener = network.on(1, || TcpListener::bind(address));
    let mut near = network.on(2, || TcpStream::connect(address));
    let (mut far, _) = listener.accept().unwrap();
    let mut byte = [0];
    near.write_all(b"a").unwrap();
    far.read_exact(&mut byte).unwrap();
    network.cut(&all_links(2), LinkRule::Drop);
    near.write_all(b"b").unwrap();
    far.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    let error = far.read(&mut byte).expect_err("nothing passes");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    let healed = network.cut(&all_links(2), LinkRule::Pass);
    far.set_read_timeout(None).unwrap();
    far.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"b");
    println!("    a TCP connection goes on {:?} after a cut of 0.7 s was healed", healed.elapsed());
}

fn a_bulk_transfer_arrives_intact(kind: NetworkKind) {
    const BYTES: usize = 32 << 20;
    let network = network(kind, 2);
    let address = SocketAddr::new(IpAddr::V4(node_address(NodeId(1))), 7000);
    let listener = network.on(1, || TcpListener::bind(address));
    let sent: Vec<u8> = (0..BYTES as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let started = Instant::now();
    let received = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut received = Vec::with_capacity(BYTES);
            stream.read_to_end(&mut received).unwrap();
            received
        });
        let mut stream = network.on(2, || TcpStream::connect(address));
        stream.write_all(&sent).unwrap();
        drop(stream);
        receiver.join().unwrap()
    });
    let took = started.elapsed();
    assert!(received == sent, "the bytes that arrived are not those that were sent");
    let (_, stats) = network.links.link(Link { from: node(2), to: node(1) });
    // Frames larger than the MTU crossed in one piece, or there would be at least this many.
    assert!(stats.passed < (BYTES / 1448) as u64, "{stats:?}");
    let gigabits = BYTES as f64 * 8.0 / took.as_secs_f64() / 1e9;
    println!(
        "    {gigabits:.2} Gbit/s over one stream, {} frames, {:?}",
        stats.passed,
        network.links.troubles()
    );
    // Frames of exactly the MTU, which no offload touches.
    let (a, b) = (network.udp(1), network.udp(2));
    a.send_to(&[7; 1472], b.local_addr().unwrap()).unwrap();
    b.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut buffer = [0; 2000];
    assert_eq!(b.recv(&mut buffer).unwrap(), 1472);
    assert!(buffer[..1472].iter().all(|byte| *byte == 7));
}

fn all_links_change_at_once(kind: NetworkKind) {
    let network = network(kind, 5);
    let links = all_links(5);
    // Traffic in the background, so that the lock is contended as in a run.
    let (a, b) = (network.udp(1), network.udp(2));
    let target = b.local_addr().unwrap();
    let busy = std::sync::atomic::AtomicBool::new(true);
    let took = std::thread::scope(|scope| {
        scope.spawn(|| {
            while busy.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = a.send_to(&[0; 100], target);
            }
        });
        let measure = |i: usize| {
            let rule = if i.is_multiple_of(2) { LinkRule::Drop } else { LinkRule::Pass };
            let started = Instant::now();
            network.cut(&links, rule);
            let took = started.elapsed();
            let all =
                links.iter().all(|(from, to)| network.links.link(Link { from: *from, to: *to }).0 == rule);
            assert!(all);
            took
        };
        let mut took: Vec<Duration> = (0..1000).map(measure).collect();
        busy.store(false, std::sync::atomic::Ordering::Relaxed);
        took.sort();
        took
    });
    println!(
        "    30 links changed under load: p50 {:?}, p99 {:?}, max {:?}",
        took[500], took[990], took[999]
    );
    // Nothing that an older rule let through arrives after the change: what is there now is all there will be.
    network.cut(&links, LinkRule::Drop);
    let before = network.links.link(Link { from: node(1), to: node(2) }).1.passed;
    assert_eq!(arriving(&a, &network.udp_on(2, 9001), 50), 0);
    assert_eq!(network.links.link(Link { from: node(1), to: node(2) }).1.passed, before);
}

fn networks_follow_one_another(kind: NetworkKind) {
    let mut took = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        let network = network(kind, 5);
        took.push(started.elapsed());
        let (a, b) = (network.udp(1), network.udp(5));
        assert_eq!(arriving(&a, &b, 5), 5);
    }
    println!("    hosts of 5 nodes made and connected in {took:?}");
    for nodes in [0, 255] {
        assert!(cluster::network::Network::build(kind, nodes, 1).is_err());
    }
}

/// What healing one cut leaves of another, and that all of it is gone at the end.
fn cuts_add_up_and_are_healed_one_by_one(kind: NetworkKind) {
    let network = network(kind, 3);
    let (a, b, c) = (network.udp(1), network.udp(2), network.udp(3));
    network.cut(&[(node(1), node(2)), (node(2), node(1))], LinkRule::Drop);
    network.cut(&[(node(1), node(3))], LinkRule::Drop);
    // Cutting what is cut, and healing what is whole, changes nothing.
    network.cut(&[(node(1), node(3))], LinkRule::Drop);
    network.cut(&[(node(2), node(3))], LinkRule::Pass);
    assert_eq!((arriving(&a, &b, 5), arriving(&b, &a, 5), arriving(&a, &c, 5)), (0, 0, 0));
    assert_eq!((arriving(&b, &c, 5), arriving(&c, &a, 5), arriving(&c, &b, 5)), (5, 5, 5));
    // One change may cut and heal.
    let mixed = [
        (Link { from: node(1), to: node(2) }, LinkRule::Pass),
        (Link { from: node(3), to: node(1) }, LinkRule::Drop),
    ];
    network.links.set_links(&mixed).expect("rules");
    assert_eq!((arriving(&a, &b, 5), arriving(&b, &a, 5), arriving(&a, &c, 5)), (5, 0, 0));
    assert_eq!(arriving(&c, &a, 5), 0);
    network.cut(&all_links(3), LinkRule::Pass);
    for (from, to) in [(&a, &b), (&b, &a), (&a, &c), (&c, &a), (&b, &c), (&c, &b)] {
        assert_eq!(arriving(from, to, 5), 5);
    }
    for (from, to) in all_links(3) {
        assert_eq!(network.link(from, to).0, LinkRule::Pass, "{from:?} to {to:?}");
    }
    // No frame was counted twice or forgotten.
    let counted = |from, to| network.stats(from, to);
    let seen = |passed, dropped| LinkStats { passed, dropped, ..LinkStats::default() };
    assert_eq!(counted(1, 2), seen(10, 5));
    assert_eq!(counted(2, 1), seen(5, 10));
    assert_eq!(counted(1, 3), seen(5, 10));
    assert_eq!(counted(3, 1), seen(10, 5));
    assert_eq!((counted(2, 3), counted(3, 2)), (seen(10, 0), seen(10, 0)));
}

fn a_change_with_an_unknown_link_changes_nothing(kind: NetworkKind) {
    let network = network(kind, 2);
    let good = Link { from: node(1), to: node(2) };
    for bad in [
        Link { from: node(1), to: node(3) },
        Link { from: node(1), to: node(1) },
        Link { from: node(0), to: node(1) },
    ] {
        let result = network.links.set_links(&[(good, LinkRule::Drop), (bad, LinkRule::Drop)]);
        assert!(matches!(result, Err(LeverError::Unsupported(_))), "{bad:?}: {result:?}");
        assert_eq!(network.links.link(good).0, LinkRule::Pass);
        assert_eq!(network.links.link(bad), (LinkRule::Pass, LinkStats::default()));
    }
    assert_eq!(arriving(&network.udp(1), &network.udp(2), 5), 5);
}

/// A rule that it cannot keep is refused as a whole, and nobody takes a cut for a bad line.
fn what_the_kernel_cannot_do_is_refused(_: &Path) {
    if !possible() {
        return;
    }
    let network = network(Kernel, 2);
    let [there, back] = [(1, 2), (2, 1)].map(|(from, to)| Link { from: node(from), to: node(to) });
    let bad_lines = [
        Shaping { delay_us: 1000, ..Shaping::default() },
        Shaping { loss_ppm: 1_000_000, ..Shaping::default() },
        Shaping { connections: Connections::Reset, ..Shaping::default() },
    ];
    for shaping in bad_lines {
        let result = network.links.set_links(&[(back, LinkRule::Drop), (there, LinkRule::Shape(shaping))]);
        let Err(LeverError::Unsupported(why)) = result else { panic!("{shaping:?}: {result:?}") };
        assert!(why.contains("network: switch"), "{why}");
        assert_eq!([there, back].map(|link| network.links.link(link).0), [LinkRule::Pass; 2]);
    }
}

fn the_bridge_can_be_tried_again(_: &Path) {
    if !possible() {
        return;
    }
    // Nothing of the first trial is in the way of the second.
    let trial = cluster::bridge::trial().unwrap_or_else(|why| panic!("{why}"));
    println!("    {trial}");
}
