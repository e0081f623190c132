//! Questions, answers and cells on a terminal.

use std::fmt::Write as _;
use std::io;

use super::cells::Watched;
use crate::catalogue::results::Results;
use crate::catalogue::{Catalogue, Entry, GROUPS, Runs, group_title};
use crate::exit::Exit;
use crate::report::Style;
use crate::suite::{Both, Language};

fn style() -> Style {
    Style::of(&io::stdout())
}

/// A word of this page in the language.
fn word(language: Language, zh: &'static str, en: &'static str) -> &'static str {
    match language {
        Language::Zh => zh,
        Language::En => en,
    }
}

/// The groups, with how much there is of each.
pub(super) fn groups(catalogue: &Catalogue, language: Language) -> String {
    let style = style();
    let mut text = String::new();
    for (letter, ..) in GROUPS {
        let entries = catalogue.group(letter);
        if !entries.is_empty() {
            let title = style.bold(&format!("{letter}  {}", group_title(letter, language)));
            let _ = writeln!(text, "{title}");
            let width = entries.iter().map(|entry| entry.id.len()).max().unwrap_or(0);
            for entry in entries {
                let _ = writeln!(text, "  {:width$}  {}", entry.id, entry.question.text(language));
            }
        }
    }
    let missing = catalogue.entries().filter(|entry| entry.group.is_none()).count();
    if missing > 0 {
        let what = word(language, "个问题还没有套件。", "questions have no suite yet.");
        let _ = writeln!(text, "\n{missing} {what}");
    }
    let how = word(
        language,
        "raftcheck ask ID、编号（S1-023）或关键词；--group A；--all",
        "raftcheck ask ID, a number (S1-023), or words; --group A; --all",
    );
    let _ = writeln!(text, "{how}");
    text
}

/// That nothing is meant for certain, and what is near.
pub(super) fn nearest(query: &str, near: &[&Entry], language: Language) -> String {
    let mut text = format!("no question is called `{query}`, and none is the only one about that");
    if !near.is_empty() {
        text.push_str("; the nearest are");
    }
    for entry in near {
        let _ = write!(text, "\n  {}  {}", entry.id, entry.question.text(language));
    }
    text
}

/// The head of an entry: its name, the question, the short answer.
pub(super) fn question(entry: &Entry, language: Language) -> String {
    let style = style();
    let mut text = style.bold(&entry.id);
    if let Some(group) = entry.group {
        let _ = write!(text, "  {group}  {}", group_title(group, language));
    }
    if !entry.asked.is_empty() {
        let _ = write!(text, "  {}", style.faint(&entry.asked.join(" ")));
    }
    let _ = writeln!(text, "\n{}", entry.question.text(language).trim());
    if let Some(question) = entry.runs().and_then(|runs| runs.suite.question.as_ref()) {
        let _ = writeln!(text, "{}\n", question.answer.text(language).trim());
    }
    text
}

/// An answer in words.
pub(super) fn words(answer: &Both, see: &[String], language: Language) -> String {
    let mut text = format!("\n{}\n", answer.text(language).trim_end());
    if !see.is_empty() {
        let _ = writeln!(text, "\n{}: {}", word(language, "参见", "see"), see.join(", "));
    }
    text
}

/// That there is no answer yet, and which entries share its numbers.
pub(super) fn not_yet(entry: &Entry, catalogue: &Catalogue, language: Language) -> String {
    let mut text =
        format!("{}\n", word(language, "还没有回答它的套件。", "There is no suite that answers it yet."));
    let numbers = entry.asked.iter().filter_map(|number| catalogue.number(number));
    let mut others: Vec<&str> = numbers
        .flat_map(|number| &number.entries)
        .filter(|id| **id != entry.id && catalogue.entry(id).is_some_and(|other| other.group.is_some()))
        .map(String::as_str)
        .collect();
    others.sort_unstable();
    others.dedup();
    if !others.is_empty() {
        let _ = writeln!(text, "{}: {}", word(language, "参见", "see"), others.join(", "));
    }
    text
}

/// What a cell expects, where nothing is run.
pub(super) fn planned(cells: &[(String, String)]) -> String {
    let width = cells.iter().map(|(cell, _)| cell.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (cell, expected) in cells {
        let _ = writeln!(text, "  {cell:width$}  {expected}");
    }
    text
}

/// The line of a cell, and where to look if it did not come out as expected.
pub(super) fn cell(watched: &Watched<'_>) -> String {
    let style = style();
    let result = watched.result;
    let mark = match watched.exit {
        Exit::AsExpected => style.good("ok"),
        Exit::Differs => style.bad("!!"),
        Exit::Harness | Exit::Usage => style.bad("harness"),
        Exit::Unavailable => style.warn("unavailable"),
        _ => style.warn("??"),
    };
    let proof = result.evidence.first().map(String::as_str).unwrap_or_default();
    // The sentence under a violation says more than its name.
    let proof = match proof.strip_suffix(": VIOLATED") {
        Some(name) => format!("{name}: {}", result.evidence.get(1).map_or("", |line| line.trim())),
        None => proof.trim().to_owned(),
    };
    let mut text =
        format!("  {mark}  {}", style.bold(if result.cell.is_empty() { "-" } else { &result.cell }));
    let _ = write!(text, "  [{}]  ", result.expected);
    if result.runs > 1 {
        let _ = write!(text, "{}/{}  ", result.as_expected, result.runs);
    }
    let headline = match watched.exit {
        Exit::AsExpected => String::new(),
        _ => {
            let odd = result.verdicts.keys().cloned().collect::<Vec<_>>();
            format!("{}  ", odd.join("; "))
        }
    };
    let _ = writeln!(text, "{headline}{proof}  {:.1} s", result.seconds_median);
    if watched.exit == Exit::Differs {
        for line in result.evidence.iter().skip(1) {
            let _ = writeln!(text, "        {line}");
        }
    }
    if let Some(directory) = &watched.directory {
        let _ = writeln!(text, "      run directory {}", directory.display());
    }
    if let Some(reproduce) = &watched.reproduce {
        let _ = writeln!(text, "      {reproduce}");
    }
    text
}

/// Why it is so, and where to read about it.
pub(super) fn why(runs: &Runs, language: Language) -> String {
    let Some(question) = &runs.suite.question else { return String::new() };
    let mut text = format!("\n{}\n", question.why.text(language).trim_end());
    if !question.sources.is_empty() {
        let _ = writeln!(text, "{}", style().faint(&question.sources.join("; ")));
    }
    text
}

/// How many cells came out as expected.
pub(super) fn summary(results: &Results) -> String {
    let cells = || results.entries.values().flat_map(|entry| &entry.cells);
    let good = cells().filter(|cell| cell.as_expected == cell.runs).count();
    let seconds: f64 = cells().map(|cell| cell.seconds_mean * cell.runs as f64).sum();
    let entries = results.entries.len();
    format!("\n{good} of {} cells of {entries} questions as expected, in {seconds:.0} s\n", cells().count())
}
