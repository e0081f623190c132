//! Verbs that ask nodes for something: elections, handovers, snapshots, members, syncs.

use cluster::order::{Elections, Fsync, OrderKind, Part};

use super::super::super::diagnostics::{Diagnostic, Diagnostics};
use super::super::super::fields::{Fields, scalar};
use super::super::super::settings::word;
use super::super::super::tree::Value;
use super::{Given, Reader};
use crate::script::expr::{Expr, Kind, Text, Type};
use crate::script::model::{Nodes, OrderExpect, OrderUse, Verb};

impl<'r, 'n> Reader<'r, 'n> {
    /// Refuses an order that the system does not know.
    pub(super) fn can_be_told(
        &self,
        kind: OrderKind,
        given: &Given<'_>,
        out: &mut Diagnostics,
    ) -> Option<()> {
        let Some(system) = self.system.entry else { return Some(()) };
        if system.capabilities.orders.contains(&kind) {
            return Some(());
        }
        let message = format!("`{}` cannot be told to {kind}", system.entry.name);
        out.push(Diagnostic::new(given.place.clone(), message).label("this step can never be taken"));
        None
    }

    pub(super) fn plain_order(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        let (order, kind) = match given.verb {
            "campaign" => (OrderUse::Campaign, OrderKind::Campaign),
            "snapshot" => (OrderUse::Snapshot, OrderKind::Snapshot),
            "hold-fsync" => (OrderUse::Fsync(Fsync::Hold), OrderKind::Fsync),
            _ => (OrderUse::Fsync(Fsync::Release), OrderKind::Fsync),
        };
        self.can_be_told(kind, given, out)?;
        let (nodes, mut fields) = self.nodes_and(given, "node", out)?;
        let expect = order_expect(&mut fields, out);
        fields.finish(out);
        Some(Verb::Order { nodes, order, expect: expect? })
    }

    pub(super) fn transfer(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        self.can_be_told(OrderKind::Transfer, given, out)?;
        let mut fields = self.map(given, out)?;
        let from = fields.require("from", "from: n1", out).and_then(|entry| self.node(&entry.value, out));
        let to = self.optional(&mut fields, "to", &[Type::Node], out);
        let expect = order_expect(&mut fields, out);
        fields.finish(out);
        Some(Verb::Order { nodes: vec![from?], order: OrderUse::Transfer(to.ok()?), expect: expect? })
    }

    /// `manual`, or `{ nodes: n1, elections: manual }`.
    pub(super) fn timers(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        self.can_be_told(OrderKind::Elections, given, out)?;
        let (nodes, elections) = match &given.value.value {
            Value::Map(_) => {
                let (nodes, mut fields) = self.nodes_and(given, "nodes", out)?;
                let elections = fields.require("elections", "elections: manual", out);
                fields.finish(out);
                (nodes, &elections?.value)
            }
            _ => (everybody()?, given.value),
        };
        let text = &scalar(elections, "`manual` or `armed`", out)?.text;
        let elections = match word(elections, text, &["manual", "armed"], "elections", out)? {
            "manual" => Elections::Manual,
            _ => Elections::Armed,
        };
        let expect = OrderExpect::Done;
        Some(Verb::Order { nodes, order: OrderUse::Elections(elections), expect })
    }

    pub(super) fn poke(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        self.can_be_told(OrderKind::Poke, given, out)?;
        let (nodes, mut fields) = self.nodes_and(given, "at", out)?;
        let of = fields.require("of", "of: n2", out).and_then(|entry| self.node(&entry.value, out));
        let next = self.optional(&mut fields, "next-index", &[Type::Number], out);
        let matched = self.optional(&mut fields, "match-index", &[Type::Number], out);
        let expect = order_expect(&mut fields, out);
        fields.finish(out);
        let (next, matched) = (next.ok()?, matched.ok()?);
        if next.is_some() == matched.is_some() {
            let message = "`poke` takes either `next-index` or `match-index`";
            out.push(Diagnostic::new(given.place.clone(), message));
            return None;
        }
        Some(Verb::Order { nodes, order: OrderUse::Poke { of: of?, next, matched }, expect: expect? })
    }

    pub(super) fn member(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        self.can_be_told(OrderKind::Members, given, out)?;
        let (nodes, mut fields) = self.nodes_and(given, "at", out)?;
        let node = fields.require("node", "node: n4", out).and_then(|entry| self.node(&entry.value, out));
        let part = match fields.take("part").filter(|_| given.verb == "add-member") {
            None => Some(Part::Voter),
            Some(entry) => {
                let text = &scalar(&entry.value, "`voter`, `learner` or `witness`", out)?.text;
                let words = ["voter", "learner", "witness"];
                word(&entry.value, text, &words, "part", out).map(|word| match word {
                    "learner" => Part::Learner,
                    "witness" => Part::Witness,
                    _ => Part::Voter,
                })
            }
        };
        let expect = order_expect(&mut fields, out);
        fields.finish(out);
        let (node, part) = (node?, part?);
        let order = match given.verb {
            "add-member" => OrderUse::Add(node, part),
            "promote" => OrderUse::Promote(node),
            _ => OrderUse::Remove(node),
        };
        Some(Verb::Order { nodes, order, expect: expect? })
    }

    pub(super) fn change_members(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        self.can_be_told(OrderKind::Members, given, out)?;
        let (nodes, mut fields) = self.nodes_and(given, "at", out)?;
        let to = fields.require("to", "to: [n1, n2, n4]", out);
        let to = to.and_then(|entry| self.nodes(&entry.value, out));
        let expect = order_expect(&mut fields, out);
        fields.finish(out);
        Some(Verb::Order { nodes, order: OrderUse::Replace(to?), expect: expect? })
    }
}

fn order_expect(fields: &mut Fields<'_>, out: &mut Diagnostics) -> Option<OrderExpect> {
    let Some(entry) = fields.take("expect") else { return Some(OrderExpect::Done) };
    let text = &scalar(&entry.value, "`done`, `refused` or `any`", out)?.text;
    word(&entry.value, text, &["done", "refused", "any"], "expect", out).map(|word| match word {
        "refused" => OrderExpect::Refused,
        "any" => OrderExpect::Any,
        _ => OrderExpect::Done,
    })
}

/// All nodes of the beginning.
fn everybody() -> Option<Nodes> {
    let kind = Kind::Call { function: crate::script::expr::Function::Nodes, args: vec![], filters: vec![] };
    Some(vec![Text { text: "nodes()".to_owned(), expr: Expr { range: 0..7, kind } }])
}
