//! "Did you mean": the nearest of the words that are allowed.
//!
//! Invariant: a suggestion is always one of the allowed words. Deliberately absent: a guess from afar; a wrong
//! suggestion costs more than none.

/// How many words a list of what is allowed may have until it is cut.
const LISTED_MAX: usize = 16;

/// The allowed word that `found` is probably meant to be.
pub(super) fn nearest<'a>(found: &str, allowed: &[&'a str]) -> Option<&'a str> {
    if let Some(word) = boolean_twin(found).into_iter().flatten().find(|twin| allowed.contains(twin)) {
        return allowed.iter().copied().find(|allowed| *allowed == word);
    }
    let found = plain(found);
    let distance = |word: &&&str| strsim::damerau_levenshtein(&found, &plain(word));
    let best = allowed.iter().min_by_key(distance)?;
    let near = distance(&best) <= (best.chars().count() / 3).max(1);
    let part =
        found.chars().count() >= 4 && (plain(best).starts_with(&found) || found.starts_with(&plain(best)));
    if near || part {
        return Some(best);
    }
    // "bridges", "isolate leader now" and the like: the only allowed word that begins like it.
    let mut begins =
        allowed.iter().filter(|word| found.chars().count() >= 4 && plain(word).starts_with(&found));
    match (begins.next(), begins.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// "did you mean `x`?", where a word is near enough.
pub(super) fn did_you_mean(found: &str, allowed: &[&str]) -> Option<String> {
    nearest(found, allowed).map(|word| format!("did you mean `{word}`?"))
}

/// The allowed words as a sentence: "`a`, `b` or `c`".
pub(super) fn one_of(allowed: &[&str]) -> String {
    let shown: Vec<String> = allowed.iter().take(LISTED_MAX).map(|word| format!("`{word}`")).collect();
    let left = allowed.len() - shown.len();
    match (shown.split_last(), left) {
        (None, _) => "nothing".to_owned(),
        (Some(_), 1..) => format!("{} or {left} others (see `raftcheck list`)", shown.join(", ")),
        (Some((last, [])), _) => last.clone(),
        (Some((last, rest)), _) => format!("{} or {last}", rest.join(", ")),
    }
}

/// Other spellings of yes and no, which the words of a place may use.
fn boolean_twin(found: &str) -> Option<[&'static str; 3]> {
    match found.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some(["true", "on", "yes"]),
        "false" | "no" | "off" => Some(["false", "off", "no"]),
        _ => None,
    }
}

/// `_`, blanks and capitals are no reason to miss a word.
fn plain(word: &str) -> String {
    word.chars().map(|c| if c == '_' || c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [&str; 5] = ["majority", "isolate-leader", "bridge", "one-way", "ring"];

    #[test]
    fn slips_are_understood() {
        for (found, meant) in [
            ("majorty", "majority"),
            ("isolate_leader", "isolate-leader"),
            ("Isolate Leader", "isolate-leader"),
            ("oneway", "one-way"),
            ("isolate", "isolate-leader"),
            ("rnig", "ring"),
            ("bridges", "bridge"),
        ] {
            assert_eq!(nearest(found, &SHAPES), Some(meant), "{found}");
        }
        assert_eq!(nearest("true", &["on", "off"]), Some("on"));
        assert_eq!(nearest("no", &["true", "false"]), Some("false"));
    }

    #[test]
    fn strangers_are_not_guessed() {
        for found in ["", "x", "half", "minority-report", "日志"] {
            assert_eq!(nearest(found, &SHAPES), None, "{found}");
        }
        assert_eq!(nearest("anything", &[]), None);
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(one_of(&["a"]), "`a`");
        assert_eq!(one_of(&["a", "b", "c"]), "`a`, `b` or `c`");
        let many = ["w"; 20];
        assert!(one_of(&many).ends_with("or 4 others (see `raftcheck list`)"));
    }
}
