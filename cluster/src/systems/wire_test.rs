//! A server that misbehaves on command, for the tests of the clients.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::system::NodeId;

/// What the server does with one connection.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Answers one request with this status and body, and keeps the connection.
    Answer(u16, String),
    /// The same with this index in the header `raft-index`.
    Indexed(u16, u64, String),
    /// Closes before it reads anything.
    CloseAtOnce,
    /// Reads the request, then closes without an answer.
    CloseAfterRequest,
    /// Reads the request, sends a status and half a body, then closes.
    CloseInAnswer,
    /// Reads the request and never answers.
    Hang,
}

/// Servers on addresses of the loopback network, one per node, all on one port.
pub(super) struct Servers {
    /// The members, as a client is told them.
    pub(super) members: Vec<(NodeId, IpAddr)>,
    /// The port of all of them.
    pub(super) port: u16,
    requests: Arc<Mutex<Vec<(NodeId, String)>>>,
}

/// Starts a node per script; each request consumes one act of its node's script, the last of which repeats. A node
/// without a script does not listen.
pub(super) async fn serve(scripts: &[Option<Vec<Act>>]) -> Servers {
    let address = |n: usize| IpAddr::V4(Ipv4Addr::new(127, 0, 77, n as u8 + 1));
    let requests = Arc::new(Mutex::new(Vec::new()));
    // The first to listen finds a free port; the addresses of the others are theirs alone.
    let mut port = 0;
    let mut members = Vec::new();
    for (position, script) in scripts.iter().enumerate() {
        let id = NodeId(position as u16 + 1);
        members.push((id, address(position)));
        let Some(script) = script else { continue };
        let listener =
            TcpListener::bind(SocketAddr::new(address(position), port)).await.expect("a free port");
        port = listener.local_addr().expect("an address").port();
        let acts = Arc::new(Mutex::new(script.clone()));
        tokio::spawn(listen(listener, id, acts, Arc::clone(&requests)));
    }
    Servers { members, port, requests }
}

impl Servers {
    /// The requests so far: which node, and the request with its head.
    pub(super) fn requests(&self) -> Vec<(NodeId, String)> {
        self.requests.lock().expect("the list").clone()
    }

    /// The nodes that got the requests so far.
    pub(super) fn visited(&self) -> Vec<u16> {
        self.requests().iter().map(|(node, _)| node.0).collect()
    }
}

async fn listen(
    listener: TcpListener,
    id: NodeId,
    acts: Arc<Mutex<Vec<Act>>>,
    requests: Arc<Mutex<Vec<(NodeId, String)>>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(converse(stream, id, Arc::clone(&acts), Arc::clone(&requests)));
    }
}

async fn converse(
    mut stream: TcpStream,
    id: NodeId,
    acts: Arc<Mutex<Vec<Act>>>,
    requests: Arc<Mutex<Vec<(NodeId, String)>>>,
) -> Option<()> {
    loop {
        let closes = matches!(acts.lock().ok()?.first(), Some(Act::CloseAtOnce));
        if closes {
            next(&acts)?;
            return None;
        }
        let request = read_request(&mut stream).await?;
        requests.lock().ok()?.push((id, request));
        match next(&acts)? {
            Act::Answer(status, body) => {
                let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
            }
            Act::Indexed(status, index, body) => {
                let head = format!(
                    "HTTP/1.1 {status} x\r\nraft-index: {index}\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
            }
            Act::CloseInAnswer => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"swapped\":")
                    .await
                    .ok()?;
                return None;
            }
            Act::Hang => std::future::pending().await,
            Act::CloseAtOnce | Act::CloseAfterRequest => return None,
        }
    }
}

fn next(acts: &Mutex<Vec<Act>>) -> Option<Act> {
    let mut acts = acts.lock().ok()?;
    if acts.len() > 1 { Some(acts.remove(0)) } else { acts.first().cloned() }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await.ok()? {
            0 => return None,
            got => bytes.extend_from_slice(&chunk[..got]),
        }
    }
}
