//! Verbs that change what nodes that are down have stored.

use super::super::super::diagnostics::{Diagnostic, Diagnostics};
use super::super::super::fields::{Fields, items, scalar};
use super::super::unknown;
use super::args::count;
use super::{Given, Reader};
use crate::script::expr::Type;
use crate::script::model::{EditUse, Verb};

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
        let (nodes, mut fields) = self.nodes_and(given, "node", out)?;
        let edit = match given.verb {
            "edit-hard-state" => {
                let term = self.optional(&mut fields, "term", &[Type::Number], out);
                let voted_for = self.optional(&mut fields, "voted-for", &[Type::Node, Type::Vote], out);
                match (term, voted_for) {
                    (Ok(None), Ok(None)) => {
                        let message = "`edit-hard-state` changes neither `term` nor `voted-for`";
                        out.push(Diagnostic::new(given.place.clone(), message));
                        None
                    }
                    (term, voted_for) => term
                        .ok()
                        .zip(voted_for.ok())
                        .map(|(term, voted_for)| EditUse::HardState { term, voted_for }),
                }
            }
            "truncate-log" => {
                let entries = fields.require("entries", "entries: 1", out);
                entries.and_then(|entry| count(&entry.value, "entries", 1, out)).map(EditUse::TruncateLog)
            }
            "seed-log" => {
                let terms = fields.require("terms", "terms: [1, 1, 4]", out);
                terms.and_then(|entry| terms_of(&entry.value, out)).map(EditUse::SeedLog)
            }
            "corrupt-record" => {
                let index = fields.require("index", "index: 3", out);
                let index = index.and_then(|entry| self.text(&entry.value, &[Type::Number], out));
                index.map(EditUse::CorruptRecord)
            }
            _ => {
                let keep = fields.require("keep", "keep: 20", out);
                keep.and_then(|entry| count(&entry.value, "keep", 0, out)).map(EditUse::TornWrite)
            }
        };
        fields.finish(out);
        Some(Verb::Edit { nodes, edit: edit? })
    }

    pub(super) fn data_edit(
        &mut self,
        given: &Given<'n>,
        _: &mut Fields<'n>,
        out: &mut Diagnostics,
    ) -> Option<Verb> {
        let (nodes, mut fields) = self.nodes_and(given, "node", out)?;
        let edit = match given.verb {
            "copy-data" => {
                let name = fields.require("to", "to: yesterday", out);
                let name = name.and_then(|entry| self.fresh(&entry.value, "the name of a copy", out));
                name.map(|name| {
                    self.copies.insert(name.clone());
                    EditUse::Save(name)
                })
            }
            "restore-data" => {
                let from = fields.require("from", "from: yesterday", out);
                let from = from.and_then(|entry| self.copy(&entry.value, out));
                let of = self.optional(&mut fields, "of", &[Type::Node], out);
                from.zip(of.ok()).map(|(from, of)| EditUse::Restore { from, of })
            }
            "swap-data" => {
                let with = fields.require("with", "with: n2", out);
                with.and_then(|entry| self.node(&entry.value, out)).map(EditUse::Swap)
            }
            "flip-bits" => {
                let file = fields.require("file", "file: wal/*", out);
                let bits = match fields.take("bits") {
                    None => Some(1),
                    Some(entry) => count(&entry.value, "bits", 1, out),
                };
                let file = file.and_then(|entry| Some(scalar(&entry.value, "a file", out)?.text.clone()));
                file.zip(bits.and_then(|bits| bits.try_into().ok()))
                    .map(|(file, bits)| EditUse::FlipBits { file, bits })
            }
            _ => {
                let file = fields.require("file", "file: wal/*", out);
                let file = file.and_then(|entry| Some(scalar(&entry.value, "a file", out)?.text.clone()));
                file.map(EditUse::DeleteFile)
            }
        };
        fields.finish(out);
        Some(Verb::Edit { nodes, edit: edit? })
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
