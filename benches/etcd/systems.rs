//! The clusters: their processes, their addresses, their leaders.
//!
//! Invariant: every process dies with this one (`PR_SET_PDEATHSIG`) and with its [`Cluster`]; data lies in a directory
//! that goes with it.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use hyper::Method;
use hyper::body::Bytes;

use super::load::{Kind, Load};
use super::{Outcome, grpc, http, machine};

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum System {
    /// The node of this package.
    Bundled {
        /// Its executable.
        program: PathBuf,
    },
    /// Debian's etcd.
    Etcd,
}

/// Heartbeats and election timeouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timers {
    /// What each system has by default: 50 and 150..300 ms; etcd 100 and 1000..2000 ms.
    Default,
    /// 20 ms and 200..400 ms on both sides; etcd draws from once to twice its election timeout.
    Short,
}

impl fmt::Display for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Timers::Default => "own timers",
            Timers::Short => "20/200..400 ms",
        })
    }
}

/// The version of the installed etcd.
pub(crate) fn etcd_version() -> Option<String> {
    let output = Command::new("etcd").arg("--version").stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.lines().next()?.trim_start_matches("etcd Version: ").to_owned())
}

const CLIENT_PORT: u16 = 7001;
const PEER_PORT: u16 = 7002;
/// How long anything may take before the program gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster of processes.
pub(crate) struct Cluster {
    system: System,
    nodes: Vec<Node>,
    timers: Timers,
    rules: Vec<String>,
    dir: tempfile::TempDir,
    net: u8,
    leader: usize,
    /// How many connections the clients of etcd share; one each for the bundled node.
    connections: usize,
    shared: tokio::sync::Mutex<Vec<grpc::Connection>>,
    puts: Cell<u64>,
    started_in: Duration,
}

struct Node {
    child: Child,
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client with one request open.
pub(crate) enum Client {
    /// Of the bundled node.
    Http(http::Connection),
    /// Of etcd.
    Grpc(grpc::Connection),
}

impl Client {
    pub(crate) async fn put(&mut self, key: &str, value: Bytes) -> Outcome {
        match self {
            Client::Http(connection) => connection.put(key, value).await,
            Client::Grpc(connection) => connection.put(key, &value).await,
        }
    }

    pub(crate) async fn get(&mut self, key: &str) -> Outcome {
        match self {
            Client::Http(connection) => connection.get(key).await,
            Client::Grpc(connection) => connection.get(key).await,
        }
    }
}

impl Cluster {
    /// Starts a cluster in a fresh directory and waits for its first acknowledged put.
    pub(crate) async fn start(system: &System, nodes: u8, timers: Timers, dir: &Path) -> Outcome<Self> {
        Self::start_with(system, nodes, timers, dir, &[]).await
    }

    /// The same, with rules of the bundled node.
    pub(crate) async fn start_with(
        system: &System,
        nodes: u8,
        timers: Timers,
        dir: &Path,
        rules: &[String],
    ) -> Outcome<Self> {
        std::fs::create_dir_all(dir)?;
        let mut cluster = Self {
            system: system.clone(),
            nodes: Vec::new(),
            timers,
            rules: rules.to_vec(),
            dir: tempfile::Builder::new().prefix("beside-etcd").tempdir_in(dir)?,
            net: free_network(nodes)?,
            leader: 0,
            connections: 8,
            shared: tokio::sync::Mutex::default(),
            puts: Cell::new(0),
            started_in: Duration::ZERO,
        };
        let began = Instant::now();
        for number in 1..=nodes {
            let child = cluster.command(number, nodes)?.spawn()?;
            cluster.nodes.push(Node { child });
        }
        cluster.first_put(began).await?;
        cluster.started_in = began.elapsed();
        Ok(cluster)
    }

    fn address(&self, number: u8, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 88, self.net, number)), port)
    }

    fn command(&self, number: u8, nodes: u8) -> Outcome<Command> {
        let name = format!("n{number}");
        let data = self.dir.path().join(&name);
        let all = |text: &dyn Fn(u8) -> String| (1..=nodes).map(text).collect::<Vec<_>>().join(",");
        let mut command = match &self.system {
            System::Bundled { program } => {
                let mut command = Command::new(program);
                let members = all(&|n| format!("n{n}={}", self.address(n, CLIENT_PORT).ip()));
                command
                    .args(["node", "--bootstrap", "--id", &name, "--members", &members, "--data-dir"])
                    .arg(&data);
                if self.timers == Timers::Short {
                    let rules =
                        ["--rule", "heartbeat_interval=20ms", "--rule", "election_timeout=200ms..400ms"];
                    command.args(rules);
                }
                self.rules.iter().for_each(|rule| {
                    command.args(["--rule", rule]);
                });
                command
            }
            System::Etcd => {
                let mut command = Command::new("etcd");
                let (client, peer) = (self.address(number, CLIENT_PORT), self.address(number, PEER_PORT));
                let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
                let cluster = all(&|n| format!("n{n}=http://{}", self.address(n, PEER_PORT)));
                command.args(["--name", &name, "--log-level", "error", "--initial-cluster", &cluster]);
                command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
                command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
                command.arg("--data-dir").arg(&data);
                if self.timers == Timers::Short {
                    command.args(["--heartbeat-interval", "20", "--election-timeout", "200"]);
                }
                command
            }
        };
        let log = File::create(self.dir.path().join(format!("{name}.log")))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // SAFETY: prctl is async-signal-safe and touches no memory of the parent.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        Ok(command)
    }

    /// Waits until some node acknowledges a put, and makes it the one that clients talk to. Answers other than a success
    /// only mean that it is too early.
    async fn first_put(&mut self, began: Instant) -> Outcome {
        let mut last = String::new();
        while began.elapsed() < PATIENCE {
            for position in 0..self.nodes.len() {
                match self.try_put(position).await {
                    Ok(()) if self.system == System::Etcd => return self.find_etcd_leader().await,
                    Ok(()) => {
                        self.leader = position;
                        return Ok(());
                    }
                    Err(error) => last = error.to_string(),
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Err(format!("no put within {PATIENCE:?}: {last}\n{}", self.logs()).into())
    }

    async fn try_put(&self, position: usize) -> Outcome {
        let attempt = async {
            let mut client = self.connect(position).await?;
            client.put("first", Bytes::from_static(b"put")).await
        };
        // A member without a leader holds requests back; another may have one by then.
        tokio::time::timeout(Duration::from_millis(200), attempt).await?
    }

    async fn connect(&self, position: usize) -> Outcome<Client> {
        let address = self.address(position as u8 + 1, CLIENT_PORT);
        Ok(match self.system {
            System::Bundled { .. } => Client::Http(http::Connection::open(address).await?),
            System::Etcd => Client::Grpc(grpc::Connection::open(address).await?),
        })
    }

    /// Which member leads, as the members' JSON gateway tells.
    async fn find_etcd_leader(&mut self) -> Outcome {
        for position in 0..self.nodes.len() {
            let address = self.address(position as u8 + 1, CLIENT_PORT);
            let body = Bytes::from_static(b"{}");
            let path = "/v3/maintenance/status";
            let Ok(status) = http::post_or_get(address, Method::POST, path, body).await else { continue };
            if status["leader"].is_string() && status["leader"] == status["header"]["member_id"] {
                self.leader = position;
                return Ok(());
            }
        }
        Err("no member of etcd says that it leads".into())
    }

    /// Chooses the number of connections with which etcd is fastest: the comparison is with its best.
    pub(crate) async fn calibrate(&mut self) -> Outcome {
        if self.system != System::Etcd {
            return Ok(());
        }
        let mut best = (0.0, self.connections);
        for connections in [1, 8, 64] {
            self.connections = connections;
            self.shared.lock().await.clear();
            let load = Load { kind: Kind::Put, clients: 64, rate: None };
            let (run, _, _) = load.run(self, Duration::from_secs(1)).await?;
            println!("  etcd with 64 clients on {connections} connections: {:.0} puts/s", run.per_second());
            if run.per_second() > best.0 {
                best = (run.per_second(), connections);
            }
        }
        self.connections = best.1;
        self.shared.lock().await.clear();
        Ok(())
    }

    /// A client of the leader.
    pub(crate) async fn client(&self, number: usize) -> Outcome<Client> {
        if self.system != System::Etcd {
            return self.connect(self.leader).await;
        }
        let mut shared = self.shared.lock().await;
        if shared.len() < self.connections
            && let Client::Grpc(connection) = self.connect(self.leader).await?
        {
            shared.push(connection);
        }
        Ok(Client::Grpc(shared[number % shared.len()].clone()))
    }

    /// Kills the leader; how long until another node acknowledges a put.
    pub(crate) async fn fail_over(&mut self) -> Outcome<Duration> {
        self.nodes[self.leader].child.kill()?;
        let killed = Instant::now();
        let others: Vec<usize> = (0..self.nodes.len()).filter(|&position| position != self.leader).collect();
        let mut last = String::new();
        while killed.elapsed() < PATIENCE {
            for &position in &others {
                match self.try_put(position).await {
                    Ok(()) => return Ok(killed.elapsed()),
                    Err(error) => last = error.to_string(),
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Err(format!("no put within {PATIENCE:?} after the leader was killed: {last}\n{}", self.logs()).into())
    }

    /// Kills a cluster of one and starts it again; how long until it acknowledges a put.
    pub(crate) async fn restart(&mut self) -> Outcome<Duration> {
        self.nodes.clear();
        let began = Instant::now();
        let child = self.command(1, 1)?.spawn()?;
        self.nodes.push(Node { child });
        self.first_put(began).await?;
        Ok(began.elapsed())
    }

    fn logs(&self) -> String {
        let log = |number| {
            std::fs::read_to_string(self.dir.path().join(format!("n{number}.log"))).unwrap_or_default()
        };
        (1..=self.nodes.len()).map(log).collect::<Vec<_>>().join("")
    }

    pub(crate) fn system_name(&self) -> &'static str {
        match self.system {
            System::Bundled { .. } => "raftkv",
            System::Etcd => "etcd",
        }
    }

    /// The processes.
    pub(crate) fn pids(&self) -> impl Iterator<Item = u32> + '_ {
        self.nodes.iter().map(|node| node.child.id())
    }

    /// The resident memory of the largest node.
    pub(crate) fn memory_mib(&self) -> Outcome<f64> {
        let mut largest: f64 = 0.0;
        for pid in self.pids() {
            largest = largest.max(machine::memory_mib(pid)?);
        }
        Ok(largest)
    }

    pub(crate) fn started_in_ms(&self) -> f64 {
        self.started_in.as_secs_f64() * 1e3
    }

    pub(crate) fn puts(&self) -> u64 {
        self.puts.get()
    }

    pub(crate) fn count_puts(&self, puts: u64) {
        self.puts.set(self.puts.get() + puts);
    }
}

/// A network of loopback addresses on which nobody listens.
fn free_network(nodes: u8) -> Outcome<u8> {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    for _ in 0..u8::MAX {
        let net = NEXT.fetch_add(1, Ordering::Relaxed);
        let is_free = |(number, port): (u8, u16)| {
            TcpListener::bind((Ipv4Addr::new(127, 88, net, number), port)).is_ok()
        };
        if (1..=nodes).flat_map(|number| [(number, CLIENT_PORT), (number, PEER_PORT)]).all(is_free) {
            return Ok(net);
        }
    }
    Err("every network 127.88.x.0 is in use".into())
}
