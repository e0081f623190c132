//! Which procedures the cells of a matrix call.
//!
//! A cell may choose among procedures, and leaves the others uncalled; as a suite of its own it would be told to remove
//! them. Invariant: a procedure that no cell calls stays in every cell, so that the reader of steps refuses it; one that
//! some cell calls is read in the cells that call it. Deliberately absent: whether what is called exists.

use std::collections::BTreeSet;

use super::super::tree::{Entry, Node, Value};
use super::matrix::entry;

/// Removes, from every root, the procedures that only other roots call.
pub(super) fn keep_called(roots: &mut [&mut Node]) {
    let called: Vec<BTreeSet<String>> = roots.iter().map(|root| called(root)).collect();
    let by_any: BTreeSet<&String> = called.iter().flatten().collect();
    for (root, own) in roots.iter_mut().zip(&called) {
        let Some(procedures) = procedures(root) else { continue };
        procedures.retain(|procedure| own.contains(&procedure.key) || !by_any.contains(&procedure.key));
    }
}

fn procedures(root: &mut Node) -> Option<&mut Vec<Entry>> {
    let Value::Map(entries) = &mut root.value else { return None };
    let found = entries.iter_mut().find(|entry| entry.key == "procedures")?;
    match &mut found.value.value {
        Value::Map(procedures) => Some(procedures),
        _ => None,
    }
}

/// The procedures that the steps call, and those that these call in turn.
fn called(root: &Node) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = Vec::new();
    if let Some(steps) = entry(root, "steps") {
        calls(&steps.value, &mut open);
    }
    while let Some(name) = open.pop() {
        let body = entry(root, "procedures").and_then(|procedures| entry(&procedures.value, &name));
        if found.insert(name)
            && let Some(body) = body
        {
            calls(&body.value, &mut open);
        }
    }
    found
}

/// The names behind every `call` in this part of the file.
fn calls(node: &Node, out: &mut Vec<String>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| calls(item, out)),
        Value::Map(entries) => {
            for entry in entries {
                match &entry.value.value {
                    Value::Scalar(name) if entry.key == "call" => out.push(name.text.clone()),
                    _ => calls(&entry.value, out),
                }
            }
        }
        Value::Null | Value::Scalar(_) => {}
    }
}
