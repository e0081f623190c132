//! Accepting connections and serving requests.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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

use super::forward::{self, Write};
use super::request::{self, Refused, Route, Shape, Verb};
use super::respond::{self, Whole};
use super::{CONNECTIONS_MAX, Control, HttpConfig, control, messages, status};
use crate::inbox::{Answer, Ask, Call, Happening, Inbox};
use crate::raft::io::Refusal;

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

/// How long a node may be busy before its silence is the answer.
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);

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

/// When a connection was last of use.
#[derive(Default)]
struct Activity {
    /// Requests on it that are being answered.
    open: AtomicUsize,
    /// How often that number has changed.
    changes: AtomicUsize,
}

impl Activity {
    fn begin(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until nothing has happened for `idle`, or up to twice as long: requests do not move any timer.
    async fn ceased(&self, idle: Duration) {
        loop {
            let before = self.changes.load(Ordering::Relaxed);
            sleep(idle).await;
            if self.open.load(Ordering::Relaxed) == 0 && self.changes.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

impl Server {
    async fn connection(&self, stream: tokio::net::TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("http: TCP_NODELAY: {error}");
        }
        let activity = Activity::default();
        let service = service_fn(|request| async {
            activity.begin();
            let response = self.respond(request).await;
            activity.end();
            Ok::<_, Infallible>(response)
        });
        // Answers are small: to copy head and body together costs less than to gather them.
        let mut protocol = hyper::server::conn::http1::Builder::new();
        let serving = protocol.writev(false).serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            biased;
            served = serving => {
                if let Err(error) = served {
                    tracing::debug!("http: connection ended: {error}");
                }
            }
            () = activity.ceased(self.config.limits.idle) => tracing::debug!("http: closed an idle connection"),
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
            Route::Control(path) => self.control(&path, request).await,
            Route::Get(key, shape) => {
                let ask =
                    request::read(key, request.uri().query(), request.headers(), &self.config.read_mode)?;
                Ok(self.ask(ask, shape).await)
            }
            Route::Write(key, verb) => {
                if verb == Verb::Poison && self.config.control == Control::Off {
                    return Err(control::off());
                }
                let (head, body) = request.into_parts();
                let body = self.body(body).await?;
                let ask = request::write(key, verb, &head, &body)?;
                match self.answer(ask).await {
                    Some(Answer::Refused(Refusal::NotLeader { leader }))
                        if forward::is_forwarded(&self.config, &head) =>
                    {
                        Ok(forward::forward(&self.config, &self.inbox, Write { head, body }, leader).await)
                    }
                    answer => Ok(self.response(answer, Shape::Any)),
                }
            }
        }
    }

    /// Asks the node and waits for its answer.
    async fn ask(&self, ask: Ask, shape: Shape) -> Whole {
        let answer = self.answer(ask).await;
        self.response(answer, shape)
    }

    /// The node's answer; `None` if it has ended.
    async fn answer(&self, ask: Ask) -> Option<Answer> {
        let (sender, receiver) = oneshot::channel();
        // If the node has ended, the receiver learns of it.
        self.inbox.put(Happening::Call(Call { ask, answer: sender }));
        receiver.await.ok()
    }

    fn response(&self, answer: Option<Answer>, shape: Shape) -> Whole {
        match answer {
            Some(answer) => respond::answer(answer, shape, &self.config),
            None => respond::unknown("this node is stopping"),
        }
    }

    async fn control(&self, path: &str, request: Request<Incoming>) -> Result<Whole, Refused> {
        if self.config.control == Control::Off {
            return Err(control::off());
        }
        let (head, body) = request.into_parts();
        let order = match control::read(&head.method, path, &self.body(body).await?)? {
            control::Request::Order(order) => order,
            control::Request::Arm(plan) => return Ok(control::arm(plan)),
            control::Request::Disarm(point) => return Ok(control::disarm(point)),
            control::Request::List => return Ok(control::list()),
            control::Request::Messages(order) => {
                return Ok(messages::carry_out(&self.config.gate, order));
            }
        };
        let (sender, receiver) = oneshot::channel();
        self.inbox.put(Happening::Order(order, sender));
        Ok(match receiver.await {
            Ok(outcome) => control::ordered(outcome),
            Err(_) => respond::unknown("this node is stopping"),
        })
    }

    async fn body(&self, body: Incoming) -> Result<Bytes, Refused> {
        let body = timeout(self.config.limits.body, read_body(body, self.config.body_max)).await;
        body.map_err(|_| Refused::slow_body())?
    }

    async fn status(&self) -> Whole {
        let (sender, receiver) = oneshot::channel();
        self.inbox.put(Happening::Status(sender));
        // Asked at the control port, which a held node still serves.
        tokio::select! {
            biased;
            status = receiver => match status {
                Ok(status) => respond::json_response(StatusCode::OK, status::body(&status, &self.config)),
                Err(_) => respond::unknown("this node is stopping"),
            },
            () = control::core_is_held() => control::held(&self.config.gate),
            () = sleep(STATUS_TIMEOUT) => control::held(&self.config.gate),
        }
    }
}

/// Reads a body, up to the limit.
async fn read_body(body: Incoming, max: usize) -> Result<Bytes, Refused> {
    if body.size_hint().lower() > max as u64 {
        return Err(Refused::too_large(max));
    }
    match Limited::new(body, max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refused::too_large(max)),
        Err(error) => Err(Refused::broken_body(&error)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;

    use super::*;
    use crate::http::AddressBook;
    use crate::http::Limits;
    use crate::inbox::Arrivals;
    use crate::store::Reply;

    /// Longer than anything here takes; reached only by a failure.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A server with these limits, and the queue of what it asks its node.
    async fn server(limits: Limits) -> (std::net::SocketAddr, Arrivals) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = HttpConfig {
            addresses: AddressBook::new(0, [].into()),
            boot: 1,
            body_max: 1 << 20,
            read_mode: "local".into(),
            rules: crate::raft::rules::Rules::default(),
            request_timeout: PATIENCE,
            limits,
            control: Control::Off,
            gate: crate::peers::gate::Gate::new(Arc::new(|_, _| true), Default::default()),
        };
        let (inbox, arrivals) = Inbox::new();
        tokio::spawn(run(listener, config, inbox));
        (address, arrivals)
    }

    fn run_test(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { timeout(PATIENCE, test).await.expect("nothing happens") });
    }

    /// What arrives until the other side closes.
    async fn read_all(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_connection_without_a_whole_request_is_closed_and_one_that_waits_for_its_answer_is_not() {
        run_test(async {
            let limits = Limits { idle: Duration::from_millis(50), body: PATIENCE };
            let (address, mut arrivals) = server(limits).await;
            for start in ["", "GET /kv/a HTTP/1.1\r\nhost:"] {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(start.as_bytes()).await.unwrap();
                assert_eq!(read_all(&mut stream).await, "");
            }
            let mut waiting = TcpStream::connect(address).await.unwrap();
            waiting.write_all(b"GET /kv/a HTTP/1.1\r\nhost: n\r\n\r\n").await.unwrap();
            let mut taken = Vec::new();
            arrivals.take(&mut taken, 1).await;
            // A connection that begins later is closed earlier.
            let mut idle = TcpStream::connect(address).await.unwrap();
            assert_eq!(read_all(&mut idle).await, "");
            let Some(Happening::Call(call)) = taken.pop() else { panic!("no call") };
            call.answer.send(Answer::Done { index: 7, reply: Reply::Value(None) }).unwrap();
            let response = read_all(&mut waiting).await;
            assert!(
                response.starts_with("HTTP/1.1 200") && response.ends_with(r#"{"value":null}"#),
                "{response}"
            );
        });
    }

    #[test]
    fn a_body_that_does_not_arrive_is_refused() {
        run_test(async {
            let limits = Limits { idle: PATIENCE, body: Duration::from_millis(20) };
            let (address, _arrivals) = server(limits).await;
            let mut stream = TcpStream::connect(address).await.unwrap();
            let head = b"PUT /kv/a HTTP/1.1\r\nhost: n\r\nconnection: close\r\ncontent-length: 9\r\n\r\nv";
            stream.write_all(head).await.unwrap();
            let response = read_all(&mut stream).await;
            assert!(response.starts_with("HTTP/1.1 408"), "{response}");
        });
    }
}
