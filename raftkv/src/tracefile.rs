//! The file that a node's trace goes to.
//!
//! Invariant: each line is one `write(2)` to a file opened with `O_APPEND`, done before what it describes can be seen by
//! anybody else, and the times of the lines never go backwards. A line that cannot be written stops the node: a trace with
//! a hole would accuse it falsely or hide what it did.
//! Format: docs/trace.md.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use crate::raft::io::NodeId;
use crate::raft::trace::Event;

/// An open trace. Shared by the threads that have something to say.
#[derive(Debug)]
pub struct TraceFile {
    node: NodeId,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    line: String,
}

impl TraceFile {
    /// Appends to the file at `path`, creating it if there is none.
    pub fn open(path: &Path, node: NodeId) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self { node, state: Mutex::new(State { file, line: String::new() }) })
    }

    /// Writes one line per event. The clock is read under the lock, so that the order of lines is that of their times.
    pub fn write(&self, events: &[Event]) -> io::Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let State { file, line } = &mut *state;
        for event in events {
            line.clear();
            event.write_line(monotonic_raw_nanos(), self.node, line);
            file.write_all(line.as_bytes())?;
        }
        Ok(())
    }
}

/// `CLOCK_MONOTONIC_RAW`, which no adjustment of the clock touches.
fn monotonic_raw_nanos() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for a timespec, and the call writes nothing else.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_RAW, &mut time) };
    assert_eq!(result, 0, "every Linux since 2.6.28 has CLOCK_MONOTONIC_RAW");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::trace::EventKind;

    #[test]
    fn lines_are_appended_in_the_order_of_their_times() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace.jsonl");
        for term in 1..=2 {
            let trace = TraceFile::open(&path, NodeId(3)).unwrap();
            let event = Event { term, kind: EventKind::Term };
            trace.write(&[event.clone(), event]).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.iter().map(|line| line["term"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 1, 2, 2]);
        assert!(lines.is_sorted_by_key(|line| line["t"].as_u64().unwrap()));
        assert!(lines.iter().all(|line| line["n"] == "n3" && line["ev"] == "term"));
    }
}
