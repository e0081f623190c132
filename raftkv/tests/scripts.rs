//! Plays every file of `testdata/` and compares what happened with what the file says. `UPDATE=1` rewrites
//! the files.
//!
//! A file is prose, commands and their output: a line that starts with `>` is a command, the lines after it
//! up to the next blank line are everything that it caused. All other lines are prose. `script/mod.rs` lists
//! the commands.
//! Reference: the data-driven tests of etcd-io/raft.

mod script;

use std::fs;
use std::path::Path;

use script::Script;

/// The file with the output that its commands have now.
fn play(text: &str) -> String {
    let mut script = Script::default();
    let mut played = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        played.push_str(line);
        played.push('\n');
        let Some(command) = line.strip_prefix('>') else { continue };
        while lines.peek().is_some_and(|next| !next.is_empty() && !next.starts_with('>')) {
            lines.next();
        }
        let output = script.run(command.trim()).unwrap_or_else(|error| vec![format!("error: {error}")]);
        for line in output {
            played.push_str(&line);
            played.push('\n');
        }
    }
    played
}

#[test]
fn every_script_plays_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    assert!(paths.len() >= 8, "the scripts are in {}", folder.display());
    let mut different = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let played = play(&text);
        assert!(!played.contains("\nerror: "), "{}:\n{played}", path.display());
        if played == text {
            continue;
        }
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &played).unwrap();
        } else {
            let first = text.lines().zip(played.lines()).position(|(old, new)| old != new).unwrap_or(0);
            different.push(format!(
                "{}:{}\n  written: {}\n  played:  {}",
                path.display(),
                first + 1,
                text.lines().nth(first).unwrap_or("(end)"),
                played.lines().nth(first).unwrap_or("(end)")
            ));
        }
    }
    assert!(different.is_empty(), "rewrite with UPDATE=1 if this is right:\n{}", different.join("\n"));
}
