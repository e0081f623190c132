//! The JSON of etcd's gRPC gateway: pure translation, no IO.
//!
//! Bytes are base64, 64-bit numbers are strings, and a field that is zero or empty is left out.
//! Reference: etcd's `rpc.proto` and "gRPC gateway" page.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use checker::history::Value;
use serde_json::{Value as Json, json};

use super::super::raftkv::{list, value};

/// One key with its content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeyValue {
    pub(super) mod_revision: u64,
    pub(super) value: String,
}

/// What a transaction answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Transaction {
    pub(super) succeeded: bool,
    /// What its failure branch read.
    pub(super) found: Vec<KeyValue>,
}

/// What a status other than 200 says of an effect.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The request was no request that etcd would take.
    NoEffect(String),
    /// It may have been proposed: a lost leader, a timeout, an overload.
    Unclear(String),
}

/// Whether this version serves `/v3/`.
pub(super) fn speaks_v3(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    (major, minor) >= (3, 4)
}

/// A 64-bit number, as a string or as a number.
pub(super) fn number(field: Option<&Json>) -> Option<u64> {
    match field? {
        Json::String(text) => text.parse().ok(),
        other => other.as_u64(),
    }
}

pub(super) fn range(key: &str) -> Json {
    json!({ "key": base64(key) })
}

/// All keys that begin with `prefix`, which must end in a byte below 0xff.
pub(super) fn range_prefix(prefix: &str) -> Json {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    json!({ "key": base64(prefix), "range_end": BASE64_STANDARD.encode(end) })
}

pub(super) fn put(key: &str, value: &str) -> Json {
    json!({ "key": base64(key), "value": base64(value) })
}

/// What a transaction compares the key with.
pub(super) enum Expected<'a> {
    Absent,
    Value(&'a str),
    /// The revision of its last change; 0 for a key that is absent.
    ModRevision(u64),
}

/// Writes `new` if the key is as expected, otherwise reads it.
pub(super) fn txn(key: &str, expected: &Expected<'_>, new: &str) -> Json {
    let mut compare = json!({ "key": base64(key), "result": "EQUAL" });
    let (target, field, operand) = match expected {
        Expected::Absent => ("VERSION", "version", "0".to_owned()),
        Expected::Value(value) => ("VALUE", "value", base64(value)),
        Expected::ModRevision(revision) => ("MOD", "mod_revision", revision.to_string()),
    };
    compare["target"] = target.into();
    compare[field] = operand.into();
    json!({
        "compare": [compare],
        "success": [{ "requestPut": put(key, new) }],
        "failure": [{ "requestRange": range(key) }],
    })
}

/// Reads the answer to a range; `None` if it is none.
pub(super) fn key_values(answer: &Json) -> Option<Vec<KeyValue>> {
    // Every answer of etcd has a header; something else may answer 200 as well.
    answer.get("header")?;
    let Some(found) = answer.get("kvs") else { return Some(Vec::new()) };
    found.as_array()?.iter().map(key_value).collect()
}

/// Reads the answer to a transaction; `None` if it is none.
pub(super) fn transaction(answer: &Json) -> Option<Transaction> {
    answer.get("header")?;
    if answer.get("succeeded").and_then(Json::as_bool).unwrap_or(false) {
        return Some(Transaction { succeeded: true, found: Vec::new() });
    }
    let response = answer.pointer("/responses/0")?;
    let range = response.get("response_range").or_else(|| response.get("responseRange"))?;
    let found = match range.get("kvs") {
        Some(found) => found.as_array()?.iter().map(key_value).collect::<Option<_>>()?,
        None => Vec::new(),
    };
    Some(Transaction { succeeded: false, found })
}

/// Reads the status and the body of an answer other than 200.
pub(super) fn refusal(status: u16, body: &[u8]) -> Refusal {
    let body: Json = serde_json::from_slice(body).unwrap_or(Json::Null);
    let reason = body.get("error").or_else(|| body.get("message")).and_then(Json::as_str);
    let why = format!("HTTP {status}: {}", reason.unwrap_or("no reason given"));
    match status {
        // Invalid, unauthenticated, forbidden, no such path, no such method. Not 408, which the gateway makes of a
        // call that was cancelled half-way, nor 412 and 429, whose meaning has changed between versions.
        400 | 401 | 403 | 404 | 405 => Refusal::NoEffect(why),
        _ => Refusal::Unclear(why),
    }
}

/// A register or a list, as [`list_text`] wrote it.
pub(super) fn content(text: &str) -> Value {
    items(text).map_or_else(|| value(text), Value::List)
}

/// The elements of a list; `None` if the text is no list.
pub(super) fn items(text: &str) -> Option<Vec<Value>> {
    if !text.starts_with('[') {
        return None;
    }
    match list(&serde_json::from_str(text).ok()?)? {
        Value::List(items) => Some(items),
        _ => None,
    }
}

/// The text of the list `text` (empty for a key that is absent) with one more element; `None` if it is no list.
pub(super) fn list_text(text: &str, element: &str) -> Option<String> {
    let mut elements: Vec<String> =
        if text.is_empty() { Vec::new() } else { serde_json::from_str(text).ok()? };
    elements.push(element.to_owned());
    serde_json::to_string(&elements).ok()
}

fn key_value(found: &Json) -> Option<KeyValue> {
    let bytes = match found.get("value") {
        Some(encoded) => BASE64_STANDARD.decode(encoded.as_str()?).ok()?,
        None => Vec::new(),
    };
    Some(KeyValue { mod_revision: number(found.get("mod_revision"))?, value: String::from_utf8(bytes).ok()? })
}

fn base64(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_what_etcd_documents() {
        assert_eq!(range("foo"), json!({ "key": "Zm9v" }));
        assert_eq!(range_prefix("a/"), json!({ "key": "YS8=", "range_end": "YTA=" }));
        assert_eq!(put("foo", "bar"), json!({ "key": "Zm9v", "value": "YmFy" }));
        let cas = txn("foo", &Expected::Value("bar"), "bar");
        assert_eq!(
            cas["compare"],
            json!([{ "key": "Zm9v", "target": "VALUE", "result": "EQUAL", "value": "YmFy" }])
        );
        let create = txn("foo", &Expected::Absent, "bar");
        assert_eq!(
            create["compare"],
            json!([{ "key": "Zm9v", "target": "VERSION", "result": "EQUAL", "version": "0" }])
        );
        let append = txn("foo", &Expected::ModRevision(17), "bar");
        assert_eq!(append["compare"][0]["mod_revision"], "17");
    }

    #[test]
    fn answers_are_read() {
        let kv = json!({ "key": "Zm9v", "mod_revision": "5", "value": "MTc=" });
        let expected = KeyValue { mod_revision: 5, value: "17".into() };
        assert_eq!(key_values(&json!({ "header": {}, "kvs": [kv] })), Some(vec![expected]));
        assert_eq!(key_values(&json!({ "header": {} })), Some(vec![]));
        assert_eq!(key_values(&json!({})), None);
        let won = transaction(&json!({ "header": {}, "succeeded": true })).unwrap();
        assert!(won.succeeded);
        let lost =
            json!({ "header": {}, "responses": [{ "response_range": { "header": {}, "kvs": [kv] } }] });
        let lost = transaction(&lost).unwrap();
        assert_eq!((lost.succeeded, lost.found.len()), (false, 1));
        // An answer without a verdict is none.
        assert_eq!(transaction(&json!({ "header": {} })), None);
    }

    #[test]
    fn only_what_is_no_request_had_no_effect() {
        let leader = br#"{"error":"etcdserver: leader changed","code":14}"#;
        assert_eq!(refusal(503, leader), Refusal::Unclear("HTTP 503: etcdserver: leader changed".into()));
        for status in [408, 412, 429, 500, 502, 503, 504, 302] {
            assert!(matches!(refusal(status, b""), Refusal::Unclear(_)), "{status}");
        }
        for status in [400, 404] {
            assert!(matches!(refusal(status, b"<html>"), Refusal::NoEffect(_)), "{status}");
        }
    }

    #[test]
    fn lists_and_registers_do_not_mix() {
        let one = list_text("", "1").unwrap();
        let two = list_text(&one, "2").unwrap();
        assert_eq!(content(&two), Value::List(vec![Value::Int(1), Value::Int(2)]));
        assert_eq!(content("1"), Value::Int(1));
        assert_eq!(list_text("17", "2"), None);
    }

    #[test]
    fn versions_are_told_apart() {
        assert!(speaks_v3("3.4.23") && speaks_v3("3.5.0-rc.1") && speaks_v3("4.0"));
        assert!(!speaks_v3("3.3.25") && !speaks_v3("2.3") && !speaks_v3(""));
    }
}
