//! Edits of a stopped node's files as arguments of `node-edit`, the node's own program for that.

use crate::edit::{FileEdit, SeedEntry};
use crate::view::Vote;

/// The words behind `node-edit --data-dir DIR`.
pub(super) fn arguments(edit: &FileEdit) -> Vec<String> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match edit {
        FileEdit::TruncateLog { entries } => words(&["truncate-log", &entries.to_string()]),
        FileEdit::LoseVote => words(&["lose-vote"]),
        FileEdit::LoseTerm => words(&["lose-term"]),
        FileEdit::EditHardState { term, vote } => hard_state(*term, *vote),
        FileEdit::SeedLog { entries } => {
            std::iter::once("seed-log".to_owned()).chain(entries.iter().map(entry)).collect()
        }
        FileEdit::CorruptRecord { index } => words(&["corrupt-record", &index.to_string()]),
        FileEdit::TornWrite { keep } => words(&["torn-write", "--keep", &keep.to_string()]),
    }
}

fn hard_state(term: Option<u64>, vote: Option<Vote>) -> Vec<String> {
    let mut words = vec!["edit-hard-state".to_owned()];
    words.extend(term.into_iter().flat_map(|term| ["--term".to_owned(), term.to_string()]));
    match vote {
        Some(Vote::For(node)) => words.extend(["--voted-for".to_owned(), node.to_string()]),
        Some(Vote::Nobody) => words.push("--no-vote".to_owned()),
        None => {}
    }
    words
}

fn entry(entry: &SeedEntry) -> String {
    let put = entry.put.as_ref().map(|(key, value)| format!(":{key}={value}"));
    format!("{}{}", entry.term, put.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::NodeId;

    #[test]
    fn edits_are_said_as_the_program_understands_them() {
        let put = Some(("x".to_owned(), "5".to_owned()));
        let entries = vec![SeedEntry { term: 1, put: None }, SeedEntry { term: 2, put }];
        let vote = Some(Vote::For(NodeId(3)));
        for (edit, expected) in [
            (FileEdit::TruncateLog { entries: 3 }, "truncate-log 3"),
            (FileEdit::LoseVote, "lose-vote"),
            (FileEdit::LoseTerm, "lose-term"),
            (FileEdit::EditHardState { term: Some(7), vote }, "edit-hard-state --term 7 --voted-for n3"),
            (FileEdit::EditHardState { term: None, vote: Some(Vote::Nobody) }, "edit-hard-state --no-vote"),
            (FileEdit::SeedLog { entries }, "seed-log 1 2:x=5"),
            (FileEdit::CorruptRecord { index: 4 }, "corrupt-record 4"),
            (FileEdit::TornWrite { keep: 20 }, "torn-write --keep 20"),
        ] {
            assert_eq!(arguments(&edit).join(" "), expected);
        }
    }
}
