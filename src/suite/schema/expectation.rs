//! The schema of `expect`: safe, a violation, or claims.

use serde_json::{Map, Value, json};

use super::super::claim::{NodeEvent, Progress};
use super::super::vocabulary::Vocabulary;
use super::{count, duration, node, object, one_or_more, words};

/// What has to come out.
pub(super) fn expect(vocabulary: &Vocabulary) -> Value {
    let names = words(vocabulary.checks.iter().map(|check| check.entry.name));
    let violates = one_or_more("At least one of these is violated, and no other check.", names);
    let violation = Map::from_iter([("violates".to_owned(), violates)]);
    let claims = Map::from_iter([
        ("live".to_owned(), liveness("Progress is never missing for longer than this.", "within")),
        ("stalls".to_owned(), liveness("Progress is missing for at least this.", "for")),
        ("degrades".to_owned(), degrades(vocabulary)),
        ("behaviour".to_owned(), one_or_more("Events that happen, or never do.", behaviour())),
    ]);
    json!({
        "description": "What has to come out.",
        "anyOf": [
            { "const": "safe" },
            object("A violation is expected.", violation, &["violates"]),
            object("No check is violated, and all of these come out.", claims, &[]),
        ],
        "default": "safe",
    })
}

fn described(description: &str, mut schema: Value) -> Value {
    schema["description"] = Value::from(description);
    schema
}

fn part(properties: &mut Map<String, Value>) {
    let label = |description| json!({ "description": description, "type": "string" });
    properties.insert("after".to_owned(), label("Looks only behind the step with this label."));
    properties.insert("until".to_owned(), label("Looks only before the step with this label."));
}

fn liveness(description: &str, bound: &str) -> Value {
    let of = words(Progress::ALL.iter().map(|(name, _)| *name));
    let mut properties = Map::from_iter([
        (bound.to_owned(), duration("The bound.", None)),
        ("of".to_owned(), described("What counts as progress; `writes` where this is left out.", of)),
    ]);
    part(&mut properties);
    object(description, properties, &[bound])
}

fn degrades(vocabulary: &Vocabulary) -> Value {
    let measures = vocabulary.measures.iter();
    let names: Vec<String> = measures
        .flat_map(|measure| measure.aggregates.iter().map(|(name, _)| format!("{}.{name}", measure.name)))
        .collect();
    let factor = || json!({ "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?x$" });
    let properties = Map::from_iter([
        ("measure".to_owned(), described("What is compared.", words(names.iter().map(String::as_str)))),
        ("at-least".to_owned(), described("So many times worse, or more.", factor())),
        ("at-most".to_owned(), described("So many times worse, or less.", factor())),
        ("node".to_owned(), described("Of this node, where the measure is one of nodes.", node())),
        (
            "control".to_owned(),
            json!({ "description": "The cell that it is compared with.", "type": ["string", "number"] }),
        ),
    ]);
    object("A measure is worse, or no worse, than in another cell.", properties, &["measure", "control"])
}

fn behaviour() -> Value {
    let events = || words(NodeEvent::ALL.iter().map(|(name, _)| *name));
    let mut properties = Map::from_iter([
        ("occurs".to_owned(), described("This happens.", events())),
        ("never".to_owned(), described("This does not happen.", events())),
        ("node".to_owned(), described("On this node.", node())),
        ("term".to_owned(), described("In this term.", count(0, u64::MAX))),
    ]);
    part(&mut properties);
    object("An event of the nodes.", properties, &[])
}
