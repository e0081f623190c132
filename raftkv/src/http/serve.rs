//! Accepting connections and serving requests.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use super::request::{self, Refused, Route, Shape};
use super::respond::{self, Whole};
use super::{BODY_MAX, CONNECTIONS_MAX, HttpConfig, status};
use crate::inbox::{Ask, Call, Happening, Inbox};

/// Serves, for ever.
pub(super) async fn run(listener: TcpListener, config: HttpConfig, inbox: Inbox) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let server = Server { config: Arc::new(config), inbox };
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("http: cannot accept: {error}");
                // Out of descriptors, most likely: it does not get better by trying at once.
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let slot = slots.clone().try_acquire_owned();
        let server = server.clone();
        tokio::spawn(async move {
            match slot {
                Ok(_slot) => server.connection(stream).await,
                Err(_) => turn_away(stream).await,
            }
        });
    }
}

/// The answer to a connection too many.
const TOO_MANY: &str = r#"{"error":"busy","reason":"too many connections"}"#;

/// Says that there are too many connections.
async fn turn_away(mut stream: tokio::net::TcpStream) {
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{TOO_MANY}",
        TOO_MANY.len()
    );
    // The client may be gone; there is nothing to do about it.
    let _ = timeout(Duration::from_secs(1), async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // What the client has sent is read, or the close would reset the connection before the answer is read.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    })
    .await;
}

#[derive(Clone)]
struct Server {
    config: Arc<HttpConfig>,
    inbox: Inbox,
}

impl Server {
    async fn connection(&self, stream: tokio::net::TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("http: TCP_NODELAY: {error}");
        }
        let service = service_fn(|request| async { Ok::<_, Infallible>(self.respond(request).await) });
        let served =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        if let Err(error) = served {
            tracing::debug!("http: connection ended: {error}");
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Whole {
        match self.handle(request).await {
            Ok(response) => response,
            Err(refused) => respond::refused(&refused),
        }
    }

    async fn handle(&self, request: Request<Incoming>) -> Result<Whole, Refused> {
        match request::route(request.method(), request.uri().path())? {
            Route::Status => Ok(self.status().await),
            Route::Get(key, shape) => {
                let ask = request::read(key, request.uri().query(), &self.config.read_mode)?;
                Ok(self.ask(ask, shape).await)
            }
            Route::Write(key, verb) => {
                let (head, body) = request.into_parts();
                let body = read_body(body).await?;
                let ask = request::write(key, verb, &head.headers, &body)?;
                Ok(self.ask(ask, Shape::Any).await)
            }
        }
    }

    /// Asks the node and waits for its answer.
    async fn ask(&self, ask: Ask, shape: Shape) -> Whole {
        let (sender, receiver) = oneshot::channel();
        // If the node has ended, the receiver learns of it.
        self.inbox.put(Happening::Call(Call { ask, answer: sender }));
        match timeout(self.config.request_timeout, receiver).await {
            Ok(Ok(answer)) => respond::answer(answer, shape, &self.config.members),
            Ok(Err(_)) => respond::unknown("this node is stopping"),
            Err(_) => respond::unknown("no answer within the request timeout"),
        }
    }

    async fn status(&self) -> Whole {
        let (sender, receiver) = oneshot::channel();
        self.inbox.put(Happening::Status(sender));
        match receiver.await {
            Ok(status) => respond::json_response(StatusCode::OK, status::body(&status, &self.config)),
            Err(_) => respond::unknown("this node is stopping"),
        }
    }
}

/// Reads a body, up to the limit.
async fn read_body(body: Incoming) -> Result<Bytes, Refused> {
    if body.size_hint().lower() > BODY_MAX as u64 {
        return Err(Refused::too_large());
    }
    match Limited::new(body, BODY_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refused::too_large()),
        Err(error) => Err(Refused::broken_body(&error)),
    }
}
