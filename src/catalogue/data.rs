//! The data files of the catalogue beside its suites.
//!
//! Invariant: a key that is not known is an error, so that nothing in the files is silently of no effect.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Answer, Entry};
use crate::suite::Both;

/// An answer in words: a file of `texts/`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TextFile {
    pub(super) id: String,
    pub(super) asked: Vec<String>,
    pub(super) question: Both,
    pub(super) answer: Both,
    #[serde(default)]
    pub(super) see: Vec<String>,
}

/// A question as it was found: an item of `index-numbers.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct NumberFile {
    pub(super) number: String,
    zh: String,
    en: String,
    pub(super) leads_to: Vec<String>,
}

/// A question that no suite decides yet: an item of `index-not-yet.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NotYetFile {
    pub(super) id: String,
    asked: Vec<String>,
    zh: String,
    en: String,
}

impl NumberFile {
    pub(super) fn question(&self) -> Both {
        Both { zh: self.zh.clone(), en: self.en.clone() }
    }
}

impl NotYetFile {
    pub(super) fn into_entry(self) -> Entry {
        Entry {
            id: self.id,
            group: None,
            question: Both { zh: self.zh, en: self.en },
            asked: self.asked,
            answer: Answer::NotYet,
        }
    }
}

/// A file that is a list.
pub(super) fn list<T: DeserializeOwned>(file: &str, text: &str) -> Result<Vec<T>, String> {
    one(file, text)
}

/// A file that is one thing.
pub(super) fn one<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, String> {
    serde_yaml::from_str(text).map_err(|error| format!("{file}: {error}"))
}
