//! Verbs that are operations of clients: `put`, `get`, `delete`, `cas`, `append`, `add`, `members`, `lock`, `unlock`, `begin`,
//! `retry`.

use cluster::system::ReadMode;

use super::super::super::diagnostics::{Diagnostic, Diagnostics};
use super::super::super::fields::{Fields, items, scalar};
use super::super::super::settings::malformed;
use super::super::super::tree::{Node, Value};
use super::super::super::{scalars, suggest};
use super::super::{named, unknown};
use super::args::{choice, duration, one_of, possible, required};
use super::orders::LONG;
use super::{Given, Reader};
use crate::script::expr::{Text, Type};
use crate::script::model::{Call, Ground, OpExpect, OpFunction, Operation, Retries, Verb, WriteUse};

/// How long an operation has to stay open to count as pending, where the step says nothing.
const PENDING_NS: u64 = 200_000_000;

const FUNCTIONS: [(&str, OpFunction); 10] = [
    ("put", OpFunction::Put),
    ("poison", OpFunction::Put),
    ("get", OpFunction::Get),
    ("delete", OpFunction::Delete),
    ("cas", OpFunction::Cas),
    ("append", OpFunction::Append),
    ("add", OpFunction::Add),
    ("members", OpFunction::Members),
    ("lock", OpFunction::Lock),
    ("unlock", OpFunction::Unlock),
];

const MODES: [(&str, Option<ReadMode>); 4] = [
    ("log", Some(ReadMode::Log)),
    ("read-index", Some(ReadMode::ReadIndex)),
    ("lease", Some(ReadMode::Lease)),
    ("local", Some(ReadMode::Local)),
];

const RETRIES: [(&str, Retries); 2] = [("none", Retries::None), ("by-hand", Retries::ByHand)];

const OUTCOMES: [(&str, OpExpect); 4] = [
    ("ok", OpExpect::Ok),
    ("failed", OpExpect::Failed),
    ("unknown", OpExpect::Unknown),
    ("pending", OpExpect::Pending),
];

/// The longest value: the whole of it stands in the history.
const VALUE_BYTES_MAX: u64 = 16 << 20;

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
        let pending_ns = possible(beside, "for", PENDING_NS, out, |node, out| duration(node, "for", out))?;
        let (operation, fields) = self.operation_of(given.verb, fields, Ground::Foreground, out);
        fields.finish(out);
        let mut operation = operation?;
        operation.pending_ns = pending_ns;
        Some(Verb::Operation(operation))
    }

    /// `begin: { put: { ... }, as: w }`, `begin: { add-member: { ... }, as: x }`
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
        let order = LONG.iter().find_map(|word| Some((*word, outer.take(word)?)));
        outer.finish(out);
        if let (None, Some((verb, entry))) = (inner, order) {
            return self.begun_order(verb, entry, name, out);
        }
        let Some((word, entry)) = inner else {
            let message = "`begin` names no operation and no order that takes its time";
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
        self.has_begun(&operation);
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
        if let Some(operation) = &read {
            self.has_begun(operation);
        }
        (read, fields)
    }

    /// From here on steps may name it.
    fn has_begun(&mut self, operation: &Operation) {
        let Some(name) = &operation.name else { return };
        self.names.operations.insert(name.clone());
        match operation.call.function {
            OpFunction::Lock => self.names.locks.insert(name.clone(), operation.call.key.clone()),
            _ => self.names.locks.remove(name),
        };
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
        let bytes = match function {
            OpFunction::Put => possible(fields, "bytes", None, out, value_bytes),
            _ => Some(None),
        };
        let whom = at.as_ref().ok().and_then(Option::as_ref).map(drop);
        let write_mode = self.write_mode(word, whom, fields, out);
        let fresh = |what: &'static str| {
            move |node: &Node, out: &mut Diagnostics| self.fresh(node, what, out).map(Some)
        };
        let name = possible(fields, "as", None, out, fresh("the name of an operation"));
        let expect = possible(fields, "expect", Vec::new(), out, expectations);
        let sees = if is_read { self.optional(fields, "sees", &SEEN, out) } else { Ok(None) };
        let mode = if is_read { one_of(fields, "mode", None, MODES, out) } else { Some(None) };
        let timeout = |node: &Node, out: &mut Diagnostics| duration(node, "timeout", out).map(Some);
        let timeout_ns = possible(fields, "timeout", None, out, timeout);
        let whose = fresh("the name of a client");
        let client = match function {
            OpFunction::Lock | OpFunction::Unlock => required(fields, ("client", "client: a"), out, whose),
            _ => possible(fields, "client", None, out, whose),
        };
        let retries = one_of(fields, "retries", Retries::None, RETRIES, out);
        Some(Operation {
            call: Call { function, key: key?, value: value?, expected: expected?, bytes: bytes? },
            at: at.ok()?,
            name: name?,
            expect: expect?,
            sees: sees.ok()?,
            timeout_ns: timeout_ns?,
            mode: mode?,
            write_mode: write_mode?,
            client: client?,
            retries: retries?,
            ground,
            pending_ns: PENDING_NS,
        })
    }

    /// What a write is beside what it writes. Only who turns to one node can ask for more than a plain one.
    fn write_mode(
        &self,
        word: &str,
        at: Option<()>,
        fields: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<WriteUse> {
        let (place, before) = (fields.place().clone(), out.len());
        let mode = match word {
            "poison" => self.optional(fields, "only", &[Type::Node], out).ok().map(WriteUse::Poison)?,
            "put" => match (fields.take("ttl"), fields.take("token")) {
                (None, None) => WriteUse::Plain,
                (Some(ttl), None) => ends_after(&ttl.value, out)?,
                (None, Some(token)) => self.token(&token.value, out)?,
                (Some(_), Some(token)) => {
                    let message = "what is written with a `token` does not end by itself";
                    out.push(Diagnostic::new(token.key_place.clone(), message).label("there is a `ttl` too"));
                    return None;
                }
            },
            "lock" => possible(fields, "ttl", WriteUse::Plain, out, ends_after)?,
            _ => return Some(WriteUse::Plain),
        };
        if mode == WriteUse::Plain {
            return Some(mode);
        }
        if at.is_none() {
            let message = format!("a `{word}` that is more than a plain one turns to one node");
            out.push(Diagnostic::new(place.clone(), message).help("add for example `at: n1`"));
        }
        if let Some(system) = self.system.entry.filter(|system| !system.capabilities.write_modes) {
            let message = format!("`{}` knows no such writes", system.entry.name);
            out.push(Diagnostic::new(place, message).label("this step can never be taken"));
        }
        (out.len() == before).then_some(mode)
    }

    /// The operation whose token a write carries.
    fn token(&self, node: &Node, out: &mut Diagnostics) -> Option<WriteUse> {
        let by = &scalar(node, "the name of an operation that takes a lock", out)?.text;
        if let Some(lock) = self.names.locks.get(by) {
            return Some(WriteUse::Fenced { lock: lock.clone(), by: by.clone() });
        }
        let known: Vec<&str> = self.names.locks.keys().map(String::as_str).collect();
        out.push(match (self.names.operations.contains(by), known.as_slice()) {
            (true, _) => Diagnostic::new(node.place.clone(), format!("`{by}` takes no lock"))
                .label("only that is answered with a token"),
            (false, []) => Diagnostic::new(node.place.clone(), format!("there is no lock operation `{by}`"))
                .label("no step before takes a lock under a name")
                .help(format!("name it: `lock: {{ at: n1, key: l, client: a, as: {by} }}`")),
            (false, known) => unknown(&node.place, "lock operation", by, known),
        });
        None
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
            OpFunction::Get
            | OpFunction::Delete
            | OpFunction::Members
            | OpFunction::Lock
            | OpFunction::Unlock => (Some(None), Some(None)),
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
        let expect = possible(&mut fields, "expect", Vec::new(), out, expectations);
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

/// `ttl`: stores count in milliseconds.
fn ends_after(node: &Node, out: &mut Diagnostics) -> Option<WriteUse> {
    duration(node, "ttl", out).map(|ns| WriteUse::Expiring(ns.div_ceil(1_000_000)))
}

/// How many bytes a value is made to have.
fn value_bytes(node: &Node, out: &mut Diagnostics) -> Option<Option<usize>> {
    let text = &scalar(node, "a number of bytes", out)?.text;
    let read = scalars::count(text, 1, VALUE_BYTES_MAX);
    let bytes = read.map_err(|error| out.push(malformed(node.place.clone(), "bytes", text, error))).ok()?;
    usize::try_from(bytes).ok().map(Some)
}

fn expectations(node: &Node, out: &mut Diagnostics) -> Option<Vec<OpExpect>> {
    if let Value::Map(_) = &node.value {
        let named = named(node, "outcome", "expect: ok", out)?;
        out.push(Diagnostic::new(named.place.clone(), "`expect` is a word or a list of words"));
        return None;
    }
    let read: Vec<Option<OpExpect>> =
        items(node).iter().map(|item| choice(item, "expect", OUTCOMES, out)).collect();
    read.into_iter().collect()
}
