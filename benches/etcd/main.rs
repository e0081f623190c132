//! The bundled node beside Debian's etcd, in one run on one disk: `cargo bench --bench etcd`.
//!
//! Both clusters run at the same time and are loaded in turn, by one client program that speaks HTTP/1.1 to the bundled
//! node and gRPC to etcd, with the same number of requests open. Every answer is checked to be a success.
//! Invariant: nothing is installed and nothing is left running; where etcd is missing only the bundled node is
//! measured. A ratio is only printed where the rest of the machine was quiet during both sides of it.
//! Deliberately without assertions: these are measurements, and machines differ.

mod figures;
mod grpc;
mod http;
mod load;
mod machine;
mod systems;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use figures::{Better, Report};
use load::{Kind, Load};
use machine::Machine;
use systems::{Cluster, System, Timers};

/// Measures the bundled node beside etcd
#[derive(Clone, Parser)]
struct Cli {
    /// What to measure; everything if absent
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Figure>,
    /// How often each figure is measured on each side
    #[arg(long, default_value_t = 5)]
    turns: usize,
    /// How long each load lasts
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Where the data is kept: decides which disk is measured
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    dir: PathBuf,
    /// The bundled node's executable
    #[arg(long, default_value = env!("CARGO_BIN_EXE_raftcheck"))]
    program: PathBuf,
    /// Quote ratios although other work was going on
    #[arg(long)]
    busy: bool,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Figure {
    /// Puts with 64 clients and with one, gets with 64
    Throughput,
    /// The cores of all nodes at 1,000 puts/s
    Cpu,
    /// Memory of a fresh node and after 100,000 puts, and what an idle node costs
    Idle,
    /// From the start of the processes to the first acknowledged put
    Start,
    /// From kill -9 of the leader to the next acknowledged put
    Failover,
    /// 5, 7 and 9 nodes
    Sizes,
    /// Restart with 1,000,000 entries and with a snapshot (the bundled node alone)
    Restart,
}

impl Cli {
    fn wants(&self, figure: Figure) -> bool {
        self.only.is_empty() || self.only.contains(&figure)
    }

    fn sides(&self) -> Vec<System> {
        let etcd = systems::etcd_version();
        match &etcd {
            Some(version) => println!("etcd {version} beside raftcheck {}", env!("CARGO_PKG_VERSION")),
            None => {
                println!("etcd is not installed (Debian: apt-get install etcd-server): it is not measured")
            }
        }
        let bundled = System::Bundled { program: self.program.clone() };
        if etcd.is_some() { vec![bundled, System::Etcd] } else { vec![bundled] }
    }

    fn seconds(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let cli = Cli::parse();
    let sides = cli.sides();
    let machine = Machine::look();
    println!("{machine}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = Report::new(cli.busy);
    runtime.block_on(async {
        if [Figure::Throughput, Figure::Cpu, Figure::Idle].into_iter().any(|figure| cli.wants(figure)) {
            steady(&cli, &sides, &mut report).await?;
        }
        if cli.wants(Figure::Start) {
            start(&cli, &sides, &mut report).await?;
        }
        if cli.wants(Figure::Failover) {
            failover(&cli, &sides, &mut report).await?;
        }
        if cli.wants(Figure::Sizes) {
            sizes(&cli, &sides, &mut report).await?;
        }
        if cli.wants(Figure::Restart) {
            restart(&cli, &sides[0], &mut report).await?;
        }
        Outcome::Ok(())
    })?;
    println!("\n{report}");
    Ok(())
}

/// What is measured on clusters that keep running.
async fn steady(cli: &Cli, sides: &[System], report: &mut Report) -> Outcome {
    let mut clusters = Vec::new();
    for system in sides {
        clusters.push(Cluster::start(system, 3, Timers::Default, &cli.dir).await?);
    }
    if cli.wants(Figure::Idle) {
        for cluster in &clusters {
            report.add("memory of a fresh node", "MiB", Better::Less, cluster, cluster.memory_mib()?);
        }
        for _ in 0..cli.turns {
            for cluster in &clusters {
                let (used, rest) = machine::during(cluster, cli.seconds()).await?;
                report.add_beside(
                    "an idle node",
                    "% of a core",
                    Better::Less,
                    cluster,
                    used * 100.0 / 3.0,
                    rest,
                );
            }
        }
    }
    if cli.wants(Figure::Throughput) {
        throughput(cli, &mut clusters, report).await?;
    }
    if cli.wants(Figure::Cpu) {
        for _ in 0..cli.turns {
            for cluster in &clusters {
                let load = Load { kind: Kind::Put, clients: 64, rate: Some(1000) };
                let (run, used, rest) = load.run(cluster, cli.seconds()).await?;
                let name = "cores of all nodes at 1,000 puts/s";
                report.add_beside(name, "", Better::Less, cluster, used, rest);
                report.add_beside("puts/s in that load", "", Better::None, cluster, run.per_second(), rest);
            }
        }
    }
    if cli.wants(Figure::Idle) {
        for cluster in &clusters {
            let load = Load { kind: Kind::Put, clients: 64, rate: None };
            let missing = 100_000_u64.saturating_sub(cluster.puts());
            load.count(cluster, missing).await?;
            report.add(
                "memory after 100,000 puts or more",
                "MiB",
                Better::Less,
                cluster,
                cluster.memory_mib()?,
            );
        }
    }
    Ok(())
}

async fn throughput(cli: &Cli, clusters: &mut [Cluster], report: &mut Report) -> Outcome {
    for cluster in clusters.iter_mut() {
        cluster.calibrate().await?;
    }
    let loads = [("puts", Kind::Put, 64), ("puts", Kind::Put, 1), ("linearizable gets", Kind::Get, 64)];
    for (what, kind, clients) in loads {
        for _ in 0..cli.turns {
            for cluster in clusters.iter() {
                let load = Load { kind, clients, rate: None };
                let (run, _, rest) = load.run(cluster, cli.seconds()).await?;
                let name = |figure: &str| format!("{what}, {clients} clients: {figure}");
                report.add_beside(name("rate"), "/s", Better::More, cluster, run.per_second(), rest);
                for (percent, label) in [(50.0, "p50"), (99.0, "p99"), (99.9, "p99.9")] {
                    report.add_beside(
                        name(label),
                        "ms",
                        Better::Less,
                        cluster,
                        run.percentile_ms(percent),
                        rest,
                    );
                }
            }
        }
    }
    Ok(())
}

/// Fresh clusters, each from the start of its processes to its first acknowledged put.
async fn start(cli: &Cli, sides: &[System], report: &mut Report) -> Outcome {
    for _ in 0..cli.turns {
        for system in sides {
            let cluster = Cluster::start(system, 3, Timers::Default, &cli.dir).await?;
            report.add("start to first put", "ms", Better::Less, &cluster, cluster.started_in_ms());
        }
    }
    Ok(())
}

async fn failover(cli: &Cli, sides: &[System], report: &mut Report) -> Outcome {
    for timers in [Timers::Default, Timers::Short] {
        for _ in 0..cli.turns {
            for system in sides {
                let mut cluster = Cluster::start(system, 3, timers, &cli.dir).await?;
                let name = format!("leader killed to next put, {timers}");
                let took = cluster.fail_over().await?;
                report.add(name, "ms", Better::Less, &cluster, took.as_secs_f64() * 1e3);
            }
        }
    }
    Ok(())
}

async fn sizes(cli: &Cli, sides: &[System], report: &mut Report) -> Outcome {
    for nodes in [3, 5, 7, 9] {
        for system in sides {
            let mut cluster = Cluster::start(system, nodes, Timers::Default, &cli.dir).await?;
            cluster.calibrate().await?;
            for _ in 0..cli.turns {
                let load = Load { kind: Kind::Put, clients: 64, rate: None };
                let (run, _, rest) = load.run(&cluster, cli.seconds()).await?;
                let name = format!("puts, 64 clients, {nodes} nodes: rate");
                report.add_beside(name, "/s", Better::More, &cluster, run.per_second(), rest);
            }
        }
    }
    Ok(())
}

/// One node with 1,000,000 small entries, from its start to its first answer.
async fn restart(cli: &Cli, bundled: &System, report: &mut Report) -> Outcome {
    for (name, rules) in
        [("restart, 1,000,000 entries in the log", "snapshot=off"), ("restart with a snapshot", "")]
    {
        let rules: Vec<String> = rules.split_whitespace().map(str::to_owned).collect();
        let mut cluster = Cluster::start_with(bundled, 1, Timers::Default, &cli.dir, &rules).await?;
        Load { kind: Kind::SmallPut, clients: 256, rate: None }.count(&cluster, 1_000_000).await?;
        for _ in 0..cli.turns {
            let took = cluster.restart().await?;
            report.add(name, "ms", Better::Less, &cluster, took.as_secs_f64() * 1e3);
        }
    }
    Ok(())
}

/// The series of a figure is kept by the name of its system.
impl figures::Named for Cluster {
    fn side(&self) -> &'static str {
        self.system_name()
    }
}
