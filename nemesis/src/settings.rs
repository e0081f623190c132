//! The settings that several faults share, and reading them.
//!
//! The suite reader has checked every value against its [`Kind`] and filled in every default, so a message of this file is
//! seen only by a caller that built its [`Params`] by hand. It still never panics.

use std::time::Duration;

use checker::params::{Kind, Param, Params, Setting};

/// How long the fault lasts.
pub const FOR: Setting = Setting {
    name: "for",
    kind: Kind::DurationRange,
    default: Some("2s..5s"),
    doc: "How long the fault lasts; a range is drawn from.",
};

/// Which node or nodes.
pub const TARGET: Setting = Setting {
    name: "target",
    kind: Kind::Target,
    default: Some("any"),
    doc: "Which node or nodes it is done to.",
};

/// How many nodes may be down or paused at one time.
pub const LIMIT: Setting = Setting {
    name: "limit",
    kind: Kind::Word(&["minority", "none"]),
    default: Some("minority"),
    doc: "`minority`: skipped where more than a minority of the nodes (but at least one) would be down or paused at one \
          time, unless `target` is `majority` or `all`. `none`: no such limit.",
};

/// The bounds of `for`, in nanoseconds.
pub fn for_range(params: &Params) -> Result<(u64, u64), String> {
    match get(params, "for")? {
        Param::Range(low, high) if low <= high => Ok((*low, *high)),
        Param::Duration(exact) => Ok((*exact, *exact)),
        Param::Range(low, high) => {
            Err(format!("`for`: the range begins at {low} ns, after its end at {high} ns"))
        }
        other => Err(wrong("for", "a duration or a range of durations", other)),
    }
}

/// A duration.
pub fn duration(params: &Params, name: &str) -> Result<Duration, String> {
    match get(params, name)? {
        Param::Duration(ns) => Ok(Duration::from_nanos(*ns)),
        other => Err(wrong(name, "a duration", other)),
    }
}

/// A share, from 0 to 1.
pub fn ratio(params: &Params, name: &str) -> Result<f64, String> {
    match get(params, name)? {
        Param::Number(share) if (0.0..=1.0).contains(share) => Ok(*share),
        other => Err(wrong(name, "a share from 0% to 100%", other)),
    }
}

/// A share, in parts of a million.
pub fn ppm(params: &Params, name: &str) -> Result<u32, String> {
    ratio(params, name).map(|share| (share * 1e6).round() as u32)
}

/// A whole number.
pub fn count(params: &Params, name: &str) -> Result<u64, String> {
    match get(params, name)? {
        Param::Count(n) => Ok(*n),
        other => Err(wrong(name, "a whole number", other)),
    }
}

/// A word, a target or a text.
pub fn text<'a>(params: &'a Params, name: &str) -> Result<&'a str, String> {
    match get(params, name)? {
        Param::Text(text) => Ok(text),
        other => Err(wrong(name, "a word", other)),
    }
}

/// A list of words, or one word alone.
pub fn words<'a>(params: &'a Params, name: &str) -> Result<Vec<&'a str>, String> {
    match get(params, name)? {
        Param::Text(word) => Ok(vec![word]),
        Param::List(items) => items.iter().map(|item| word(name, item)).collect(),
        other => Err(wrong(name, "a word or a list of words", other)),
    }
}

/// A list of groups of words.
pub fn groups<'a>(params: &'a Params, name: &str) -> Result<Vec<Vec<&'a str>>, String> {
    let Param::List(groups) = get(params, name)? else {
        return Err(format!("`{name}` is not a list of groups"));
    };
    groups
        .iter()
        .map(|group| match group {
            Param::List(members) => members.iter().map(|member| word(name, member)).collect(),
            other => Err(wrong(name, "a list of groups", other)),
        })
        .collect()
}

fn word<'a>(name: &str, param: &'a Param) -> Result<&'a str, String> {
    match param {
        Param::Text(word) => Ok(word),
        other => Err(wrong(name, "a word", other)),
    }
}

fn get<'a>(params: &'a Params, name: &str) -> Result<&'a Param, String> {
    params.0.get(name).ok_or_else(|| format!("the setting `{name}` is missing"))
}

fn wrong(name: &str, expected: &str, found: &Param) -> String {
    format!("`{name}` must be {expected}, and is {found:?}")
}
