//! `raftcheck book`: the answer book, made from the catalogue and from what came out when it was run.
//!
//! Invariant: the pages are a function of the catalogue and the file of results, so that anybody can make them again and
//! compare; no page is edited, and a suite that was changed after its run is said to be.

mod page;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::catalogue::Catalogue;
use crate::catalogue::results::{Results, digest};
use crate::exit::Exit;
use crate::rundir::named;

/// The file with the results, in the book's directory.
const RESULTS: &str = "results.json";

/// The arguments of `raftcheck book`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Where the book lies, with the results that `ask --results` wrote
    #[arg(long, value_name = "DIR", default_value = "docs/answers")]
    out: PathBuf,
    /// The results; `results.json` in the book's directory if not given
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Writes nothing: fails if a page differs, or if a suite was changed after its run
    #[arg(long)]
    check: bool,
}

/// Writes the book, or compares it.
pub(super) fn main(args: &Args) -> Exit {
    match carry_out(args) {
        Ok(exit) => exit,
        Err(problem) => {
            eprintln!("error: {problem}");
            Exit::Harness
        }
    }
}

fn carry_out(args: &Args) -> Result<Exit, String> {
    let catalogue = Catalogue::get()?;
    let path = args.results.clone().unwrap_or_else(|| args.out.join(RESULTS));
    let results = Results::read(&path).map_err(|error| error.to_string())?;
    let pages = pages(catalogue, &results);
    if args.check {
        return Ok(check(args, catalogue, &results, &pages));
    }
    for (name, text) in &pages {
        write(&args.out.join(name), text).map_err(|error| error.to_string())?;
    }
    for stale in leftovers(&args.out, &pages).map_err(|error| error.to_string())? {
        fs::remove_file(&stale).map_err(|error| named(&stale, error).to_string())?;
    }
    println!("{} pages in {}", pages.len(), args.out.display());
    Ok(Exit::AsExpected)
}

/// Whether the book is what would be written now, of results that are not older than their suites.
fn check(args: &Args, catalogue: &Catalogue, results: &Results, pages: &BTreeMap<String, String>) -> Exit {
    let mut wrong = Vec::new();
    for (name, text) in pages {
        if fs::read_to_string(args.out.join(name)).ok().as_ref() != Some(text) {
            wrong.push(format!("{} is not what `raftcheck book` writes", args.out.join(name).display()));
        }
    }
    match leftovers(&args.out, pages) {
        Ok(files) => wrong.extend(files.iter().map(|file| format!("{} is no page any more", file.display()))),
        Err(error) => wrong.push(error.to_string()),
    }
    wrong.extend(older(catalogue, results));
    for problem in &wrong {
        eprintln!("error: {problem}");
    }
    if wrong.is_empty() { Exit::AsExpected } else { Exit::Differs }
}

/// What is older than its suite, or was never run.
fn older(catalogue: &Catalogue, results: &Results) -> Vec<String> {
    let testable = catalogue.entries().filter_map(|entry| Some((entry, entry.runs()?)));
    let problem = |id: &str, what: &str, again: &Path| {
        format!("{id} {what}: raftcheck ask {id} --results {}", again.display())
    };
    let again = Path::new("docs/answers").join(RESULTS);
    let mut found: Vec<String> = testable
        .filter_map(|(entry, runs)| match results.entries.get(&entry.id) {
            None => Some(problem(&entry.id, "was never run", &again)),
            Some(result) if result.digest != digest(runs.text) => {
                Some(problem(&entry.id, "was changed after its run", &again))
            }
            Some(_) => None,
        })
        .collect();
    let gone =
        results.entries.keys().filter(|id| catalogue.entry(id).is_none_or(|entry| entry.runs().is_none()));
    found.extend(
        gone.map(|id| format!("{} has results of {id}, which is no suite of the catalogue", RESULTS)),
    );
    found
}

/// The pages by their names below the book's directory.
fn pages(catalogue: &Catalogue, results: &Results) -> BTreeMap<String, String> {
    let mut pages = BTreeMap::from([("README.md".to_owned(), page::cover(catalogue, results))]);
    for language in page::LANGUAGES {
        let folder = page::folder(language);
        pages.insert(format!("{folder}/numbers.md"), page::numbers(catalogue, language));
        for (letter, ..) in crate::catalogue::GROUPS {
            if let Some(text) = page::group(catalogue, results, letter, language) {
                pages.insert(format!("{folder}/{}", page::file(letter)), text);
            }
        }
    }
    pages
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| named(folder, error))?;
    }
    fs::write(path, text).map_err(|error| named(path, error))
}

/// Pages of an earlier book that are no more.
fn leftovers(out: &Path, pages: &BTreeMap<String, String>) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for language in page::LANGUAGES {
        let folder = page::folder(language);
        let list = match fs::read_dir(out.join(folder)) {
            Ok(list) => list,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(named(&out.join(folder), error)),
        };
        for entry in list {
            let entry = entry?;
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if name.ends_with(".md") && !pages.contains_key(&name) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The book in the repository.
    fn book() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/answers")
    }

    /// `RAFTCHECK_BLESS=1` writes the pages anew, as `raftcheck book` does.
    #[test]
    fn the_book_is_what_is_written_from_its_results_and_these_are_not_older_than_the_suites() {
        let catalogue = Catalogue::get().unwrap();
        let results = Results::read(&book().join(RESULTS)).unwrap();
        for (id, result) in &results.entries {
            let runs = catalogue.entry(id).and_then(|entry| entry.runs());
            let runs = runs.unwrap_or_else(|| panic!("{id} has results and is no suite of the catalogue"));
            assert_eq!(result.digest, digest(runs.text), "{id} was changed after its run: ask it again");
            assert!(!result.cells.is_empty(), "{id}");
        }
        for (name, text) in pages(catalogue, &results) {
            if std::env::var_os("RAFTCHECK_BLESS").is_some() {
                write(&book().join(&name), &text).unwrap();
            }
            let found = fs::read_to_string(book().join(&name)).unwrap_or_default();
            assert!(found == text, "{name} is not what `raftcheck book` writes: run it");
        }
        assert_eq!(leftovers(&book(), &pages(catalogue, &results)).unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn pages_name_every_entry_and_every_number() {
        let catalogue = Catalogue::get().unwrap();
        let pages = pages(catalogue, &Results::default());
        for language in page::LANGUAGES {
            let folder = page::folder(language);
            let numbers = &pages[&format!("{folder}/numbers.md")];
            assert!(catalogue.numbers().all(|(number, _)| numbers.contains(number)));
            for entry in catalogue.entries() {
                let Some(group) = entry.group else { continue };
                let text = &pages[&format!("{folder}/{}", page::file(group))];
                assert!(text.contains(&format!("## {}\n", entry.id)), "{}", entry.id);
            }
        }
    }
}
