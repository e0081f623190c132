//! The schema of a suite with a matrix: its cells, and templates wherever a value may stand.

use serde_json::{Map, Value, json};

use super::super::vocabulary::Vocabulary;
use super::{count, decode, expectation, object};

/// The sections that every suite says itself.
const OWN: [&str; 3] = ["version", "name", "question"];

/// The schema of a suite with a matrix, from that of one without.
pub(super) fn suite(alone: &Value, vocabulary: &Vocabulary) -> Value {
    let mut suite = alone.clone();
    suite["description"] = Value::from("A suite for each cell of a matrix.");
    // What the suite does may stand in its cells alone.
    suite.as_object_mut().and_then(|suite| suite.remove("anyOf"));
    let Some(properties) = suite["properties"].as_object_mut() else { return suite };
    properties.remove("expect");
    let templated = properties.iter_mut().filter(|(name, _)| !OWN.contains(&name.as_str()));
    templated.for_each(|(_, section)| allow_templates(section));
    let sections = properties.iter().filter(|(name, _)| !OWN.contains(&name.as_str()) && *name != "system");
    let cell = cell(sections.map(|(name, section)| (name.clone(), section.clone())).collect(), vocabulary);
    let matrix = json!({ "description": "The cells.", "type": "array", "minItems": 1, "items": cell });
    properties.insert("matrix".to_owned(), matrix);
    if let Some(required) = suite["required"].as_array_mut() {
        required.push(Value::from("matrix"));
    }
    suite
}

fn cell(sections: Map<String, Value>, vocabulary: &Vocabulary) -> Value {
    let mut expect = expectation::expect(vocabulary);
    allow_templates(&mut expect);
    let mut nodes = count(1, decode::NODES_MAX);
    nodes["description"] = Value::from("How many nodes, in place of what the suite says.");
    let any = |description: &str| json!({ "description": description, "type": "object" });
    let mut properties = sections;
    properties.extend([
        (
            "cell".to_owned(),
            json!({ "description": "The name of the cell.", "type": ["string", "number"], "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$" }),
        ),
        ("rules".to_owned(), any("Protocol rules on top of those of the suite.")),
        ("nodes".to_owned(), nodes),
        ("values".to_owned(), any("What the templates stand for in this cell.")),
        ("expect".to_owned(), expect),
    ]);
    object("A cell.", properties, &["cell", "expect"])
}

/// Lets `${{ name }}` stand wherever a value may.
fn allow_templates(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    let members = object.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten();
    members.for_each(|(_, member)| allow_templates(member));
    if let Some(items) = object.get_mut("items") {
        allow_templates(items);
    }
    if let Some(variants) = object.get_mut("anyOf").and_then(Value::as_array_mut) {
        variants.iter_mut().for_each(allow_templates);
        return;
    }
    if ["type", "enum", "pattern"].into_iter().any(|name| object.contains_key(name)) {
        let description = object.remove("description").unwrap_or_else(|| Value::from("A value."));
        let template = json!({ "type": "string", "pattern": r"\$\{\{.*\}\}" });
        *schema = json!({ "description": description, "anyOf": [schema.clone(), template] });
    }
}
