//! Settings as the registries describe them, read from a map: types, bounds, defaults.
//!
//! Invariant: the result holds every setting that has a default or must be given, of its described type. There is one
//! branch per [`Kind`] and none per setting. Deliberately absent: what two settings mean together; the entries check
//! that themselves.

use std::collections::BTreeMap;

use checker::params::{Kind, Param, Params, Setting};

use super::diagnostics::{Diagnostic, Diagnostics, Place};
use super::fields::{Fields, items, scalar};
use super::scalars::{self, Malformed};
use super::suggest;
use super::tree::{self, Node, Value};

/// What the settings of an entry are read against.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// How many nodes there are, where that could be read.
    pub(super) nodes: Option<u16>,
}

/// Settings with the places of their values.
#[derive(Clone, Debug, Default)]
pub(super) struct Read {
    pub(super) params: Params,
    pub(super) places: BTreeMap<&'static str, Place>,
}

/// All selectors apart from nodes' names.
pub(super) const SELECTORS: [&str; 7] =
    ["leader", "follower", "any", "majority", "minority", "all", "healed"];

/// Reads these settings from the fields; `None` if one of them is wrong or missing.
pub(super) fn read(
    settings: &'static [Setting],
    fields: &mut Fields<'_>,
    scope: &Scope,
    out: &mut Diagnostics,
) -> Option<Read> {
    let before = out.len();
    let mut read = Read::default();
    for setting in settings {
        let param = match (fields.take(setting.name), setting.default) {
            (Some(entry), _) => {
                read.places.insert(setting.name, entry.value.place.clone());
                param(&entry.value, setting.kind, setting.name, scope, out)
            }
            (None, Some(default)) => default_param(setting, default, fields, scope, out),
            (None, None) => {
                let message = format!("{} needs `{}`", fields.owner(), setting.name);
                let help = format!("{} Write {}.", setting.doc, describe(setting.kind));
                out.push(Diagnostic::new(fields.place().clone(), message).help(help));
                None
            }
        };
        if let Some(param) = param {
            read.params.0.insert(setting.name.to_owned(), param);
        }
    }
    (out.len() == before).then_some(read)
}

/// The defaults of those settings that have one.
pub(super) fn defaults(settings: &[Setting]) -> Params {
    let (scope, mut out) = (Scope::default(), Diagnostics::default());
    let default = |setting: &Setting| {
        let node = tree::parse(setting.default?, &mut out)?;
        Some((setting.name.to_owned(), param(&node, setting.kind, setting.name, &scope, &mut out)?))
    };
    Params(settings.iter().filter_map(default).collect())
}

/// A default is text of a suite file as well, so it goes the same way; what is wrong with it shows at the entry.
fn default_param(
    setting: &Setting,
    default: &str,
    fields: &Fields<'_>,
    scope: &Scope,
    out: &mut Diagnostics,
) -> Option<Param> {
    let mark = out.len();
    let node = tree::parse(default, out);
    let param = node.and_then(|node| param(&node, setting.kind, setting.name, scope, out));
    let note = format!("`{}` is not given, and its default is `{default}`", setting.name);
    out.relocate(mark, fields.place(), &note);
    param
}

/// Reads one value.
pub(super) fn param(
    node: &Node,
    kind: Kind,
    name: &str,
    scope: &Scope,
    out: &mut Diagnostics,
) -> Option<Param> {
    match kind {
        Kind::List(inner) => {
            let items: Vec<Option<Param>> =
                items(node).iter().map(|item| param(item, *inner, name, scope, out)).collect();
            let items: Vec<Param> = items.into_iter().collect::<Option<_>>()?;
            if items.is_empty() {
                out.push(Diagnostic::new(node.place.clone(), format!("`{name}` is an empty list")));
                return None;
            }
            Some(Param::List(items))
        }
        Kind::Weights(words) => weights(node, words, name, out),
        Kind::Groups => groups(node, name, scope, out),
        _ => single(node, kind, name, scope, out),
    }
}

fn single(node: &Node, kind: Kind, name: &str, scope: &Scope, out: &mut Diagnostics) -> Option<Param> {
    let text = &scalar(node, &describe(kind), out)?.text;
    let read = match kind {
        Kind::Duration => scalars::duration(text).map(Param::Duration),
        Kind::DurationRange => scalars::duration_range(text).map(|(low, high)| Param::Range(low, high)),
        Kind::Count { min, max } => scalars::count(text, min, max).map(Param::Count),
        Kind::Rate => scalars::rate(text).map(Param::Number),
        Kind::Ratio => scalars::ratio(text).map(Param::Number),
        Kind::Flag => {
            return word(node, text, &["true", "false"], name, out).map(|word| Param::Flag(word == "true"));
        }
        Kind::Word(words) => {
            return word(node, text, words, name, out).map(|word| Param::Text(word.to_owned()));
        }
        Kind::Target => return target(node, text, scope, out).then(|| Param::Text(text.clone())),
        _ => Ok(Param::Text(text.clone())),
    };
    read.map_err(|error| out.push(malformed(node.place.clone(), name, text, error))).ok()
}

/// A value of the wrong form.
pub(super) fn malformed(place: Place, name: &str, text: &str, error: Malformed) -> Diagnostic {
    let diagnostic = Diagnostic::new(place, format!("`{name}` cannot be `{text}`")).label(error.why);
    match error.meant {
        Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
        None => diagnostic,
    }
}

/// One of some words.
pub(super) fn word(
    node: &Node,
    text: &str,
    words: &[&'static str],
    name: &str,
    out: &mut Diagnostics,
) -> Option<&'static str> {
    let found = words.iter().copied().find(|word| *word == text);
    if found.is_none() {
        let label = suggest::did_you_mean(text, words).unwrap_or_else(|| "unknown value".to_owned());
        let diagnostic =
            Diagnostic::new(node.place.clone(), format!("`{name}` cannot be `{text}`")).label(label);
        out.push(diagnostic.help(format!("it is {}", suggest::one_of(words))));
    }
    found
}

/// A map from words to weights.
fn weights(node: &Node, words: &[&'static str], name: &str, out: &mut Diagnostics) -> Option<Param> {
    let before = out.len();
    let Value::Map(entries) = &node.value else {
        let message = format!("`{name}` is a map of weights, not {}", node.kind());
        let example = words.iter().take(2).map(|word| format!("{word}: 1")).collect::<Vec<_>>().join(", ");
        out.push(
            Diagnostic::new(node.place.clone(), message).help(format!("write for example `{{ {example} }}`")),
        );
        return None;
    };
    let mut read = BTreeMap::new();
    for entry in entries {
        if !words.contains(&entry.key.as_str()) {
            let label = suggest::did_you_mean(&entry.key, words).unwrap_or_else(|| "unknown word".to_owned());
            let message =
                format!("`{name}` gives a weight to `{}`, which is not one of its words", entry.key);
            let help = format!("it takes {}", suggest::one_of(words));
            out.push(Diagnostic::new(entry.key_place.clone(), message).label(label).help(help));
        }
        let kind = Kind::Count { min: 0, max: 1_000_000 };
        if let Some(Param::Count(weight)) = single(&entry.value, kind, &entry.key, &Scope::default(), out) {
            read.insert(entry.key.clone(), weight);
        }
    }
    if out.len() == before && read.values().all(|weight| *weight == 0) {
        let message = format!("all weights of `{name}` are 0");
        out.push(Diagnostic::new(node.place.clone(), message).label("nothing can be chosen"));
    }
    (out.len() == before).then_some(Param::Weights(read))
}

/// Whether the text selects nodes of this cluster.
fn target(node: &Node, text: &str, scope: &Scope, out: &mut Diagnostics) -> bool {
    SELECTORS.contains(&text) || node_name(node, text, scope, &SELECTORS, out)
}

/// Whether the text is the name of a node of this cluster.
pub(super) fn is_node(node: &Node, text: &str, scope: &Scope, out: &mut Diagnostics) -> bool {
    node_name(node, text, scope, &[], out)
}

/// Whether the text is the name of a node of this cluster; `others` are what else it could be.
fn node_name(node: &Node, text: &str, scope: &Scope, others: &[&str], out: &mut Diagnostics) -> bool {
    let last = scope.nodes.unwrap_or(9);
    let names: Vec<String> = (1..=last).map(|id| format!("n{id}")).collect();
    if names.iter().any(|name| name == text) {
        return true;
    }
    let mut diagnostic = Diagnostic::new(node.place.clone(), format!("there is no node `{text}`"));
    if let Some(word) = suggest::nearest(text, others).filter(|_| !is_node_like(text)) {
        diagnostic = diagnostic.label(format!("did you mean `{word}`?"));
    } else {
        diagnostic = diagnostic.label(match last {
            1 => "the only node is `n1`".to_owned(),
            _ => format!("the nodes are `n1` to `n{last}`"),
        });
    }
    if !others.is_empty() {
        diagnostic = diagnostic.help(format!("a target is a node, or {}", suggest::one_of(others)));
    }
    out.push(diagnostic);
    false
}

fn is_node_like(text: &str) -> bool {
    text.strip_prefix('n').is_some_and(|id| !id.is_empty() && id.chars().all(|c| c.is_ascii_digit()))
}

/// Groups of nodes. A node may stand in several groups, but not twice in one; no group at all is for the entry to judge.
fn groups(node: &Node, name: &str, scope: &Scope, out: &mut Diagnostics) -> Option<Param> {
    let before = out.len();
    let Value::List(lists) = &node.value else {
        let message = format!("`{name}` is a list of lists of nodes, not {}", node.kind());
        out.push(
            Diagnostic::new(node.place.clone(), message).help("write for example `[[n1, n2], [n3, n4, n5]]`"),
        );
        return None;
    };
    let mut read = Vec::new();
    for list in lists {
        let mut seen: BTreeMap<&str, &Place> = BTreeMap::new();
        let Value::List(members) = &list.value else {
            let message = format!("a group is a list of nodes, not {}", list.kind());
            out.push(Diagnostic::new(list.place.clone(), message).help("write for example `[n1, n2]`"));
            continue;
        };
        if members.is_empty() {
            out.push(Diagnostic::new(list.place.clone(), "this group is empty").label("it needs a node"));
        }
        let mut group = Vec::new();
        for member in members {
            let Some(text) = scalar(member, "the name of a node", out).map(|scalar| scalar.text.as_str())
            else {
                continue;
            };
            if !node_name(member, text, scope, &[], out) {
                continue;
            }
            if let Some(first) = seen.insert(text, &member.place) {
                let diagnostic =
                    Diagnostic::new(member.place.clone(), format!("`{text}` stands twice in one group"));
                out.push(diagnostic.label("again here").also(first.clone(), "first here"));
            }
            group.push(Param::Text(text.to_owned()));
        }
        read.push(Param::List(group));
    }
    if out.len() == before && read.len() == 1 {
        out.push(
            Diagnostic::new(node.place.clone(), "one group alone separates nothing")
                .label("add a second group"),
        );
    }
    (out.len() == before).then_some(Param::List(read))
}

/// What may stand there, as a noun.
pub(super) fn describe(kind: Kind) -> String {
    match kind {
        Kind::Duration => "a duration such as `250ms`".to_owned(),
        Kind::DurationRange => "a duration or a range such as `2s..8s`".to_owned(),
        Kind::Count { min, max: u64::MAX } => format!("a whole number from {min}"),
        Kind::Count { min, max } => format!("a whole number from {min} to {max}"),
        Kind::Rate => "a rate such as `400/s`".to_owned(),
        Kind::Ratio => "a ratio such as `0.25` or `25%`".to_owned(),
        Kind::Flag => "`true` or `false`".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Word(words) => suggest::one_of(words),
        Kind::List(inner) => format!("a list of these, or one alone: {}", describe(*inner)),
        Kind::Weights(words) => format!("a map of weights for {}", suggest::one_of(words)),
        Kind::Target => format!("a node such as `n1`, or {}", suggest::one_of(&SELECTORS)),
        Kind::Groups => "a list of lists of nodes".to_owned(),
    }
}
