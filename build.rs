//! Lists the files of the catalogue of questions, so that the program carries them all.
//!
//! Invariant: every YAML file below `suites/questions` is in the list, by its path from there; nothing is named here, so a
//! new question is a new file and no more.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

const QUESTIONS: &str = "suites/questions";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={QUESTIONS}");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join(QUESTIONS);
    let mut files = Vec::new();
    search(&root, &mut files)?;
    files.sort();
    let mut list = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
        let _ = writeln!(list, "    ({name:?}, include_str!({:?})),", file.display().to_string());
    }
    list.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("questions.rs"), list)
}

fn search(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", directory.display());
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            search(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
    Ok(())
}
