//! `checks:` what is judged.

use super::super::diagnostics::{Diagnostic, Diagnostics};
use super::super::fields::{Fields, items};
use super::super::model::CheckUse;
use super::super::settings::{self, Read, Scope};
use super::super::tree::{Node, Value};
use super::super::vocabulary::{CheckEntry, Evidence, Vocabulary, WorkloadEntry};
use super::steps::Scripted;
use super::system::System;
use super::{named, unknown};
use crate::script::model::Script;

/// The most time of a check where the suite says nothing. Every check has this setting.
pub(in super::super) const TIMEOUT: &str = "60s";

pub(super) fn read(
    suite: &mut Fields<'_>,
    scripted: Scripted,
    system: &System<'_>,
    workload: Option<&WorkloadEntry>,
    vocabulary: &Vocabulary,
    out: &mut Diagnostics,
) -> Option<Vec<CheckUse>> {
    // What steps call is any function of a store; the operations tell which model they are of.
    let fits = |check: &str| {
        scripted == Scripted::Yes || workload.is_some_and(|workload| workload.checks.contains(&check))
    };
    let workload = workload.filter(|_| scripted == Scripted::No);
    let Some(entry) = suite.take("checks") else {
        return all_that_fit(system, &fits, vocabulary, out)
            .filter(|_| workload.is_some() || scripted == Scripted::Yes);
    };
    let before = out.len();
    let list = items(&entry.value);
    if list.is_empty() {
        let message = "a suite without a check finds nothing";
        out.push(
            Diagnostic::new(entry.key_place.clone(), message).help("leave `checks` out for all that fit"),
        );
    }
    let mut checks: Vec<CheckUse> = Vec::new();
    for item in list {
        let Some(check) = check(item, system, workload, vocabulary, out) else { continue };
        if checks.iter().any(|known| known.check == check.check) {
            let message = format!("the check `{}` stands here twice", check.check);
            out.push(Diagnostic::new(item.place.clone(), message).label("again here"));
        }
        checks.push(check);
    }
    (out.len() == before).then_some(checks)
}

/// What some checks of the history do not know.
struct Misfit<'w> {
    /// What steps do, as a reason.
    does: &'w str,
    /// What the checks do not know.
    unknown: &'w str,
    /// What they would make of it.
    label: &'w str,
    /// What to do.
    help: &'w str,
}

/// Refuses checks of the history that would misjudge what the steps do: where a key ends by itself that looks like a lost
/// write, and a lock among keys is not linearizable as any of them.
pub(super) fn refuse_misfits(root: &Node, script: &Script, vocabulary: &Vocabulary, out: &mut Diagnostics) {
    if script.expires() {
        let misfit = Misfit {
            does: "a step writes with a `ttl`",
            unknown: "that keys with a `ttl` end by themselves",
            label: "it would take that for a lost write",
            help: "judge it by checks of the traces, such as `state-machine-safety`",
        };
        let of_history =
            |name: &str| vocabulary.check(name).is_some_and(|check| check.evidence == Evidence::Model);
        refuse(root, &misfit, &of_history, out);
    }
    if script.locks() {
        let misfit = Misfit {
            does: "a step takes a lock",
            unknown: "locks that end by themselves beside other keys",
            label: "it has no model of them",
            help: "judge locks by `mutual-exclusion`, and what they protect by `lost-commits` and the session guarantees",
        };
        refuse(root, &misfit, &|name| name == "linearizable", out);
    }
}

fn refuse(root: &Node, misfit: &Misfit<'_>, judges: &dyn Fn(&str) -> bool, out: &mut Diagnostics) {
    let help = misfit.help;
    let Some(entry) = super::matrix::entry(root, "checks") else {
        let message = format!("{}, so that not every check fits", misfit.does);
        out.push(Diagnostic::new(root.place.clone(), message).label("name the `checks`").help(help));
        return;
    };
    for item in items(&entry.value) {
        let name = match &item.value {
            Value::Scalar(scalar) => scalar.text.as_str(),
            Value::Map(entries) => entries.first().map_or("", |entry| entry.key.as_str()),
            _ => continue,
        };
        if judges(name) {
            let message = format!("`{name}` does not know {}", misfit.unknown);
            out.push(Diagnostic::new(item.place.clone(), message).label(misfit.label).help(help));
        }
    }
}

/// What applies where the suite names no checks.
fn all_that_fit(
    system: &System<'_>,
    fits_model: &dyn Fn(&str) -> bool,
    vocabulary: &Vocabulary,
    out: &mut Diagnostics,
) -> Option<Vec<CheckUse>> {
    let system = system.entry?;
    let fits = |check: &&CheckEntry| match check.evidence {
        Evidence::Any => true,
        Evidence::Model => fits_model(check.entry.name),
        Evidence::Trace => system.capabilities.trace,
    };
    let mut checks = Vec::new();
    for check in vocabulary.checks.iter().filter(fits) {
        let place = super::Place::file(0..0);
        let mut fields = Fields::none(format!("`{}`", check.entry.name), place);
        let settings = settings::read(check.entry.settings, &mut fields, &Scope::default(), out)?.params;
        let timeout_ns = super::known(TIMEOUT);
        checks.push(CheckUse { check: check.entry.name.to_owned(), timeout_ns, settings });
    }
    Some(checks)
}

fn check(
    node: &Node,
    system: &System<'_>,
    workload: Option<&WorkloadEntry>,
    vocabulary: &Vocabulary,
    out: &mut Diagnostics,
) -> Option<CheckUse> {
    let named = named(node, "check", "- linearizable: { timeout: 60s }", out)?;
    let Some(found) = vocabulary.check(named.name) else {
        out.push(unknown(named.place, "check", named.name, &names(vocabulary)));
        return None;
    };
    let misfit = match found.evidence {
        Evidence::Trace => system.entry.filter(|system| !system.capabilities.trace).map(|system| {
            let name = system.entry.name;
            format!("`{}` is judged from the traces of the nodes, and `{name}` writes none", named.name)
        }),
        Evidence::Model => {
            workload.filter(|workload| !workload.checks.contains(&named.name)).map(|workload| {
                let name = workload.entry.name;
                format!("`{}` cannot judge the workload `{name}`", named.name)
            })
        }
        Evidence::Any => None,
    };
    if let Some(message) = misfit {
        out.push(Diagnostic::new(named.place.clone(), message).label("remove this check"));
    }
    let owner = format!("`{}`", named.name);
    let mut fields = match named.settings {
        Some(settings) => Fields::of(settings, owner, out)?.at(named.place.clone()),
        None => Fields::none(owner, named.place.clone()),
    };
    let timeout = super::time(&mut fields, "timeout", Some(TIMEOUT), out);
    let read = settings::read(found.entry.settings, &mut fields, &system.scope(), out);
    fields.finish(out);
    let Read { params, .. } = read?;
    Some(CheckUse { check: named.name.to_owned(), timeout_ns: timeout?.ns, settings: params })
}

pub(super) fn names(vocabulary: &Vocabulary) -> Vec<&'static str> {
    vocabulary.checks.iter().map(|check| check.entry.name).collect()
}
