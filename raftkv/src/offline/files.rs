//! What disks, copies and careless hands do to the files of a stopped node.
//!
//! Invariants: the directory is locked while its files change; a named file lies inside the directory; what was drawn at
//! random can be drawn again, from the seed in the line of proof.
//! What it lacks on purpose: any regard for what the files mean. The node has to notice.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::EditError;
use crate::datadir::DataDir;
use crate::wal;

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EditError {
    move |source| EditError::Io { what, path: path.into(), source }
}

/// Removes everything in the directory, whose it is included. Returns the line of proof.
pub fn wipe(data_dir: &Path) -> Result<String, EditError> {
    let (_dir, identity) = DataDir::open_stopped(data_dir)?;
    let removed = files(data_dir)?.len();
    clear(data_dir)?;
    Ok(format!("removed all {removed} files of {identity}"))
}

/// Copies the directory to a place that does not exist yet. Returns the line of proof.
pub fn copy(data_dir: &Path, to: &Path) -> Result<String, EditError> {
    let (_dir, identity) = DataDir::open_stopped(data_dir)?;
    if to.exists() {
        return Err(EditError::Nothing(format!("{} exists already: name a new place", to.display())));
    }
    let copied = copy_files(data_dir, to)?;
    Ok(format!("copied {copied} files of {identity} to {}", to.display()))
}

/// Replaces the contents of the directory, which may be wiped, by those of a copy, whosever they are. Returns the line of
/// proof.
pub fn restore(data_dir: &Path, from: &Path) -> Result<String, EditError> {
    let (_dir, replaced) = if files(data_dir)?.is_empty() {
        (DataDir::lock(data_dir)?, "an empty directory".to_owned())
    } else {
        DataDir::open_stopped(data_dir).map(|(dir, identity)| (dir, format!("the files of {identity}")))?
    };
    // The copy is locked too: two directories of running nodes would not be copies of a moment.
    let (_copy, source) = DataDir::open_stopped(from)?;
    clear(data_dir)?;
    let copied = copy_files(from, data_dir)?;
    Ok(format!("replaced {replaced} by {copied} files of {source}"))
}

/// Removes one file. Returns the line of proof.
pub fn delete_file(data_dir: &Path, file: &Path) -> Result<String, EditError> {
    let (_dir, _) = DataDir::open_stopped(data_dir)?;
    let path = inside(data_dir, file)?;
    let len = fs::symlink_metadata(&path).map_err(failed("look at", &path))?.len();
    fs::remove_file(&path).map_err(failed("remove", &path))?;
    sync_parent(&path)?;
    Ok(format!("removed {}, {len} bytes", file.display()))
}

/// Which bits are flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flip {
    /// This bit of the byte at this offset.
    At {
        /// The byte, from 0.
        offset: u64,
        /// The bit, 0 is the lowest.
        bit: u8,
    },
    /// So many bits of the written part, drawn from this seed.
    Drawn {
        /// How many.
        count: u32,
        /// Where the drawing begins.
        seed: u64,
    },
}

/// Flips bits of a file in place. Returns the line of proof.
pub fn flip_bits(data_dir: &Path, file: &Path, flip: Flip) -> Result<String, EditError> {
    let (_dir, _) = DataDir::open_stopped(data_dir)?;
    let path = inside(data_dir, file)?;
    let bytes = fs::read(&path).map_err(failed("read", &path))?;
    // Segments are zeroed in advance; what lies behind the last byte that was written is not worth a drawing.
    let written = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last as u64 + 1);
    let (places, how) = match flip {
        Flip::At { offset, bit } => (vec![(offset, bit)], String::new()),
        Flip::Drawn { .. } if written == 0 => {
            return Err(EditError::Nothing(format!("{} has no byte to flip", file.display())));
        }
        Flip::Drawn { count, seed } => (draw(written, count, seed), format!(", drawn from seed {seed}")),
    };
    let writer = OpenOptions::new().write(true).open(&path).map_err(failed("open", &path))?;
    let mut flipped = Vec::with_capacity(places.len());
    for (offset, bit) in places {
        let Some(byte) = bytes.get(usize::try_from(offset).unwrap_or(usize::MAX)) else {
            let reason = format!("{} has {} bytes, no byte {offset}", file.display(), bytes.len());
            return Err(EditError::Nothing(reason));
        };
        writer.write_all_at(&[byte ^ 1 << bit], offset).map_err(failed("write", &path))?;
        flipped.push(format!("{offset}.{bit}"));
    }
    writer.sync_all().map_err(failed("sync", &path))?;
    Ok(format!("flipped in {} (byte.bit): {}{how}", file.display(), flipped.join(" ")))
}

/// Different bytes, or a second flip might undo the first.
fn draw(written: u64, count: u32, seed: u64) -> Vec<(u64, u8)> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut places: Vec<(u64, u8)> = Vec::new();
    while places.len() < count.min(u32::try_from(written).unwrap_or(u32::MAX)) as usize {
        let place = (random.random_range(0..written), random.random_range(0..8));
        if places.iter().all(|&(offset, _)| offset != place.0) {
            places.push(place);
        }
    }
    places.sort_unstable();
    places
}

/// Leaves only the first `kept` bytes of the last write to the log, as a power failure in its middle does. Returns the
/// line of proof.
pub fn torn_write(data_dir: &Path, kept: u64) -> Result<String, EditError> {
    let (dir, _) = DataDir::open_stopped(data_dir)?;
    let torn = wal::tear_last(&dir.wal(), kept)?;
    let name = torn.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(format!(
        "kept {kept} of the {} bytes of the last write, at byte {} of {name}",
        torn.bytes, torn.offset
    ))
}

/// The path of a file inside the directory.
fn inside(data_dir: &Path, file: &Path) -> Result<PathBuf, EditError> {
    if file.components().all(|part| matches!(part, Component::Normal(_))) && data_dir.join(file).is_file() {
        return Ok(data_dir.join(file));
    }
    let there: Vec<String> = files(data_dir)?.iter().map(|path| path.display().to_string()).collect();
    let reason = format!("there is no file {}; there are {}", file.display(), there.join(", "));
    Err(EditError::Nothing(reason))
}

/// The files below a directory, relative to it, sorted.
fn files(directory: &Path) -> Result<Vec<PathBuf>, EditError> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(at) = open.pop() {
        let path = directory.join(&at);
        for entry in fs::read_dir(&path).map_err(failed("list", &path))? {
            let entry = entry.map_err(failed("list", &path))?;
            let name = at.join(entry.file_name());
            let is_directory = entry.file_type().map_err(failed("look at", &path))?.is_dir();
            if is_directory { open.push(name) } else { found.push(name) }
        }
    }
    found.sort();
    Ok(found)
}

/// Removes what is in a directory, and keeps the directory: it carries the lock.
fn clear(directory: &Path) -> Result<(), EditError> {
    for entry in fs::read_dir(directory).map_err(failed("list", directory))? {
        let entry = entry.map_err(failed("list", directory))?;
        let path = entry.path();
        let is_directory = entry.file_type().map_err(failed("look at", &path))?.is_dir();
        if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }
            .map_err(failed("remove", &path))?;
    }
    sync_directory(directory)
}

/// Copies all files and makes the copies durable. Returns their number.
fn copy_files(from: &Path, to: &Path) -> Result<usize, EditError> {
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

fn sync_parent(path: &Path) -> Result<(), EditError> {
    path.parent().map_or(Ok(()), sync_directory)
}

fn sync_directory(path: &Path) -> Result<(), EditError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(failed("sync the directory", path))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{recovered, stopped_node};
    use super::*;
    use crate::datadir::DataDirError;
    use crate::raft::io::NodeId;
    use crate::wal::{Sizes, Wal, WalError};

    fn segment(dir: &tempfile::TempDir) -> PathBuf {
        let files = files(dir.path()).unwrap();
        files.into_iter().find(|file| file.starts_with("wal")).unwrap()
    }

    #[test]
    fn a_copy_comes_back_as_it_was() {
        let (dir, place) = (stopped_node(), tempfile::tempdir().unwrap());
        let copied = place.path().join("older");
        copy(dir.path(), &copied).unwrap();
        assert!(copy(dir.path(), &copied).unwrap_err().to_string().contains("exists already"));
        let before = recovered(&dir).entries;
        super::super::truncate_log(dir.path(), 4).unwrap();
        assert_eq!(recovered(&dir).entries.len(), 1);
        restore(dir.path(), &copied).unwrap();
        assert_eq!(recovered(&dir).entries, before);

        let proof = wipe(dir.path()).unwrap();
        assert!(proof.starts_with("removed all 2 files of n1"), "{proof}");
        assert_eq!(files(dir.path()).unwrap(), Vec::<PathBuf>::new());
        assert!(wipe(dir.path()).is_err(), "what is not a data directory is not wiped");
        assert!(restore(dir.path(), &copied).unwrap().starts_with("replaced an empty directory"));
        assert_eq!(recovered(&dir).entries, before);
    }

    #[test]
    fn a_running_node_is_refused() {
        let (dir, other) = (stopped_node(), stopped_node());
        let file = segment(&dir);
        let _held = DataDir::open_stopped(dir.path()).unwrap();
        let flip = Flip::At { offset: 0, bit: 0 };
        for refused in [
            wipe(dir.path()),
            copy(dir.path(), &other.path().join("x")),
            restore(dir.path(), other.path()),
            restore(other.path(), dir.path()),
            flip_bits(dir.path(), &file, flip),
            torn_write(dir.path(), 1),
            delete_file(dir.path(), &file),
        ] {
            assert!(matches!(refused, Err(EditError::DataDir(DataDirError::InUse(_)))), "{refused:?}");
        }
        assert_eq!(recovered(&other).entries.len(), 5);
    }

    #[test]
    fn the_same_seed_flips_the_same_bits() {
        let dir = stopped_node();
        let file = segment(&dir);
        let original = fs::read(dir.path().join(&file)).unwrap();
        let flip = Flip::Drawn { count: 3, seed: 7 };
        let proof = flip_bits(dir.path(), &file, flip).unwrap();
        assert!(proof.ends_with("drawn from seed 7"), "{proof}");
        let damaged = fs::read(dir.path().join(&file)).unwrap();
        let changed = original.iter().zip(&damaged).filter(|(old, new)| old != new).count();
        assert_eq!(changed, 3);
        assert_eq!(flip_bits(dir.path(), &file, flip).unwrap(), proof);
        assert_eq!(fs::read(dir.path().join(&file)).unwrap(), original, "twice is not at all");
    }

    #[test]
    fn damage_before_the_last_write_is_noticed() {
        let dir = stopped_node();
        let file = segment(&dir);
        flip_bits(dir.path(), &file, Flip::At { offset: 20, bit: 3 }).unwrap();
        let (held, _) = DataDir::open_stopped(dir.path()).unwrap();
        assert!(matches!(Wal::open(&held.wal(), Sizes::default()), Err(WalError::Corrupt { .. })));
    }

    #[test]
    fn a_torn_write_takes_exactly_the_last_write() {
        let dir = stopped_node();
        assert!(torn_write(dir.path(), 1 << 20).unwrap_err().to_string().contains("fewer have to be kept"));
        let proof = torn_write(dir.path(), 20).unwrap();
        assert!(proof.starts_with("kept 20 of the "), "{proof}");
        let found = recovered(&dir);
        assert!(found.torn.is_some());
        assert_eq!((found.entries.len(), found.boot), (0, 1), "all five entries were one write");
    }

    #[test]
    fn only_files_of_the_directory_are_touched() {
        let dir = stopped_node();
        for file in ["../x", "/etc/hostname", "wal", "absent"] {
            let error = delete_file(dir.path(), Path::new(file)).unwrap_err().to_string();
            assert!(error.contains("there are identity.json, wal/"), "{file}: {error}");
        }
        assert!(
            delete_file(dir.path(), Path::new("identity.json")).unwrap().starts_with("removed identity.json")
        );
        let refused = DataDir::open(dir.path(), &crate::datadir::Identity::new(NodeId(1), "c"));
        assert!(matches!(refused, Err(DataDirError::Damaged { .. })));
    }
}
