//! Writes the history and the record of faults while the run goes on.
//!
//! Invariant: the file always holds a prefix of what happened, in order, and its last line is whole or the file was cut
//! from outside. An invocation is in the buffer before its request leaves, so that whatever a recorded reply shows has
//! its cause on record too.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use checker::history::Event;
use checker::history::jsonl::Writer;

/// Bytes buffered before they are written out even without a flush.
const BUFFER: usize = 256 * 1024;

/// A file of lines that is repaired to its last whole line when the disk refuses more.
pub struct LineFile {
    path: PathBuf,
    file: File,
    buffer: String,
    /// Bytes known to be in the file; always at the end of a line.
    written: u64,
}

impl LineFile {
    /// A new file.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path).map_err(|error| crate::rundir::named(path, error))?;
        Ok(Self { path: path.to_owned(), file, buffer: String::with_capacity(BUFFER), written: 0 })
    }

    /// Appends the one line, with its line feed, that `write` puts into the buffer.
    pub fn line(&mut self, write: impl FnOnce(&mut String)) -> io::Result<()> {
        write(&mut self.buffer);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// Hands everything to the kernel. After an error the file ends at a whole line.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let result = self.file.write_all(self.buffer.as_bytes());
        match result {
            Ok(()) => {
                self.written += self.buffer.len() as u64;
                self.buffer.clear();
                Ok(())
            }
            Err(error) => {
                self.buffer.clear();
                // What was written of this buffer may end in the middle of a line: go back to the last known end.
                let repaired = self.file.set_len(self.written);
                let state = match repaired {
                    Ok(()) => format!("the {} bytes before it are kept and valid", self.written),
                    Err(_) => "its last line may be cut".to_owned(),
                };
                Err(io::Error::new(
                    error.kind(),
                    format!("recording to {} failed: {error}; {state}", self.path.display()),
                ))
            }
        }
    }
}

/// The history file of a run.
pub struct HistoryFile {
    lines: LineFile,
    writer: Writer,
    events: usize,
}

impl HistoryFile {
    /// A new, empty history.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut lines = LineFile::create(path)?;
        let writer = Writer::new();
        lines.line(|buffer| writer.header(buffer))?;
        Ok(Self { lines, writer, events: 0 })
    }

    /// Appends an event.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        self.events += 1;
        self.lines.line(|buffer| self.writer.event(event, buffer))
    }

    /// Events so far.
    pub fn events(&self) -> usize {
        self.events
    }

    /// Hands everything to the kernel.
    pub fn flush(&mut self) -> io::Result<()> {
        self.lines.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::LineFile;

    #[test]
    fn a_full_disk_leaves_whole_lines_and_says_so() {
        // /dev/full refuses every write, like a disk without space.
        let mut file = LineFile::create(std::path::Path::new("/dev/full")).expect("open");
        file.line(|buffer| buffer.push_str("{}\n")).expect("buffered");
        let error = file.flush().expect_err("no space");
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        assert!(error.to_string().contains("recording to /dev/full failed"), "{error}");
    }
}
