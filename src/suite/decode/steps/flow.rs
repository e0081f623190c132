//! Verbs that wait, decide, bind and repeat, and the calls of procedures.

use super::super::super::diagnostics::{Diagnostic, Diagnostics};
use super::super::super::fields::{Fields, scalar};
use super::super::super::tree::{Node, Value};
use super::super::unknown;
use super::args::{count, duration, is_name};
use super::{CALLS_MAX, Given, Reader};
use crate::script::check::Names;
use crate::script::expr::{Text, Type};
use crate::script::model::{Step, Verb};

/// What a binding can hold.
const BINDABLE: [Type; 9] = [
    Type::Node,
    Type::Nodes,
    Type::Number,
    Type::Duration,
    Type::Role,
    Type::Vote,
    Type::Position,
    Type::Numbers,
    Type::Reply,
];

/// The names that are set however a decision turns out.
fn common(one: &Names, other: &Names) -> Names {
    let both = |a: &std::collections::BTreeSet<String>, b: &std::collections::BTreeSet<String>| {
        a.intersection(b).cloned().collect()
    };
    let locks = one.locks.iter().filter(|(name, key)| other.locks.get(*name) == Some(key));
    let bindings = one.bindings.iter().filter(|(name, _)| other.bindings.contains_key(*name));
    Names {
        bindings: bindings.map(|(name, kind)| (name.clone(), *kind)).collect(),
        operations: both(&one.operations, &other.operations),
        locks: locks.map(|(name, key)| (name.clone(), key.clone())).collect(),
        orders: both(&one.orders, &other.orders),
        labels: both(&one.labels, &other.labels),
        messages: both(&one.messages, &other.messages),
    }
}

impl<'r, 'n> Reader<'r, 'n> {
    fn condition(&self, node: &Node, out: &mut Diagnostics) -> Option<Text> {
        self.text(node, &[Type::Truth], out)
    }

    pub(super) fn wait(
        &mut self,
        given: &Given<'n>,
        beside: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        let until = self.condition(given.value, out);
        let hold_ns = match beside.take("for") {
            None => Some(0),
            Some(entry) => duration(&entry.value, "for", out),
        };
        let before = self.names.clone();
        let then = match beside.take("then") {
            None => Some(Vec::new()),
            Some(entry) => self.steps(&entry.value, out),
        };
        let otherwise = match beside.take("else") {
            // Without it the run ends, so that what `then` sets is set.
            None => Some(None),
            Some(entry) => {
                let fulfilled = std::mem::replace(&mut self.names, before);
                let steps = self.steps(&entry.value, out);
                self.names = common(&fulfilled, &self.names);
                steps.map(Some)
            }
        };
        Some(Verb::Wait { until: until?, hold_ns: hold_ns?, then: then?, otherwise: otherwise? })
    }

    pub(super) fn assert(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        self.condition(given.value, out).map(Verb::Assert)
    }

    pub(super) fn decide(
        &mut self,
        given: &Given<'n>,
        beside: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        let condition = self.condition(given.value, out);
        let before = self.names.clone();
        let then = beside.require("then", "then: [...]", out);
        let then = then.and_then(|entry| self.steps(&entry.value, out));
        let fulfilled = std::mem::replace(&mut self.names, before);
        let otherwise = match beside.take("else") {
            None => Some(Vec::new()),
            Some(entry) => self.steps(&entry.value, out),
        };
        self.names = common(&fulfilled, &self.names);
        Some(Verb::If { condition: condition?, then: then?, otherwise: otherwise? })
    }

    /// `{ L: leader(), F1, F2: others(L) }`
    pub(super) fn bind(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        let Value::Map(entries) = &given.value.value else {
            let message = format!("`let` is a map from names to values, not {}", given.value.kind());
            out.push(
                Diagnostic::new(given.value.place.clone(), message).help("write `let: { L: leader() }`"),
            );
            return None;
        };
        let before = out.len();
        let mut bindings = Vec::new();
        for entry in entries {
            let names: Vec<String> = entry.key.split(',').map(|name| name.trim().to_owned()).collect();
            for name in &names {
                if let Err(why) = is_name(name) {
                    let message = format!("`{name}` cannot be bound");
                    out.push(Diagnostic::new(entry.key_place.clone(), message).label(why));
                }
            }
            let wanted: &[Type] = if names.len() > 1 { &[Type::Nodes] } else { &BINDABLE };
            let text = match scalar(&entry.value, "a value", out) {
                Some(scalar) => {
                    let text = scalar.text.as_str();
                    self.expression(&entry.value, (text, 0, text), wanted, out)
                }
                None => None,
            };
            let found = text.as_ref().map_or(Type::Anything, |(_, found)| *found);
            let each = if names.len() > 1 { Type::Node } else { found };
            for name in &names {
                self.names.bindings.insert(name.clone(), each);
            }
            if let Some((text, _)) = text {
                bindings.push((names, text));
            }
        }
        (out.len() == before).then_some(Verb::Let(bindings))
    }

    fn body(&mut self, beside: &mut Fields<'n>, out: &mut Diagnostics) -> Option<Vec<Step>> {
        let body = beside.require("do", "do: [...]", out)?;
        self.steps(&body.value, out)
    }

    pub(super) fn repeat(
        &mut self,
        given: &Given<'n>,
        beside: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        let times = count(given.value, "repeat", 1, out);
        let steps = self.body(beside, out);
        let until = match beside.take("until") {
            None => Some(None),
            Some(entry) => self.condition(&entry.value, out).map(Some),
        };
        Some(Verb::Repeat { times: times?, until: until?, steps: steps? })
    }

    pub(super) fn for_each(
        &mut self,
        given: &Given<'n>,
        beside: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        let Value::Map(entries) = &given.value.value else {
            let message = format!("`for-each` is a name and its nodes, not {}", given.value.kind());
            let help = "write `for-each: { F: others(L) }`";
            out.push(Diagnostic::new(given.value.place.clone(), message).help(help));
            return None;
        };
        let [entry] = entries.as_slice() else {
            let message = "`for-each` binds one name";
            out.push(Diagnostic::new(given.value.place.clone(), message));
            return None;
        };
        if let Err(why) = is_name(&entry.key) {
            let message = format!("`{}` cannot be bound", entry.key);
            out.push(Diagnostic::new(entry.key_place.clone(), message).label(why));
            return None;
        }
        let nodes = self.nodes(&entry.value, out);
        let outer = self.names.bindings.insert(entry.key.clone(), Type::Node);
        let steps = self.body(beside, out);
        match outer {
            Some(outer) => drop(self.names.bindings.insert(entry.key.clone(), outer)),
            None => drop(self.names.bindings.remove(&entry.key)),
        }
        Some(Verb::ForEach { name: entry.key.clone(), nodes: nodes?, steps: steps? })
    }

    pub(super) fn parallel(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        let Value::List(branches) = &given.value.value else {
            let message = format!("`parallel` is a list of lists of steps, not {}", given.value.kind());
            out.push(Diagnostic::new(given.value.place.clone(), message));
            return None;
        };
        let read: Vec<_> = branches.iter().map(|branch| self.steps(branch, out)).collect();
        read.into_iter().collect::<Option<_>>().map(Verb::Parallel)
    }

    pub(super) fn call(
        &mut self,
        given: &Given<'n>,
        beside: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        let name = scalar(given.value, "the name of a procedure", out)?.text.as_str();
        let given_args = beside.take("with");
        let Some((known, procedure)) = self.procedures.get_key_value(name).map(|(k, p)| (*k, p.clone()))
        else {
            let known: Vec<&str> = self.procedures.keys().copied().collect();
            out.push(unknown(&given.value.place, "procedure", name, &known));
            return None;
        };
        self.called.insert(known);
        if self.calls.iter().any(|call| call == name) || self.calls.len() >= CALLS_MAX {
            let message = format!("`{name}` calls itself: {} -> {name}", self.calls.join(" -> "));
            out.push(Diagnostic::new(given.value.place.clone(), message).label("this would never end"));
            return None;
        }
        let owner = format!("`with` of `{name}`");
        let mut fields = match given_args {
            Some(entry) => Fields::of(&entry.value, owner, out)?.at(entry.key_place.clone()),
            None => Fields::none(owner, given.place.clone()),
        };
        let before = out.len();
        let mut with = Vec::new();
        let outer = self.names.bindings.clone();
        for parameter in &procedure.takes {
            let Some(entry) = fields.take_any(parameter) else {
                let message = format!("`{name}` needs `{parameter}`");
                let help = format!("add it to `with: {{ {parameter}: ... }}`");
                out.push(Diagnostic::new(given.place.clone(), message).help(help));
                continue;
            };
            let Some(scalar) = scalar(&entry.value, "a value", out) else { continue };
            let text = scalar.text.as_str();
            if let Some((text, found)) = self.expression(&entry.value, (text, 0, text), &BINDABLE, out) {
                with.push(((*parameter).to_owned(), text, found));
            }
        }
        fields.finish(out);
        if out.len() > before {
            return None;
        }
        for (parameter, _, found) in &with {
            self.names.bindings.insert(parameter.clone(), *found);
        }
        self.calls.push(name.to_owned());
        let steps = self.steps(procedure.steps, out);
        self.calls.pop();
        self.names.bindings = outer;
        let with = with.into_iter().map(|(parameter, text, _)| (parameter, text)).collect();
        Some(Verb::Call { with, steps: steps? })
    }
}
