//! Changing the files of a stopped node, by no code path that an honest node ever takes.
//!
//! Invariants: the directory is locked, so a running node is refused; the log is replaced atomically, and its count of
//! starts survives; one line on standard output says exactly what changed; where nothing can change, the command fails
//! and nothing is written.

mod files;
mod seed;

use std::path::{Path, PathBuf};

use crate::datadir::{DataDir, DataDirError};
use crate::raft::io::NodeId;
use crate::wal::{self, Recovered, WalError};

pub use files::{Flip, copy, delete_file, flip_bits, restore, torn_write, wipe};
pub use seed::{Seed, Vote, edit_hard_state, seed_log};

/// The arguments of an edit.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The data directory of a stopped node
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// What to do to it
    #[command(subcommand)]
    pub edit: Edit,
}

/// What can be done to the files of a stopped node.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Edit {
    /// Remove the last entries of the log
    TruncateLog {
        /// How many
        #[arg(value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        entries: u64,
    },
    /// Forget whom the node voted for; the term stays
    LoseVote,
    /// Forget the term, and the vote with it; the log stays
    LoseTerm,
    /// Flip a bit in the record of one entry
    CorruptRecord {
        /// The index of the entry
        index: u64,
    },
    /// Replace the whole log; the term becomes that of its last entry, unless it is higher
    SeedLog {
        /// The entries: 1 1 2 for three of these terms, 2:x=5 for one that binds x to 5
        #[arg(value_name = "TERM[:KEY=VALUE]", required = true)]
        entries: Vec<Seed>,
    },
    /// Set the term and the vote; a new term has no vote unless one is given
    EditHardState {
        /// The term
        #[arg(long, required_unless_present_any = ["voted_for", "no_vote"])]
        term: Option<u64>,
        /// Whom the node voted for in it
        #[arg(long, value_name = "NODE", conflicts_with = "no_vote")]
        voted_for: Option<NodeId>,
        /// It voted for nobody
        #[arg(long)]
        no_vote: bool,
    },
    /// Remove everything, whose directory it is included
    Wipe,
    /// Copy the directory
    Copy {
        /// A place that does not exist yet
        #[arg(value_name = "DIR")]
        to: PathBuf,
    },
    /// Replace the contents of the directory by those of a copy, whosever it is
    Restore {
        /// The copy
        #[arg(value_name = "DIR")]
        from: PathBuf,
    },
    /// Flip bits of a file
    FlipBits {
        /// The file, relative to the data directory
        file: PathBuf,
        /// The byte; drawn among those that were written if absent
        #[arg(long)]
        offset: Option<u64>,
        /// The bit of that byte, 0 is the lowest
        #[arg(long, requires = "offset", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..8))]
        bit: u8,
        /// How many bits to draw, each of another byte
        #[arg(long, conflicts_with = "offset", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        count: u32,
        /// Where the drawing begins; drawn, and printed, if absent
        #[arg(long, conflicts_with = "offset")]
        seed: Option<u64>,
    },
    /// Leave only a part of the last write to the log, as a power failure in its middle does
    TornWrite {
        /// How many bytes of it are left
        #[arg(long, value_name = "BYTES")]
        keep: u64,
    },
    /// Remove one file
    DeleteFile {
        /// The file, relative to the data directory
        file: PathBuf,
    },
}

/// Why an edit was not made.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The directory cannot be used.
    #[error("{0}")]
    DataDir(#[from] DataDirError),
    /// The log cannot be used.
    #[error("{0}")]
    Wal(#[from] WalError),
    /// There is nothing to change.
    #[error("{0}")]
    Nothing(String),
    /// The operating system refused.
    #[error("cannot {what} {}: {source}", .path.display())]
    Io {
        /// The operation.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
}

/// Makes the edit and prints the line of proof.
pub fn run(args: &Args) -> Result<(), EditError> {
    let dir = &args.data_dir;
    let proof = match &args.edit {
        Edit::TruncateLog { entries } => truncate_log(dir, *entries),
        Edit::LoseVote => lose_vote(dir),
        Edit::LoseTerm => lose_term(dir),
        Edit::CorruptRecord { index } => corrupt_record(dir, *index),
        Edit::SeedLog { entries } => seed_log(dir, entries),
        Edit::EditHardState { term, voted_for, no_vote } => {
            let unspoken = if *no_vote { Vote::Nobody } else { Vote::Keep };
            edit_hard_state(dir, *term, voted_for.map_or(unspoken, Vote::For))
        }
        Edit::Wipe => wipe(dir),
        Edit::Copy { to } => copy(dir, to),
        Edit::Restore { from } => restore(dir, from),
        Edit::FlipBits { file, offset, bit, count, seed } => {
            let drawn = || Flip::Drawn { count: *count, seed: seed.unwrap_or_else(crate::node::drawn_seed) };
            flip_bits(dir, file, offset.map_or_else(drawn, |offset| Flip::At { offset, bit: *bit }))
        }
        Edit::TornWrite { keep } => torn_write(dir, *keep),
        Edit::DeleteFile { file } => delete_file(dir, file),
    }?;
    println!("{proof}");
    Ok(())
}

/// Removes the last `count` entries of the log. Returns the line of proof.
pub fn truncate_log(data_dir: &Path, count: u64) -> Result<String, EditError> {
    let (dir, _) = DataDir::open_stopped(data_dir)?;
    let mut contents = contents(&dir)?;
    let held = contents.entries.len();
    let kept = usize::try_from(count).ok().and_then(|count| held.checked_sub(count)).filter(|_| held > 0);
    let Some(kept) = kept else {
        return Err(EditError::Nothing(format!("cannot remove {count} entries: the log has {held}")));
    };
    contents.pin();
    let removed = contents.entries.split_off(kept);
    wal::rewrite(&dir.wal(), &contents)?;
    let (Some(first), Some(last)) = (removed.first(), removed.last()) else {
        return Err(EditError::Nothing("cannot remove 0 entries".into()));
    };
    Ok(format!(
        "removed entries {}..={} (terms {}..{}), last is now {}",
        first.index,
        last.index,
        first.term,
        last.term,
        first.index - 1
    ))
}

/// Forgets the vote. Returns the line of proof.
pub fn lose_vote(data_dir: &Path) -> Result<String, EditError> {
    let (dir, _) = DataDir::open_stopped(data_dir)?;
    let mut contents = contents(&dir)?;
    let term = contents.hard_state.term;
    let Some(NodeId(vote)) = contents.hard_state.voted_for.take() else {
        return Ok(format!("no vote was recorded in term {term}"));
    };
    wal::rewrite(&dir.wal(), &contents)?;
    Ok(format!("forgot the vote of term {term} for n{vote}"))
}

/// Forgets the term, and the vote with it. Returns the line of proof.
pub fn lose_term(data_dir: &Path) -> Result<String, EditError> {
    let (dir, _) = DataDir::open_stopped(data_dir)?;
    let mut contents = contents(&dir)?;
    let lost = std::mem::take(&mut contents.hard_state);
    if lost.term == 0 {
        return Err(EditError::Nothing("no term was recorded".into()));
    }
    wal::rewrite(&dir.wal(), &contents)?;
    let vote = lost.voted_for.map_or("no vote".to_owned(), |node| format!("its vote for {node}"));
    Ok(format!("forgot term {} and {vote}", lost.term))
}

/// Flips a bit in the record of an entry. Returns the line of proof.
pub fn corrupt_record(data_dir: &Path, index: u64) -> Result<String, EditError> {
    let (dir, _) = DataDir::open_stopped(data_dir)?;
    let Some(damage) = wal::damage_entry(&dir.wal(), index)? else {
        return Err(EditError::Nothing(format!("the log has no record of an entry {index}")));
    };
    let name = damage.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(format!("flipped a bit of entry {index} (term {}), at byte {} of {name}", damage.term, damage.offset))
}

fn contents(dir: &DataDir) -> Result<Recovered, EditError> {
    wal::read(&dir.wal())?
        .ok_or_else(|| EditError::Nothing("the node has no log: it was never started".into()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::datadir::Identity;
    use crate::raft::io::{HardState, Persist, PersistId};
    use crate::raft::log::{Entry, Payload};
    use crate::wal::{Sizes, Wal};

    /// A stopped node with entries 1..=5 of the terms 1, 1, 2, 3, 3, and a vote for n2 in term 4.
    pub(super) fn stopped_node() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let held = DataDir::open(dir.path(), &Identity::new(NodeId(1), "c")).unwrap();
        let (mut wal, _) = Wal::open(&held.wal(), Sizes::default()).unwrap();
        wal.begin_boot().unwrap();
        let terms = [1, 1, 2, 3, 3].into_iter().zip(1..);
        let entries = terms.map(|(term, index)| Entry { index, term, payload: Payload::Noop }).collect();
        let hard_state = Some(HardState { term: 4, voted_for: Some(NodeId(2)) });
        wal.stage(&Persist {
            id: PersistId(1),
            hard_state,
            truncate_from: None,
            entries,
            commit: Some(4),
            ..Persist::default()
        });
        wal.commit().unwrap();
        dir
    }

    pub(super) fn recovered(dir: &tempfile::TempDir) -> Recovered {
        let (held, _) = DataDir::open_stopped(dir.path()).unwrap();
        Wal::open(&held.wal(), Sizes::default()).unwrap().1
    }

    #[test]
    fn the_command_line_is_read() {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            args: Args,
        }
        let parse = |line: &str| {
            let words = std::iter::once("node-edit").chain(line.split_whitespace());
            <Cli as clap::Parser>::try_parse_from(words).map(|cli| cli.args.edit)
        };
        assert!(matches!(parse("--data-dir d truncate-log 3"), Ok(Edit::TruncateLog { entries: 3 })));
        assert!(matches!(parse("--data-dir d lose-vote"), Ok(Edit::LoseVote)));
        assert!(matches!(parse("--data-dir d flip-bits f"), Ok(Edit::FlipBits { offset: None, .. })));
        assert!(parse("--data-dir d flip-bits f --offset 3 --bit 7").is_ok());
        for bad in [
            "truncate-log 0",
            "truncate-log",
            "",
            "seed-log",
            "seed-log 0",
            "seed-log 1:x",
            "edit-hard-state",
            "edit-hard-state --voted-for n1 --no-vote",
            "flip-bits",
            "flip-bits f --offset 3 --bit 8",
            "flip-bits f --offset 3 --seed 8",
            "torn-write",
        ] {
            assert!(parse(&format!("--data-dir d {bad}")).is_err(), "{bad}");
        }
        assert!(parse("lose-vote").is_err());
    }

    #[test]
    fn the_tail_of_the_log_is_removed() {
        let dir = stopped_node();
        let proof = truncate_log(dir.path(), 3).unwrap();
        assert_eq!(proof, "removed entries 3..=5 (terms 2..3), last is now 2");
        let found = recovered(&dir);
        assert_eq!(found.entries.iter().map(|entry| entry.index).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((found.boot, found.hard_state.voted_for), (1, Some(NodeId(2))), "the rest stays");
        assert_eq!(found.commit, 4, "also what tells that something is missing");
        let error = truncate_log(dir.path(), 3).unwrap_err().to_string();
        assert_eq!(error, "cannot remove 3 entries: the log has 2");
        assert_eq!(truncate_log(dir.path(), 2).unwrap(), "removed entries 1..=2 (terms 1..1), last is now 0");
        assert!(truncate_log(dir.path(), 1).is_err());
        assert_eq!(recovered(&dir).hard_state.term, 4);
    }

    #[test]
    fn the_vote_is_forgotten_once() {
        let dir = stopped_node();
        assert_eq!(lose_vote(dir.path()).unwrap(), "forgot the vote of term 4 for n2");
        let found = recovered(&dir);
        assert_eq!(found.hard_state, HardState { term: 4, voted_for: None });
        assert_eq!((found.entries.len(), found.boot), (5, 1));
        assert_eq!(lose_vote(dir.path()).unwrap(), "no vote was recorded in term 4");
    }

    #[test]
    fn the_term_is_forgotten_and_the_log_stays() {
        let dir = stopped_node();
        assert_eq!(lose_term(dir.path()).unwrap(), "forgot term 4 and its vote for n2");
        let found = recovered(&dir);
        assert_eq!((found.hard_state, found.entries.len()), (HardState::default(), 5));
        assert_eq!(lose_term(dir.path()).unwrap_err().to_string(), "no term was recorded");
    }

    #[test]
    fn a_damaged_record_is_noticed_and_only_that_entry_is_another_without_the_checksum() {
        let dir = stopped_node();
        seed_log(dir.path(), &["1:x=5".parse().unwrap(), "1:y=7".parse().unwrap()]).unwrap();
        let before = recovered(&dir).entries;
        let error = corrupt_record(dir.path(), 3).unwrap_err().to_string();
        assert_eq!(error, "the log has no record of an entry 3");
        let proof = corrupt_record(dir.path(), 1).unwrap();
        assert!(proof.starts_with("flipped a bit of entry 1 (term 1), at byte "), "{proof}");
        let (held, _) = DataDir::open_stopped(dir.path()).unwrap();
        let mut rules = crate::raft::rules::Rules::default();
        rules.set("wal_checksum", "false").unwrap();
        let (_, found) = Wal::open_under(&rules, &held.wal(), Sizes::default()).unwrap();
        assert_eq!(found.entries[1], before[1]);
        let command = |entry: &Entry| match &entry.payload {
            Payload::Command(command) => command.as_bytes().to_vec(),
            other => panic!("{other:?}"),
        };
        let (old, new) = (command(&before[0]), command(&found.entries[0]));
        let last = old.len() - 1;
        assert!(old[..last] == new[..last] && old[last] ^ 1 == new[last], "{old:?} {new:?}");
    }

    #[test]
    fn a_running_node_and_a_foreign_directory_are_refused() {
        let dir = stopped_node();
        let (_held, _) = DataDir::open_stopped(dir.path()).unwrap();
        assert!(truncate_log(dir.path(), 1).unwrap_err().to_string().contains("its node is running"));
        let empty = tempfile::tempdir().unwrap();
        assert!(
            lose_vote(empty.path()).unwrap_err().to_string().contains("not the data directory of a node")
        );
    }
}
