//! How errors read: `testdata/errors/*.yaml`, each with the report it must give in the `.txt` beside it.
//!
//! `RAFTCHECK_BLESS=1 cargo test errors` writes the reports anew; read the difference before committing it. A line
//! `# --set name=value` in a file is an argument.

use std::fs;
use std::path::Path;

use super::vocabulary::vocabulary;
use crate::suite::{Colour, read};

#[test]
fn errors_read_as_written() {
    let directory = Path::new(DIRECTORY);
    let mut names: Vec<String> = fs::read_dir(directory)
        .expect("the test data is part of the sources")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned))
        .collect();
    names.sort();
    assert!(names.len() >= 15, "only {} cases in {}", names.len(), directory.display());
    let wrong: Vec<String> = names.iter().filter_map(|name| compare(directory, name)).collect();
    assert!(wrong.is_empty(), "{}\nRAFTCHECK_BLESS=1 accepts the new reports", wrong.join("\n"));
}

/// What differs, if anything does.
fn compare(directory: &Path, name: &str) -> Option<String> {
    let source =
        fs::read_to_string(directory.join(format!("{name}.yaml"))).expect("a case is a readable file");
    let sets = source
        .lines()
        .filter_map(|line| line.strip_prefix("# --set "))
        .map(str::to_owned)
        .collect::<Vec<_>>();
    let report = match read(&format!("{name}.yaml"), source.as_bytes(), &sets, &vocabulary()) {
        Ok(_) => return Some(format!("{name}: accepted, but it is a case of an error")),
        Err(problems) => problems.render(Colour::Plain),
    };
    let path = directory.join(format!("{name}.txt"));
    if std::env::var_os("RAFTCHECK_BLESS").is_some() {
        fs::write(&path, &report).expect("the test data can be written");
        return None;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    (expected != report).then(|| format!("--- {name}: expected\n{expected}\n--- {name}: found\n{report}"))
}

/// Beside this file, wherever the crate is built from.
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/suite/testdata/errors");
