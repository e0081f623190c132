//! Verbs about processes: `kill`, `stop`, `start`, `restart`, `pause`, `resume`, `power-loss`, failpoints.

use cluster::order::{FailpointAction, OrderKind};

use super::super::super::diagnostics::{Diagnostic, Diagnostics};
use super::super::super::fields::{Fields, scalar};
use super::super::super::settings::word;
use super::super::super::tree::Value;
use super::super::unknown;
use super::args::count;
use super::{Given, Reader};
use crate::script::expr::Type;
use crate::script::model::{First, Signal, StartExpect, Verb};

impl<'r, 'n> Reader<'r, 'n> {
    pub(super) fn signal(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        let signal = match given.verb {
            "kill" => Signal::Kill,
            "stop" => Signal::Stop,
            "pause" => Signal::Pause,
            _ => Signal::Resume,
        };
        Some(Verb::Signal { nodes: self.nodes(given.value, out)?, signal })
    }

    pub(super) fn start(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        let (nodes, mut fields) = self.nodes_and(given, "node", out)?;
        let rules = match fields.take("rules") {
            None => Some(None),
            Some(entry) => self.own_rules(&entry.value, given, out).map(Some),
        };
        let expect = match fields.take("expect") {
            None => Some(StartExpect::Up),
            Some(entry) => {
                let text = &scalar(&entry.value, "`up`, `refused` or `any`", out)?.text;
                word(&entry.value, text, &["up", "refused", "any"], "expect", out).map(|word| match word {
                    "refused" => StartExpect::Refused,
                    "any" => StartExpect::Any,
                    _ => StartExpect::Up,
                })
            }
        };
        fields.finish(out);
        let first = if given.verb == "restart" { First::Kill } else { First::Nothing };
        Some(Verb::Start { nodes, first, rules: rules?, expect: expect? })
    }

    /// Rules of single nodes, on top of the suite's.
    fn own_rules(
        &self,
        node: &'n super::Node,
        given: &Given<'n>,
        out: &mut Diagnostics,
    ) -> Option<Vec<(String, String)>> {
        let system = self.system.entry?;
        let Some(book) = system.rules.as_ref().filter(|_| system.capabilities.starts) else {
            let message = format!("`{}` has no rules that could be switched", system.entry.name);
            out.push(Diagnostic::new(given.place.clone(), message));
            return None;
        };
        let Value::Map(entries) = &node.value else {
            let message = format!("`rules` is a map from rules to values, not {}", node.kind());
            out.push(Diagnostic::new(node.place.clone(), message));
            return None;
        };
        let before = out.len();
        let mut rules = Vec::new();
        for entry in entries {
            let Some(value) = scalar(&entry.value, "the value of a rule", out) else { continue };
            if !book.rules.iter().any(|rule| rule.name == entry.key) {
                let names: Vec<&str> = book.rules.iter().map(|rule| rule.name.as_str()).collect();
                out.push(unknown(&entry.key_place, "rule", &entry.key, &names));
            } else if let Err(why) = (book.check)(&entry.key, &value.text) {
                let message = format!("the rule `{}` cannot be `{}`", entry.key, value.text);
                out.push(Diagnostic::new(entry.value.place.clone(), message).help(why));
            }
            rules.push((entry.key.clone(), value.text.clone()));
        }
        (out.len() == before).then_some(rules)
    }

    pub(super) fn power_loss(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        Some(Verb::PowerLoss { nodes: self.nodes(given.value, out)? })
    }

    pub(super) fn failpoint(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        self.can_be_told(OrderKind::Failpoint, given, out)?;
        let mut fields = self.map(given, out)?;
        let node = fields.require("node", "node: n1", out);
        let node = node.and_then(|entry| self.node(&entry.value, out));
        let point = fields.require("point", "point: mid_apply", out);
        let point = point.and_then(|entry| self.point(&entry.value, out));
        let skip = match fields.take("skip") {
            None => Some(0),
            Some(entry) => count(&entry.value, "skip", 0, out),
        };
        let index = self.optional(&mut fields, "index", &[Type::Number], out);
        let to = self.optional(&mut fields, "to", &[Type::Node], out);
        let key = fields.take("key").and_then(|entry| Some(scalar(&entry.value, "a key", out)?.text.clone()));
        fields.finish(out);
        let action = if given.verb == "crash-at" { FailpointAction::Crash } else { FailpointAction::Hold };
        let (index, to) = (index.ok()?, to.ok()?);
        Some(Verb::Failpoint { node: node?, point: point?, action, skip: skip?, index, key, to })
    }

    fn point(&self, node: &super::Node, out: &mut Diagnostics) -> Option<String> {
        let text = &scalar(node, "a failpoint", out)?.text;
        let points = self.system.entry.map_or(&[][..], |entry| entry.failpoints);
        if points.contains(&text.as_str()) {
            return Some(text.clone());
        }
        out.push(unknown(&node.place, "failpoint", text, points));
        None
    }

    pub(super) fn release(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        self.can_be_told(OrderKind::Failpoint, given, out)?;
        let (nodes, mut fields) = self.nodes_and(given, "node", out)?;
        let point = match fields.take("point") {
            None => None,
            Some(entry) => Some(self.point(&entry.value, out)?),
        };
        fields.finish(out);
        let [node] = <[_; 1]>::try_from(nodes).ok().or_else(|| {
            out.push(Diagnostic::new(given.value.place.clone(), "`release` is about one node"));
            None
        })?;
        Some(Verb::Release { node, point })
    }
}
