//! HTTP as a recorded client needs it: one request, one answer, and an honest word about what became of it.
//!
//! Invariant: a request is put on the wire at most once, and [`Trouble::NotSent`] is said only if none of it ever was.
//! Redirects, proxies and retries by answer are off. The connection pool below reqwest may take another connection
//! when the one it had picked was closed before it took the request up; nothing was sent by then, so this stays within
//! the invariant.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// A client with connections of its own.
pub(super) struct Http {
    client: Result<reqwest::Client, String>,
}

/// A request to one node.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn new(method: Method, url: String, body: impl Into<Vec<u8>>) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: body.into() }
    }

    pub(super) fn header(mut self, name: &'static str, value: u64) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        self
    }
}

/// A complete answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Why there is no complete answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nothing of the request reached the node.
    NotSent(String),
    /// It may have reached the node.
    Unclear(String),
}

impl Http {
    /// For the calls of one client. A node that does not even accept a connection gets half the time of a call, so
    /// that another one can be asked.
    pub(super) fn for_client(op_timeout: Duration) -> Self {
        Self::new(op_timeout / 2, None)
    }

    /// For watching nodes over the control link.
    pub(super) fn for_observer(own: IpAddr) -> Self {
        Self::new(Duration::from_secs(1), Some(own))
    }

    fn new(connect_timeout: Duration, own: Option<IpAddr>) -> Self {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .local_address(own)
            .connect_timeout(connect_timeout)
            .build()
            .map_err(|error| describe(&error));
        Self { client }
    }

    /// Sends a request and reads the whole answer, until `deadline` at the latest.
    pub(super) async fn send(&self, request: Request, deadline: Instant) -> Result<Answer, Trouble> {
        let client = self.client.as_ref().map_err(|why| Trouble::NotSent(why.clone()))?;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Trouble::NotSent("no time was left to send it".into()));
        }
        let sent = client
            .request(request.method, request.url)
            .headers(request.headers)
            .body(request.body)
            .timeout(left)
            .send()
            .await;
        let answer = sent.map_err(classify)?;
        let status = answer.status().as_u16();
        let headers = answer.headers().clone();
        // Whatever happens from here on, the node has seen the request.
        let body = answer.bytes().await.map_err(|error| Trouble::Unclear(describe(&error)))?;
        Ok(Answer { status, headers, body: body.into() })
    }
}

/// A request that found no connection, or was no request, was not sent. Of everything else nobody can be sure.
fn classify(error: reqwest::Error) -> Trouble {
    let why = describe(&error);
    if error.is_connect() || error.is_builder() { Trouble::NotSent(why) } else { Trouble::Unclear(why) }
}

/// The cause at the bottom, which names what happened; the layers above only say that something did.
fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() { "no connection in time".into() } else { "no answer in time".into() };
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
