//! A small strict reader of settings, enough for the examples: what is not understood is an error of the test.

use checker::params::{Kind, Param, Params, Setting};
use nemesis::fault::{Fault, FaultKind};
use nemesis::faults;
use serde_json::Value;

/// The fault of this YAML entry, such as `kill: { target: n1 }`, for a cluster of `nodes`.
pub(crate) fn fault(entry: &str, nodes: usize) -> Box<dyn Fault> {
    try_fault(entry, nodes).unwrap_or_else(|why| panic!("{entry}: {why}"))
}

/// ... or why it cannot be built.
pub(crate) fn try_fault(entry: &str, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let (kind, params) = read(entry);
    (kind.build)(&params, nodes)
}

/// Reads one entry and fills in the defaults.
pub(crate) fn read(entry: &str) -> (&'static FaultKind, Params) {
    let map: Value = serde_yaml::from_str(entry).unwrap_or_else(|error| panic!("{entry}: {error}"));
    let map = map.as_object().expect("an entry is a map");
    assert_eq!(map.len(), 1, "an entry has one key: {entry}");
    let (name, settings) = map.iter().next().expect("one key");
    let kind = faults::find(name).unwrap_or_else(|| panic!("no fault {name}"));
    (kind, params(kind, settings))
}

fn params(kind: &FaultKind, given: &Value) -> Params {
    let given = given.as_object().expect("the settings are a map");
    for key in given.keys() {
        assert!(
            kind.settings.iter().any(|setting| setting.name == key),
            "{} has no setting {key}",
            kind.name
        );
    }
    let value = |setting: &Setting| match (given.get(setting.name), setting.default) {
        (Some(value), _) => convert(&setting.kind, value),
        (None, Some(default)) => {
            convert(&setting.kind, &serde_yaml::from_str(default).expect("a default is YAML"))
        }
        (None, None) => panic!("{}: {} must be given", kind.name, setting.name),
    };
    Params(kind.settings.iter().map(|setting| (setting.name.to_owned(), value(setting))).collect())
}

fn convert(kind: &Kind, value: &Value) -> Param {
    match (kind, value) {
        (Kind::Duration, Value::String(text)) => Param::Duration(nanoseconds(text)),
        (Kind::DurationRange, Value::String(text)) => {
            let (low, high) = text.split_once("..").unwrap_or((text, text));
            Param::Range(nanoseconds(low), nanoseconds(high))
        }
        (Kind::Count { min, max }, Value::Number(number)) => {
            let number = number.as_u64().expect("a whole number");
            assert!((*min..=*max).contains(&number), "{number} is not in {min}..={max}");
            Param::Count(number)
        }
        (Kind::Ratio, Value::String(text)) => {
            let percent = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
            Param::Number(percent.unwrap_or_else(|| panic!("{text} is no share")) / 100.0)
        }
        (Kind::Word(words), Value::String(text)) => {
            assert!(words.contains(&text.as_str()), "{text} is none of {words:?}");
            Param::Text(text.clone())
        }
        (Kind::Target | Kind::Text, Value::String(text)) => Param::Text(text.clone()),
        (Kind::List(of), Value::Array(items)) => {
            Param::List(items.iter().map(|item| convert(of, item)).collect())
        }
        (Kind::List(of), one) => convert(of, one),
        (Kind::Groups, Value::Array(groups)) => {
            Param::List(groups.iter().map(|group| convert(&Kind::List(&Kind::Target), group)).collect())
        }
        _ => panic!("{value} is no {kind:?}"),
    }
}

fn nanoseconds(text: &str) -> u64 {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or_else(|| panic!("{text}: no unit"));
    let number: u64 = text[..split].parse().unwrap_or_else(|_| panic!("{text}: no number"));
    match &text[split..] {
        "ms" => number * 1_000_000,
        "s" => number * 1_000_000_000,
        unit => panic!("{text}: no unit {unit}"),
    }
}
