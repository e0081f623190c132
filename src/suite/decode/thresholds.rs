//! `thresholds:` bounds on what was measured.

use super::super::diagnostics::{Diagnostic, Diagnostics, Place};
use super::super::fields::{Fields, items, scalar};
use super::super::model::Threshold;
use super::super::settings::malformed;
use super::super::tree::{Node, Value};
use super::super::vocabulary::{MeasureEntry, Unit, Vocabulary};
use super::super::{scalars, suggest};
use super::faults::Given;
use super::steps::Scripted;
use super::unknown;

/// A threshold with its place.
pub(in super::super) struct Bound {
    pub(in super::super) threshold: Threshold,
    pub(in super::super) place: Place,
}

/// The measure that a suite without faults is not held to.
const OF_FAULTS: super::super::vocabulary::Ceiling = super::super::vocabulary::Ceiling::Faults;

pub(super) fn read(
    suite: &mut Fields<'_>,
    scripted: Scripted,
    faults: Given,
    vocabulary: &Vocabulary,
    out: &mut Diagnostics,
) -> Option<Vec<Bound>> {
    let before = out.len();
    let mut bounds = Vec::new();
    let mut given: Vec<&str> = Vec::new();
    if let Some(entry) = suite.take("thresholds") {
        let Value::Map(entries) = &entry.value.value else {
            let message =
                format!("`thresholds` is a map from measures to bounds, not {}", entry.value.kind());
            let help = "write for example `thresholds: { ops_ok: [count>=5000] }`";
            out.push(Diagnostic::new(entry.value.place.clone(), message).help(help));
            return None;
        };
        for entry in entries {
            let Some(measure) = vocabulary.measure(&entry.key) else {
                let known: Vec<&str> = vocabulary.measures.iter().map(|measure| measure.name).collect();
                out.push(unknown(&entry.key_place, "measure", &entry.key, &known));
                continue;
            };
            given.push(measure.name);
            let read = items(&entry.value).iter().filter_map(|item| bound(item, measure, out));
            bounds.extend(read.collect::<Vec<_>>());
        }
    }
    for measure in vocabulary.measures.iter().filter(|measure| !given.contains(&measure.name)) {
        // Where the steps came about, enough has happened.
        let held = scripted == Scripted::No && (faults == Given::Yes || measure.ceiling != OF_FAULTS);
        if let Some(threshold) =
            measure.default.filter(|_| held).and_then(|text| threshold(text, measure).ok())
        {
            bounds.push(Bound { threshold, place: suite.place().clone() });
        }
    }
    (out.len() == before).then_some(bounds)
}

fn bound(node: &Node, measure: &MeasureEntry, out: &mut Diagnostics) -> Option<Bound> {
    let text = &scalar(node, "a bound such as `count>=5000`", out)?.text;
    match threshold(text, measure) {
        Ok(threshold) => Some(Bound { threshold, place: node.place.clone() }),
        Err(problem) => {
            let diagnostic = match problem {
                Problem::Form(error) => malformed(node.place.clone(), measure.name, text, error),
                Problem::Aggregate(found) => {
                    let known: Vec<&str> = measure.aggregates.iter().map(|(name, _)| *name).collect();
                    let message = format!("`{}` has no `{found}`", measure.name);
                    let label =
                        suggest::did_you_mean(&found, &known).unwrap_or_else(|| "unknown number".to_owned());
                    let help = format!("it has {}", suggest::one_of(&known));
                    Diagnostic::new(node.place.clone(), message).label(label).help(help)
                }
            };
            out.push(diagnostic);
            None
        }
    }
}

enum Problem {
    Form(scalars::Malformed),
    Aggregate(String),
}

fn threshold(text: &str, measure: &MeasureEntry) -> Result<Threshold, Problem> {
    let (aggregate, comparison, value_text) = scalars::bound(text).map_err(Problem::Form)?;
    let Some((_, unit)) = measure.aggregates.iter().find(|(name, _)| *name == aggregate) else {
        return Err(Problem::Aggregate(aggregate.to_owned()));
    };
    let value = match unit {
        Unit::Number => scalars::count(value_text, 0, u64::MAX).map(|number| number as f64),
        Unit::Time => scalars::duration(value_text).map(|ns| ns as f64),
        Unit::Ratio => scalars::ratio(value_text),
        Unit::Bytes => scalars::bytes(value_text).map(|bytes| bytes as f64),
    };
    let value = value.map_err(|mut error| {
        let prefix = &text[..text.len() - value_text.len()];
        error.meant = error.meant.map(|meant| format!("{}{meant}", prefix.trim_start()));
        Problem::Form(error)
    })?;
    let (measure, aggregate) = (measure.name.to_owned(), aggregate.to_owned());
    Ok(Threshold { measure, aggregate, comparison, value, text: text.to_owned() })
}
