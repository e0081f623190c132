//! What one recorded call costs the harness: 32 clients on one current-thread runtime, and a server on another thread
//! that answers at once. A run records 10,000 operations a second, so a call may cost 100 us at most; how much less it
//! costs is what is left for the nodes.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use checker::history::{Key, Op, Outcome, ProcessId, Reply, Value};
use cluster::client::Client;
use cluster::system::{NodeId, System};
use cluster::systems::raftkv::RaftKv;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const CLIENTS: u64 = 32;
/// An address that nothing else on the host listens on.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 77, 99);

fn serve() {
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind((ADDRESS, 7001)).await.expect("a free port");
            ready.send(()).expect("the bench waits");
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                stream.set_nodelay(true).expect("nodelay");
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    // A client has one request open, and a short one arrives in one piece.
                    while stream.read(&mut buffer).await.is_ok_and(|got| got > 0) {
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}";
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
    });
    is_ready.recv().expect("the server starts");
}

async fn calls(clients: &[Arc<dyn Client>], each: u64) {
    let tasks: Vec<_> = clients
        .iter()
        .map(|client| {
            let client = Arc::clone(client);
            tokio::spawn(async move {
                let op = Op::Write { key: Key::new("r1"), value: Value::Int(17) };
                for _ in 0..each {
                    let end = client.call(ProcessId(1), &op).await;
                    assert_eq!(end.outcome, Outcome::Ok(Reply::Done));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a client");
    }
}

fn client(criterion: &mut Criterion) {
    serve();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let system = RaftKv::new("/bin/true".into(), Vec::new());
    let members = [(NodeId(1), IpAddr::V4(ADDRESS))];
    let clients: Vec<_> =
        (0..CLIENTS).map(|_| system.connect(&members, NodeId(1), Duration::from_secs(5))).collect();
    let mut group = criterion.benchmark_group("client");
    group.throughput(Throughput::Elements(CLIENTS));
    group.bench_function("32 raftkv writes", |bencher| {
        bencher.iter_custom(|rounds| {
            let started = Instant::now();
            runtime.block_on(calls(&clients, rounds));
            started.elapsed()
        });
    });
    group.finish();
}

criterion_group!(benches, client);
criterion_main!(benches);
