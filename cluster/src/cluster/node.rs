//! One host of a cluster, and what runs on it.
//!
//! Invariant: at most one process at a time; its directory is changed only under `changing`.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::mount::{MsFlags, mount};

use crate::clock::NodeClock;
use crate::disk::Disk;
use crate::levers::ProcessState;
use crate::limits::Limited;
use crate::logs;
use crate::process::{NodeProcess, Place};
use crate::start::{StartAs, Twin, TwinData};
use crate::system::{Entry, NodeId, NodeSpec, Start};

use super::{Clocks, ClusterOptions, Medium};

/// A host and its node.
pub(super) struct Node {
    /// What it is, apart from what later starts made of it.
    spec: NodeSpec,
    pub(super) place: Place,
    /// Where its copies of data lie.
    pub(super) copies: std::path::PathBuf,
    pub(super) mounted: bool,
    pub(super) disk: Option<Disk>,
    /// Its clocks, if it does not go by the host's.
    pub(super) clock: Option<NodeClock>,
    /// What its process may use of the machine, if that is limited.
    pub(super) limited: Limited,
    process: Mutex<Option<Arc<NodeProcess>>>,
    persona: Mutex<Persona>,
    /// Held while the node is started or its files are edited.
    pub(super) changing: tokio::sync::Mutex<()>,
}

/// What a host is started as, from one start to the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Persona {
    /// Rules of its own.
    pub(super) rules: Vec<(String, String)>,
    /// Whose twin it is.
    pub(super) twin: Option<Twin>,
    /// The name of its cluster, where it is not the one of all.
    pub(super) cluster: Option<String>,
    /// The first members of its cluster, where they are not those of all.
    pub(super) members: Option<Vec<NodeId>>,
}

impl Persona {
    /// What the host is from a start on.
    pub(super) fn started(&self, how: &StartAs) -> Self {
        let own = self.clone();
        Self {
            rules: how.rules.clone().unwrap_or(own.rules),
            twin: how.twin.or(own.twin),
            cluster: how.cluster.clone().or(own.cluster),
            members: how.members.clone().or(own.members),
        }
    }
}

/// The hosts that a node knows of.
pub(super) struct Hosting<'a> {
    pub(super) members: &'a [(NodeId, IpAddr)],
    pub(super) hosts: &'a [(NodeId, IpAddr)],
}

impl Node {
    pub(super) fn prepare(
        (id, address): (NodeId, IpAddr),
        all: &Hosting<'_>,
        run_dir: &Path,
        options: &ClusterOptions,
    ) -> io::Result<Self> {
        let directory = run_dir.join("nodes").join(id.to_string());
        let data_dir = directory.join("data");
        fs::create_dir_all(&data_dir)?;
        let mounted = options.medium == Medium::Memory;
        if mounted {
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
            mount(Some("tmpfs"), &data_dir, Some("tmpfs"), flags, Some("mode=0700"))?;
        }
        let disk = match options.medium {
            Medium::Failing(how) => {
                Some(Disk::mount(&data_dir, how.metadata, node_seed(options.seed ^ DISK_SEED, id))?)
            }
            Medium::Disk | Medium::Memory => None,
        };
        let spare = !all.members.iter().any(|(member, _)| *member == id);
        let entry = if spare { Entry::Joins } else { Entry::Initial };
        let spec = NodeSpec {
            id,
            address,
            members: all.members.to_vec(),
            hosts: all.hosts.to_vec(),
            data_dir,
            trace_file: directory.join("trace.jsonl"),
            seed: node_seed(options.seed, id),
            start: Start { entry, ..Start::default() },
        };
        let copies = directory.join("copies");
        let place =
            Place { stdout: directory.join("stdout.log"), stderr: directory.join("stderr.log"), directory };
        let clock = match options.clocks {
            Clocks::Host => None,
            Clocks::PerNode => Some(NodeClock::new()?),
        };
        let rules = options.rules.iter().filter(|(node, _)| *node == id);
        let rules = rules.flat_map(|(_, rules)| rules.iter().cloned()).collect();
        let persona = Mutex::new(Persona { rules, ..Persona::default() });
        let (process, limited, changing) =
            (Mutex::default(), Limited::default(), tokio::sync::Mutex::default());
        Ok(Self { spec, place, copies, mounted, disk, clock, limited, process, persona, changing })
    }

    /// The host's own number, whoever runs on it.
    pub(super) fn host(&self) -> NodeId {
        self.spec.id
    }

    /// The directory of the host.
    pub(super) fn data_dir(&self) -> &Path {
        &self.spec.data_dir
    }

    /// What it is at present.
    pub(super) fn spec(&self, nodes: &[Node]) -> NodeSpec {
        let persona = self.persona().clone();
        let mut spec = self.spec.clone();
        spec.start.rules = persona.rules;
        spec.start.cluster = persona.cluster;
        if let Some(twin) = persona.twin {
            spec.id = twin.of;
            let original = nodes.iter().find(|node| node.host() == twin.of);
            if let Some(original) = original {
                spec.start.entry = original.spec.start.entry;
                if twin.data == TwinData::Shared {
                    spec.data_dir = original.spec.data_dir.clone();
                }
            }
        }
        if let Some(members) = persona.members {
            spec.members = spec.hosts.iter().filter(|(host, _)| members.contains(host)).copied().collect();
            spec.start.entry = if members.contains(&spec.id) { Entry::Initial } else { Entry::Joins };
        }
        spec
    }

    pub(super) fn persona(&self) -> MutexGuard<'_, Persona> {
        self.persona.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Option<Arc<NodeProcess>>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process, unless all of it is gone.
    pub(super) fn running(&self) -> Option<Arc<NodeProcess>> {
        self.lock().as_ref().filter(|process| process.exit_status().is_none()).map(Arc::clone)
    }

    /// Whether all of its process is gone. Where the kernel has ended the leader, the rest is waited for: whoever looked saw
    /// a node that is down.
    pub(super) async fn is_down(&self) -> bool {
        let Some(process) = self.running() else { return true };
        process.state() == ProcessState::Down
            && tokio::time::timeout(super::SETTLE_LIMIT, process.exited()).await.is_ok()
    }

    /// The errors that its disk has given so far.
    pub(super) fn disk_errors(&self) -> u64 {
        self.disk.as_ref().map_or(0, |disk| disk.state().stats.errors())
    }

    pub(super) fn last_output(&self) -> String {
        let tail = |path: &Path| logs::last_lines(path, logs::TAIL_LINES);
        [tail(&self.place.stdout), tail(&self.place.stderr)].concat()
    }

    /// How much it has printed so far.
    pub(super) fn printed(&self) -> [u64; 2] {
        [&self.place.stdout, &self.place.stderr].map(|path| fs::metadata(path).map_or(0, |file| file.len()))
    }

    /// The last lines that it printed since then.
    pub(super) fn printed_since(&self, before: [u64; 2]) -> String {
        let [stdout, stderr] = before;
        let since = |path: &Path, offset| logs::lines_since(path, offset, logs::TAIL_LINES);
        [since(&self.place.stdout, stdout), since(&self.place.stderr, stderr)].concat().join("\n")
    }
}

/// Keeps the seeds of the disks apart from those of the nodes.
const DISK_SEED: u64 = 0x6469_736b;

/// Differs between runs and nodes (the finalizer of splitmix64).
fn node_seed(seed: u64, node: NodeId) -> u64 {
    let mut z = seed.wrapping_add(u64::from(node.0).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
