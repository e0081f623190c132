//! The schema of `question`.

use serde_json::{Map, Value, json};

use super::super::decode;
use super::{object, one_or_more, words};

/// What the suite answers.
pub(super) fn question() -> Value {
    let groups: Vec<String> = decode::GROUPS.chars().map(String::from).collect();
    let mut group = words(groups.iter().map(String::as_str));
    group["description"] = Value::from("The group of the catalogue.");
    let number = json!({ "type": "string", "pattern": "^S[0-9]-[0-9]{3}$" });
    let asked = json!({
        "description": "Where it was asked.",
        "anyOf": [number, { "type": "array", "items": number }],
    });
    let source = json!({ "type": ["string", "number"] });
    let mut properties = Map::from_iter([
        ("group".to_owned(), group),
        ("asked".to_owned(), asked),
        ("answer".to_owned(), object("The answer in one or two sentences.", both(), &["zh", "en"])),
        ("why".to_owned(), object("Why it is so.", both(), &["zh", "en"])),
        ("sources".to_owned(), one_or_more("Where one can read about it.", source)),
    ]);
    properties.extend(both());
    object(
        "The question that the suite answers.",
        properties,
        &["group", "asked", "zh", "en", "answer", "why"],
    )
}

fn both() -> Map<String, Value> {
    let text = |description| json!({ "description": description, "type": ["string", "number"] });
    Map::from_iter([("zh".to_owned(), text("In Chinese.")), ("en".to_owned(), text("In English."))])
}
