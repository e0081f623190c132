//! Writes that reach a node which does not lead: told where to go, or carried there.
//!
//! Invariant: what is answered is what is known. A request that provably had no effect is sent again; one that may have had
//! one is sent again only as the same command of the same session, which the state machine recognises. Otherwise the
//! answer is that nobody knows. A forwarded request is not forwarded again.
//! What it lacks on purpose: connections that are kept. This is a path for clients that know no better.
//! Reference: section 6.2 of the Raft thesis, which names both ways.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::HttpConfig;
use super::request::{SEQUENCE, SESSION};
use super::respond::{Whole, undecided};
use crate::inbox::{Happening, Inbox};
use crate::raft::io::NodeId;
use crate::raft::rules::{ClientRetry, ForwardWrites};

/// The header of a request that a node sends for its client.
const FORWARDED: &str = "raft-forwarded";
/// How long to wait for another leader to show.
const PAUSE: Duration = Duration::from_millis(20);
/// How long it may take to reach a leader. Nothing was sent before, so another attempt does no harm.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// How often a node that waits for a leader's answer looks whether another one leads.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The longest answer that is passed on.
const ANSWER_MAX: usize = 1 << 24;

/// A client's write.
pub(super) struct Write {
    pub(super) head: Parts,
    pub(super) body: Bytes,
}

/// How an attempt ended.
enum Attempt {
    /// The leader's answer.
    Answered(Whole),
    /// It provably had no effect.
    NotTaken,
    /// Nobody knows.
    Unclear,
}

/// Whether a write that this node cannot take is carried to the leader.
pub(super) fn is_forwarded(config: &HttpConfig, head: &Parts) -> bool {
    // Either is safe as long as the state machine recognises repetitions: a proxy is a second one that may repeat.
    config.rules.client.forward_writes == ForwardWrites::Proxy && !head.headers.contains_key(FORWARDED)
}

/// Carries a write to `leader`, or to whoever leads then, and brings its answer.
pub(super) async fn forward(
    config: &HttpConfig,
    inbox: &Inbox,
    mut write: Write,
    mut leader: Option<NodeId>,
) -> Whole {
    let deadline = Instant::now() + config.request_timeout;
    write.head.headers.insert(FORWARDED, HeaderValue::from_static("1"));
    let mut may_have_effect = false;
    loop {
        let attempt = match leader.and_then(|leader| config.addresses.of(leader)) {
            None => Attempt::NotTaken,
            Some(address) => tokio::select! {
                attempt = timeout_at(deadline, attempt(address, &write)) => attempt.unwrap_or(Attempt::Unclear),
                () = superseded(inbox, leader), if carries_number(&write) => Attempt::Unclear,
            },
        };
        match attempt {
            Attempt::Answered(response) => return response,
            Attempt::NotTaken => {}
            Attempt::Unclear if repeat(config, &mut write) => may_have_effect = true,
            Attempt::Unclear => {
                return undecided("the leader did not answer the node that asked for you", &config.rules);
            }
        }
        if Instant::now() + PAUSE >= deadline {
            return match may_have_effect {
                true => undecided("no leader answered the node that asked for you", &config.rules),
                false => super::respond::no_leader(),
            };
        }
        sleep(PAUSE).await;
        leader = leader_now(inbox).await;
    }
}

/// Prepares a write that may have had its effect for being sent again. Returns false if it may not be.
fn repeat(config: &HttpConfig, write: &mut Write) -> bool {
    // The honest law: a repetition carries the number of what it repeats, so that the state machine answers it with the stored
    // result (section 8 of the paper). Under a new number it is a new command.
    match config.rules.client.client_retry {
        ClientRetry::SameSeq => carries_number(write),
        ClientRetry::NewSeq => {
            let session = RandomState::new().hash_one(config.boot);
            write.head.headers.insert(SESSION, HeaderValue::from(session));
            write.head.headers.insert(SEQUENCE, HeaderValue::from(1));
            true
        }
    }
}

/// Whether the state machine would recognise a repetition of this write.
fn carries_number(write: &Write) -> bool {
    write.head.headers.contains_key(SESSION)
}

/// Waits until somebody else leads than who was asked. One that is cut off, or stands still, may never answer; a write that
/// carries its number need not wait for it. Any other one does, because only that leader can tell what became of it.
async fn superseded(inbox: &Inbox, asked: Option<NodeId>) {
    loop {
        sleep(LOOK_EVERY).await;
        let leads = leader_now(inbox).await;
        if leads.is_some() && leads != asked {
            return;
        }
    }
}

/// Who leads, as this node knows now.
async fn leader_now(inbox: &Inbox) -> Option<NodeId> {
    let (sender, receiver) = oneshot::channel();
    inbox.put(Happening::Status(sender));
    receiver.await.ok().and_then(|status| status.raft.leader)
}

/// Sends the write once.
async fn attempt(address: SocketAddr, write: &Write) -> Attempt {
    let connected = timeout(CONNECT_MAX, TcpStream::connect(address)).await;
    let Ok(Ok(stream)) = connected else { return Attempt::NotTaken };
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let Ok((mut sender, connection)) = handshake else { return Attempt::NotTaken };
    // It ends with the connection.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("http: a forwarded request: {error}");
        }
    });
    let mut request = Request::new(Full::new(write.body.clone()));
    *request.method_mut() = write.head.method.clone();
    *request.uri_mut() = write.head.uri.clone();
    *request.headers_mut() = write.head.headers.clone();
    if let Ok(host) = HeaderValue::from_str(&address.to_string()) {
        request.headers_mut().insert(HOST, host);
    }
    let Ok(response) = sender.send_request(request).await else { return Attempt::Unclear };
    let (head, body) = response.into_parts();
    match head.status {
        StatusCode::MISDIRECTED_REQUEST | StatusCode::SERVICE_UNAVAILABLE => return Attempt::NotTaken,
        StatusCode::GATEWAY_TIMEOUT => return Attempt::Unclear,
        _ => {}
    }
    match Limited::new(body, ANSWER_MAX).collect().await {
        Ok(body) => Attempt::Answered(Response::from_parts(head, Full::new(body.to_bytes()))),
        Err(_) => Attempt::Unclear,
    }
}
