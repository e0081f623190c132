//! What verbs take: expressions, nodes, numbers, durations, names.

use super::super::super::diagnostics::{Diagnostic, Diagnostics, Place};
use super::super::super::fields::{Fields, items, scalar};
use super::super::super::scalars;
use super::super::super::settings::{malformed, word};
use super::super::super::suggest;
use super::super::super::tree::{Node, Value};
use super::Reader;
use crate::script::check::demand;
use crate::script::expr::{Text, Type, WORDS};
use crate::script::model::Nodes;
use crate::script::parse::{self, Trouble};

/// What a single node or several are.
pub(super) const NODES: [Type; 2] = [Type::Node, Type::Nodes];

/// Whether a name may be given to something.
pub(super) fn is_name(text: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) || !text.chars().all(plain) {
        return Err("a name is a letter, then letters, digits and `_`".to_owned());
    }
    if WORDS.contains(&text) || matches!(text, "clients" | "all" | "true" | "false") {
        return Err("this word has a meaning of its own".to_owned());
    }
    if parse::node_named(text).is_some() {
        return Err("this is the name of a node".to_owned());
    }
    Ok(())
}

pub(super) fn duration(node: &Node, name: &str, out: &mut Diagnostics) -> Option<u64> {
    let text = &scalar(node, "a duration such as `300ms`", out)?.text;
    match scalars::duration(text) {
        Ok(0) => {
            out.push(Diagnostic::new(node.place.clone(), format!("`{name}` cannot be 0")));
            None
        }
        Ok(ns) => Some(ns),
        Err(error) => {
            out.push(malformed(node.place.clone(), name, text, error));
            None
        }
    }
}

pub(super) fn count(node: &Node, name: &str, least: u64, out: &mut Diagnostics) -> Option<u64> {
    let text = &scalar(node, "a whole number", out)?.text;
    scalars::count(text, least, i64::MAX as u64)
        .map_err(|error| out.push(malformed(node.place.clone(), name, text, error)))
        .ok()
}

/// A key that a verb needs, and what `read` makes of its value.
pub(super) fn required<'n, T>(
    fields: &mut Fields<'n>,
    (key, example): (&'static str, &str),
    out: &mut Diagnostics,
    read: impl FnOnce(&'n Node, &mut Diagnostics) -> Option<T>,
) -> Option<T> {
    let entry = fields.require(key, example, out)?;
    read(&entry.value, out)
}

/// A key that a verb may have, and what `read` makes of its value; `None` only for a value that is wrong.
pub(super) fn possible<'n, T>(
    fields: &mut Fields<'n>,
    key: &'static str,
    absent: T,
    out: &mut Diagnostics,
    read: impl FnOnce(&'n Node, &mut Diagnostics) -> Option<T>,
) -> Option<T> {
    match fields.take(key) {
        None => Some(absent),
        Some(entry) => read(&entry.value, out),
    }
}

/// A key whose value is one of some words.
pub(super) fn one_of<T: Copy, const N: usize>(
    fields: &mut Fields<'_>,
    key: &'static str,
    absent: T,
    words: [(&'static str, T); N],
    out: &mut Diagnostics,
) -> Option<T> {
    possible(fields, key, absent, out, |node, out| choice(node, key, words, out))
}

/// One of some words.
pub(super) fn choice<T: Copy, const N: usize>(
    node: &Node,
    key: &str,
    words: [(&'static str, T); N],
    out: &mut Diagnostics,
) -> Option<T> {
    let names = words.map(|(name, _)| name);
    let text = &scalar(node, &suggest::one_of(&names), out)?.text;
    let found = word(node, text, &names, key, out)?;
    words.into_iter().find(|(name, _)| *name == found).map(|(_, value)| value)
}

/// A value as it stands in the file, on one line.
pub(super) fn shown(node: &Node) -> String {
    match &node.value {
        Value::Null => String::new(),
        Value::Scalar(scalar) => scalar.text.clone(),
        Value::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let one = |entry: &super::Entry| format!("{}: {}", entry.key, shown(&entry.value));
            format!("{{ {} }}", entries.iter().map(one).collect::<Vec<_>>().join(", "))
        }
    }
}

/// The place of a part of the text of a scalar, where that can be told; else that of the whole.
pub(super) fn part(place: &Place, text: &str, range: std::ops::Range<usize>) -> Place {
    let quotes = match (place.range.len()).checked_sub(text.len()) {
        Some(0) => 0,
        Some(2) => 1,
        _ => return place.clone(),
    };
    let start = place.range.start + quotes;
    let end = range.end.min(text.len());
    let range = if range.start < end { range.start..end } else { 0..text.len() };
    Place { origin: place.origin, range: start + range.start..start + range.end }
}

/// The parts of a text between commas that stand in no brackets, each with where it begins.
pub(super) fn split(text: &str) -> Vec<(usize, &str)> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (index, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push((start, &text[start..index]));
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push((start, &text[start..]));
    parts
}

impl<'r, 'n> Reader<'r, 'n> {
    /// A part of a scalar as an expression of one of these types.
    pub(super) fn expression(
        &self,
        node: &Node,
        (whole, start, part_text): (&str, usize, &str),
        wanted: &[Type],
        out: &mut Diagnostics,
    ) -> Option<(Text, Type)> {
        let tell = |trouble: Trouble, out: &mut Diagnostics| {
            let range = start + trouble.range.start..start + trouble.range.end;
            let mut diagnostic =
                Diagnostic::new(part(&node.place, whole, range), trouble.message).label(trouble.label);
            if !trouble.help.is_empty() {
                diagnostic = diagnostic.help(trouble.help);
            }
            out.push(diagnostic);
        };
        let expr = match parse::parse(part_text) {
            Ok(expr) => expr,
            Err(trouble) => {
                tell(trouble, out);
                return None;
            }
        };
        let mut troubles = Vec::new();
        let found = demand(&expr, wanted, &self.world(), &mut troubles);
        if troubles.is_empty() {
            return Some((Text { text: part_text.trim().to_owned(), expr: trimmed(part_text)? }, found));
        }
        troubles.into_iter().for_each(|trouble| tell(trouble, out));
        None
    }

    /// A scalar as an expression of one of these types.
    pub(super) fn text(&self, node: &Node, wanted: &[Type], out: &mut Diagnostics) -> Option<Text> {
        let expected = wanted.first().map_or("a value", |wanted| wanted.noun());
        let text = scalar(node, expected, out)?.text.as_str();
        self.expression(node, (text, 0, text), wanted, out).map(|(text, _)| text)
    }

    /// One node.
    pub(super) fn node(&self, node: &Node, out: &mut Diagnostics) -> Option<Text> {
        self.text(node, &[Type::Node], out)
    }

    /// A node, several behind commas, or a list.
    pub(super) fn nodes(&self, node: &Node, out: &mut Diagnostics) -> Option<Nodes> {
        let mut read = Vec::new();
        for item in items(node) {
            let text = scalar(item, "a node such as `n1`", out)?.text.as_str();
            for (start, part) in split(text) {
                read.push(self.expression(item, (text, start, part), &NODES, out).map(|(text, _)| text));
            }
        }
        if read.is_empty() {
            out.push(Diagnostic::new(node.place.clone(), "no node is named here"));
            return None;
        }
        read.into_iter().collect()
    }

    /// What stands behind a verb that takes nodes alone, or a map of which one key is them.
    pub(super) fn nodes_and(
        &self,
        given: &super::Given<'n>,
        key: &'static str,
        out: &mut Diagnostics,
    ) -> Option<(Nodes, Fields<'n>)> {
        let owner = format!("`{}`", given.verb);
        if !matches!(given.value.value, Value::Map(_)) {
            return Some((self.nodes(given.value, out)?, Fields::none(owner, given.place.clone())));
        }
        let mut fields = Fields::of(given.value, owner, out)?.at(given.place.clone());
        let nodes = fields.require(key, &format!("{key}: n1"), out);
        let nodes = nodes.and_then(|entry| self.nodes(&entry.value, out));
        Some((nodes?, fields))
    }

    /// The same, with what `rest` takes of the map beside the nodes. Nothing else may stand there.
    pub(super) fn nodes_with<T>(
        &mut self,
        given: &super::Given<'n>,
        key: &'static str,
        out: &mut Diagnostics,
        rest: impl FnOnce(&mut Self, &mut Fields<'n>, &mut Diagnostics) -> Option<T>,
    ) -> Option<(Nodes, T)> {
        let (nodes, mut fields) = self.nodes_and(given, key, out)?;
        let rest = rest(self, &mut fields, out);
        fields.finish(out);
        Some((nodes, rest?))
    }

    /// The map behind a verb.
    pub(super) fn map(&self, given: &super::Given<'n>, out: &mut Diagnostics) -> Option<Fields<'n>> {
        Some(Fields::of(given.value, format!("`{}`", given.verb), out)?.at(given.place.clone()))
    }

    /// A key of a map that is an expression, where it is there.
    pub(super) fn optional(
        &self,
        fields: &mut Fields<'n>,
        key: &'static str,
        wanted: &[Type],
        out: &mut Diagnostics,
    ) -> Result<Option<Text>, ()> {
        match fields.take(key) {
            None => Ok(None),
            Some(entry) => self.text(&entry.value, wanted, out).map(Some).ok_or(()),
        }
    }
}

/// The same without white space around it: a plan keeps texts, and ranges belong to them.
fn trimmed(text: &str) -> Option<crate::script::expr::Expr> {
    parse::parse(text.trim()).ok()
}
