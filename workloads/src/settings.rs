//! Reading a workload's settings, and the settings that several workloads share.
//!
//! The suite reader has already checked types and bounds and filled in the defaults; a mistake found here is one of
//! the caller, and is still an error, never a panic.

use std::collections::BTreeMap;

use checker::params::{Kind, Param, Params, Setting};

/// How many keys are in use at a time.
pub(crate) const fn keys(default: &'static str) -> Setting {
    Setting {
        name: "keys",
        kind: Kind::Count { min: 1, max: 10_000 },
        default: Some(default),
        doc: "How many keys are in use at a time. Fewer keys mean more concurrency on each.",
    }
}

/// How many operations a key gets until it is replaced.
pub(crate) const fn ops_per_key(default: &'static str) -> Setting {
    Setting {
        name: "ops-per-key",
        kind: Kind::Count { min: 1, max: 100_000 },
        default: Some(default),
        doc: "How many operations a key gets before a fresh one takes its place; bounds the cost of judging it.",
    }
}

/// A whole number.
pub(crate) fn count(params: &Params, name: &str) -> Result<u64, String> {
    match params.0.get(name) {
        Some(Param::Count(count)) => Ok(*count),
        other => Err(mistyped(name, "a whole number", other)),
    }
}

/// Relative weights.
pub(crate) fn weights<'a>(params: &'a Params, name: &str) -> Result<&'a BTreeMap<String, u64>, String> {
    match params.0.get(name) {
        Some(Param::Weights(weights)) => Ok(weights),
        other => Err(mistyped(name, "a map of weights", other)),
    }
}

/// Those of `words` whose weight in the setting `mix` is above 0.
pub(crate) fn weighted(params: &Params, words: &[&'static str]) -> Vec<&'static str> {
    let Some(Param::Weights(weights)) = params.0.get("mix") else {
        return words.to_vec();
    };
    words.iter().copied().filter(|word| weights.get(*word).is_some_and(|weight| *weight > 0)).collect()
}

fn mistyped(name: &str, expected: &str, found: Option<&Param>) -> String {
    match found {
        Some(found) => format!("{name}: expected {expected}, not {found:?}"),
        None => format!("{name}: expected {expected}, but it is missing"),
    }
}
