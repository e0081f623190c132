//! `raftcheck list` and `raftcheck schema`: what a suite file can say, from the registries themselves.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use checker::params::{Kind, Setting};
use clap::ValueEnum;

use crate::exit::Exit;
use crate::report::Style;
use crate::script::expr::Function;
use crate::suite::{self, Entry, Vocabulary};

use super::reference;

/// The arguments of `raftcheck list`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// What to list; everything if not given
    #[arg(value_enum)]
    topic: Option<Topic>,
    /// One entry, in full
    name: Option<String>,
    /// With `faults`: the whole reference as a Markdown page
    #[arg(long, conflicts_with = "name")]
    markdown: bool,
}

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Topic {
    Systems,
    Workloads,
    Faults,
    Checks,
    Measures,
    Rules,
    Steps,
    Conditions,
}

const TOPICS: [Topic; 8] = [
    Topic::Systems,
    Topic::Workloads,
    Topic::Faults,
    Topic::Checks,
    Topic::Measures,
    Topic::Rules,
    Topic::Steps,
    Topic::Conditions,
];

/// One thing in a list.
struct Item {
    name: String,
    summary: String,
    /// The page about it alone.
    page: String,
}

/// Lists.
pub(super) fn main(args: &Args) -> Exit {
    let vocabulary = &suite::vocabulary();
    if args.markdown && args.topic != Some(Topic::Faults) {
        eprintln!("error: --markdown is for the faults: raftcheck list faults --markdown");
        return Exit::Usage;
    }
    let text = match (args.topic, &args.name) {
        _ if args.markdown => reference::faults(),
        (None, _) => TOPICS.iter().map(|topic| overview(*topic, vocabulary)).collect::<Vec<_>>().join("\n"),
        (Some(topic), None) => overview(topic, vocabulary),
        (Some(topic), Some(name)) => match page(topic, name, vocabulary) {
            Ok(page) => page,
            Err(message) => {
                eprintln!("error: {message}");
                return Exit::Usage;
            }
        },
    };
    // A reader that has seen enough is no error.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    Exit::AsExpected
}

/// Prints the JSON schema of suite files.
pub(super) fn schema() -> Exit {
    let schema = suite::schema(&suite::vocabulary());
    let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    let _ = writeln!(io::stdout().lock(), "{text}");
    Exit::AsExpected
}

fn overview(topic: Topic, vocabulary: &Vocabulary) -> String {
    let style = Style::of(&io::stdout());
    let items = items(topic, vocabulary);
    let width = items.iter().map(|item| item.name.len()).max().unwrap_or(0);
    let mut text = format!("{}\n", style.bold(title(topic)));
    for item in items {
        let _ = writeln!(text, "  {:width$}  {}", item.name, item.summary);
    }
    text
}

fn page(topic: Topic, name: &str, vocabulary: &Vocabulary) -> Result<String, String> {
    let mut items = items(topic, vocabulary);
    match items.iter().position(|item| item.name == name) {
        Some(position) => Ok(items.swap_remove(position).page),
        None => {
            let near = items.iter().max_by(|one, other| {
                strsim::jaro_winkler(&one.name, name).total_cmp(&strsim::jaro_winkler(&other.name, name))
            });
            let hint = near.map_or_else(String::new, |item| format!("; did you mean `{}`?", item.name));
            Err(format!("`{name}` is not among the {}{hint}", title(topic)))
        }
    }
}

fn title(topic: Topic) -> &'static str {
    match topic {
        Topic::Systems => "systems",
        Topic::Workloads => "workloads",
        Topic::Faults => "faults",
        Topic::Checks => "checks",
        Topic::Measures => "measures",
        Topic::Rules => "rules of the bundled Raft KV",
        Topic::Steps => "steps",
        Topic::Conditions => "functions of conditions",
    }
}

/// Something of which there is no more to say than a sentence.
fn sentence(name: &str, summary: &str) -> Item {
    let page = format!("{name}\n  {summary}\n  See docs/questions.md.\n");
    Item { name: name.to_owned(), summary: summary.to_owned(), page }
}

fn items(topic: Topic, vocabulary: &Vocabulary) -> Vec<Item> {
    match topic {
        Topic::Systems => vocabulary.systems.iter().map(|system| entry(&system.entry)).collect(),
        Topic::Steps => suite::verbs().iter().map(|(verb, what)| sentence(verb, what)).collect(),
        Topic::Conditions => {
            Function::ALL.iter().map(|function| sentence(function.name(), function.summary())).collect()
        }
        Topic::Workloads => vocabulary.workloads.iter().map(|workload| entry(&workload.entry)).collect(),
        Topic::Faults => vocabulary.faults.iter().map(|fault| entry(&fault.entry)).collect(),
        Topic::Checks => vocabulary.checks.iter().map(|check| entry(&check.entry)).collect(),
        Topic::Measures => vocabulary
            .measures
            .iter()
            .map(|measure| {
                let aggregates: Vec<&str> = measure.aggregates.iter().map(|(name, _)| *name).collect();
                let page =
                    format!("{}: {}\n\nnumbers: {}\n", measure.name, measure.summary, aggregates.join(", "));
                Item { name: measure.name.to_owned(), summary: measure.summary.to_owned(), page }
            })
            .collect(),
        Topic::Rules => {
            vocabulary.systems.iter().filter_map(|system| system.rules.as_ref()).flat_map(rules).collect()
        }
    }
}

fn rules(book: &suite::RuleBook) -> Vec<Item> {
    book.rules
        .iter()
        .map(|rule| {
            let values = if rule.values.is_empty() { rule.form.clone() } else { rule.values.join(" | ") };
            let page =
                format!("{}: {}\n\nvalues: {values}\ndefault: {}\n", rule.name, rule.summary, rule.default);
            Item { name: rule.name.clone(), summary: format!("[{}] {}", rule.default, rule.summary), page }
        })
        .collect()
}

fn entry(entry: &Entry) -> Item {
    let mut page = format!("{}: {}\n\n{}\n", entry.name, entry.summary, entry.example.trim_end());
    if !entry.settings.is_empty() {
        page.push_str("\nsettings\n");
    }
    for setting in entry.settings {
        let _ = writeln!(page, "  {}: {}{}", setting.name, form(setting.kind), default(setting));
        let _ = writeln!(page, "      {}", setting.doc);
    }
    Item { name: entry.name.to_owned(), summary: entry.summary.to_owned(), page }
}

pub(super) fn default(setting: &Setting) -> String {
    setting.default.map_or_else(|| ", must be given".to_owned(), |default| format!(", default {default}"))
}

/// What may stand behind a setting's key.
pub(super) fn form(kind: Kind) -> String {
    match kind {
        Kind::Duration => "a duration (250ms)".to_owned(),
        Kind::DurationRange => "a duration or a range (2s..8s)".to_owned(),
        Kind::Count { min, max } => format!("a whole number from {min} to {max}"),
        Kind::Rate => "a rate (400/s)".to_owned(),
        Kind::Ratio => "a number from 0 to 1, or a percentage".to_owned(),
        Kind::Flag => "true or false".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Word(words) => words.join(" | "),
        Kind::List(kind) => format!("a list of: {}", form(*kind)),
        Kind::Weights(words) => format!("weights of {}", words.join(", ")),
        Kind::Target => "leader | follower | any | majority | minority | all | healed | a node".to_owned(),
        Kind::Groups => "groups of nodes ([[n1, n2], [n3]])".to_owned(),
    }
}
