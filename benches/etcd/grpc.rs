//! The client of etcd: two unary calls of its service `etcdserverpb.KV` over gRPC.
//!
//! Two messages with two fields of bytes each do not need a code generator: a field is its number and type in a byte, a
//! length, and the bytes. References: etcd's `rpc.proto`, protobuf's encoding, "gRPC over HTTP2".

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::Outcome;

/// A connection to one member; clones share it.
#[derive(Clone)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        // It ends with an error when the member is killed; the calls on it tell.
        tokio::spawn(async { connection.await.ok() });
        Ok(Self { sender, authority: address.to_string() })
    }

    /// `KV.Put`.
    pub(crate) async fn put(&mut self, key: &str, value: &[u8]) -> Outcome {
        let mut message = Vec::with_capacity(value.len() + key.len() + 8);
        field(1, key.as_bytes(), &mut message);
        field(2, value, &mut message);
        self.call("Put", &message).await
    }

    /// `KV.Range` of one key, which is linearizable unless asked otherwise.
    pub(crate) async fn get(&mut self, key: &str) -> Outcome {
        let mut message = Vec::with_capacity(key.len() + 4);
        field(1, key.as_bytes(), &mut message);
        self.call("Range", &message).await
    }

    async fn call(&mut self, method: &str, message: &[u8]) -> Outcome {
        let mut body = Vec::with_capacity(message.len() + 5);
        body.push(0);
        body.extend_from_slice(&(message.len() as u32).to_be_bytes());
        body.extend_from_slice(message);
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}/etcdserverpb.KV/{method}", self.authority))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(Bytes::from(body)))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("{method}: {}", response.status()).into());
        }
        // An error without an answer comes in the headers alone.
        let mut status = response.headers().get("grpc-status").cloned();
        let collected = response.into_body().collect().await?;
        if let Some(trailers) = collected.trailers() {
            status = trailers.get("grpc-status").cloned();
        }
        match status {
            Some(status) if status == "0" => Ok(()),
            status => Err(format!("{method}: grpc-status {status:?}").into()),
        }
    }
}

/// Appends a field of bytes.
fn field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    const LENGTH_DELIMITED: u8 = 2;
    out.push(number << 3 | LENGTH_DELIMITED);
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
}
