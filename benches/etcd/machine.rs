//! What the processors did, from `/proc`.

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use super::Outcome;
use super::systems::Cluster;

/// Clock ticks a second in `/proc`; the kernel's interface to user space has it fixed on all usual machines.
const TICKS: f64 = 100.0;

/// The machine, for the head of the report.
pub(crate) struct Machine {
    processors: usize,
    model: String,
}

impl Machine {
    /// Looks at `/proc/cpuinfo`.
    pub(crate) fn look() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name| info.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix(':'));
        Self {
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            model: field("model name").unwrap_or("an unknown processor").trim().to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}", self.processors, self.model)
    }
}

/// Processor time so far: of a cluster, of this program, of everything, in seconds.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    at: Instant,
    cluster: f64,
    own: f64,
    everything: f64,
}

impl Clock {
    /// Reads it.
    pub(crate) fn read(cluster: &Cluster) -> Outcome<Self> {
        let mut of_cluster = 0.0;
        for pid in cluster.pids() {
            of_cluster += process_seconds(&pid.to_string())?;
        }
        Ok(Self {
            at: Instant::now(),
            cluster: of_cluster,
            own: process_seconds("self")?,
            everything: busy_seconds()?,
        })
    }

    /// The cores that the cluster used since `earlier`, and those that neither it nor this program used.
    pub(crate) fn since(&self, earlier: &Self) -> (f64, f64) {
        let seconds = self.at.duration_since(earlier.at).as_secs_f64();
        let (cluster, own) = (self.cluster - earlier.cluster, self.own - earlier.own);
        let rest = self.everything - earlier.everything - cluster - own;
        (cluster / seconds, (rest / seconds).max(0.0))
    }
}

/// What an unloaded cluster uses during `time`.
pub(crate) async fn during(cluster: &Cluster, time: Duration) -> Outcome<(f64, f64)> {
    let before = Clock::read(cluster)?;
    tokio::time::sleep(time).await;
    Ok(Clock::read(cluster)?.since(&before))
}

fn process_seconds(pid: &str) -> Outcome<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the program may hold spaces; the fields after it are numbered from 3.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split_whitespace().collect();
    let ticks = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<f64>().ok());
    let (Some(user), Some(system)) = (ticks(14), ticks(15)) else {
        return Err(format!("/proc/{pid}/stat cannot be read: {stat}").into());
    };
    Ok((user + system) / TICKS)
}

fn busy_seconds() -> Outcome<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let fields: Vec<f64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|text| text.parse().ok())
        .collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = fields[..] else {
        return Err("/proc/stat cannot be read".into());
    };
    Ok((user + nice + system + irq + softirq) / TICKS)
}

/// The memory of a process in MiB, as far as it is resident.
pub(crate) fn memory_mib(pid: u32) -> Outcome<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse::<f64>().ok())
        .ok_or_else(|| format!("/proc/{pid}/status has no VmRSS"))?;
    Ok(kib / 1024.0)
}
