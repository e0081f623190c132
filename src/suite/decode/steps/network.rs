//! Verbs about the network: `cut`, `isolate`, `partition`, `heal`, faults of the registry, and messages.

use cluster::messages::{MessageAction, MessageKind};
use cluster::order::OrderKind;

use super::super::super::diagnostics::{Diagnostic, Diagnostics};
use super::super::super::fields::{Fields, items, scalar};
use super::super::super::model::FaultUse;
use super::super::super::settings;
use super::super::super::tree::{Node, Value};
use super::super::{misfit, named, unknown};
use super::args::{NODES, count, duration, part, possible, required, split};
use super::{Given, Reader};
use crate::script::expr::{Text, Type};
use crate::script::model::{End, Ends, Heal, HeldAction, Verb, Way};

impl<'r, 'n> Reader<'r, 'n> {
    pub(super) fn cut(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        self.links(given.value, out).map(Verb::Cut)
    }

    fn links(&self, node: &Node, out: &mut Diagnostics) -> Option<Vec<Ends>> {
        let read: Vec<Option<Ends>> = items(node).iter().map(|item| self.ends(item, out)).collect();
        read.into_iter().collect()
    }

    /// `n1 <-> n3`, `n1 -> n2, n3`
    fn ends(&self, node: &Node, out: &mut Diagnostics) -> Option<Ends> {
        let text = scalar(node, "links such as `n1 <-> n3`", out)?.text.as_str();
        let (way, at, length) = match (text.find("<->"), text.find("->")) {
            (Some(at), _) => (Way::Both, at, 3),
            (None, Some(at)) => (Way::There, at, 2),
            (None, None) => {
                let message = format!("`{text}` names no links");
                let help = "write `n1 <-> n3` for both directions, or `n1 -> n3` for one";
                out.push(Diagnostic::new(node.place.clone(), message).help(help));
                return None;
            }
        };
        let from = self.end(node, (text, 0, &text[..at]), out);
        let to = self.end(node, (text, at + length, &text[at + length..]), out);
        Some(Ends { from: from?, to: to?, way })
    }

    fn end(
        &self,
        node: &Node,
        (whole, start, side): (&str, usize, &str),
        out: &mut Diagnostics,
    ) -> Option<Vec<End>> {
        let one = |(offset, text): (usize, &str), out: &mut Diagnostics| {
            if text.trim() == "clients" {
                return Some(End::Clients);
            }
            if text.trim().is_empty() {
                let place = part(&node.place, whole, start..start + side.len().max(1));
                out.push(Diagnostic::new(place, "an end of these links is missing"));
                return None;
            }
            self.expression(node, (whole, start + offset, text), &NODES, out)
                .map(|(text, _)| End::Nodes(text))
        };
        let read: Vec<Option<End>> = split(side).into_iter().map(|part| one(part, out)).collect();
        read.into_iter().collect()
    }

    pub(super) fn isolate(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        self.nodes(given.value, out).map(Verb::Isolate)
    }

    pub(super) fn partition(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        let Value::List(groups) = &given.value.value else {
            let message = format!("`partition` is a list of groups, not {}", given.value.kind());
            let help = "write `partition: [[n1, n2], [n3]]`";
            out.push(Diagnostic::new(given.value.place.clone(), message).help(help));
            return None;
        };
        let read: Vec<_> = groups.iter().map(|group| self.nodes(group, out)).collect();
        let read: Vec<_> = read.into_iter().collect::<Option<_>>()?;
        if read.len() < 2 {
            let message = "one group alone separates nothing";
            out.push(Diagnostic::new(given.value.place.clone(), message).label("add a second group"));
            return None;
        }
        Some(Verb::Partition(read))
    }

    pub(super) fn heal(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        if let Value::Scalar(scalar) = &given.value.value {
            let text = scalar.text.trim();
            if text == "all" {
                return Some(Verb::Heal(Heal::All));
            }
            if self.faults.contains(text) {
                return Some(Verb::Heal(Heal::Fault(text.to_owned())));
            }
        }
        let is_link =
            |node: &Node| matches!(&node.value, Value::Scalar(scalar) if scalar.text.contains("->"));
        if items(given.value).iter().any(is_link) {
            return self.links(given.value, out).map(|links| Verb::Heal(Heal::Links(links)));
        }
        self.nodes(given.value, out).map(|nodes| Verb::Heal(Heal::Nodes(nodes)))
    }

    pub(super) fn fault(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        let named = named(given.value, "fault", "fault: { kill: { target: n1 } }", out)?;
        let Some(found) = self.vocabulary.fault(named.name) else {
            let names: Vec<&str> = self.vocabulary.faults.iter().map(|fault| fault.entry.name).collect();
            out.push(unknown(named.place, "fault", named.name, &names));
            return None;
        };
        let before = out.len();
        let owner = format!("`{}`", named.name);
        if let Some(Value::Map(entries)) = named.settings.map(|settings| &settings.value)
            && let Some(entry) = entries.iter().find(|entry| entry.key == "for")
        {
            let message = "a fault of a step lasts until it is healed";
            let help = "remove `for`, and write `- heal: LABEL` where it ends";
            out.push(Diagnostic::new(entry.key_place.clone(), message).help(help));
            return None;
        }
        let (settings, bound) = self.bound_settings(named.settings);
        let mut fields = match &settings {
            Some(settings) => Fields::of(settings, owner, out)?.at(named.place.clone()),
            None => Fields::none(owner, named.place.clone()),
        };
        let read = settings::read(found.entry.settings, &mut fields, &self.system.scope_of_hosts(), out);
        fields.finish(out);
        let read = read?;
        if let Some(system) = self.system.entry {
            for lack in (found.needs)(&read.params).missing(&system.capabilities) {
                let message =
                    format!("`{}` as it stands here cannot be done to `{}`", named.name, system.entry.name);
                out.push(Diagnostic::new(named.place.clone(), message).label(lack));
            }
        }
        let hosts = self.system.hosts();
        if let Some(Err(why)) = hosts.map(|hosts| (found.build)(&read.params, usize::from(hosts))) {
            out.push(misfit(&why, &read, named.place));
        }
        let used = FaultUse { fault: named.name.to_owned(), weight: 1, settings: read.params };
        (out.len() == before).then_some(Verb::Fault { used, bound })
    }

    /// The settings of a fault with a node in the place of each name that is bound to one, and these names.
    fn bound_settings(&self, settings: Option<&Node>) -> (Option<Node>, Vec<(String, Text)>) {
        let (mut settings, mut bound) = (settings.cloned(), Vec::new());
        if let Some(Value::Map(entries)) = settings.as_mut().map(|settings| &mut settings.value) {
            for entry in entries {
                let Value::Scalar(scalar) = &mut entry.value.value else { continue };
                let is_node = self.names.bindings.get(&scalar.text) == Some(&Type::Node);
                if let Some(text) = Text::try_from(scalar.text.clone()).ok().filter(|_| is_node) {
                    bound.push((entry.key.clone(), text));
                    scalar.text = "n1".to_owned();
                }
            }
        }
        (settings, bound)
    }

    pub(super) fn messages(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        self.can_be_told(OrderKind::Messages, given, out)?;
        let mut fields = self.map(given, out)?;
        let kinds = possible(&mut fields, "type", Vec::new(), out, kinds);
        let from = self.optional(&mut fields, "from", &[Type::Node], out);
        let to = required(&mut fields, ("to", "to: n1"), out, |node, out| self.node(node, out));
        let term = self.optional(&mut fields, "term", &[Type::Number], out);
        let index = self.optional(&mut fields, "index", &[Type::Number], out);
        let skip = possible(&mut fields, "skip", 0, out, |node, out| count(node, "skip", 0, out));
        let count = possible(&mut fields, "count", None, out, at_least_one);
        let action = match given.verb {
            "hold-messages" => Some(MessageAction::Hold),
            "drop-messages" => Some(MessageAction::Drop),
            "duplicate-messages" => Some(MessageAction::Duplicate),
            "record-messages" => Some(MessageAction::Record),
            _ => {
                let by = |node: &'n _, out: &mut _| duration(node, "by", out);
                let by = required(&mut fields, ("by", "by: 50ms"), out, by);
                by.map(|ns| MessageAction::Delay { ms: (ns / 1_000_000).try_into().unwrap_or(u32::MAX) })
            }
        };
        fields.finish(out);
        let (from, term, index) = (from.ok()?, term.ok()?, index.ok()?);
        let (action, kinds, to, skip, count) = (action?, kinds?, to?, skip?, count?);
        Some(Verb::Messages { action, kinds, from, to, term, index, skip, count })
    }

    pub(super) fn held(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        let action = match given.verb {
            "release-messages" => HeldAction::Release,
            "discard-messages" => HeldAction::Discard,
            _ => HeldAction::Replay,
        };
        let (label, count) = match &given.value.value {
            Value::Map(_) => {
                let mut fields = self.map(given, out)?;
                let label = fields.require("held", "held: h", out);
                let count = possible(&mut fields, "count", None, out, at_least_one);
                fields.finish(out);
                (&label?.value, count?)
            }
            _ => (given.value, None),
        };
        let held = &scalar(label, "the label of held messages", out)?.text;
        if !self.names.messages.contains(held) {
            let known: Vec<&str> = self.names.messages.iter().map(String::as_str).collect();
            out.push(unknown(&label.place, "label of messages", held, &known));
            return None;
        }
        Some(Verb::Held { held: held.clone(), action, count })
    }
}

fn at_least_one(node: &Node, out: &mut Diagnostics) -> Option<Option<u64>> {
    count(node, "count", 1, out).map(Some)
}

/// Types of messages, in kebab-case.
fn kinds(node: &Node, out: &mut Diagnostics) -> Option<Vec<MessageKind>> {
    let before = out.len();
    let mut kinds = Vec::new();
    for item in items(node) {
        let text = &scalar(item, "a type of message", out)?.text;
        match text.replace('-', "_").parse() {
            Ok(kind) => kinds.push(kind),
            Err(_) => {
                let names: Vec<String> =
                    MessageKind::ALL.iter().map(|kind| kind.name().replace('_', "-")).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                out.push(unknown(&item.place, "type of message", text, &names));
            }
        }
    }
    (out.len() == before).then_some(kinds)
}
