//! A client of etcd.
//!
//! Invariant: a call sends several requests only while each one before the last provably changed nothing (a read, a
//! transaction that answered that its comparison failed, a connection that was refused). So the outcome of the last
//! one is that of the call.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use checker::history::{Key, Op, Outcome, ProcessId, Reply, Value};
use reqwest::Method;
use serde_json::Value as Json;

use crate::client::{Client, Completion};
use crate::system::{BoxFuture, NodeId};

use super::super::http::{Http, Request, Trouble};
use super::super::raftkv::{escape, text, value};
use super::super::route::{Route, Tour};
use super::gateway::{self, Expected, KeyValue, Refusal};

pub(super) struct EtcdClient {
    http: Http,
    route: Route,
    reads: Reads,
    op_timeout: Duration,
}

/// How reads are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// Once a majority confirmed the leader.
    Linearizable,
    /// With what the node has.
    Serializable,
}

/// Why a call has no reply.
enum Ending {
    /// It changed nothing, and never will.
    NoEffect(String),
    /// It may have.
    Unclear(String),
}

type Step<T> = Result<T, Ending>;

impl EtcdClient {
    pub(super) fn new(members: &[(NodeId, IpAddr)], home: NodeId, op_timeout: Duration, port: u16) -> Self {
        let route = Route::new(members, home, port);
        Self { http: Http::for_client(op_timeout), route, reads: Reads::Linearizable, op_timeout }
    }

    pub(super) fn reading(self, reads: Reads) -> Self {
        Self { reads, ..self }
    }

    async fn perform(&self, op: &Op) -> Completion {
        let (tour, deadline) = (self.route.tour(), Instant::now() + self.op_timeout);
        let mut call = Call { http: &self.http, tour, reads: self.reads, deadline };
        let outcome = match call.run(op).await {
            Ok(reply) => Outcome::Ok(reply),
            Err(Ending::Unclear(why)) if !op.is_read() => Outcome::Unknown(why),
            Err(Ending::NoEffect(why) | Ending::Unclear(why)) => Outcome::Failed(why),
        };
        Completion { outcome, node: Some(call.tour.node()) }
    }
}

impl Client for EtcdClient {
    fn call<'a>(&'a self, _: ProcessId, op: &'a Op) -> BoxFuture<'a, Completion> {
        Box::pin(self.perform(op))
    }
}

/// One call under way.
struct Call<'a> {
    http: &'a Http,
    tour: Tour<'a>,
    reads: Reads,
    deadline: Instant,
}

impl Call<'_> {
    async fn run(&mut self, op: &Op) -> Step<Reply> {
        match op {
            Op::Read { key } => {
                let found = self.range(&gateway::range(&register(key))).await?;
                Ok(Reply::Value(found.first().map_or(Value::Nil, |kv| gateway::content(&kv.value))))
            }
            Op::Write { key, value } => {
                self.change("put", &gateway::put(&register(key), &held(value)?)).await
            }
            Op::Delete { key } => self.change("deleterange", &gateway::range(&register(key))).await,
            Op::Cas { key, expected, new } => self.cas(key, expected, &held(new)?).await,
            Op::Append { key, value } => self.append(key, &held(value)?).await,
            Op::Add { key, value } => {
                let element = held(value)?;
                self.change("put", &gateway::put(&format!("{}{element}", set(key)), &element)).await
            }
            Op::Members { key } => {
                let found = self.range(&gateway::range_prefix(&set(key))).await?;
                Ok(Reply::Value(Value::List(found.iter().map(|kv| value(&kv.value)).collect())))
            }
            Op::Other { function, .. } => {
                Err(Ending::NoEffect(format!("etcd is not asked for a {function} here")))
            }
        }
    }

    async fn cas(&mut self, key: &Key, expected: &Value, new: &str) -> Step<Reply> {
        let key = register(key);
        let request = match expected {
            Value::Nil => gateway::txn(&key, &Expected::Absent, new),
            other => gateway::txn(&key, &Expected::Value(&held(other)?), new),
        };
        let answer = self.ask("txn", &request).await?;
        let transaction = gateway::transaction(&answer).ok_or_else(|| unreadable("txn"))?;
        if transaction.succeeded {
            return Ok(Reply::Done);
        }
        let actual = transaction.found.first().map_or(Value::Nil, |kv| gateway::content(&kv.value));
        Ok(Reply::Mismatch(Some(actual)))
    }

    /// etcd has no append: reads the list and writes it back longer, unless somebody else was faster.
    async fn append(&mut self, key: &Key, element: &str) -> Step<Reply> {
        let key = register(key);
        let mut found = self.range(&gateway::range(&key)).await.map_err(without_effect)?;
        loop {
            let (revision, old) = found.first().map_or((0, ""), |kv| (kv.mod_revision, &kv.value));
            let longer = gateway::list_text(old, element)
                .ok_or_else(|| Ending::NoEffect(format!("what {key} holds is no list: {old}")))?;
            let request = gateway::txn(&key, &Expected::ModRevision(revision), &longer);
            let answer = self.ask("txn", &request).await?;
            let transaction = gateway::transaction(&answer).ok_or_else(|| unreadable("txn"))?;
            if transaction.succeeded {
                return Ok(Reply::Done);
            }
            found = transaction.found;
        }
    }

    async fn range(&mut self, request: &Json) -> Step<Vec<KeyValue>> {
        let mut request = request.clone();
        if self.reads == Reads::Serializable {
            request["serializable"] = true.into();
        }
        let answer = self.ask("range", &request).await?;
        gateway::key_values(&answer).ok_or_else(|| unreadable("range"))
    }

    async fn change(&mut self, method: &str, request: &Json) -> Step<Reply> {
        let answer = self.ask(method, request).await?;
        // Something else than etcd may answer 200 as well.
        answer.get("header").map(|_| Reply::Done).ok_or_else(|| unreadable(method))
    }

    /// Sends one request, to the next node if this one does not even take a connection.
    async fn ask(&mut self, method: &str, request: &Json) -> Step<Json> {
        let body = request.to_string();
        loop {
            let url = format!("{}/v3/kv/{method}", self.tour.base());
            match self.http.send(Request::new(Method::POST, url, body.clone()), self.deadline).await {
                Ok(answer) if answer.status == 200 => {
                    let parsed = serde_json::from_slice(&answer.body);
                    return parsed.map_err(|_| unreadable(method));
                }
                Ok(answer) => {
                    return Err(match gateway::refusal(answer.status, &answer.body) {
                        Refusal::NoEffect(why) => Ending::NoEffect(why),
                        Refusal::Unclear(why) => Ending::Unclear(why),
                    });
                }
                Err(Trouble::NotSent(_)) if self.tour.go_on() => {}
                Err(Trouble::NotSent(why)) => return Err(Ending::NoEffect(why)),
                Err(Trouble::Unclear(why)) => return Err(Ending::Unclear(why)),
            }
        }
    }
}

/// Nothing was written yet, so whatever became of this request, the call had no effect.
fn without_effect(ending: Ending) -> Ending {
    match ending {
        Ending::NoEffect(why) | Ending::Unclear(why) => Ending::NoEffect(why),
    }
}

fn unreadable(method: &str) -> Ending {
    Ending::Unclear(format!("an answer to {method} that etcd does not give"))
}

fn held(value: &Value) -> Step<String> {
    text(value).map_err(Ending::NoEffect)
}

fn register(key: &Key) -> String {
    format!("kv/{}", escape(key))
}

/// The prefix of a set's elements.
fn set(key: &Key) -> String {
    format!("set/{}/", escape(key))
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
