//! `raftcheck ask`: a question in, its answer out, shown by running it.
//!
//! Invariant: what is printed as the result of a cell comes from a run that was just made and judged; the answer in words
//! stands beside it and never in its place. A cell that is inconclusive is a miss.

pub(super) mod cells;
mod show;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::json;

use crate::catalogue::results::{CellResult, EntryResult, Results, digest, host};
use crate::catalogue::{Answer, Catalogue, Entry, Found, GROUPS};
use crate::exit::Exit;
use crate::interrupt;
use crate::suite::Language;
use cells::{Runner, Tried};

/// The arguments of `raftcheck ask`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// A question's name, its number (S1-023), or words of it in English or Chinese; the groups if not given
    #[arg(value_name = "ID|NUMBER|WORDS")]
    query: Vec<String>,
    /// Every question that runs decide
    #[arg(long, conflicts_with = "query")]
    all: bool,
    /// The questions of a group: a letter
    #[arg(long, value_name = "LETTER", conflicts_with_all = ["query", "all"])]
    group: Option<String>,
    /// Only this cell of the matrix; may be given several times
    #[arg(long, value_name = "NAME")]
    cell: Vec<String>,
    /// Shows what would be run, and runs nothing
    #[arg(long)]
    dry_run: bool,
    /// How often each cell is run
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u64).range(1..=1000))]
    runs: u64,
    /// The seed of the first run; random if not given
    #[arg(long)]
    seed: Option<u64>,
    /// The language of questions and answers; that of the environment if not given
    #[arg(long, value_enum)]
    lang: Option<Language>,
    /// Prints one JSON document instead
    #[arg(long)]
    json: bool,
    /// Where run directories go
    #[arg(long, value_name = "DIR", default_value = "raftcheck-runs")]
    out: PathBuf,
    /// Puts the results into this file, in place of earlier ones of the same questions
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
}

/// Answers.
pub(super) fn main(args: &Args) -> Exit {
    let catalogue = match Catalogue::get() {
        Ok(catalogue) => catalogue,
        Err(problem) => return harness(&problem),
    };
    let language = args.lang.unwrap_or_else(language);
    let entries = match chosen(args, catalogue, language) {
        Ok(Some(entries)) => entries,
        Ok(None) => {
            print(&show::groups(catalogue, language));
            return Exit::AsExpected;
        }
        Err(message) => {
            eprintln!("error: {message}");
            return Exit::Usage;
        }
    };
    if let Err(error) = interrupt::watch() {
        return harness(&format!("cannot watch for signals: {error}"));
    }
    let (exit, results) = answer(args, catalogue, &entries, language);
    if args.json {
        print(&document(&entries, &results, language));
    }
    match keep(args, results) {
        Ok(()) => exit,
        Err(error) => exit.worst(harness(&error.to_string())),
    }
}

fn harness(problem: &str) -> Exit {
    eprintln!("error: {problem}");
    Exit::Harness
}

/// Prints; a reader that has seen enough is no error.
fn print(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

/// The language that the environment asks for.
pub(super) fn language() -> Language {
    let set = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(std::env::var_os);
    let first = set.into_iter().find(|value| !value.is_empty());
    match first {
        Some(value) if value.to_string_lossy().starts_with("zh") => Language::Zh,
        _ => Language::En,
    }
}

/// The entries that are meant; `None` if none is named at all.
fn chosen<'c>(
    args: &Args,
    catalogue: &'c Catalogue,
    language: Language,
) -> Result<Option<Vec<&'c Entry>>, String> {
    if args.all {
        return Ok(Some(catalogue.entries().filter(|entry| entry.runs().is_some()).collect()));
    }
    if let Some(group) = &args.group {
        return of_group(catalogue, group).map(Some);
    }
    let query = args.query.join(" ");
    if query.trim().is_empty() {
        return Ok(None);
    }
    match catalogue.find(&query) {
        Found::Entries(entries) => Ok(Some(entries)),
        Found::Near(near) => Err(show::nearest(&query, &near, language)),
    }
}

/// The entries of a group.
pub(super) fn of_group<'c>(catalogue: &'c Catalogue, group: &str) -> Result<Vec<&'c Entry>, String> {
    let letter = group.to_uppercase();
    let mut letters = letter.chars();
    let known = letters.next().filter(|letter| GROUPS.iter().any(|(known, ..)| known == letter));
    match (known, letters.next()) {
        (Some(letter), None) => {
            let entries = catalogue.group(letter);
            if entries.is_empty() {
                return Err(format!("nothing of group {letter} is written yet"));
            }
            Ok(entries)
        }
        _ => {
            let known: Vec<String> = GROUPS.iter().map(|(letter, ..)| letter.to_string()).collect();
            Err(format!("there is no group `{group}`; the groups are {}", known.join(", ")))
        }
    }
}

/// Shows and runs all entries.
fn answer(args: &Args, catalogue: &Catalogue, entries: &[&Entry], language: Language) -> (Exit, Results) {
    let runner = Runner::new(&args.out, args.seed, args.runs);
    let mut exit = Exit::AsExpected;
    let mut results = Results::default();
    for (at, entry) in entries.iter().enumerate() {
        if interrupt::interrupted() {
            return (exit.worst(Exit::Interrupted), results);
        }
        if !args.json {
            print(if at > 0 { "\n" } else { "" });
            print(&show::question(entry, language));
        }
        match &entry.answer {
            Answer::Words { text, see } if !args.json => print(&show::words(text, see, language)),
            Answer::NotYet if !args.json => print(&show::not_yet(entry, catalogue, language)),
            Answer::Words { .. } | Answer::NotYet => {}
            Answer::Runs(runs) => {
                let tried = match args.dry_run {
                    true => Ok(cells::dry(runs, &args.cell)),
                    false => runner.entry(entry, runs, &args.cell, |cell| {
                        if !args.json {
                            print(&show::cell(cell));
                        }
                    }),
                };
                match tried {
                    Ok(Tried::Planned(planned)) if !args.json => print(&show::planned(&planned)),
                    Ok(Tried::Planned(_)) => {}
                    Ok(Tried::Run(worst, cells)) => {
                        exit = exit.worst(worst);
                        // A cell alone says nothing about the entry.
                        results.entries.insert(entry.id.clone(), result(runs.text, cells));
                    }
                    Err(message) => {
                        eprintln!("error: {message}");
                        exit = exit.worst(Exit::Usage);
                    }
                }
                if !args.json {
                    print(&show::why(runs, language));
                }
            }
        }
    }
    if interrupt::interrupted() {
        exit = exit.worst(Exit::Interrupted);
    }
    if !args.json && !args.dry_run && results.entries.len() > 1 {
        print(&show::summary(&results));
    }
    (exit, results)
}

fn result(text: &str, cells: Vec<CellResult>) -> EntryResult {
    EntryResult { digest: digest(text), raftcheck: env!("CARGO_PKG_VERSION").to_owned(), host: host(), cells }
}

/// Puts the results into the file that was asked for. Runs of single cells would pass for those of the whole entry.
fn keep(args: &Args, results: Results) -> io::Result<()> {
    let Some(path) = &args.results else { return Ok(()) };
    if !args.cell.is_empty() || args.dry_run {
        return Err(io::Error::other("--results takes whole entries: leave --cell and --dry-run out"));
    }
    let mut kept = Results::read(path)?;
    kept.entries.extend(results.entries);
    kept.write(path)
}

/// Everything as one JSON document.
fn document(entries: &[&Entry], results: &Results, language: Language) -> String {
    let entry = |entry: &&Entry| {
        let answer = match &entry.answer {
            Answer::Runs(runs) => runs.suite.question.as_ref().map(|question| &question.answer),
            Answer::Words { text, .. } => Some(text),
            Answer::NotYet => None,
        };
        json!({
            "id": entry.id,
            "group": entry.group,
            "asked": entry.asked,
            "question": entry.question.text(language),
            "answer": answer.map(|answer| answer.text(language)),
            "result": results.entries.get(&entry.id),
        })
    };
    let language = language.to_possible_value().map(|value| value.get_name().to_owned());
    let entries: Vec<serde_json::Value> = entries.iter().map(entry).collect();
    let document = json!({ "format": 1, "language": language, "questions": entries });
    format!("{}\n", serde_json::to_string_pretty(&document).unwrap_or_default())
}
