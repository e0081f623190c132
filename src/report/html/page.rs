//! What a page shows, as a value.

use serde::{Serialize, Serializer};

use super::Timeline;
use super::escape::clip;
use crate::report::explain::Explanation;

/// Everything on a page.
#[derive(Debug)]
pub struct Page {
    /// The name of the run or of the history file.
    pub title: String,
    /// The result in a word: "PASS".
    pub word: String,
    /// How the word is coloured.
    pub tone: Tone,
    /// The result in a sentence.
    pub headline: String,
    /// What it is about: names and values.
    pub facts: Vec<(&'static str, String)>,
    /// The command that does it again.
    pub repeat: Option<String>,
    /// The verdicts, the violated ones first.
    pub findings: Vec<Finding>,
    /// The whole of it over time.
    pub timeline: Timeline,
    /// The operations around what was found.
    pub picture: Picture,
    /// Whatever else there is.
    pub tables: Vec<Table>,
    /// What a reader should know.
    pub remarks: Vec<String>,
}

/// How good a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// A violation.
    Bad,
    /// No answer, or one that nobody waits for.
    Unclear,
}

/// One verdict.
#[derive(Debug)]
pub struct Finding {
    /// The verdict in a word: "VIOLATED".
    pub word: String,
    /// How the word is coloured.
    pub tone: Tone,
    /// What the suite says to it: "expected".
    pub note: String,
    /// The reasons.
    pub explanation: Explanation,
    /// The tab of the picture that shows it, if one does.
    pub tab: Option<usize>,
}

/// A table of texts.
#[derive(Debug)]
pub struct Table {
    /// Its title.
    pub title: &'static str,
    /// The names of the columns.
    pub head: Vec<&'static str>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

/// What the script draws.
#[derive(Debug, Default, Serialize)]
pub struct Picture {
    /// A tab for each key, or for the nodes.
    pub tabs: Vec<Tab>,
    /// Keys that are not drawn, with their number of operations, the largest first.
    pub others: Vec<(String, u64)>,
    /// How many more of those there are.
    pub more: u64,
    /// Faults.
    pub bands: Vec<Band>,
    /// Phases and changes of leadership.
    pub marks: Vec<Mark>,
    /// Whether times are lines of a file.
    pub lines: bool,
}

/// What is shown at a time.
#[derive(Debug, Default, Serialize)]
pub struct Tab {
    /// The name of the key, of the property.
    pub label: String,
    /// What the items are: "operations", "transactions", "events".
    pub unit: &'static str,
    /// What a reader should know of it.
    pub note: String,
    /// Why the operations of the counterexample cannot all be true; empty if there is none here.
    pub reason: String,
    /// Whether a violation lies here.
    pub violated: bool,
    /// The rows.
    pub lanes: Vec<String>,
    /// The bars, in the order of their beginnings.
    pub items: Vec<Item>,
    /// All items of the tab, drawn or not.
    pub total: u64,
    /// All items over `span` in equal parts: how many began there.
    pub density: Vec<u32>,
    /// From the first to the last.
    pub span: (u64, u64),
    /// The part that the drawn bars cover.
    pub drawn: (u64, u64),
}

/// A bar.
#[derive(Clone, Debug, Default)]
pub struct Item {
    /// Its row.
    pub lane: usize,
    /// From.
    pub start: u64,
    /// To; `None` if it never ended.
    pub end: Option<u64>,
    /// What it looks like.
    pub shape: Shape,
    /// What stands on it.
    pub label: String,
    /// The letter of the counterexample's actor; `!` where the longest order breaks; empty for others.
    pub letter: String,
    /// Its place in the order that was found, from 1, and the moment of its effect there.
    pub order: Option<(usize, u64)>,
    /// The whole of it, in words.
    pub words: String,
    /// Who.
    pub who: String,
    /// Where it stands in the file.
    pub place: String,
}

/// How a bar looks; never told by colour alone. The numbers are known to the script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// It took effect.
    #[default]
    Ok = 0,
    /// It provably had no effect.
    Failed = 1,
    /// Nobody knows.
    Unknown = 2,
    /// An event without duration.
    Instant = 3,
    /// A node that leads.
    Leader = 4,
    /// A node that stands for election.
    Candidate = 5,
    /// A node that follows.
    Follower = 6,
    /// A node that is down.
    Down = 7,
}

impl Picture {
    /// Tells each tab why what it shows is a violation.
    pub fn give_reasons(&mut self, findings: &[Finding]) {
        for finding in findings {
            if let Some(tab) = finding.tab.and_then(|tab| self.tabs.get_mut(tab)) {
                tab.reason = clip(&finding.explanation.sentence, 1_000);
            }
        }
    }
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (place, effect) = self.order.unwrap_or((0, 0));
        let head = (self.lane, self.start, self.end, self.shape as u8, &self.label, &self.letter);
        (head.0, head.1, head.2, head.3, head.4, head.5, place, effect, &self.words, &self.who, &self.place)
            .serialize(to)
    }
}

/// A fault.
#[derive(Debug, Serialize)]
pub struct Band {
    /// In force from.
    pub from: u64,
    /// To; `None` until the end.
    pub to: Option<u64>,
    /// What, in a few words.
    pub label: String,
    /// What shows that it was in force, and how it ended.
    pub detail: String,
}

/// Something that happened at one time.
#[derive(Debug, Serialize)]
pub struct Mark {
    /// When.
    pub at: u64,
    /// What.
    pub label: String,
    /// `phase` or `leader`.
    pub kind: &'static str,
}
