//! Verbs that ask nodes for something: elections, handovers, snapshots, members, syncs.
//!
//! Invariant: an order that the system does not know is refused here, and so is an expectation of one that only begins.

use cluster::order::{Elections, Fsync, OrderKind, Part};

use super::super::super::diagnostics::{Diagnostic, Diagnostics};
use super::super::super::fields::Fields;
use super::super::super::tree::{Entry, Value};
use super::args::{choice, one_of, required};
use super::{Given, Reader, reader_of};
use crate::script::expr::{Expr, Kind, Text, Type};
use crate::script::model::{Ground, Nodes, OrderExpect, OrderUse, Verb};

/// The orders that `begin` takes: those that a node may be long about.
pub(super) const LONG: [&str; 7] =
    ["campaign", "transfer", "snapshot", "add-member", "promote", "remove-member", "change-members"];

const EXPECT: [(&str, OrderExpect); 3] =
    [("done", OrderExpect::Done), ("refused", OrderExpect::Refused), ("any", OrderExpect::Any)];
const ELECTIONS: [(&str, Elections); 2] = [("manual", Elections::Manual), ("armed", Elections::Armed)];
const PARTS: [(&str, Part); 3] =
    [("voter", Part::Voter), ("learner", Part::Learner), ("witness", Part::Witness)];

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

    /// An order of this kind: whom it is given to stands under `key`, and `rest` reads what it takes.
    fn order(
        &mut self,
        (kind, key): (OrderKind, &'static str),
        given: &Given<'n>,
        out: &mut Diagnostics,
        rest: impl FnOnce(&mut Self, &mut Fields<'n>, &mut Diagnostics) -> Option<OrderUse>,
    ) -> Option<Verb> {
        self.can_be_told(kind, given, out)?;
        let (nodes, (order, expect)) = self.nodes_with(given, key, out, |reader, fields, out| {
            let order = rest(reader, fields, out);
            let expect = one_of(fields, "expect", OrderExpect::Done, EXPECT, out);
            order.zip(expect)
        })?;
        Some(Verb::Order { nodes, order, expect, ground: Ground::Foreground, name: None })
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
        self.order((kind, "node"), given, out, |_, _, _| Some(order))
    }

    pub(super) fn transfer(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        self.order((OrderKind::Transfer, "from"), given, out, |reader, fields, out| {
            reader.optional(fields, "to", &[Type::Node], out).ok().map(OrderUse::Transfer)
        })
    }

    /// `manual`, or `{ nodes: n1, elections: manual }`.
    pub(super) fn timers(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        if let Value::Map(_) = &given.value.value {
            return self.order((OrderKind::Elections, "nodes"), given, out, |_, fields, out| {
                let example = ("elections", "elections: manual");
                let read = |node, out: &mut _| choice(node, "elections", ELECTIONS, out);
                required(fields, example, out, read).map(OrderUse::Elections)
            });
        }
        self.can_be_told(OrderKind::Elections, given, out)?;
        let order = OrderUse::Elections(choice(given.value, "elections", ELECTIONS, out)?);
        let (expect, ground) = (OrderExpect::Done, Ground::Foreground);
        Some(Verb::Order { nodes: everybody(), order, expect, ground, name: None })
    }

    pub(super) fn poke(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        self.order((OrderKind::Poke, "at"), given, out, |reader, fields, out| {
            let of = required(fields, ("of", "of: n2"), out, |node, out| reader.node(node, out));
            let next = reader.optional(fields, "next-index", &[Type::Number], out);
            let matched = reader.optional(fields, "match-index", &[Type::Number], out);
            let (next, matched) = (next.ok()?, matched.ok()?);
            if next.is_some() == matched.is_some() {
                let message = "`poke` takes either `next-index` or `match-index`";
                out.push(Diagnostic::new(given.place.clone(), message));
                return None;
            }
            Some(OrderUse::Poke { of: of?, next, matched })
        })
    }

    pub(super) fn member(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        self.order((OrderKind::Members, "at"), given, out, |reader, fields, out| {
            let node = required(fields, ("node", "node: n4"), out, |node, out| reader.node(node, out));
            match given.verb {
                "add-member" => {
                    let part = one_of(fields, "part", Part::Voter, PARTS, out);
                    Some(OrderUse::Add(node?, part?))
                }
                "promote" => node.map(OrderUse::Promote),
                _ => node.map(OrderUse::Remove),
            }
        })
    }

    pub(super) fn change_members(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        self.order((OrderKind::Members, "at"), given, out, |reader, fields, out| {
            let read = |node: &'n _, out: &mut _| reader.nodes(node, out);
            required(fields, ("to", "to: [n1, n2, n4]"), out, read).map(OrderUse::Replace)
        })
    }

    /// The order that `begin` names.
    pub(super) fn begun_order(
        &mut self,
        verb: &'static str,
        entry: &'n Entry,
        name: Option<String>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        let given = Given { verb, place: &entry.key_place, value: &entry.value };
        let mut nothing = Fields::none("`begin`".to_owned(), entry.key_place.clone());
        let read = reader_of(verb)(self, &given, &mut nothing, out);
        if let Some(name) = &name {
            self.names.orders.insert(name.clone());
        }
        let Some(Verb::Order { nodes, order, expect, .. }) = read else { return None };
        if expect != OrderExpect::Done {
            let message = "nothing can be expected of an order that only begins";
            let help = "wait for it: `wait: acked(x)`, `wait: failed(x)`";
            out.push(Diagnostic::new(entry.key_place.clone(), message).help(help));
            return None;
        }
        Some(Verb::Order { nodes, order, expect, ground: Ground::Background, name })
    }
}

/// All nodes of the beginning.
fn everybody() -> Nodes {
    let kind = Kind::Call { function: crate::script::expr::Function::Nodes, args: vec![], filters: vec![] };
    vec![Text { text: "nodes()".to_owned(), expr: Expr { range: 0..7, kind } }]
}
