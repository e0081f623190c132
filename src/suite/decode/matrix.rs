//! `matrix:` one suite per cell, each with its expected verdict.
//!
//! A cell changes the tree of the suite before it is read: rules and nodes of the system, values of `${{ }}` templates,
//! whole sections. So every section is read and checked for every cell by the code that reads it anyway, and every
//! problem points at where the cell or the suite says so. Invariant: what comes out for a cell could have been written
//! as a suite of its own.

use super::super::diagnostics::{Diagnostic, Diagnostics, Place};
use super::super::fields::{Fields, scalar};
use super::super::model::Suite;
use super::super::suggest;
use super::super::tree::{Entry, Node, Value};
use super::called;
use super::template::Values;

/// The most cells of a matrix.
const CELLS_MAX: usize = 100;

/// Sections that a cell can have in place of the suite's.
const SECTIONS: [&str; 12] = [
    "workload",
    "warm-up",
    "duration",
    "faults",
    "steps",
    "procedures",
    "within",
    "op-timeout",
    "finish",
    "quiesce",
    "checks",
    "thresholds",
];

/// A cell, and the suite that it makes.
pub(super) struct Cell {
    pub(super) name: String,
    /// The suite's tree with this cell's changes.
    pub(super) root: Node,
    /// What each template stands for here.
    pub(super) notes: Vec<(Place, String)>,
}

/// The cells of a suite file; those with errors of their own are left out.
pub(super) fn read(root: &Node, matrix: &Entry, out: &mut Diagnostics) -> Vec<Cell> {
    let Value::List(list) = &matrix.value.value else {
        let message = format!("`matrix` is a list of cells, not {}", matrix.value.kind());
        let help = "write `matrix:` and below it for example `- { cell: durable, expect: safe }`";
        out.push(Diagnostic::new(matrix.value.place.clone(), message).help(help));
        return Vec::new();
    };
    if list.is_empty() || list.len() > CELLS_MAX {
        let message = format!("a matrix has 1 to {CELLS_MAX} cells, and this has {}", list.len());
        out.push(Diagnostic::new(matrix.key_place.clone(), message));
        return Vec::new();
    }
    if let Some(expect) = entry(root, "expect") {
        let message = "a suite with a matrix expects something of each cell, not of all at once";
        let diagnostic = Diagnostic::new(expect.key_place.clone(), message);
        out.push(diagnostic.help("move `expect` into the cells"));
    }
    let mut cells: Vec<(Cell, Place)> = Vec::new();
    for item in list {
        let Some((cell, place)) = cell(root, item, out) else { continue };
        match cells.iter().find(|(other, _)| other.name == cell.name) {
            Some((_, first)) => {
                let message = format!("two cells are called `{}`", cell.name);
                let diagnostic = Diagnostic::new(place, message).label("again here");
                out.push(diagnostic.also(first.clone(), "first here"));
            }
            None => cells.push((cell, place)),
        }
    }
    let mut cells: Vec<Cell> = cells.into_iter().map(|(cell, _)| cell).collect();
    let mut roots: Vec<&mut Node> = cells.iter_mut().map(|cell| &mut cell.root).collect();
    called::keep_called(&mut roots);
    cells
}

fn cell(root: &Node, item: &Node, out: &mut Diagnostics) -> Option<(Cell, Place)> {
    let owner = match entry(item, "cell").map(|entry| &entry.value.value) {
        Some(Value::Scalar(name)) => format!("the cell `{}`", name.text),
        _ => "the cell".to_owned(),
    };
    let mut fields = Fields::of(item, owner, out)?.at(item.place.clone());
    let name = fields.require("cell", "cell: durable", out);
    let rules = fields.take("rules");
    let nodes = fields.take("nodes");
    let values = fields.take("values");
    let expect = fields.require("expect", "expect: safe", out);
    let sections: Vec<&Entry> = SECTIONS.into_iter().filter_map(|section| fields.take(section)).collect();
    fields.finish(out);
    let name_entry = name?;
    let name = cell_name(&name_entry.value, out)?;
    let mut entries = match &root.value {
        Value::Map(entries) => entries.clone(),
        _ => return None,
    };
    entries.retain(|entry| !matches!(entry.key.as_str(), "matrix" | "question" | "expect"));
    for section in sections.into_iter().chain(expect) {
        put(&mut entries, section);
    }
    if let Some(system) = entries.iter_mut().find(|entry| entry.key == "system") {
        change_system(&mut system.value, nodes, rules, out);
    }
    let root = Node { place: root.place.clone(), value: Value::Map(entries) };
    let values = Values::read(values, &name, out)?;
    let (root, notes) = values.fill_in(&root, out)?;
    // Everything else is still read without it, so that all problems are told at once.
    expect?;
    Some((Cell { name, root, notes }, name_entry.value.place.clone()))
}

/// The name is also that of a directory.
fn cell_name(node: &Node, out: &mut Diagnostics) -> Option<String> {
    let text = &scalar(node, "the name of a cell", out)?.text;
    if super::names_a_directory(text) {
        return Some(text.clone());
    }
    let message = format!("`{text}` cannot name a cell, because its runs go to a directory of that name");
    out.push(Diagnostic::new(node.place.clone(), message).help(super::DIRECTORY_NAMES));
    None
}

/// Nodes and rules of the cell in place of those of the suite, the other rules as they are.
fn change_system(system: &mut Node, nodes: Option<&Entry>, rules: Option<&Entry>, out: &mut Diagnostics) {
    let Value::Map(entries) = &mut system.value else { return };
    if let Some(nodes) = nodes {
        put(entries, nodes);
    }
    let Some(rules) = rules else { return };
    let Value::Map(more) = &rules.value.value else {
        if rules.value.value != Value::Null {
            let message = format!("`rules` is a map from rules to values, not {}", rules.value.kind());
            out.push(Diagnostic::new(rules.value.place.clone(), message));
        }
        return;
    };
    match entries.iter_mut().find(|entry| entry.key == "rules") {
        Some(Entry { value: Node { value: Value::Map(present), .. }, .. }) => {
            more.iter().for_each(|rule| put(present, rule));
        }
        _ => put(entries, rules),
    }
}

fn put(entries: &mut Vec<Entry>, new: &Entry) {
    match entries.iter_mut().find(|entry| entry.key == new.key) {
        Some(entry) => *entry = new.clone(),
        None => entries.push(new.clone()),
    }
}

/// The entry of a map with this key.
pub(super) fn entry<'n>(node: &'n Node, key: &str) -> Option<&'n Entry> {
    match &node.value {
        Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
        _ => None,
    }
}

/// The names of all cells, also of those with problems.
pub(super) fn names(matrix: &Entry) -> Vec<&str> {
    let Value::List(list) = &matrix.value.value else { return Vec::new() };
    let name = |cell| match &entry(cell, "cell")?.value.value {
        Value::Scalar(scalar) => Some(scalar.text.as_str()),
        _ => None,
    };
    list.iter().filter_map(name).collect()
}

/// Refuses `--set` of a rule that the cells set themselves: their expected verdicts speak of their own values.
pub(super) fn refuse_sets(matrix: &Entry, sets: &[String], out: &mut Diagnostics) {
    let Value::List(list) = &matrix.value.value else { return };
    for (index, set) in sets.iter().enumerate() {
        let name = set.split('=').next().unwrap_or_default();
        let setting = list
            .iter()
            .filter(|cell| entry(cell, "rules").is_some_and(|rules| entry(&rules.value, name).is_some()));
        let cells: Vec<String> = setting
            .filter_map(|cell| match &entry(cell, "cell")?.value.value {
                Value::Scalar(scalar) => Some(scalar.text.clone()),
                _ => None,
            })
            .collect();
        if !cells.is_empty() {
            let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
            let message = format!("`{name}` is what the cells of the matrix differ in");
            let diagnostic = Diagnostic::new(Place::set(index, 0..set.len()), message);
            out.push(diagnostic.help(format!("choose a cell: `--cell` {}", suggest::one_of(&cells))));
        }
    }
}

/// Refuses a control that is compared with a third cell itself.
pub(super) fn controls(suites: &[Suite], matrix: &Entry, out: &mut Diagnostics) {
    let find = |name: &str| suites.iter().find(|suite| suite.cell.as_deref() == Some(name));
    for suite in suites {
        let Some(control) = suite.control().and_then(find) else { continue };
        if let (Some(other), Some(cell), Some(name)) = (control.control(), &suite.cell, &control.cell) {
            let message =
                format!("`{cell}` is compared with `{name}`, which is itself compared with `{other}`");
            let diagnostic = Diagnostic::new(matrix.key_place.clone(), message);
            out.push(diagnostic.help("a control makes no comparison of its own"));
        }
    }
}
