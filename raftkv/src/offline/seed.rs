//! Writing a past that never happened: a log of given terms, a term and a vote.
//!
//! Invariant: what is written is a state that some honest node could have: terms never fall along the log, and the term
//! of the node is at least that of its last entry. Figures 7 and 8 of the paper begin with such logs.

use std::path::Path;
use std::str::FromStr;

use super::{EditError, contents};
use crate::datadir::DataDir;
use crate::raft::io::{HardState, NodeId};
use crate::raft::log::{Entry, Payload, Position};
use crate::store::{Command, Proposal};
use crate::wal;

/// One entry to be written: `3`, or `3:x=1` for a command that binds the key `x` to `1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    term: u64,
    put: Option<(String, String)>,
}

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an entry: expected TERM or TERM:KEY=VALUE");
        let (term, put) = match text.split_once(':') {
            None => (text, None),
            Some((term, put)) => (term, Some(put.split_once('=').ok_or_else(wrong)?)),
        };
        let term = term.parse().ok().filter(|&term| term > 0).ok_or_else(wrong)?;
        Ok(Self { term, put: put.map(|(key, value)| (key.to_owned(), value.to_owned())) })
    }
}

impl Seed {
    fn entry(&self, index: u64) -> Entry {
        let payload = match &self.put {
            None => Payload::Noop,
            Some((key, value)) => {
                let command = Command::Put(key.clone(), value.as_str().into());
                Payload::Command(Proposal { stamp_ms: 0, session: None, command }.encode().into())
            }
        };
        Entry { index, term: self.term, payload }
    }
}

/// Replaces the whole log. The term becomes that of the last entry, unless it is higher; the vote is forgotten if it
/// rises. Returns the line of proof.
pub fn seed_log(data_dir: &Path, seeds: &[Seed]) -> Result<String, EditError> {
    let falls = seeds.windows(2).find(|pair| pair[1].term < pair[0].term);
    if let Some([before, after]) = falls {
        let reason = format!("an entry of term {} cannot follow one of term {}", after.term, before.term);
        return Err(EditError::Nothing(reason));
    }
    let (dir, _) = DataDir::open_stopped(data_dir)?;
    let mut contents = contents(&dir)?;
    let replaced = contents.entries.len();
    contents.base = Some(Position::default());
    // Nothing of the old log counts any more.
    contents.commit = 0;
    contents.entries = seeds.iter().zip(1..).map(|(seed, index)| seed.entry(index)).collect();
    let term = seeds.last().map_or(0, |seed| seed.term);
    if term > contents.hard_state.term {
        contents.hard_state = HardState { term, voted_for: None };
    }
    wal::rewrite(&dir.wal(), &contents)?;
    Ok(format!(
        "replaced {replaced} entries by {} (terms {}), the term is {}",
        seeds.len(),
        terms(seeds),
        contents.hard_state.term
    ))
}

/// The terms in one line; long rows of the same are counted.
fn terms(seeds: &[Seed]) -> String {
    /// A row of so many is still written out.
    const WRITTEN_OUT: usize = 4;
    let rows = seeds.chunk_by(|one, next| one.term == next.term).map(|row| match row.len() {
        long if long > WRITTEN_OUT => format!("{} ({long} times)", row[0].term),
        _ => row.iter().map(|seed| seed.term.to_string()).collect::<Vec<_>>().join(" "),
    });
    rows.collect::<Vec<_>>().join(" ")
}

/// What to do to the vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vote {
    /// Leave it.
    Keep,
    /// Nobody was voted for.
    Nobody,
    /// This node was voted for.
    For(NodeId),
}

/// Sets term and vote. A new term has no vote unless one is given. Returns the line of proof.
pub fn edit_hard_state(data_dir: &Path, term: Option<u64>, vote: Vote) -> Result<String, EditError> {
    let (dir, _) = DataDir::open_stopped(data_dir)?;
    let mut contents = contents(&dir)?;
    let old = contents.hard_state;
    let new_term = term.unwrap_or(old.term);
    let last = contents.entries.last().map_or(0, |entry| entry.term);
    if new_term < last {
        let reason = format!(
            "term {new_term} is below that of the last entry, {last}: shorten or replace the log first"
        );
        return Err(EditError::Nothing(reason));
    }
    let voted_for = match vote {
        Vote::For(node) => Some(node),
        Vote::Keep if new_term == old.term => old.voted_for,
        Vote::Keep | Vote::Nobody => None,
    };
    let new = HardState { term: new_term, voted_for };
    if new == old {
        return Err(EditError::Nothing(format!("nothing to change: {}", describe(old))));
    }
    contents.hard_state = new;
    wal::rewrite(&dir.wal(), &contents)?;
    Ok(format!("{} instead of {}", describe(new), describe(old)))
}

fn describe(hard_state: HardState) -> String {
    let vote = hard_state.voted_for.map_or("no vote".to_owned(), |node| format!("vote for {node}"));
    format!("term {} with {vote}", hard_state.term)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{recovered, stopped_node};
    use super::*;
    use crate::store::Store;

    fn seeds(text: &str) -> Vec<Seed> {
        text.split_whitespace().map(|word| word.parse().unwrap()).collect()
    }

    #[test]
    fn long_rows_of_a_term_are_counted() {
        assert_eq!(terms(&seeds("1 1 1 1 2 2 2 2 2 3")), "1 1 1 1 2 (5 times) 3");
    }

    #[test]
    fn a_log_is_made_up() {
        let dir = stopped_node();
        let proof = seed_log(dir.path(), &seeds("1 2:x=5 5")).unwrap();
        assert_eq!(proof, "replaced 5 entries by 3 (terms 1 2 5), the term is 5");
        let found = recovered(&dir);
        assert_eq!(
            found.entries.iter().map(|entry| (entry.index, entry.term)).collect::<Vec<_>>(),
            [(1, 1), (2, 2), (3, 5)]
        );
        assert_eq!(
            found.hard_state,
            HardState { term: 5, voted_for: None },
            "term 4 had a vote, term 5 has none"
        );
        let Payload::Command(command) = &found.entries[1].payload else { panic!("{:?}", found.entries[1]) };
        let mut store = Store::default();
        store.apply(2, command.as_bytes());
        assert!(store.get("x").is_some(), "the command is one that the state machine knows");
    }

    #[test]
    fn a_lower_term_leaves_term_and_vote_alone() {
        let dir = stopped_node();
        seed_log(dir.path(), &seeds("1 1")).unwrap();
        assert_eq!(recovered(&dir).hard_state, HardState { term: 4, voted_for: Some(NodeId(2)) });
        let error = seed_log(dir.path(), &seeds("2 1")).unwrap_err().to_string();
        assert_eq!(error, "an entry of term 1 cannot follow one of term 2");
        assert_eq!(recovered(&dir).entries.len(), 2, "nothing was written");
    }

    #[test]
    fn term_and_vote_are_set() {
        let dir = stopped_node();
        let edit = |term, vote| edit_hard_state(dir.path(), term, vote).map_err(|error| error.to_string());
        assert_eq!(
            edit(None, Vote::For(NodeId(3))).unwrap(),
            "term 4 with vote for n3 instead of term 4 with vote for n2"
        );
        assert_eq!(
            edit(Some(6), Vote::Keep).unwrap(),
            "term 6 with no vote instead of term 4 with vote for n3"
        );
        assert_eq!(
            edit(Some(7), Vote::For(NodeId(1))).unwrap(),
            "term 7 with vote for n1 instead of term 6 with no vote"
        );
        assert_eq!(edit(Some(7), Vote::Keep).unwrap_err(), "nothing to change: term 7 with vote for n1");
        assert!(edit(Some(2), Vote::Nobody).unwrap_err().contains("below that of the last entry, 3"));
        assert!(edit(None, Vote::Nobody).is_ok());
        assert_eq!(recovered(&dir).hard_state, HardState { term: 7, voted_for: None });
    }
}
