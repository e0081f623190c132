//! `workload:` what the clients do, how many they are, and how fast.

use checker::params::Params;

use super::super::diagnostics::{Diagnostic, Diagnostics, Place};
use super::super::fields::{Fields, scalar};
use super::super::model::{SCRIPTED, WorkloadUse};
use super::super::settings::{self, malformed};
use super::super::vocabulary::{Vocabulary, WorkloadEntry};
use super::super::{scalars, suggest};
use super::steps::Scripted;
use super::system::System;
use super::{Timed, known, misfit, unknown};
use crate::script::model::Script;

/// The most clients.
pub(in super::super) const CLIENTS_MAX: u64 = workloads::CLIENTS_MAX as u64;
/// What applies where the suite says nothing.
pub(in super::super) const CLIENTS: usize = 10;
/// See [`CLIENTS`].
pub(in super::super) const RATE: f64 = 400.0;
/// See [`CLIENTS`].
pub(in super::super) const OP_TIMEOUT: &str = "1s";
/// The word for no limit on the rate.
pub(in super::super) const RATE_MAX: &str = "max";

/// How fast the clients are.
pub(in super::super) struct Rate {
    /// Operations per second; `None` for no limit.
    pub(in super::super) per_second: Option<f64>,
}

/// What could be read of the workload.
#[derive(Default)]
pub(super) struct Workload<'v> {
    pub(super) value: Option<WorkloadUse>,
    pub(super) entry: Option<&'v WorkloadEntry>,
    pub(super) clients: Option<usize>,
    pub(super) rate: Option<Rate>,
    pub(super) op_timeout: Option<Timed>,
}

impl Workload<'_> {
    /// Gives a choreography without clients what a run has to have.
    pub(super) fn come_after(&mut self, script: &Script) {
        if self.value.is_none() && self.entry.is_none() {
            self.value = Some(WorkloadUse {
                kind: SCRIPTED.to_owned(),
                clients: 0,
                rate: None,
                op_timeout_ns: script.op_timeout_ns,
                settings: Params::default(),
            });
        }
    }
}

pub(super) fn read<'v>(
    suite: &mut Fields<'_>,
    scripted: Scripted,
    system: &System<'_>,
    vocabulary: &'v Vocabulary,
    out: &mut Diagnostics,
) -> Workload<'v> {
    let mut workload = Workload::default();
    let given = match scripted {
        Scripted::Yes => suite.take("workload"),
        Scripted::No => suite.require("workload", "workload: { kind: register }", out),
    };
    let Some(entry) = given else { return workload };
    let Some(fields) = Fields::of(&entry.value, "`workload`", out) else { return workload };
    let mut fields = fields.at(entry.key_place.clone());
    let kind = fields.require("kind", "kind: register", out);
    workload.clients = clients(&mut fields, out);
    workload.rate = rate(&mut fields, out);
    workload.op_timeout = op_timeout(&mut fields, out);
    let Some(kind) = kind else { return workload };
    let Some(name) = scalar(&kind.value, "the name of a workload", out).map(|scalar| &scalar.text) else {
        return workload;
    };
    let Some(found) = vocabulary.workload(name) else {
        let names: Vec<&str> = vocabulary.workloads.iter().map(|workload| workload.entry.name).collect();
        out.push(unknown(&kind.value.place, "workload", name, &names));
        return workload;
    };
    workload.entry = Some(found);
    let read = settings::read(found.entry.settings, &mut fields, &system.scope(), out);
    fields.finish(out);
    let (Some(read), Some(clients)) = (read, workload.clients) else { return workload };
    if let Err(why) = (found.build)(&read.params, clients, 0) {
        out.push(misfit(&why, &read, &kind.value.place));
    }
    functions(found, &read, system, &kind.value.place, out);
    if let (Some(rate), Some(op_timeout)) = (&workload.rate, &workload.op_timeout) {
        workload.value = Some(WorkloadUse {
            kind: name.clone(),
            clients,
            rate: rate.per_second,
            op_timeout_ns: op_timeout.ns,
            settings: read.params,
        });
    }
    workload
}

fn clients(fields: &mut Fields<'_>, out: &mut Diagnostics) -> Option<usize> {
    let Some(entry) = fields.take("clients") else { return Some(CLIENTS) };
    let text = &scalar(&entry.value, "a number of clients", out)?.text;
    match scalars::count(text, 1, CLIENTS_MAX) {
        Ok(clients) => usize::try_from(clients).ok(),
        Err(error) => {
            out.push(malformed(entry.value.place.clone(), "clients", text, error));
            None
        }
    }
}

fn rate(fields: &mut Fields<'_>, out: &mut Diagnostics) -> Option<Rate> {
    let Some(entry) = fields.take("rate") else {
        return Some(Rate { per_second: Some(RATE) });
    };
    let place = entry.value.place.clone();
    let text = &scalar(&entry.value, "a rate such as `400/s`, or `max`", out)?.text;
    if text == RATE_MAX {
        return Some(Rate { per_second: None });
    }
    match scalars::rate(text) {
        Ok(rate) => Some(Rate { per_second: Some(rate) }),
        Err(error) => {
            out.push(
                malformed(place, "rate", text, error).help("`max` stands for as many as the clients can"),
            );
            None
        }
    }
}

fn op_timeout(fields: &mut Fields<'_>, out: &mut Diagnostics) -> Option<Timed> {
    let Some(entry) = fields.take("op-timeout") else {
        return Some(Timed { ns: known(OP_TIMEOUT), place: fields.place().clone() });
    };
    let place = entry.value.place.clone();
    let text = &scalar(&entry.value, "a duration such as `1s`", out)?.text;
    match scalars::duration(text) {
        Ok(0) => {
            out.push(Diagnostic::new(place, "`op-timeout` cannot be 0").label("every call would time out"));
            None
        }
        Ok(ns) => Some(Timed { ns, place }),
        Err(error) => {
            out.push(malformed(place, "op-timeout", text, error));
            None
        }
    }
}

/// Whether the system can perform what the workload calls.
fn functions(
    workload: &WorkloadEntry,
    read: &settings::Read,
    system: &System<'_>,
    place: &Place,
    out: &mut Diagnostics,
) {
    let Some(system) = system.entry else { return };
    let ops = system.capabilities.ops;
    let called = (workload.functions)(&read.params);
    let missing: Vec<&str> = called.into_iter().filter(|function| !ops.contains(function)).collect();
    if missing.is_empty() {
        return;
    }
    let (name, on) = (workload.entry.name, system.entry.name);
    let message =
        format!("the workload `{name}` calls {}, which `{on}` cannot perform", suggest::one_of(&missing));
    let help = format!("`{on}` performs {}", suggest::one_of(ops));
    out.push(Diagnostic::new(place.clone(), message).help(help));
}
