//! A small load generator: three node processes on loopback addresses, some connections, figures.
//!
//! `cargo run --release -p raftkv --example load -- [--connections 64] [--seconds 5] [--value-bytes 256] [--nodes 3]
//! [--dir DIR] [--trace]`. It starts itself as the nodes. The client is plain blocking-free HTTP over tokio, one request
//! at a time on each connection.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The variable that carries a node's arguments, separated by line feeds.
const NODE_ARGS: &str = "RAFTKV_LOAD_NODE_ARGS";

#[derive(Parser)]
struct NodeCli {
    #[command(flatten)]
    args: raftkv::node::Args,
}

/// Measures a cluster of the bundled node.
#[derive(Clone, Parser)]
struct Cli {
    /// Connections, each with one request at a time
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How long each load lasts
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// The size of a value
    #[arg(long, default_value_t = 256)]
    value_bytes: usize,
    /// How many nodes
    #[arg(long, default_value_t = 3)]
    nodes: u8,
    /// Where the nodes keep their data; decides which disk is measured
    #[arg(long, default_value = "target/load")]
    dir: PathBuf,
    /// Let the nodes write their traces
    #[arg(long)]
    trace: bool,
    /// Further arguments of every node, e.g. --node-arg=--rule --node-arg=read_mode=log
    #[arg(long, allow_hyphen_values = true)]
    node_arg: Vec<String>,
}

fn main() {
    if let Ok(args) = std::env::var(NODE_ARGS) {
        let words = std::iter::once("node").chain(args.lines());
        if let Err(error) = raftkv::node::run(NodeCli::parse_from(words).args) {
            eprintln!("node: {error}");
            std::process::exit(1);
        }
        return;
    }
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(cli));
}

/// Node processes that end with this one.
struct Nodes(Vec<Child>);

impl Drop for Nodes {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn address(id: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 77, id], 7001))
}

fn start(cli: &Cli) -> Nodes {
    let members: Vec<String> = (1..=cli.nodes).map(|id| format!("n{id}={}", address(id).ip())).collect();
    let program = std::env::current_exe().expect("the path of this program");
    let node = |id: u8| {
        let mut args = vec!["--id".to_owned(), format!("n{id}"), "--members".to_owned(), members.join(",")];
        args.extend(["--data-dir".to_owned(), cli.dir.join(format!("n{id}")).display().to_string()]);
        if cli.trace {
            args.extend(["--trace".to_owned(), cli.dir.join(format!("n{id}.jsonl")).display().to_string()]);
        }
        args.extend(cli.node_arg.iter().cloned());
        let mut command = Command::new(&program);
        command.env(NODE_ARGS, args.join("\n")).env("RAFTKV_LOG", "warn").stdin(Stdio::null());
        command.spawn().expect("a node process")
    };
    Nodes((1..=cli.nodes).map(node).collect())
}

async fn measure(cli: Cli) {
    // The directory may not exist yet.
    let _ = std::fs::remove_dir_all(&cli.dir);
    std::fs::create_dir_all(&cli.dir).expect("the directory for the data");
    let began = Instant::now();
    let nodes = start(&cli);
    let leader = first_put(&cli).await;
    println!("spawn to first put          {:?}", began.elapsed());
    for connections in [1, cli.connections] {
        load(&cli, &nodes, leader, "puts", connections, put_request).await;
        load(&cli, &nodes, leader, "gets", connections, get_request).await;
    }
    for (position, child) in nodes.0.iter().enumerate() {
        println!("n{} resident                 {} MiB", position + 1, resident_bytes(child.id()) >> 20);
    }
    idle(&nodes).await;
    drop(nodes);
    std::fs::remove_dir_all(&cli.dir).expect("the directory can be removed");
}

/// Tries all nodes until one takes a write.
async fn first_put(cli: &Cli) -> SocketAddr {
    let mut response = Vec::new();
    loop {
        for id in 1..=cli.nodes {
            let Ok(mut stream) = TcpStream::connect(address(id)).await else { continue };
            let request = put_request(0, 0, cli.value_bytes);
            if exchange(&mut stream, &request, &mut response).await == Some(200) {
                return address(id);
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn put_request(connection: usize, number: u64, value_bytes: usize) -> Vec<u8> {
    let key = format!("k{connection}-{}", number % 1000);
    let head = format!("PUT /kv/{key} HTTP/1.1\r\nhost: n\r\ncontent-length: {value_bytes}\r\n\r\n");
    let mut request = head.into_bytes();
    request.resize(request.len() + value_bytes, b'v');
    request
}

fn get_request(connection: usize, number: u64, _: usize) -> Vec<u8> {
    format!("GET /kv/k{connection}-{} HTTP/1.1\r\nhost: n\r\n\r\n", number % 1000).into_bytes()
}

/// Sends a request and reads the whole response. Returns its status.
async fn exchange(stream: &mut TcpStream, request: &[u8], response: &mut Vec<u8>) -> Option<u16> {
    stream.write_all(request).await.ok()?;
    response.clear();
    loop {
        if stream.read_buf(response).await.ok()? == 0 {
            return None;
        }
        let Some(end) = response.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&response[..end]).ok()?;
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse::<usize>().ok()?;
        if response.len() >= end + 4 + length {
            return head.get(9..12)?.parse().ok();
        }
    }
}

/// Loads the leader and prints what came of it.
async fn load(
    cli: &Cli,
    nodes: &Nodes,
    leader: SocketAddr,
    name: &str,
    connections: usize,
    request: fn(usize, u64, usize) -> Vec<u8>,
) {
    let stop = Arc::new(AtomicBool::new(false));
    let cpu = cpu_time(nodes);
    let began = Instant::now();
    let value_bytes = cli.value_bytes;
    let work = (0..connections).map(|connection| {
        let stop = stop.clone();
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(leader).await.expect("the leader accepts connections");
            stream.set_nodelay(true).expect("TCP_NODELAY");
            let (mut latencies, mut response) = (Vec::new(), Vec::new());
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let request = request(connection, number, value_bytes);
                let sent = Instant::now();
                let status = exchange(&mut stream, &request, &mut response).await;
                assert_eq!(status, Some(200), "{}", String::from_utf8_lossy(&response));
                latencies.push(sent.elapsed());
            }
            latencies
        })
    });
    let work: Vec<_> = work.collect();
    tokio::time::sleep(Duration::from_secs(cli.seconds)).await;
    stop.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for connection in work {
        latencies.extend(connection.await.expect("a connection's task"));
    }
    let elapsed = began.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    println!(
        "{connections:>3} connections: {:>7.0} {name}/s  p50 {:>9.3?}  p99 {:>9.3?}  max {:>9.3?}  {:.2} cores for the nodes",
        latencies.len() as f64 / elapsed,
        at(0.5),
        at(0.99),
        at(1.0),
        (cpu_time(nodes) - cpu) / elapsed
    );
}

/// What the nodes use when nobody asks for anything.
async fn idle(nodes: &Nodes) {
    const TIME: Duration = Duration::from_secs(3);
    let cpu = cpu_time(nodes);
    tokio::time::sleep(TIME).await;
    let share = (cpu_time(nodes) - cpu) / TIME.as_secs_f64() / nodes.0.len() as f64;
    println!("idle: {:.2} % of a core for each node", share * 100.0);
}

/// The processor time of all nodes in seconds.
fn cpu_time(nodes: &Nodes) -> f64 {
    let ticks = nodes.0.iter().map(|child| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let field =
            |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
        field(11) + field(12)
    });
    // USER_HZ is 100 on every architecture that Linux still supports for this interface.
    ticks.sum::<u64>() as f64 / 100.0
}

fn resident_bytes(pid: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages =
        statm.split_whitespace().nth(1).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    pages * 4096
}
