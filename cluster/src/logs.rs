//! The end of a log file, for error messages.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// How many lines of each file an error message shows.
pub(crate) const TAIL_LINES: usize = 12;
/// How much of a file is looked at for them.
const TAIL_BYTES: u64 = 16 << 10;

/// The last lines of a file, each indented and under its name; empty if there is nothing to show.
pub(crate) fn last_lines(path: &Path, count: usize) -> String {
    let text = tail(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return String::new();
    }
    let shown = &lines[lines.len().saturating_sub(count)..];
    let mut message = format!("  the end of {}:\n", path.display());
    for line in shown {
        message.push_str(&format!("    {line}\n"));
    }
    message
}

/// The last lines of what was appended to a file behind this offset.
pub(crate) fn lines_since(path: &Path, offset: u64, count: usize) -> Vec<String> {
    let text = read_from(path, offset).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
}

fn tail(path: &Path) -> std::io::Result<String> {
    read_from(path, 0)
}

/// What stands behind the offset, but no more than the end of it.
fn read_from(path: &Path, offset: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES).max(offset)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        assert_eq!(last_lines(&path, 2), "");
        std::fs::write(&path, b"a\nb\n\nc\xff\n").unwrap();
        let shown = last_lines(&path, 2);
        assert!(shown.starts_with(&format!("  the end of {}:\n    b\n    c", path.display())), "{shown}");
        assert!(!shown.contains("    a"), "{shown}");
        assert_eq!(lines_since(&path, 2, 9), ["b", "c\u{fffd}"]);
        assert_eq!(lines_since(&path, 99, 9), Vec::<String>::new());
    }
}
