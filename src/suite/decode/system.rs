//! `system:` what is tested, on how many nodes, under which rules.

use std::collections::BTreeMap;

use cluster::network::NetworkKind;

use super::super::diagnostics::{Diagnostic, Diagnostics, Place};
use super::super::fields::{Fields, scalar};
use super::super::model::{DataPlace, RuleUse, SystemUse};
use super::super::settings::{self, Scope, malformed};
use super::super::tree::{Node, Value};
use super::super::vocabulary::{RuleBook, SystemEntry, Vocabulary};
use super::super::{scalars, suggest};
use super::{misfit, unknown};

/// The most nodes of a cluster.
pub(in super::super) const NODES_MAX: u64 = 9;
/// What applies where the suite says nothing.
pub(in super::super) const NODES: u16 = 5;

/// What could be read of the system.
pub(super) struct System<'v> {
    pub(super) value: Option<SystemUse>,
    pub(super) entry: Option<&'v SystemEntry>,
    pub(super) nodes: Option<u16>,
    pub(super) spares: u16,
}

impl System<'_> {
    /// The hosts: nodes, and those that may come later.
    pub(super) fn hosts(&self) -> Option<u16> {
        self.nodes.map(|nodes| nodes + self.spares)
    }

    /// What settings of other sections are read against.
    pub(super) fn scope(&self) -> Scope {
        Scope { nodes: self.nodes }
    }

    /// The same where a spare host is as good as a node.
    pub(super) fn scope_of_hosts(&self) -> Scope {
        Scope { nodes: self.hosts() }
    }
}

pub(super) fn read<'v>(
    suite: &mut Fields<'_>,
    sets: &[String],
    vocabulary: &'v Vocabulary,
    out: &mut Diagnostics,
) -> System<'v> {
    let mut system = System { value: None, entry: None, nodes: None, spares: 0 };
    let Some(entry) = suite.require("system", "system: { use: raftkv, nodes: 5 }", out) else {
        return system;
    };
    let Some(fields) = Fields::of(&entry.value, "`system`", out) else { return system };
    let mut fields = fields.at(entry.key_place.clone());
    let used = fields.require("use", "use: raftkv", out);
    system.entry = used.and_then(|used| lookup(&used.value, vocabulary, out));
    system.nodes = nodes(&mut fields, out);
    let spares = spares(&mut fields, system.nodes, out);
    system.spares = spares.unwrap_or(0);
    let data = data(&mut fields, out);
    let network = network(&mut fields, out);
    let rules = rules(&mut fields, system.entry, sets, out);
    let Some(known) = system.entry else { return system };
    let read = settings::read(known.entry.settings, &mut fields, &system.scope(), out);
    fields.finish(out);
    let (Some(read), Some(nodes), Some(data), Some(rules)) = (read, system.nodes, data, rules) else {
        return system;
    };
    let (Some(spares), Some(network)) = (spares, network) else { return system };
    let name = known.entry.name.to_owned();
    let settings = read.params.clone();
    let value = SystemUse { system: name, nodes, spares, data, network, rules, settings };
    match (known.build)(&value.options()) {
        Ok(_) => system.value = Some(value),
        Err(why) => out.push(misfit(&why, &read, &entry.key_place)),
    }
    system
}

fn lookup<'v>(node: &Node, vocabulary: &'v Vocabulary, out: &mut Diagnostics) -> Option<&'v SystemEntry> {
    let name = &scalar(node, "the name of a system", out)?.text;
    let found = vocabulary.system(name);
    if found.is_none() {
        let known: Vec<&str> = vocabulary.systems.iter().map(|system| system.entry.name).collect();
        out.push(unknown(&node.place, "system", name, &known));
    }
    found
}

fn nodes(fields: &mut Fields<'_>, out: &mut Diagnostics) -> Option<u16> {
    let Some(entry) = fields.take("nodes") else { return Some(NODES) };
    let text = &scalar(&entry.value, "a number of nodes", out)?.text;
    match scalars::count(text, 1, NODES_MAX) {
        Ok(nodes) => u16::try_from(nodes).ok(),
        Err(error) => {
            out.push(malformed(entry.value.place.clone(), "nodes", text, error));
            None
        }
    }
}

/// Hosts for nodes that come later.
fn spares(fields: &mut Fields<'_>, nodes: Option<u16>, out: &mut Diagnostics) -> Option<u16> {
    let Some(entry) = fields.take("spares") else { return Some(0) };
    let text = &scalar(&entry.value, "a number of hosts", out)?.text;
    let most = NODES_MAX.saturating_sub(u64::from(nodes.unwrap_or(0)));
    match scalars::count(text, 0, most) {
        Ok(spares) => u16::try_from(spares).ok(),
        Err(error) => {
            out.push(malformed(entry.value.place.clone(), "spares", text, error));
            None
        }
    }
}

fn data(fields: &mut Fields<'_>, out: &mut Diagnostics) -> Option<DataPlace> {
    let Some(entry) = fields.take("data") else { return Some(DataPlace::Disk) };
    let text = &scalar(&entry.value, "`disk` or `memory`", out)?.text;
    settings::word(&entry.value, text, &["disk", "memory"], "data", out).map(|word| match word {
        "memory" => DataPlace::Memory,
        _ => DataPlace::Disk,
    })
}

fn network(fields: &mut Fields<'_>, out: &mut Diagnostics) -> Option<NetworkKind> {
    let Some(entry) = fields.take("network") else { return Some(NetworkKind::Switch) };
    let text = &scalar(&entry.value, "`switch` or `kernel`", out)?.text;
    settings::word(&entry.value, text, &["switch", "kernel"], "network", out).map(|word| match word {
        "kernel" => NetworkKind::Kernel,
        _ => NetworkKind::Switch,
    })
}

/// The outer `None` stands for rules that could not be read, the inner one for a system that has none.
fn rules(
    fields: &mut Fields<'_>,
    system: Option<&SystemEntry>,
    sets: &[String],
    out: &mut Diagnostics,
) -> Option<Option<RuleUse>> {
    let before = out.len();
    let given = fields.take("rules");
    let system = system?;
    let Some(book) = &system.rules else {
        let message = format!("`{}` has no rules that could be switched", system.entry.name);
        if let Some(given) = given {
            out.push(Diagnostic::new(given.key_place.clone(), message.clone()));
        }
        for (index, set) in sets.iter().enumerate() {
            out.push(Diagnostic::new(Place::set(index, 0..set.len()), message.clone()));
        }
        return (out.len() == before).then_some(None);
    };
    let mut rules = RuleUse { preset: book.default_preset.clone(), set: BTreeMap::new() };
    match given.map(|given| (&given.value.value, given)) {
        None | Some((Value::Null, _)) => {}
        Some((Value::Map(entries), _)) => {
            for entry in entries {
                let Some(value) = scalar(&entry.value, "the value of a rule", out) else { continue };
                let text = RuleText {
                    name: &entry.key,
                    name_place: entry.key_place.clone(),
                    value: &value.text,
                    value_place: entry.value.place.clone(),
                };
                rule(book, &text, &mut rules, out);
            }
        }
        Some((_, given)) => {
            let message = format!("`rules` is a map from rules to values, not {}", given.value.kind());
            out.push(Diagnostic::new(given.value.place.clone(), message));
        }
    }
    for (index, set) in sets.iter().enumerate() {
        let Some((name, value)) = set.split_once('=') else {
            let place = Place::set(index, 0..set.len());
            out.push(Diagnostic::new(place, "`--set` takes `rule=value`").label("there is no `=`"));
            continue;
        };
        let text = RuleText {
            name,
            name_place: Place::set(index, 0..name.len()),
            value,
            value_place: Place::set(index, name.len() + 1..set.len()),
        };
        rule(book, &text, &mut rules, out);
    }
    if out.len() == before
        && let Err(why) = (book.validate)(&rules)
    {
        let place = given.map_or(fields.place(), |given| &given.key_place).clone();
        out.push(Diagnostic::new(place, why));
    }
    (out.len() == before).then_some(Some(rules))
}

/// One rule as it is written, in the file or in a `--set` argument.
struct RuleText<'t> {
    name: &'t str,
    name_place: Place,
    value: &'t str,
    value_place: Place,
}

fn rule(book: &RuleBook, text: &RuleText<'_>, rules: &mut RuleUse, out: &mut Diagnostics) {
    let RuleText { name, value, .. } = *text;
    if name == "preset" {
        let presets: Vec<&str> = book.presets.iter().map(|(preset, _)| preset.as_str()).collect();
        if presets.contains(&value) {
            rules.preset = value.to_owned();
        } else {
            out.push(unknown(&text.value_place, "preset", value, &presets));
        }
        return;
    }
    let Some(known) = book.rules.iter().find(|rule| rule.name == name) else {
        let mut names: Vec<&str> = book.rules.iter().map(|rule| rule.name.as_str()).collect();
        names.push("preset");
        out.push(unknown(&text.name_place, "rule", name, &names));
        return;
    };
    match (book.check)(name, value) {
        Ok(()) => {
            rules.set.insert(name.to_owned(), value.to_owned());
        }
        Err(_) => {
            let values: Vec<&str> = known.values.iter().map(String::as_str).collect();
            let label = suggest::did_you_mean(value, &values)
                .unwrap_or_else(|| "not a value of this rule".to_owned());
            let form = if values.is_empty() { known.form.clone() } else { suggest::one_of(&values) };
            let message = format!("the rule `{name}` cannot be `{value}`");
            let help = format!("it is {form}; the default is `{}`", known.default);
            out.push(Diagnostic::new(text.value_place.clone(), message).label(label).help(help));
        }
    }
}
