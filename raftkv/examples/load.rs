//! A load generator: node processes on loopback addresses, some connections, figures.
//!
//! `cargo run --release -p raftkv --example load -- [--connections 64] [--seconds 5] [--turns 3] [--against PROGRAM] ...`.
//! It starts itself as the nodes. Each turn is a fresh cluster. With `--against`, another build of this program (an older
//! commit's) has its turns in between, so that both see the same machine; the client is this program's in all of them.
//!
//! The client is plain HTTP/1.1 over tokio in one thread: connections are kept, each has one request at a time. Figures are
//! the median of the turns, with the smallest and the largest. What the machine does besides spoils all of them; the
//! processor time per request suffers least, so it is printed too, and the load average is printed with every turn.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
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
    /// Connections, each with one request at a time; several numbers are several loads
    #[arg(long, value_delimiter = ',', default_value = "1,64")]
    connections: Vec<usize>,
    /// How long each load lasts
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How many fresh clusters are measured
    #[arg(long, default_value_t = 1)]
    turns: usize,
    /// Another build of this program, whose nodes are measured in turn with this one's
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
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
    /// What is asked
    #[arg(long, value_delimiter = ',', default_value = "puts,gets")]
    loads: Vec<Load>,
    /// Also measure the processor time of the nodes at so many puts per second, and when nobody asks for anything
    #[arg(long, value_name = "PUTS_PER_SECOND")]
    paced: Option<u64>,
    /// Further arguments of every node, e.g. --node-arg=--rule --node-arg=read_mode=log
    #[arg(long, allow_hyphen_values = true)]
    node_arg: Vec<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Load {
    Puts,
    Gets,
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
    let this = std::env::current_exe().expect("the path of this program");
    let mut programs = vec![("this", this)];
    programs.extend(cli.against.clone().map(|program| ("other", program)));
    let mut figures = Figures::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for turn in 1..=cli.turns {
        for (name, program) in &programs {
            println!("turn {turn}, {name} program, load average {}", load_average());
            let measured = runtime.block_on(measure(&cli, program));
            for (figure, value) in &measured {
                println!("    {figure:<34} {value:>10.2}");
                figures.add(name, figure, *value);
            }
        }
    }
    if cli.turns > 1 || programs.len() > 1 {
        figures.print();
    }
}

/// Figures of all turns, by their names in the order in which they appeared.
#[derive(Default)]
struct Figures {
    names: Vec<String>,
    values: BTreeMap<(&'static str, String), Vec<f64>>,
}

impl Figures {
    fn add(&mut self, program: &'static str, figure: &str, value: f64) {
        if !self.names.iter().any(|name| name == figure) {
            self.names.push(figure.to_owned());
        }
        self.values.entry((program, figure.to_owned())).or_default().push(value);
    }

    fn print(&self) {
        println!("\n{:<34} {:<6} {:>10} {:>10} {:>10}", "", "", "median", "min", "max");
        for name in &self.names {
            for program in ["this", "other"] {
                let Some(values) = self.values.get(&(program, name.clone())) else { continue };
                let mut values = values.clone();
                values.sort_unstable_by(f64::total_cmp);
                let (min, median, max) = (values[0], values[values.len() / 2], values[values.len() - 1]);
                println!("{name:<34} {program:<6} {median:>10.2} {min:>10.2} {max:>10.2}");
            }
        }
    }
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

fn start(cli: &Cli, program: &PathBuf) -> Nodes {
    let members: Vec<String> = (1..=cli.nodes).map(|id| format!("n{id}={}", address(id).ip())).collect();
    let node = |id: u8| {
        let mut args = vec![
            "--bootstrap".to_owned(),
            "--id".to_owned(),
            format!("n{id}"),
            "--members".to_owned(),
            members.join(","),
        ];
        args.extend(["--data-dir".to_owned(), cli.dir.join(format!("n{id}")).display().to_string()]);
        if cli.trace {
            args.extend(["--trace".to_owned(), cli.dir.join(format!("n{id}.jsonl")).display().to_string()]);
        }
        args.extend(cli.node_arg.iter().cloned());
        let mut command = Command::new(program);
        command.env(NODE_ARGS, args.join("\n")).env("RAFTKV_LOG", "warn").stdin(Stdio::null());
        command.spawn().expect("a node process")
    };
    Nodes((1..=cli.nodes).map(node).collect())
}

/// One cluster from its start to its end.
async fn measure(cli: &Cli, program: &PathBuf) -> Vec<(String, f64)> {
    // The directory may not exist yet.
    let _ = std::fs::remove_dir_all(&cli.dir);
    std::fs::create_dir_all(&cli.dir).expect("the directory for the data");
    let mut figures = Vec::new();
    let began = Instant::now();
    let nodes = start(cli, program);
    let leader = first_put(cli).await;
    figures.push(("spawn to first put, ms".to_owned(), began.elapsed().as_secs_f64() * 1e3));
    figures.push(("RSS fresh, MiB a node".to_owned(), resident_mib(&nodes)));
    if let Some(rate) = cli.paced {
        let share = idle(&nodes).await;
        figures.push(("idle, % of a core a node".to_owned(), share));
        figures.push((format!("{rate} puts/s, cores in all"), paced(cli, &nodes, leader, rate).await));
    }
    for &connections in &cli.connections {
        for &load in &cli.loads {
            figures.extend(run_load(cli, &nodes, leader, load, connections).await);
        }
    }
    figures.push(("RSS at the end, MiB a node".to_owned(), resident_mib(&nodes)));
    drop(nodes);
    std::fs::remove_dir_all(&cli.dir).expect("the directory can be removed");
    figures
}

/// Tries all nodes until one takes a write.
async fn first_put(cli: &Cli) -> SocketAddr {
    let (mut request, mut response) = (Vec::new(), Vec::new());
    loop {
        for id in 1..=cli.nodes {
            let Ok(mut stream) = TcpStream::connect(address(id)).await else { continue };
            write_request(Load::Puts, 0, 0, cli.value_bytes, &mut request);
            if exchange(&mut stream, &request, &mut response).await == Some(200) {
                return address(id);
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn write_request(load: Load, connection: usize, number: u64, value_bytes: usize, request: &mut Vec<u8>) {
    use std::io::Write;
    let number = number % 1000;
    request.clear();
    let written = match load {
        Load::Puts => write!(
            request,
            "PUT /kv/k{connection}-{number} HTTP/1.1\r\nhost: n\r\ncontent-length: {value_bytes}\r\n\r\n"
        ),
        Load::Gets => write!(request, "GET /kv/k{connection}-{number} HTTP/1.1\r\nhost: n\r\n\r\n"),
    };
    written.expect("memory takes every write");
    if matches!(load, Load::Puts) {
        request.resize(request.len() + value_bytes, b'v');
    }
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

/// One request after the other, until `until`. Returns how long each took.
async fn client(
    leader: SocketAddr,
    load: Load,
    connection: usize,
    value_bytes: usize,
    until: Instant,
) -> Vec<Duration> {
    let mut stream = TcpStream::connect(leader).await.expect("the leader accepts connections");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    let (mut latencies, mut request, mut response) = (Vec::new(), Vec::new(), Vec::with_capacity(4096));
    for number in 0.. {
        let sent = Instant::now();
        if sent >= until {
            break;
        }
        write_request(load, connection, number, value_bytes, &mut request);
        let status = exchange(&mut stream, &request, &mut response).await;
        assert_eq!(status, Some(200), "{}", String::from_utf8_lossy(&response));
        latencies.push(sent.elapsed());
    }
    latencies
}

/// Loads the leader.
async fn run_load(
    cli: &Cli,
    nodes: &Nodes,
    leader: SocketAddr,
    load: Load,
    connections: usize,
) -> Vec<(String, f64)> {
    let cpu = cpu_times(nodes);
    let began = Instant::now();
    let until = began + Duration::from_secs_f64(cli.seconds);
    let work: Vec<_> = (0..connections)
        .map(|connection| tokio::spawn(client(leader, load, connection, cli.value_bytes, until)))
        .collect();
    let mut latencies = Vec::new();
    for connection in work {
        latencies.extend(connection.await.expect("a connection's task"));
    }
    let elapsed = began.elapsed().as_secs_f64();
    let cpu: Vec<f64> = cpu_times(nodes).iter().zip(cpu).map(|(after, before)| after - before).collect();
    latencies.sort_unstable();
    let count = latencies.len() as f64;
    let at = |share: f64| latencies[((count - 1.0) * share) as usize].as_secs_f64() * 1e3;
    let (leading, following) =
        cpu.iter().fold((0.0, 0.0), |(max, rest): (f64, f64), &time| (max.max(time), rest + max.min(time)));
    let name = |what: &str| {
        let load = format!("{load:?}").to_lowercase();
        format!("{connections:>3} x {load}: {what}")
    };
    vec![
        (name("per second"), count / elapsed),
        (name("p50, ms"), at(0.5)),
        (name("p99, ms"), at(0.99)),
        (name("p99.9, ms"), at(0.999)),
        (name("max, ms"), at(1.0)),
        (name("leader CPU, us each"), leading / count * 1e6),
        (name("followers CPU, us each"), following / count * 1e6),
        (name("cores of all nodes"), cpu.iter().sum::<f64>() / elapsed),
    ]
}

/// Sends puts at a fixed rate and returns how many cores the nodes keep busy.
async fn paced(cli: &Cli, nodes: &Nodes, leader: SocketAddr, rate: u64) -> f64 {
    /// So many clients share the rate.
    const CLIENTS: u64 = 8;
    let period = Duration::from_secs_f64(CLIENTS as f64 / rate as f64);
    let (seconds, value_bytes) = (cli.seconds, cli.value_bytes);
    let cpu: f64 = cpu_times(nodes).iter().sum();
    let began = Instant::now();
    let work: Vec<_> = (0..CLIENTS)
        .map(|connection| {
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(leader).await.expect("the leader accepts connections");
                stream.set_nodelay(true).expect("TCP_NODELAY");
                let (mut request, mut response) = (Vec::new(), Vec::new());
                let mut due = tokio::time::interval(period);
                let phase = period.mul_f64(connection as f64 / CLIENTS as f64);
                tokio::time::sleep(phase).await;
                for number in 0.. {
                    due.tick().await;
                    if began.elapsed().as_secs_f64() > seconds {
                        break;
                    }
                    write_request(Load::Puts, connection as usize, number, value_bytes, &mut request);
                    let status = exchange(&mut stream, &request, &mut response).await;
                    assert_eq!(status, Some(200), "{}", String::from_utf8_lossy(&response));
                }
            })
        })
        .collect();
    for client in work {
        client.await.expect("a connection's task");
    }
    let after: f64 = cpu_times(nodes).iter().sum();
    (after - cpu) / began.elapsed().as_secs_f64()
}

/// What the nodes use when nobody asks for anything, in percent of a core for each.
async fn idle(nodes: &Nodes) -> f64 {
    const TIME: Duration = Duration::from_secs(5);
    let cpu: f64 = cpu_times(nodes).iter().sum();
    tokio::time::sleep(TIME).await;
    let after: f64 = cpu_times(nodes).iter().sum();
    (after - cpu) / TIME.as_secs_f64() / nodes.0.len() as f64 * 100.0
}

/// The processor time of each node in seconds, to the nanosecond.
fn cpu_times(nodes: &Nodes) -> Vec<f64> {
    let time = |child: &Child| {
        let threads = std::fs::read_dir(format!("/proc/{}/task", child.id())).into_iter().flatten().flatten();
        let nanos = threads.filter_map(|thread| {
            let schedstat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            schedstat.split_whitespace().next()?.parse::<u64>().ok()
        });
        nanos.sum::<u64>() as f64 / 1e9
    };
    nodes.0.iter().map(time).collect()
}

/// The memory of a node in the mean.
fn resident_mib(nodes: &Nodes) -> f64 {
    let pages = nodes.0.iter().filter_map(|child| {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", child.id())).ok()?;
        statm.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    pages.sum::<u64>() as f64 * 4096.0 / f64::from(1 << 20) / nodes.0.len() as f64
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}
