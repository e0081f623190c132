//! Messages between real sockets on the loopback interface.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::*;
use crate::raft::message::Heartbeat;

/// Longer than anything here takes; reached only by a failure.
const PATIENCE: Duration = Duration::from_secs(20);

fn heartbeat(round: u64) -> Message {
    Message::Heartbeat(Heartbeat { term: 1, commit: 0, round })
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Peers in a thread of their own, until they are dropped.
struct Running {
    peers: Peers,
    runtime: tokio::runtime::Handle,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn outbox(&self) -> Outbox {
        self.peers.outbox()
    }

    /// A configuration says where a node is.
    fn know(&self, node: u16, address: SocketAddr) {
        let _entered = self.runtime.enter();
        self.outbox().know(NodeId(node), address);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.notify_one();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn start(id: u16, listener: TcpListener, other: (u16, SocketAddr)) -> (Running, Receiver<(NodeId, Message)>) {
    let (sender, received) = channel();
    let deliver = Arc::new(move |from, message| sender.send((from, message)).is_ok());
    let others = [(NodeId(other.0), other.1)].into();
    let config = PeersConfig {
        id: NodeId(id),
        cluster: "c".into(),
        others,
        patience: Patience::Bounded,
        incarnation: Incarnation { boot: 1, ..Incarnation::default() },
        acquaintances: Acquaintances::default(),
        rules: Rules::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let entered = runtime.enter();
    let peers = Peers::spawn(config, listener, deliver).unwrap();
    drop(entered);
    let stop = Arc::new(Notify::new());
    let (stopped, handle) = (stop.clone(), runtime.handle().clone());
    let thread = std::thread::spawn(move || runtime.block_on(stopped.notified()));
    (Running { peers, runtime: handle, stop, thread: Some(thread) }, received)
}

/// Sends numbered messages until one arrives, and returns its number.
fn send_until_received(from: &Running, to: u16, received: &Receiver<(NodeId, Message)>) -> u64 {
    let began = Instant::now();
    for round in 1.. {
        from.outbox().send(NodeId(to), heartbeat(round));
        match received.recv_timeout(Duration::from_millis(20)) {
            Ok((_, Message::Heartbeat(heartbeat))) => return heartbeat.round,
            Ok(other) => panic!("{other:?}"),
            Err(RecvTimeoutError::Timeout) => assert!(began.elapsed() < PATIENCE, "nothing arrives"),
            Err(RecvTimeoutError::Disconnected) => panic!("the receiver has ended"),
        }
    }
    unreachable!("the numbers do not end")
}

#[test]
fn messages_go_both_ways_in_order() {
    let ((a_listener, a_address), (b_listener, b_address)) = (listener(), listener());
    let (a, at_a) = start(1, a_listener, (2, b_address));
    let (b, at_b) = start(2, b_listener, (1, a_address));
    send_until_received(&a, 2, &at_b);
    send_until_received(&b, 1, &at_a);
    for round in 1000..2000 {
        a.outbox().send(NodeId(2), heartbeat(round));
    }
    let rounds = std::iter::from_fn(|| match at_b.recv_timeout(PATIENCE) {
        Ok((NodeId(1), Message::Heartbeat(heartbeat))) => Some(heartbeat.round),
        other => panic!("{other:?}"),
    });
    let ours: Vec<u64> = rounds.skip_while(|&round| round < 1000).take(1000).collect();
    assert!(ours.into_iter().eq(1000..2000));
    a.outbox().send(NodeId(9), heartbeat(1));
}

#[test]
fn a_restarted_peer_is_found_again() {
    let ((a_listener, a_address), (b_listener, b_address)) = (listener(), listener());
    let (a, _at_a) = start(1, a_listener, (2, b_address));
    let (b, at_b) = start(2, b_listener, (1, a_address));
    send_until_received(&a, 2, &at_b);
    drop(b);
    let again = TcpListener::bind(b_address).unwrap();
    let (_b, at_b) = start(2, again, (1, a_address));
    send_until_received(&a, 2, &at_b);
}

#[test]
fn a_peer_that_has_moved_is_sent_everything_at_its_new_address() {
    let ((a_listener, a_address), (old_listener, old_address)) = (listener(), listener());
    let (a, _at_a) = start(1, a_listener, (2, old_address));
    let (old, at_old) = start(2, old_listener, (1, a_address));
    send_until_received(&a, 2, &at_old);
    a.know(2, old_address);
    send_until_received(&a, 2, &at_old);
    // The old one still lives when the new one is known.
    let (new_listener, new_address) = listener();
    let (_new, at_new) = start(2, new_listener, (1, a_address));
    a.know(2, new_address);
    send_until_received(&a, 2, &at_new);
    let before: Vec<_> = at_old.try_iter().collect();
    for round in 1..100 {
        a.outbox().send(NodeId(2), heartbeat(round));
    }
    send_until_received(&a, 2, &at_new);
    assert_eq!(at_old.try_iter().count(), 0, "after {before:?} nothing goes to the old address");
    drop(old);
}

/// Writes `bytes` to the port and waits until the other side closes.
fn is_closed_after(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The other side may close before everything is written.
    let _ = stream.write_all(bytes);
    match stream.read(&mut [0; 16]) {
        Ok(0) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        other => panic!("expected a closed connection, got {other:?}"),
    }
}

#[test]
fn strangers_and_garbage_are_cut_off_and_disturb_nobody() {
    let ((a_listener, a_address), (b_listener, b_address)) = (listener(), listener());
    let (a, _at_a) = start(1, a_listener, (2, b_address));
    let (_b, at_b) = start(2, b_listener, (1, a_address));
    send_until_received(&a, 2, &at_b);
    let hello = |change: fn(&mut codec::Hello)| {
        let mut hello = codec::Hello {
            protocol: codec::PROTOCOL,
            cluster: "c".into(),
            from: NodeId(1),
            to: NodeId(2),
            incarnation: Incarnation { boot: 1, ..Incarnation::default() },
        };
        change(&mut hello);
        let mut bytes = Vec::new();
        codec::encode(&hello, &mut bytes);
        bytes
    };
    is_closed_after(b_address, b"GET / HTTP/1.1\r\n\r\n");
    is_closed_after(b_address, &[0; 64]);
    is_closed_after(b_address, &hello(|hello| hello.cluster = "d".into()));
    let began = Instant::now();
    is_closed_after(b_address, &hello(|hello| hello.from = NodeId(7)));
    assert!(
        began.elapsed() >= Duration::from_millis(500),
        "one that waits to be added would come back at once"
    );
    is_closed_after(b_address, &hello(|hello| hello.to = NodeId(1)));
    is_closed_after(b_address, &hello(|hello| hello.protocol += 1));
    is_closed_after(b_address, &hello(|hello| hello.incarnation.directory = "wiped".into()));
    is_closed_after(b_address, &hello(|hello| hello.incarnation.start = 1));
    let mut garbage_later = hello(|_| {});
    garbage_later.extend([0xff; 64]);
    is_closed_after(b_address, &garbage_later);
    while at_b.try_recv().is_ok() {}
    send_until_received(&a, 2, &at_b);
}

#[test]
fn an_unreachable_peer_costs_nothing() {
    let queue = Queue::default();
    for round in 0..10_000 {
        queue.push(heartbeat(round));
    }
    let kept = &queue.lock().messages;
    assert_eq!(kept.len(), Queue::OFFLINE_MAX);
    assert_eq!(kept.back(), Some(&heartbeat(9999)), "the newest are kept");
}

#[test]
fn a_slow_peer_costs_a_bounded_amount_unless_nothing_bounds_it() {
    use crate::raft::log::{Entry, Payload};
    use crate::raft::message::AppendEntries;
    let filled = |patience| {
        let queue = Queue::new(patience);
        queue.set_connected(Connected::Yes);
        for index in 1..100 {
            let entries = vec![Entry { index, term: 1, payload: Payload::Command(vec![0; 1 << 20].into()) }];
            let append = AppendEntries { term: 1, prev_index: index - 1, prev_term: 1, entries, commit: 0 };
            queue.push(Message::AppendEntries(append));
        }
        let waiting = queue.lock();
        (waiting.messages.len(), waiting.bytes)
    };
    let (messages, bytes) = filled(Patience::Bounded);
    assert!(bytes <= Queue::BYTES_MAX && messages >= 8);
    let (messages, bytes) = filled(Patience::Endless);
    assert!(messages == 99 && bytes >= 99 << 20);
}

#[test]
fn the_largest_entry_fits_into_a_frame() {
    let largest = crate::raft::rules::MAX_ENTRY_BYTES_MAX;
    assert!(largest + (4 << 20) < codec::FRAME_MAX, "with a message of smaller entries before it");
}

/// Makes the kernel drop every segment that arrives at a socket, as a partition does: no reset, no answer.
fn blackhole(socket: &impl AsRawFd) -> io::Result<()> {
    let mut drop_all = libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 };
    let program = libc::sock_fprog { len: 1, filter: &raw mut drop_all };
    // SAFETY: `program` points to one instruction, and the kernel copies it before the call returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn heal(socket: BorrowedFd<'_>) {
    let unused = 0;
    // SAFETY: the option takes no value, the kernel only reads the integer that is passed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_DETACH_FILTER,
            (&raw const unused).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

/// The first heartbeat behind the hello of a connection.
fn first_heartbeat(stream: &mut TcpStream) -> u64 {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "the connection was closed");
        bytes.extend_from_slice(&chunk[..read]);
        let Some((_, hello)) = codec::decode::<codec::Hello>(&bytes, codec::HELLO_MAX).unwrap() else {
            continue;
        };
        if let Some((Message::Heartbeat(heartbeat), _)) =
            codec::decode(&bytes[hello..], codec::FRAME_MAX).unwrap()
        {
            return heartbeat.round;
        }
    }
}

#[test]
fn after_a_partition_a_fresh_connection_takes_over() {
    use std::os::fd::AsFd;
    let ((a_listener, _), (b_listener, b_address)) = (listener(), listener());
    let (a, _at_a) = start(1, a_listener, (2, b_address));
    let outbox = a.outbox();
    let (stop, stopped) = channel::<()>();
    let heartbeats = std::thread::spawn(move || {
        let mut round = 0;
        while stopped.recv_timeout(Duration::from_millis(10)) == Err(RecvTimeoutError::Timeout) {
            round += 1;
            outbox.send(NodeId(2), heartbeat(round));
        }
    });
    let (mut first, _) = b_listener.accept().unwrap();
    first_heartbeat(&mut first);

    match blackhole(&b_listener).and_then(|()| blackhole(&first)) {
        Ok(()) => {}
        // Some hosts keep socket filters from ordinary users; the suites cut real links all the same.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            println!("NOT TESTED: this host does not let this user filter its own sockets ({error})");
            stop.send(()).unwrap();
            return heartbeats.join().unwrap();
        }
        Err(error) => panic!("{error}"),
    }
    // The partition lasts until the sender's kernel is deep in its back-off. Nothing can be waited for: it is silent.
    let partition = Duration::from_millis(1500);
    assert_eq!(stop_after(partition), Err(RecvTimeoutError::Timeout));
    heal(b_listener.as_fd());
    let healed = Instant::now();
    let (mut second, _) = b_listener.accept().unwrap();
    first_heartbeat(&mut second);
    let took = healed.elapsed();
    println!("reconnected {took:?} after the heal");
    // The old connection is still cut: without a fresh one, the kernel alone would give up after five seconds.
    assert!(took < Duration::from_secs(3), "{took:?}");
    stop.send(()).unwrap();
    heartbeats.join().unwrap();
}

/// Lets time pass; the passing is what is tested.
fn stop_after(time: Duration) -> Result<(), RecvTimeoutError> {
    let (_sender, receiver) = channel();
    receiver.recv_timeout(time)
}
