//! Clusters of real node processes on loopback addresses, and a plain HTTP client for them.
//!
//! Each cluster has loopback addresses of its own, so the ports can be the default ones.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The variable that carries a node's arguments, separated by line feeds.
pub(crate) const NODE_ARGS: &str = "RAFTKV_TEST_NODE_ARGS";
/// Longer than anything here takes; reached only by a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many addresses a cluster has at its disposal.
const BLOCK: u32 = 16;

/// The addresses of one cluster: a block of 127.0.0.0/8 that no other cluster on this machine has at the same time, in
/// this process or in another.
pub(crate) struct Addresses {
    first: u32,
    count: u8,
    /// Holds the block: nobody else can listen there. The kernel lets it go when the process ends, however that does.
    _claim: TcpListener,
}

impl Addresses {
    /// Claims addresses for `count` nodes.
    pub(crate) fn new(count: u8) -> Self {
        assert!(u32::from(count) < BLOCK);
        // From 127.64.0.0 to 127.191.255.255. Processes begin to look at different places.
        let (lowest, blocks) = (u32::from(Ipv4Addr::new(127, 64, 0, 0)), (1 << 23) / BLOCK);
        let begin = std::process::id().wrapping_mul(0x9e37_79b9) % blocks;
        let claims = (0..blocks).map(|tried| lowest + (begin + tried) % blocks * BLOCK);
        let claim = |first| Some((first, TcpListener::bind((Ipv4Addr::from(first), 7000)).ok()?));
        let (first, claim) = claims.into_iter().find_map(claim).expect("a free block of loopback addresses");
        Self { first, count, _claim: claim }
    }

    /// The client address of node `id`.
    pub(crate) fn client(&self, id: u8) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::from(self.first + u32::from(id)), 7001))
    }

    /// The value of `--members`.
    pub(crate) fn members(&self) -> String {
        self.first_members(self.count)
    }

    fn first_members(&self, count: u8) -> String {
        let member = |id| format!("n{id}={}", self.client(id).ip());
        (1..=count).map(member).collect::<Vec<_>>().join(",")
    }
}

/// Node processes that die with the test.
pub(crate) struct Cluster {
    pub(crate) addresses: Addresses,
    /// How many of the nodes are members from the start; the others join.
    pub(crate) first: u8,
    dir: tempfile::TempDir,
    children: Vec<Option<Child>>,
    /// Further arguments of every node.
    pub(crate) extra: Vec<String>,
    /// The longest file that a node may write.
    pub(crate) file_size_max: Option<u64>,
}

impl Cluster {
    pub(crate) fn new(count: u8) -> Self {
        Self {
            addresses: Addresses::new(count),
            first: count,
            dir: tempfile::tempdir().unwrap(),
            children: (0..count).map(|_| None).collect(),
            extra: Vec::new(),
            file_size_max: None,
        }
    }

    /// All nodes run, with these further arguments, which are parted by blanks.
    pub(crate) fn started(count: u8, extra: &str) -> Self {
        let mut cluster = Self::new(count);
        cluster.extra = extra.split_whitespace().map(str::to_owned).collect();
        cluster.ids().for_each(|id| cluster.start(id));
        cluster
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = u8> + use<> {
        1..=self.children.len() as u8
    }

    pub(crate) fn data_dir(&self, id: u8) -> PathBuf {
        self.dir.path().join(format!("n{id}"))
    }

    pub(crate) fn trace(&self, id: u8) -> PathBuf {
        self.dir.path().join(format!("n{id}.jsonl"))
    }

    pub(crate) fn log(&self, id: u8) -> String {
        std::fs::read_to_string(self.dir.path().join(format!("n{id}.log"))).unwrap_or_default()
    }

    pub(crate) fn args(&self, id: u8) -> Vec<String> {
        let mut args: Vec<String> =
            ["--id", &format!("n{id}"), "--members", &self.addresses.first_members(self.first)]
                .map(str::to_owned)
                .to_vec();
        if id > self.first {
            args.extend([
                "--join".to_owned(),
                "--bind".to_owned(),
                self.addresses.client(id).ip().to_string(),
            ]);
        }
        args.extend(["--data-dir".to_owned(), self.data_dir(id).display().to_string()]);
        args.extend(["--trace".to_owned(), self.trace(id).display().to_string()]);
        if !self.trace(id).exists() {
            // Its first start.
            args.push("--bootstrap".to_owned());
        }
        args.extend(self.extra.iter().cloned());
        args
    }

    pub(crate) fn start(&mut self, id: u8) {
        let log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.dir.path().join(format!("n{id}.log")));
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "node_process", "--nocapture"])
            .env(NODE_ARGS, self.args(id).join("\n"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap());
        let file_size_max = self.file_size_max;
        // SAFETY: between fork and exec only calls that POSIX lists as async-signal-safe, or bare system calls.
        unsafe {
            command.pre_exec(move || {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                if let Some(max) = file_size_max {
                    libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
                    libc::setrlimit(libc::RLIMIT_FSIZE, &libc::rlimit { rlim_cur: max, rlim_max: max });
                }
                Ok(())
            });
        }
        self.children[usize::from(id) - 1] = Some(command.spawn().unwrap());
    }

    fn take(&mut self, id: u8) -> Child {
        self.children[usize::from(id) - 1].take().expect("the node runs")
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, id: u8) {
        let mut child = self.take(id);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM.
    pub(crate) fn terminate(&mut self, id: u8) -> ExitStatus {
        let mut child = self.take(id);
        // SAFETY: a plain system call on a child that was not waited for yet.
        assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGTERM) }, 0);
        child.wait().unwrap()
    }

    /// SIGSTOP: it does nothing any more, and its kernel goes on taking connections for it.
    pub(crate) fn pause(&self, id: u8) {
        let child = self.children[usize::from(id) - 1].as_ref().expect("the node runs");
        // SAFETY: a plain system call on a child that was not waited for yet.
        assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGSTOP) }, 0);
    }

    /// Waits until a node ends by itself.
    pub(crate) fn wait(&mut self, id: u8) -> ExitStatus {
        let mut child = self.take(id);
        until("the node ends", || child.try_wait().unwrap())
    }

    pub(crate) fn request(&self, id: u8, method: &str, path: &str, body: &str) -> Option<Response> {
        request(self.addresses.client(id), method, path, &[], body)
    }

    pub(crate) fn status(&self, id: u8) -> Option<Value> {
        self.request(id, "GET", "/status", "").map(|response| response.json())
    }

    /// Waits for a leader that a majority of the running nodes follows.
    pub(crate) fn leader(&self) -> u8 {
        until("there is a leader", || {
            let statuses: Vec<Value> = self.ids().filter_map(|id| self.status(id)).collect();
            let leader = statuses.iter().find(|status| status["role"] == "leader")?;
            let follows =
                |status: &&Value| status["leader"] == leader["id"] && status["term"] == leader["term"];
            let majority = statuses.iter().filter(follows).count() * 2 > self.children.len();
            majority.then(|| leader["id"].as_str().unwrap()[1..].parse().unwrap())
        })
    }

    /// A node that does not lead and knows who does.
    pub(crate) fn follower(&self) -> u8 {
        let leader = self.leader();
        let follows = |id: &u8| {
            self.status(*id).is_some_and(|status| status["leader"] == format!("n{leader}").as_str())
        };
        until("a follower knows its leader", || self.ids().find(|id| *id != leader && follows(id)))
    }

    /// Asks whoever leads, until the answer is neither a redirect nor a failure.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        until("an answer", || {
            let address = self.addresses.client(self.leader());
            request(address, method, path, headers, body)
                .filter(|response| matches!(response.status, 200 | 400..=409))
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.children.iter_mut().flatten() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for id in self.ids() {
                eprintln!("--- n{id}\n{}", self.log(id));
            }
        }
    }
}

/// Tries again until there is a result.
pub(crate) fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// One request on a connection of its own. `None` if there is no whole response.
pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<Response> {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nhost: n\r\nconnection: close\r\n{lines}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    raw(address, text.as_bytes())
}

/// Sends bytes and reads a response.
pub(crate) fn raw(address: SocketAddr, bytes: &[u8]) -> Option<Response> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(12))).ok()?;
    // A server that refuses early may close before everything is written.
    let _ = stream.write_all(bytes);
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let status = line.split_whitespace().nth(1)?.parse().ok()?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None => break,
        }
    }
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some(Response { status, headers, body: String::from_utf8(body).ok()? })
}
