//! The question that a suite answers, in Chinese as it was found and in English, with the answer and its reason.
//!
//! Invariant: every text stands in both languages, and the verdicts are not among them: those come from runs.

use serde::{Deserialize, Serialize};

/// A text in both languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Both {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

/// The languages of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Language {
    /// Chinese.
    Zh,
    /// English.
    En,
}

/// What a suite answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The group that it belongs to: one capital letter.
    pub group: char,
    /// Where it was asked: numbers such as `S1-023`.
    pub asked: Vec<String>,
    /// The question.
    pub question: Both,
    /// The answer in one or two sentences.
    pub answer: Both,
    /// Why it is so.
    pub why: Both,
    /// Where one can read about it.
    pub sources: Vec<String>,
}

impl Both {
    /// The text in a language.
    pub fn text(&self, language: Language) -> &str {
        match language {
            Language::Zh => &self.zh,
            Language::En => &self.en,
        }
    }
}
