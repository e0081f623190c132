//! Where a history comes from: a file or standard input, looked into before it is read.
//!
//! Invariant: what was looked into is read again, and no more than [`HEAD`] bytes are held for it.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

/// So many bytes tell what a history is written in.
const HEAD: u64 = 1 << 20;

/// An opened history.
pub(super) struct Input {
    /// Its name in messages.
    pub(super) name: String,
    /// How it begins.
    pub(super) head: Vec<u8>,
    rest: Box<dyn Read + Send>,
}

impl Input {
    /// Opens a file, or standard input if it is called `-`. Fails with a message that names it.
    pub(super) fn open(file: &Path) -> Result<Input, String> {
        let is_stdin = file.as_os_str() == "-";
        let name = if is_stdin { "standard input".to_owned() } else { file.display().to_string() };
        let open = || -> io::Result<(Vec<u8>, Box<dyn Read + Send>)> {
            let mut rest: Box<dyn Read + Send> =
                if is_stdin { Box::new(io::stdin()) } else { Box::new(File::open(file)?) };
            let mut head = Vec::new();
            rest.by_ref().take(HEAD).read_to_end(&mut head)?;
            Ok((head, rest))
        };
        match open() {
            Ok((head, rest)) => Ok(Input { name, head, rest }),
            Err(error) => Err(format!("{name}: {error}")),
        }
    }

    /// All of it, from the beginning.
    pub(super) fn into_text(self) -> impl Read + Send {
        Cursor::new(self.head).chain(self.rest)
    }
}

/// Why a text that begins like this is not taken for a history, and what may help.
pub(super) fn strange(head: &[u8]) -> &'static str {
    match head {
        [] => "this is empty; if it is a history without operations, name its format with --input-format",
        [0x1f, 0x8b, ..] => "this is compressed: zcat FILE | raftcheck check -",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "this is compressed: zstdcat FILE | raftcheck check -",
        _ if head.starts_with(b"JEPSEN") => {
            "this is Jepsen's binary file of a test; its history is in the history.edn beside it"
        }
        _ => {
            "this begins like no history that raftcheck knows (its own, Jepsen's, Knossos' or Porcupine's); if it is one, \
             name it with --input-format"
        }
    }
}

/// The files of a Jepsen test directory that hold its history, the better one first.
const JEPSEN: [&str; 2] = ["history.edn", "history.txt"];

/// Files by which a test directory is known that lacks them.
const OTHERS: [&str; 4] = ["test.jepsen", "test.fressian", "jepsen.log", "results.edn"];

/// `store/<test>/<time>/`: no test lies deeper.
const DEPTH: usize = 2;

/// The tests of a Jepsen store.
#[derive(Default)]
pub(super) struct Store {
    /// Their histories, in the order of their names.
    pub(super) histories: Vec<PathBuf>,
    /// Test directories without one.
    pub(super) without: Vec<PathBuf>,
}

impl Store {
    /// What is in a test directory, in a store, or in a part of one. Links in it are not followed, because `latest` and
    /// `current` lead to tests that are there under their own names. Fails with a message if it cannot be looked into.
    pub(super) fn of(directory: &Path) -> Result<Store, String> {
        let mut store = Store::default();
        store.collect(directory, DEPTH)?;
        Ok(store)
    }

    fn collect(&mut self, directory: &Path, depth: usize) -> Result<(), String> {
        let has = |name: &&str| directory.join(name).is_file();
        if let Some(name) = JEPSEN.iter().find(|name| has(name)) {
            self.histories.push(directory.join(name));
            return Ok(());
        }
        if OTHERS.iter().any(has) {
            self.without.push(directory.to_owned());
            return Ok(());
        }
        if depth == 0 {
            return Ok(());
        }
        let unreadable = |error: io::Error| format!("{}: {error}", directory.display());
        let mut inner = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if entry.file_type().map_err(unreadable)?.is_dir() {
                inner.push(entry.path());
            }
        }
        inner.sort();
        inner.iter().try_for_each(|directory| self.collect(directory, depth - 1))
    }
}
