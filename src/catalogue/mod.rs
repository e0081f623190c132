//! The catalogue of questions, which the program carries with it: suites that answer by running, answers in words, and
//! what no suite decides yet.
//!
//! Invariant: every number of a question leads to at least one entry, and each entry is a file or is listed as not there
//! yet; the index is derived from the files, and no question is named in Rust. Deliberately absent: verdicts, which come
//! from runs ([`results`]).

mod data;
pub mod results;
mod search;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::suite::{self, Both, Language, SuiteFile};
use data::{NotYetFile, NumberFile, TextFile};

pub use search::Found;

/// The files below `suites/questions`, by their paths from there.
static FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/questions.rs"));

/// The group of the answers in words.
pub const TEXTS: char = 'T';

/// The groups, with what they are about. The last one holds the answers in words.
pub const GROUPS: [(char, &str, &str); 12] = [
    ('A', "投票与选举", "Votes and elections"),
    ('B', "分区、干扰与可用性", "Partitions, disruption, availability"),
    ('C', "复制与提交", "Replication and commit"),
    ('D', "持久化与磁盘", "Persistence and disks"),
    ('E', "读", "Reads"),
    ('F', "客户端", "Clients"),
    ('G', "成员变更", "Membership"),
    ('H', "快照", "Snapshots"),
    ('I', "其他复制方案", "Other designs of replication"),
    ('J', "性能与规模", "Performance and shape"),
    ('P', "来自工程实践", "Asked by practitioners"),
    (TEXTS, "不靠运行回答的问题", "Answered in words"),
];

/// Everything.
pub struct Catalogue {
    entries: BTreeMap<String, Entry>,
    numbers: BTreeMap<String, Number>,
}

/// One entry.
pub struct Entry {
    /// Its name: that of its file.
    pub id: String,
    /// Its group; `None` where nothing but a name is known.
    pub group: Option<char>,
    /// The question.
    pub question: Both,
    /// The numbers that lead here, sorted.
    pub asked: Vec<String>,
    /// What answers it.
    pub answer: Answer,
}

/// What answers a question.
pub enum Answer {
    /// Runs.
    Runs(Box<Runs>),
    /// Words.
    Words {
        /// The answer.
        text: Both,
        /// Entries that bear on it.
        see: Vec<String>,
    },
    /// Nothing yet.
    NotYet,
}

/// A suite that answers a question.
pub struct Runs {
    /// Its file, from `suites/questions` on.
    pub file: &'static str,
    /// The text of the file.
    pub text: &'static str,
    /// What it holds. Its question is that of the entry.
    pub suite: SuiteFile,
}

/// A question as it was found.
pub struct Number {
    /// The question.
    pub question: Both,
    /// The entries that answer it: suites first, then words, then what is not there yet.
    pub entries: Vec<String>,
}

impl Catalogue {
    /// The catalogue of this program. `Err` says which of its own files is wrong; a test sees to it that none is.
    pub fn get() -> Result<&'static Catalogue, String> {
        static CATALOGUE: OnceLock<Result<Catalogue, String>> = OnceLock::new();
        CATALOGUE.get_or_init(Catalogue::load).as_ref().map_err(Clone::clone)
    }

    fn load() -> Result<Self, String> {
        let mut entries = BTreeMap::new();
        let mut numbers: Vec<NumberFile> = Vec::new();
        let mut not_yet: Vec<NotYetFile> = Vec::new();
        for &(file, text) in FILES {
            match file {
                "index-numbers.yaml" => numbers = data::list(file, text)?,
                "index-not-yet.yaml" => not_yet = data::list(file, text)?,
                _ if file.starts_with("texts/") => put(&mut entries, words(file, text)?)?,
                _ => put(&mut entries, runs(file, text)?)?,
            }
        }
        for one in not_yet {
            // An entry may be written before it leaves the list.
            entries.entry(one.id.clone()).or_insert_with(|| one.into_entry());
        }
        for number in &numbers {
            for id in &number.leads_to {
                let entry = entries.entry(id.clone()).or_insert_with(|| Entry {
                    id: id.clone(),
                    group: None,
                    question: number.question(),
                    asked: Vec::new(),
                    answer: Answer::NotYet,
                });
                if !entry.asked.contains(&number.number) {
                    entry.asked.push(number.number.clone());
                }
            }
        }
        entries.values_mut().for_each(|entry| entry.asked.sort());
        let numbers = numbers.into_iter().map(|number| {
            let mut ids: Vec<&Entry> =
                entries.values().filter(|entry| entry.asked.contains(&number.number)).collect();
            ids.sort_by_key(|entry| entry.rank());
            let ids = ids.into_iter().map(|entry| entry.id.clone()).collect();
            (number.number.clone(), Number { question: number.question(), entries: ids })
        });
        let numbers = numbers.collect();
        Ok(Self { entries, numbers })
    }

    /// All entries, sorted by name.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The entry of this name.
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// The entries of a group, sorted by name.
    pub fn group(&self, group: char) -> Vec<&Entry> {
        self.entries().filter(|entry| entry.group == Some(group)).collect()
    }

    /// All numbers with their questions, sorted.
    pub fn numbers(&self) -> impl Iterator<Item = (&str, &Number)> {
        self.numbers.iter().map(|(number, question)| (number.as_str(), question))
    }

    /// The question of this number.
    pub fn number(&self, number: &str) -> Option<&Number> {
        self.numbers.get(number)
    }
}

impl Entry {
    /// Its suite, if runs answer it.
    pub fn runs(&self) -> Option<&Runs> {
        match &self.answer {
            Answer::Runs(runs) => Some(runs),
            Answer::Words { .. } | Answer::NotYet => None,
        }
    }

    fn rank(&self) -> u8 {
        match self.answer {
            Answer::Runs(_) => 0,
            Answer::Words { .. } => 1,
            Answer::NotYet => 2,
        }
    }
}

/// What a group is about.
pub fn group_title(group: char, language: Language) -> &'static str {
    let found = GROUPS.iter().find(|(letter, ..)| *letter == group);
    found.map_or("", |(_, zh, en)| if language == Language::Zh { zh } else { en })
}

fn put(entries: &mut BTreeMap<String, Entry>, entry: Entry) -> Result<(), String> {
    let id = entry.id.clone();
    match entries.insert(id.clone(), entry) {
        None => Ok(()),
        Some(_) => Err(format!("two files of the catalogue are called {id}")),
    }
}

/// The name of a file without its folder and ending.
fn id_of(file: &str) -> &str {
    file.rsplit('/').next().and_then(|name| name.strip_suffix(".yaml")).unwrap_or(file)
}

fn runs(file: &'static str, text: &'static str) -> Result<Entry, String> {
    let mut suite = suite::read_file(file, text.as_bytes(), &[], &suite::vocabulary())
        .map_err(|found| found.to_string())?;
    let Some(question) = suite.question.clone() else {
        return Err(format!("{file} is a suite of the catalogue and has no `question`"));
    };
    if suite.suites[0].name != id_of(file) {
        return Err(format!("{file} holds a suite that is called {}", suite.suites[0].name));
    }
    suite.suites.sort_by_key(|suite| suite.control().is_some());
    Ok(Entry {
        id: id_of(file).to_owned(),
        group: Some(question.group),
        question: question.question.clone(),
        asked: question.asked,
        answer: Answer::Runs(Box::new(Runs { file, text, suite })),
    })
}

fn words(file: &str, text: &str) -> Result<Entry, String> {
    let read: TextFile = data::one(file, text)?;
    if read.id != id_of(file) {
        return Err(format!("{file} holds a text that is called {}", read.id));
    }
    Ok(Entry {
        id: read.id,
        group: Some(TEXTS),
        question: read.question,
        asked: read.asked,
        answer: Answer::Words { text: read.answer, see: read.see },
    })
}
