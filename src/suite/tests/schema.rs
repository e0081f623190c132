//! The schema against suites: what the reader accepts is valid, and what a schema can refuse is not.

use serde_json::{Value, json};

use super::reading::{PARTITION, accept};
use super::vocabulary::vocabulary;
use crate::suite::diagnostics::Diagnostics;
use crate::suite::schema;
use crate::suite::tree::{self, Node, Style};

/// YAML as JSON, with plain scalars typed as an editor would type them.
fn json_of(node: &Node) -> Value {
    match &node.value {
        tree::Value::Null => Value::Null,
        tree::Value::Scalar(scalar) => match serde_json::from_str::<Value>(&scalar.text) {
            Ok(typed @ (Value::Bool(_) | Value::Number(_))) if scalar.style == Style::Plain => typed,
            _ => Value::from(scalar.text.as_str()),
        },
        tree::Value::List(items) => items.iter().map(json_of).collect(),
        tree::Value::Map(entries) => {
            Value::Object(entries.iter().map(|entry| (entry.key.clone(), json_of(&entry.value))).collect())
        }
    }
}

pub(super) fn yaml(source: &str) -> Value {
    let mut out = Diagnostics::default();
    let node = tree::parse(source, &mut out).expect("the source is YAML");
    assert!(out.is_empty());
    json_of(&node)
}

/// Where `value` breaks `schema`: the part of JSON Schema that the generated schema uses, patterns apart, of which only that
/// of templates is looked at.
pub(super) fn invalid(schema: &Value, value: &Value, path: &str) -> Option<String> {
    let template =
        schema.get("pattern").and_then(Value::as_str).is_some_and(|pattern| pattern.contains(r"\{\{"));
    if template && !value.as_str().is_some_and(|text| text.contains("${{")) {
        return Some(format!("{path}: {value} is no template"));
    }
    if let Some(allowed) = schema.get("const").filter(|allowed| *allowed != value) {
        return Some(format!("{path}: {value} is not {allowed}"));
    }
    if let Some(allowed) =
        schema.get("enum").and_then(Value::as_array).filter(|allowed| !allowed.contains(value))
    {
        return Some(format!("{path}: {value} is not one of {allowed:?}"));
    }
    if let Some(variants) = schema.get("anyOf").and_then(Value::as_array) {
        let failures: Vec<String> =
            variants.iter().filter_map(|variant| invalid(variant, value, path)).collect();
        if failures.len() == variants.len() {
            return Some(failures.join("; "));
        }
    }
    invalid_type(schema, value, path)
        .or_else(|| invalid_number(schema, value, path))
        .or_else(|| invalid_items(schema, value, path))
        .or_else(|| invalid_members(schema, value, path))
}

fn invalid_type(schema: &Value, value: &Value, path: &str) -> Option<String> {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("`{other}` is no type of JSON Schema"),
    };
    let matches = match schema.get("type") {
        None => true,
        Some(Value::String(name)) => is(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(is),
        Some(other) => panic!("`type` cannot be {other}"),
    };
    (!matches).then(|| format!("{path}: {value} is no {}", schema["type"]))
}

fn invalid_number(schema: &Value, value: &Value, path: &str) -> Option<String> {
    let number = value.as_f64()?;
    let below = schema.get("minimum").and_then(Value::as_f64).is_some_and(|min| number < min);
    let above = schema.get("maximum").and_then(Value::as_f64).is_some_and(|max| number > max);
    (below || above).then(|| format!("{path}: {number} is out of bounds"))
}

fn invalid_items(schema: &Value, value: &Value, path: &str) -> Option<String> {
    let items = value.as_array()?;
    if schema.get("minItems").and_then(Value::as_u64).is_some_and(|min| (items.len() as u64) < min) {
        return Some(format!("{path}: too few items"));
    }
    let each = schema.get("items")?;
    items.iter().enumerate().find_map(|(index, item)| invalid(each, item, &format!("{path}[{index}]")))
}

fn invalid_members(schema: &Value, value: &Value, path: &str) -> Option<String> {
    let members = value.as_object()?;
    let required =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    if let Some(missing) = required.into_iter().find(|name| !members.contains_key(*name)) {
        return Some(format!("{path}: `{missing}` is missing"));
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    members.iter().find_map(|(name, member)| match properties.and_then(|properties| properties.get(name)) {
        Some(property) => invalid(property, member, &format!("{path}.{name}")),
        None if schema.get("additionalProperties") == Some(&json!(false)) => {
            Some(format!("{path}: `{name}` is unknown"))
        }
        None => None,
    })
}

#[test]
fn what_the_reader_accepts_is_valid() {
    let schema = schema(&vocabulary());
    let short =
        PARTITION.replace("- kill: { target: leader, for: 1s..3s, weight: 3 }", "- kill\n    - pause:");
    for source in [PARTITION, &short] {
        accept(source);
        assert_eq!(invalid(&schema, &yaml(source), "suite"), None);
    }
}

#[test]
fn what_a_schema_can_refuse_is_refused() {
    let schema = schema(&vocabulary());
    for (from, to) in [
        ("version: 1", "version: 2"),
        ("name: partition", "nam: partition"),
        ("duration: 30s", "duration: 30"),
        ("nodes: 5", "nodes: 10"),
        ("kind: register", "kind: registers"),
        ("keys: 8", "keys: 0"),
        ("keys: 8", "keys: many"),
        ("cas: 1", "swap: 1"),
        ("bridge", "bridges"),
        ("weight: 3", "weight: 0"),
        ("- kill:", "- slay:"),
        ("lost-commits", "lost-commit"),
        ("max<8s", "8"),
        ("ops_ok", "ops_good"),
        ("expect: safe", "expect: fine"),
        ("expect: safe", "expect: { violates: [] }"),
        ("preset: production", "preset: production, read_mode: stale"),
        ("every: 2s..5s", "evry: 2s..5s"),
    ] {
        let broken = PARTITION.replace(from, to);
        assert_ne!(broken, PARTITION, "{from} does not occur");
        if to != "8" && !to.starts_with("max") {
            assert!(invalid(&schema, &yaml(&broken), "suite").is_some(), "{to} is valid");
        }
    }
}

#[test]
fn every_part_of_the_schema_is_described() {
    fn undescribed(schema: &Value, path: &str, found: &mut Vec<String>) {
        let Some(object) = schema.as_object() else { return };
        for (name, property) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = format!("{path}.{name}");
            let constant = property.get("const").is_some();
            let weight = property.get("type") == Some(&json!("integer"));
            if property.get("description").is_none() && !constant && !weight {
                found.push(path.clone());
            }
            undescribed(property, &path, found);
        }
        for variant in object.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
            undescribed(variant, path, found);
        }
    }
    let mut found = Vec::new();
    undescribed(&schema(&vocabulary()), "suite", &mut found);
    assert!(found.is_empty(), "{found:?}");
}
