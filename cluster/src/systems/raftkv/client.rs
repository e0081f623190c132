//! A recorded client of the bundled store.
//!
//! Invariant: a call is sent again only after an answer that proves that it had no effect, and then with the same
//! session number, so that the node can tell a repetition. Reads begin at the client's home node, whatever the writes
//! have learnt about the leader: with `read_mode: local` that node's own answer is what is to be judged. Where followers
//! answer reads (`read_mode: follower_*`) every read begins there, also after one that was redirected.
//! Every read carries the highest index that this client's answers had (`raft-session-index`); the rule `session_index`
//! of the node decides whether that counts. An index is only taken from an answer that the history has as well.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use checker::history::{Key, Op, Outcome, ProcessId, Reply, Value};
use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::client::{Client, Completion, Place};
use crate::system::{BoxFuture, NodeId, WriteMode};

use super::super::http::{Answer, Http, Request, Trouble};
use super::super::route::{Route, Tour};
use super::node_named;

/// The operations of a lock, as histories name them.
const ACQUIRE: &str = "acquire";
const RELEASE: &str = "release";

/// Where a client's reads begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// At the node that answered the last one.
    WhereAnswered,
    /// At its home node, each of them.
    AtHome,
}

/// What the rules make of it: the last one of a name counts.
pub(super) fn reading(rules: &[(String, String)]) -> Reading {
    match rules.iter().rev().find(|(name, _)| name == "read_mode") {
        Some((_, mode)) if mode.starts_with("follower_") => Reading::AtHome,
        _ => Reading::WhereAnswered,
    }
}

pub(super) struct RaftKvClient {
    http: Http,
    reads: Route,
    writes: Route,
    reading: Reading,
    /// How the node is told to answer reads; by its rules if absent.
    mode: Option<&'static str>,
    /// What its writes are beside that.
    write_mode: WriteMode,
    /// The highest index whose effects an answer has shown.
    seen: AtomicU64,
    op_timeout: Duration,
    session: Mutex<Session>,
}

/// Numbers the sessions of all clients of this program.
static SESSIONS: AtomicU64 = AtomicU64::new(0);

/// What a client's present process writes under. A node takes a write whose number is not above the last one of its
/// session for a repetition and answers without applying it, so that no two processes may share a session, nor one
/// process that goes on under another client. And a node that has forgotten old sessions takes a new one only if it
/// begins with its first number.
#[derive(Default)]
struct Session {
    process: Option<ProcessId>,
    id: u64,
    sequence: u64,
}

impl Session {
    /// The session and the number of the next write of this process.
    fn next(&mut self, process: ProcessId) -> Place {
        if self.process != Some(process) {
            let id = SESSIONS.fetch_add(1, Ordering::Relaxed) + 1;
            *self = Self { process: Some(process), id, sequence: 0 };
        }
        self.sequence += 1;
        Place { session: self.id, sequence: self.sequence }
    }
}

impl RaftKvClient {
    pub(super) fn new(members: &[(NodeId, IpAddr)], home: NodeId, op_timeout: Duration, port: u16) -> Self {
        Self {
            http: Http::for_client(op_timeout),
            reads: Route::new(members, home, port),
            writes: Route::new(members, home, port),
            reading: Reading::WhereAnswered,
            mode: None,
            write_mode: WriteMode::Plain,
            seen: AtomicU64::new(0),
            op_timeout,
            session: Mutex::default(),
        }
    }

    pub(super) fn reading(self, reading: Reading) -> Self {
        Self { reading, ..self }
    }

    pub(super) fn reading_by(self, mode: Option<&'static str>) -> Self {
        Self { mode, ..self }
    }

    pub(super) fn writing_by(self, write_mode: WriteMode) -> Self {
        Self { write_mode, ..self }
    }

    /// The way of a call.
    fn tour(&self, op: &Op) -> Tour<'_> {
        match self.reading {
            _ if !op.is_read() => self.writes.tour(),
            Reading::WhereAnswered => self.reads.tour(),
            Reading::AtHome => self.reads.tour_from_home(),
        }
    }

    /// Remembers the index of an answer.
    fn saw(&self, answer: &Answer) {
        let index = answer.headers.get("raft-index").and_then(|index| index.to_str().ok()?.parse().ok());
        self.seen.fetch_max(index.unwrap_or(0), Ordering::Relaxed);
    }

    /// The session and the number of a call of this process.
    fn place(&self, process: ProcessId) -> Place {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).next(process)
    }

    /// Performs a call; a write has one place, also when it goes on to another node.
    async fn perform(&self, op: &Op, place: Option<Place>) -> Completion {
        let deadline = Instant::now() + self.op_timeout;
        let mut tour = self.tour(op);
        loop {
            let node = Some(tour.node());
            let done = |outcome| Completion { outcome, node };
            let request = match (request(tour.base(), op, self.mode, &self.write_mode), place) {
                (Ok(request), None) => match self.seen.load(Ordering::Relaxed) {
                    0 => request,
                    seen => request.header("raft-session-index", seen),
                },
                (Ok(request), Some(place)) => {
                    request.header("raft-session", place.session).header("raft-seq", place.sequence)
                }
                (Err(why), _) => return done(Outcome::Failed(why)),
            };
            let why = match self.http.send(request, deadline).await {
                Ok(answer) => match interpret(op, &answer) {
                    Meaning::Done(reply) => {
                        tour.succeeded();
                        self.saw(&answer);
                        return done(Outcome::Ok(reply));
                    }
                    Meaning::NotLeader(Some(hint)) if tour.follow(hint) => continue,
                    Meaning::NotLeader(hint) => not_leading(tour.node(), hint),
                    Meaning::Refused(why) => {
                        tour.failed();
                        return done(Outcome::Failed(why));
                    }
                    Meaning::Unclear(why) => {
                        tour.failed();
                        return done(unclear(op, why));
                    }
                },
                Err(Trouble::Unclear(why)) => {
                    tour.failed();
                    return done(unclear(op, why));
                }
                Err(Trouble::NotSent(why)) => why,
            };
            tour.failed();
            if !tour.go_on() {
                return done(Outcome::Failed(why));
            }
        }
    }
}

impl Client for RaftKvClient {
    fn call<'a>(&'a self, process: ProcessId, op: &'a Op) -> BoxFuture<'a, Completion> {
        // Numbers of one session only rise.
        let place = (!op.is_read()).then(|| self.place(process));
        Box::pin(self.perform(op, place))
    }

    fn call_as<'a>(&'a self, _: ProcessId, op: &'a Op, place: Place) -> BoxFuture<'a, Completion> {
        Box::pin(self.perform(op, (!op.is_read()).then_some(place)))
    }

    fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    fn has_seen(&self, index: u64) {
        self.seen.fetch_max(index, Ordering::Relaxed);
    }
}

fn not_leading(node: NodeId, hint: Option<NodeId>) -> String {
    match hint {
        Some(leader) => format!("{node} does not lead, and names {leader}"),
        None => format!("{node} does not lead, and knows no leader"),
    }
}

/// A read had no effect, whatever became of it.
fn unclear(op: &Op, why: String) -> Outcome {
    if op.is_read() { Outcome::Failed(why) } else { Outcome::Unknown(why) }
}

/// The request for a call; an error if the store has no such value.
fn request(base: &str, op: &Op, mode: Option<&str>, write_mode: &WriteMode) -> Result<Request, String> {
    let kv = |key: &Key| format!("{base}/kv/{}", escape(key));
    let set = |key: &Key| format!("{base}/set/{}", escape(key));
    Ok(match op {
        Op::Read { key } => Request::new(Method::GET, kv(key) + &query(mode), Vec::new()),
        Op::Write { key, value } => match write_mode {
            WriteMode::Plain => Request::new(Method::PUT, kv(key), text(value)?),
            WriteMode::Expiring { ttl_ms } => {
                Request::new(Method::PUT, format!("{}?ttl={ttl_ms}ms", kv(key)), text(value)?)
            }
            WriteMode::Fenced { lock, token } => {
                let fence = format!("lock={}&token={token}", escape(&Key::new(lock)));
                Request::new(Method::PUT, format!("{}?{fence}", kv(key)), text(value)?)
            }
            WriteMode::Poison { only } => {
                let only = only.map_or_else(String::new, |node| format!("?only={node}"));
                Request::new(Method::POST, format!("{}/poison{only}", kv(key)), text(value)?)
            }
        },
        Op::Delete { key } => Request::new(Method::DELETE, kv(key), Vec::new()),
        Op::Append { key, value } => Request::new(Method::POST, format!("{}/append", kv(key)), text(value)?),
        Op::Add { key, value } => Request::new(Method::POST, set(key), text(value)?),
        Op::Members { key } => Request::new(Method::GET, set(key) + &query(mode), Vec::new()),
        Op::Other { key, function, argument: owner } => match &**function {
            ACQUIRE => {
                let ttl = match write_mode {
                    WriteMode::Expiring { ttl_ms } => format!("?ttl={ttl_ms}ms"),
                    _ => String::new(),
                };
                Request::new(Method::POST, format!("{}/lock{ttl}", kv(key)), text(owner)?)
            }
            RELEASE => Request::new(Method::POST, format!("{}/unlock", kv(key)), text(owner)?),
            _ => return Err(format!("the store has no {function}")),
        },
        Op::Cas { key, expected, new } => {
            let expected = if *expected == Value::Nil { Json::Null } else { text(expected)?.into() };
            let body = json!({ "expected": expected, "new": text(new)? });
            Request::new(Method::POST, format!("{}/cas", kv(key)), body.to_string())
        }
    })
}

fn query(mode: Option<&str>) -> String {
    mode.map(|mode| format!("?mode={mode}")).unwrap_or_default()
}

/// A value as the store holds it.
pub(in crate::systems) fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::Int(number) => Ok(number.to_string()),
        Value::Text(text) => Ok(text.to_string()),
        Value::Nil | Value::List(_) => Err(format!("the store cannot hold {value}")),
    }
}

/// The value that the store holds as this text.
pub(in crate::systems) fn value(text: &str) -> Value {
    match text.parse::<i64>() {
        // "007" is not what the number 7 was written as.
        Ok(number) if number.to_string() == text => Value::Int(number),
        _ => Value::Text(text.into()),
    }
}

/// A key as one segment of a path.
pub(in crate::systems) fn escape(key: &Key) -> String {
    let mut escaped = String::with_capacity(key.0.len());
    for byte in key.0.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => escaped.push(byte as char),
            // Dots too: "." and ".." are not segments.
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// What an answer says of a call.
#[derive(Debug, PartialEq)]
enum Meaning {
    Done(Reply),
    /// Provably without effect; ask that one.
    NotLeader(Option<NodeId>),
    /// Provably without effect.
    Refused(String),
    Unclear(String),
}

fn interpret(op: &Op, answer: &Answer) -> Meaning {
    let body: Json = serde_json::from_slice(&answer.body).unwrap_or(Json::Null);
    let error = || body.get("error").and_then(Json::as_str).unwrap_or("no reason given").to_owned();
    match answer.status {
        200 | 204 => success(op, &body),
        409 if body.get("swapped") == Some(&Json::Bool(false)) => mismatch(&body),
        // Decided in the log: the lock is not this client's, or not under this token.
        409 if body.get("locked") == Some(&Json::Bool(false)) => Meaning::Refused(held(&body)),
        421 => Meaning::NotLeader(body.get("leader").and_then(node_named)),
        // 413: too large for an entry, and refused before anything was done.
        413 | 503 => Meaning::Refused(error()),
        status => Meaning::Unclear(format!("HTTP {status}: {}", error())),
    }
}

fn success(op: &Op, body: &Json) -> Meaning {
    let unreadable = || Meaning::Unclear(format!("an answer to {} that says nothing: {body}", op.name()));
    match op {
        Op::Write { .. } | Op::Delete { .. } | Op::Append { .. } | Op::Add { .. } => {
            Meaning::Done(Reply::Done)
        }
        Op::Cas { .. } => match body.get("swapped").and_then(Json::as_bool) {
            Some(true) => Meaning::Done(Reply::Done),
            Some(false) => mismatch(body),
            None => unreadable(),
        },
        // A lock is read as the token under which it is held.
        Op::Read { .. } if body.get("token").is_some() => match token(body) {
            Some(token) => Meaning::Done(Reply::Value(Value::Int(token))),
            None => unreadable(),
        },
        Op::Read { .. } => match (body.get("list").and_then(list), body.get("value")) {
            (Some(items), _) => Meaning::Done(Reply::Value(items)),
            (None, Some(Json::Null)) => Meaning::Done(Reply::Value(Value::Nil)),
            (None, Some(Json::String(text))) => Meaning::Done(Reply::Value(value(text))),
            _ => unreadable(),
        },
        Op::Members { .. } => match body.get("members").and_then(list) {
            Some(members) => Meaning::Done(Reply::Value(members)),
            None => unreadable(),
        },
        Op::Other { function, .. } => match (&**function, token(body)) {
            (ACQUIRE, Some(token)) => Meaning::Done(Reply::Value(Value::Int(token))),
            (RELEASE, _) => Meaning::Done(Reply::Done),
            _ => unreadable(),
        },
    }
}

fn token(body: &Json) -> Option<i64> {
    body.get("token").and_then(Json::as_i64)
}

/// Who has the lock instead.
fn held(body: &Json) -> String {
    let Some(actual) = body.get("actual").filter(|actual| !actual.is_null()) else {
        return "nobody has the lock".to_owned();
    };
    match (actual.get("owner").and_then(Json::as_str), token(actual)) {
        (Some(owner), Some(token)) => format!("{owner} has the lock, under token {token}"),
        _ => format!("what is there is no lock: {actual}"),
    }
}

fn mismatch(body: &Json) -> Meaning {
    let actual = match body.get("actual") {
        Some(Json::Null) => Some(Value::Nil),
        Some(Json::String(text)) => Some(value(text)),
        _ => None,
    };
    Meaning::Done(Reply::Mismatch(actual))
}

/// A list of texts; `None` if any of it is something else.
pub(in crate::systems) fn list(items: &Json) -> Option<Value> {
    items.as_array()?.iter().map(|item| item.as_str().map(value)).collect::<Option<_>>().map(Value::List)
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
