//! Verbs that change what nodes that are down have stored.

use super::super::super::diagnostics::{Diagnostic, Diagnostics};
use super::super::super::fields::{Fields, items, scalar};
use super::super::unknown;
use super::args::{count, possible, required};
use super::{Given, Reader};
use crate::script::expr::Type;
use crate::script::model::{EditUse, Verb};

/// The key of a file, with an example.
const FILE: (&str, &str) = ("file", "file: wal/*");

impl<'r, 'n> Reader<'r, 'n> {
    /// Refuses an edit in the system's own terms if it knows none.
    fn can_be_edited(&self, given: &Given<'_>, out: &mut Diagnostics) -> Option<()> {
        let Some(system) = self.system.entry.filter(|system| !system.capabilities.edits) else {
            return Some(());
        };
        let message = format!("`{}` cannot change the files of a stopped node", system.entry.name);
        out.push(Diagnostic::new(given.place.clone(), message).label("this step can never be taken"));
        None
    }

    pub(super) fn plain_edit(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        let edit = match given.verb {
            "lose-vote" => EditUse::LoseVote,
            "lose-term" => EditUse::LoseTerm,
            _ => EditUse::Wipe,
        };
        if edit != EditUse::Wipe {
            self.can_be_edited(given, out)?;
        }
        Some(Verb::Edit { nodes: self.nodes(given.value, out)?, edit })
    }

    pub(super) fn log_edit(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        self.can_be_edited(given, out)?;
        let (nodes, edit) = self.nodes_with(given, "node", out, |reader, fields, out| match given.verb {
            "edit-hard-state" => reader.hard_state(given, fields, out),
            "truncate-log" => {
                let read = |node: &'n _, out: &mut _| count(node, "entries", 1, out);
                required(fields, ("entries", "entries: 1"), out, read).map(EditUse::TruncateLog)
            }
            "seed-log" => {
                required(fields, ("terms", "terms: [1, 1, 4]"), out, terms_of).map(EditUse::SeedLog)
            }
            "corrupt-record" => {
                let read = |node: &'n _, out: &mut _| reader.text(node, &[Type::Number], out);
                required(fields, ("index", "index: 3"), out, read).map(EditUse::CorruptRecord)
            }
            _ => {
                let read = |node: &'n _, out: &mut _| count(node, "keep", 0, out);
                required(fields, ("keep", "keep: 20"), out, read).map(EditUse::TornWrite)
            }
        })?;
        Some(Verb::Edit { nodes, edit })
    }

    fn hard_state(
        &mut self,
        given: &Given<'n>,
        fields: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<EditUse> {
        let term = self.optional(fields, "term", &[Type::Number], out);
        let voted_for = self.optional(fields, "voted-for", &[Type::Node, Type::Vote], out);
        let (term, voted_for) = (term.ok()?, voted_for.ok()?);
        if term.is_none() && voted_for.is_none() {
            let message = "`edit-hard-state` changes neither `term` nor `voted-for`";
            out.push(Diagnostic::new(given.place.clone(), message));
            return None;
        }
        Some(EditUse::HardState { term, voted_for })
    }

    pub(super) fn data_edit(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        let (nodes, edit) = self.nodes_with(given, "node", out, |reader, fields, out| match given.verb {
            "copy-data" => {
                let read = |node: &'n _, out: &mut _| reader.fresh(node, "the name of a copy", out);
                let name = required(fields, ("to", "to: yesterday"), out, read)?;
                reader.copies.insert(name.clone());
                Some(EditUse::Save(name))
            }
            "restore-data" => {
                let read = |node: &'n _, out: &mut _| reader.copy(node, out);
                let from = required(fields, ("from", "from: yesterday"), out, read);
                let of = reader.optional(fields, "of", &[Type::Node], out);
                from.zip(of.ok()).map(|(from, of)| EditUse::Restore { from, of })
            }
            "swap-data" => {
                let read = |node: &'n _, out: &mut _| reader.node(node, out);
                required(fields, ("with", "with: n2"), out, read).map(EditUse::Swap)
            }
            "flip-bits" => {
                let file = required(fields, FILE, out, file);
                let bits = |node: &'n _, out: &mut _| count(node, "bits", 1, out);
                let bits = possible(fields, "bits", 1, out, bits).and_then(|bits| bits.try_into().ok());
                file.zip(bits).map(|(file, bits)| EditUse::FlipBits { file, bits })
            }
            _ => required(fields, FILE, out, file).map(EditUse::DeleteFile),
        })?;
        Some(Verb::Edit { nodes, edit })
    }

    fn copy(&self, node: &super::Node, out: &mut Diagnostics) -> Option<String> {
        let text = &scalar(node, "the name of a copy", out)?.text;
        if self.copies.contains(text) {
            return Some(text.clone());
        }
        let known: Vec<&str> = self.copies.iter().map(String::as_str).collect();
        out.push(unknown(&node.place, "copy", text, &known));
        None
    }
}

fn file(node: &super::Node, out: &mut Diagnostics) -> Option<String> {
    Some(scalar(node, "a file", out)?.text.clone())
}

/// Terms of entries, which never fall.
fn terms_of(node: &super::Node, out: &mut Diagnostics) -> Option<Vec<u64>> {
    let read: Vec<Option<u64>> = items(node).iter().map(|item| count(item, "a term", 1, out)).collect();
    let terms: Vec<u64> = read.into_iter().collect::<Option<_>>()?;
    if !terms.is_sorted() {
        let message = "the terms of a log never fall";
        out.push(Diagnostic::new(node.place.clone(), message).label("no log looks like this"));
        return None;
    }
    Some(terms)
}
