//! `question:` what the suite answers.

use super::super::diagnostics::{Diagnostic, Diagnostics};
use super::super::fields::{Fields, items, scalar};
use super::super::question::{Both, Question};
use super::super::tree::{Entry, Node};

/// The groups of the catalogue.
pub(in super::super) const GROUPS: &str = "ABCDEFGHIJP";

/// Reads the section. The outer `None` stands for one with errors, the inner one for a suite without.
pub(super) fn read(entry: Option<&Entry>, out: &mut Diagnostics) -> Option<Option<Question>> {
    let Some(entry) = entry else { return Some(None) };
    let before = out.len();
    let mut fields = Fields::of(&entry.value, "`question`", out)?.at(entry.key_place.clone());
    let group = group(&mut fields, out);
    let asked = asked(&mut fields, out);
    let question = both(&mut fields, out);
    let answer = nested(&mut fields, "answer", out);
    let why = nested(&mut fields, "why", out);
    let sources = fields.take("sources").map(|entry| texts(&entry.value, "a source", out));
    fields.finish(out);
    if out.len() > before {
        return None;
    }
    let sources = sources.unwrap_or_default();
    Some(Some(Question {
        group: group?,
        asked: asked?,
        question: question?,
        answer: answer?,
        why: why?,
        sources,
    }))
}

fn group(fields: &mut Fields<'_>, out: &mut Diagnostics) -> Option<char> {
    let entry = fields.require("group", "group: A", out)?;
    let text = &scalar(&entry.value, "a group", out)?.text;
    let mut letters = text.chars();
    match (letters.next().filter(|letter| GROUPS.contains(*letter)), letters.next()) {
        (Some(letter), None) => Some(letter),
        _ => {
            let known: Vec<String> = GROUPS.chars().map(String::from).collect();
            let diagnostic =
                Diagnostic::new(entry.value.place.clone(), format!("there is no group `{text}`"));
            out.push(diagnostic.help(format!("the groups are {}", known.join(", "))));
            None
        }
    }
}

/// Numbers of questions, `S1-023`. None at all is allowed: nobody has to have asked what is worth an answer.
fn asked(fields: &mut Fields<'_>, out: &mut Diagnostics) -> Option<Vec<String>> {
    let entry = fields.require("asked", "asked: [S1-023]", out)?;
    let mut numbers = Vec::new();
    for item in items(&entry.value) {
        let Some(text) = scalar(item, "a number such as `S1-023`", out).map(|scalar| &scalar.text) else {
            continue;
        };
        if !is_number(text) {
            let diagnostic =
                Diagnostic::new(item.place.clone(), format!("`{text}` is no number of a question"));
            out.push(diagnostic.help("a number has the form `S1-023`: document, then question"));
        } else if numbers.contains(text) {
            out.push(Diagnostic::new(item.place.clone(), format!("`{text}` stands here twice")));
        }
        numbers.push(text.clone());
    }
    Some(numbers)
}

/// Whether the text has the form of a question's number: `S1-023`.
pub(in super::super) fn is_number(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 6
        && bytes[0] == b'S'
        && bytes[1].is_ascii_digit()
        && bytes[2] == b'-'
        && bytes[3..].iter().all(u8::is_ascii_digit)
}

fn nested(fields: &mut Fields<'_>, name: &'static str, out: &mut Diagnostics) -> Option<Both> {
    let entry = fields.require(name, &format!("{name}: {{ zh: ..., en: ... }}"), out)?;
    let mut fields = Fields::of(&entry.value, format!("`{name}`"), out)?.at(entry.key_place.clone());
    let read = both(&mut fields, out);
    fields.finish(out);
    read
}

fn both(fields: &mut Fields<'_>, out: &mut Diagnostics) -> Option<Both> {
    let mut text = |name| {
        let entry = fields.require(name, &format!("{name}: ..."), out)?;
        let text = scalar(&entry.value, "text", out)?.text.trim().to_owned();
        if text.is_empty() {
            out.push(Diagnostic::new(entry.value.place.clone(), format!("`{name}` is empty")));
            return None;
        }
        Some(text)
    };
    let (zh, en) = (text("zh"), text("en"));
    Some(Both { zh: zh?, en: en? })
}

fn texts(node: &Node, what: &str, out: &mut Diagnostics) -> Vec<String> {
    items(node).iter().filter_map(|item| scalar(item, what, out).map(|scalar| scalar.text.clone())).collect()
}
