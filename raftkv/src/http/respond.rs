//! From the node's answer to an HTTP response.

use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value as Json, json};

use super::HttpConfig;
use super::addresses::AddressBook;
use super::request::{Refused, Shape};
use crate::inbox::Answer;
use crate::raft::io::Refusal;
use crate::raft::rules::{Rules, TimeoutReply};
use crate::store::{Reply, Value};

/// A response with a body that is there already.
pub(super) type Whole = Response<Full<Bytes>>;

/// The header that tells the index at which a request was decided.
const INDEX: &str = "raft-index";

/// A response with text that is JSON.
pub(super) fn json_response(status: StatusCode, body: impl Into<Bytes>) -> Whole {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A response in JSON.
pub(super) fn object(status: StatusCode, body: &Json) -> Whole {
    json_response(status, body.to_string())
}

/// The response to a request that makes no sense.
pub(super) fn refused(refused: &Refused) -> Whole {
    object(refused.status, &json!({ "error": refused.error, "reason": refused.reason }))
}

/// The response to a request whose outcome nobody knows.
pub(super) fn unknown(reason: &str) -> Whole {
    object(StatusCode::GATEWAY_TIMEOUT, &json!({ "error": "unknown", "reason": reason }))
}

/// The response to a request that was taken in and whose end this node cannot tell.
pub(super) fn undecided(reason: &str, rules: &Rules) -> Whole {
    // The honest law: a timeout is neither success nor failure. The entry may be committed later by this leader or by the next
    // one (section 8 of the paper: a leader may crash "after committing the log entry but before responding to the client").
    match rules.client.timeout_reply {
        TimeoutReply::Unknown => unknown(reason),
        TimeoutReply::Failed => {
            object(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": "failed", "reason": reason }))
        }
    }
}

/// The response where nobody leads.
pub(super) fn no_leader() -> Whole {
    object(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": "no_leader" }))
}

/// The response to a node's answer.
pub(super) fn answer(answer: Answer, shape: Shape, config: &HttpConfig) -> Whole {
    match answer {
        Answer::Done { index, reply } => {
            let mut response = done(reply, shape);
            response.headers_mut().insert(INDEX, HeaderValue::from(index));
            response
        }
        Answer::Refused(refusal) => not_taken(&refusal, &config.addresses),
        Answer::Unknown(reason) => undecided(reason, &config.rules),
    }
}

fn not_taken(refusal: &Refusal, addresses: &AddressBook) -> Whole {
    match refusal {
        Refusal::NotLeader { leader: Some(leader) } => {
            let address = addresses.of(*leader).map(|at| at.to_string());
            let body = json!({ "error": "not_leader", "leader": leader.to_string(), "addr": address });
            object(StatusCode::MISDIRECTED_REQUEST, &body)
        }
        Refusal::NotLeader { leader: None } => no_leader(),
        Refusal::TooLarge { bytes, max } => {
            let reason =
                format!("an entry may have {max} bytes (rule max_entry_bytes), this one would have {bytes}");
            object(StatusCode::PAYLOAD_TOO_LARGE, &json!({ "error": "too_large", "reason": reason }))
        }
        Refusal::Busy(reason) => {
            object(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": "busy", "reason": reason }))
        }
    }
}

fn done(reply: Reply, shape: Shape) -> Whole {
    let conflict = |body: Json| object(StatusCode::CONFLICT, &body);
    match reply {
        Reply::Done => json_response(StatusCode::OK, "{}"),
        Reply::Value(value) => read(value.as_ref(), shape),
        Reply::Swapped => json_response(StatusCode::OK, r#"{"swapped":true}"#),
        Reply::NotSwapped(actual) => {
            conflict(json!({ "swapped": false, "actual": actual_json(actual.as_ref()) }))
        }
        Reply::WrongType(kind) => conflict(json!({ "error": "wrong_type", "type": kind })),
        Reply::SessionExpired => conflict(json!({ "error": "session_expired" })),
        Reply::StaleSequence { last } => conflict(json!({ "error": "stale_sequence", "last": last })),
        Reply::Malformed => conflict(json!({ "error": "malformed_command" })),
        Reply::Number(number) => object(StatusCode::OK, &json!({ "value": number })),
        Reply::Locked(token) => object(StatusCode::OK, &json!({ "locked": true, "token": token })),
        Reply::NotLocked(actual) => {
            conflict(json!({ "locked": false, "actual": actual_json(actual.as_ref()) }))
        }
        Reply::Skipped => conflict(json!({ "error": "skipped" })),
    }
}

fn read(value: Option<&Value>, shape: Shape) -> Whole {
    let body = match (value, shape) {
        (None, Shape::Set) => list("members", &mut std::iter::empty()),
        (Some(Value::Set(set)), _) => list("members", &mut set.iter()),
        (Some(other), Shape::Set) => {
            return object(StatusCode::CONFLICT, &json!({ "error": "wrong_type", "type": other.kind() }));
        }
        (None, Shape::Any) => r#"{"value":null}"#.into(),
        (Some(Value::Text(text)), Shape::Any) => {
            let mut body = Vec::with_capacity(text.len() + 16);
            body.extend_from_slice(br#"{"value":"#);
            push_json(text, &mut body);
            body.push(b'}');
            body
        }
        (Some(Value::List(elements)), Shape::Any) => list("list", &mut elements.iter()),
        (Some(lock @ Value::Lock(..)), Shape::Any) => actual_json(Some(lock)).to_string().into_bytes(),
    };
    json_response(StatusCode::OK, body)
}

/// `{"name":["a","b"]}`, without a tree in between: lists grow long.
fn list(name: &str, elements: &mut dyn Iterator<Item = &Arc<str>>) -> Vec<u8> {
    let mut body = format!("{{\"{name}\":[").into_bytes();
    for (position, element) in elements.enumerate() {
        if position > 0 {
            body.push(b',');
        }
        push_json(element, &mut body);
    }
    body.extend_from_slice(b"]}");
    body
}

fn push_json(text: &str, body: &mut Vec<u8>) {
    serde_json::to_writer(body, text).expect("a string is always JSON, and memory takes it");
}

fn actual_json(value: Option<&Value>) -> Json {
    match value {
        None => Json::Null,
        Some(Value::Text(text)) => Json::from(&**text),
        Some(Value::List(elements)) => json!({ "list": elements }),
        Some(Value::Set(elements)) => json!({ "members": elements }),
        Some(Value::Lock(owner, token)) => json!({ "owner": owner, "token": token }),
    }
}
