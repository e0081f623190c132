//! Verbs that are operations of clients: `put`, `get`, `delete`, `cas`, `append`, `add`, `members`, `begin`, `retry`.

use cluster::system::ReadMode;

use super::super::super::diagnostics::{Diagnostic, Diagnostics};
use super::super::super::fields::{Fields, items, scalar};
use super::super::super::settings::word;
use super::super::super::suggest;
use super::super::super::tree::{Node, Value};
use super::super::{named, unknown};
use super::args::duration;
use super::{Given, Reader};
use crate::script::expr::{Text, Type};
use crate::script::model::{Call, Ground, OpExpect, OpFunction, Operation, Retries, Verb};

/// How long an operation has to stay open to count as pending, where the step says nothing.
const PENDING_NS: u64 = 200_000_000;

const FUNCTIONS: [(&str, OpFunction); 7] = [
    ("put", OpFunction::Put),
    ("get", OpFunction::Get),
    ("delete", OpFunction::Delete),
    ("cas", OpFunction::Cas),
    ("append", OpFunction::Append),
    ("add", OpFunction::Add),
    ("members", OpFunction::Members),
];

/// What a value of an operation can be.
const VALUE: [Type; 2] = [Type::Number, Type::Reply];
/// What a read can be expected to see.
const SEEN: [Type; 4] = [Type::Number, Type::Reply, Type::Numbers, Type::Vote];

impl<'r, 'n> Reader<'r, 'n> {
    pub(super) fn operation(
        &mut self,
        given: &Given<'n>,
        beside: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        let fields = self.map(given, out)?;
        let pending_ns = pending(beside, out)?;
        let (operation, fields) = self.operation_of(given.verb, fields, Ground::Foreground, out);
        fields.finish(out);
        let mut operation = operation?;
        operation.pending_ns = pending_ns;
        Some(Verb::Operation(operation))
    }

    /// `begin: { put: { ... }, as: w }`
    pub(super) fn begin(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        let mut outer = self.map(given, out)?;
        let name =
            outer.take("as").and_then(|entry| self.fresh(&entry.value, "the name of an operation", out));
        let inner = FUNCTIONS.iter().find_map(|(word, _)| Some((*word, outer.take(word)?)));
        outer.finish(out);
        let Some((word, entry)) = inner else {
            let message = "`begin` names no operation";
            let help = "write `begin: { put: { key: k, value: 1 }, as: w }`";
            out.push(Diagnostic::new(given.place.clone(), message).help(help));
            return None;
        };
        let fields = Fields::of(&entry.value, format!("`{word}`"), out)?.at(entry.key_place.clone());
        let (operation, fields) = self.operation_of(word, fields, Ground::Background, out);
        fields.finish(out);
        let mut operation = operation?;
        if name.is_some() {
            operation.name = name;
        }
        if let Some(name) = &operation.name {
            self.names.operations.insert(name.clone());
        }
        if !operation.expect.is_empty() || operation.sees.is_some() {
            let message = "nothing can be expected of an operation that only begins";
            let help = "wait for it: `wait: acked(w)`";
            out.push(Diagnostic::new(given.place.clone(), message).help(help));
            return None;
        }
        Some(Verb::Operation(operation))
    }

    fn operation_of(
        &mut self,
        word: &str,
        mut fields: Fields<'n>,
        ground: Ground,
        out: &mut Diagnostics,
    ) -> (Option<Operation>, Fields<'n>) {
        let read = self.operation_fields(word, &mut fields, ground, out);
        if let Some(name) = read.as_ref().and_then(|operation| operation.name.clone()) {
            self.names.operations.insert(name);
        }
        (read, fields)
    }

    fn operation_fields(
        &self,
        word: &str,
        fields: &mut Fields<'n>,
        ground: Ground,
        out: &mut Diagnostics,
    ) -> Option<Operation> {
        let function = FUNCTIONS.iter().find(|(name, _)| *name == word)?.1;
        self.can_perform(function, fields, out);
        let is_read = matches!(function, OpFunction::Get | OpFunction::Members);
        let at = self.optional(fields, "at", &[Type::Node], out);
        let key = fields.require("key", "key: k", out);
        let key = key.and_then(|entry| Some(scalar(&entry.value, "a key", out)?.text.clone()));
        let (value, expected) = self.values(function, fields, out);
        let name = match fields.take("as") {
            None => Some(None),
            Some(entry) => self.fresh(&entry.value, "the name of an operation", out).map(Some),
        };
        let expect = match fields.take("expect") {
            None => Some(Vec::new()),
            Some(entry) => expectations(&entry.value, out),
        };
        let sees = if is_read { self.optional(fields, "sees", &SEEN, out) } else { Ok(None) };
        let mode = if is_read { mode(fields, out) } else { Some(None) };
        let timeout_ns = match fields.take("timeout") {
            None => Some(None),
            Some(entry) => duration(&entry.value, "timeout", out).map(Some),
        };
        let client = match fields.take("client") {
            None => Some(None),
            Some(entry) => self.fresh(&entry.value, "the name of a client", out).map(Some),
        };
        let retries = retries(fields, out);
        Some(Operation {
            call: Call { function, key: key?, value: value?, expected: expected? },
            at: at.ok()?,
            name: name?,
            expect: expect?,
            sees: sees.ok()?,
            timeout_ns: timeout_ns?,
            mode: mode?,
            client: client?,
            retries: retries?,
            ground,
            pending_ns: PENDING_NS,
        })
    }

    /// What is written, and what is expected to be there.
    fn values(
        &self,
        function: OpFunction,
        fields: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> (Option<Option<Text>>, Option<Option<Text>>) {
        let mut needed = |name, example| {
            let entry = fields.require(name, example, out)?;
            self.text(&entry.value, &VALUE, out).map(Some)
        };
        match function {
            OpFunction::Put | OpFunction::Append | OpFunction::Add => {
                (needed("value", "value: 1"), Some(None))
            }
            OpFunction::Cas => {
                let expected = needed("from", "from: 1");
                (needed("to", "to: 2"), expected)
            }
            OpFunction::Get | OpFunction::Delete | OpFunction::Members => (Some(None), Some(None)),
        }
    }

    fn can_perform(&self, function: OpFunction, fields: &Fields<'n>, out: &mut Diagnostics) {
        let Some(system) = self.system.entry else { return };
        let ops = system.capabilities.ops;
        if !ops.contains(&function.name()) {
            let message = format!("`{}` cannot perform {}", system.entry.name, function.name());
            let help = format!("it performs {}", suggest::one_of(ops));
            out.push(Diagnostic::new(fields.place().clone(), message).help(help));
        }
    }

    pub(super) fn retry(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        let mut fields = self.map(given, out)?;
        let op = fields.require("op", "op: w", out);
        let at = self.optional(&mut fields, "at", &[Type::Node], out);
        let expect = match fields.take("expect") {
            None => Some(Vec::new()),
            Some(entry) => expectations(&entry.value, out),
        };
        fields.finish(out);
        let op = op?;
        let name = &scalar(&op.value, "the name of an operation", out)?.text;
        if !self.names.operations.contains(name) {
            let known: Vec<&str> = self.names.operations.iter().map(String::as_str).collect();
            out.push(unknown(&op.value.place, "operation", name, &known));
            return None;
        }
        Some(Verb::Retry { op: name.clone(), at: at.ok()?, expect: expect? })
    }
}

fn pending(beside: &mut Fields<'_>, out: &mut Diagnostics) -> Option<u64> {
    match beside.take("for") {
        None => Some(PENDING_NS),
        Some(entry) => duration(&entry.value, "for", out),
    }
}

fn mode(fields: &mut Fields<'_>, out: &mut Diagnostics) -> Option<Option<ReadMode>> {
    let Some(entry) = fields.take("mode") else { return Some(None) };
    let text = &scalar(&entry.value, "a way of reading", out)?.text;
    let words = ["log", "read-index", "lease", "local"];
    word(&entry.value, text, &words, "mode", out).map(|word| {
        Some(match word {
            "log" => ReadMode::Log,
            "read-index" => ReadMode::ReadIndex,
            "lease" => ReadMode::Lease,
            _ => ReadMode::Local,
        })
    })
}

fn retries(fields: &mut Fields<'_>, out: &mut Diagnostics) -> Option<Retries> {
    let Some(entry) = fields.take("retries") else { return Some(Retries::None) };
    let text = &scalar(&entry.value, "`none` or `by-hand`", out)?.text;
    word(&entry.value, text, &["none", "by-hand"], "retries", out).map(|word| match word {
        "by-hand" => Retries::ByHand,
        _ => Retries::None,
    })
}

fn expectations(node: &Node, out: &mut Diagnostics) -> Option<Vec<OpExpect>> {
    if let Value::Map(_) = &node.value {
        let named = named(node, "outcome", "expect: ok", out)?;
        out.push(Diagnostic::new(named.place.clone(), "`expect` is a word or a list of words"));
        return None;
    }
    let read = items(node).iter().map(|item| {
        let text = &scalar(item, "an outcome", out)?.text;
        let words = ["ok", "failed", "unknown", "pending"];
        word(item, text, &words, "expect", out).map(|word| match word {
            "ok" => OpExpect::Ok,
            "failed" => OpExpect::Failed,
            "unknown" => OpExpect::Unknown,
            _ => OpExpect::Pending,
        })
    });
    let read: Vec<Option<OpExpect>> = read.collect();
    read.into_iter().collect()
}
