//! The client of the bundled node: HTTP/1.1 on one kept connection, one request at a time.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Outcome;

/// A connection to one node.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with an error when the node is killed; the requests on it tell.
        tokio::spawn(async { connection.await.ok() });
        Ok(Self { sender, host: address.to_string() })
    }

    /// Writes a value. Whatever is not a plain success is an error.
    pub(crate) async fn put(&mut self, key: &str, value: Bytes) -> Outcome {
        self.call(Method::PUT, key, value).await.map(drop)
    }

    /// Reads a key as the node's rules say, which is linearizable.
    pub(crate) async fn get(&mut self, key: &str) -> Outcome {
        self.call(Method::GET, key, Bytes::new()).await.map(drop)
    }

    async fn call(&mut self, method: Method, key: &str, body: Bytes) -> Outcome<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(format!("/kv/{key}"))
            .header(hyper::header::HOST, &self.host)
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status == StatusCode::OK {
            return Ok(body);
        }
        Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into())
    }
}

/// One JSON exchange on a connection of its own.
pub(crate) async fn post_or_get(
    address: SocketAddr,
    method: Method,
    path: &str,
    body: Bytes,
) -> Outcome<serde_json::Value> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async { connection.await.ok() });
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(hyper::header::HOST, address.to_string())
        .body(Full::new(body))?;
    let response = sender.send_request(request).await?;
    if response.status() != StatusCode::OK {
        return Err(format!("{path}: {}", response.status()).into());
    }
    Ok(serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?)
}
