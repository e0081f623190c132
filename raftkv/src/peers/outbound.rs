//! The sending side: connecting, writing, and noticing that a connection has died silently.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::codec::{self, Hello};
use super::{Connected, Queue};
use crate::failpoints::steps;

/// The first pause between two attempts to connect; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// The longest pause: the time to reconnect after a heal.
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// How long one attempt may take. Attempts overlap, so this only has to exceed the slowest honest handshake.
const ATTEMPT_MAX: Duration = Duration::from_secs(2);
/// How often a connection is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);
/// The kernel gives a connection up when sent bytes were not acknowledged for so long.
const USER_TIMEOUT: Duration = Duration::from_secs(5);

/// Keeps a connection to one peer and sends what is queued for it, for ever.
pub(super) async fn run(address: SocketAddr, hello: Hello, queue: std::sync::Arc<Queue>) {
    let mut stream = connect(address).await;
    loop {
        queue.set_connected(Connected::Yes);
        let ended = drive(&mut stream, address, &hello, &queue).await;
        queue.set_connected(Connected::No);
        tracing::debug!("peers: n{} at {address}: {ended}", hello.to.0);
        abort(&stream);
        stream = match ended {
            Ended::Replaced(fresh) => fresh,
            Ended::Closed(_) => {
                // A peer that accepts and closes at once must not be hammered.
                sleep(PAUSE_MIN).await;
                connect(address).await
            }
        };
    }
}

/// Why a connection is not used any more.
enum Ended {
    Closed(io::Error),
    Replaced(TcpStream),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ended::Closed(error) => write!(f, "connection closed: {error}"),
            Ended::Replaced(_) => f.write_str("connection stalled and was replaced"),
        }
    }
}

/// Connects, however long it takes. A new attempt starts after each pause while the earlier ones are still open, so that
/// neither a lost SYN nor a slow path delays the others.
async fn connect(address: SocketAddr) -> TcpStream {
    let mut attempts = JoinSet::new();
    let mut pause = PAUSE_MIN;
    loop {
        attempts.spawn(timeout(ATTEMPT_MAX, TcpStream::connect(address)));
        let next_attempt = sleep(pause);
        tokio::pin!(next_attempt);
        loop {
            tokio::select! {
                () = &mut next_attempt => break,
                Some(ended) = attempts.join_next() => {
                    if let Ok(Ok(Ok(stream))) = ended
                        && prepare(&stream).is_ok()
                    {
                        return stream;
                    }
                }
            }
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Uses a connection until it ends.
async fn drive(stream: &mut TcpStream, address: SocketAddr, hello: &Hello, queue: &Queue) -> Ended {
    let descriptor = stream.as_raw_fd();
    let (read, write) = stream.split();
    tokio::select! {
        error = send(write, hello, queue) => Ended::Closed(error),
        error = closed(read) => Ended::Closed(error),
        fresh = replacement(descriptor, address) => Ended::Replaced(fresh),
    }
}

/// Writes what is queued. All that waits goes out in one write.
async fn send(mut write: WriteHalf<'_>, hello: &Hello, queue: &Queue) -> io::Error {
    /// A buffer that one burst made is not kept.
    const KEPT: usize = 1 << 20;
    let mut bytes = Vec::new();
    codec::encode(hello, &mut bytes);
    let mut commands = Vec::new();
    loop {
        if let Err(error) = write.write_all(&bytes).await {
            return error;
        }
        steps::sent(&mut commands);
        bytes.clear();
        bytes.shrink_to(KEPT);
        for message in queue.take().await {
            steps::sending(hello.to, &message, &mut commands);
            codec::encode(&message, &mut bytes);
        }
    }
}

/// Waits until the peer closes. It never sends anything on this connection.
async fn closed(mut read: ReadHalf<'_>) -> io::Error {
    let mut byte = [0];
    match read.read(&mut byte).await {
        Ok(0) => io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the peer"),
        Ok(_) => io::Error::new(io::ErrorKind::InvalidData, "the peer sent data the wrong way"),
        Err(error) => error,
    }
}

/// Waits until the connection has stalled and a fresh one got through while it still was.
async fn replacement(descriptor: i32, address: SocketAddr) -> TcpStream {
    loop {
        sleep(WATCH_INTERVAL).await;
        if is_stalled(descriptor) {
            let fresh = connect(address).await;
            if is_stalled(descriptor) {
                return fresh;
            }
        }
    }
}

/// Whether the kernel has retransmitted and still waits for the acknowledgement.
fn is_stalled(descriptor: i32) -> bool {
    // SAFETY: all fields of tcp_info are plain numbers, for which zero bytes are a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `info`; the descriptor is borrowed from a stream that the
    // caller keeps open, and a wrong one would only yield an error.
    let result = unsafe {
        libc::getsockopt(descriptor, libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut len)
    };
    result == 0 && info.tcpi_retransmits > 0
}

/// Sets what every connection needs.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    set_option(stream, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, &(USER_TIMEOUT.as_millis() as libc::c_uint))
}

/// Lets the close that follows discard what the kernel still holds: it is stale, and must not arrive later beside what a
/// fresh connection carries.
fn abort(stream: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    if let Err(error) = set_option(stream, libc::SOL_SOCKET, libc::SO_LINGER, &linger) {
        tracing::debug!("peers: cannot abort a connection: {error}");
    }
}

fn set_option<T>(stream: &TcpStream, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: `value` is readable for the length that is passed, and the kernel only reads it.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            level,
            name,
            (&raw const *value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
