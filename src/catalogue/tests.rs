//! The catalogue as it is carried: every file is read, every number leads somewhere.

use std::fs;
use std::path::Path;

use super::*;

fn catalogue() -> &'static Catalogue {
    Catalogue::get().unwrap_or_else(|problem| panic!("{problem}"))
}

/// How many questions were found.
const NUMBERS: usize = 333;

#[test]
fn every_number_leads_to_an_entry() {
    let catalogue = catalogue();
    assert_eq!(catalogue.numbers().count(), NUMBERS);
    for (number, question) in catalogue.numbers() {
        assert!(!question.entries.is_empty(), "{number} leads nowhere");
        let Found::Entries(found) = catalogue.find(number) else { panic!("{number} is not found") };
        assert_eq!(found.len(), question.entries.len());
        for entry in found {
            assert!(entry.asked.iter().any(|asked| asked == number));
        }
    }
}

#[test]
fn every_entry_is_asked_by_a_number_that_exists() {
    for entry in catalogue().entries() {
        for number in &entry.asked {
            assert!(catalogue().number(number).is_some(), "{} names {number}", entry.id);
        }
        if let Answer::Words { see, .. } = &entry.answer {
            assert!(!entry.asked.is_empty(), "{} answers nobody", entry.id);
            assert!(see.iter().all(|id| *id != entry.id));
        }
        for text in [&entry.question.zh, &entry.question.en] {
            assert!(!text.trim().is_empty(), "{}", entry.id);
        }
    }
}

#[test]
fn entries_are_found_by_name_number_and_words() {
    let catalogue = catalogue();
    for entry in catalogue.entries() {
        let Found::Entries(found) = catalogue.find(&entry.id) else { panic!("{}", entry.id) };
        assert_eq!(found[0].id, entry.id);
        // A letter too few.
        let short = &entry.id[..entry.id.len() - 1];
        let (Found::Entries(near) | Found::Near(near)) = catalogue.find(short);
        assert!(!near.is_empty() && near.len() <= 3, "{short}");
    }
    let first = |query: &str| match catalogue.find(query) {
        Found::Entries(found) | Found::Near(found) => {
            found.iter().map(|entry| entry.question.en.clone()).collect::<Vec<_>>()
        }
    };
    for (query, word) in [("投票信息 丢失", "vote"), ("what is a term", "term"), ("任期 是什么", "term")]
    {
        assert!(first(query).iter().any(|question| question.contains(word)), "{query}: {:?}", first(query));
    }
    for strange in ["", "----", "日", "\u{0}", "xyzzy plugh"] {
        let (Found::Entries(found) | Found::Near(found)) = catalogue.find(strange);
        assert!(found.len() <= 3, "{strange}");
    }
}

/// What a question needs stands in its file. A case for one question in Rust would make its answer worthless.
#[test]
fn no_source_names_a_question() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for folder in ["src", "checker/src", "cluster/src", "nemesis/src", "raftkv/src", "workloads/src"] {
        collect(&root.join(folder), &mut sources);
    }
    assert!(sources.len() > 100, "{}", sources.len());
    // A name of one word is also a word of the language.
    let ids = catalogue().entries().map(|entry| entry.id.as_str()).filter(|id| id.matches('-').count() >= 2);
    let ids: Vec<&str> = ids.collect();
    for source in sources {
        let text = fs::read_to_string(&source).expect("a source can be read");
        // The language page's examples are whole suites; whoever reads them in a test names them.
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for id in &ids {
            assert!(!code.contains(id), "{} names the question {id}", source.display());
        }
    }
}

fn collect(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).expect("the sources can be listed") {
        let path = entry.expect("the sources can be listed").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}
