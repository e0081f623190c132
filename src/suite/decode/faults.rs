//! `faults:` what breaks, and how often.

use nemesis::schedule::EVERY_NS_MIN;

use super::super::diagnostics::{Diagnostic, Diagnostics, Place};
use super::super::fields::{Fields, scalar};
use super::super::model::{FaultPlan, FaultUse};
use super::super::scalars;
use super::super::settings::{self, malformed};
use super::super::tree::{Node, Value};
use super::super::vocabulary::Vocabulary;
use super::system::System;
use super::{misfit, named, unknown};

/// The highest weight of a fault.
pub(in super::super) const WEIGHT_MAX: u64 = 1000;

/// Whether the suite has a section of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Given {
    Yes,
    No,
}

/// What could be read of the faults. The inner `None` of `value` is a suite without any.
pub(in super::super) struct Faults {
    pub(in super::super) value: Option<Option<FaultPlan>>,
    pub(in super::super) given: Given,
    /// The time between two injections, with its place.
    pub(in super::super) every: Option<((u64, u64), Place)>,
}

impl Faults {
    /// Those of a suite that cannot have any.
    pub(super) fn none() -> Self {
        Self { value: Some(None), given: Given::No, every: None }
    }
}

pub(super) fn read(
    suite: &mut Fields<'_>,
    system: &System<'_>,
    vocabulary: &Vocabulary,
    out: &mut Diagnostics,
) -> Faults {
    let Some(entry) = suite.take("faults") else {
        return Faults { value: Some(None), given: Given::No, every: None };
    };
    let mut faults = Faults { value: None, given: Given::Yes, every: None };
    let Some(fields) = Fields::of(&entry.value, "`faults`", out) else { return faults };
    let mut fields = fields.at(entry.key_place.clone());
    faults.every = fields.require("every", "every: 2s..5s", out).and_then(|entry| every(&entry.value, out));
    let mix = fields.require("mix", "mix: [{ kill: { target: leader } }]", out);
    let mix = mix.and_then(|entry| mix_of(&entry.value, system, vocabulary, out));
    fields.finish(out);
    if let (Some((every_ns, _)), Some(mix)) = (&faults.every, mix) {
        faults.value = Some(Some(FaultPlan { every_ns: *every_ns, mix }));
    }
    faults
}

fn every(node: &Node, out: &mut Diagnostics) -> Option<((u64, u64), Place)> {
    let text = &scalar(node, "a duration or a range such as `2s..5s`", out)?.text;
    match scalars::duration_range(text) {
        Ok((shortest_ns, _)) if shortest_ns < EVERY_NS_MIN => {
            let least = scalars::duration_text(EVERY_NS_MIN);
            let message = format!("faults cannot follow each other faster than every {least}");
            out.push(Diagnostic::new(node.place.clone(), message).label("too short"));
            None
        }
        Ok(range) => Some((range, node.place.clone())),
        Err(error) => {
            out.push(malformed(node.place.clone(), "every", text, error));
            None
        }
    }
}

fn mix_of(
    node: &Node,
    system: &System<'_>,
    vocabulary: &Vocabulary,
    out: &mut Diagnostics,
) -> Option<Vec<FaultUse>> {
    let Value::List(items) = &node.value else {
        let message = format!("`mix` is a list of faults, not {}", node.kind());
        out.push(
            Diagnostic::new(node.place.clone(), message)
                .help("begin each fault with a `-`: `- kill: { target: leader }`"),
        );
        return None;
    };
    if items.is_empty() {
        let message = "the mix is empty";
        out.push(
            Diagnostic::new(node.place.clone(), message).help("leave `faults` out for a run without any"),
        );
        return None;
    }
    let read: Vec<Option<FaultUse>> = items.iter().map(|item| fault(item, system, vocabulary, out)).collect();
    read.into_iter().collect()
}

fn fault(
    node: &Node,
    system: &System<'_>,
    vocabulary: &Vocabulary,
    out: &mut Diagnostics,
) -> Option<FaultUse> {
    let named = named(node, "fault", "- kill: { target: leader }", out)?;
    let Some(found) = vocabulary.fault(named.name) else {
        let names: Vec<&str> = vocabulary.faults.iter().map(|fault| fault.entry.name).collect();
        out.push(unknown(named.place, "fault", named.name, &names));
        return None;
    };
    let before = out.len();
    let owner = format!("`{}`", named.name);
    let mut fields = match named.settings {
        Some(settings) => Fields::of(settings, owner, out)?.at(named.place.clone()),
        None => Fields::none(owner, named.place.clone()),
    };
    let weight = match fields.take("weight") {
        None => Some(1),
        Some(entry) => weight(&entry.value, out),
    };
    let read = settings::read(found.entry.settings, &mut fields, &system.scope(), out);
    fields.finish(out);
    let (weight, read) = (weight?, read?);
    if let Some(system) = system.entry {
        for lack in (found.needs)(&read.params).missing(&system.capabilities) {
            let message =
                format!("`{}` as it stands here cannot be done to `{}`", named.name, system.entry.name);
            out.push(Diagnostic::new(named.place.clone(), message).label(lack));
        }
    }
    if (found.needs)(&read.params).spare && system.value.as_ref().is_some_and(|value| value.spares == 0) {
        let message = format!("`{}` needs a host that no node lives on", named.name);
        out.push(Diagnostic::new(named.place.clone(), message).label("say `spares: 1` in `system`"));
    }
    if let Some(Err(why)) = system.nodes.map(|nodes| (found.build)(&read.params, usize::from(nodes))) {
        out.push(misfit(&why, &read, named.place));
    }
    (out.len() == before).then(|| FaultUse { fault: named.name.to_owned(), weight, settings: read.params })
}

fn weight(node: &Node, out: &mut Diagnostics) -> Option<u64> {
    let text = &scalar(node, "a weight", out)?.text;
    scalars::count(text, 1, WEIGHT_MAX)
        .map_err(|error| out.push(malformed(node.place.clone(), "weight", text, error)))
        .ok()
}
