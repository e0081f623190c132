//! The settings that a check, a workload, a system or a fault takes, described as data.
//!
//! Every registry entry of every layer lists its [`Setting`]s. The suite reader checks a file against them, `raftcheck
//! list` and the JSON schema print them, and a plan carries the [`Params`] that were read, so that a setting has one
//! description and nothing to keep in step with it. This module lies in the lowest crate because all layers use it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One setting of a registry entry.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The key in the suite file, in kebab-case.
    pub name: &'static str,
    /// What may stand behind it.
    pub kind: Kind,
    /// The value if the key is absent, written as in a suite file; `None` for a key that must be given.
    pub default: Option<&'static str>,
    /// One sentence for the reference page.
    pub doc: &'static str,
}

/// The type of a setting's value.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A duration with its unit: `250ms`, `2s`, `1m30s`.
    Duration,
    /// A duration, or a range `2s..8s` from which the plan draws.
    DurationRange,
    /// A whole number within the bounds, both inclusive.
    Count {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// Operations per second: `400/s`.
    Rate,
    /// A number from 0 to 1: `0.25` or `25%`.
    Ratio,
    /// `true` or `false`.
    Flag,
    /// Free text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of these, or one of them alone.
    List(&'static Kind),
    /// A map from these words to relative weights (whole numbers): `{ read: 5, write: 4 }`.
    Weights(&'static [&'static str]),
    /// A node selector: `leader`, `follower`, `any`, `majority`, `minority`, `all`, or a node's name.
    Target,
    /// Groups of node names: `[[n1, n2], [n3, n4, n5]]`.
    Groups,
}

/// One value, as read. Durations are nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Param {
    /// A [`Kind::Duration`], in nanoseconds.
    Duration(u64),
    /// A [`Kind::DurationRange`], in nanoseconds, low then high; both equal for a plain duration.
    Range(u64, u64),
    /// A [`Kind::Count`].
    Count(u64),
    /// A [`Kind::Rate`] (per second) or a [`Kind::Ratio`].
    Number(f64),
    /// A [`Kind::Flag`].
    Flag(bool),
    /// A [`Kind::Text`], [`Kind::Word`] or [`Kind::Target`].
    Text(String),
    /// A [`Kind::List`], or one group of [`Kind::Groups`].
    List(Vec<Param>),
    /// A [`Kind::Weights`].
    Weights(BTreeMap<String, u64>),
}

/// The settings of one entry by name. The reader has filled in every default, so that a setting with a default, and
/// one that must be given, is always there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Params(pub BTreeMap<String, Param>);
