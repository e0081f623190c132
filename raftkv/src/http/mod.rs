//! What clients speak: HTTP/1.1 with JSON answers, one connection for many requests.
//!
//! Invariant: the status says what is known of the effect. `200` and `409`: decided in the log. `4xx` otherwise, `421` and
//! `503`: provably without effect, now and later. `504`: nobody knows. Nothing is retried or redirected
//! here, unless the rule `forward_writes` is `proxy`.
//!
//! | request | answer |
//! |---|---|
//! | `GET /kv/{key}[?mode=log\|local\|read_index]` | `{"value":"..."}`, `{"value":null}`, or `{"list":[...]}` |
//! | `PUT /kv/{key}`, body = value | `{}` |
//! | `DELETE /kv/{key}` | `{}` |
//! | `POST /kv/{key}/cas`, `{"expected":"a" or null,"new":"b"}` | `{"swapped":true}`, or 409 with the actual value |
//! | `PUT /kv/{key}?ttl=500ms` | `{}`; the key ends by itself, by the time that leaders write into the log |
//! | `POST /kv/{key}/incr`, body = a number or nothing for 1 | `{"value":7}`, the new number |
//! | `POST /kv/{key}/lock[?ttl=2s]`, body = owner | `{"locked":true,"token":9}`, or 409 with who has it; tokens rise with every owner |
//! | `POST /kv/{key}/unlock`, body = owner | `{}`, or 409 with who has it |
//! | `PUT /kv/{key}?lock=m&token=9` | `{}` while the lock `m` is held under this token, or 409 with who has it |
//! | `POST /kv/{key}/poison[?only=n2]`, body = value | with `--control` only: applying it panics, on all nodes or that one |
//! | `POST /kv/{key}/append`, body = element | `{}` |
//! | `POST /set/{key}`, body = element | `{}` |
//! | `GET /set/{key}` | `{"members":[...]}` |
//! | `GET /status` | the state of the node |
//! | `/control/...` | see [`control`] |
//!
//! What it lacks on purpose: TLS, authentication, HTTP/2.

mod addresses;
mod control;
mod forward;
mod messages;
mod request;
mod respond;
mod serve;
mod status;

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use crate::inbox::Inbox;
use crate::peers::gate::Gate;
use crate::raft::rules::Rules;

pub(crate) use addresses::AddressBook;
pub(crate) use control::Control;

/// The longest body that is accepted, unless the rules let an entry be longer.
pub const BODY_MAX: usize = 1 << 20;
/// The longest key, decoded.
pub const KEY_MAX: usize = 1024;
/// Connections beyond this are answered with 503 and closed. Together with the peers and the log it stays below the usual
/// limit of 1024 descriptors, so that clients cannot keep the node from opening its next segment.
pub const CONNECTIONS_MAX: usize = 768;

/// What the server knows of its node.
#[derive(Clone, Debug)]
pub(crate) struct HttpConfig {
    /// Where clients find the members.
    pub(crate) addresses: AddressBook,
    /// Which start of the node this is.
    pub(crate) boot: u64,
    /// The longest body that is accepted.
    pub(crate) body_max: usize,
    /// How reads are answered by the rules in force.
    pub(crate) read_mode: String,
    /// The rules in force.
    pub(crate) rules: Rules,
    /// How long a request may stay open that is carried to the leader.
    pub(crate) request_timeout: Duration,
    /// How long clients may take.
    pub(crate) limits: Limits,
    /// Whether orders are taken.
    pub(crate) control: Control,
    /// Where messages of the peers are held and dropped.
    pub(crate) gate: Gate,
}

/// How long clients may take. How long the node may take for an answer is the driver's business.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// A connection without a whole request head for so long is closed.
    pub(crate) idle: Duration,
    /// A body that has not arrived after so long is refused.
    pub(crate) body: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { idle: Duration::from_secs(75), body: Duration::from_secs(30) }
    }
}

/// Starts to serve, as tasks of the runtime that this is called in; they end with it.
pub(crate) fn spawn(config: HttpConfig, listener: TcpListener, inbox: Inbox) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    tokio::spawn(serve::run(listener, config, inbox));
    Ok(())
}

/// Whether a request means anything: its path, its headers, its body and, below `/control/`, its order. For fuzzers; nothing
/// is carried out.
pub(crate) fn understands(head: &hyper::http::request::Parts, body: &[u8]) -> bool {
    match request::route(&head.method, head.uri.path()) {
        Ok(request::Route::Control(order)) => control::read(&head.method, &order, body).is_ok(),
        Ok(request::Route::Write(key, verb)) => request::write(key, verb, head, body).is_ok(),
        Ok(request::Route::Get(key, _)) => {
            request::read(key, head.uri.query(), &head.headers, "read_index").is_ok()
        }
        Ok(_) => true,
        Err(_) => false,
    }
}
