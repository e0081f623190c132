//! Reading what a run left behind, however it ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use checker::history::History;
use checker::history::jsonl::{self, Ending};
use checker::trace::{Trace, TraceBuilder};
use cluster::system::NodeId;
use nemesis::target::Effect;

use super::FaultCounts;
use crate::director::script::StoryLine;
use crate::events::Phase;
use crate::inside::faults::{FaultEvent, FaultLine};
use crate::inside::memory::{MEMORY, MemorySample};
use crate::inside::trace_file;
use crate::plan::Plan;
use crate::rundir::{RunDir, RunRecord, Started, named};

/// Everything that is judged.
#[derive(Default)]
pub struct Recorded {
    /// What the clients saw.
    pub history: History,
    /// What the nodes wrote down.
    pub trace: Trace,
    /// What was done to the cluster.
    pub faults: FaultsRecord,
    /// The steps of the choreography, as far as they were taken.
    pub steps: Vec<StoryLine>,
    /// What the nodes held in memory.
    pub memory: Vec<MemorySample>,
    /// `None` if the recording process did not live to write it.
    pub record: Option<RunRecord>,
    /// Why there is no verdict on anything, if there is none.
    pub damage: Option<String>,
    /// Why the traces cannot be judged, if they cannot.
    pub trace_damage: Option<String>,
    /// What a reader should know.
    pub remarks: Vec<String>,
}

/// What became of the faults.
#[derive(Default)]
pub struct FaultsRecord {
    /// How many of each kind of end.
    pub counts: FaultCounts,
    /// The lines of `faults.jsonl`.
    pub lines: Vec<FaultLine>,
}

impl Recorded {
    /// The position in the history at which the final reads begin.
    pub(super) fn final_reads_from(&self) -> Option<usize> {
        let phases = &self.record.as_ref()?.phases;
        phases.iter().find(|phase| phase.phase == Phase::FinalReads).map(|phase| phase.events)
    }
}

/// Reads the run directory. Never fails: what cannot be read is said in the result.
pub(super) fn read(dir: &RunDir) -> Recorded {
    let mut recorded = Recorded::default();
    match dir.read_json::<RunRecord>("run.json") {
        Ok(record) => recorded.record = Some(record),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            recorded.remarks.push("the recording process ended before the run did".to_owned());
        }
        Err(error) => recorded.damage = Some(error.to_string()),
    }
    read_history(dir, &mut recorded);
    read_faults(dir, &mut recorded);
    read_steps(dir, &mut recorded);
    read_memory(dir, &mut recorded);
    read_traces(dir, &mut recorded);
    recorded
}

fn read_history(dir: &RunDir, recorded: &mut Recorded) {
    let path = dir.file("history.jsonl");
    let mut lines = match Lines::open(&path) {
        Ok(Some(lines)) => lines,
        Ok(None) => return recorded.damage = Some("no history was recorded".to_owned()),
        Err(error) => return recorded.damage = Some(error.to_string()),
    };
    let read = jsonl::read(lines.by_ref());
    match (read, lines.finish()) {
        (Ok((history, ending)), Ok(())) => {
            recorded.history = history;
            if let Ending::Truncated(line) = ending {
                recorded
                    .remarks
                    .push(format!("the history is cut off in line {line}; it was judged up to there"));
            }
        }
        (Err(error), _) => recorded.damage = Some(format!("{}: {error}", path.display())),
        (_, Err(error)) => recorded.damage = Some(error),
    }
}

fn read_faults(dir: &RunDir, recorded: &mut Recorded) {
    let Ok(Some(lines)) = Lines::open(&dir.file("faults.jsonl")) else { return };
    let mut installed: BTreeMap<u64, String> = BTreeMap::new();
    let mut indeterminate = BTreeSet::new();
    let mut idle = BTreeSet::new();
    // A cut last line is a fault that was not recorded, no more.
    for line in lines.filter_map(|line| serde_json::from_slice::<FaultLine>(&line).ok()) {
        recorded.faults.lines.push(line.clone());
        match line.event {
            FaultEvent::Installed { .. } => {
                drop(installed.insert(line.id, format!("{} {}", line.fault, line.what)))
            }
            FaultEvent::Skipped { .. } => recorded.faults.counts.skipped += 1,
            FaultEvent::Indeterminate { .. } => drop(indeterminate.insert(line.id)),
            FaultEvent::Undone { effect: Effect::None(why), .. } => {
                if let Some(fault) = installed.get(&line.id) {
                    idle.insert(line.id);
                    recorded.remarks.push(format!("{fault} had no effect: {why}"));
                }
            }
            FaultEvent::Undone { .. } => {}
            FaultEvent::Stuck { why } => {
                recorded
                    .remarks
                    .push(format!("{} {} could not be undone at first: {why}", line.fault, line.what));
            }
        }
    }
    let counts = &mut recorded.faults.counts;
    counts.idle = idle.len() as u64;
    counts.installed = installed.len() as u64 - counts.idle;
    counts.indeterminate = indeterminate.len() as u64;
}

fn read_steps(dir: &RunDir, recorded: &mut Recorded) {
    let Ok(Some(lines)) = Lines::open(&dir.file("steps.jsonl")) else { return };
    // A cut last line is a step that was not recorded, no more.
    recorded.steps = lines.filter_map(|line| serde_json::from_slice(&line).ok()).collect();
}

fn read_memory(dir: &RunDir, recorded: &mut Recorded) {
    let Ok(Some(lines)) = Lines::open(&dir.file(MEMORY)) else { return };
    // A cut last line is a sample less, no more.
    recorded.memory = lines.filter_map(|line| serde_json::from_slice(&line).ok()).collect();
}

fn read_traces(dir: &RunDir, recorded: &mut Recorded) {
    let origin = match dir.read_json::<Started>("started.json") {
        Ok(started) => started.clock_origin,
        Err(_) => return,
    };
    let mut builder = TraceBuilder::new(origin);
    let nodes = match dir.node_dirs() {
        Ok(nodes) => nodes,
        Err(error) => {
            recorded.trace_damage = Some(error.to_string());
            return;
        }
    };
    let hosts = spares(dir);
    let twins = recorded.faults.lines.iter().any(|line| line.fault == TWIN);
    let mut without = Vec::new();
    let count = nodes.len();
    for (node, directory) in nodes {
        // A choreography that starts a twin tells of two processes under one name, and wants them judged as that node.
        let host = twins.then_some(node.as_str());
        match read_trace(&mut builder, &node, host, &trace_file(&directory)) {
            Ok(Found::Trace) => {}
            // A spare host that nobody started had no process that could have told anything, and a twin that found the data
            // locked ended before it had anything to tell.
            Ok(Found::Nothing)
                if hosts.contains(&node) && (twins || !directory.join("stderr.log").exists()) => {}
            Ok(Found::Nothing) => without.push(node),
            Err(error) => recorded.trace_damage = Some(error),
        }
    }
    // A store without traces has none at all. Where only some are missing, what they would have told is.
    if !without.is_empty() && without.len() < count {
        recorded.trace_damage.get_or_insert(format!("there is no trace of {}", without.join(", ")));
    }
    recorded.trace = builder.finish();
}

/// The fault that starts nodes a second time, on spare hosts.
const TWIN: &str = "twin";

/// The hosts of the run that were no members at first.
fn spares(dir: &RunDir) -> BTreeSet<String> {
    let Ok(plan) = dir.read_json::<Plan>("plan.json") else { return BTreeSet::new() };
    let (nodes, spares) = (plan.suite.system.nodes, plan.suite.system.spares);
    (1..=spares).map(|number| NodeId(nodes + number).to_string()).collect()
}

/// Whether a node left a trace.
enum Found {
    Trace,
    Nothing,
}

fn read_trace(
    builder: &mut TraceBuilder,
    node: &str,
    host: Option<&str>,
    path: &Path,
) -> Result<Found, String> {
    let Some(mut lines) = Lines::open(path).map_err(|error| error.to_string())? else {
        return Ok(Found::Nothing);
    };
    let source = format!("the trace of {node}");
    let read = match host {
        Some(host) => builder.read_of_host(&source, host, lines.by_ref()),
        None => builder.read(&source, lines.by_ref()),
    };
    read.map_err(|error| error.to_string())?;
    lines.finish().map(|()| Found::Trace)
}

/// The lines of a file, one at a time: traces are large.
struct Lines {
    reader: BufReader<File>,
    path: PathBuf,
    error: Option<io::Error>,
}

impl Lines {
    /// The file's lines; `None` if it does not exist.
    fn open(path: &Path) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => Ok(Some(Self { reader: BufReader::new(file), path: path.to_owned(), error: None })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(named(path, error)),
        }
    }

    /// Ok if everything was read.
    fn finish(self) -> Result<(), String> {
        self.error.map_or(Ok(()), |error| Err(named(&self.path, error).to_string()))
    }
}

impl Iterator for Lines {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        match self.reader.read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => Some(line),
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_that_is_missing_is_missed() {
        let boot = "{\"t\":1,\"n\":\"n1\",\"term\":0,\"ev\":\"boot\",\"boot\":1}\n";
        let damage = |traces: &[&str]| {
            let out = tempfile::tempdir().unwrap();
            let dir = RunDir::create(out.path(), "s", 1).unwrap();
            dir.write_json("started.json", &serde_json::json!({ "clock_origin": 0, "unix_ns": 0 })).unwrap();
            for node in ["n1", "n2", "n3"] {
                let directory = dir.file("nodes").join(node);
                std::fs::create_dir_all(&directory).unwrap();
                if traces.contains(&node) {
                    std::fs::write(trace_file(&directory), boot).unwrap();
                }
            }
            let mut recorded = Recorded::default();
            read_traces(&dir, &mut recorded);
            (recorded.trace_damage, recorded.trace.events.len())
        };
        assert_eq!(damage(&["n1", "n2", "n3"]), (None, 3));
        assert_eq!(damage(&[]), (None, 0));
        assert_eq!(damage(&["n1", "n3"]), (Some("there is no trace of n2".to_owned()), 2));
    }

    /// Two members and a spare host, n3.
    #[test]
    fn a_spare_host_without_a_process_misses_no_trace_and_one_with_a_process_does() {
        let text = "version: 1\nname: s\nsystem: { use: raftkv, nodes: 2, spares: 1 }\nsteps:\n  - campaign: n1\n\
                    checks: [election-safety]\nexpect: safe\n";
        let suite = crate::suite::read("s.yaml", text.as_bytes(), &[], &crate::suite::vocabulary()).unwrap();
        let out = tempfile::tempdir().unwrap();
        let dir = RunDir::create(out.path(), "s", 1).unwrap();
        dir.write_json("started.json", &serde_json::json!({ "clock_origin": 0, "unix_ns": 0 })).unwrap();
        dir.write_json("plan.json", &Plan::draw(suite, "raftcheck run s.yaml", &[], 1).unwrap()).unwrap();
        for node in ["n1", "n2", "n3"] {
            std::fs::create_dir_all(dir.file("nodes").join(node)).unwrap();
        }
        let boot = "{\"t\":1,\"n\":\"n1\",\"term\":0,\"ev\":\"boot\",\"boot\":1}\n";
        std::fs::write(trace_file(&dir.file("nodes").join("n1")), boot).unwrap();
        let damage = || {
            let mut recorded = Recorded::default();
            read_traces(&dir, &mut recorded);
            recorded.trace_damage
        };
        assert_eq!(damage().as_deref(), Some("there is no trace of n2"));
        std::fs::write(dir.file("nodes").join("n3").join("stderr.log"), "").unwrap();
        assert_eq!(damage().as_deref(), Some("there is no trace of n2, n3"));
    }
}
