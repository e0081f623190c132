//! The load: some clients, each with one request open, the same for both systems.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tokio::task::LocalSet;

use super::Outcome;
use super::machine::Clock;
use super::systems::{Client, Cluster};

/// The size of a value.
const VALUE_BYTES: usize = 256;
/// The size of a value where entries are to be small.
const SMALL_BYTES: usize = 16;
/// How many keys there are.
const KEYS: u64 = 10_000;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A write of 256 bytes.
    Put,
    /// A write of 16 bytes.
    SmallPut,
    /// A linearizable read.
    Get,
}

/// A load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// What is asked.
    pub(crate) kind: Kind,
    /// By how many clients.
    pub(crate) clients: usize,
    /// At most so many a second in all, evenly spread.
    pub(crate) rate: Option<u64>,
}

/// What a load saw.
pub(crate) struct Run {
    latencies: Vec<Duration>,
    took: Duration,
}

impl Run {
    /// Answers a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }

    /// The latency that so many percent of the requests did not exceed.
    pub(crate) fn percentile_ms(&self, percent: f64) -> f64 {
        let rank = (percent / 100.0 * self.latencies.len() as f64).ceil() as usize;
        self.latencies[rank.clamp(1, self.latencies.len()) - 1].as_secs_f64() * 1e3
    }
}

/// What the clients of a load share.
struct Shared {
    load: Load,
    /// The number of the next request.
    next: Cell<u64>,
    /// No request with this number or a later one.
    count: u64,
    began: Instant,
    until: Option<Instant>,
    latencies: RefCell<Vec<Duration>>,
}

impl Load {
    /// Loads the cluster's leader for a while, after a second that does not count. Also: the cores that the cluster used,
    /// and those that something else used.
    pub(crate) async fn run(self, cluster: &Cluster, time: Duration) -> Outcome<(Run, f64, f64)> {
        self.play(cluster, u64::MAX, Some(Duration::from_secs(1))).await?;
        let clock = Clock::read(cluster)?;
        let run = self.play(cluster, u64::MAX, Some(time)).await?;
        let (used, rest) = Clock::read(cluster)?.since(&clock);
        Ok((run, used, rest))
    }

    /// Sends so many requests.
    pub(crate) async fn count(self, cluster: &Cluster, count: u64) -> Outcome {
        if count > 0 {
            self.play(cluster, count, None).await?;
        }
        Ok(())
    }

    async fn play(self, cluster: &Cluster, count: u64, time: Option<Duration>) -> Outcome<Run> {
        let mut clients = Vec::new();
        for number in 0..self.clients {
            clients.push(cluster.client(number).await?);
        }
        let began = Instant::now();
        let shared = Rc::new(Shared {
            load: self,
            next: Cell::new(0),
            count,
            began,
            until: time.map(|time| began + time),
            latencies: RefCell::default(),
        });
        let tasks = LocalSet::new();
        let running: Vec<_> = clients
            .into_iter()
            .map(|client| tasks.spawn_local(client_loop(client, shared.clone())))
            .collect();
        tasks.await;
        for client in running {
            client.await?.map_err(|error| format!("a client of {}: {error}", cluster.system_name()))?;
        }
        let took = began.elapsed();
        let mut latencies = shared.latencies.take();
        if latencies.is_empty() {
            return Err(format!("{} answered nothing", cluster.system_name()).into());
        }
        latencies.sort_unstable();
        if self.kind != Kind::Get {
            cluster.count_puts(latencies.len() as u64);
        }
        Ok(Run { latencies, took })
    }
}

async fn client_loop(mut client: Client, shared: Rc<Shared>) -> Result<(), String> {
    let size = if shared.load.kind == Kind::SmallPut { SMALL_BYTES } else { VALUE_BYTES };
    let value = Bytes::from(vec![b'v'; size]);
    loop {
        let number = shared.next.get();
        let now = Instant::now();
        let due = match shared.load.rate {
            Some(rate) => shared.began + Duration::from_secs_f64(number as f64 / rate as f64),
            None => now,
        };
        if number >= shared.count || shared.until.is_some_and(|until| due >= until) {
            return Ok(());
        }
        shared.next.set(number + 1);
        // The timer counts in milliseconds, so a client without a rate must not ask it.
        if due > now {
            tokio::time::sleep_until(due.into()).await;
        }
        // Spread over the keys in an order that is no order of the tree.
        let key = format!("k{:05}", number.wrapping_mul(7919) % KEYS);
        let asked = Instant::now();
        let answered = match shared.load.kind {
            Kind::Put | Kind::SmallPut => client.put(&key, value.clone()).await,
            Kind::Get => client.get(&key).await,
        };
        answered.map_err(|error| error.to_string())?;
        shared.latencies.borrow_mut().push(asked.elapsed());
    }
}
