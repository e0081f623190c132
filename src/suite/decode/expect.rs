//! `expect:` what has to come out: no violation, a violation, or no violation and claims of progress, cost and behaviour.

use std::collections::BTreeSet;

use super::super::claim::{Behaviour, Claim, Degrades, Factor, Liveness, NodeEvent, Part, Progress, When};
use super::super::diagnostics::{Diagnostic, Diagnostics};
use super::super::fields::{Fields, items, scalar};
use super::super::model::{CheckUse, Expect};
use super::super::settings::{self, malformed};
use super::super::tree::{Entry, Node, Value};
use super::super::vocabulary::Vocabulary;
use super::super::{scalars, suggest};
use super::system::System;
use super::{checks, unknown};

/// The most that a measure can be said to be worse.
const FACTOR_MAX: f64 = 1e6;

/// What an expectation is read against.
pub(super) struct Context<'c> {
    pub(super) checks: Option<&'c [CheckUse]>,
    pub(super) system: &'c System<'c>,
    pub(super) vocabulary: &'c Vocabulary,
    /// The other cells of the matrix; none outside of one.
    pub(super) others: &'c [&'c str],
    /// The labels of the steps; `None` where those could not be read.
    pub(super) labels: Option<BTreeSet<&'c str>>,
}

/// `expect: safe`, `expect: { violates: [property, ...] }`, or claims: `expect: { stalls: { for: 2s } }`.
pub(super) fn read(suite: &mut Fields<'_>, context: &Context<'_>, out: &mut Diagnostics) -> Option<Expect> {
    let Some(entry) = suite.take("expect") else { return Some(Expect::Safe) };
    match &entry.value.value {
        Value::Scalar(scalar) if scalar.text == "safe" => Some(Expect::Safe),
        Value::Map(_) => map(entry, context, out),
        found => {
            let message = match found {
                Value::Scalar(scalar) => format!("`expect` cannot be `{}`", scalar.text),
                _ => format!("`expect` cannot be {}", entry.value.kind()),
            };
            let help = "write `expect: safe` or `expect: { violates: [linearizable] }`";
            out.push(Diagnostic::new(entry.value.place.clone(), message).help(help));
            None
        }
    }
}

fn map(entry: &Entry, context: &Context<'_>, out: &mut Diagnostics) -> Option<Expect> {
    let before = out.len();
    let mut fields = Fields::of(&entry.value, "`expect`", out)?.at(entry.key_place.clone());
    let violates = fields.take("violates");
    let mut claims = Vec::new();
    let mut given = Vec::new();
    if let Some(live) = fields.take("live") {
        given.push(live);
        claims.extend(liveness(live, "within", context, out).map(Claim::Live));
    }
    if let Some(stalls) = fields.take("stalls") {
        given.push(stalls);
        claims.extend(liveness(stalls, "for", context, out).map(Claim::Stalls));
    }
    if let Some(degrades) = fields.take("degrades") {
        given.push(degrades);
        claims.extend(self::degrades(degrades, context, out).map(Claim::Degrades));
    }
    if let Some(behaviours) = fields.take("behaviour") {
        given.push(behaviours);
        for item in items(&behaviours.value) {
            claims.extend(behaviour(item, context, out).map(Claim::Behaviour));
        }
    }
    fields.finish(out);
    match (violates, given.first()) {
        (Some(violates), None) => {
            violated(&violates.value, context.checks, context.vocabulary, out).map(Expect::Violates)
        }
        (Some(violates), Some(claim)) => {
            let message = format!("`violates` and `{}` cannot be expected together", claim.key);
            let diagnostic = Diagnostic::new(claim.key_place.clone(), message);
            let label = "a claim presupposes that nothing is violated";
            out.push(
                diagnostic.label(label).also(violates.key_place.clone(), "a violation is expected here"),
            );
            None
        }
        (None, None) if out.len() == before => {
            let message = "nothing is expected here";
            let help = "write `expect: safe`, or for example `expect: { violates: [linearizable] }`";
            out.push(Diagnostic::new(entry.value.place.clone(), message).help(help));
            None
        }
        (None, _) => (out.len() == before).then_some(Expect::Shows(claims)),
    }
}

/// `live: { within: 2s }`, `stalls: { for: 2s, of: elections }`.
fn liveness(
    entry: &Entry,
    bound: &'static str,
    context: &Context<'_>,
    out: &mut Diagnostics,
) -> Option<Liveness> {
    let owner = format!("`{}`", entry.key);
    let mut fields = Fields::of(&entry.value, owner, out)?.at(entry.key_place.clone());
    let bound_ns = fields.require(bound, &format!("{bound}: 2s"), out).and_then(|entry| time(entry, out));
    let of = match fields.take("of") {
        None => Some(Progress::Writes),
        Some(entry) => {
            let found = choose(entry, &Progress::ALL, out);
            if found == Some(Progress::Elections) {
                needs_trace(&entry.value, "elections are", context, out);
            }
            found
        }
    };
    let part = part(&mut fields, context, out);
    fields.finish(out);
    Some(Liveness { of: of?, bound_ns: bound_ns?, part: part? })
}

/// A duration above 0.
fn time(entry: &Entry, out: &mut Diagnostics) -> Option<u64> {
    let text = &scalar(&entry.value, "a duration such as `2s`", out)?.text;
    let place = entry.value.place.clone();
    match scalars::duration(text) {
        Ok(0) => {
            out.push(
                Diagnostic::new(place, format!("`{}` cannot be 0", entry.key)).label("a bound is above 0"),
            );
            None
        }
        Ok(ns) => Some(ns),
        Err(error) => {
            out.push(malformed(place, &entry.key, text, error));
            None
        }
    }
}

/// One of some named values.
fn choose<T: Copy, const N: usize>(
    entry: &Entry,
    named: &[(&'static str, T); N],
    out: &mut Diagnostics,
) -> Option<T> {
    let words = named.each_ref().map(|(name, _)| *name);
    let text = &scalar(&entry.value, &suggest::one_of(&words), out)?.text;
    let word = settings::word(&entry.value, text, &words, &entry.key, out)?;
    named.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
}

fn needs_trace(node: &Node, what: &str, context: &Context<'_>, out: &mut Diagnostics) {
    if let Some(system) = context.system.entry.filter(|system| !system.capabilities.trace) {
        let name = system.entry.name;
        let message = format!("{what} read from the traces of the nodes, and `{name}` writes none");
        out.push(Diagnostic::new(node.place.clone(), message));
    }
}

/// The labels that bound the part of the run that is looked at.
fn part(fields: &mut Fields<'_>, context: &Context<'_>, out: &mut Diagnostics) -> Option<Part> {
    let mut label = |name| match fields.take(name) {
        None => Some(None),
        Some(entry) => self::label(&entry.value, context, out).map(Some),
    };
    let (after, until) = (label("after"), label("until"));
    Some(Part { after: after?, until: until? })
}

/// The label of a step. Whether a run comes to that step only the run tells.
fn label(node: &Node, context: &Context<'_>, out: &mut Diagnostics) -> Option<String> {
    let text = &scalar(node, "the label of a step", out)?.text;
    if let Some(labels) = context.labels.as_ref().filter(|labels| !labels.contains(text.as_str())) {
        let known: Vec<&str> = labels.iter().copied().collect();
        let diagnostic = Diagnostic::new(node.place.clone(), format!("no step has the label `{text}`"));
        let help = match known.as_slice() {
            [] => format!("name the moment in `steps`: `label: {text}` beside the verb"),
            known => format!(
                "there is {}; `label: {text}` beside a verb makes another one",
                suggest::one_of(known)
            ),
        };
        let nearest = suggest::did_you_mean(text, &known);
        out.push(match nearest {
            Some(nearest) => diagnostic.label(nearest).help(help),
            None => diagnostic.help(help),
        });
        return None;
    }
    Some(text.clone())
}

/// `degrades: { measure: latency.p99, at-least: 2x, control: cell }`.
fn degrades(entry: &Entry, context: &Context<'_>, out: &mut Diagnostics) -> Option<Degrades> {
    let mut fields = Fields::of(&entry.value, "`degrades`", out)?.at(entry.key_place.clone());
    let measure = fields.require("measure", "measure: latency.p99", out);
    let measure = measure.and_then(|entry| measured(entry, context, out));
    let node = match (fields.take("node"), &measure) {
        (Some(entry), Some((measure, _))) => self::of_node(entry, measure, context, out).map(Some),
        _ => Some(None),
    };
    let at_least = fields.take("at-least");
    let at_most = fields.take("at-most");
    let factor = match (at_least, at_most) {
        (Some(entry), None) => factor(entry, out).map(Factor::AtLeast),
        (None, Some(entry)) => factor(entry, out).map(Factor::AtMost),
        _ => {
            let message = "`degrades` needs one of `at-least` and `at-most`";
            let help = "write for example `at-least: 2x`";
            out.push(Diagnostic::new(entry.key_place.clone(), message).help(help));
            None
        }
    };
    let control = fields.require("control", "control: the-other-cell", out);
    let control = control.and_then(|entry| cell(entry, context, out));
    fields.finish(out);
    let (measure, aggregate) = measure?;
    Some(Degrades { measure, aggregate, node: node?, control: control?, factor: factor? })
}

/// The node of a measure.
fn of_node(entry: &Entry, measure: &str, context: &Context<'_>, out: &mut Diagnostics) -> Option<String> {
    let text = &scalar(&entry.value, "a node such as `n1`", out)?.text;
    let measures = &context.vocabulary.measures;
    if context.vocabulary.measure(measure).is_some_and(|measure| !measure.of_nodes) {
        let known: Vec<&str> =
            measures.iter().filter(|measure| measure.of_nodes).map(|measure| measure.name).collect();
        let message = format!("`{measure}` is one number of a whole run, and not of a node");
        let help = format!("only {} is measured of single nodes", suggest::one_of(&known));
        out.push(Diagnostic::new(entry.key_place.clone(), message).label("remove this").help(help));
        return None;
    }
    settings::is_node(&entry.value, text, &context.system.scope_of_hosts(), out).then(|| text.clone())
}

fn measured(entry: &Entry, context: &Context<'_>, out: &mut Diagnostics) -> Option<(String, String)> {
    let text = &scalar(&entry.value, "a measure such as `latency.p99`", out)?.text;
    let named = |name: &str, aggregate: &str| format!("{name}.{aggregate}");
    let measures = context.vocabulary.measures.iter();
    let known: Vec<String> = measures
        .flat_map(|measure| measure.aggregates.iter().map(|(aggregate, _)| named(measure.name, aggregate)))
        .collect();
    if known.contains(text)
        && let Some((measure, aggregate)) = text.split_once('.')
    {
        return Some((measure.to_owned(), aggregate.to_owned()));
    }
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    out.push(unknown(&entry.value.place, "measure", text, &known));
    None
}

/// `2x`: from 1 on.
fn factor(entry: &Entry, out: &mut Diagnostics) -> Option<f64> {
    let text = &scalar(&entry.value, "a factor such as `2x`", out)?.text;
    let number = text.strip_suffix('x').and_then(|number| number.parse::<f64>().ok());
    let found = number.filter(|number| (1.0..=FACTOR_MAX).contains(number));
    if found.is_none() {
        let diagnostic =
            Diagnostic::new(entry.value.place.clone(), format!("`{}` cannot be `{text}`", entry.key));
        out.push(diagnostic.help("a factor is a number from 1 on with an `x`, such as `2x` or `1.5x`"));
    }
    found
}

fn cell(entry: &Entry, context: &Context<'_>, out: &mut Diagnostics) -> Option<String> {
    let text = &scalar(&entry.value, "the name of a cell", out)?.text;
    if context.others.contains(&text.as_str()) {
        return Some(text.clone());
    }
    let diagnostic = match context.others {
        [] => Diagnostic::new(entry.value.place.clone(), "there is no other cell to compare with")
            .help("a measure is compared with that of another cell of the same `matrix`"),
        others => unknown(&entry.value.place, "other cell", text, others),
    };
    out.push(diagnostic);
    None
}

/// `behaviour: { occurs: elected, node: n3, term: 2 }`, `behaviour: { never: truncates }`.
fn behaviour(node: &Node, context: &Context<'_>, out: &mut Diagnostics) -> Option<Behaviour> {
    let before = out.len();
    let mut fields = Fields::of(node, "`behaviour`", out)?;
    let (occurs, never) = (fields.take("occurs"), fields.take("never"));
    let event = match (occurs, never) {
        (Some(entry), None) => choose(entry, &NodeEvent::ALL, out).map(|event| (When::Occurs, event)),
        (None, Some(entry)) => choose(entry, &NodeEvent::ALL, out).map(|event| (When::Never, event)),
        _ => {
            let message = "a behaviour names one event that `occurs`, or one that does `never`";
            let help = "write for example `behaviour: { never: elected, node: n3 }`";
            out.push(Diagnostic::new(node.place.clone(), message).help(help));
            None
        }
    };
    let who = fields.take("node").map(|entry| {
        let text = &scalar(&entry.value, "a node such as `n1`", out)?.text;
        settings::is_node(&entry.value, text, &context.system.scope_of_hosts(), out).then(|| text.clone())
    });
    let term = fields.take("term").map(|entry| {
        let text = &scalar(&entry.value, "a term", out)?.text;
        let read = scalars::count(text, 0, u64::MAX);
        read.map_err(|error| out.push(malformed(entry.value.place.clone(), "term", text, error))).ok()
    });
    let part = part(&mut fields, context, out);
    fields.finish(out);
    if event.is_some_and(|(_, event)| event != NodeEvent::Exits) {
        needs_trace(node, "events are", context, out);
    }
    let (when, event) = event?;
    (out.len() == before).then_some(Behaviour {
        when,
        event,
        node: who.flatten(),
        term: term.flatten(),
        part: part?,
    })
}

fn violated(
    node: &Node,
    checks: Option<&[CheckUse]>,
    vocabulary: &Vocabulary,
    out: &mut Diagnostics,
) -> Option<Vec<String>> {
    let before = out.len();
    let mut violated: Vec<String> = Vec::new();
    for item in items(node) {
        let Some(name) = super::scalar(item, "the name of a check", out).map(|scalar| scalar.text.as_str())
        else {
            continue;
        };
        if vocabulary.check(name).is_none() {
            out.push(unknown(&item.place, "check", name, &checks::names(vocabulary)));
        } else if let Some(checks) = checks.filter(|checks| checks.iter().all(|check| check.check != name)) {
            let message = format!("`{name}` is expected to be violated, but it is not among the checks");
            let judged: Vec<&str> = checks.iter().map(|check| check.check.as_str()).collect();
            let help = format!("add it to `checks`, or expect one of {}", suggest::one_of(&judged));
            out.push(Diagnostic::new(item.place.clone(), message).label("nobody looks at it").help(help));
        } else if violated.iter().any(|known| known == name) {
            out.push(Diagnostic::new(item.place.clone(), format!("`{name}` stands here twice")));
        }
        violated.push(name.to_owned());
    }
    if violated.is_empty() && out.len() == before {
        let message = "no check is expected to be violated";
        out.push(Diagnostic::new(node.place.clone(), message).help("write `expect: safe` for that"));
    }
    (out.len() == before).then_some(violated)
}
