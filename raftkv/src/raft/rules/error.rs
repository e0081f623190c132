//! What is said about a rule or value that does not exist.

use std::fmt::{self, Write};

use super::{Rules, Switch};

/// A rule or value that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError(pub(super) String);

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RuleError {}

/// Reads the value of the rule `name`.
pub(super) fn read<T: Switch>(name: &str, value: &str) -> Result<T, RuleError> {
    T::parse(value).ok_or_else(|| RuleError::value(name, value, T::values()))
}

impl RuleError {
    fn value(name: &str, value: &str, values: Vec<&'static str>) -> Self {
        let mut text = format!("rule `{name}` has no value `{value}`: expected {}", values.join(", "));
        suggest(&mut text, value, &values);
        Self(text)
    }

    pub(super) fn name(name: &str) -> Self {
        let names: Vec<&str> = Rules::describe().into_iter().map(|rule| rule.name).collect();
        let mut text = format!("there is no rule `{name}`");
        suggest(&mut text, name, &names);
        let _ = write!(text, "; the rules are {}", names.join(", "));
        Self(text)
    }
}

/// Adds the candidate that is nearest to what was written, if any is near.
pub(super) fn suggest(text: &mut String, written: &str, candidates: &[&'static str]) {
    let nearest = candidates.iter().map(|name| (edit_distance(written, name), name)).min();
    if let Some((distance, name)) = nearest
        && distance > 0
        && distance <= name.len().div_ceil(3)
    {
        let _ = write!(text, "; did you mean `{name}`?");
    }
}

/// The number of inserted, removed and replaced bytes between two words (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
