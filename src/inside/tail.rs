//! The traces of the nodes while they are written, for conditions on events.
//!
//! Invariant: only whole lines are read, each once. What cannot be read is left for later: a condition then stays unknown.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use cluster::system::NodeId;
use serde_json::{Map, Value as Json};

use crate::script::scene::TraceLine;

/// The ends of the traces.
pub(super) struct Tail {
    files: BTreeMap<NodeId, (PathBuf, u64)>,
    /// The start of the run by the clock of the traces.
    origin: u64,
}

impl Tail {
    /// Traces in these files.
    pub(super) fn new(files: impl IntoIterator<Item = (NodeId, PathBuf)>, origin: u64) -> Self {
        Self { files: files.into_iter().map(|(node, path)| (node, (path, 0))).collect(), origin }
    }

    /// What was written since the last time.
    pub(super) fn read(&mut self) -> Vec<(NodeId, TraceLine)> {
        let mut lines = Vec::new();
        for (node, (path, offset)) in &mut self.files {
            let Some(text) = rest(path, *offset) else { continue };
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            *offset += whole as u64;
            let each = text[..whole].split(|byte| *byte == b'\n').filter_map(|line| event(line, self.origin));
            lines.extend(each.map(|line| (*node, line)));
        }
        lines
    }
}

fn rest(path: &PathBuf, offset: u64) -> Option<Vec<u8>> {
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::Start(offset)).ok()?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).ok()?;
    Some(text)
}

fn event(line: &[u8], origin: u64) -> Option<TraceLine> {
    let fields: Map<String, Json> = serde_json::from_slice(line).ok()?;
    let at = i128::from(fields.get("t")?.as_u64()?) - i128::from(origin);
    let event = fields.get("ev")?.as_str()?.to_owned();
    Some(TraceLine { at, event, fields })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn whole_lines_are_read_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trace.jsonl");
        let mut tail = Tail::new([(NodeId(1), path.clone())], 100);
        assert!(tail.read().is_empty(), "there is no file yet");
        let mut file = File::create(&path).unwrap();
        write!(file, "{{\"t\":150,\"ev\":\"vote\",\"to\":\"n2\"}}\n{{\"t\":160,\"ev\"").unwrap();
        let lines = tail.read();
        assert_eq!((lines.len(), lines[0].1.at, lines[0].1.event.as_str()), (1, 50, "vote"));
        assert!(tail.read().is_empty());
        writeln!(file, ":\"role\"}}").unwrap();
        assert_eq!(tail.read().len(), 1);
    }
}
