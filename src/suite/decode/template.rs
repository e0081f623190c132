//! `${{ name }}` in values, filled in from the `values` of a cell.
//!
//! A scalar that is one template takes the value whole, also a list or a map; within a longer text the value has to be a
//! scalar. Invariant: filling in keeps every place, and a suite grows only up to a limit, however often a template stands
//! in it. Deliberately absent: expressions, defaults, and templates in keys.

use super::super::diagnostics::{Diagnostic, Diagnostics, Place};
use super::super::suggest;
use super::super::tree::{Entry, Node, Scalar, Value};

const OPEN: &str = "${{";
const CLOSE: &str = "}}";
/// The most values of a suite after filling in, and the most bytes of one text.
const NODES_MAX: usize = 20_000;
/// See [`NODES_MAX`].
const TEXT_MAX: usize = 64 * 1024;

/// The values of a cell.
pub(super) struct Values<'n> {
    /// The cell's name; `None` for a suite without a matrix.
    cell: Option<&'n str>,
    entries: &'n [Entry],
}

/// The work on one suite.
struct Filling<'v, 'o> {
    values: &'v Values<'v>,
    used: Vec<bool>,
    nodes: usize,
    notes: Vec<(Place, String)>,
    out: &'o mut Diagnostics,
}

impl<'n> Values<'n> {
    /// The values of a cell; `None` if they are no map.
    pub(super) fn read(entry: Option<&'n Entry>, cell: &'n str, out: &mut Diagnostics) -> Option<Self> {
        let entries = match entry.map(|entry| &entry.value) {
            None => &[][..],
            Some(Node { value: Value::Map(entries), .. }) => entries,
            Some(node) => {
                let message = format!("`values` is a map from names to values, not {}", node.kind());
                out.push(Diagnostic::new(node.place.clone(), message));
                return None;
            }
        };
        Some(Self { cell: Some(cell), entries })
    }

    /// No values at all: every template is a problem.
    pub(super) fn none() -> Self {
        Self { cell: None, entries: &[] }
    }

    /// The tree with every template filled in, and what each stands for; `None` if one has no value.
    pub(super) fn fill_in(&self, root: &Node, out: &mut Diagnostics) -> Option<(Node, Vec<(Place, String)>)> {
        let before = out.len();
        let used = vec![false; self.entries.len()];
        let mut filling = Filling { values: self, used, nodes: 0, notes: Vec::new(), out };
        let filled = filling.node(root);
        let Filling { used, notes, .. } = filling;
        for (entry, _) in self.entries.iter().zip(used).filter(|(_, used)| !used) {
            let message = format!("nothing in the suite uses `{OPEN} {} {CLOSE}`", entry.key);
            out.push(Diagnostic::new(entry.key_place.clone(), message).label("remove this value, or use it"));
        }
        (out.len() == before).then_some((filled, notes))
    }
}

impl<'v> Filling<'v, '_> {
    fn node(&mut self, node: &Node) -> Node {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let message = format!("the suite has more than {NODES_MAX} values, templates filled in");
            self.out.push(Diagnostic::new(node.place.clone(), message));
            return node.clone();
        }
        let value = match &node.value {
            Value::Null => Value::Null,
            Value::Scalar(scalar) if scalar.text.contains(OPEN) => return self.scalar(node, scalar),
            Value::Scalar(scalar) => Value::Scalar(scalar.clone()),
            Value::List(items) => Value::List(items.iter().map(|item| self.node(item)).collect()),
            Value::Map(entries) => Value::Map(
                entries
                    .iter()
                    .map(|entry| Entry { value: self.node(&entry.value), ..entry.clone() })
                    .collect(),
            ),
        };
        Node { place: node.place.clone(), value }
    }

    fn scalar(&mut self, node: &Node, scalar: &Scalar) -> Node {
        let mut text = String::new();
        let mut rest = scalar.text.as_str();
        while let Some((before, behind)) = rest.split_once(OPEN) {
            let Some((name, after)) = behind.split_once(CLOSE) else {
                let message = format!("`{OPEN}` is not closed by `{CLOSE}`");
                self.out.push(Diagnostic::new(node.place.clone(), message));
                return node.clone();
            };
            let Some(value) = self.value(name.trim(), &node.place) else { return node.clone() };
            if text.is_empty() && before.is_empty() && after.is_empty() {
                return self.whole(node, name.trim(), value);
            }
            let Value::Scalar(inner) = &value.value else {
                let message = format!("`{}` is {}, and stands within a text here", name.trim(), value.kind());
                self.out.push(Diagnostic::new(node.place.clone(), message));
                return node.clone();
            };
            text.push_str(before);
            text.push_str(&inner.text);
            if text.len() > TEXT_MAX {
                let message = format!("with its templates filled in, this has more than {TEXT_MAX} bytes");
                self.out.push(Diagnostic::new(node.place.clone(), message));
                return node.clone();
            }
            self.note(&node.place, name.trim(), &inner.text);
            rest = after;
        }
        text.push_str(rest);
        Node { place: node.place.clone(), value: Value::Scalar(Scalar { text, style: scalar.style }) }
    }

    /// The value in place of a scalar that is nothing but the template.
    fn whole(&mut self, node: &Node, name: &str, value: &Node) -> Node {
        self.nodes += size(value);
        match &value.value {
            Value::Scalar(scalar) => {
                self.note(&node.place, name, &scalar.text);
                Node { place: node.place.clone(), value: value.value.clone() }
            }
            // Its parts are shown where they were written.
            _ => value.clone(),
        }
    }

    fn note(&mut self, place: &Place, name: &str, text: &str) {
        let cell = self.values.cell.unwrap_or_default();
        self.notes.push((place.clone(), format!("`{OPEN} {name} {CLOSE}` is `{text}` in the cell `{cell}`")));
    }

    fn value(&mut self, name: &str, place: &Place) -> Option<&'v Node> {
        let entries = self.values.entries;
        if let Some(at) = entries.iter().position(|entry| entry.key == name) {
            self.used[at] = true;
            return Some(&entries[at].value);
        }
        let diagnostic = match self.values.cell {
            Some(cell) => {
                let known: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
                let message = format!("the cell `{cell}` gives no value to `{OPEN} {name} {CLOSE}`");
                let label = suggest::did_you_mean(name, &known).unwrap_or_default();
                let help = format!("add `values: {{ {name}: ... }}` to the cell");
                Diagnostic::new(place.clone(), message).label(label).help(help)
            }
            None => {
                let message = format!("`{OPEN} {name} {CLOSE}` has no value, because there is no `matrix`");
                Diagnostic::new(place.clone(), message)
                    .help("write the value, or a matrix whose cells give it")
            }
        };
        self.out.push(diagnostic);
        None
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Null | Value::Scalar(_) => 0,
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|entry| size(&entry.value)).sum(),
    }
}
