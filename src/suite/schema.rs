//! The JSON schema of the suite format, for editors, made from the same vocabulary that the reader uses.
//!
//! Invariant: every suite that the reader accepts is valid against it (scalars may stand with or without quotes). The
//! reverse does not hold: what hangs together across sections (nodes that exist, checks that fit) is the reader's
//! business. Reference: JSON Schema draft 2020-12.

mod expectation;
mod matrix;
mod question;

use checker::params::{Kind, Setting};
use serde_json::{Map, Value, json};

use super::decode;
use super::settings::{SELECTORS, describe};
use super::vocabulary::{Entry, MeasureEntry, RuleBook, SystemEntry, Unit, Vocabulary};

const DURATION: &str = r"^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$";
const DURATION_RANGE: &str =
    r"^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+( *\.\. *([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+)?$";
const RATE: &str = r"^[0-9]+(\.[0-9]+)?/(s|m|h)$";
const PERCENTAGE: &str = r"^[0-9]+(\.[0-9]+)? *%$";

/// The schema of a whole suite file: without a matrix, or with one whose cells fill in templates.
pub fn schema(vocabulary: &Vocabulary) -> Value {
    let alone = suite(vocabulary);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "raftcheck suite",
        "description": "A run of raftcheck: what is tested, what clients do, what breaks, and what has to come out.",
        "anyOf": [alone, matrix::suite(&alone, vocabulary)],
    })
}

/// The schema of a suite without a matrix.
fn suite(vocabulary: &Vocabulary) -> Value {
    let properties = json!({
        "version": { "description": "The version of this format.", "enum": [decode::VERSION, decode::VERSION.to_string()] },
        "name": {
            "description": "The name of the suite; its runs go to a directory of that name.",
            "type": ["string", "number"],
            "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$",
        },
        "system": any_of("What is tested.", vocabulary.systems.iter().map(system)),
        "workload": any_of("What the clients do.", vocabulary.workloads.iter().map(|workload| self::workload(&workload.entry))),
        "warm-up": duration("How long the clients work before the first fault can come.", Some(decode::WARM_UP)),
        "duration": duration("How long faults are injected.", None),
        "faults": faults(vocabulary),
        "quiesce": duration("The longest that the cluster may take to acknowledge writes again after everything is healed.", Some(decode::QUIESCE)),
        "checks": checks(vocabulary),
        "thresholds": thresholds(&vocabulary.measures),
        "expect": expectation::expect(vocabulary),
        "question": question::question(),
        "steps": steps("The choreography, in the place of `faults` and `duration`."),
        "procedures": procedures(),
        "within": duration("How long a wait of a step may take that says nothing else.", Some(decode::WITHIN)),
        "op-timeout": duration("How long an operation of a step may take.", Some(decode::STEP_TIMEOUT)),
        "finish": {
            "description": "What follows the last step.", "enum": ["heal", "as-is"], "default": "heal",
        },
    });
    json!({
        "description": "One suite.",
        "type": "object",
        "properties": properties,
        "required": ["version", "name", "system"],
        "anyOf": [{ "required": ["workload", "duration"] }, { "required": ["steps"] }],
        "additionalProperties": false,
    })
}

/// Steps; what stands behind a verb is the reader's business.
fn steps(description: &str) -> Value {
    let verbs = decode::VERBS.iter().map(|(verb, what)| ((*verb).to_owned(), json!({ "description": what })));
    let beside = decode::BESIDE.into_iter();
    let beside = beside.map(|key| (key.to_owned(), json!({ "description": "Stands beside a verb." })));
    let properties: Map<String, Value> = verbs.chain(beside).collect();
    json!({
        "description": description,
        "type": ["array", "null"],
        "items": object("A verb and what it is done to; see docs/questions.md.", properties, &[]),
    })
}

fn procedures() -> Value {
    let takes = json!({ "description": "Its arguments.", "type": "array", "items": { "type": "string" } });
    let properties =
        Map::from_iter([("takes".to_owned(), takes), ("steps".to_owned(), steps("What it does."))]);
    json!({
        "description": "Steps with a name, for `call`.",
        "type": "object",
        "additionalProperties": object("A procedure.", properties, &["steps"]),
    })
}

fn any_of(description: &str, variants: impl Iterator<Item = Value>) -> Value {
    json!({ "description": description, "anyOf": variants.collect::<Vec<_>>() })
}

fn duration(description: &str, default: Option<&str>) -> Value {
    with_default(json!({ "description": description, "type": "string", "pattern": DURATION }), default)
}

fn with_default(mut schema: Value, default: Option<&str>) -> Value {
    if let Some(default) = default {
        schema["default"] = Value::from(default);
    }
    schema
}

/// An object of these properties and no others.
fn object(description: &str, properties: Map<String, Value>, required: &[&str]) -> Value {
    json!({
        "description": description,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn settings_of(settings: &[Setting]) -> (Map<String, Value>, Vec<&'static str>) {
    let properties =
        settings.iter().map(|setting| (setting.name.to_owned(), self::setting(setting))).collect();
    let required =
        settings.iter().filter(|setting| setting.default.is_none()).map(|setting| setting.name).collect();
    (properties, required)
}

fn setting(setting: &Setting) -> Value {
    let mut schema = kind(setting.kind);
    schema["description"] = Value::from(format!("{} It is {}.", setting.doc, describe(setting.kind)));
    with_default(schema, setting.default)
}

fn kind(kind: Kind) -> Value {
    match kind {
        Kind::Duration => json!({ "type": "string", "pattern": DURATION }),
        Kind::DurationRange => json!({ "type": "string", "pattern": DURATION_RANGE }),
        Kind::Count { min, max } => count(min, max),
        Kind::Rate => json!({ "type": "string", "pattern": RATE }),
        Kind::Ratio => json!({ "anyOf": [
            { "type": "number", "minimum": 0, "maximum": 1 },
            { "type": "string", "pattern": PERCENTAGE },
        ] }),
        Kind::Flag => words(["true", "false"].into_iter()),
        Kind::Text => text(),
        Kind::Word(allowed) => words(allowed.iter().copied()),
        Kind::List(inner) => {
            let inner = self::kind(*inner);
            json!({ "anyOf": [inner, { "type": "array", "items": inner, "minItems": 1 }] })
        }
        Kind::Weights(allowed) => {
            let properties = allowed.iter().map(|word| ((*word).to_owned(), count(0, 1_000_000))).collect();
            object("Relative weights.", properties, &[])
        }
        Kind::Target => json!({ "anyOf": [words(SELECTORS.into_iter()), node()] }),
        Kind::Groups => json!({
            "type": "array", "items": { "type": "array", "minItems": 1, "items": node() },
        }),
    }
}

fn count(min: u64, max: u64) -> Value {
    match max {
        u64::MAX => json!({ "type": "integer", "minimum": min }),
        _ => json!({ "type": "integer", "minimum": min, "maximum": max }),
    }
}

fn node() -> Value {
    json!({ "type": "string", "pattern": format!("^n[1-{}]$", decode::NODES_MAX) })
}

/// Any scalar, since the reader takes it as text.
fn text() -> Value {
    json!({ "type": ["string", "number", "boolean"] })
}

/// These words; without quotes an editor takes some of them for a boolean or a number.
fn words<'w>(allowed: impl Iterator<Item = &'w str>) -> Value {
    let mut values = Vec::new();
    for word in allowed {
        values.push(Value::from(word));
        if let Ok(value @ (Value::Bool(_) | Value::Number(_))) = serde_json::from_str(word) {
            values.push(value);
        }
    }
    json!({ "enum": values })
}

fn system(system: &SystemEntry) -> Value {
    let (mut properties, mut required) = settings_of(system.entry.settings);
    properties.insert("use".to_owned(), json!({ "const": system.entry.name }));
    required.push("use");
    let mut nodes = count(1, decode::NODES_MAX);
    nodes["description"] = Value::from("How many nodes.");
    nodes["default"] = Value::from(decode::NODES);
    properties.insert("nodes".to_owned(), nodes);
    let mut spares = count(0, decode::NODES_MAX - 1);
    spares["description"] =
        Value::from("How many hosts beside them, for nodes that steps add and for twins.");
    spares["default"] = Value::from(0);
    properties.insert("spares".to_owned(), spares);
    let mut data = words(["disk", "memory"].into_iter());
    data["description"] = Value::from("Where the nodes keep their data.");
    data["default"] = Value::from("disk");
    properties.insert("data".to_owned(), data);
    let mut network = words(["switch", "kernel"].into_iter());
    network["description"] =
        Value::from("What connects the nodes and the clients; `kernel` only cuts links.");
    network["default"] = Value::from("switch");
    properties.insert("network".to_owned(), network);
    if let Some(book) = &system.rules {
        properties.insert("rules".to_owned(), rules(book));
    }
    object(system.entry.summary, properties, &required)
}

fn rules(book: &RuleBook) -> Value {
    let mut properties = Map::new();
    for rule in &book.rules {
        let mut schema =
            if rule.values.is_empty() { text() } else { words(rule.values.iter().map(String::as_str)) };
        schema["description"] = Value::from(rule.summary.as_str());
        schema["default"] = Value::from(rule.default.as_str());
        properties.insert(rule.name.clone(), schema);
    }
    let mut preset = words(book.presets.iter().map(|(name, _)| name.as_str()));
    preset["description"] = Value::from("The set of rules that the others are set on top of.");
    preset["default"] = Value::from(book.default_preset.as_str());
    properties.insert("preset".to_owned(), preset);
    json!({ "description": "Protocol rules.", "type": ["object", "null"], "properties": properties, "additionalProperties": false })
}

fn workload(entry: &Entry) -> Value {
    let (mut properties, mut required) = settings_of(entry.settings);
    properties.insert("kind".to_owned(), json!({ "const": entry.name }));
    required.push("kind");
    let mut clients = count(1, decode::CLIENTS_MAX);
    clients["description"] = Value::from("How many clients.");
    clients["default"] = Value::from(decode::CLIENTS);
    properties.insert("clients".to_owned(), clients);
    let rate = json!({
        "description": "Operations per second over all clients, or `max` for as many as they can.",
        "anyOf": [{ "const": decode::RATE_MAX }, { "type": "string", "pattern": RATE }],
        "default": format!("{}/s", decode::RATE),
    });
    properties.insert("rate".to_owned(), rate);
    let timeout = duration(
        "The longest that one call may take until its outcome is unknown.",
        Some(decode::OP_TIMEOUT),
    );
    properties.insert("op-timeout".to_owned(), timeout);
    object(entry.summary, properties, &required)
}

/// The name alone, or a map from the name to settings.
fn named(entry: &Entry, more: Option<(&str, Value)>) -> Vec<Value> {
    let (mut properties, required) = settings_of(entry.settings);
    if let Some((name, schema)) = more {
        properties.insert(name.to_owned(), schema);
    }
    let mut settings = object(entry.summary, properties, &required);
    let mut variants = Vec::new();
    if required.is_empty() {
        settings["type"] = json!(["object", "null"]);
        variants.push(json!({ "const": entry.name, "description": entry.summary }));
    }
    variants.push(json!({
        "type": "object", "properties": { entry.name: settings }, "required": [entry.name], "additionalProperties": false,
    }));
    variants
}

fn faults(vocabulary: &Vocabulary) -> Value {
    let mut weight = count(1, decode::WEIGHT_MAX);
    weight["description"] = Value::from("How often it is chosen, relative to the others.");
    weight["default"] = Value::from(1);
    let variants =
        vocabulary.faults.iter().flat_map(|fault| named(&fault.entry, Some(("weight", weight.clone()))));
    let mix = json!({ "description": "What can be injected.", "type": "array", "minItems": 1, "items": any_of("A fault.", variants) });
    let every = json!({
        "description": "The time between two injections, and before the first.", "type": "string", "pattern": DURATION_RANGE,
    });
    let properties = Map::from_iter([("every".to_owned(), every), ("mix".to_owned(), mix)]);
    object("Faults drawn at random.", properties, &["every", "mix"])
}

fn one_or_more(description: &str, item: Value) -> Value {
    json!({ "description": description, "anyOf": [item, { "type": "array", "minItems": 1, "items": item }] })
}

fn checks(vocabulary: &Vocabulary) -> Value {
    let timeout = duration("The most time that its judgement may take.", Some(decode::TIMEOUT));
    let variants =
        vocabulary.checks.iter().flat_map(|check| named(&check.entry, Some(("timeout", timeout.clone()))));
    one_or_more("What is judged; all that fit where this is left out.", any_of("A check.", variants))
}

fn thresholds(measures: &[MeasureEntry]) -> Value {
    let properties =
        measures.iter().map(|measure| (measure.name.to_owned(), self::measure(measure))).collect();
    object("Bounds on what was measured.", properties, &[])
}

fn measure(measure: &MeasureEntry) -> Value {
    let value = |unit: &Unit| match unit {
        Unit::Number => "[0-9]+",
        Unit::Time => r"([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+",
        Unit::Ratio => r"[0-9.]+%?",
        Unit::Bytes => "[0-9]+(B|KiB|MiB|GiB)",
    };
    let bound = |(name, unit): &(&str, Unit)| format!("{name} *(>=|<=|==|>|<) *{}", value(unit));
    let forms: Vec<String> = measure.aggregates.iter().map(bound).collect();
    let bound = json!({ "type": "string", "pattern": format!("^({})$", forms.join("|")) });
    with_default(one_or_more(measure.summary, bound), measure.default)
}
