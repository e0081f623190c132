//! Verbs about processes: `kill`, `stop`, `start`, `restart`, `pause`, `resume`, `power-loss`, failpoints.

use cluster::order::{FailpointAction, OrderKind};
use cluster::start::TwinData;
use cluster::system::Bootstrap;

use super::super::super::diagnostics::{Diagnostic, Diagnostics};
use super::super::super::fields::{Fields, scalar};
use super::super::super::tree::Value;
use super::super::unknown;
use super::args::{count, one_of, possible, required};
use super::{Given, Reader};
use crate::script::expr::{Kind, Text, Type};
use crate::script::model::{First, Signal, StartExpect, StartUse, TwinUse, Verb};

const BOOTSTRAP: [(&str, Bootstrap); 2] =
    [("announced", Bootstrap::Announced), ("not-announced", Bootstrap::NotAnnounced)];
const TWIN_DATA: [(&str, TwinData); 2] = [("own", TwinData::Own), ("shared", TwinData::Shared)];
const EXPECT: [(&str, StartExpect); 3] =
    [("up", StartExpect::Up), ("refused", StartExpect::Refused), ("any", StartExpect::Any)];

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
        let (nodes, (how, expect)) = self.nodes_with(given, "node", out, |reader, fields, out| {
            let own = |node: &'n _, out: &mut _| reader.own_rules(node, given, out).map(Some);
            let rules = possible(fields, "rules", None, out, own);
            let bootstrap = reader.bootstrap(given, fields, out);
            let name = |node: &'n _, out: &mut _| reader.fresh(node, "the name of a cluster", out).map(Some);
            let cluster = possible(fields, "cluster", None, out, name);
            let members = |node: &'n _, out: &mut _| reader.nodes(node, out).map(Some);
            let members = possible(fields, "members", None, out, members);
            let expect = one_of(fields, "expect", StartExpect::Up, EXPECT, out);
            let (cluster, members) = (cluster?, members?);
            if cluster.is_some() || members.is_some() {
                reader.can_start_otherwise(given, out)?;
            }
            let how = StartUse { rules: rules?, bootstrap: bootstrap?, cluster, members, twin: None };
            Some((how, expect?))
        })?;
        let first = if given.verb == "restart" { First::Kill } else { First::Nothing };
        Some(Verb::Start { nodes, first, how, expect })
    }

    /// Whether an empty data directory is announced, where the system knows the difference.
    fn bootstrap(
        &self,
        given: &Given<'n>,
        fields: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Bootstrap> {
        let bootstrap = one_of(fields, "bootstrap", Bootstrap::AtFirstStart, BOOTSTRAP, out)?;
        if bootstrap != Bootstrap::AtFirstStart {
            self.can_start_otherwise(given, out)?;
        }
        Some(bootstrap)
    }

    /// `{ node: n4, of: n1, data: own }`
    pub(super) fn start_twin(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        self.can_start_otherwise(given, out)?;
        let mut fields = self.map(given, out)?;
        let node = required(&mut fields, ("node", "node: n4"), out, |node, out| self.spare(node, out));
        let of = required(&mut fields, ("of", "of: n1"), out, |node, out| self.node(node, out));
        let data = one_of(&mut fields, "data", TwinData::Own, TWIN_DATA, out);
        let bootstrap = self.bootstrap(given, &mut fields, out);
        let expect = one_of(&mut fields, "expect", StartExpect::Up, EXPECT, out);
        fields.finish(out);
        let twin = Some(TwinUse { of: of?, data: data? });
        let how = StartUse { bootstrap: bootstrap?, twin, ..StartUse::default() };
        Some(Verb::Start { nodes: vec![node?], first: First::Nothing, how, expect: expect? })
    }

    /// A node that is no member at the beginning, as far as that is known here.
    fn spare(&self, node: &super::Node, out: &mut Diagnostics) -> Option<Text> {
        let text = self.node(node, out)?;
        if let (Kind::Node(named), Some(nodes)) = (&text.expr.kind, self.system.nodes)
            && named.0 <= nodes
        {
            let message = format!("`{named}` is a node itself, and a twin needs a host of its own");
            let help = "prepare one with `spares: 1` in `system`; its number follows those of the nodes";
            out.push(Diagnostic::new(node.place.clone(), message).help(help));
            return None;
        }
        Some(text)
    }

    fn can_start_otherwise(&self, given: &Given<'_>, out: &mut Diagnostics) -> Option<()> {
        let Some(system) = self.system.entry.filter(|system| !system.capabilities.starts) else {
            return Some(());
        };
        let message = format!("`{}` nodes cannot be started otherwise than before", system.entry.name);
        out.push(Diagnostic::new(given.place.clone(), message).label("this step can never be taken"));
        None
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
        let node = required(&mut fields, ("node", "node: n1"), out, |node, out| self.node(node, out));
        let point = |node: &'n _, out: &mut _| self.point(node, out);
        let point = required(&mut fields, ("point", "point: mid_apply"), out, point);
        let skip = possible(&mut fields, "skip", 0, out, |node, out| count(node, "skip", 0, out));
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
        let (nodes, point) = self.nodes_with(given, "node", out, |reader, fields, out| {
            possible(fields, "point", None, out, |node, out| reader.point(node, out).map(Some))
        })?;
        let [node] = <[_; 1]>::try_from(nodes).ok().or_else(|| {
            out.push(Diagnostic::new(given.value.place.clone(), "`release` is about one node"));
            None
        })?;
        Some(Verb::Release { node, point })
    }
}
