//! Finding an entry by name, by number, or by words in either language.
//!
//! Words of Latin letters are compared whole or by their beginning, Chinese by pairs of characters that stand beside each
//! other. Invariant: the same query gives the same answer, and what is found contains something of the query.

use std::collections::BTreeSet;

use super::{Answer, Catalogue, Entry};

/// How many entries are named where none is meant for certain.
const NEAREST: usize = 3;

/// What a query leads to.
pub enum Found<'c> {
    /// These entries, for certain.
    Entries(Vec<&'c Entry>),
    /// None for certain; these are near, the best first.
    Near(Vec<&'c Entry>),
}

impl Catalogue {
    /// The entries that a query means.
    pub fn find(&self, query: &str) -> Found<'_> {
        let query = query.trim();
        if let Some(entry) = self.entry(&query.to_lowercase()) {
            return Found::Entries(vec![entry]);
        }
        if let Some(number) = self.number(&query.to_uppercase()) {
            return Found::Entries(number.entries.iter().filter_map(|id| self.entry(id)).collect());
        }
        let wanted = parts(query);
        let mut scored: Vec<(u64, &Entry)> = self
            .entries()
            .map(|entry| (self.score(entry, &wanted), entry))
            .filter(|(score, _)| *score > 0)
            .collect();
        scored.sort_by(|(one, first), (other, second)| other.cmp(one).then(first.id.cmp(&second.id)));
        match scored.as_slice() {
            // As good as nothing else.
            [(best, entry), rest @ ..] if rest.first().is_none_or(|(second, _)| *best >= 2 * second) => {
                Found::Entries(vec![entry])
            }
            [] => Found::Near(self.alike(query)),
            // A name that was misspelt is nearer than what merely has a word in common.
            _ if query.contains('-') => Found::Near(self.alike(query)),
            scored => Found::Near(scored.iter().take(NEAREST).map(|(_, entry)| *entry).collect()),
        }
    }

    /// The entries with the most similar names.
    fn alike(&self, query: &str) -> Vec<&Entry> {
        let query = query.to_lowercase();
        let mut entries: Vec<&Entry> = self.entries().collect();
        entries.sort_by(|one, other| {
            strsim::jaro_winkler(&other.id, &query).total_cmp(&strsim::jaro_winkler(&one.id, &query))
        });
        entries.truncate(NEAREST);
        entries
    }

    /// How much of the query an entry holds: names and questions count more than answers.
    fn score(&self, entry: &Entry, wanted: &BTreeSet<String>) -> u64 {
        let numbers = entry.asked.iter().filter_map(|number| self.number(number));
        let found = numbers.map(|number| format!("{} {}", number.question.zh, number.question.en));
        let question = format!("{} {}", entry.question.zh, entry.question.en);
        let answer = match &entry.answer {
            Answer::Words { text, .. } => format!("{} {}", text.zh, text.en),
            Answer::Runs(runs) => runs.suite.question.as_ref().map_or_else(String::new, |question| {
                format!(
                    "{} {} {} {}",
                    question.answer.zh, question.answer.en, question.why.zh, question.why.en
                )
            }),
            Answer::NotYet => String::new(),
        };
        let places: Vec<(u64, BTreeSet<String>)> = vec![
            (8, parts(&entry.id)),
            (6, parts(&question)),
            (3, parts(&found.collect::<Vec<_>>().join(" "))),
            (1, parts(&answer)),
        ];
        let one = |part: &String| {
            let holds = |(weight, place): &(u64, BTreeSet<String>)| {
                place
                    .iter()
                    .any(|word| word == part || (part.len() >= 4 && word.starts_with(part.as_str())))
                    .then_some(*weight)
            };
            places.iter().filter_map(holds).max().unwrap_or(0)
        };
        // Two words that stand there are worth more than one that stands everywhere.
        let scores: Vec<u64> = wanted.iter().map(one).collect();
        let hits = scores.iter().filter(|score| **score > 0).count() as u64;
        scores.iter().sum::<u64>() * hits
    }
}

/// The parts of a text that are compared: words in lower case, pairs of Chinese characters.
fn parts(text: &str) -> BTreeSet<String> {
    let mut parts = BTreeSet::new();
    let mut word = String::new();
    let mut before: Option<char> = None;
    for character in text.chars().chain([' ']) {
        if character.is_ascii_alphanumeric() {
            word.extend(character.to_lowercase());
        } else if !word.is_empty() {
            parts.insert(std::mem::take(&mut word));
        }
        let chinese = !character.is_ascii() && character.is_alphabetic();
        if let (Some(before), true) = (before, chinese) {
            parts.insert([before, character].iter().collect());
        }
        before = chinese.then_some(character);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn words_and_pairs() {
        let found: Vec<String> = parts("votedFor 丢失了, S1").into_iter().collect();
        assert_eq!(found, ["s1", "votedfor", "丢失", "失了"]);
        assert!(parts("").is_empty());
        assert!(parts("，。 -").is_empty());
    }
}
