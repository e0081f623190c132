//! What the two networks cost, measured from sockets inside the hosts: round trips, one TCP stream, and how long after a cut
//! was asked for its victim still hears something.
//!
//! Invariant: the networks are measured in turns, so that a machine that grows busy does not favour one of them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cluster::hosts::{Hosts, node_address};
use cluster::levers::{Endpoint, Link, LinkRule};
use cluster::network::{Network, NetworkKind};
use cluster::system::NodeId;

use super::{ADDED, KERNEL_STREAM, KERNEL_TRIP, SEEN_CUT, SEEN_KERNEL_CUT, STREAM, Sample};

/// The two hosts: one that sends, one that receives.
const FROM: NodeId = NodeId(1);
const TO: NodeId = NodeId(2);
const PORT: u16 = 7000;
/// How often each network is measured.
const TURNS: usize = 3;
/// Round trips that are timed, and those before them that are not.
const TRIPS: usize = 2000;
const FIRST_TRIPS: usize = 200;
/// How long a stream flows.
const STREAM_TIME: Duration = Duration::from_millis(700);
/// What is written and read of it at once.
const CHUNK: usize = 128 << 10;
/// Cuts whose effect is looked for.
const CUTS: usize = 40;
/// Between two datagrams that a cut may stop.
const SPACING: Duration = Duration::from_micros(20);
/// How long after a cut the victim is listened to.
const LISTENING: Duration = Duration::from_millis(10);
/// How long traffic may take until it flows.
const PATIENCE: Duration = Duration::from_secs(5);

/// Measures what this host can do; the kernel's bridge is left out where it does not work, `doctor` says why.
pub(super) fn figures() -> Result<Vec<Sample>, String> {
    let bridge = cluster::bridge::trial().is_ok();
    figures_of(bridge).map_err(|error| format!("a network could not be measured: {error}"))
}

fn figures_of(bridge: bool) -> io::Result<Vec<Sample>> {
    let mut samples = Vec::new();
    let mut add = |figure: &str, value| samples.push(Sample { figure: figure.to_owned(), value });
    for _ in 0..TURNS {
        let switch_us = round_trip_us(NetworkKind::Switch)?;
        if bridge {
            let kernel_us = round_trip_us(NetworkKind::Kernel)?;
            add(KERNEL_TRIP, kernel_us);
            add(ADDED, switch_us - kernel_us);
            add(KERNEL_STREAM, stream_gigabits(NetworkKind::Kernel)?);
        }
        add(STREAM, stream_gigabits(NetworkKind::Switch)?);
    }
    seen_cuts_us(NetworkKind::Switch)?.into_iter().for_each(|us| add(SEEN_CUT, us));
    if bridge {
        seen_cuts_us(NetworkKind::Kernel)?.into_iter().for_each(|us| add(SEEN_KERNEL_CUT, us));
    }
    Ok(samples)
}

fn address() -> SocketAddr {
    SocketAddr::from((node_address(TO), PORT))
}

fn on<T: Send>(hosts: &Hosts, node: NodeId, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    hosts.node(node).ok_or_else(|| io::Error::other(format!("{node} has no host")))?.run(work)
}

/// A TCP connection between the hosts: its ends at `FROM` and `TO`.
fn connection(hosts: &Hosts) -> io::Result<(TcpStream, TcpStream)> {
    let listener = on(hosts, TO, || TcpListener::bind(address()))?;
    let near = on(hosts, FROM, || TcpStream::connect(address()))?;
    let (far, _) = listener.accept()?;
    for end in [&near, &far] {
        end.set_nodelay(true)?;
    }
    Ok((near, far))
}

/// The median time of one byte to the other host and back.
fn round_trip_us(kind: NetworkKind) -> io::Result<f64> {
    let (hosts, _network) = Network::build(kind, 2, 1)?;
    let (mut near, mut far) = connection(&hosts)?;
    let echo = std::thread::spawn(move || {
        let mut byte = [0];
        while far.read_exact(&mut byte).is_ok() && far.write_all(&byte).is_ok() {}
    });
    let mut trips = Vec::with_capacity(TRIPS);
    for trip in 0..FIRST_TRIPS + TRIPS {
        let begun = Instant::now();
        near.write_all(&[1])?;
        near.read_exact(&mut [0])?;
        if trip >= FIRST_TRIPS {
            trips.push(begun.elapsed());
        }
    }
    drop(near);
    echo.join().map_err(|_| io::Error::other("the echo panicked"))?;
    trips.sort();
    Ok(micros(trips[trips.len() / 2]))
}

/// What one TCP stream carries, in Gb/s.
fn stream_gigabits(kind: NetworkKind) -> io::Result<f64> {
    let (hosts, _network) = Network::build(kind, 2, 1)?;
    let (mut near, mut far) = connection(&hosts)?;
    let begun = Instant::now();
    let receiver = std::thread::spawn(move || -> io::Result<usize> {
        let (mut chunk, mut all) = (vec![0; CHUNK], 0);
        loop {
            match far.read(&mut chunk)? {
                0 => return Ok(all),
                some => all += some,
            }
        }
    });
    let chunk = vec![7; CHUNK];
    while begun.elapsed() < STREAM_TIME {
        near.write_all(&chunk)?;
    }
    drop(near);
    let all = receiver.join().map_err(|_| io::Error::other("the receiver panicked"))??;
    Ok(all as f64 * 8.0 / begun.elapsed().as_secs_f64() / 1e9)
}

/// How long after a cut was asked for the victim took the last datagram in, each time. It is 0 where that was before.
fn seen_cuts_us(kind: NetworkKind) -> io::Result<Vec<f64>> {
    let (hosts, network) = Network::build(kind, 2, 1)?;
    let sender = on(&hosts, FROM, || UdpSocket::bind((node_address(FROM), PORT)))?;
    let victim = on(&hosts, TO, || UdpSocket::bind(address()))?;
    victim.set_read_timeout(Some(LISTENING))?;
    let begun = Instant::now();
    let (heard, over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let _ = sender.send_to(&[1], address());
                std::thread::sleep(SPACING);
            }
        });
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if victim.recv(&mut [0]).is_ok() {
                    heard.store(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
                }
            }
        });
        let cuts = (0..CUTS).map(|_| one_cut_us(&network, begun, &heard)).collect();
        over.store(true, Ordering::Relaxed);
        cuts
    })
}

fn one_cut_us(network: &Network, begun: Instant, heard: &AtomicU64) -> io::Result<f64> {
    let link = Link { from: Endpoint::Node(FROM), to: Endpoint::Node(TO) };
    let set = |rule| network.set_links(&[(link, rule)]).map_err(io::Error::other);
    let before = heard.load(Ordering::Relaxed);
    let deadline = Instant::now() + PATIENCE;
    while heard.load(Ordering::Relaxed) == before {
        if Instant::now() > deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "nothing arrives at the host that is to be cut off",
            ));
        }
        std::thread::sleep(SPACING);
    }
    let asked = begun.elapsed();
    set(LinkRule::Drop)?;
    std::thread::sleep(LISTENING);
    let last = Duration::from_nanos(heard.load(Ordering::Relaxed));
    set(LinkRule::Pass)?;
    Ok(micros(last.saturating_sub(asked)))
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
