//! From an HTTP request to what is asked of the node.
//!
//! Invariant: a request that is refused here has reached nothing.

use hyper::header::HeaderMap;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde::{Deserialize, Deserializer};

use super::KEY_MAX;
use crate::inbox::Ask;
use crate::raft::io::{NodeId, ReadAsk};
use crate::raft::rules::{Millis, ReadMode, Switch};
use crate::sessions::SessionCall;
use crate::store::{Cas, Command, Fenced, Lock, Poison, Proposal, wall_clock_ms};

/// The header that names a session.
pub(super) const SESSION: &str = "raft-session";
/// The header that numbers a command in it.
pub(super) const SEQUENCE: &str = "raft-seq";
/// The header with the highest index (`raft-index` of the answers) whose effects a client has seen.
const SESSION_INDEX: &str = "raft-session-index";

/// Why a request makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) error: &'static str,
    pub(super) reason: String,
}

impl Refused {
    pub(super) fn bad(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error: "bad_request", reason: reason.into() }
    }

    pub(super) fn not_found() -> Self {
        let reason =
            "there are /kv/{key}, /kv/{key}/ with cas, append, incr, lock and unlock, /set/{key}, /status and /control/"
                .into();
        Self { status: StatusCode::NOT_FOUND, error: "not_found", reason }
    }

    pub(super) fn too_large(max: usize) -> Self {
        let reason = format!("a body may have {max} bytes");
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, error: "too_large", reason }
    }

    pub(super) fn slow_body() -> Self {
        let reason = "the body did not arrive in time".into();
        Self { status: StatusCode::REQUEST_TIMEOUT, error: "timeout", reason }
    }

    pub(super) fn broken_body(error: &dyn std::fmt::Display) -> Self {
        Self::bad(format!("the body cannot be read: {error}"))
    }

    pub(super) fn method(allowed: &str) -> Self {
        let reason = format!("this path takes {allowed}");
        Self { status: StatusCode::METHOD_NOT_ALLOWED, error: "method_not_allowed", reason }
    }
}

/// What a path and a method mean.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Status,
    /// What is behind `/control/`.
    Control(String),
    Get(String, Shape),
    Write(String, Verb),
}

/// How the answer to a read looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// As what it is.
    Any,
    /// As the members of a set.
    Set,
}

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Put,
    Delete,
    Cas,
    Append,
    Add,
    Incr,
    Lock,
    Unlock,
    Poison,
}

/// Finds out what a request is about.
pub(super) fn route(method: &Method, path: &str) -> Result<Route, Refused> {
    if path == "/status" {
        return if method == Method::GET { Ok(Route::Status) } else { Err(Refused::method("GET")) };
    }
    if let Some(order) = path.strip_prefix("/control/") {
        return Ok(Route::Control(order.to_owned()));
    }
    if let Some(key) = path.strip_prefix("/set/") {
        let key = decode_key(key)?;
        return match *method {
            Method::GET => Ok(Route::Get(key, Shape::Set)),
            Method::POST => Ok(Route::Write(key, Verb::Add)),
            _ => Err(Refused::method("GET and POST")),
        };
    }
    let rest = path.strip_prefix("/kv/").ok_or_else(Refused::not_found)?;
    if let Some((key, verb)) = rest.split_once('/') {
        let verb = match verb {
            "cas" => Verb::Cas,
            "append" => Verb::Append,
            "incr" => Verb::Incr,
            "lock" => Verb::Lock,
            "unlock" => Verb::Unlock,
            "poison" => Verb::Poison,
            _ => return Err(Refused::not_found()),
        };
        return if method == Method::POST {
            Ok(Route::Write(decode_key(key)?, verb))
        } else {
            Err(Refused::method("POST"))
        };
    }
    let key = decode_key(rest)?;
    match *method {
        Method::GET => Ok(Route::Get(key, Shape::Any)),
        Method::PUT => Ok(Route::Write(key, Verb::Put)),
        Method::DELETE => Ok(Route::Write(key, Verb::Delete)),
        _ => Err(Refused::method("GET, PUT and DELETE")),
    }
}

/// Decodes `%41` and checks the length.
fn decode_key(encoded: &str) -> Result<String, Refused> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err(Refused::bad("the key has a % without two hexadecimal digits"));
        };
        bytes.push((high * 16 + low) as u8);
    }
    if bytes.is_empty() || bytes.len() > KEY_MAX {
        return Err(Refused::bad(format!("a key has 1 to {KEY_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| Refused::bad("the key is not UTF-8"))
}

/// What a read asks of the node. `rule` is the mode that the rules in force prescribe.
pub(super) fn read(
    key: String,
    query: Option<&str>,
    headers: &HeaderMap,
    rule: &str,
) -> Result<Ask, Refused> {
    let mut mode = None;
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("mode", value)) if mode.is_none() => mode = Some(value),
            _ => return Err(Refused::bad(format!("`{pair}` is not understood: expected mode={}", modes()))),
        }
    }
    let mode = match mode {
        None => None,
        Some(text) => match ReadMode::parse(text) {
            Some(ReadMode::Lease) if text != rule => {
                return Err(Refused::bad(format!(
                    "the rules of this node are read_mode: {rule}, and its voters promise nothing for leases"
                )));
            }
            Some(mode) => Some(mode),
            None => return Err(Refused::bad(format!("there is no mode `{text}`: expected {}", modes()))),
        },
    };
    let seen = number(headers, SESSION_INDEX)?.unwrap_or(0);
    if mode == Some(ReadMode::Log) {
        return Ok(Ask::ReadLog(
            Proposal { stamp_ms: wall_clock_ms(), session: None, command: Command::Get(key) }.encode(),
        ));
    }
    Ok(Ask::Read(key, ReadAsk { mode, seen }))
}

fn modes() -> String {
    ReadMode::values().join(", ")
}

/// What a write asks of the node.
pub(super) fn write(key: String, verb: Verb, head: &Parts, body: &[u8]) -> Result<Ask, Refused> {
    let session = session(&head.headers)?;
    let Parameters { ttl_ms, only, lock, token } = parameters(head.uri.query(), verb)?;
    let text = || std::str::from_utf8(body).map_err(|_| Refused::bad("the body is not UTF-8"));
    let command = match verb {
        Verb::Put => match (ttl_ms, lock, token) {
            (None, None, None) => Command::Put(key, text()?.into()),
            (Some(ttl_ms), None, None) => Command::PutFor(key, text()?.into(), ttl_ms),
            (None, Some(lock), Some(token)) => {
                Command::PutFenced(Fenced { key, value: text()?.into(), lock, token })
            }
            _ => return Err(Refused::bad("`lock` and `token` go together, and without a `ttl`")),
        },
        Verb::Delete => Command::Delete(key),
        Verb::Append => Command::Append(key, text()?.into()),
        Verb::Add => Command::Add(key, text()?.into()),
        Verb::Incr if body.is_empty() => Command::Increment(key, 1),
        Verb::Incr => {
            let by = text()?.trim().parse().map_err(|e| Refused::bad(format!("expected a number: {e}")))?;
            Command::Increment(key, by)
        }
        Verb::Lock => Command::Lock(Lock { key, owner: text()?.into(), ttl_ms }),
        Verb::Unlock => Command::Unlock(key, text()?.into()),
        Verb::Poison => Command::Poison(Poison { key, value: text()?.into(), only }),
        Verb::Cas => {
            let cas: CasBody = serde_json::from_slice(body).map_err(|e| {
                Refused::bad(format!("expected {{\"expected\":\"a\" or null,\"new\":\"b\"}}: {e}"))
            })?;
            Command::Cas(Cas { key, expected: cas.expected.map(Into::into), new: cas.new.into() })
        }
    };
    Ok(Ask::Propose(Proposal { stamp_ms: wall_clock_ms(), session, command }.encode()))
}

/// What a write is beside what it writes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parameters {
    ttl_ms: Option<u64>,
    only: Option<u16>,
    lock: Option<String>,
    token: Option<u64>,
}

/// `ttl=500ms`, for what can end by itself, `only=n2`, for what is made to panic, `lock=l&token=7`, for a write of the holder
/// of a lock.
fn parameters(query: Option<&str>, verb: Verb) -> Result<Parameters, Refused> {
    let mut found = Parameters::default();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        match (pair.split_once('='), verb) {
            (Some(("ttl", text)), Verb::Put | Verb::Lock) if found.ttl_ms.is_none() => {
                let ttl = Millis::parse(text).ok_or_else(|| {
                    Refused::bad(format!("`{text}` is not a time to live: expected {}", Millis::values()[0]))
                })?;
                found.ttl_ms = Some(ttl.0);
            }
            (Some(("only", text)), Verb::Poison) if found.only.is_none() => {
                found.only = Some(text.parse::<NodeId>().map_err(Refused::bad)?.0);
            }
            (Some(("lock", text)), Verb::Put) if found.lock.is_none() => {
                found.lock = Some(decode_key(text)?);
            }
            (Some(("token", text)), Verb::Put) if found.token.is_none() => {
                let token =
                    text.parse().map_err(|e| Refused::bad(format!("`{text}` is not a token: {e}")))?;
                found.token = Some(token);
            }
            _ => return Err(Refused::bad(format!("`{pair}` is not understood here"))),
        }
    }
    Ok(found)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CasBody {
    #[serde(deserialize_with = "required_option")]
    expected: Option<String>,
    new: String,
}

/// An option whose field has to be there: a forgotten `expected` must not mean "does not exist".
fn required_option<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}

fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, Refused> {
    match headers.get(name) {
        None => Ok(None),
        Some(value) => match value.to_str().ok().and_then(|text| text.parse().ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(Refused::bad(format!("the header {name} is not a number"))),
        },
    }
}

fn session(headers: &HeaderMap) -> Result<Option<SessionCall>, Refused> {
    match (number(headers, SESSION)?, number(headers, SEQUENCE)?) {
        (None, None) => Ok(None),
        (Some(client), Some(sequence)) => Ok(Some(SessionCall { client, sequence })),
        _ => Err(Refused::bad(format!("the headers {SESSION} and {SEQUENCE} go together"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_mean_what_they_say() {
        let get = |path| route(&Method::GET, path);
        assert_eq!(get("/status"), Ok(Route::Status));
        assert_eq!(get("/kv/a%2Fb%20c"), Ok(Route::Get("a/b c".into(), Shape::Any)));
        assert_eq!(get("/set/s"), Ok(Route::Get("s".into(), Shape::Set)));
        assert_eq!(route(&Method::POST, "/kv/k/cas"), Ok(Route::Write("k".into(), Verb::Cas)));
        assert_eq!(route(&Method::POST, "/kv/k/append"), Ok(Route::Write("k".into(), Verb::Append)));
        assert_eq!(route(&Method::PUT, "/kv/k"), Ok(Route::Write("k".into(), Verb::Put)));
        for (path, status) in [
            ("/", 404),
            ("/kv", 404),
            ("/kv/", 400),
            ("/kv/a/b", 404),
            ("/kv/%zz", 400),
            ("/kv/%c3", 400),
            ("/kv/%4", 400),
        ] {
            assert_eq!(get(path).unwrap_err().status, status, "{path}");
        }
        assert_eq!(get("/kv/k/cas").unwrap_err().status, 405);
        assert_eq!(get(&format!("/kv/{}", "x".repeat(KEY_MAX + 1))).unwrap_err().status, 400);
    }

    fn head(uri: &str) -> Parts {
        hyper::Request::builder().uri(uri).body(()).unwrap().into_parts().0
    }

    #[test]
    fn numbers_locks_and_times_to_live_are_read() {
        let command = |verb, uri: &str, body: &str| match write("k".into(), verb, &head(uri), body.as_bytes())
        {
            Ok(Ask::Propose(bytes)) => Some(Proposal::decode(&bytes).unwrap().command),
            _ => None,
        };
        assert_eq!(command(Verb::Incr, "/kv/k/incr", ""), Some(Command::Increment("k".into(), 1)));
        assert_eq!(command(Verb::Incr, "/kv/k/incr", "-3"), Some(Command::Increment("k".into(), -3)));
        assert_eq!(command(Verb::Incr, "/kv/k/incr", "x"), None);
        let put = Command::PutFor("k".into(), "v".into(), 2_000);
        assert_eq!(command(Verb::Put, "/kv/k?ttl=2s", "v"), Some(put));
        let lock = Lock { key: "k".into(), owner: "me".into(), ttl_ms: Some(500) };
        assert_eq!(command(Verb::Lock, "/kv/k/lock?ttl=500ms", "me"), Some(Command::Lock(lock)));
        assert_eq!(
            command(Verb::Unlock, "/kv/k/unlock", "me"),
            Some(Command::Unlock("k".into(), "me".into()))
        );
        let poison = Poison { key: "k".into(), value: "v".into(), only: Some(2) };
        assert_eq!(command(Verb::Poison, "/kv/k/poison?only=n2", "v"), Some(Command::Poison(poison)));
        let fenced = Fenced { key: "k".into(), value: "v".into(), lock: "a/b".into(), token: 7 };
        let put = command(Verb::Put, "/kv/k?lock=a%2Fb&token=7", "v");
        assert_eq!(put, Some(Command::PutFenced(fenced)));
        for (verb, uri) in [
            (Verb::Put, "/kv/k?lock=l"),
            (Verb::Put, "/kv/k?token=7"),
            (Verb::Put, "/kv/k?lock=l&token=-7"),
            (Verb::Put, "/kv/k?lock=&token=7"),
            (Verb::Put, "/kv/k?lock=l&token=7&ttl=1s"),
            (Verb::Append, "/kv/k/append?lock=l&token=7"),
            (Verb::Put, "/kv/k?ttl=0"),
            (Verb::Put, "/kv/k?ttl=1s&ttl=2s"),
            (Verb::Put, "/kv/k?tll=1s"),
            (Verb::Append, "/kv/k/append?ttl=1s"),
            (Verb::Poison, "/kv/k/poison?only=x"),
        ] {
            assert_eq!(command(verb, uri, "v"), None, "{uri}");
        }
    }

    #[test]
    fn a_compare_and_set_names_both_values() {
        let write = |body: &str| write("k".into(), Verb::Cas, &head("/kv/k/cas"), body.as_bytes());
        assert!(write(r#"{"expected":null,"new":"b"}"#).is_ok());
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"new":"b"}"#,
            r#"{"expected":"a"}"#,
            r#"{"expected":1,"new":"b"}"#,
            "\u{fffd}",
        ] {
            assert!(write(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn session_headers_go_together() {
        let headers = |pairs: &[(&'static str, &str)]| {
            pairs
                .iter()
                .map(|&(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect::<HeaderMap>()
        };
        let both = headers(&[(SESSION, "18446744073709551615"), (SEQUENCE, "3")]);
        assert_eq!(session(&both), Ok(Some(SessionCall { client: u64::MAX, sequence: 3 })));
        assert_eq!(session(&headers(&[])), Ok(None));
        for bad in [&[(SESSION, "1")][..], &[(SEQUENCE, "1")], &[(SESSION, "-1"), (SEQUENCE, "1")]] {
            assert!(session(&headers(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_client_chooses_how_its_read_is_answered() {
        let read = |query, rule| read("k".into(), query, &HeaderMap::new(), rule);
        let asks = |mode| Ok(Ask::Read("k".into(), ReadAsk { mode, seen: 0 }));
        assert_eq!(read(None, "log"), asks(None));
        assert!(matches!(read(Some("mode=log"), "read_index"), Ok(Ask::ReadLog(_))));
        assert_eq!(read(Some("mode=local"), "read_index"), asks(Some(ReadMode::Local)));
        assert_eq!(read(Some("mode=read_index"), "local"), asks(Some(ReadMode::ReadIndex)));
        assert_eq!(read(Some("mode=lease"), "lease"), asks(Some(ReadMode::Lease)));
        for bad in ["mode=lease", "mode=fast", "x=1", "mode=log&mode=log"] {
            assert!(read(Some(bad), "local").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_client_tells_what_it_has_seen() {
        let read = |seen: &str| {
            let headers = HeaderMap::from_iter([(SESSION_INDEX.parse().unwrap(), seen.parse().unwrap())]);
            read("k".into(), None, &headers, "local")
        };
        assert_eq!(read("7"), Ok(Ask::Read("k".into(), ReadAsk { mode: None, seen: 7 })));
        assert!(read("-1").is_err() && read("").is_err() && read("18446744073709551616").is_err());
    }
}
