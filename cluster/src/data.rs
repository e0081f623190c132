//! Changes to a data directory that know nothing of what its files mean.
//!
//! Invariant: the directory itself stays, because it may be a mount; a copy is whole before anything is removed for it; all
//! of it is synced before the proof is given. The caller sees to it that nobody uses the directory.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::edit::DataEdit;

/// The directories of an edit.
pub(crate) struct Places {
    /// The data.
    pub(crate) data: PathBuf,
    /// Where the copies of the node lie, whose copy it is about.
    pub(crate) copies: PathBuf,
    /// The data of the other node of a swap.
    pub(crate) other: Option<PathBuf>,
}

/// Why an edit was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    /// There is nothing that it could have changed; nothing was.
    #[error("{0}")]
    Nothing(String),
    /// The operating system refused; it may be done in part.
    #[error("cannot {what} {}: {source}", .path.display())]
    Io {
        /// The operation.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataError {
    move |source| DataError::Io { what, path: path.into(), source }
}

/// Makes the edit. Returns the line of proof.
pub(crate) fn edit(places: &Places, edit: &DataEdit) -> Result<String, DataError> {
    let data = &places.data;
    match edit {
        DataEdit::Wipe => {
            let removed = files(data)?.len();
            clear(data)?;
            Ok(format!("removed all {removed} files"))
        }
        DataEdit::Save { name } => save(data, &copy(places, name)?, name),
        DataEdit::Restore { name, .. } => restore(data, &copy(places, name)?, name),
        DataEdit::Swap { .. } => swap(places),
        DataEdit::FlipBits { file, bits, seed } => flip_bits(data, file, *bits, *seed),
        DataEdit::Truncate { file, bytes } => truncate(data, file, *bytes),
        DataEdit::DeleteFile { file } => {
            let (name, path) = one_file(data, file)?;
            let length = fs::metadata(&path).map_err(failed("look at", &path))?.len();
            fs::remove_file(&path).map_err(failed("remove", &path))?;
            sync_directory(path.parent().unwrap_or(data))?;
            Ok(format!("removed {name}, {length} bytes"))
        }
    }
}

/// Where a copy of this name lies.
fn copy(places: &Places, name: &str) -> Result<PathBuf, DataError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(DataError::Nothing(format!(
            "`{name}` is no name for a copy: expected letters, digits, - and _"
        )));
    }
    Ok(places.copies.join(name))
}

fn save(data: &Path, copy: &Path, name: &str) -> Result<String, DataError> {
    if copy.exists() {
        fs::remove_dir_all(copy).map_err(failed("remove", copy))?;
    }
    let copied = copy_files(data, copy)?;
    Ok(format!("copied {copied} files as {name}"))
}

fn restore(data: &Path, copy: &Path, name: &str) -> Result<String, DataError> {
    if !copy.is_dir() {
        return Err(DataError::Nothing(format!("there is no copy of the name {name}")));
    }
    let replaced = files(data)?.len();
    clear(data)?;
    let copied = copy_files(copy, data)?;
    Ok(format!("replaced {replaced} files by the {copied} of {name}"))
}

/// Both may be mounts, so the files go through a third place.
fn swap(places: &Places) -> Result<String, DataError> {
    let (one, aside) = (&places.data, places.copies.join(".swap"));
    let Some(other) = &places.other else {
        return Err(DataError::Nothing("a swap needs two nodes".to_owned()));
    };
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(failed("remove", &aside))?;
    }
    let first = copy_files(one, &aside)?;
    clear(one)?;
    let second = copy_files(other, one)?;
    clear(other)?;
    copy_files(&aside, other)?;
    fs::remove_dir_all(&aside).map_err(failed("remove", &aside))?;
    Ok(format!("exchanged {first} files for {second}"))
}

fn flip_bits(data: &Path, pattern: &str, bits: u32, seed: u64) -> Result<String, DataError> {
    let (name, path) = one_file(data, pattern)?;
    let bytes = fs::read(&path).map_err(failed("read", &path))?;
    // Logs are often zeroed in advance; what lies behind the last byte that was written is not worth a drawing.
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if written == 0 || bits == 0 {
        return Err(DataError::Nothing(format!("{name} has no byte to flip a bit of")));
    }
    let wanted = usize::try_from(bits).unwrap_or(usize::MAX).min(written);
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let places = rand::seq::index::sample(&mut rng, written, wanted);
    let file = OpenOptions::new().write(true).open(&path).map_err(failed("open", &path))?;
    for place in places.iter() {
        let changed = bytes[place] ^ (1 << rng.random_range(0..8));
        file.write_all_at(&[changed], place as u64).map_err(failed("write", &path))?;
    }
    file.sync_all().map_err(failed("sync", &path))?;
    Ok(format!("flipped {wanted} bits of {name}, drawn from seed {seed}"))
}

fn truncate(data: &Path, pattern: &str, bytes: u64) -> Result<String, DataError> {
    let (name, path) = one_file(data, pattern)?;
    let length = fs::metadata(&path).map_err(failed("look at", &path))?.len();
    let cut = length.min(bytes);
    if cut == 0 {
        return Err(DataError::Nothing(format!("{name} has no byte to cut off")));
    }
    let file = OpenOptions::new().write(true).open(&path).map_err(failed("open", &path))?;
    file.set_len(length - cut).map_err(failed("cut", &path))?;
    file.sync_all().map_err(failed("sync", &path))?;
    Ok(format!("cut {cut} of {length} bytes off {name}"))
}

/// The first file by name that matches: its name relative to the directory, and its path.
fn one_file(data: &Path, pattern: &str) -> Result<(String, PathBuf), DataError> {
    let there = files(data)?;
    let names: Vec<String> = there.iter().map(|path| path.display().to_string()).collect();
    match names.iter().position(|name| matches(pattern.as_bytes(), name.as_bytes())) {
        Some(found) => Ok((names[found].clone(), data.join(&there[found]))),
        None => Err(DataError::Nothing(format!("no file matches {pattern}; there are {}", names.join(", ")))),
    }
}

/// Whether a name matches a pattern in which `*` stands for any characters.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|skipped| matches(rest, &name[skipped..])),
        Some((wanted, rest)) => {
            name.split_first().is_some_and(|(first, name)| first == wanted && matches(rest, name))
        }
    }
}

/// The files below a directory, relative to it, sorted.
fn files(directory: &Path) -> Result<Vec<PathBuf>, DataError> {
    let (mut found, mut open) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(at) = open.pop() {
        let path = directory.join(&at);
        for entry in fs::read_dir(&path).map_err(failed("list", &path))? {
            let entry = entry.map_err(failed("list", &path))?;
            let kind = entry.file_type().map_err(failed("look at", &path))?;
            let name = at.join(entry.file_name());
            if kind.is_dir() {
                open.push(name);
            } else if kind.is_file() {
                found.push(name);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Removes what is in a directory.
fn clear(directory: &Path) -> Result<(), DataError> {
    for entry in fs::read_dir(directory).map_err(failed("list", directory))? {
        let entry = entry.map_err(failed("list", directory))?;
        let path = entry.path();
        let is_directory = entry.file_type().map_err(failed("look at", &path))?.is_dir();
        if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }
            .map_err(failed("remove", &path))?;
    }
    sync_directory(directory)
}

/// Copies all files, and makes the copies durable. Returns their number.
fn copy_files(from: &Path, to: &Path) -> Result<usize, DataError> {
    fs::create_dir_all(to).map_err(failed("create", to))?;
    let files = files(from)?;
    for file in &files {
        let (source, target) = (from.join(file), to.join(file));
        let parent = target.parent().unwrap_or(to);
        fs::create_dir_all(parent).map_err(failed("create", parent))?;
        fs::copy(&source, &target).map_err(failed("copy", &source))?;
        File::open(&target).and_then(|file| file.sync_all()).map_err(failed("sync", &target))?;
        sync_directory(parent)?;
    }
    sync_directory(to)?;
    Ok(files.len())
}

fn sync_directory(path: &Path) -> Result<(), DataError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(failed("sync the directory", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> (tempfile::TempDir, Places) {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["data/wal", "other"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        fs::write(at("data/identity"), "n1").unwrap();
        fs::write(at("data/wal/01.log"), [1, 2, 3, 0, 0]).unwrap();
        fs::write(at("other/identity"), "n2").unwrap();
        let places = Places { data: at("data"), copies: at("copies"), other: Some(at("other")) };
        (directory, places)
    }

    fn done(places: &Places, wanted: DataEdit) -> String {
        edit(places, &wanted).unwrap()
    }

    fn content(places: &Places) -> Vec<(PathBuf, Vec<u8>)> {
        let read = |name: PathBuf| (name.clone(), fs::read(places.data.join(name)).unwrap());
        files(&places.data).unwrap().into_iter().map(read).collect()
    }

    #[test]
    fn a_copy_comes_back_as_it_was() {
        let (_directory, places) = places();
        let before = content(&places);
        let name = || "before".to_owned();
        assert_eq!(done(&places, DataEdit::Save { name: name() }), "copied 2 files as before");
        assert_eq!(done(&places, DataEdit::Wipe), "removed all 2 files");
        assert!(content(&places).is_empty() && places.data.is_dir());
        let restored = done(&places, DataEdit::Restore { name: name(), of: None });
        assert_eq!(restored, "replaced 0 files by the 2 of before");
        assert_eq!(content(&places), before);
        for name in ["", "..", "a/b", "absent"] {
            let refused = edit(&places, &DataEdit::Restore { name: name.into(), of: None });
            assert!(matches!(refused, Err(DataError::Nothing(_))), "{name}: {refused:?}");
        }
        assert_eq!(content(&places), before);
    }

    #[test]
    fn two_nodes_exchange_everything() {
        let (_directory, places) = places();
        let before = content(&places);
        let swap = || DataEdit::Swap { with: crate::system::NodeId(2) };
        assert_eq!(done(&places, swap()), "exchanged 2 files for 1");
        assert_eq!(content(&places), [("identity".into(), b"n2".to_vec())]);
        done(&places, swap());
        assert_eq!(content(&places), before);
    }

    #[test]
    fn damage_is_where_something_was_written() {
        let (_directory, places) = places();
        let flip = || DataEdit::FlipBits { file: "wal/*".into(), bits: 2, seed: 7 };
        let proof = done(&places, flip());
        assert_eq!(proof, "flipped 2 bits of wal/01.log, drawn from seed 7");
        let after = fs::read(places.data.join("wal/01.log")).unwrap();
        let differs = after.iter().zip([1, 2, 3, 0, 0]).filter(|(new, old)| **new != *old).count();
        assert!(differs == 2 && after[3..] == [0, 0], "{after:?}");
        done(&places, flip());
        assert_eq!(fs::read(places.data.join("wal/01.log")).unwrap(), [1, 2, 3, 0, 0], "the same bits again");
        let cut = DataEdit::Truncate { file: "*.log".into(), bytes: 3 };
        assert_eq!(done(&places, cut), "cut 3 of 5 bytes off wal/01.log");
        done(&places, DataEdit::DeleteFile { file: "wal/*".into() });
        let gone = edit(&places, &flip()).unwrap_err().to_string();
        assert_eq!(gone, "no file matches wal/*; there are identity");
    }
}
