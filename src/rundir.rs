//! The directory of one run: which file holds what, and the order in which they come into being.
//!
//! Invariant: everything that judgement needs is in here, so that `raftcheck check DIR` comes to the same verdict as
//! the run did. Files that grow during the run are JSON lines, so that a run cut off at any byte is still readable.

use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::director::End;
use crate::director::script::Missed;
use crate::events::Calls;

/// The version of the run directory's layout. Readers refuse another one.
pub const FORMAT: u32 = 1;

/// A run directory that exists.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

/// What the harness knows of a run beside the history: `run.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunRecord {
    /// The layout version.
    pub format: u32,
    /// How the run ended.
    pub end: EndRecord,
    /// Completed calls.
    pub calls: Calls,
    /// When each phase began, in nanoseconds since the start of the run, and how many events the history held then.
    pub phases: Vec<PhaseRecord>,
    /// The most memory that the recording process held, in bytes.
    pub peak_memory_bytes: u64,
    /// Nodes that ended although no fault ended them.
    pub unexpected_exits: Vec<ExitRecord>,
    /// From healing to the first acknowledged write, in nanoseconds; `None` if there was none.
    pub recovered_after: Option<u64>,
    /// Why the choreography did not come about, if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
}

/// What is known at the start of a run: `started.json`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Started {
    /// `CLOCK_MONOTONIC_RAW` of the host at time 0 of the run, in nanoseconds: maps trace times to run times.
    pub clock_origin: u64,
    /// The same moment in nanoseconds since 1970.
    pub unix_ns: u64,
}

/// How a run ended, as recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndRecord {
    /// Every phase was carried out.
    Complete,
    /// The user cut it short.
    Interrupted,
    /// The harness failed.
    Failed,
    /// The choreography did not come about.
    Missed,
}

/// The start of a phase.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PhaseRecord {
    /// Which.
    pub phase: crate::events::Phase,
    /// When, in nanoseconds since the start of the run.
    pub at: u64,
    /// The number of history events before it.
    pub events: usize,
}

/// A node that ended by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Which node.
    pub node: String,
    /// When, in nanoseconds since the start of the run.
    pub at: u64,
    /// How.
    pub status: String,
    /// The last lines that it printed.
    pub last: String,
}

impl From<End> for EndRecord {
    fn from(end: End) -> Self {
        match end {
            End::Complete => EndRecord::Complete,
            End::Interrupted => EndRecord::Interrupted,
            End::NeverWarm => EndRecord::Failed,
            End::Missed => EndRecord::Missed,
        }
    }
}

impl RunDir {
    /// Creates `<out>/<suite>/<utc>-s<seed>/` and points `<out>/<suite>/latest` at it.
    pub fn create(out: &Path, suite: &str, seed: u64) -> io::Result<Self> {
        let parent = out.join(suite);
        fs::create_dir_all(&parent).map_err(|error| named(&parent, error))?;
        let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let base = format!("{stamp}-s{seed}");
        for attempt in 0..1000 {
            let name = if attempt == 0 { base.clone() } else { format!("{base}.{attempt}") };
            let path = parent.join(&name);
            match fs::create_dir(&path) {
                Ok(()) => {
                    point_latest(&parent, &name)?;
                    return Ok(Self { path: path.canonicalize()? });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(named(&path, error)),
            }
        }
        Err(io::Error::other(format!("no free run directory name beside {}", parent.join(base).display())))
    }

    /// Opens a run directory that exists.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        if !path.join("plan.json").is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is not a run directory: it has no plan.json", path.display()),
            ));
        }
        Ok(Self { path })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file of it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The directories of the nodes, by node name, sorted.
    pub fn node_dirs(&self) -> io::Result<Vec<(String, PathBuf)>> {
        let mut dirs = Vec::new();
        let nodes = match fs::read_dir(self.path.join("nodes")) {
            Ok(nodes) => nodes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(dirs),
            Err(error) => return Err(error),
        };
        for entry in nodes {
            let entry = entry?;
            dirs.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
        dirs.sort();
        Ok(dirs)
    }

    /// Writes a JSON file in one piece.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(value)?;
        text.push(b'\n');
        let path = self.file(name);
        let temporary = self.file(&format!(".{name}.tmp"));
        let written = File::create(&temporary)
            .and_then(|mut file| file.write_all(&text))
            .and_then(|()| fs::rename(&temporary, &path));
        written.map_err(|error| {
            // Half a file helps nobody, and on a full disk its place does.
            let _ = fs::remove_file(&temporary);
            named(&path, error)
        })
    }

    /// Reads a JSON file; the error names the file.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> io::Result<T> {
        let path = self.file(name);
        let file = File::open(&path).map_err(|error| named(&path, error))?;
        serde_json::from_reader(BufReader::new(file)).map_err(|error| named(&path, error.into()))
    }
}

/// The same error, with the file's name in front.
pub fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn point_latest(parent: &Path, name: &str) -> io::Result<()> {
    // The run's own name: runs of one suite may start side by side.
    let temporary = parent.join(format!(".latest-{name}"));
    let _ = fs::remove_file(&temporary);
    symlink(name, &temporary)?;
    fs::rename(temporary, parent.join("latest"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn runs_of_one_suite_that_start_together_do_not_disturb_each_other() {
        let out = tempfile::tempdir().unwrap();
        let made: Vec<PathBuf> = std::thread::scope(|scope| {
            let run =
                || (0..50).map(|_| RunDir::create(out.path(), "s", 1).unwrap().path).collect::<Vec<_>>();
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), 200, "each has its own directory");
        let latest = out.path().join("s/latest").canonicalize().unwrap();
        assert!(made.contains(&latest), "{}", latest.display());
    }
}
