//! The pages of the answer book as Markdown: a cover, one page per group and an index by number, in both languages.
//!
//! Invariant: what stands there of runs is taken from the results; what was never run says so.

use std::fmt::Write as _;

use crate::catalogue::results::{CellResult, EntryResult, Results, digest};
use crate::catalogue::{Answer, Catalogue, Entry, GROUPS, Runs, group_title};
use crate::suite::Language;

/// Both languages.
pub(super) const LANGUAGES: [Language; 2] = [Language::Zh, Language::En];

const GENERATED: &str =
    "<!-- Written by `raftcheck book` from the suites and from results.json. Do not edit. -->\n";

/// The folder of a language.
pub(super) fn folder(language: Language) -> &'static str {
    match language {
        Language::Zh => "zh",
        Language::En => "en",
    }
}

/// The page of a group.
pub(super) fn file(group: char) -> String {
    format!("group-{}.md", group.to_ascii_lowercase())
}

fn word(language: Language, zh: &'static str, en: &'static str) -> &'static str {
    match language {
        Language::Zh => zh,
        Language::En => en,
    }
}

/// The first page: what there is, and how much of it came out as expected.
pub(super) fn cover(catalogue: &Catalogue, results: &Results) -> String {
    let mut text = format!("{GENERATED}# Answers\n\n");
    text.push_str(
        "Questions about Raft, answered by running them on real processes; `raftcheck ask ID` does it again. By number: \
         [中文](zh/numbers.md), [English](en/numbers.md).\n\n",
    );
    text.push_str(
        "| group | 中文 | English | questions | cells | as expected |\n|---|---|---|---|---|---|\n",
    );
    for (letter, zh, en) in GROUPS {
        let entries = catalogue.group(letter);
        if entries.is_empty() {
            continue;
        }
        let cells = || {
            entries.iter().filter_map(|entry| results.entries.get(&entry.id)).flat_map(|entry| &entry.cells)
        };
        let good = cells().filter(|cell| cell.as_expected == cell.runs).count();
        let page = file(letter);
        let count = cells().count();
        let good = if count == 0 { "-".to_owned() } else { good.to_string() };
        let _ = writeln!(
            text,
            "| {letter} | [{zh}](zh/{page}) | [{en}](en/{page}) | {} | {count} | {good} |",
            entries.len()
        );
    }
    let missing: Vec<&str> =
        catalogue.entries().filter(|entry| entry.group.is_none()).map(|entry| entry.id.as_str()).collect();
    if !missing.is_empty() {
        let _ = writeln!(text, "\nNo suite decides these yet: {}.", missing.join(", "));
    }
    text
}

/// All questions as they were found, by number, with what answers each.
pub(super) fn numbers(catalogue: &Catalogue, language: Language) -> String {
    let title = word(language, "按编号", "By number");
    let heads = word(language, "| 编号 | 问题 | 回答 |", "| number | question | answered by |");
    let mut text = format!("{GENERATED}# {title}\n\n{heads}\n|---|---|---|\n");
    for (number, question) in catalogue.numbers() {
        let links: Vec<String> = question
            .entries
            .iter()
            .filter_map(|id| catalogue.entry(id))
            .map(|entry| link(entry, language))
            .collect();
        let question = question.question.text(language).replace('|', "\\|").replace('\n', " ");
        let _ = writeln!(text, "| {number} | {question} | {} |", links.join(", "));
    }
    text
}

fn link(entry: &Entry, language: Language) -> String {
    match entry.group {
        Some(group) => format!("[{id}]({}#{id})", file(group), id = entry.id),
        None => format!("{} ({})", entry.id, word(language, "还没有", "not yet")),
    }
}

/// The page of a group; `None` where there is nothing of it.
pub(super) fn group(
    catalogue: &Catalogue,
    results: &Results,
    letter: char,
    language: Language,
) -> Option<String> {
    let entries = catalogue.group(letter);
    if entries.is_empty() {
        return None;
    }
    let mut text = format!("{GENERATED}# {letter}. {}\n\n", group_title(letter, language));
    for entry in &entries {
        let _ = writeln!(text, "- [{id}](#{id}) {}", line(entry.question.text(language)), id = entry.id);
    }
    for entry in entries {
        text.push('\n');
        text.push_str(&one(entry, results.entries.get(&entry.id), language));
    }
    Some(text)
}

fn line(text: &str) -> String {
    text.trim().replace('\n', " ")
}

fn one(entry: &Entry, result: Option<&EntryResult>, language: Language) -> String {
    let mut text = format!("## {}\n\n**{}**\n\n", entry.id, line(entry.question.text(language)));
    if !entry.asked.is_empty() {
        let _ = writeln!(text, "{}: {}\n", word(language, "编号", "Asked"), entry.asked.join(", "));
    }
    match &entry.answer {
        Answer::Words { text: answer, see } => {
            let _ = writeln!(text, "{}", answer.text(language).trim_end());
            if !see.is_empty() {
                let _ = writeln!(text, "\n{}: {}", word(language, "参见", "See"), see.join(", "));
            }
        }
        Answer::NotYet => {}
        Answer::Runs(runs) => text.push_str(&answered(entry, runs, result, language)),
    }
    text
}

fn answered(entry: &Entry, runs: &Runs, result: Option<&EntryResult>, language: Language) -> String {
    let mut text = String::new();
    let question = runs.suite.question.as_ref();
    if let Some(question) = question {
        let _ = writeln!(text, "{}\n", question.answer.text(language).trim_end());
    }
    match result {
        None => {
            let _ = writeln!(text, "{}\n", word(language, "还没有运行过。", "It was not run yet."));
        }
        Some(result) => {
            if result.digest != digest(runs.text) {
                let changed =
                    word(language, "这个套件在运行之后改动过。", "The suite was changed after this run.");
                let _ = writeln!(text, "{changed}\n");
            }
            text.push_str(&table(&result.cells, language));
            for cell in &result.cells {
                text.push_str(&evidence(cell));
            }
            let made = word(language, "运行环境", "Run with");
            let _ = writeln!(text, "{made}: raftcheck {}, {}.\n", result.raftcheck, result.host);
        }
    }
    if let Some(question) = question {
        let _ = writeln!(text, "{}\n", question.why.text(language).trim_end());
        if !question.sources.is_empty() {
            let _ =
                writeln!(text, "{}: {}\n", word(language, "来源", "Sources"), question.sources.join("; "));
        }
    }
    let _ = writeln!(text, "`raftcheck ask {}`", entry.id);
    text
}

fn table(cells: &[CellResult], language: Language) -> String {
    let heads = word(
        language,
        "| 格 | 预期 | 符合预期 | 结果 | 秒（中位数） |",
        "| cell | expected | as expected | result | seconds (median) |",
    );
    let mut text = format!("{heads}\n|---|---|---|---|---|\n");
    for cell in cells {
        let name = if cell.cell.is_empty() { "-" } else { &cell.cell };
        let verdicts: Vec<String> = match cell.verdicts.len() {
            1 => cell.verdicts.keys().cloned().collect(),
            _ => cell.verdicts.iter().map(|(verdict, times)| format!("{times} x {verdict}")).collect(),
        };
        let _ = writeln!(
            text,
            "| {name} | {} | {}/{} | {} | {:.1} |",
            cell.expected,
            cell.as_expected,
            cell.runs,
            verdicts.join("; ").replace('|', "\\|"),
            cell.seconds_median
        );
    }
    text.push('\n');
    text
}

fn evidence(cell: &CellResult) -> String {
    if cell.evidence.is_empty() {
        return String::new();
    }
    let name = if cell.cell.is_empty() { String::new() } else { format!("{}:\n", cell.cell) };
    format!("```text\n{name}{}\n```\n\n", cell.evidence.join("\n"))
}
